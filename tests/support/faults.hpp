#pragma once

// A hub whose loops meet with failures, one after the other; what fails them is in the test.

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/harness.hpp"

namespace pushhub::test::faults {

enum class Call { none, accept, send, recv, epollCtl, epollWait, ioctl, allocation };

// Instead of an errno: the call does less than it was asked for.
inline constexpr int oneByte = -1;
inline constexpr int halfOfIt = -2;

// Which calls fail: `inARow` after `left` others. Of the threads of loops only.
inline thread_local bool isTester = false;
inline std::atomic<Call> failing{Call::none};
inline std::atomic<int> how{0};
inline std::atomic<long> inARow{1};
inline std::atomic<long> left{0};

/// 0, or how this call has to fail.
inline int fault(Call call) noexcept {
    if (isTester || failing != call) {
        return 0;
    }
    const long before = left--;
    return before <= 0 && before > -inARow ? how.load() : 0;
}

/// accept4(2), and the socket refuses some, now and then.
inline int acceptSmall(int socket, sockaddr* address, socklen_t* size) noexcept {
    const auto accepted = static_cast<int>(
        ::syscall(SYS_accept4, socket, address, size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const int small = 4096;
    ::syscall(SYS_setsockopt, accepted, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    return accepted;
}

inline std::size_t descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                      std::filesystem::directory_iterator()));
}

/// A hub with a session at a time, and what happened to that one.
template <class Transport>
class Fixture {
public:
    using H = Harness<Transport>;
    using Hub = typename H::Hub;

    // What one client went through.
    struct Outcome {
        bool struck = false;     // the call was reached
        bool connected = false;  // the client got its 101
        std::uint64_t sent = 0;  // to the session alone
        std::uint64_t broadcasts = 0;
        std::uint64_t answers = 0;  // of the hook
        std::uint64_t received = 0;
        bool inOrder = true;  // without a gap, and not broken
        CloseCode code = CloseCode::abnormal;
        std::size_t closes = 0;
        CloseInfo end;
    };

    /// With `hostThreads` the hub runs in a host's io_context, on so many threads.
    explicit Fixture(int hostThreads = 0)
        : hub_(hostThreads > 0 ? std::make_unique<Hub>(options(), context_)
                               : std::make_unique<Hub>(options())) {
        isTester = true;
        for (int i = 0; i < hostThreads; ++i) {
            threads_.emplace_back([this] { context_.run(); });
        }
        // Hooks need no memory: they must not fail themselves.
        hub_->onOpen([this](const SessionPtr& session) {
            session_ = session;
            ++opened_;
        });
        hub_->onMessage([this](const SessionPtr& session, std::string_view) {
            // What has to be said is said again.
            answers_ += pushhub::detail::insist([&] {
                const SendResult result = session->send("A");
                if (result.error == std::errc::not_enough_memory) {
                    throw std::bad_alloc();
                }
                return result.accepted;
            });
        });
        hub_->onClose([this](const SessionPtr&, const CloseInfo& info) {
            end_.code = info.code;
            end_.clean = info.clean;
            end_.error = info.error;
            end_.deliveredMessages = info.deliveredMessages;
            end_.droppedMessages = info.droppedMessages;
            end_.undeliveredMessages = info.undeliveredMessages;
            ++closed_;
        });
        hub_->start();
        {
            // Once a loop has served somebody, nothing of its beginning is open any more.
            const SocketClient client = H::connectSocket(*hub_).opened("/websocket/1");
            idle_ = descriptors() - 2;
        }
        REQUIRE(eventually([&] { return closed_ == 1 && descriptors() == idle_; }));
        check(run(Call::none, 0, 0), 0);
    }

    ~Fixture() {
        hub_->stop();
        work_.reset();
        for (std::thread& thread : threads_) {
            thread.join();
        }
    }

    Outcome run(Call call, int error, long successes) {
        Outcome outcome;
        opened_ = closed_ = 0;
        answers_ = 0;
        end_ = {};
        left = successes;
        how = error;
        failing = call;
        try {
            SocketClient client = H::connectSocket(*hub_);
            outcome.connected = client.handshake("/websocket/1") == 101;
            if (outcome.connected) {
                talk(client, outcome);
            }
        } catch (const SocketClient::Timeout&) {
            failing = Call::none;
            throw;
        } catch (const std::exception&) {
            // The connection has broken on the client's side.
        }
        // Sessions that opened end, and so do all connections.
        eventually([&] {
            return closed_ == opened_ && descriptors() == idle_ && hub_->stats().queuedBytes == 0;
        });
        failing = Call::none;
        if (session_) {
            // A broadcast that is still on its way would reach the next session.
            std::atomic<bool> done{false};
            Command command;
            command.task = detail::makeTask([&] { done = true; });
            session_->connection().loop().submit(std::move(command));
            REQUIRE(eventually([&] { return done.load(); }));
        }
        outcome.struck = call != Call::none && left < 0;
        outcome.answers = answers_;
        outcome.closes = closed_;
        outcome.end = end_;
        session_ = nullptr;
        return outcome;
    }

    /// What has to be so whatever fails. `error`: with what.
    void check(const Outcome& outcome, int error) {
        const CloseInfo& end = outcome.end;
        const std::uint64_t accepted = outcome.sent + outcome.answers;
        const std::uint64_t accounted =
            end.deliveredMessages + end.droppedMessages + end.undeliveredMessages;
        CAPTURE(outcome.connected, outcome.sent, outcome.broadcasts, outcome.answers,
                outcome.received, end.deliveredMessages, end.undeliveredMessages, end.clean,
                end.error.message());
        REQUIRE(outcome.inOrder);
        REQUIRE(opened_ <= 1);
        REQUIRE(closed_ == opened_);
        REQUIRE(hub_->sessionCount() == 0);
        REQUIRE(hub_->stats().queuedBytes == 0);
        REQUIRE(accounted >= accepted);
        REQUIRE(accounted <= accepted + outcome.broadcasts);
        // Of what TLS has encrypted at once, none counts as delivered before all has left.
        const bool exact = end.clean || std::is_same_v<Transport, AsioTransport>;
        REQUIRE(outcome.received <= end.deliveredMessages + (exact ? 0 : end.undeliveredMessages));
        REQUIRE(descriptors() == idle_);
        const bool fatal = error > 0 && error != EAGAIN && error != EINTR;
        if (!fatal) {
            REQUIRE(end.clean);
            REQUIRE_FALSE(end.error);
            REQUIRE(accounted == accepted + outcome.broadcasts);
            REQUIRE(outcome.received == accounted);
            REQUIRE(outcome.code == CloseCode::normal);
        } else if (closed_ == 1 && !end.clean) {
            REQUIRE(end.error == static_cast<std::errc>(error));
        }
    }

    /// Each call of this kind fails in turn, in each of these ways.
    void checkAll(Call call, std::initializer_list<int> errors) {
        for (const int error : errors) {
            long successes = 0;
            // Calls come by the hundred, and are much the same then.
            for (;; successes += call == Call::allocation ? 1 : 1 + successes / 8) {
                INFO("call " << static_cast<int>(call) << ", error " << error << ", after "
                             << successes);
                const Outcome outcome = run(call, error, successes);
                check(outcome, error);
                if (!outcome.struck) {
                    break;
                }
            }
            CHECK(successes > 0);
            check(run(Call::none, 0, 0), 0);  // who comes later is served
        }
    }

    Hub& hub() noexcept { return *hub_; }

private:
    static Options options() {
        Options options = H::options();
        options.loops = 1;
        return options;
    }

    void talk(SocketClient& client, Outcome& outcome) {
        if (!eventually([&] { return opened_ == 1; })) {
            return;
        }
        const auto push = [&](std::size_t size, bool all) {
            const std::string text =
                std::to_string(outcome.sent + outcome.broadcasts) + " " + std::string(size, 'x');
            if (all) {
                outcome.broadcasts += hub_->sendAll(text).accepted;
            } else {
                outcome.sent += hub_->sendOne("1", text).accepted;
            }
        };
        for (int i = 0; i < 3; ++i) {
            push(20, false);
        }
        push(100'000, false);
        push(100'000, true);
        for (int i = 0; i < 6; ++i) {
            push(20, i % 2 == 0);
        }
        client.sendText("answer");
        client.sendBytes(clientFrame(protocol::Opcode::ping, "ping"));
        client.sendText("once more");
        const std::uint64_t all = outcome.sent + outcome.broadcasts + 2;
        std::uint64_t next = 0;
        while (const auto frame = client.read()) {
            if (frame->opcode == protocol::Opcode::text) {
                ++outcome.received;
                if (frame->payload != "A") {
                    const std::string head = std::to_string(next++) + " ";
                    outcome.inOrder =
                        outcome.inOrder && frame->payload.substr(0, head.size()) == head &&
                        frame->payload.find_first_not_of('x', head.size()) == std::string::npos;
                }
            } else if (frame->opcode == protocol::Opcode::close) {
                std::string_view reason = frame->payload;
                outcome.code = protocol::takeCloseCode(reason);
            }
            if (outcome.received == all) {
                ++outcome.received;  // once
                client.sendClose(CloseCode::normal);
            }
        }
        outcome.received -= outcome.received > all ? 1 : 0;
    }

    std::atomic<std::size_t> opened_{0};
    std::atomic<std::size_t> closed_{0};
    std::atomic<std::uint64_t> answers_{0};
    CloseInfo end_;
    SessionPtr session_;
    std::size_t idle_ = 0;                      // descriptors without a client
    pushhub::detail::net::io_context context_;  // a host's
    std::optional<pushhub::detail::net::executor_work_guard<pushhub::detail::Executor>> work_{
        context_.get_executor()};
    std::vector<std::thread> threads_;
    const std::unique_ptr<Hub> hub_;
};

}  // namespace pushhub::test::faults

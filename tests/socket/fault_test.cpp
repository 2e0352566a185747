// What happens when the operating system refuses: each call of the loop's thread that has to do
// with sockets fails in turn, in each way that it can, and so does each allocation.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/harness.hpp"

namespace {

enum class Call { none, accept, send, recv, epollCtl, epollWait, ioctl, setsockopt, allocation };

// Instead of an errno: the call does less than it was asked for.
constexpr int oneByte = -1;
constexpr int halfOfIt = -2;

// Which call fails: the one after `left` others. Of the threads of loops only.
thread_local bool isTester = false;
std::atomic<Call> failing{Call::none};
std::atomic<int> how{0};
std::atomic<long> left{0};

/// 0, or how this call has to fail.
int fault(Call call) noexcept {
    if (isTester || failing != call || left-- != 0) {
        return 0;
    }
    return how;
}

int refuse(int error) noexcept {
    errno = error;
    return -1;
}

std::size_t shortened(int fault, std::size_t size) noexcept {
    return fault == oneByte ? std::min<std::size_t>(size, 1) : (size + 1) / 2;
}

}  // namespace

// Asio calls these. The sanitizers have their own, so what is behind them is the system itself.
extern "C" {

int accept(int socket, sockaddr* address, socklen_t* size) {
    const int error = fault(Call::accept);
    if (error != 0 && error != ECONNABORTED && error != EPROTO) {
        return refuse(error);
    }
    const auto accepted =
        static_cast<int>(syscall(SYS_accept4, socket, address, size, SOCK_CLOEXEC));
    if (accepted < 0) {
        return accepted;
    }
    if (error != 0) {
        close(accepted);  // a connection that is aborted has gone
        return refuse(error);
    }
    // So that the socket refuses some, now and then.
    const int small = 4096;
    syscall(SYS_setsockopt, accepted, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    return accepted;
}

ssize_t send(int socket, const void* data, std::size_t size, int flags) {
    const int error = fault(Call::send);
    if (error > 0) {
        return refuse(error);
    }
    return syscall(SYS_sendto, socket, data, error < 0 ? shortened(error, size) : size, flags,
                   nullptr, 0);
}

ssize_t sendmsg(int socket, const msghdr* message, int flags) {
    const int error = fault(Call::send);
    if (error > 0) {
        return refuse(error);
    }
    if (error == 0) {
        return syscall(SYS_sendmsg, socket, message, flags);
    }
    std::array<iovec, 64> pieces;
    msghdr part = *message;
    part.msg_iov = pieces.data();
    std::size_t size = 0;
    for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
        size += message->msg_iov[i].iov_len;
    }
    size = shortened(error, size);
    for (part.msg_iovlen = 0; size > 0; ++part.msg_iovlen) {
        iovec& piece = pieces[part.msg_iovlen];
        piece = message->msg_iov[part.msg_iovlen];
        piece.iov_len = std::min(piece.iov_len, size);
        size -= piece.iov_len;
    }
    return syscall(SYS_sendmsg, socket, &part, flags);
}

ssize_t recv(int socket, void* data, std::size_t size, int flags) {
    const int error = fault(Call::recv);
    if (error > 0) {
        return refuse(error);
    }
    // Half of what is there, not of the room for it.
    std::size_t wanted = size;
    if (error < 0) {
        const auto there = syscall(SYS_recvfrom, socket, data, size, MSG_PEEK, nullptr, nullptr);
        wanted = there > 0 ? shortened(error, static_cast<std::size_t>(there)) : size;
    }
    return syscall(SYS_recvfrom, socket, data, wanted, flags, nullptr, nullptr);
}

int epoll_ctl(int poller, int operation, int descriptor, epoll_event* event) noexcept {
    const int error = fault(Call::epollCtl);
    return error > 0
               ? refuse(error)
               : static_cast<int>(syscall(SYS_epoll_ctl, poller, operation, descriptor, event));
}

int epoll_wait(int poller, epoll_event* events, int most, int timeout) {
    const int error = fault(Call::epollWait);
    return error > 0 ? refuse(error)
                     : static_cast<int>(
                           syscall(SYS_epoll_pwait, poller, events, most, timeout, nullptr, 0));
}

int ioctl(int descriptor, unsigned long request, ...) noexcept {
    va_list arguments;
    va_start(arguments, request);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    const int error = fault(Call::ioctl);
    return error > 0 ? refuse(error)
                     : static_cast<int>(syscall(SYS_ioctl, descriptor, request, argument));
}

int setsockopt(int socket, int level, int name, const void* value, socklen_t size) noexcept {
    const int error = fault(Call::setsockopt);
    return error > 0 ? refuse(error)
                     : static_cast<int>(syscall(SYS_setsockopt, socket, level, name, value, size));
}

}  // extern "C"

// Not inline, or g++ takes them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const memory = fault(Call::allocation) != 0 ? nullptr : std::malloc(size);
    if (!memory) {
        throw std::bad_alloc();
    }
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}

using namespace pushhub;
using namespace pushhub::test;

namespace {

std::size_t descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                      std::filesystem::directory_iterator()));
}

/// A hub with a session at a time, and what happened to that one.
template <class Transport>
class Fixture {
public:
    using H = Harness<Transport>;

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

    Fixture() : hub_(options()) {
        isTester = true;
        // Hooks need no memory: they must not fail themselves.
        hub_.onOpen([this](const SessionPtr& session) {
            session_ = session;
            ++opened_;
        });
        hub_.onMessage([this](const SessionPtr& session, std::string_view) {
            answers_ += session->send("A").accepted;
        });
        hub_.onClose([this](const SessionPtr&, const CloseInfo& info) {
            end_.code = info.code;
            end_.clean = info.clean;
            end_.error = info.error;
            end_.deliveredMessages = info.deliveredMessages;
            end_.droppedMessages = info.droppedMessages;
            end_.undeliveredMessages = info.undeliveredMessages;
            ++closed_;
        });
        hub_.start();
        idle_ = descriptors();
        check(run(Call::none, 0, 0), 0);
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
            SocketClient client = H::connectSocket(hub_);
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
            return closed_ == opened_ && descriptors() == idle_ && hub_.stats().queuedBytes == 0;
        });
        failing = Call::none;
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
        REQUIRE(hub_.sessionCount() == 0);
        REQUIRE(hub_.stats().queuedBytes == 0);
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
            for (;; successes += 1 + successes / 8) {
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

    typename H::Hub& hub() noexcept { return hub_; }

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
                outcome.broadcasts += hub_.sendAll(text).accepted;
            } else {
                outcome.sent += hub_.sendOne("1", text).accepted;
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
    std::size_t idle_ = 0;  // descriptors without a client
    typename H::Hub hub_;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("A write may be short, refused or fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::send,
                     {oneByte, halfOfIt, EAGAIN, EINTR, ECONNRESET, EPIPE, ENOBUFS, ENOMEM});
}

TEMPLATE_LIST_TEST_CASE("A read may be short, refused or fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::recv, {oneByte, halfOfIt, EAGAIN, EINTR, ECONNRESET, ENOBUFS, ENOMEM});
}

TEMPLATE_LIST_TEST_CASE("Waiting for sockets may fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::epollWait, {EINTR});
    fixture.checkAll(Call::epollCtl, {ENOMEM, ENOSPC});
}

TEMPLATE_LIST_TEST_CASE("A new socket may be refused or have gone", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    // The client waits in the listener's queue meanwhile.
    fixture.checkAll(Call::accept, {EAGAIN, EINTR});
    fixture.checkAll(Call::accept, {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO});
    fixture.checkAll(Call::ioctl, {ENOMEM});
    fixture.checkAll(Call::setsockopt, {EINVAL, ENOBUFS});
}

TEMPLATE_LIST_TEST_CASE("A client that has gone before it is accepted holds up nobody", "[fault]",
                        SocketTransports) {
    const int error = GENERATE(ECONNABORTED, EPROTO);
    Fixture<TestType> fixture;
    SocketClient witness =
        Harness<TestType>::connectSocket(fixture.hub()).opened("/websocket/witness");
    how = error;
    left = 0;
    failing = Call::accept;
    SocketClient gone(fixture.hub().port());
    CHECK(gone.waitForEnd());
    failing = Call::none;
    witness.sendText("are you there?");
    CHECK(witness.readText() == "A");
}

// Not run unless asked for: it finds that a lack of memory can still end the process or stop a
// loop.
TEMPLATE_LIST_TEST_CASE("Each allocation on a loop may fail, over a socket too", "[.allocation]",
                        SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::allocation, {ENOMEM});
}

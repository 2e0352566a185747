#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pushhub/detail/rate_limiter.hpp>
#include <pushhub/transport/asio_connection.hpp>
#include <pushhub/transport/asio_incoming.hpp>

namespace pushhub::detail {

/// Makes the connection of a socket that was accepted.
using MakeConnection = std::function<RefPtr<AsioConnection>(RefPtr<AsioLoop>, SessionId, Socket,
                                                            const Tcp::endpoint&)>;

/// Accepts connections on the first loop and deals them out to the least busy one.
class AsioListener final : public RefCounted<AsioListener> {
public:
    AsioListener(std::vector<RefPtr<AsioLoop>> loops, const Options& options,
                 std::atomic<std::uint64_t>& nextId, MakeConnection makeConnection)
        : loops_(std::move(loops)),
          options_(options),
          gate_(makeRef<AddressGate>(options)),
          nextId_(nextId),
          makeConnection_(std::move(makeConnection)),
          acceptor_(std::in_place, loops_.front()->context()),
          retryTimer_(std::in_place, loops_.front()->context()) {}

    void open(const Tcp::endpoint& endpoint) {
        if (options_.listenSocket >= 0) {
            assignAcceptor(*acceptor_, options_.listenSocket);
        } else {
            openAcceptor(*acceptor_, endpoint.protocol());
            acceptor_->set_option(OwnPort());
            const net::ip::address address = endpoint.address();
            if (endpoint.protocol() == Tcp::v6() && (address.is_unspecified() || address.is_v4())) {
                acceptor_->set_option(net::ip::v6_only(false));
            }
            acceptor_->bind(endpoint);
            acceptor_->listen();
        }
        acceptor_->set_option(NoDelay());
        acceptor_->non_blocking(true);
        local_ = acceptor_->local_endpoint();
        // Otherwise Asio waits for the next client after one that has gone, and so does the loop.
        acceptor_->set_option(Acceptor::enable_connection_aborted(true));
    }

    /// Where it listens. Any thread.
    const Tcp::endpoint& local() const noexcept { return local_; }

    // The first loop's thread.

    void waitForClients() {
        if (acceptor_) {  // unless it was closed before this came to it
            incoming_.wait(*acceptor_,
                           AsioHandler::of<&AsioListener::acceptAll>(*loops_.front(), *this));
        }
    }

    /// Takes over a connected socket that somebody else has accepted, and what was read from it.
    void adopt(SocketHandle& handle, std::string received) {
        AsioLoop& loop = leastBusy();
        Socket socket(loop.context());
        NetError error;
        handle.moveTo(socket, error);
        const Tcp::endpoint remote = error ? Tcp::endpoint() : socket.remote_endpoint(error);
        if (!error) {
            socket.set_option(NoDelay(), error);
        }
        if (!error) {
            take(loop, std::move(socket), remote, nullptr, std::move(received));
        }
    }

    void close() noexcept {
        acceptor_.reset();
        retryTimer_.reset();
    }

private:
    using Clock = std::chrono::steady_clock;

    void acceptAll() {
        try {
            acceptSome();
        } catch (const std::bad_alloc&) {
            exhausted(net::error::no_memory);
        }
    }

    void acceptSome() {
        // Those that are dealt to this loop are read from at once, so their handshakes are in here.
        for (auto now = Clock::now(), end = now + EventLoop::slice; acceptor_ && now < end;
             now = Clock::now()) {
            if (isTooEarly(now)) {
                return;
            }
            AsioLoop& loop = leastBusy();
            Socket socket(loop.context());
            Tcp::endpoint remote;
            NetError error;
            incoming_.accept(*acceptor_, socket, remote, error);
            if (error) {
                if (wouldBlock(error)) {
                    break;
                }
                if (isExhausted(error)) {
                    exhausted(error);
                    return;
                }
                continue;  // that client has gone before we came
            }
            exhausted_ = false;
            countAccepted(now);
            std::unique_ptr<AddressLimit::Place> place;
            if (const char* const full = enter(remote, place)) {
                loops_.front()->refused({0, full, toString(remote)});
                continue;  // closed, as if nobody listened
            }
            const bool proxied = options_.proxyProtocol && gate_->isTrusted(ipAddress(remote));
            take(loop, std::move(socket), remote, std::move(place), {}, proxied);
        }
        waitForClients();
    }

    void take(AsioLoop& loop, Socket socket, const Tcp::endpoint& remote,
              std::unique_ptr<AddressLimit::Place> place, std::string received,
              bool proxied = false) {
        NetError error;
        socket.non_blocking(true, error);
#ifndef __linux__  // where what is accepted has the options of the listener
        if (!error) {
            socket.set_option(NoDelay(), error);
        }
#endif
        if (error) {
            return;  // it has gone already
        }
        auto connection = makeConnection_(RefPtr<AsioLoop>(&loop), SessionId(++nextId_),
                                          std::move(socket), remote);
        connection->setPlace(std::move(place));
        if (proxied) {
            connection->expectProxyHeader(gate_);
        }
        loop.adopt(std::move(connection), std::move(received), &AsioConnection::start);
    }

    // The socket stays readable while there is nothing to accept it with, so to wait for it would
    // spin: try again in a while.
    void exhausted(const NetError& error) {
        if (!std::exchange(exhausted_, true)) {
            loops_.front()->report(standardError(error),
                                   "cannot accept connections; trying again until it works");
        }
        insist([this] {
            acceptAt(std::chrono::steady_clock::now() + std::chrono::milliseconds(100));
        });
    }

    void acceptAt(std::chrono::steady_clock::time_point time) {
        retryTimer_->expires_at(time);
        retryTimer_->async_wait(AsioHandler::of<&AsioListener::acceptAll>(*loops_.front(), *this));
    }

    // Beyond the rate the next ones wait in the listener's queue.
    bool isTooEarly(Clock::time_point now) {
        if (rate_.reached() <= now) {
            return false;
        }
        acceptAt(rate_.reached());
        return true;
    }

    void countAccepted(Clock::time_point now) {
        if (options_.maxConnectionsPerSecond > 0) {
            rate_.count(now, 1, options_.maxConnectionsPerSecond);
        }
    }

    // Why there is no room for a connection; null if there is.
    const char* enter(const Tcp::endpoint& remote, std::unique_ptr<AddressLimit::Place>& place) {
        if (options_.maxConnections > 0) {
            std::size_t connections = 0;
            for (const auto& loop : loops_) {
                connections += loop->load();
            }
            if (connections >= options_.maxConnections) {
                return "maxConnections is reached";
            }
        }
        return gate_->enter(ipAddress(remote), place) ? nullptr : AddressGate::fullReason;
    }

    static IpAddress ipAddress(const Tcp::endpoint& remote) {
        const net::ip::address address = remote.address();
        const net::ip::address_v6 v6 =
            address.is_v6() ? address.to_v6()
                            : net::ip::make_address_v6(net::ip::v4_mapped, address.to_v4());
        return IpAddress{v6.to_bytes()};
    }

    AsioLoop& leastBusy() const {
        return **std::min_element(loops_.begin(), loops_.end(), [](const auto& a, const auto& b) {
            return a->load() < b->load();
        });
    }

    const std::vector<RefPtr<AsioLoop>> loops_;
    const Options options_;
    const RefPtr<AddressGate> gate_;
    RateLimiter rate_;
    std::atomic<std::uint64_t>& nextId_;
    const MakeConnection makeConnection_;
    std::optional<Acceptor> acceptor_;
    Incoming incoming_;
    Tcp::endpoint local_;
    std::optional<Timer> retryTimer_;
    bool exhausted_ = false;
};

}  // namespace pushhub::detail

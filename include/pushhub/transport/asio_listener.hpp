#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <pushhub/transport/asio_connection.hpp>

namespace pushhub::detail {

/// Accepts connections on the first loop and deals them out to the least busy one.
class AsioListener final : public RefCounted<AsioListener> {
public:
    AsioListener(std::vector<RefPtr<AsioLoop>> loops, std::atomic<std::uint64_t>& nextId)
        : loops_(std::move(loops)),
          nextId_(nextId),
          acceptor_(std::in_place, loops_.front()->context()),
          retryTimer_(std::in_place, loops_.front()->context()) {}

    void open(const Tcp::endpoint& endpoint) {
        acceptor_->open(endpoint.protocol());
        acceptor_->set_option(Acceptor::reuse_address(true));
        if (endpoint.protocol() == Tcp::v6() && endpoint.address().is_unspecified()) {
            acceptor_->set_option(net::ip::v6_only(false));
        }
        acceptor_->bind(endpoint);
        acceptor_->listen();
        acceptor_->non_blocking(true);
    }

    std::uint16_t port() const { return acceptor_->local_endpoint().port(); }

    // The first loop's thread.

    void waitForClients() {
        acceptor_->async_wait(Acceptor::wait_read,
                              AsioHandler::of<&AsioListener::acceptAll>(*loops_.front(), *this));
    }

    void close() noexcept {
        acceptor_.reset();
        retryTimer_.reset();
    }

private:
    void acceptAll() {
        constexpr int maxAccepts = 64;
        for (int i = 0; i < maxAccepts && acceptor_; ++i) {
            AsioLoop& loop = leastBusy();
            Socket socket(loop.context());
            Tcp::endpoint remote;
            NetError error;
            acceptor_->accept(socket, remote, error);
            if (wouldBlock(error)) {
                break;
            }
            if (error == net::error::no_descriptors || error == net::error::no_memory ||
                error == net::error::no_buffer_space ||
                standardError(error) == std::errc::too_many_files_open_in_system) {
                exhausted(error);
                return;
            }
            if (error) {
                continue;  // that client has gone before we came
            }
            exhausted_ = false;
            socket.non_blocking(true, error);
            if (!error) {
                socket.set_option(NoDelay(), error);
            }
            if (!error) {
                loop.adopt(makeRef<AsioConnection>(RefPtr<AsioLoop>(&loop), SessionId(++nextId_),
                                                   std::move(socket), remote),
                           &AsioConnection::start);
            }
        }
        if (acceptor_) {
            waitForClients();
        }
    }

    // The socket stays readable while there is nothing to accept it with, so to wait for it would
    // spin: try again in a while.
    void exhausted(const NetError& error) {
        if (!std::exchange(exhausted_, true)) {
            loops_.front()->report(standardError(error),
                                   "cannot accept connections; trying again until it works");
        }
        retryTimer_->expires_after(std::chrono::milliseconds(100));
        retryTimer_->async_wait(AsioHandler::of<&AsioListener::acceptAll>(*loops_.front(), *this));
    }

    AsioLoop& leastBusy() const {
        return **std::min_element(loops_.begin(), loops_.end(), [](const auto& a, const auto& b) {
            return a->load() < b->load();
        });
    }

    const std::vector<RefPtr<AsioLoop>> loops_;
    std::atomic<std::uint64_t>& nextId_;
    std::optional<Acceptor> acceptor_;
    std::optional<Timer> retryTimer_;
    bool exhausted_ = false;
};

}  // namespace pushhub::detail

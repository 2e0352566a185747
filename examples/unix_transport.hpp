#pragma once

// A Transport of one's own: WebSocket over a Unix domain socket, for one hub, with one thread and
// poll(2). What is WebSocket about it is in Connection and EventLoop; here are the system calls.
// docs/transports.md explains what a Transport has to have.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/latch.hpp>
#include <pushhub/transport/event_loop.hpp>
#include <pushhub/transport/transport.hpp>

class UnixConnection final : public pushhub::Connection {
public:
    using Ref = pushhub::detail::RefPtr<pushhub::LoopContext>;

    UnixConnection(Ref loop, pushhub::SessionId id, int fd)
        : Connection(std::move(loop), id), fd_(fd) {}
    ~UnixConnection() override { closeSocket(); }

    std::string remoteAddress() const override { return "unix"; }

    int fd() const noexcept { return fd_; }  // -1 once it is closed
    short wanted() const noexcept {
        return static_cast<short>((readingPaused() || ended_ ? 0 : POLLIN) |
                                  (waitingToWrite_ ? POLLOUT : 0));
    }

    void happened(short events) {
        if ((events & ~POLLIN) != 0 && std::exchange(waitingToWrite_, false)) {
            writable();
        }
        if ((events & ~POLLOUT) == 0 || fd_ < 0 || readingPaused() || ended_) {
            return;
        }
        std::array<char, 16 * 1024> buffer;
        const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (size > 0) {
            receive(buffer.data(), static_cast<std::size_t>(size));
        } else if (size == 0 || errno != EAGAIN) {
            ended_ = true;
            receiveEnd(size == 0 ? std::error_code() : lastError());
        }
    }

private:
    static std::error_code lastError() { return {errno, std::system_category()}; }

    std::size_t writeSome(const pushhub::WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        std::size_t written = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const ssize_t size = ::send(fd_, buffers[i].data, buffers[i].size, MSG_NOSIGNAL);
            written += size > 0 ? static_cast<std::size_t>(size) : 0;
            if (size < 0 && written == 0) {
                error = lastError();
            }
            if (size != static_cast<ssize_t>(buffers[i].size)) {
                break;
            }
        }
        return written;
    }
    void waitWritable() override { waitingToWrite_ = true; }
    void shutdownSend() noexcept override { ::shutdown(fd_, SHUT_WR); }
    void closeSocket() noexcept override {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

    int fd_;
    bool waitingToWrite_ = false;
    bool ended_ = false;
};

class UnixLoop final : public pushhub::EventLoop {
public:
    // Owns the listening socket from now on.
    UnixLoop(const pushhub::Options& options, int listener)
        : EventLoop(options, 1), listener_(listener) {
        if (::pipe2(wakePipe_.data(), O_NONBLOCK | O_CLOEXEC) != 0) {
            throw std::system_error(errno, std::system_category(), "pipe");
        }
        begunTicks_ = 1;
    }
    ~UnixLoop() override {
        for (const int fd : {listener_, wakePipe_[0], wakePipe_[1]}) {
            ::close(fd);
        }
    }

    bool onLoop() const noexcept override { return thread_ == std::this_thread::get_id(); }

    void run() {
        thread_ = std::this_thread::get_id();
        while (!finished_) {
            std::vector<pollfd> waits{{wakePipe_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
            for (const auto& connection : connections_) {
                waits.push_back({connection->fd(), connection->wanted(), 0});
            }
            ::poll(waits.data(), waits.size(), ticking_ ? static_cast<int>(tick.count()) : -1);
            for (std::size_t i = 2; i < waits.size(); ++i) {
                if (waits[i].revents != 0) {
                    connections_[i - 2]->happened(waits[i].revents);
                }
            }
            if (waits[1].revents != 0) {
                acceptOne();
            }
            std::array<char, 64> ignored;
            if (waits[0].revents != 0 && ::read(wakePipe_[0], ignored.data(), ignored.size()) > 0) {
                drain();
            }
            for (; ticking_ && nextTick_ <= now(); nextTick_ += tick) {
                ticking_ = tickTimers(now() - nextTick_);
            }
            afterEvents();
            connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                              [](const auto& c) { return c->fd() < 0; }),
                               connections_.end());
        }
    }

    // Last work of the loop.
    void finish() {
        shutdown();
        finished_ = true;
    }

private:
    void acceptOne() {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            connections_.push_back(pushhub::detail::makeRef<UnixConnection>(
                UnixConnection::Ref(this), pushhub::SessionId(++lastId_), fd));
            countConnection();
            add(*connections_.back());
        }
    }

    void wake() override {
        const ssize_t ignored = ::write(wakePipe_[1], "", 1);  // a full pipe wakes as well
        static_cast<void>(ignored);
    }
    void timersArmed() override {
        if (!std::exchange(ticking_, true)) {
            nextTick_ = now() + tick;
        }
    }
    std::chrono::steady_clock::time_point now() const noexcept override {
        return std::chrono::steady_clock::now();
    }

    const int listener_;
    std::array<int, 2> wakePipe_{};
    std::vector<pushhub::detail::RefPtr<UnixConnection>> connections_;
    std::chrono::steady_clock::time_point nextTick_;
    std::uint64_t lastId_ = 0;
    bool ticking_ = false;
    bool finished_ = false;
    std::atomic<std::thread::id> thread_{};
};

class UnixTransport {
public:
    UnixTransport(const pushhub::Options& options, std::string path)
        : options_(options), path_(std::move(path)) {
        if (path_.empty() || path_.size() >= sizeof(sockaddr_un::sun_path)) {
            throw std::invalid_argument("\"" + path_ + "\" is no path for a socket");
        }
    }
    ~UnixTransport() { joinLater(); }

    void start(pushhub::TransportHandler& handler) {
        joinLater();
        loop_ = pushhub::detail::makeRef<UnixLoop>(options_, listen());
        const auto place = pushhub::EventLoop::makePlace(handler, 1);
        loop_->call([this, place] { loop_->attach(*place); });
        thread_ = std::thread([this] { loop_->run(); });
    }

    void stop(pushhub::TransportHandler& handler, std::chrono::milliseconds patience) {
        ::unlink(path_.c_str());
        const auto closed = std::make_shared<pushhub::detail::Latch>(1);
        loop_->call([&] { loop_->closeAll(handler, [closed] { closed->countDown(); }); });
        closed->waitUntil(std::chrono::steady_clock::now() + patience);
        loop_->call([&] {
            loop_->cutAll(handler);
            loop_->detach(handler);
            loop_->finish();
        });
        thread_.join();
    }

    void sendAll(pushhub::TransportHandler& handler, const pushhub::FramePtr& frame,
                 const pushhub::detail::RefPtr<pushhub::ExceptList>& except,
                 pushhub::OverflowPolicy whenFull) {
        pushhub::Command command;
        command.kind = pushhub::Command::Kind::sendAll;
        command.handler = &handler;
        command.frame = frame;
        command.except = except;
        command.whenFull = whenFull;
        loop_->submit(std::move(command));
    }

    std::uint16_t port() const noexcept { return 0; }
    bool onLoop() const noexcept { return loop_ && loop_->onLoop(); }
    void later(std::function<void()> function) { later_.emplace_back(std::move(function)); }

private:
    int listen() const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.copy(address.sun_path, path_.size());
        ::unlink(path_.c_str());
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(fd, SOMAXCONN) != 0) {
            throw std::system_error(errno, std::system_category(), "cannot listen on " + path_);
        }
        return fd;
    }
    void joinLater() {
        for (std::thread& thread : std::exchange(later_, {})) {
            thread.join();
        }
    }

    const pushhub::Options options_;
    const std::string path_;
    pushhub::detail::RefPtr<UnixLoop> loop_;
    std::thread thread_;
    std::vector<std::thread> later_;  // only one loop, so only one thread adds to it
};

#pragma once

// A custom Transport: WebSocket over a Unix domain socket, for one hub, with one thread and
// poll(2). Connection and EventLoop implement WebSocket; this file contains the system calls.
// docs/transports.md explains the requirements on a Transport.

#include <poll.h>
#include <sys/eventfd.h>
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

// A file descriptor, closed at the end.
class Descriptor {
public:
    Descriptor(int fd, const char* what) : fd_(fd) {
        if (fd < 0) {
            throw std::system_error(errno, std::system_category(), what);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close(); }

    int get() const noexcept { return fd_; }  // -1 once it is closed
    void close() noexcept {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

private:
    int fd_;
};

class UnixConnection final : public pushhub::Connection {
public:
    UnixConnection(pushhub::detail::RefPtr<pushhub::LoopContext> loop, pushhub::SessionId id,
                   int fd)
        : Connection(std::move(loop), id), socket_(fd, "accept") {}

    std::string remoteAddress() const override { return "unix"; }

    // What to wait for; nothing once the socket is closed.
    pollfd wanted() const noexcept {
        const int events = (readingPaused() || ended_ ? 0 : POLLIN) | (waitsToWrite_ ? POLLOUT : 0);
        return {socket_.get(), static_cast<short>(events), 0};
    }

    void happened(short events) {
        if ((events & ~POLLIN) != 0 && std::exchange(waitsToWrite_, false)) {
            writable();
        }
        if ((events & ~POLLOUT) != 0) {
            readNow();
        }
    }

private:
    void readNow() override {
        if (socket_.get() < 0 || readingPaused() || ended_) {
            return;
        }
        std::array<char, 16 * 1024> buffer;
        const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (size > 0) {
            receive(buffer.data(), static_cast<std::size_t>(size));
        } else if (size == 0 || errno != EAGAIN) {
            ended_ = true;
            receiveEnd({size == 0 ? 0 : errno, std::system_category()});
        }
    }
    std::size_t writeSome(const pushhub::WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        std::size_t written = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto [data, size] = buffers[i];
            const ssize_t sent = ::send(socket_.get(), data, size, MSG_NOSIGNAL);
            if (sent < 0 && written == 0) {
                error = {errno, std::system_category()};
            }
            written += sent > 0 ? static_cast<std::size_t>(sent) : 0U;
            if (sent != static_cast<ssize_t>(size)) {
                break;
            }
        }
        return written;
    }
    void waitWritable() override { waitsToWrite_ = true; }
    void shutdownSend() noexcept override { ::shutdown(socket_.get(), SHUT_WR); }
    void closeSocket() noexcept override { socket_.close(); }

    Descriptor socket_;
    bool waitsToWrite_ = false;
    bool ended_ = false;
};

class UnixLoop final : public pushhub::EventLoop {
public:
    UnixLoop(const pushhub::Options& options, const std::string& path) : EventLoop(options, 1) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        ::unlink(path.c_str());
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), SOMAXCONN) != 0) {
            throw std::system_error(errno, std::system_category(), "cannot listen on " + path);
        }
    }

    bool onLoop() const noexcept override { return thread_ == std::this_thread::get_id(); }

    void run() {
        thread_ = std::this_thread::get_id();
        bool worked = false;  // or else it has just done what was due, and may sleep
        while (!finished_) {
            std::vector<pollfd> waits{{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
            for (const auto& connection : connections_) {
                waits.push_back(connection->wanted());
            }
            const TimePoint due = nextTimers(worked);
            ::poll(waits.data(), waits.size(), until(due));
            for (std::size_t i = 2; i < waits.size(); ++i) {
                if (waits[i].revents != 0) {
                    connections_[i - 2]->happened(waits[i].revents);
                }
            }
            if (waits[1].revents != 0) {
                acceptOne();
            }
            eventfd_t wakes;
            if (::eventfd_read(wake_.get(), &wakes) == 0) {
                drain();
            }
            worked = now() < due;
            if (!worked) {
                runTimers();
            }
            afterEvents();
            connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                              [](const auto& c) { return c->wanted().fd < 0; }),
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
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            connections_.push_back(pushhub::detail::makeRef<UnixConnection>(
                pushhub::detail::RefPtr<LoopContext>(this), pushhub::SessionId(++lastId_), fd));
            countConnection();
            add(*connections_.back());
        }
    }

    void wake() override { ::eventfd_write(wake_.get(), 1); }
    TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }

    // For poll(2).
    int until(TimePoint time) const {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - now()).count();
        return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left, 0, 60'000));
    }

    const Descriptor listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                               "socket"};
    const Descriptor wake_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"};
    std::vector<pushhub::detail::RefPtr<UnixConnection>> connections_;
    std::uint64_t lastId_ = 0;
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
        loop_ = pushhub::detail::makeRef<UnixLoop>(options_, path_);
        const auto place = pushhub::EventLoop::makePlace(handler, 1);
        loop_->call([this, place] { loop_->attach(*place); });
        thread_ = std::thread([loop = loop_] { loop->run(); });
    }

    void stop(pushhub::TransportHandler& handler, std::chrono::milliseconds patience) {
        ::unlink(path_.c_str());
        const auto end = [this, &handler] {
            loop_->leave(handler);
            loop_->finish();
        };
        if (onLoop()) {  // in a hook, whose thread ends when that has returned
            loop_->callFirst(end);
            loop_->help();
            thread_.detach();
            return;
        }
        const auto closed = std::make_shared<pushhub::detail::Latch>(1);
        loop_->call([&] { loop_->closeAll(handler, closed); });
        closed->waitUntil(std::chrono::steady_clock::now() + patience);
        loop_->callFirst(end);
        if (thread_.joinable()) {
            thread_.join();
        }
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

    std::string address() const { return path_; }
    std::uint16_t port() const noexcept { return 0; }
    bool onLoop() const noexcept { return loop_ && loop_->onLoop(); }
    void later(std::function<void()> function) { later_.emplace_back(std::move(function)); }

private:
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

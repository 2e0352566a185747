#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/insist.hpp>
#include <pushhub/detail/latch.hpp>
#include <pushhub/transport/asio_listener.hpp>
#include <pushhub/transport/transport.hpp>

namespace pushhub {

/// WebSocket over TCP on Asio. Meets the requirements in transport.hpp.
class AsioTransport {
public:
    /// Runs `options.loops` threads of its own.
    explicit AsioTransport(const Options& options) : AsioTransport(options, nullptr, &makePlain) {}

    /// Runs on the host's io_context, however many threads run that one. It must live until this
    /// object is destroyed.
    AsioTransport(const Options& options, detail::net::io_context& context)
        : AsioTransport(options, &context, &makePlain) {}

    AsioTransport(const AsioTransport&) = delete;
    AsioTransport& operator=(const AsioTransport&) = delete;
    ~AsioTransport() { joinLater(); }

    /// Offers handshakes to `handler`; the first one opens the port. Throws std::system_error
    /// that names address and port if it cannot be opened.
    void start(TransportHandler& handler) {
        joinLater();
        const std::lock_guard<std::mutex> lock(mutex_);
        handlers_.reserve(handlers_.size() + 1);  // before there is something to undo
        if (handlers_.empty()) {
            open();
        }
        handlers_.push_back(&handler);
        try {
            for (const auto& loop : *loops_) {
                const auto place = EventLoop::makePlace(handler, handlers_.size());
                loop->call([loop = loop.get(), place] { loop->attach(*place); });
            }
            if (handlers_.size() == 1) {
                loops_->front()->call([listener = listener_] {
                    detail::insist([&] { listener->waitForClients(); });
                });
            }
        } catch (const std::bad_alloc&) {
            end(handler, std::chrono::milliseconds(0));
            throw;
        }
    }

    /// Closes the sessions of `handler` with 1001, cuts those that are left at the deadline, and
    /// closes the port with the last handler. Not on a thread that runs a loop (see `onLoop`).
    void stop(TransportHandler& handler, std::chrono::milliseconds patience) {
        const std::lock_guard<std::mutex> lock(mutex_);
        end(handler, patience);
    }

    /// The port that is listened on, while started; otherwise the one of the options.
    std::uint16_t port() const noexcept { return port_; }

    /// Queues `frame` for all sessions of `handler` but those in `except`. Any thread, while
    /// `handler` is started.
    void sendAll(TransportHandler& handler, const FramePtr& frame,
                 const detail::RefPtr<ExceptList>& except, OverflowPolicy whenFull) {
        for (const auto& loop : *loops()) {
            Command command;
            command.kind = Command::Kind::sendAll;
            command.handler = &handler;
            command.frame = frame;
            command.except = except;
            command.whenFull = whenFull;
            loop->submit(std::move(command));
        }
    }

    /// Takes over a connected TCP socket of another server in this process, such as
    /// `socket.release()` of Boost.Beast, and closes it in the end. `received` is what was read
    /// from it: the whole handshake request, and whatever came behind. Any thread, while started;
    /// otherwise, or if the client has gone, the socket is closed.
    void adopt(detail::Socket::native_handle_type socket, std::string received) {
        const auto handle = std::make_shared<detail::SocketHandle>(socket);
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        if (listener_) {
            loops_->front()->call(
                [listener = listener_, handle, received = std::move(received)]() mutable {
                    listener->adopt(*handle, std::move(received));
                });
        }
    }

    /// True on a thread that `stop` would wait for: in a hook, or in any handler of the host's
    /// io_context.
    bool onLoop() const noexcept {
        if (hostContext_ && hostContext_->get_executor().running_in_this_thread()) {
            return true;
        }
        const auto running = loops();
        return std::any_of(running->begin(), running->end(),
                           [](const auto& loop) { return loop->onLoop(); });
    }

    /// Calls `function` on a thread of its own, which is joined by the next `start` or the
    /// destructor.
    void later(std::function<void()> function) {
        const std::lock_guard<std::mutex> lock(laterMutex_);
        later_.emplace_back(std::move(function));
    }

protected:
    /// With connections of another kind, which derive from `detail::AsioConnection`. Without a
    /// context it runs threads of its own.
    AsioTransport(const Options& options, detail::net::io_context* context,
                  detail::MakeConnection makeConnection)
        : options_(options),
          endpoint_(parseEndpoint(options)),
          makeConnection_(std::move(makeConnection)),
          hostContext_(context) {}

private:
    static detail::RefPtr<detail::AsioConnection> makePlain(detail::RefPtr<detail::AsioLoop> loop,
                                                            SessionId id, detail::Socket socket,
                                                            const detail::Tcp::endpoint& remote) {
        return detail::makeRef<detail::AsioConnection>(std::move(loop), id, std::move(socket),
                                                       remote);
    }

    using Loops = std::vector<detail::RefPtr<detail::AsioLoop>>;

    std::shared_ptr<const Loops> loops() const {
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        return loops_;
    }
    void setLoops(Loops loops) {
        auto shared = std::make_shared<const Loops>(std::move(loops));
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        loops_.swap(shared);
    }

    void setListener(detail::RefPtr<detail::AsioListener> listener) {
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        listener_ = std::move(listener);
    }

    static detail::Tcp::endpoint parseEndpoint(const Options& options) {
        detail::NetError error;
        const auto address = detail::net::ip::make_address(options.address, error);
        if (error) {
            throw std::invalid_argument("pushhub: option address is \"" + options.address +
                                        "\", expected an IPv4 or IPv6 address");
        }
        return {address, options.port};
    }

    std::string where() const {
        return (endpoint_.address().is_v6() ? "[" + options_.address + "]" : options_.address) +
               ":" + std::to_string(endpoint_.port());
    }

    void joinLater() {
        std::vector<std::thread> threads;
        {
            const std::lock_guard<std::mutex> lock(laterMutex_);
            threads.swap(later_);
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
    }

    void open() {
        Loops loops;
        if (hostContext_) {
            loops.push_back(detail::makeRef<detail::AsioLoop>(options_, *hostContext_));
        } else {
            const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
            const unsigned count = options_.loops > 0 ? options_.loops : cores;
            for (unsigned i = 0; i < count; ++i) {
                loops.push_back(detail::makeRef<detail::AsioLoop>(options_, count));
            }
        }
        auto listener =
            detail::makeRef<detail::AsioListener>(loops, options_, nextId_, makeConnection_);
        try {
            listener->open(endpoint_);
            port_ = listener->port();
        } catch (const detail::NetException& error) {
            throw std::system_error(detail::standardError(error.code()),
                                    "pushhub: cannot listen on " + where());
        }
        setLoops(std::move(loops));
        setListener(std::move(listener));
        if (hostContext_) {
            return;
        }
        try {
            for (const auto& loop : *loops_) {
                loop->startThread();
            }
        } catch (...) {  // no thread to be had, or no memory
            setListener(nullptr);
            for (const auto& loop : *loops_) {
                const auto finishLoop = [loop = loop.get()] { loop->finish(); };
                if (loop->hasThread()) {
                    detail::insist([&] { return loop->call(finishLoop); });
                } else {
                    finishLoop();
                }
                loop->join();
            }
            detail::insist([this] { setLoops({}); });
            throw;
        }
    }

    // `stop`, while mutex_ is held. What it does on a loop needs no memory there.
    void end(TransportHandler& handler, std::chrono::milliseconds patience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        const auto found = std::find(handlers_.begin(), handlers_.end(), &handler);
        if (found == handlers_.end()) {
            return;
        }
        const bool last = handlers_.size() == 1;
        helpHost_ = hostContext_ && !wait(*onEachLoop(handler, &answer),
                                          std::chrono::steady_clock::now() + hostPatience);
        if (last) {
            detail::insist([&] {
                return loops_->front()->call([listener = listener_] { listener->close(); });
            });
        }
        if (!wait(*onEachLoop(handler, &closeAll), deadline)) {
            wait(*onEachLoop(handler, &cutAll));
        }
        wait(*onEachLoop(handler, last ? &finish : &detach));
        handlers_.erase(found);
        if (last) {
            setListener(nullptr);
            for (const auto& loop : *loops_) {
                while (hostContext_ && !loop->quiet()) {
                    pause();
                }
                loop->join();
            }
            detail::insist([this] { setLoops({}); });
        }
    }

    // What a loop does for a handler that stops; it counts `done` down afterwards. Functions, and
    // no lambdas, since each of those would be compiled with a path of its own to the loops.
    using LatchPtr = std::shared_ptr<detail::Latch>;
    using Step = void (*)(detail::AsioLoop&, TransportHandler&, const LatchPtr& done);

    static void answer(detail::AsioLoop&, TransportHandler&, const LatchPtr& done) {
        done->countDown();
    }
    static void closeAll(detail::AsioLoop& loop, TransportHandler& handler, const LatchPtr& done) {
        loop.closeAll(handler, done);
    }
    static void cutAll(detail::AsioLoop& loop, TransportHandler& handler, const LatchPtr& done) {
        loop.cutAll(handler);
        done->countDown();
    }
    static void detach(detail::AsioLoop& loop, TransportHandler& handler, const LatchPtr& done) {
        loop.detach(handler);
        done->countDown();
    }
    static void finish(detail::AsioLoop& loop, TransportHandler& handler, const LatchPtr& done) {
        loop.detach(handler);
        loop.finish();
        done->countDown();
    }

    LatchPtr onEachLoop(TransportHandler& handler, Step step) {
        const std::size_t count = loops_->size();
        auto latch = detail::insist([&] { return std::make_shared<detail::Latch>(count); });
        for (const auto& loop : *loops_) {
            detail::insist([&] {
                return loop->call(
                    [&handler, loop = loop.get(), step, latch] { step(*loop, handler, latch); });
            });
        }
        return latch;
    }

    // True if the loops were done before the deadline.
    bool wait(detail::Latch& latch, std::chrono::steady_clock::time_point deadline =
                                        std::chrono::steady_clock::time_point::max()) {
        if (!hostContext_) {
            return latch.waitUntil(deadline);
        }
        const auto start = std::chrono::steady_clock::now();
        while (!latch.done()) {
            const auto now = std::chrono::steady_clock::now();
            if (now >= deadline) {
                return false;
            }
            // Nobody runs the io_context any more, if even this takes so long.
            helpHost_ = helpHost_ || (deadline == deadline.max() && now - start > 5 * hostPatience);
            pause();
        }
        return true;
    }

    // Lets the host's io_context go on for a moment. If nobody runs it any more, it is run here, or
    // stop would wait in vain.
    void pause() {
        const bool stopped = hostContext_->stopped();
        if (stopped) {
            hostContext_->restart();
        }
        if (helpHost_ || stopped) {
            hostContext_->poll();
        }
        if (stopped) {
            hostContext_->stop();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    // How long a host's io_context may take to get to something before it counts as not run.
    static constexpr std::chrono::milliseconds hostPatience{200};

    const Options options_;
    const detail::Tcp::endpoint endpoint_;
    const detail::MakeConnection makeConnection_;
    detail::net::io_context* const hostContext_;
    bool helpHost_ = false;  // nobody runs hostContext_
    std::mutex mutex_;       // start and stop, one at a time
    std::vector<TransportHandler*> handlers_;
    std::mutex laterMutex_;
    std::vector<std::thread> later_;
    mutable std::mutex loopsMutex_;  // for readers of the next two
    std::shared_ptr<const Loops> loops_ = std::make_shared<const Loops>();
    detail::RefPtr<detail::AsioListener> listener_;
    std::atomic<std::uint64_t> nextId_{0};
    std::atomic<std::uint16_t> port_{0};
};

}  // namespace pushhub

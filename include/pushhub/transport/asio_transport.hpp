#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/config.hpp>

#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include <pushhub/detail/handler_memory.hpp>
#include <pushhub/detail/latch.hpp>
#include <pushhub/transport/event_loop.hpp>
#include <pushhub/transport/transport.hpp>

namespace pushhub {

namespace detail {

using AsioExecutor = asio::io_context::executor_type;
using AsioSocket = asio::basic_stream_socket<asio::ip::tcp, AsioExecutor>;
using AsioAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, AsioExecutor>;
using AsioTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, AsioExecutor>;

/// An error of Asio as one that compares with std::errc: its own category does not, everywhere.
inline std::error_code standardError(const std::error_code& error) noexcept {
    return error.category() == asio::error::get_system_category()
               ? std::error_code(error.value(), std::system_category())
               : error;
}

/// An event loop on Asio: a thread with its own io_context, or a strand on the host's.
class AsioLoop final : public EventLoop {
public:
    /// Its own io_context, which `startThread` runs.
    explicit AsioLoop(const Options& listenerOptions)
        : EventLoop(listenerOptions),
          own_(std::make_unique<asio::io_context>(1)),
          context_(*own_),
          work_(context_.get_executor()),
          tickTimer_(std::in_place, context_) {
        begunTicks_ = 1;
    }

    /// A strand on the host's io_context, which the host runs.
    AsioLoop(const Options& listenerOptions, asio::io_context& context)
        : EventLoop(listenerOptions),
          context_(context),
          strand_(context.get_executor()),
          tickTimer_(std::in_place, context_) {
        begunTicks_ = 1;
    }

    asio::io_context& context() noexcept { return context_; }
    std::array<char, 64 * 1024>& readBuffer() noexcept { return readBuffer_; }

    bool onLoop() const noexcept override { return runner_ == std::this_thread::get_id(); }

    void startThread() {
        thread_ = std::thread([self = RefPtr<AsioLoop>(this)] {
            self->runner_ = std::this_thread::get_id();
            self->context_.run();
            self->runner_ = std::thread::id();
        });
    }

    /// A completion handler that runs `function` in turn with everything else of this loop.
    template <class Function>
    auto handler(Function function) {
        return [ticket = Ticket(*this), function = std::move(function)](auto&&...) mutable {
            AsioLoop& loop = ticket.loop();
            loop.run(std::move(ticket), std::move(function));
        };
    }

    /// Takes a new connection on. Any thread.
    void adopt(RefPtr<Connection> connection, void (*start)(Connection&)) {
        countConnection();
        auto begin = [this, connection = std::move(connection), start] {
            add(*connection);
            start(*connection);
        };
        if (onLoop()) {
            begin();
        } else {
            call(std::move(begin));
        }
    }

    /// Last work of the loop: afterwards it is empty and takes no more.
    void finish() {
        shutdown();
        tickTimer_.reset();
        work_.reset();
    }

    /// True if no handler of this loop is left in the host's io_context.
    bool quiet() const noexcept { return handlers_ == 0; }

    /// Waits for the thread, and lets go of what belongs to the io_context. After `finish`, and
    /// once it is `quiet`.
    void join() {
        if (thread_.joinable()) {
            thread_.join();
        }
        strand_.reset();
        own_.reset();
    }

private:
    /// Held by each handler that Asio has of this loop, so that one can wait until none is left.
    class Ticket {
    public:
        explicit Ticket(AsioLoop& loop) : loop_(&loop) { ++loop.handlers_; }
        Ticket(Ticket&&) noexcept = default;
        Ticket(const Ticket& other) : loop_(other.loop_) { ++loop_->handlers_; }
        Ticket& operator=(const Ticket&) = delete;
        ~Ticket() {
            if (loop_) {
                --loop_->handlers_;
            }
        }
        AsioLoop& loop() const noexcept { return *loop_; }

    private:
        RefPtr<AsioLoop> loop_;
    };

    template <class Function>
    void run(Ticket ticket, Function function) {
        if (!strand_) {
            function();
            notifyEmptied();
            return;
        }
        asio::dispatch(*strand_,
                       [ticket = std::move(ticket), function = std::move(function)]() mutable {
                           AsioLoop& loop = ticket.loop();
                           loop.runner_ = std::this_thread::get_id();
                           function();
                           loop.notifyEmptied();
                           loop.runner_ = std::thread::id();
                       });
    }

    void wake() override {
        asio::post(context_, inMemory(wakeMemory_, handler([this] { drain(); })));
    }

    std::chrono::steady_clock::time_point now() const noexcept override {
        return std::chrono::steady_clock::now();
    }

    void timersArmed() override {
        if (!std::exchange(ticking_, true)) {
            lastTick_ = now();
            waitForTick();
        }
    }

    void waitForTick() {
        tickTimer_->expires_at(lastTick_ + tick);
        tickTimer_->async_wait(handler([this] { onTick(); }));
    }

    void onTick() {
        // A loop that was kept busy makes up for the ticks it missed.
        while (tickTimer_ && ticking_ && lastTick_ + tick <= now()) {
            lastTick_ += tick;
            ticking_ = tickTimers();
        }
        if (tickTimer_ && ticking_) {
            waitForTick();
        }
    }

    std::unique_ptr<asio::io_context> own_;
    asio::io_context& context_;
    std::optional<asio::executor_work_guard<AsioExecutor>> work_;
    std::optional<asio::strand<AsioExecutor>> strand_;
    std::optional<AsioTimer> tickTimer_;
    std::chrono::steady_clock::time_point lastTick_;
    bool ticking_ = false;
    std::atomic<std::size_t> handlers_{0};
    std::atomic<std::thread::id> runner_{};
    std::thread thread_;
    HandlerMemory<64> wakeMemory_;
    std::array<char, 64 * 1024> readBuffer_;  // of whichever connection is being read
};

/// A connection over TCP.
class AsioConnection final : public Connection {
public:
    AsioConnection(RefPtr<AsioLoop> loop, SessionId id, AsioSocket socket,
                   asio::ip::tcp::endpoint remote)
        : Connection(std::move(loop), id), socket_(std::move(socket)), remote_(std::move(remote)) {}

    std::string remoteAddress() const override {
        const std::string address = remote_.address().to_string();
        const std::string port = std::to_string(remote_.port());
        return remote_.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
    }

    static void start(Connection& connection) {
        static_cast<AsioConnection&>(connection).waitReadable();
    }

private:
    AsioLoop& asioLoop() const noexcept { return static_cast<AsioLoop&>(loop()); }

    void waitReadable() {
        socket_->async_wait(
            AsioSocket::wait_read,
            inMemory(readMemory_, asioLoop().handler([self = RefPtr<AsioConnection>(this)] {
                self->readable();
            })));
    }

    // One connection reads a few buffers at most before the others get their turn.
    void readable() {
        constexpr int maxReads = 4;
        std::array<char, 64 * 1024>& buffer = asioLoop().readBuffer();
        for (int i = 0; i < maxReads && socket_; ++i) {
            std::error_code error;
            const std::size_t size = socket_->read_some(asio::buffer(buffer), error);
            if (error == asio::error::would_block || error == asio::error::try_again) {
                break;
            }
            if (error) {
                receiveEnd(error == asio::error::eof ? std::error_code() : standardError(error));
                return;
            }
            receive(buffer.data(), size);
            if (size < buffer.size()) {
                break;
            }
        }
        if (socket_) {
            waitReadable();
        }
    }

    // What Asio wants of a buffer sequence, over the buffers as they stand.
    class Buffers {
    public:
        using value_type = asio::const_buffer;
        class const_iterator {
        public:
            using value_type = asio::const_buffer;
            using difference_type = std::ptrdiff_t;
            using pointer = const value_type*;
            using reference = value_type;
            using iterator_category = std::bidirectional_iterator_tag;

            const_iterator() = default;
            explicit const_iterator(const WriteBuffer* at) : at_(at) {}
            value_type operator*() const { return {at_->data, at_->size}; }
            const_iterator& operator++() {
                ++at_;
                return *this;
            }
            const_iterator operator++(int) { return const_iterator(at_++); }
            const_iterator& operator--() {
                --at_;
                return *this;
            }
            const_iterator operator--(int) { return const_iterator(at_--); }
            bool operator==(const const_iterator& other) const { return at_ == other.at_; }
            bool operator!=(const const_iterator& other) const { return at_ != other.at_; }

        private:
            const WriteBuffer* at_ = nullptr;
        };

        Buffers(const WriteBuffer* buffers, std::size_t count)
            : begin_(buffers), end_(buffers + count) {}
        const_iterator begin() const { return begin_; }
        const_iterator end() const { return end_; }

    private:
        const_iterator begin_;
        const_iterator end_;
    };

    std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        const std::size_t written =
            count == 1 ? socket_->write_some(asio::buffer(buffers->data, buffers->size), error)
                       : socket_->write_some(Buffers(buffers, count), error);
        if (error) {
            error = standardError(error);
        }
        return written;
    }

    void waitWritable() override {
        socket_->async_wait(AsioSocket::wait_write,
                            asioLoop().handler([self = RefPtr<AsioConnection>(this)] {
                                if (self->socket_) {
                                    self->writable();
                                }
                            }));
    }

    void shutdownSend() noexcept override {
        std::error_code ignored;
        socket_->shutdown(AsioSocket::shutdown_send, ignored);
    }

    void closeSocket() noexcept override { socket_.reset(); }

    std::optional<AsioSocket> socket_;
    asio::ip::tcp::endpoint remote_;
    HandlerMemory<128> readMemory_;
};

/// Accepts connections on the first loop and deals them out to the least busy one.
class AsioListener final : public RefCounted<AsioListener> {
public:
    AsioListener(std::vector<RefPtr<AsioLoop>> loops, std::atomic<std::uint64_t>& nextId)
        : loops_(std::move(loops)),
          nextId_(nextId),
          acceptor_(std::in_place, loops_.front()->context()),
          retryTimer_(std::in_place, loops_.front()->context()) {}

    void open(const asio::ip::tcp::endpoint& endpoint) {
        acceptor_->open(endpoint.protocol());
        acceptor_->set_option(AsioAcceptor::reuse_address(true));
        if (endpoint.protocol() == asio::ip::tcp::v6() && endpoint.address().is_unspecified()) {
            acceptor_->set_option(asio::ip::v6_only(false));
        }
        acceptor_->bind(endpoint);
        acceptor_->listen();
        acceptor_->non_blocking(true);
    }

    std::uint16_t port() const { return acceptor_->local_endpoint().port(); }

    // The first loop's thread.

    void waitForClients() {
        acceptor_->async_wait(
            AsioAcceptor::wait_read,
            loops_.front()->handler([self = RefPtr<AsioListener>(this)] { self->acceptAll(); }));
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
            AsioSocket socket(loop.context());
            asio::ip::tcp::endpoint remote;
            std::error_code error;
            acceptor_->accept(socket, remote, error);
            if (error == asio::error::would_block || error == asio::error::try_again) {
                break;
            }
            if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
                error == asio::error::no_buffer_space ||
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
                socket.set_option(asio::ip::tcp::no_delay(true), error);
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
    void exhausted(std::error_code error) {
        if (!std::exchange(exhausted_, true)) {
            loops_.front()->report(standardError(error),
                                   "cannot accept connections; trying again until it works");
        }
        retryTimer_->expires_after(std::chrono::milliseconds(100));
        retryTimer_->async_wait(
            loops_.front()->handler([self = RefPtr<AsioListener>(this)] { self->acceptAll(); }));
    }

    AsioLoop& leastBusy() const {
        return **std::min_element(loops_.begin(), loops_.end(), [](const auto& a, const auto& b) {
            return a->load() < b->load();
        });
    }

    const std::vector<RefPtr<AsioLoop>> loops_;
    std::atomic<std::uint64_t>& nextId_;
    std::optional<AsioAcceptor> acceptor_;
    std::optional<AsioTimer> retryTimer_;
    bool exhausted_ = false;
};

}  // namespace detail

/// WebSocket over TCP on Asio. Meets the requirements in transport.hpp.
class AsioTransport {
public:
    /// Runs `options.loops` threads of its own.
    explicit AsioTransport(const Options& options)
        : options_(options), endpoint_(parseEndpoint(options)) {}

    /// Runs on the host's io_context, however many threads run that one. It must live until this
    /// object is destroyed.
    AsioTransport(const Options& options, asio::io_context& context)
        : options_(options), endpoint_(parseEndpoint(options)), hostContext_(&context) {}

    AsioTransport(const AsioTransport&) = delete;
    AsioTransport& operator=(const AsioTransport&) = delete;
    ~AsioTransport() { joinLater(); }

    /// Offers handshakes to `handler`; the first one opens the port. Throws std::system_error
    /// that names address and port if it cannot be opened.
    void start(TransportHandler& handler) {
        joinLater();
        const std::lock_guard<std::mutex> lock(mutex_);
        if (handlers_.empty()) {
            open();
        }
        handlers_.push_back(&handler);
        for (const auto& loop : *loops_) {
            loop->call([loop = loop.get(), &handler] { loop->attach(handler); });
        }
        if (handlers_.size() == 1) {
            loops_->front()->call([listener = listener_] { listener->waitForClients(); });
        }
    }

    /// Closes the sessions of `handler` with 1001, cuts those that are left at the deadline, and
    /// closes the port with the last handler. Not on a thread that runs a loop (see `onLoop`).
    void stop(TransportHandler& handler, std::chrono::milliseconds patience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = std::find(handlers_.begin(), handlers_.end(), &handler);
        if (found == handlers_.end()) {
            return;
        }
        const bool last = handlers_.size() == 1;
        helpHost_ = hostContext_ && !wait(*onEachLoop([](detail::AsioLoop&, auto done) { done(); }),
                                          std::chrono::steady_clock::now() + hostPatience);
        if (last) {
            loops_->front()->call([listener = listener_] { listener->close(); });
        }
        const auto closed = onEachLoop(
            [&handler](detail::AsioLoop& loop, auto done) { loop.closeAll(handler, done); });
        if (!wait(*closed, deadline)) {
            wait(*onEachLoop([&handler](detail::AsioLoop& loop, auto done) {
                loop.cutAll(handler);
                done();
            }));
        }
        wait(*onEachLoop([&handler, last](detail::AsioLoop& loop, auto done) {
            loop.detach(handler);
            if (last) {
                loop.finish();
            }
            done();
        }));
        handlers_.erase(found);
        if (last) {
            listener_ = nullptr;
            for (const auto& loop : *loops_) {
                while (hostContext_ && !loop->quiet()) {
                    pause();
                }
                loop->join();
            }
            setLoops({});
        }
    }

    /// The port that is listened on, while started; otherwise the one of the options.
    std::uint16_t port() const noexcept { return port_; }

    /// Queues `frame` for all sessions of `handler` but those in `except`. Any thread, while
    /// `handler` is started.
    void sendAll(TransportHandler& handler, const FramePtr& frame,
                 const detail::RefPtr<ExceptList>& except) {
        for (const auto& loop : *loops()) {
            Command command;
            command.kind = Command::Kind::sendAll;
            command.handler = &handler;
            command.frame = frame;
            command.except = except;
            loop->submit(std::move(command));
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

private:
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

    static asio::ip::tcp::endpoint parseEndpoint(const Options& options) {
        std::error_code error;
        const auto address = asio::ip::make_address(options.address, error);
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
            for (unsigned i = 0; i < (options_.loops > 0 ? options_.loops : cores); ++i) {
                loops.push_back(detail::makeRef<detail::AsioLoop>(options_));
            }
        }
        auto listener = detail::makeRef<detail::AsioListener>(loops, nextId_);
        try {
            listener->open(endpoint_);
            port_ = listener->port();
        } catch (const std::system_error& error) {
            throw std::system_error(detail::standardError(error.code()),
                                    "pushhub: cannot listen on " + where());
        }
        setLoops(std::move(loops));
        listener_ = std::move(listener);
        if (!hostContext_) {
            for (const auto& loop : *loops_) {
                loop->startThread();
            }
        }
    }

    // Calls `function(loop, done)` on each loop; `done` counts down the latch.
    template <class Function>
    std::shared_ptr<detail::Latch> onEachLoop(Function function) {
        auto latch = std::make_shared<detail::Latch>(loops_->size());
        for (const auto& loop : *loops_) {
            loop->call([loop = loop.get(), function, latch] {
                function(*loop, [latch] { latch->countDown(); });
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
    const asio::ip::tcp::endpoint endpoint_;
    asio::io_context* const hostContext_ = nullptr;
    bool helpHost_ = false;  // nobody runs hostContext_
    std::mutex mutex_;       // start and stop, one at a time
    std::vector<TransportHandler*> handlers_;
    std::mutex laterMutex_;
    std::vector<std::thread> later_;
    mutable std::mutex loopsMutex_;
    std::shared_ptr<const Loops> loops_ = std::make_shared<const Loops>();
    detail::RefPtr<detail::AsioListener> listener_;
    std::atomic<std::uint64_t> nextId_{0};
    std::atomic<std::uint16_t> port_{0};
};

}  // namespace pushhub

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/cpu_count.hpp>
#include <pushhub/detail/insist.hpp>
#include <pushhub/detail/latch.hpp>
#include <pushhub/detail/process.hpp>
#include <pushhub/detail/time.hpp>
#include <pushhub/detail/unique_function.hpp>
#include <pushhub/transport/asio_listener.hpp>
#include <pushhub/transport/transport.hpp>

namespace pushhub {

/// WebSocket over TCP on Asio. Meets the requirements in transport.hpp.
class AsioTransport {
public:
    /// Runs `options.loops` threads.
    explicit AsioTransport(const Options& options) : AsioTransport(options, nullptr, &makePlain) {}

    /// Runs on the host's io_context, which any number of threads may run. The context must outlive
    /// this object.
    AsioTransport(const Options& options, detail::net::io_context& context)
        : AsioTransport(options, &context, &makePlain) {}

    AsioTransport(const AsioTransport&) = delete;
    AsioTransport& operator=(const AsioTransport&) = delete;
    ~AsioTransport() { joinLater(false); }

    /// Offers handshakes to `handler`; the first handler opens the port. Throws std::system_error
    /// naming address and port if the port cannot be opened, and std::logic_error if another
    /// handler has the same paths, or on a loop while the listener closes.
    void start(TransportHandler& handler) {
        const bool here = onLoop();
        std::unique_lock<std::mutex> lock(mutex_);
        if (here && closing_) {
            throw std::logic_error(
                "pushhub: start() in a hook while the listener closes, expected another thread");
        }
        closed_.wait(lock, [this] { return !closing_; });
        for (const Member& member : members_) {
            if (!member.leaving) {
                detail::refuseSamePaths(*member.handler, handler);
            }
        }
        members_.reserve(members_.size() + 1);  // before there is something to undo
        const bool first = members_.empty();
        if (!first && process_ != detail::currentProcess()) {
            throw std::logic_error(
                "pushhub: start() in a child process of the one that opened the listener");
        }
        if (first) {
            open();
            process_ = detail::currentProcess();
        }
        members_.push_back({&handler, nullptr});
        try {
            for (const auto& loop : *loops_) {
                const auto place = EventLoop::makePlace(handler, members_.size());
                loop->callFirst([loop = loop.get(), place] { loop->attach(*place); });
            }
            if (first) {
                loops_->front()->call([listener = listener_] {
                    detail::insist([&] { listener->waitForClients(); });
                });
            }
        } catch (const std::bad_alloc&) {
            lock.unlock();
            stop(handler, std::chrono::milliseconds(0));
            throw;
        }
    }

    /// Closes the sessions of `handler` with 1001, aborts those left at the deadline, and closes
    /// the port with the last handler. On a loop (see `onLoop`) it does not wait for clients. Any
    /// thread, also while another one is in this function.
    void stop(TransportHandler& handler, std::chrono::milliseconds patience) {
        const bool here = onLoop();
        const auto deadline = detail::saturatedAdd(std::chrono::steady_clock::now(),
                                                   (std::max)(patience, patience.zero()));
        const auto givenUp = detail::saturatedAdd(deadline, hostPatience);
        const std::shared_ptr<const Loops> shared = this->loops();
        const Loops& loops = *shared;
        std::shared_ptr<Leaving> leaving;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto member = find(handler);
            if (member == members_.end()) {
                return;
            }
            if (!member->leaving) {
                member->leaving =
                    detail::insist([&] { return std::make_shared<Leaving>(loops.size()); });
                closing_ = std::all_of(members_.begin(), members_.end(),
                                       [](const Member& other) { return other.leaving; });
                if (closing_) {
                    detail::insist([&] {
                        return loops.front()->callFirst(
                            [listener = listener_] { listener->close(); });
                    });
                }
            }
            leaving = member->leaving;
        }
        if (here) {
            leaving->closed->open();  // whoever waits for clients goes on
            for (const auto& loop : loops) {
                if (loop->onLoop()) {
                    loop->occupy();
                }
            }
        } else {
            onEachLoop(loops, handler, leaving, &closeAll, &detail::AsioLoop::call<Step>);
            wait(loops, *leaving->closed, deadline);
        }
        onEachLoop(loops, handler, leaving, &leave, &detail::AsioLoop::callFirst<Step>);
        wait(loops, leaving->left, forEver, givenUp);
        if (remove(handler)) {
            close(loops, givenUp);
        } else if (here) {
            waitForClose(loops);
        }
    }

    /// While started, the address it listens on; otherwise the one from the options.
    std::string address() const {
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        return listener_ ? listener_->local().address().to_string() : options_.address;
    }

    /// While started, the port it listens on; otherwise the one from the options.
    std::uint16_t port() const noexcept { return port_; }

    /// Queues `frame` for all sessions of `handler` except those in `except`. Any thread, while
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

    /// Takes ownership of a connected TCP socket of another server in this process, such as
    /// `socket.release()` of Boost.Beast. `received` contains the bytes already read from it: the
    /// whole handshake request and any bytes after it. Any thread, while started; otherwise, or if
    /// the client has gone, the socket is closed.
    void adopt(detail::NativeSocket socket, std::string received) {
        const auto handle = std::make_shared<detail::SocketHandle>(socket);
        const std::lock_guard<std::mutex> lock(loopsMutex_);
        if (listener_) {
            loops_->front()->call(
                [listener = listener_, handle, received = std::move(received)]() mutable {
                    listener->adopt(*handle, std::move(received));
                });
        }
    }

    /// True on a thread that a `stop` on another thread would wait for: in a hook, or in any
    /// handler of the host's io_context.
    bool onLoop() const noexcept {
        if (hostContext_ && hostContext_->get_executor().running_in_this_thread()) {
            return true;
        }
        const auto running = loops();
        return std::any_of(running->begin(), running->end(),
                           [](const auto& loop) { return loop->onLoop(); });
    }

    /// Calls `function` on another thread, which the destructor joins.
    void later(detail::UniqueFunction<void()> function) {
        joinLater(true);
        const std::lock_guard<std::mutex> lock(laterMutex_);
        Later& added = later_.emplace_back();
        try {
            added.thread =
                std::thread([function = std::move(function), done = added.done]() mutable {
                    function();
                    function = nullptr;
                    *done = true;
                });
        } catch (...) {
            later_.pop_back();
            throw;
        }
    }

protected:
    /// Uses another connection type, derived from `detail::AsioConnection`. Without a context it
    /// runs its own threads.
    AsioTransport(const Options& options, detail::net::io_context* context,
                  detail::MakeConnection makeConnection)
        : options_(options),
          endpoint_(parseEndpoint(options)),
          makeConnection_(std::move(makeConnection)),
          hostContext_(context),
          port_(options.port) {}

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
        if (options_.listenSocket >= 0) {
            return "option listenSocket, descriptor " + std::to_string(options_.listenSocket) +
                   ", expected a TCP socket that listens";
        }
        const bool v6 = endpoint_.protocol() == detail::Tcp::v6();
        return (v6 ? "[" + options_.address + "]" : options_.address) + ":" +
               std::to_string(endpoint_.port());
    }

    // A thread that is not done may wait for the caller.
    void joinLater(bool onlyDone) {
        std::vector<Later> ending;
        {
            const std::lock_guard<std::mutex> lock(laterMutex_);
            const auto begin =
                std::stable_partition(later_.begin(), later_.end(),
                                      [&](const Later& later) { return onlyDone && !*later.done; });
            ending.assign(std::move_iterator(begin), std::move_iterator(later_.end()));
            later_.erase(begin, later_.end());
        }
        for (Later& later : ending) {
            if (later.thread.get_id() == std::this_thread::get_id()) {
                later.thread.detach();  // in a hook, on the way to its end
            } else {
                later.thread.join();
            }
        }
    }

    void open() {
        Loops loops;
        if (hostContext_) {
            loops.push_back(detail::makeRef<detail::AsioLoop>(options_, *hostContext_));
        } else {
            const unsigned count = options_.loops > 0 ? options_.loops : detail::usableCpus();
            for (unsigned i = 0; i < count; ++i) {
                loops.push_back(detail::makeRef<detail::AsioLoop>(options_, count));
            }
        }
        auto listener =
            detail::makeRef<detail::AsioListener>(loops, options_, nextId_, makeConnection_);
        try {
            listener->open(endpoint_);
            port_ = listener->local().port();
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

    // What a hook has put off.
    struct Later {
        std::thread thread;
        std::shared_ptr<std::atomic<bool>> done = std::make_shared<std::atomic<bool>>(false);
    };

    // A handler that leaves: each loop counts down when the sessions have gone, and when all has.
    struct Leaving {
        explicit Leaving(std::size_t loops)
            : closed(std::make_shared<detail::Latch>(loops)), left(loops), hasLeft(loops) {}

        const std::shared_ptr<detail::Latch> closed;
        detail::Latch left;
        std::vector<std::atomic<bool>> hasLeft;  // by loop; then the handler may be no more
    };
    struct Member {
        TransportHandler* handler;
        std::shared_ptr<Leaving> leaving;
    };

    std::vector<Member>::iterator find(const TransportHandler& handler) {
        return std::find_if(members_.begin(), members_.end(),
                            [&](const Member& member) { return member.handler == &handler; });
    }

    // True if it was the last one, and this thread removed it.
    bool remove(const TransportHandler& handler) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto member = find(handler);
        if (member == members_.end()) {
            return false;
        }
        members_.erase(member);
        return members_.empty();
    }

    // What a loop does for a handler that leaves. A function object of one type, and no lambdas,
    // since each of those would be compiled with a path of its own to the loops.
    struct Step {
        void (*function)(const Step&);
        detail::AsioLoop* loop;
        std::size_t index;
        TransportHandler* handler;
        std::shared_ptr<Leaving> leaving;

        void operator()() const {
            if (!leaving->hasLeft[index]) {
                function(*this);
            }
        }
    };

    static void closeAll(const Step& step) {
        step.loop->closeAll(*step.handler, step.leaving->closed);
    }
    static void leave(const Step& step) {
        step.loop->leave(*step.handler);
        if (!step.leaving->hasLeft[step.index].exchange(true)) {
            step.leaving->left.countDown();
        }
    }

    static void onEachLoop(const Loops& loops, TransportHandler& handler,
                           const std::shared_ptr<Leaving>& leaving, void (*function)(const Step&),
                           bool (detail::AsioLoop::*call)(Step)) {
        for (std::size_t i = 0; i < loops.size(); ++i) {
            detail::insist([&] {
                return (*loops[i].*call)({function, loops[i].get(), i, &handler, leaving});
            });
        }
    }

    // Ends the loops; nobody is left on them.
    void close(const Loops& loops, std::chrono::steady_clock::time_point givenUp) {
        const auto finished =
            detail::insist([&] { return std::make_shared<detail::Latch>(loops.size()); });
        for (const auto& loop : loops) {
            detail::insist([&] {
                return loop->callFirst([loop = loop.get(), finished] {
                    loop->finish();
                    finished->countDown();
                });
            });
        }
        if (hostContext_) {
            wait(loops, *finished, forEver, givenUp);
            const auto& loop = loops.front();
            const bool here = onLoop();  // then the handlers that are left come after this one
            while (!here && waitingHere_ == 0 && !loop->quiet() && !loop->isDeserted() &&
                   std::chrono::steady_clock::now() < givenUp) {
                std::this_thread::sleep_for(pause);
            }
        } else {
            for (const auto& loop : loops) {
                loop->join();
            }
        }
        setListener(nullptr);
        detail::insist([this] { setLoops({}); });
        const std::lock_guard<std::mutex> lock(mutex_);
        port_ = options_.port;
        closing_ = false;
        closed_.notify_all();
    }

    // True if the loops were done before the deadline. Loops of threads of their own come to it,
    // but for the one that is in the hook that waits here. A host's comes to it when the host does;
    // if that has left it, or has had enough time, this thread stands in.
    bool wait(const Loops& loops, detail::Latch& latch,
              std::chrono::steady_clock::time_point deadline,
              std::chrono::steady_clock::time_point givenUp = forEver) {
        const bool here = onLoop();
        if (!hostContext_ && !here) {
            return latch.waitUntil(deadline);
        }
        for (;;) {
            standIn(loops, here || std::chrono::steady_clock::now() >= givenUp);
            const auto now = std::chrono::steady_clock::now();
            if (latch.waitUntil((std::min)(deadline, now + pause))) {
                return true;
            }
            if (now >= deadline) {
                return false;
            }
        }
    }

    // What the loops cannot do themselves: one is in the hook that waits here, or is a host's that
    // has left it, or that is not waited for.
    void standIn(const Loops& loops, bool forHost) {
        for (const auto& loop : loops) {
            if (loop->onLoop()) {
                loop->help();
            } else if (hostContext_ && (forHost || loop->isDeserted())) {
                loop->drive(&detail::AsioConnection::visit);
            }
        }
    }

    // Another thread closes the listener, for which it may need the loop that waits here.
    void waitForClose(const Loops& loops) {
        ++waitingHere_;
        std::unique_lock<std::mutex> lock(mutex_);
        while (closing_ && members_.empty()) {
            lock.unlock();
            standIn(loops, true);
            lock.lock();
            closed_.wait_for(lock, pause, [this] { return !closing_; });
        }
        --waitingHere_;
    }

    static constexpr auto forEver = (std::chrono::steady_clock::time_point::max)();
    static constexpr std::chrono::milliseconds pause{1};

    // How long beyond the deadline a host's io_context may take before this thread does the work.
    static constexpr std::chrono::seconds hostPatience{5};

    const Options options_;
    const detail::Tcp::endpoint endpoint_;
    const detail::MakeConnection makeConnection_;
    detail::net::io_context* const hostContext_;
    std::mutex mutex_;  // of the next four; nobody waits for a loop with it
    std::vector<Member> members_;
    bool closing_ = false;  // the last handler leaves
    long process_ = 0;      // that opened the listener
    std::condition_variable closed_;
    std::atomic<unsigned> waitingHere_{0};  // on loops, until another thread has closed
    std::mutex laterMutex_;
    std::vector<Later> later_;
    mutable std::mutex loopsMutex_;  // for readers of the next two
    std::shared_ptr<const Loops> loops_ = std::make_shared<const Loops>();
    detail::RefPtr<detail::AsioListener> listener_;
    std::atomic<std::uint64_t> nextId_{0};
    std::atomic<std::uint16_t> port_;
};

}  // namespace pushhub

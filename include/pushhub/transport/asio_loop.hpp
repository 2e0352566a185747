#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/handler_memory.hpp>
#include <pushhub/detail/insist.hpp>
#include <pushhub/transport/asio_net.hpp>
#include <pushhub/transport/event_loop.hpp>

namespace pushhub::detail {

class AsioLoop;

/// Completion handler of every asynchronous operation here: calls a member function of an object,
/// which it keeps, in turn with everything else of a loop. One type, so that a host compiles Asio's
/// operations once.
class AsioHandler {
public:
    using allocator_type = HandlerAllocator<char>;

    /// `(object.*Function)()`, on `loop`. The operation lives in `memory`, if there is one.
    template <auto Function, class Object>
    static AsioHandler of(AsioLoop& loop, Object& object, HandlerMemory* memory = nullptr) {
        static constexpr Target target{
            [](void* self) { (static_cast<Object*>(self)->*Function)(); },
            [](void* self) { static_cast<Object*>(self)->release(); }};
        object.retain();
        return AsioHandler(loop, &object, target, memory);
    }

    AsioHandler(AsioHandler&& other) noexcept
        : loop_(std::move(other.loop_)),
          object_(other.object_),
          target_(other.target_),
          memory_(other.memory_) {}
    AsioHandler& operator=(AsioHandler&&) = delete;
    ~AsioHandler();

    allocator_type get_allocator() const noexcept { return allocator_type(memory_); }

    // What failed shows when the socket is used.
    void operator()(const NetError& = {});

    void call() { target_->call(object_); }

private:
    struct Target {
        void (*call)(void* object);
        void (*release)(void* object);
    };

    AsioHandler(AsioLoop& loop, void* object, const Target& target, HandlerMemory* memory);

    RefPtr<AsioLoop> loop_;
    void* object_;
    const Target* target_;
    HandlerMemory* memory_;
};

/// An event loop on Asio: a thread with its own io_context, or one handler at a time on whichever
/// threads run the host's.
class AsioLoop final : public EventLoop {
public:
    /// Its own io_context, which `startThread` runs.
    AsioLoop(const Options& listenerOptions, unsigned loopCount)
        : EventLoop(listenerOptions, loopCount),
          own_(std::make_unique<net::io_context>(1)),
          context_(*own_),
          work_(context_.get_executor()),
          tickTimer_(std::in_place, context_) {}

    /// On the host's io_context, which the host runs.
    AsioLoop(const Options& listenerOptions, net::io_context& context)
        : EventLoop(listenerOptions, 1), context_(context), tickTimer_(std::in_place, context_) {}

    net::io_context& context() noexcept { return context_; }
    std::array<char, 64 * 1024>& readBuffer() noexcept { return readBuffer_; }

    /// Something that all connections of this loop share, of one type. Made on first use.
    template <class T>
    T& shared() {
        if (!shared_) {
            shared_ = std::make_shared<T>();
        }
        return *static_cast<T*>(shared_.get());
    }

    bool onLoop() const noexcept override { return runner_ == std::this_thread::get_id(); }

    void startThread() {
        thread_ = std::thread([self = RefPtr<AsioLoop>(this)] {
            self->runner_ = std::this_thread::get_id();
            self->context_.run();
            self->runner_ = std::thread::id();
            self->own_.reset();
            const std::lock_guard<std::mutex> lock(self->endMutex_);
            self->ended_ = true;
            self->mayJoin_.notify_all();
        });
    }

    bool hasThread() const noexcept { return thread_.joinable(); }

    /// Takes a new connection on, from which `received` was read already. Any thread.
    void adopt(RefPtr<Connection> connection, std::string received,
               void (*start)(Connection&, std::string)) {
        countConnection();
        auto begin = [this, connection = std::move(connection), received = std::move(received),
                      start]() mutable {
            if (!tickTimer_) {
                discountConnection();  // the loop has finished
                return;
            }
            add(*connection);
            connection->orCut([&] { start(*connection, std::move(received)); });
        };
        // Behind what was submitted: a handler that was started before this client came is there.
        if (onLoop() && idle()) {
            begin();
            return;
        }
        bool kept = false;
        try {
            kept = call(std::move(begin));
        } catch (const std::bad_alloc&) {
            discountConnection();
            throw;
        }
        if (!kept) {
            discountConnection();
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

    /// This thread, in a hook, waits for something; until the hook returns nobody waits for it.
    void occupy() {
        const std::lock_guard<std::mutex> lock(endMutex_);
        occupied_ = true;
        mayJoin_.notify_all();
    }

    /// Waits for the end of the thread, after `finish`; one that is occupied ends by itself.
    void join() {
        if (!thread_.joinable()) {
            own_.reset();
            return;
        }
        std::unique_lock<std::mutex> lock(endMutex_);
        mayJoin_.wait(lock, [this] { return ended_ || occupied_; });
        if (ended_) {
            lock.unlock();
            thread_.join();
        } else {
            thread_.detach();
        }
    }

    /// True if the host's threads have left this loop for good, as far as can be seen from the
    /// calling thread: their io_context is stopped, or they have not come to it yet, or the calling
    /// thread was the only one and does something else now.
    bool isDeserted() const noexcept {
        const std::thread::id runner = hostRunner_;
        return context_.stopped() || runner == std::thread::id() ||
               (runner == std::this_thread::get_id() && !severalRunners_ &&
                !context_.get_executor().running_in_this_thread());
    }

    /// Does on this thread what the host's would do, unless one of them has its turn: all that
    /// waits, then `visit` for each connection.
    void drive(void (*visit)(Connection&)) {
        {
            const std::lock_guard<std::mutex> lock(turnMutex_);
            if (inTurn_) {
                return;
            }
            visit_ = visit;
        }
        runInTurn(AsioHandler::of<&AsioLoop::serve>(*this, *this));
    }

private:
    friend class AsioHandler;

    void run(AsioHandler&& handler) {
        if (own_) {
            callNow(std::move(handler));
        } else {
            const std::thread::id self = std::this_thread::get_id();
            if (hostRunner_ != self) {
                severalRunners_ = hostRunner_ != std::thread::id();
                hostRunner_ = self;
            }
            runInTurn(std::move(handler));
        }
    }

    // On the host's threads, like a strand. One of Asio's needs memory for each handler, and ends
    // the process if there is none to let those run that wait.
    void runInTurn(AsioHandler&& handler) {
        const RefPtr<AsioLoop> self(this);  // the last handler may have the last reference
        if (!insist([&] { return takeTurn(handler); })) {
            return;  // the thread whose turn it is comes to it
        }
        callNow(std::move(handler));
        while (hasNext()) {
            for (AsioHandler& next : turn_) {
                callNow(std::move(next));
            }
            turn_.clear();
        }
    }

    // False if another thread has its turn, and then the handler waits. Throws std::bad_alloc if
    // there is no room to wait in; who tries again has the turn when the other one is done.
    bool takeTurn(AsioHandler& handler) {
        const std::lock_guard<std::mutex> lock(turnMutex_);
        if (inTurn_) {
            waiting_.push_back(std::move(handler));
            return false;
        }
        inTurn_ = true;
        runner_ = std::this_thread::get_id();
        return true;
    }

    void serve() {
        drain();
        forEachConnection(visit_);
    }

    void callNow(AsioHandler&& waiting) {
        AsioHandler handler = std::move(waiting);  // destroyed before the next one runs
        ++worked_;
        if (asleep_) {
            wakeUpFor(handler);
        } else {
            handler.call();
        }
        if (occupied_) {
            occupied_ = false;
        }
        afterEvents();
    }

    void wakeUpFor(AsioHandler& handler) {
        const TimePoint next = nextTimers(true);  // before the call: if that takes long, it shows
        handler.call();
        if (worked_ > 0 && tickTimer_) {  // and it was no tick
            asleep_ = false;
            waitForTick(next);
        }
    }

    bool hasNext() noexcept {
        const std::lock_guard<std::mutex> lock(turnMutex_);
        turn_.swap(waiting_);
        inTurn_ = !turn_.empty();
        if (!inTurn_) {
            runner_ = std::thread::id();
        }
        return inTurn_;
    }

    void wake() override {
        insist([this] {
            net::post(context_, AsioHandler::of<&AsioLoop::drain>(*this, *this, &wakeMemory_));
        });
    }

    TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }

    void waitForTick(TimePoint time) {
        tickTimer_->expires_at(time);  // ends an earlier wait
        insist([this] {
            tickTimer_->async_wait(AsioHandler::of<&AsioLoop::onTick>(*this, *this, &tickMemory_));
        });
        ++waits_;
    }

    // The loop ticks while it works. When it has not for a tick, it sleeps until there is something
    // to do: then to arm a timer never concerns Asio, and an idle loop does not wake up in vain.
    void onTick() {
        if (--waits_ > 0 || !tickTimer_) {
            --worked_;  // a wait that has made way for another one
            return;
        }
        runTimers();
        asleep_ = worked_ == 1;  // by this call alone
        worked_ = 0;
        const TimePoint next = nextTimers(!asleep_);
        if (tickTimer_ && next != (TimePoint::max)()) {
            waitForTick(next);
        }
    }

    std::unique_ptr<net::io_context> own_;
    net::io_context& context_;
    std::optional<net::executor_work_guard<Executor>> work_;
    std::optional<Timer> tickTimer_;
    unsigned waits_ = 0;   // of tickTimer_, those that have made way for another one included
    unsigned worked_ = 0;  // handlers since the last tick
    bool asleep_ = true;   // until the next deadline
    std::atomic<std::size_t> handlers_{0};  // one can wait until Asio has none of this loop left
    std::atomic<std::thread::id> runner_{};
    std::atomic<std::thread::id> hostRunner_{};  // the latest of the host's threads
    std::atomic<bool> severalRunners_{false};
    std::thread thread_;
    std::mutex endMutex_;  // of the next three
    std::condition_variable mayJoin_;
    bool ended_ = false;  // the thread
    std::atomic<bool> occupied_{false};
    std::mutex turnMutex_;              // of the next two: where the host's threads meet
    bool inTurn_ = false;               // one of them runs handlers
    std::vector<AsioHandler> waiting_;  // for their turn
    std::vector<AsioHandler> turn_;     // of the thread that has it
    void (*visit_)(Connection&) = nullptr;
    HandlerMemory wakeMemory_;
    HandlerMemory tickMemory_;
    std::shared_ptr<void> shared_;
    std::array<char, 64 * 1024> readBuffer_;  // of whichever connection is being read
};

inline AsioHandler::AsioHandler(AsioLoop& loop, void* object, const Target& target,
                                HandlerMemory* memory)
    : loop_(&loop), object_(object), target_(&target), memory_(memory) {
    ++loop.handlers_;
}

inline AsioHandler::~AsioHandler() {
    if (loop_) {
        target_->release(object_);
        --loop_->handlers_;
    }
}

inline void AsioHandler::operator()(const NetError&) {
    loop_->run(std::move(*this));
}

}  // namespace pushhub::detail

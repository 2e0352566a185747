#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/detail/task.hpp>
#include <pushhub/frame.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/options.hpp>
#include <pushhub/protocol/engine.hpp>
#include <pushhub/transport/broadcast_log.hpp>
#include <pushhub/transport/send_queue.hpp>
#include <pushhub/transport/timer_wheel.hpp>
#include <pushhub/transport/transport_handler.hpp>

namespace pushhub {

/// One hub's share of one event loop. It outlives the hub as long as a session refers to it.
class Channel : public detail::RefCounted<Channel> {
public:
    Channel(TransportHandler& owner, const Options& hubOptions)
        : handler(&owner), options(hubOptions) {}
    virtual ~Channel() = default;

    TransportHandler* handler;
    const Options options;
    BroadcastLog log;

    /// Figures of this channel's sessions. Those of the hub are brought up to date when the loop
    /// has done a piece of work.
    struct Figures {
        std::uint64_t messagesIn = 0;
        std::uint64_t bytesIn = 0;
        std::uint64_t messagesOut = 0;
        std::uint64_t bytesOut = 0;
        std::uint64_t queuedBytes = 0;
        std::uint64_t slowSessions = 0;
    };
    Figures figures;
    const std::shared_ptr<detail::HubCounters> hubCounters = handler->counters();
};

/// Work that any thread hands to an event loop, done there in order.
struct Command {
    enum class Kind : std::uint8_t { send, sendAll, close, call };

    Kind kind = Kind::call;
    ClosedBy closedBy = ClosedBy::host;               // close
    OverflowPolicy whenFull = OverflowPolicy::close;  // send, sendAll
    std::error_code error;                            // close
    detail::RefPtr<Connection> connection;            // send, close
    FramePtr frame;                                   // send, sendAll, close (the close frame)
    TransportHandler* handler = nullptr;              // sendAll
    detail::RefPtr<ExceptList> except;                // sendAll
    detail::TaskPtr task;                             // call

    ~Command();
    Command();
    Command(Command&&) noexcept;
    Command& operator=(Command&&) noexcept;
};

/// Engines that no connection needs at the moment. Not thread-safe.
class EnginePool {
public:
    std::unique_ptr<protocol::Engine> take() {
        if (spare_.empty()) {
            return std::make_unique<protocol::Engine>();
        }
        auto engine = std::move(spare_.back());
        spare_.pop_back();
        return engine;
    }

    void give(std::unique_ptr<protocol::Engine> engine) {
        if (spare_.size() < maxSpare) {
            engine->reset();
            spare_.push_back(std::move(engine));
        }
    }

private:
    static constexpr std::size_t maxSpare = 16;
    std::vector<std::unique_ptr<protocol::Engine>> spare_;
};

/// What a connection needs of the event loop it lives on.
class LoopContext : public detail::RefCounted<LoopContext> {
public:
    /// Length of a tick of `timers`.
    static constexpr std::chrono::milliseconds tick{50};

    /// Queues work, in order; false if the loop has ended, and then nothing is kept. Throws
    /// std::bad_alloc, and then nothing is queued. Any thread.
    virtual bool submit(Command* commands, std::size_t count) = 0;
    bool submit(Command command);

    /// Does what was submitted so far, ahead of its turn, unless it is being done. The loop's
    /// thread.
    virtual void catchUp() = 0;

    /// Calls `takeTurn` of the connection once other connections had theirs. The loop's thread.
    virtual void giveTurn(Connection& connection) = 0;

    /// True on the thread that runs the loop, while it does.
    virtual bool onLoop() const noexcept = 0;

    // The rest belongs to the loop's thread.

    virtual std::chrono::steady_clock::time_point now() const noexcept = 0;

    virtual const Options& listenerOptions() const noexcept = 0;

    /// Finds the handler whose handshake or page this is.
    virtual void routeHandshake(Connection& connection, HttpRequest request) = 0;

    /// Tells the connection's handler of a client that is refused; without one the handler whose
    /// path was requested, or else each of them. `status` as in `Refusal`. `request` may be null.
    virtual void refused(const Connection& connection, int status, std::string_view reason,
                         const HttpRequest* request = nullptr) noexcept = 0;

    virtual void connectionOpened(Connection& connection) = 0;
    virtual void connectionLeft(Connection& connection) noexcept = 0;   // its channel
    virtual void connectionEnded(Connection& connection) noexcept = 0;  // the loop

    void armTimer(TimerNode& node, std::chrono::milliseconds time) {
        const auto ticks = (time + tick - std::chrono::milliseconds(1)) / tick;
        timers_.arm(node, static_cast<std::uint32_t>(ticks) + begunTicks_);
        timersArmed();
    }
    void disarmTimer(TimerNode& node) noexcept { timers_.disarm(node); }

    SendQueue::Pool& queuePool() noexcept { return queuePool_; }
    EnginePool& engines() noexcept { return engines_; }

    virtual ~LoopContext() = default;

protected:
    /// Makes sure that ticks come while a timer is armed.
    virtual void timersArmed() = 0;

    /// 1 where time goes on between ticks: the current one has begun, and a timer is not early.
    std::uint32_t begunTicks_ = 0;

    SendQueue::Pool queuePool_;
    EnginePool engines_;
    TimerWheel timers_;
};

}  // namespace pushhub

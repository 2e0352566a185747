#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/detail/task.hpp>
#include <pushhub/detail/time.hpp>
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

    /// Figures of this channel's sessions. Those of the hub are updated when the loop has done a
    /// piece of work.
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

/// Engines not currently used by any connection. Not thread-safe.
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

/// The services of its event loop that a connection needs.
class LoopContext : public detail::RefCounted<LoopContext> {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    /// Deadlines pass at the end of a tick, so up to a tick late.
    static constexpr std::chrono::milliseconds tick{50};

    /// Queues work, in order; false if the loop has ended, and then nothing is kept. Throws
    /// std::bad_alloc, and then nothing is queued. Any thread.
    virtual bool submit(Command* commands, std::size_t count) = 0;
    bool submit(Command command);

    /// Does what was submitted so far, ahead of its turn, unless it is being done. The loop's
    /// thread.
    virtual void catchUp() = 0;

    /// Calls `takeTurn` of the connection after other connections had their turn. The loop's
    /// thread.
    virtual void giveTurn(Connection& connection) = 0;

    /// True on the thread that runs the loop, while it does.
    virtual bool onLoop() const noexcept = 0;

    // The rest belongs to the loop's thread.

    virtual TimePoint now() const noexcept = 0;

    /// A time that advances like `now` and is set forward and back with the system clock: for
    /// deadlines at a time of day.
    virtual TimePoint wallTime() const noexcept {
        return TimePoint(std::chrono::duration_cast<TimePoint::duration>(
            std::chrono::system_clock::now().time_since_epoch()));
    }

    /// The time for which the loop has just been blocked, by a hook or with the whole process, and
    /// did not read from clients; 0 if it was not.
    virtual TimePoint::duration heldUp(TimePoint) const noexcept { return {}; }

    /// Counts the sessions for which the loop must watch the system clock.
    virtual void countExpiring(int) noexcept {}

    virtual const Options& listenerOptions() const noexcept = 0;

    /// False if no handler looks at plain HTTP requests, so that their bodies need not be read.
    virtual bool takesHttp() const noexcept = 0;

    /// Finds the handler of this handshake or page.
    virtual void routeHandshake(Connection& connection, HttpRequest request) = 0;

    /// Reports a refused client to the connection's handler; without one to the handler whose path
    /// was requested, or else to all handlers. `status` as in `Refusal`. `request` may be null.
    virtual void refused(const Connection& connection, int status, std::string_view reason,
                         const HttpRequest* request = nullptr) noexcept = 0;

    virtual void connectionOpened(Connection& connection) = 0;
    virtual void connectionLeft(Connection& connection) noexcept = 0;   // its channel
    virtual void connectionEnded(Connection& connection) noexcept = 0;  // the loop

    /// Lets `node` expire at that time, never before it. A deadline that is a year away or more
    /// expires in a year.
    void armTimer(TimerNode& node, TimePoint deadline) noexcept {
        constexpr auto farthest = std::chrono::hours(24 * 365);
        if (timers_.armed() == 0) {
            ticked_ = now();
            timers_.startAt(tickNumber(ticked_));
        }
        deadline = std::clamp(deadline, ticked_, ticked_ + farthest);
        timers_.arm(node, tickNumber(deadline + tick - TimePoint::duration(1)));
        node.extended = false;
    }
    void armTimer(TimerNode& node, std::chrono::milliseconds time) noexcept {
        armTimer(node, now() + time);
    }
    void disarmTimer(TimerNode& node) noexcept { timers_.disarm(node); }

    /// After the loop was blocked: lets an expired node expire again a little later, once for each
    /// time that it was armed. False if its time is over.
    bool extendTimer(TimerNode& node) noexcept {
        if (node.extended || now() >= lenientUntil_) {
            return false;
        }
        armTimer(node, lenientUntil_);
        node.extended = true;
        return true;
    }

    /// Number of the tick that a time is in; numbers wrap around. And when a tick begins that is
    /// less than 2^31 away.
    static std::uint32_t tickNumber(TimePoint time) noexcept {
        return static_cast<std::uint32_t>(time.time_since_epoch() / tick);
    }
    TimePoint tickBegin(std::uint32_t number) const noexcept {
        const TimePoint time = now();
        const auto ahead = static_cast<std::int32_t>(number - tickNumber(time));
        return TimePoint(time.time_since_epoch() / tick * tick) + ahead * tick;
    }

    SendQueue::Pool& queuePool() noexcept { return queuePool_; }
    EnginePool& engines() noexcept { return engines_; }

    virtual ~LoopContext() = default;

protected:
    SendQueue::Pool queuePool_;
    EnginePool engines_;
    TimerWheel timers_;
    TimePoint ticked_;        // up to where deadlines have expired, while there are some
    TimePoint lenientUntil_;  // nobody is cut for a deadline that passed while it was held up
};

}  // namespace pushhub

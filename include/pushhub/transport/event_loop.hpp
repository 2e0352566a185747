#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/latch.hpp>
#include <pushhub/transport/connection.hpp>

namespace pushhub {

/// An event loop without its operating system: the inbox that any thread writes to, batches,
/// broadcasts and timeouts. A transport derives from it and supplies the wake-up and the ticks.
///
/// Unless it says otherwise, a function belongs to the loop's thread.
class EventLoop : public LoopContext {
    struct HostedChannel;

public:
    /// Maximum time for which a broadcast may delay other work of the loop.
    static constexpr std::chrono::milliseconds slice{5};

    /// One of `loopCount` loops that share the sessions of a listener.
    EventLoop(const Options& listenerOptions, unsigned loopCount)
        : listenerOptions_(listenerOptions), loopCount_(loopCount) {}

    // Any thread ---------------------------------------------------------------------------

    using LoopContext::submit;
    bool submit(Command* commands, std::size_t count) override {
        return queue([&] {
            const std::size_t needed = inbox_.size() + count;
            if (needed > inbox_.capacity()) {
                inbox_.reserve((std::max)(needed, 2 * inbox_.capacity()));  // all of them, or none
            }
            for (std::size_t i = 0; i < count; ++i) {
                inbox_.push_back(std::move(commands[i]));
            }
        });
    }

    /// Queues a function.
    template <class Function>
    bool call(Function function) {
        Command command;
        command.task = detail::makeTask(std::move(function));
        return submit(std::move(command));
    }

    /// Queues a function of a handler's life before everything else, also before what a thread in
    /// `help` waits for.
    template <class Function>
    bool callFirst(Function function) {
        auto task = detail::makeTask(std::move(function));
        return queue([&] { urgent_.push_back(std::move(task)); });
    }

    /// True if no submitted work is pending.
    bool idle() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return inbox_.empty() && urgent_.empty();
    }

    /// Number of connections, in any state.
    std::size_t load() const noexcept { return load_.load(std::memory_order_relaxed); }

    // The loop's thread --------------------------------------------------------------------
    // What happens once in the life of a hub is cold, so that g++ inlines what happens all the
    // time.

    const Options& listenerOptions() const noexcept override { return listenerOptions_; }

    /// Does all pending work, then as much of the broadcasts as fits into a slice.
    void drain() {
        work(true);
        takeTurns();
        broadcast();
    }

    /// Runs functions queued by `callFirst`, in the middle of the loop's other work: for a hook
    /// that waits for other loops, which may wait for this one.
    void help() {
        const bool before = std::exchange(helping_, true);
        workUrgent();
        helping_ = before;
    }

    // A `drain` that is on its way stays so: the next `submit` must not wake the loop meanwhile.
    void catchUp() override { work(false); }

    void giveTurn(Connection& connection) override {
        turns_.emplace_back(&connection);
        drainAgain();
    }

    /// A handler's place on a loop, with room for the other handlers there.
    class Place {
        friend class EventLoop;
        std::vector<detail::RefPtr<HostedChannel>> channels_;
    };

    /// A place for one of `handlers`. Any thread: so what can fail has not reached the loop.
    static std::shared_ptr<Place> makePlace(TransportHandler& handler, std::size_t handlers) {
        auto place = std::make_shared<Place>();
        place->channels_.reserve(handlers);
        place->channels_.push_back(detail::makeRef<HostedChannel>(handler, handler.options()));
        return place;
    }

    /// Adds a handler: from now on handshakes are offered to it, before those whose paths are less
    /// specific. Needs no memory.
    [[gnu::cold]] void attach(Place& place) noexcept {
        auto& channels = place.channels_;
        channels.insert(channels.begin(), channels_.begin(), channels_.end());
        const auto added = channels.end() - 1;
        const auto isMoreSpecific = [](const auto& a, const auto& b) {
            return a->handler->path().isMoreSpecificThan(b->handler->path());
        };
        std::rotate(std::lower_bound(channels.begin(), added, *added, isMoreSpecific), added,
                    channels.end());
        channels_.swap(channels);
    }

    /// Closes all sessions of a handler with 1001 and refuses its pending handshakes; counts `done`
    /// down when the last session has ended.
    [[gnu::cold]] void closeAll(const TransportHandler& handler,
                                std::shared_ptr<detail::Latch> done) {
        const detail::RefPtr<HostedChannel> channel(find(&handler));
        if (!channel) {
            done->countDown();
            return;
        }
        refuseUndecided(*channel);
        const auto spread = channel->options.stopSpread;
        const auto count = static_cast<std::int64_t>(channel->sessions.size());
        std::int64_t i = 0;
        forEach(channel->sessions, [&](Connection& connection) {
            if (connection.leaving()) {
                return;  // by an earlier round, or by itself
            }
            const auto share = spread * i++ / count;
            connection.orCut([&] {
                if (share.count() > 0) {
                    connection.leaveAfter(share);
                } else {
                    connection.sayGoodBye();
                }
            });
        });
        channel->whenEmpty = std::move(done);
        notifyIfEmpty(*channel);
    }

    /// Immediately ends the remaining sessions of a handler here, and removes it. Needs no memory.
    /// May be called in the middle of the loop's other work, such as a hook of that handler.
    [[gnu::cold]] void leave(const TransportHandler& handler) noexcept {
        const detail::RefPtr<HostedChannel> channel(find(&handler));
        if (!channel) {
            return;
        }
        ++leaves_;
        refuseUndecided(*channel);
        while (Connection* session = channel->sessions.front()) {
            const detail::RefPtr<Connection> connection(session);
            connection->cutOff();
        }
        notifyIfEmpty(*channel);
        const auto found = std::find(channels_.begin(), channels_.end(), channel);
        if (found != channels_.end()) {  // unless a hook came here meanwhile
            channels_.erase(found);
            channel->handler = nullptr;
            channel->nextLeft = std::move(left_);
            left_ = channel;
        }
        if (!helping_) {
            releaseHooks();
        }
    }

    /// Reports an error that concerns no session to every handler.
    void report(std::error_code error, std::string_view what) noexcept {
        forEachHandler([&](TransportHandler& handler) { handler.onError(nullptr, error, what); });
    }

    void refused(const Connection& connection, int status, std::string_view reason,
                 const HttpRequest* request = nullptr) noexcept override {
        try {
            const std::string address = connection.remoteAddress();
            const Refusal refusal{status, reason, address, request};
            TransportHandler* owner = nullptr;
            if (const Channel* channel = connection.channel()) {
                owner = channel->handler;
            } else if (request) {
                owner = ownerOf(*request);
            }
            if (owner) {
                owner->onRefused(refusal);
            } else if (!connection.channel()) {
                refused(refusal);
            }
        } catch (const std::bad_alloc&) {
            report(std::make_error_code(std::errc::not_enough_memory), "a refusal is not logged");
        }
    }

    /// Reports a refused client to every handler.
    void refused(const Refusal& refusal) noexcept {
        forEachHandler([&](TransportHandler& handler) { handler.onRefused(refusal); });
    }

    /// A client's TLS handshake has failed: reported to every handler, because the client's handler
    /// is not known.
    void tlsFailed(const Connection& connection, std::string_view reason) noexcept {
        countTlsFailed();
        connectionFailed(connection, "TLS handshake failed", reason);
    }

    /// The same, with a separate report of the refusal.
    void countTlsFailed() noexcept {
        for (const auto& channel : channels_) {
            channel->hubCounters->tlsFailed.fetch_add(1, std::memory_order_relaxed);
        }
    }

    /// A trusted proxy has sent no header of the PROXY protocol, or a malformed one.
    void proxyHeaderRefused(const Connection& connection, std::string_view reason) noexcept {
        connectionFailed(connection, "PROXY header refused", reason);
    }

    bool takesHttp() const noexcept override {
        return std::any_of(channels_.begin(), channels_.end(),
                           [](const auto& channel) { return channel->handler->takesHttp(); });
    }

    void routeHandshake(Connection& connection, HttpRequest request) override {
        const protocol::UpgradeCheck check = protocol::checkUpgrade(request);
        if (check.status != 101) {
            if (protocol::isUpgradeRequest(request)) {
                refuse(connection, request, check.status, check.reason);
            } else {
                answerHttp(connection, request);
            }
            return;
        }
        const auto handshake = detail::makeRef<PendingHandshake>(connection, std::move(request));
        connection.setPendingHandshake(handshake);
        for (const auto& channel : channels_) {
            connection.setChannel(channel);
            if (channel->handler->onHandshake(*handshake)) {
                return;  // its hook may have removed a channel
            }
        }
        connection.setChannel(nullptr);
        handshake->reject({404, "no such endpoint\n"});
    }

    void connectionOpened(Connection& connection) override {
        others_.remove(connection);
        hosted(connection).sessions.pushBack(connection);
    }

    void connectionLeft(Connection& connection) noexcept override {
        HostedChannel& channel = hosted(connection);
        if (channel.cursor == &connection) {
            channel.cursor = List::next(connection);
        }
        channel.sessions.remove(connection);
        others_.pushBack(connection);
        emptied_ = emptied_ || channel.sessions.empty();
    }

    void connectionEnded(Connection& connection) noexcept override {
        others_.remove(connection);
        --load_;
        connection.release();  // taken by `add`
    }

    TimePoint::duration heldUp(TimePoint time) const noexcept override {
        if (timersDue_ < time - punctual) {
            return time - timersDue_;
        }
        return time < heldUpUntil_ + leniency ? heldUp_ : TimePoint::duration();
    }

    void countExpiring(int change) noexcept override {
        if (expiring_ == 0) {
            clockSeen_ = now();
            clockAhead_ = wallTime() - clockSeen_;
        }
        expiring_ += change;
    }

protected:
    /// Arranges one call of `drain` on the loop. Any thread.
    virtual void wake() = 0;

    /// A connection is on its way here, see `add`. Any thread.
    void countConnection() noexcept { ++load_; }
    /// The announced connection does not come. Any thread.
    void discountConnection() noexcept { --load_; }

    /// Starts with a new connection. The caller holds a reference while it works with it.
    void add(Connection& connection) {
        connection.retain();
        others_.pushBack(connection);
        connection.orCut([&] { connection.begin(); });
    }

    /// When `runTimers` must be called next: at the end of this tick if the loop has `worked` since
    /// the last time, so that delays are detected, otherwise at the next deadline;
    /// (TimePoint::max)() if there is none. Arming a timer does not make it earlier than the end of
    /// a tick. O(1) if it has worked.
    TimePoint nextTimers(bool worked) noexcept {
        const TimePoint due =
            worked ? TimePoint((now().time_since_epoch() / tick + 1) * tick) : nextDue();
        timersDue_ = (std::min)(timersDue_, due);  // one that has passed shows how late it is
        return timersDue_;
    }

    /// The next deadline, or the next check of the system clock.
    TimePoint nextDue() const noexcept {
        const auto next = timers_.next();
        const TimePoint due = next ? tickBegin(*next) : (TimePoint::max)();
        return expiring_ > 0 ? (std::min)(due, clockSeen_ + clockInterval) : due;
    }

    /// Runs all timers that are due.
    void runTimers() {
        const TimePoint time = now();
        noteLag(time);
        if (expiring_ > 0 && time >= clockSeen_ + clockInterval) {
            lookAtClock(time);
        }
        ticked_ = time;
        timers_.advance(tickNumber(time), [](TimerNode& node) {
            const detail::RefPtr<Connection> connection(static_cast<Connection*>(&node));
            connection->orCut([&] { connection->expired(); });
        });
    }

    /// Calls `function` for every connection; `function` may end it.
    template <class Function>
    void forEachConnection(Function function) {
        for (std::size_t i = 0; i < channels_.size(); ++i) {
            const detail::RefPtr<HostedChannel> channel = channels_[i];
            forEach(channel->sessions, function);
        }
        forEach(others_, function);
    }

    /// Must be called after any work of the loop, including `drain` and `runTimers`.
    void afterEvents() {
        if (left_) {
            releaseHooks();
        }
        for (std::size_t i = 0; i < channels_.size(); ++i) {
            if (publish(*channels_[i])) {
                relieve(*channels_[i]);
            }
        }
        if (!std::exchange(emptied_, false)) {
            return;
        }
        for (std::size_t i = 0; i < channels_.size(); ++i) {
            const detail::RefPtr<HostedChannel> channel = channels_[i];
            notifyIfEmpty(*channel);
        }
    }

    /// Ends every connection and accepts no more work. Later sends are refused; afterwards no other
    /// thread is inside `wake`.
    [[gnu::cold]] void shutdown() {
        forEach(others_, [](Connection& connection) { connection.abort(Errc::notRunning); });
        turns_.clear();
        std::vector<Command> left;
        std::vector<detail::TaskPtr> urgent;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ended_ = true;
            left.swap(inbox_);
            urgent.swap(urgent_);
        }
        while (wakers_ != 0) {
            std::this_thread::yield();
        }
    }

private:
    using List = detail::IntrusiveList<Connection, &Connection::links>;
    static constexpr std::size_t maxSpareCommands = 8 * 1024;
    static constexpr std::chrono::milliseconds punctual = 2 * tick;  // is what is no later
    static constexpr std::chrono::milliseconds leniency{1000};       // at most
    static constexpr std::chrono::milliseconds clockInterval{1000};
    static constexpr std::chrono::milliseconds clockStep{100};  // less is the clocks' drift

    struct HostedChannel final : Channel {
        using Channel::Channel;
        List sessions;
        Connection* cursor = nullptr;  // next to take the broadcasts of this round
        std::uint64_t roundEnd = 0;    // every session before the cursor has come this far
        bool inRound = false;
        Figures published;                                     // which the hub's counters have
        std::shared_ptr<detail::Latch> whenEmpty;              // set while the hub stops
        std::shared_ptr<const void> hooks = handler->hooks();  // one of them may run as it leaves
        detail::RefPtr<HostedChannel> nextLeft;

        // True if every session has all broadcasts.
        bool isUpToDate() const noexcept { return !inRound && roundEnd == log.end(); }
    };

    static HostedChannel& hosted(const Connection& connection) noexcept {
        return static_cast<HostedChannel&>(*connection.channel());
    }

    HostedChannel* find(const TransportHandler* handler) const noexcept {
        for (const auto& channel : channels_) {
            if (channel->handler == handler) {
                return channel.get();
            }
        }
        return nullptr;
    }

    TransportHandler* ownerOf(const HttpRequest& request) const {
        std::vector<std::string> params;
        for (const auto& channel : channels_) {
            if (channel->handler->path().match(request.path(), params)) {
                return channel->handler;
            }
        }
        return nullptr;
    }

    // The function may end the connection it is given, and no other; if a hook removes a handler,
    // the list is gone through again.
    template <class Function>
    void forEach(const List& list, Function function) {
        for (Connection* next = list.front(); next;) {
            const detail::RefPtr<Connection> connection(next);
            next = List::next(*connection);
            const std::uint64_t before = leaves_;
            function(*connection);
            if (before != leaves_) {
                next = list.front();
            }
        }
    }

    // The position behind `channel`, which was at `i` until a hook removed channels or added some.
    std::size_t positionBehind(const detail::RefPtr<HostedChannel>& channel,
                               std::size_t i) const noexcept {
        const auto found = std::find(channels_.begin(), channels_.end(), channel);
        return found == channels_.end() ? i
                                        : static_cast<std::size_t>(found - channels_.begin()) + 1;
    }

    // Calls `function` for every handler, which may run its hooks.
    template <class Function>
    void forEachHandler(Function function) {
        for (std::size_t i = 0; i < channels_.size();) {
            const detail::RefPtr<HostedChannel> channel = channels_[i];
            function(*channel->handler);
            i = positionBehind(channel, i);
        }
    }

    void connectionFailed(const Connection& connection, std::string_view event,
                          std::string_view reason) noexcept {
        forEachHandler([&](TransportHandler& handler) {
            handler.onConnectionFailed(connection, event, reason);
        });
    }

    [[gnu::cold]] void refuseUndecided(const HostedChannel& channel) {
        forEach(others_, [&](Connection& connection) {
            if (connection.channel() == &channel && connection.undecided()) {
                connection.orCut(
                    [&] { connection.rejectHandshake(unavailable("the service is stopping\n")); });
            }
        });
    }

    // Of handlers that have left, once none of their hooks runs any more.
    void releaseHooks() noexcept {
        while (left_) {
            const detail::RefPtr<HostedChannel> gone = std::move(left_);
            left_ = std::move(gone->nextLeft);
            gone->hooks.reset();
        }
    }

    // Appends to what is to be done, and makes sure that the loop comes to it; false if it has
    // ended. What `append` throws leaves everything as it was.
    template <class Append>
    bool queue(Append append) {
        bool first = false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (ended_) {
                return false;
            }
            append();
            first = !std::exchange(scheduled_, true);
            wakers_ += first ? 1 : 0;
        }
        if (first) {
            wake();
            --wakers_;
        }
        return true;
    }

    void work(bool draining) {
        if (std::exchange(inBatch_, true)) {
            return;  // there is more of the batch before what waits
        }
        bool urgent = false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            urgent = !urgent_.empty();
            batch_.swap(inbox_);
            scheduled_ = scheduled_ && !draining;
        }
        if (urgent) {
            workUrgent();
        }
        for (Command& command : batch_) {
            execute(command);
        }
        batch_.clear();
        if (batch_.capacity() > maxSpareCommands) {
            batch_.shrink_to_fit();
        }
        for (const detail::RefPtr<Connection>& connection : touched_) {
            connection->touched = false;
            connection->orCut([&] { connection->flush(); });
        }
        touched_.clear();
        inBatch_ = false;
    }

    void workUrgent() {
        std::vector<detail::TaskPtr> urgent;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            urgent.swap(urgent_);
        }
        for (const detail::TaskPtr& task : urgent) {
            (*task)();
        }
    }

    void execute(Command& command) {
        switch (command.kind) {
            case Command::Kind::send: {
                Connection& connection = *command.connection;
                connection.orCut([&] {
                    if (touched_.size() == touched_.capacity()) {
                        touched_.reserve(2 * touched_.size() + 16);  // before there is more to lose
                    }
                    connection.enqueue(std::move(command.frame), command.whenFull);
                    if (!std::exchange(connection.touched, true)) {
                        touched_.push_back(std::move(command.connection));
                    }
                });
                break;
            }
            case Command::Kind::sendAll:
                if (const detail::RefPtr<HostedChannel> channel{find(command.handler)}) {
                    try {
                        channel->log.append(command.frame, command.except, command.whenFull);
                    } catch (const std::bad_alloc&) {
                        giveToEach(*channel, command);
                    }
                }
                break;
            case Command::Kind::close:
                command.connection->orCut([&] {
                    command.connection->beginClose(*command.frame, command.closedBy, command.error);
                });
                break;
            case Command::Kind::call:
                try {
                    (*command.task)();
                } catch (const std::bad_alloc&) {
                    report(std::make_error_code(std::errc::not_enough_memory),
                           "some work of an event loop is lost");
                }
                break;
        }
    }

    // Not as part of a batch, since what a hook says in a turn may have to leave before its end.
    void takeTurns() {
        if (turns_.empty()) {
            return;
        }
        std::vector<detail::RefPtr<Connection>> turns;
        turns.swap(turns_);  // those that need another one get it in the next round
        for (const detail::RefPtr<Connection>& connection : turns) {
            connection->orCut([&] { connection->takeTurn(); });
        }
    }

    // A broadcast that the log has no memory for. A session that has none either is cut.
    [[gnu::cold]] void giveToEach(HostedChannel& channel, const Command& command) {
        const BroadcastLog::Entry entry{
            {command.frame, 0, command.frame->size(), 1}, command.except, command.whenFull};
        forEach(channel.sessions, [&](Connection& connection) {
            connection.orCut([&] { connection.takeUnlogged(entry); });
        });
    }

    // Brings the broadcasts to the sessions, round by round, until all are up to date or the
    // slice is used up; then the rest waits behind whatever else the loop has to do.
    void broadcast() {
        const auto isUpToDate = [](const auto& channel) { return channel->isUpToDate(); };
        if (std::all_of(channels_.begin(), channels_.end(), isUpToDate)) {
            return;  // mostly, and then the clock need not be read
        }
        const auto end = now() + slice;
        const std::uint64_t before = leaves_;
        for (std::size_t i = 0; i < channels_.size(); ++i) {
            const detail::RefPtr<HostedChannel> channel =
                channels_[(i + firstChannel_) % channels_.size()];
            if (!broadcast(*channel, end)) {
                firstChannel_ = firstChannel_ + i + 1;
                drainAgain();
                return;
            }
        }
        if (before != leaves_) {
            drainAgain();  // others have moved to the places of those that have left
        }
    }

    // False if the slice is used up.
    bool broadcast(HostedChannel& channel, std::chrono::steady_clock::time_point end) {
        constexpr unsigned sessionsPerLook =
            16;  // a look at the clock costs as much as a branch miss
        unsigned sessions = 0;
        while (!channel.isUpToDate()) {
            if (!std::exchange(channel.inRound, true)) {
                channel.roundEnd = channel.log.end();
                channel.cursor = channel.sessions.front();
            }
            while (channel.cursor) {
                const detail::RefPtr<Connection> connection(channel.cursor);
                channel.cursor = List::next(*connection);
                connection->orCut([&] { connection->takeBroadcasts(true); });
                if (++sessions % sessionsPerLook == 0 && now() >= end) {
                    return false;
                }
            }
            channel.inRound = false;
            channel.log.trim(channel.roundEnd);
        }
        return true;
    }

    void drainAgain() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (ended_ || std::exchange(scheduled_, true)) {
                return;
            }
        }
        wake();
    }

    // True if the queues have changed.
    static bool publish(HostedChannel& channel) noexcept {
        const Channel::Figures& now = channel.figures;
        Channel::Figures& before = channel.published;
        detail::HubCounters& hub = *channel.hubCounters;
        const auto add = [](std::atomic<std::uint64_t>& counter, std::uint64_t is,
                            std::uint64_t& was) {
            if (is != was) {
                counter.fetch_add(is - was, std::memory_order_relaxed);
                was = is;
            }
        };
        const bool changed = now.queuedBytes != before.queuedBytes;
        add(hub.messagesIn, now.messagesIn, before.messagesIn);
        add(hub.bytesIn, now.bytesIn, before.bytesIn);
        add(hub.messagesOut, now.messagesOut, before.messagesOut);
        add(hub.bytesOut, now.bytesOut, before.bytesOut);
        add(hub.queuedBytes, now.queuedBytes, before.queuedBytes);
        add(hub.slowSessions, now.slowSessions, before.slowSessions);
        return changed;
    }

    // Over the hub's limit the longest queue pays; that of the loop with most in its queues, or at
    // least an equal share, so that no loop has to ask another.
    void relieve(HostedChannel& channel) {
        const detail::RefPtr<HostedChannel> kept(&channel);  // a hook may remove it
        const std::uint64_t limit = channel.options.maxTotalQueueBytes;
        for (std::uint64_t total; (total = channel.hubCounters->queuedBytes) > limit &&
                                  channel.figures.queuedBytes * loopCount_ >= total;
             publish(channel)) {
            Connection* largest = nullptr;
            for (Connection* one = channel.sessions.front(); one; one = List::next(*one)) {
                if (one->open() && (!largest || one->bufferedBytes() > largest->bufferedBytes())) {
                    largest = one;
                }
            }
            if (!largest) {
                return;  // what is queued belongs to sessions that are closing
            }
            const detail::RefPtr<Connection> connection(largest);
            connection->orCut([&] {
                connection->beginClose(CloseCode::tryAgainLater, "total queue limit exceeded",
                                       ClosedBy::hub, Errc::hubQueueFull, true);
            });
        }
    }

    // A loop that was held up has not read what came meanwhile, and has not answered: clients have
    // as long again, within limits, to go on.
    void noteLag(TimePoint time) noexcept {
        const TimePoint due = (std::min)(std::exchange(timersDue_, (TimePoint::max)()), time);
        if (time - due > punctual) {
            heldUp_ = time - due;
            heldUpUntil_ = time;
            lenientUntil_ = time + (std::min<TimePoint::duration>)(heldUp_, leniency);
        }
        const auto late = std::chrono::duration_cast<std::chrono::microseconds>(time - due);
        for (const auto& channel : channels_) {
            channel->hubCounters->lag.note(late, std::chrono::steady_clock::now());
        }
    }

    // When the system's clock was set, what is to happen at a time of day comes sooner or later.
    void lookAtClock(TimePoint time) noexcept {
        const TimePoint::duration ahead = wallTime() - time;
        const TimePoint::duration step = ahead - clockAhead_;
        clockSeen_ = time;
        if (step > -clockStep && step < clockStep) {
            return;
        }
        clockAhead_ = ahead;
        for (const auto& channel : channels_) {
            for (Connection* one = channel->sessions.front(); one; one = List::next(*one)) {
                one->clockWasSet();
            }
        }
    }

    void answerHttp(Connection& connection, const HttpRequest& request) {
        for (std::size_t i = 0; i < channels_.size();) {
            const detail::RefPtr<HostedChannel> channel = channels_[i];
            if (const std::optional<HttpResponse> response = channel->handler->onHttp(request)) {
                const std::string wrong = whyNotSendable(*response);
                if (!wrong.empty() && channel->handler) {
                    channel->handler->onError(nullptr,
                                              std::make_error_code(std::errc::invalid_argument),
                                              "onHttp: " + wrong);
                }
                const bool sendable = isFinalStatus(response->status);
                connection.answer(sendable ? *response : HttpResponse{500, "internal error\n"},
                                  request.method() == "HEAD");
                return;
            }
            i = positionBehind(channel, i);
        }
        if (!ownerOf(request)) {
            refuse(connection, request, 404, "not found");
        } else if (request.method() == "OPTIONS") {
            connection.answer({204, {}, {}, {{"Allow", "GET, OPTIONS"}}}, false);
        } else if (request.method() != "GET" && request.method() != "HEAD") {
            refuse(connection, request, 405, "this is a WebSocket endpoint");
        } else if (request.version() == "HTTP/1.0") {
            refuse(
                connection, request, 426,
                "this is a WebSocket endpoint, which needs HTTP/1.1: HTTP/1.0 came, perhaps from "
                "a proxy");
        } else {
            refuse(connection, request, 426, "this is a WebSocket endpoint");
        }
    }

    void refuse(Connection& connection, const HttpRequest& request, int status,
                const char* reason) {
        HttpResponse response{status, std::string(reason) + "\n"};
        if (status == 405) {
            response.headers = {{"Allow", "GET, OPTIONS"}};
        } else if (status == 426) {
            response.headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
        }
        refused(connection, status, reason, &request);
        connection.answer(response, request.method() == "HEAD");
    }

    static void notifyIfEmpty(HostedChannel& channel) {
        if (channel.whenEmpty && channel.sessions.empty()) {
            std::exchange(channel.whenEmpty, nullptr)->countDown();
        }
    }

    const Options listenerOptions_;
    const unsigned loopCount_;

    std::mutex mutex_;
    std::vector<Command> inbox_;  // guarded by mutex_, like the next three
    std::vector<detail::TaskPtr> urgent_;
    bool scheduled_ = false;  // `drain` will come
    bool ended_ = false;
    std::atomic<unsigned> wakers_{0};
    std::atomic<std::size_t> load_{0};

    std::vector<Command> batch_;
    std::vector<detail::RefPtr<Connection>> touched_;
    std::vector<detail::RefPtr<Connection>> turns_;
    std::vector<detail::RefPtr<HostedChannel>> channels_;
    detail::RefPtr<HostedChannel> left_;  // since the last event
    std::uint64_t leaves_ = 0;            // handlers that have left
    bool helping_ = false;                // a hook is being run
    std::size_t firstChannel_ = 0;
    List others_;  // connections that are no sessions, yet or any more
    bool inBatch_ = false;
    bool emptied_ = false;

    TimePoint timersDue_ = (TimePoint::max)();  // `runTimers`
    TimePoint heldUpUntil_;
    TimePoint::duration heldUp_{0};
    int expiring_ = 0;  // sessions
    TimePoint clockSeen_;
    TimePoint::duration clockAhead_{0};  // of the system, before ours
};

}  // namespace pushhub

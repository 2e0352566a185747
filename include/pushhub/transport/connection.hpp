#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pushhub/close_code.hpp>
#include <pushhub/compression.hpp>
#include <pushhub/detail/rate_limiter.hpp>
#include <pushhub/error.hpp>
#include <pushhub/http/body.hpp>
#include <pushhub/http/date.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/protocol/close_payload.hpp>
#include <pushhub/protocol/engine.hpp>
#include <pushhub/protocol/upgrade.hpp>
#include <pushhub/protocol/utf8.hpp>
#include <pushhub/session_id.hpp>
#include <pushhub/transport/handshake.hpp>
#include <pushhub/transport/loop_context.hpp>
#include <pushhub/transport/send_budget.hpp>
#include <pushhub/transport/transport_handler.hpp>

namespace pushhub {

/// A client's connection without its socket: handshake, frames, queue, close and timeouts as a
/// state machine that a transport feeds with bytes. A transport derives from it and supplies the
/// functions that access the socket; the behaviour is the same for any kind of socket.
///
/// `send`, `close` and the queries may be called from any thread. Everything else belongs to the
/// loop of the connection.
class Connection : public detail::RefCounted<Connection>, public TimerNode {
public:
    Connection(detail::RefPtr<LoopContext> loop, SessionId id) : loop_(std::move(loop)), id_(id) {}
    virtual ~Connection() = default;

    // Any thread ---------------------------------------------------------------------------

    SessionId id() const noexcept { return id_; }
    LoopContext& loop() const noexcept { return *loop_; }

    /// "address:port" of the client.
    virtual std::string remoteAddress() const = 0;

    /// Subject of the certificate that the client has proven to own, "" without one.
    virtual std::string peerSubject() const { return {}; }

    /// Exact number of bytes on the wire accepted for this connection and not yet sent.
    std::uint64_t bufferedBytes() const noexcept { return budget_.bytes(); }

    /// Time of the last byte from the client.
    std::chrono::steady_clock::time_point lastSeen() const noexcept {
        return std::chrono::steady_clock::time_point(
            std::chrono::steady_clock::duration(lastSeen_.load(std::memory_order_relaxed)));
    }

    /// Time between the latest ping and its pong; 0 before the first.
    std::chrono::microseconds roundTripTime() const noexcept {
        return std::chrono::microseconds(roundTrip_.load(std::memory_order_relaxed));
    }

    /// Window bits for compressed messages to this client (RFC 7692); 0 without compression.
    unsigned window() const noexcept { return window_.load(std::memory_order_relaxed); }

    /// False once it accepts no more messages.
    bool accepting() const noexcept { return !budget_.closed(); }

    /// Reserves room in the queue for one frame, without sending it; see `send`. Lock-free.
    std::error_code reserve(const Frame& frame, OverflowPolicy whenFull);

    /// Accepts `frame` for sending, or returns the reason for refusing it. Messages of one thread
    /// keep their order. Only once the connection is open.
    std::error_code send(const FramePtr& frame, OverflowPolicy whenFull) {
        if (const std::error_code refused = reserve(*frame, whenFull)) {
            return refused;
        }
        try {
            Command command = sendCommand(frame, whenFull);
            loop_->submit(&command, 1);
            return {};
        } catch (const std::bad_alloc&) {
            takeBack(*frame);
            return std::make_error_code(std::errc::not_enough_memory);
        }
    }

    /// Releases the room reserved for a frame.
    void takeBack(const Frame& frame) noexcept { budget_.release(frame.size(), 1); }

    /// The loop's task for a frame for which room was reserved.
    Command sendCommand(FramePtr frame, OverflowPolicy whenFull) {
        Command command;
        command.kind = Command::Kind::send;
        command.whenFull = whenFull;
        command.connection = detail::RefPtr<Connection>(this);
        command.frame = std::move(frame);
        return command;
    }

    /// Sends a close frame after everything already accepted, and closes (RFC 6455 section 7).
    /// `reason` is passed through `protocol::closeReason`. A code that must not be sent is refused
    /// with std::errc::invalid_argument and reported to the handler; on a closing connection this
    /// does nothing.
    std::error_code close(CloseCode code, std::string_view reason, ClosedBy by = ClosedBy::host,
                          std::error_code error = {});

    // The loop -----------------------------------------------------------------------------

    /// The handler's attachment, available with the connection's events.
    const std::shared_ptr<void>& attachment() const noexcept { return attachment_; }
    void setAttachment(std::shared_ptr<void> attachment) { attachment_ = std::move(attachment); }
    Channel* channel() const noexcept { return channel_.get(); }
    bool open() const noexcept { return phase_ == Phase::open; }
    bool admitted() const noexcept { return admitted_; }

    /// True until it is decided whether the connection becomes a session.
    bool undecided() const noexcept {
        return phase_ == Phase::deciding || (phase_ == Phase::open && !admitted_);
    }

    /// Runs `function`; aborts the connection if it throws std::bad_alloc.
    template <class Function>
    void orCut(Function function) noexcept {
        try {
            function();
        } catch (const std::bad_alloc&) {
            abort(std::make_error_code(std::errc::not_enough_memory));
        }
    }

    /// The channel whose handler is offered the handshake and decides it.
    void setChannel(detail::RefPtr<Channel> channel) { channel_ = std::move(channel); }

    /// The pending handshake, if any.
    PendingHandshake* pendingHandshake() const noexcept {
        return handshake_ ? handshake_->pending.get() : nullptr;
    }
    void setPendingHandshake(detail::RefPtr<PendingHandshake> pending) {
        handshake_->pending = std::move(pending);
    }

    /// Keeps an object until the connection is admitted, refused or lost.
    void keepWhilePending(std::shared_ptr<void> ticket) { handshake_->ticket = std::move(ticket); }

    /// First call: the time for the handshake begins.
    void begin() { loop_->armTimer(*this, loop_->listenerOptions().handshakeTimeout); }

    /// Bytes from the client, which are unmasked in place.
    void receive(char* data, std::size_t size);

    /// Continues with data already received: see `LoopContext::giveTurn`.
    void takeTurn();

    /// The client will send no more, or the connection has failed.
    void receiveEnd(std::error_code error);

    /// The socket accepts bytes again, after `waitWritable`.
    void writable();

    /// True while the client must not be read from; `resumeReading` is called later.
    bool readingPaused() const noexcept { return pausedFor_ != 0; }

    /// The armed timer has expired.
    void expired();

    /// Queues a frame for which room was reserved; call `flush` at the end of the batch.
    void enqueue(FramePtr frame, OverflowPolicy whenFull);

    /// Takes new broadcasts: written immediately if nothing waits before them.
    void takeBroadcasts(bool writeNow);

    /// Takes one broadcast that is not in the channel's log.
    void takeUnlogged(const BroadcastLog::Entry& entry);

    /// Writes queued data, as far as the socket takes it.
    void flush();

    /// Sends a close frame and waits for the peer's. `dropQueue`: discards queued data first.
    void beginClose(CloseCode code, std::string_view reason, ClosedBy by, std::error_code error,
                    bool dropQueue);
    /// The same with the frame that `close` made.
    void beginClose(const Frame& closeFrame, ClosedBy by, std::error_code error);

    /// Ends immediately, without a closing handshake.
    void abort(std::error_code error) noexcept;

    /// Answers a pending handshake with 101. With an attachment the connection is admitted as a
    /// session; without, it is open for one message, and for `Options::decisionTimeout`.
    void acceptHandshake(const UpgradeAnswer& answer, const HttpRequest& request,
                         std::shared_ptr<void> attachment);

    /// Admits an open connection as a session: the handler is notified, and it gets pushes.
    void admit(std::shared_ptr<void> attachment);

    /// Refuses a pending handshake, or a connection that is open and not admitted. A 401 without
    /// WWW-Authenticate gets one, since RFC 9110 section 15.5.2 demands it.
    void rejectHandshake(HttpResponse response);

    /// Answers a request and closes. `headOnly`: without the body, as HEAD requires.
    void answer(const HttpResponse& response, bool headOnly);

    /// The client has stopped sending, and may still read.
    bool clientEnded() const noexcept { return clientEnded_; }

    /// Closes the session with 4401 at that time of `LoopContext::wallTime`, instead of the one
    /// that was set before; `(TimePoint::max)()` for never.
    void expireAt(std::chrono::steady_clock::time_point time) {
        if (phase_ == Phase::open && admitted_) {
            setExpiry(time);
            schedule();
        }
    }

    /// Closes the session with 1001 after this time, unless it expires before.
    void leaveAfter(std::chrono::milliseconds time) {
        if (phase_ == Phase::open && admitted_) {
            leaves_ = LoopContext::tickNumber(loop_->now() + time) + 1;
            leaves_ += leaves_ == 0 ? 1 : 0;
            schedule();
        }
    }

    /// The service stops: closes with 1001.
    [[gnu::cold]] void sayGoodBye() {
        beginClose(CloseCode::goingAway, "service is stopping", ClosedBy::host, {}, false);
    }

    /// The deadline of the stop has come: ends the connection at once.
    [[gnu::cold]] void cutOff() noexcept {
        orCut([this] { sayGoodBye(); });
        abort(Errc::deadlineReached);
    }

    /// True for a session that is closing, or will close after the time of `leaveAfter`.
    bool leaving() const noexcept { return phase_ != Phase::open || leaves_ != 0; }

    /// The system clock was changed: `LoopContext::wallTime` has jumped.
    void clockWasSet() noexcept {
        if (phase_ == Phase::open && admitted_) {
            schedule();
        }
    }

    /// In a batch of its loop this connection has something to flush.
    bool touched = false;
    detail::ListLinks<Connection> links;

protected:
    /// Non-blocking write of `count` buffers: the number of bytes taken. `error` is
    /// std::errc::operation_would_block if the socket takes nothing now. With it may come bytes
    /// that were taken and have not left, such as a TLS record: then there is another call when the
    /// socket takes bytes again, with or without further buffers.
    virtual std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                                  std::error_code& error) noexcept = 0;
    /// True while nothing can be said in HTTP yet: then the time for the handshake is over without
    /// an answer, and without a word of ours in the log.
    virtual bool isBeforeHttp() noexcept { return false; }
    /// Arranges a single call of `writable`.
    virtual void waitWritable() = 0;
    /// `readingPaused` has become false.
    virtual void resumeReading() {}
    /// No more bytes to the client; its own may still come.
    virtual void shutdownSend() noexcept = 0;
    /// Closes the socket. No more calls of `receive` or `writable`.
    virtual void closeSocket() noexcept = 0;

    /// Calls `receive` or `receiveEnd` now if there is something to read, and reading is not
    /// paused. Without it a deadline that passes while the loop is held up may cut a client whose
    /// answer is there already.
    virtual void readNow() {}

    /// Positions in the bytes that the socket was given, modulo 2^32.
    struct SendPositions {
        std::uint32_t taken;         // of what comes next
        std::uint32_t acknowledged;  // what is before it has reached the client's system
    };
    /// How far the client's system has come, if the own one tells. It may make a system call: it is
    /// asked for with a ping, and when nothing seems to happen.
    virtual std::optional<SendPositions> sendPositions() noexcept { return std::nullopt; }

private:
    using TimePoint = std::chrono::steady_clock::time_point;

    enum class Phase : std::uint8_t {
        handshake,  // the request is not complete
        deciding,   // the request is complete, the handler has not answered
        open,       // for frames; a session once it is admitted
        closing,    // our close frame is queued or sent, the closing handshake not complete
        lingering,  // nothing more to say: wait until the client has read it and hangs up
        ended
    };

    // A plain HTTP request whose body is not complete.
    struct HttpBody {
        HttpBody(HttpRequest head, std::size_t maxBytes)
            : request(std::move(head)), reader(request, maxBytes) {}
        HttpRequest request;
        HttpBodyReader reader;
    };

    // Exists until the connection is admitted.
    struct HandshakeState {
        std::string bytes;  // an incomplete request, or what came before the answer
        std::size_t scanned = 0;
        std::unique_ptr<HttpBody> body;
        detail::RefPtr<PendingHandshake> pending;
        std::shared_ptr<void> ticket;
        bool firstMessageTaken = false;
    };

    // Frames that wait for this connection's next turn.
    struct Unread {
        std::string bytes;
        bool ended = false;  // and nothing comes behind them: see `receiveEnd`
        std::error_code error;
    };

    // Exists from the first close frame on.
    struct ClosingState {
        CloseInfo info;
        bool peerClosed = false;  // its close frame has come
        bool deaf = false;        // it broke the protocol: nothing that follows can be read
    };

    // Only while `Options` limit what the client may send.
    struct InboundRate {
        detail::RateLimiter messages;
        detail::RateLimiter bytes;

        TimePoint reached() const noexcept {
            return (std::max)(messages.reached(), bytes.reached());
        }
    };

    // A sign of life that is waited for: the answer to a ping or, while the socket takes nothing,
    // bytes that arrive all the same.
    struct Watch {
        TimePoint pinged;                // when the ping left; otherwise TimePoint()
        TimePoint since;                 // when there was the last one
        std::uint32_t acknowledged = 0;  // see `SendPositions`: then
        std::uint32_t end = 0;           // of the ping; `acknowledged` if nothing was before it
    };

    enum PauseReason : std::uint8_t { queueFull = 1, tooFast = 2, othersTurn = 4 };

    static constexpr std::size_t maxGather = 64;
    static constexpr std::size_t turn = 64 * 1024;   // bytes of messages
    static constexpr std::size_t leastOfTurn = 128;  // that a frame counts, however small it is
    static constexpr std::chrono::milliseconds lingerTime{2000};

    const Options& options() const noexcept { return channel_->options; }

    void readHandshake(char* data, std::size_t size);
    void beginBody(HttpRequest request, std::string_view bytes);
    void readBody(std::string_view bytes);
    void route(HttpRequest request);
    void refuse(int status, const char* reason);
    const HttpRequest* requestOfHandshake() const noexcept {
        return !handshake_           ? nullptr
               : handshake_->pending ? &handshake_->pending->request()
               : handshake_->body    ? &handshake_->body->request
                                     : nullptr;
    }
    std::string negotiate(const UpgradeAnswer& answer, const HttpRequest& request);
    void holdBack(const char* data, std::size_t size);
    void readHeldBack();
    void dropHandshake() noexcept;
    bool held() const noexcept {
        return phase_ == Phase::open && !admitted_ && handshake_->firstMessageTaken;
    }
    // Behind the peer's close frame, or behind one that cannot be read, nothing counts.
    bool listening() const noexcept {
        return phase_ == Phase::open ||
               (phase_ == Phase::closing && !closing_->peerClosed && !closing_->deaf);
    }
    void readFrames(char* data, std::size_t size);
    void readTurn(char* data, std::size_t size);
    void handle(protocol::EngineEvent event, protocol::Engine& engine);
    void answerPing(std::string_view payload);
    void flushPongs();
    void peerClosed(CloseCode code, std::string_view reason);

    void countInbound(detail::RateLimiter& rate, std::uint64_t amount, std::uint64_t perSecond);
    void heardPong(std::string_view payload);
    void ping();
    bool pinging() const noexcept { return watch_ && watch_->pinged != TimePoint(); }
    bool pingIsOnItsWay();
    bool stalls(TimePoint now);

    void push(FrameRun run);
    void pushOrDrop(FrameRun run, OverflowPolicy whenFull);
    void makeRoom();
    void drop(Written dropped, Errc reason);
    void unqueued(std::uint64_t bytes) noexcept {
        if (channel_) {
            channel_->figures.queuedBytes -= bytes;
        }
    }
    void delivered(Written written) noexcept {
        deliveredMessages_ += written.messages;
        if (channel_) {
            channel_->figures.messagesOut += written.messages;
            channel_->figures.bytesOut += written.bytes;
        }
    }
    void countSlow(std::uint64_t change) noexcept {
        if (channel_) {
            channel_->figures.slowSessions += change;
        }
    }
    void pauseReading(PauseReason reason) noexcept { pausedFor_ |= reason; }
    void endPause(PauseReason reason);
    void enqueueBroadcast(FrameRun run, OverflowPolicy whenFull);
    void writeBroadcasts();
    void queueRest(const BroadcastLog::Entry& entry, std::uint32_t written);
    void queueControl(FramePtr frame);
    void sendRaw(std::string_view bytes);
    void waitForSocket(bool progress);
    void tryToWrite();
    void checkQueue();

    void setExpiry(TimePoint time) noexcept;
    void schedule() noexcept;
    void checkDeadlines();
    bool overdue() const noexcept;
    void takeWhatWaits();
    TimePoint pingDue() const noexcept;

    void missBroadcasts(CloseInfo& info) noexcept;
    void dropQueue();
    void finishClose();
    void reportClose(CloseInfo info) noexcept;
    void linger();
    bool readsOn();
    void end() noexcept;

    detail::RefPtr<LoopContext> loop_;
    detail::RefPtr<Channel> channel_;
    std::shared_ptr<void> attachment_;
    const SessionId id_;
    SendBudget budget_;
    SendQueue queue_;
    std::uint64_t seen_ = 0;  // position in the channel's broadcasts
    std::uint64_t deliveredMessages_ = 0;
    Written held_;                              // taken by the socket's layer, and not gone
    std::unique_ptr<protocol::Engine> engine_;  // while a message is incomplete
    std::unique_ptr<Unread> unread_;
    std::unique_ptr<HandshakeState> handshake_;
    std::unique_ptr<ClosingState> closing_;
    std::unique_ptr<InboundRate> inboundRate_;
    FramePtr waitingPong_;
    std::uint64_t droppedMessages_ = 0;
    std::atomic<TimePoint::rep> lastSeen_{0};
    std::unique_ptr<Watch> watch_;
    TimePoint progress_;                       // while blocked: when the socket last took something
    TimePoint expires_ = (TimePoint::max)();   // by `LoopContext::wallTime`
    std::atomic<std::uint32_t> roundTrip_{0};  // microseconds
    std::atomic<std::uint8_t> window_{0};
    Phase phase_ = Phase::handshake;
    std::uint8_t pausedFor_ = 0;        // why the client is not read from: PauseReason
    bool admitted_ = false;             // a session, of which the handler is told
    bool blocked_ = false;              // the socket takes no more
    bool endAfterFlush_ = false;        // an HTTP answer is the last that is sent
    bool clientEnded_ = false;          // sends no more, and is still written to
    bool awaitsSocket_ = false;         // `writable` will be called
    std::atomic<bool> wasFull_{false};  // the queue, and the handler has not heard of a drain
    std::uint32_t leaves_ = 0;          // the tick at which it does since the hub stops; 0: none
};

// Command holds references to connections, so its members are defined where those are known.
inline Command::Command() = default;
inline Command::~Command() = default;
inline Command::Command(Command&&) noexcept = default;
inline Command& Command::operator=(Command&&) noexcept = default;

inline bool LoopContext::submit(Command command) {
    return submit(&command, 1);
}

// Where older messages make room, that happens on the loop; what is on the way there may be as much
// again as the queue holds.
inline std::error_code Connection::reserve(const Frame& frame, OverflowPolicy whenFull) {
    if (channel_->hubCounters->queuedBytes.load(std::memory_order_relaxed) >
        options().maxTotalQueueBytes) {
        channel_->hubCounters->refusedMessages.fetch_add(1, std::memory_order_relaxed);
        return Errc::hubQueueFull;
    }
    QueueLimits limits = options().queueLimits();
    if (detail::olderMakeRoom(whenFull)) {
        limits = {2 * limits.bytes, 2 * limits.messages};
    }
    Errc full = Errc::queueBytesFull;
    switch (budget_.reserve(frame.size(), 1, limits)) {
        case SendBudget::Outcome::accepted:
            return {};
        case SendBudget::Outcome::closed:
            return Errc::sessionClosed;
        case SendBudget::Outcome::bytesFull:
            break;
        case SendBudget::Outcome::messagesFull:
            full = Errc::queueMessagesFull;
            break;
    }
    if (whenFull == OverflowPolicy::close) {
        try {
            close(CloseCode::tryAgainLater, "client reads too slowly", ClosedBy::hub, full);
        } catch (const std::bad_alloc&) {
            // It stays open, and full: the next push tries again.
        }
    }
    wasFull_.store(true, std::memory_order_relaxed);
    channel_->hubCounters->refusedMessages.fetch_add(1, std::memory_order_relaxed);
    return full;
}

inline std::error_code Connection::close(CloseCode code, std::string_view reason, ClosedBy by,
                                         std::error_code error) {
    if (budget_.closed()) {
        return {};
    }
    Command command;
    if (!isSendableCloseCode(static_cast<std::uint16_t>(code))) {
        const auto invalid = std::make_error_code(std::errc::invalid_argument);
        command.task = detail::makeTask([self = detail::RefPtr<Connection>(this), code, invalid] {
            if (self->open() && self->admitted()) {
                self->channel_->handler->onError(self.get(), invalid, wrongCloseCode(code));
            }
        });
        loop_->submit(&command, 1);
        return invalid;
    }
    command.kind = Command::Kind::close;
    command.closedBy = by;
    command.error = error;
    command.connection = detail::RefPtr<Connection>(this);
    command.frame = Frame::make(protocol::Opcode::close,
                                protocol::closePayload(code, protocol::closeReason(reason)));
    budget_.close();
    try {
        loop_->submit(&command, 1);
        return {};
    } catch (const std::bad_alloc&) {
        budget_.reopen();
        throw;
    }
}

// Handshake ----------------------------------------------------------------------------------

inline void Connection::receive(char* data, std::size_t size) {
    lastSeen_.store(loop_->now().time_since_epoch().count(), std::memory_order_relaxed);
    switch (phase_) {
        case Phase::handshake:
            readHandshake(data, size);
            break;
        case Phase::deciding:
            holdBack(data, size);
            break;
        case Phase::open:
            if (held()) {
                holdBack(data, size);
                break;
            }
            [[fallthrough]];
        case Phase::closing:
            if (listening()) {
                readFrames(data, size);
            }
            break;
        case Phase::lingering:
        case Phase::ended:
            break;
    }
}

// A client that does not wait for the answer: keep a little, for when it comes.
inline void Connection::holdBack(const char* data, std::size_t size) {
    handshake_->bytes.append(data, size);
    if (handshake_->bytes.size() > loop_->listenerOptions().maxHandshakeBytes) {
        refuse(400, "too much came before the answer");
    }
}

inline void Connection::readHandshake(char* data, std::size_t size) {
    std::string_view bytes(data, size);
    if (handshake_) {
        if (handshake_->body) {
            readBody(bytes);
            return;
        }
        handshake_->bytes.append(data, size);
        bytes = handshake_->bytes;
    }
    HttpLimits limits;
    limits.maxHeadBytes = loop_->listenerOptions().maxHandshakeBytes;
    HttpRequest request;
    const HttpParseResult result =
        HttpRequest::parse(bytes, request, limits, handshake_ ? handshake_->scanned : 0);
    if (result.status == HttpParseResult::State::incomplete) {
        if (!handshake_) {
            handshake_ = std::make_unique<HandshakeState>();
            handshake_->bytes = bytes;
        }
        handshake_->scanned = bytes.size();
        return;
    }
    if (result.status == HttpParseResult::State::invalid) {
        refuse(result.httpStatus, result.reason);
        return;
    }
    const std::string rest(bytes.substr(result.consumed));
    handshake_ = std::make_unique<HandshakeState>();
    if (request.hasBody() && !protocol::isUpgradeRequest(request) && loop_->takesHttp()) {
        beginBody(std::move(request), rest);
        return;
    }
    handshake_->bytes = rest;
    route(std::move(request));
}

inline void Connection::route(HttpRequest request) {
    phase_ = Phase::deciding;
    loop_->routeHandshake(*this, std::move(request));
    if (phase_ == Phase::deciding) {
        loop_->armTimer(*this, options().decisionTimeout);
    }
}

// The time for it is what is left of that for the handshake.
inline void Connection::beginBody(HttpRequest request, std::string_view bytes) {
    const std::string_view expect = request.header("Expect");
    const bool waits = detail::equalsIgnoreCase(expect, "100-continue");
    const bool expects = !expect.empty() && request.version() != "HTTP/1.0";
    if (expects && !waits) {
        loop_->refused(*this, 417, "an expectation other than 100-continue", &request);
        answer({417, "the only expectation here is 100-continue\n"}, false);
        return;
    }
    handshake_->body =
        std::make_unique<HttpBody>(std::move(request), loop_->listenerOptions().maxHttpBodySize);
    readBody(bytes);
    if (expects && bytes.empty() && phase_ == Phase::handshake) {
        sendRaw("HTTP/1.1 100 Continue\r\n\r\n");
    }
}

inline void Connection::readBody(std::string_view bytes) {
    HttpBody& body = *handshake_->body;
    const HttpParseResult result = body.reader.read(bytes);
    if (result.status == HttpParseResult::State::incomplete) {
        return;
    }
    const std::unique_ptr<HttpBody> done = std::move(handshake_->body);
    if (result.status == HttpParseResult::State::invalid) {
        loop_->refused(*this, result.httpStatus, result.reason, &done->request);
        answer({result.httpStatus, std::string(result.reason) + "\n"}, false);
        return;
    }
    done->request.setBody(done->reader.body());
    route(std::move(done->request));
}

inline void Connection::acceptHandshake(const UpgradeAnswer& answer, const HttpRequest& request,
                                        std::shared_ptr<void> attachment) {
    if (phase_ != Phase::deciding) {
        return;
    }
    phase_ = Phase::open;
    queueControl(Frame::raw(protocol::upgradeResponse(request.header("Sec-WebSocket-Key"),
                                                      answer.subprotocol, answer.headers,
                                                      negotiate(answer, request))));
    if (attachment) {
        admit(std::move(attachment));
        return;
    }
    loop_->armTimer(*this, options().decisionTimeout);
    flush();
    if (handshake_) {
        readHeldBack();
    }
}

// Agrees on compression, if that is wanted; the value of the header that says so.
inline std::string Connection::negotiate(const UpgradeAnswer& answer, const HttpRequest& request) {
    if (!options().compression || !answer.compress) {
        return {};
    }
    std::string offers;
    for (const std::string_view value : request.headerValues("Sec-WebSocket-Extensions")) {
        offers.append(offers.empty() ? "" : ",").append(value);
    }
    auto agreed = options().compression->negotiate(offers);
    if (!agreed) {
        return {};
    }
    window_.store(static_cast<std::uint8_t>(agreed->window), std::memory_order_relaxed);
    return std::move(agreed->answer);
}

inline void Connection::admit(std::shared_ptr<void> attachment) {
    if (phase_ != Phase::open || admitted_) {
        return;
    }
    if (options().maxInboundMessagesPerSecond > 0 || options().maxInboundBytesPerSecond > 0) {
        inboundRate_ = std::make_unique<InboundRate>();
    }
    loop_->disarmTimer(*this);
    schedule();  // the last that may fail before it is a session
    attachment_ = std::move(attachment);
    admitted_ = true;
    channel_->log.seal();  // what comes now must not be joined to what came before this session
    seen_ = channel_->log.end();
    loop_->connectionOpened(*this);
    channel_->handler->onOpen(*this);
    flush();
    if (handshake_) {
        readHeldBack();
        handshake_.reset();
    }
}

inline void Connection::readHeldBack() {
    std::string bytes;
    bytes.swap(handshake_->bytes);
    if (!bytes.empty()) {
        readFrames(bytes.data(), bytes.size());
    }
}

inline void Connection::rejectHandshake(HttpResponse response) {
    if (phase_ != Phase::handshake && phase_ != Phase::deciding &&
        (phase_ != Phase::open || admitted_)) {
        return;
    }
    const std::string reason = protocol::closeReason(
        std::string_view(response.body).substr(0, response.body.find_last_not_of('\n') + 1));
    loop_->refused(*this, response.status, reason, requestOfHandshake());
    if (phase_ == Phase::deciding && channel_ && options().closeInsteadOfStatus && !clientEnded_) {
        // A browser gives up on a 101 that answers none of its subprotocols, before it sees the
        // close code. One that carries a token is never echoed.
        const HttpRequest& request = handshake_->pending->request();
        UpgradeAnswer upgrade;
        for (const std::string_view name : request.subprotocols()) {
            if (upgrade.subprotocol.empty() && name.substr(0, 7) != "bearer.") {
                upgrade.subprotocol = name;
            }
        }
        handshake_->bytes.clear();
        acceptHandshake(upgrade, request, nullptr);
    }
    if (phase_ == Phase::open) {
        beginClose(closeCodeFor(response.status), reason, ClosedBy::hub, {}, true);
        return;
    }
    if (response.status == 401 && !hasHeader(response, "WWW-Authenticate")) {
        response.headers.emplace_back("WWW-Authenticate", "Bearer");
    }
    answer(response, false);
}

inline void Connection::refuse(int status, const char* reason) {
    if (isBeforeHttp()) {
        end();
    } else {
        rejectHandshake({status, std::string(reason) + "\n"});
    }
}

inline void Connection::answer(const HttpResponse& response, bool headOnly) {
    if (phase_ != Phase::handshake && phase_ != Phase::deciding) {
        return;
    }
    dropHandshake();
    phase_ = Phase::lingering;
    endAfterFlush_ = true;
    loop_->armTimer(*this, loop_->listenerOptions().closeTimeout);
    sendRaw(serialize(response, headOnly, false, httpDate(std::chrono::system_clock::now())));
}

inline void Connection::dropHandshake() noexcept {
    if (handshake_ && handshake_->pending) {
        handshake_->pending->abandon();
    }
    handshake_.reset();
}

inline PendingHandshake::PendingHandshake(Connection& connection, HttpRequest request)
    : connection_(&connection), request_(std::move(request)) {}

inline PendingHandshake::~PendingHandshake() = default;

inline std::error_code PendingHandshake::run(detail::TaskPtr decision, bool atOnce) {
    if (decided_.exchange(true)) {
        return Errc::handshakeAnswered;
    }
    // The host may hold a lock that its next hook takes.
    if (connection_->loop().onLoop() && (atOnce || inHook_)) {
        if (atOnce) {
            connection_->orCut([&] { (*decision)(); });
        } else {
            waiting_ = std::move(decision);
        }
        return {};
    }
    try {
        Command command;
        command.task = detail::makeTask(
            [self = detail::RefPtr<PendingHandshake>(this), decision = std::move(decision)] {
                self->connection_->orCut([&] { (*decision)(); });
            });
        return connection_->loop().submit(&command, 1) ? std::error_code()
                                                       : Errc::handshakeAnswered;
    } catch (const std::bad_alloc&) {
        decided_ = false;  // let the caller try again
        throw;
    }
}

inline void PendingHandshake::endHook() noexcept {
    inHook_ = false;
    if (const detail::TaskPtr decision = std::move(waiting_)) {
        connection_->orCut([&] { (*decision)(); });
    }
}

inline std::error_code PendingHandshake::reject(HttpResponse response) {
    return decide([this, response = std::move(response)]() mutable {
        connection_->rejectHandshake(std::move(response));
    });
}

// Frames from the client ---------------------------------------------------------------------

inline void Connection::readFrames(char* data, std::size_t size) {
    channel_->figures.bytesIn += size;
    if (inboundRate_) {
        countInbound(inboundRate_->bytes, size, options().maxInboundBytesPerSecond);
    }
    if (unread_) {
        unread_->bytes.append(data, size);
    } else {
        readTurn(data, size);
    }
}

// What is read from a socket at once is little, but may be thousands of empty frames, or be
// compressed: then 64 KiB may stand for 50 MiB, in messages of which none is too large. So the rest
// waits until the other connections of the loop had their turn.
inline void Connection::readTurn(char* data, std::size_t size) {
    std::unique_ptr<protocol::Engine> engine = std::move(engine_);
    if (!engine) {
        engine = loop_->engines().take();
        engine->setMaxMessageSize(options().maxMessageSize);
        engine->setMaxFragments(options().maxFragments);
        engine->setCompression(window() != 0 ? options().compression.get() : nullptr);
    }
    std::size_t handled = 0;
    while (size > 0 && listening() && !held() && handled < turn) {
        std::size_t used = 0;
        const protocol::EngineEvent event = engine->read(data, size, used);
        data += used;
        size -= used;
        handled += leastOfTurn + (window() != 0 ? engine->payload().size() : 0);
        handle(event, *engine);
    }
    flushPongs();
    if (engine->idle() || phase_ > Phase::closing) {
        loop_->engines().give(std::move(engine));
    } else {
        engine_ = std::move(engine);
    }
    if (size > 0 && held()) {
        holdBack(data, size);
    } else if (size > 0 && listening()) {
        unread_ = std::make_unique<Unread>();
        unread_->bytes.assign(data, size);
        pauseReading(othersTurn);
        loop_->giveTurn(*this);
    }
}

inline void Connection::takeTurn() {
    const std::unique_ptr<Unread> unread = std::move(unread_);
    if (unread && listening()) {
        lastSeen_.store(loop_->now().time_since_epoch().count(), std::memory_order_relaxed);
        readTurn(unread->bytes.data(), unread->bytes.size());
    }
    if (!unread_) {
        endPause(othersTurn);
    }
    if (unread && unread->ended) {
        receiveEnd(unread->error);
    }
}

inline void Connection::handle(protocol::EngineEvent event, protocol::Engine& engine) {
    if (inboundRate_ && event <= protocol::EngineEvent::pong &&
        event != protocol::EngineEvent::needMore) {
        countInbound(inboundRate_->messages, 1, options().maxInboundMessagesPerSecond);
    }
    switch (event) {
        case protocol::EngineEvent::needMore:
            break;
        case protocol::EngineEvent::pong:
            heardPong(engine.payload());
            break;
        case protocol::EngineEvent::message:
            if (phase_ == Phase::open && !admitted_) {
                handshake_->firstMessageTaken = true;
                channel_->handler->onFirstMessage(*this, {engine.payload(), engine.type()});
            } else if (phase_ == Phase::open && accepting()) {
                ++channel_->figures.messagesIn;
                channel_->handler->onMessage(*this, {engine.payload(), engine.type()});
            }
            break;
        case protocol::EngineEvent::ping:
            if (phase_ == Phase::open) {
                answerPing(engine.payload());
            }
            break;
        case protocol::EngineEvent::close:
            loop_->catchUp();  // what hooks said to earlier messages is sent first, like pongs
            flushPongs();
            peerClosed(engine.closeCode(), engine.closeReason());
            break;
        case protocol::EngineEvent::violation: {
            const protocol::Violation& violation = engine.violation();
            loop_->catchUp();
            flushPongs();
            if (phase_ == Phase::open && !admitted_) {
                loop_->refused(*this, 400, violation.reason, requestOfHandshake());
            }
            beginClose(violation.closeCode, violation.reason, ClosedBy::hub, violation.error, true);
            if (phase_ == Phase::closing) {
                closing_->deaf = true;
                flush();
            }
            break;
        }
    }
}

// The pongs to what was read at once share a frame and a write, or tiny pings would cost the other
// connections of the loop a system call each. When the socket takes no more, only the latest ping
// is answered (RFC 6455 section 5.5.3): a client that pings and does not read has one such frame in
// its queue, or two if the first has left in part.
inline void Connection::answerPing(std::string_view payload) {
    if (waitingPong_ && waitingPong_->room() < 2 + payload.size()) {
        flush();
        if (phase_ != Phase::open) {
            return;
        }
    }
    if (!waitingPong_ || waitingPong_->unique() || queue_.started(waitingPong_)) {
        waitingPong_ = Frame::allocate(2 + protocol::maxControlPayload);
        waitingPong_->append(protocol::Opcode::pong, payload);
        queueControl(waitingPong_);
        return;
    }
    unqueued(waitingPong_->size());
    budget_.release(waitingPong_->size(), 0);
    if (blocked_) {
        waitingPong_->clear();
    }
    waitingPong_->append(protocol::Opcode::pong, payload);
    budget_.add(waitingPong_->size(), 0);
    channel_->figures.queuedBytes += waitingPong_->size();
}

// Written at the end of a read, and before a close.
inline void Connection::flushPongs() {
    if (waitingPong_) {
        flush();
        if (queue_.empty()) {
            waitingPong_ = nullptr;
        }
    }
}

// Sending ------------------------------------------------------------------------------------

inline void Connection::push(FrameRun run) {
    const std::uint32_t size = run.size();
    queue_.push(loop_->queuePool(), std::move(run), blocked_);
    if (channel_) {
        channel_->figures.queuedBytes += size;
    }
}

inline void Connection::enqueue(FramePtr frame, OverflowPolicy whenFull) {
    if (phase_ != Phase::open) {
        return;  // counted as undelivered by whoever ended the session
    }
    takeBroadcasts(false);
    if (phase_ != Phase::open) {
        return;
    }
    const std::uint32_t size = frame->size();
    pushOrDrop({std::move(frame), 0, size, 1}, whenFull);
}

// Queues what is counted already; older messages go where the policy is so.
inline void Connection::pushOrDrop(FrameRun run, OverflowPolicy whenFull) {
    if (!detail::olderMakeRoom(whenFull)) {
        push(std::move(run));
        return;
    }
    if (whenFull == OverflowPolicy::conflate && !run.frame->key().empty()) {
        const std::uint32_t size = run.size();
        if (const std::uint32_t replaced = queue_.replace(run)) {
            channel_->figures.queuedBytes += size;
            drop({replaced, 1}, Errc::conflated);
            makeRoom();
            return;
        }
    }
    push(std::move(run));
    makeRoom();
}

// Until the rest keeps to the limits.
inline void Connection::makeRoom() {
    const QueueLimits limits = options().queueLimits();
    while (budget_.exceeds(limits)) {
        const Errc reason =
            budget_.bytes() > limits.bytes ? Errc::queueBytesFull : Errc::queueMessagesFull;
        const Written dropped = queue_.dropOldest(loop_->queuePool());
        if (dropped.messages == 0) {
            break;  // it has begun to leave, or is on its way to the queue
        }
        wasFull_.store(true, std::memory_order_relaxed);
        drop(dropped, reason);
    }
}

inline void Connection::drop(Written dropped, Errc reason) {
    budget_.release(dropped.bytes, dropped.messages);
    unqueued(dropped.bytes);
    droppedMessages_ += dropped.messages;
    channel_->handler->onDropped(*this, {dropped.messages, dropped.bytes, reason});
}

inline void Connection::takeBroadcasts(bool writeNow) {
    BroadcastLog& log = channel_->log;
    if (seen_ == log.end() || !admitted_) {
        return;
    }
    log.seal();
    if (phase_ == Phase::open && writeNow && queue_.empty() && !blocked_) {
        writeBroadcasts();
    }
    while (seen_ != log.end() && phase_ == Phase::open) {
        loop_->queuePool().reserve();  // then what fails, fails before it counts
        const BroadcastLog::Entry& entry = log[seen_++];
        if (!entry.skips(id_)) {
            enqueueBroadcast(entry.runFor(window()), entry.whenFull);
        }
    }
    if (phase_ == Phase::closing) {
        missBroadcasts(closing_->info);
    }
}

// It counts whatever happens: as what is queued, as dropped, or as undelivered.
inline void Connection::takeUnlogged(const BroadcastLog::Entry& entry) {
    if (entry.skips(id_)) {
        return;
    }
    const FrameRun run = entry.runFor(window());
    try {
        takeBroadcasts(false);  // those before it
        loop_->queuePool().reserve();
    } catch (const std::bad_alloc&) {
        budget_.add(run.size(), 1);
        throw;
    }
    if (phase_ == Phase::open) {
        enqueueBroadcast(run, entry.whenFull);
        flush();
    } else if (phase_ == Phase::closing) {
        closing_->info.undeliveredMessages += 1;
        closing_->info.undeliveredBytes += run.size();
    }
}

// The usual case, and the hot one: nothing waits, and the socket takes it all.
inline void Connection::writeBroadcasts() {
    loop_->queuePool().reserve();  // whatever the socket does not take can be queued
    BroadcastLog& log = channel_->log;
    while (seen_ != log.end()) {
        const std::uint64_t start = seen_;
        std::array<WriteBuffer, maxGather> buffers;
        std::array<std::uint64_t, maxGather> positions;
        std::size_t count = 0;
        for (; seen_ != log.end() && count < maxGather; ++seen_) {
            const BroadcastLog::Entry& entry = log[seen_];
            if (!entry.skips(id_)) {
                buffers[count] = entry.bytesFor(window());
                positions[count++] = seen_;
            }
        }
        if (count == 0) {
            return;
        }
        std::error_code error;
        std::size_t written = writeSome(buffers.data(), count, error);
        if (error && error != std::errc::operation_would_block) {
            seen_ = start;
            abort(error);
            return;
        }
        Written left{written, 0};
        std::size_t i = 0;
        for (; i < count && written >= buffers[i].size; ++i) {
            written -= buffers[i].size;
            left.messages += log[positions[i]].run.messages;
        }
        if (i < count) {
            left.messages += log[positions[i]].runFor(window()).wholeFrames(written);
        }
        if (error) {
            held_ = left;
            budget_.add(left.bytes, left.messages);
        } else {
            delivered(left);
        }
        const bool blocked = error || i < count;
        if (blocked) {
            waitForSocket(left.bytes > 0);
        }
        if (i < count) {
            seen_ = positions[i] + 1;
            queueRest(log[positions[i]], static_cast<std::uint32_t>(written));
        }
        if (blocked) {
            return;  // to where those behind are queued
        }
    }
}

// A frame that has left in part must be finished whatever the limits say; those behind it are new.
inline void Connection::queueRest(const BroadcastLog::Entry& entry, std::uint32_t written) {
    const OverflowPolicy whenFull = entry.whenFull;
    FrameRun rest = entry.runFor(window());
    while (written > 0 && written >= rest.firstSize()) {
        written -= rest.skipFirst();
    }
    if (written > 0) {
        FrameRun started = rest.takeFirst();
        const std::uint32_t left = started.size() - written;
        budget_.add(left, 1);
        queue_.pushRest(loop_->queuePool(), std::move(started), written);
        channel_->figures.queuedBytes += left;
    }
    if (rest.messages > 0) {
        enqueueBroadcast(std::move(rest), whenFull);
    }
}

inline void Connection::enqueueBroadcast(FrameRun run, OverflowPolicy whenFull) {
    if (detail::olderMakeRoom(whenFull)) {
        budget_.add(run.size(), run.messages);
        pushOrDrop(std::move(run), whenFull);
        return;
    }
    if (budget_.reserve(run.size(), run.messages, options().queueLimits(), true) ==
        SendBudget::Outcome::accepted) {
        push(std::move(run));
        return;
    }
    // Not all of it has room: as much as has, frame by frame.
    while (run.messages > 0) {
        FrameRun one = run.takeFirst();
        const SendBudget::Outcome outcome =
            budget_.reserve(one.size(), 1, options().queueLimits(), true);
        if (outcome == SendBudget::Outcome::accepted) {
            push(std::move(one));
            continue;
        }
        const Errc error = outcome == SendBudget::Outcome::messagesFull ? Errc::queueMessagesFull
                                                                        : Errc::queueBytesFull;
        wasFull_.store(true, std::memory_order_relaxed);
        droppedMessages_ += 1;
        channel_->handler->onDropped(*this, {1, one.size(), error});
        if (whenFull == OverflowPolicy::close) {
            const Written missed{run.end - run.begin, run.messages};
            budget_.add(missed.bytes, missed.messages);  // so that they count whatever happens
            beginClose(CloseCode::tryAgainLater, "client reads too slowly", ClosedBy::hub, error,
                       true);
            if (phase_ == Phase::closing) {
                budget_.release(missed.bytes, missed.messages);
                closing_->info.undeliveredBytes += missed.bytes;
                closing_->info.undeliveredMessages += missed.messages;
            }
            return;
        }
    }
}

inline void Connection::queueControl(FramePtr frame) {
    const std::uint32_t size = frame->size();
    budget_.add(size, 0);
    push({std::move(frame), 0, size, 0});
}

inline void Connection::sendRaw(std::string_view bytes) {
    queueControl(Frame::raw(bytes));
    flush();
}

inline void Connection::flush() {
    while ((!queue_.empty() || held_.bytes > 0) && !blocked_ && phase_ != Phase::ended) {
        std::array<WriteBuffer, maxGather> buffers;
        const std::size_t count = queue_.gather(buffers.data(), buffers.size());
        std::size_t wanted = 0;
        for (std::size_t i = 0; i < count; ++i) {
            wanted += buffers[i].size;
        }
        std::error_code error;
        const std::size_t bytes = writeSome(buffers.data(), count, error);
        if (error && error != std::errc::operation_would_block) {
            abort(error);
            return;
        }
        const Written taken = queue_.consume(loop_->queuePool(), bytes);
        unqueued(taken.bytes);
        held_.bytes += taken.bytes;
        held_.messages += taken.messages;
        if (!error) {
            budget_.release(held_.bytes, held_.messages);
            delivered(held_);
            held_ = {};
        }
        if (error || bytes < wanted) {
            waitForSocket(bytes > 0);
        }
    }
    checkQueue();
    if (!queue_.empty() || held_.bytes > 0) {
        return;
    }
    if (endAfterFlush_) {
        linger();
    } else if (phase_ == Phase::closing) {
        if (closing_->peerClosed || closing_->deaf) {
            finishClose();
        } else if (clientEnded_) {
            abort(Errc::connectionLost);  // its close frame cannot come any more
        }
    }
}

inline void Connection::writable() {
    awaitsSocket_ = false;
    tryToWrite();
}

inline void Connection::tryToWrite() {
    if (!std::exchange(blocked_, false)) {
        return;
    }
    countSlow(std::uint64_t{0} - 1);
    flush();
    if (phase_ == Phase::open && admitted_ && !blocked_) {
        schedule();
    }
}

inline void Connection::waitForSocket(bool progress) {
    if (progress || progress_ == TimePoint()) {
        progress_ = loop_->now();
    }
    if (!std::exchange(blocked_, true)) {
        countSlow(1);
    }
    if (!std::exchange(awaitsSocket_, true)) {
        waitWritable();
    }
    if (endAfterFlush_ && progress) {
        loop_->armTimer(*this, loop_->listenerOptions().closeTimeout);
    }
    if (phase_ == Phase::open && admitted_) {
        schedule();
    }
}

// A client that does not read what it gets is not read from either: what it asks for would only
// add to its queue.
inline void Connection::checkQueue() {
    if (!blocked_) {
        progress_ = TimePoint();
    }
    if (phase_ != Phase::open || !admitted_) {
        return;
    }
    const auto isOver = [this](std::size_t part) {
        const QueueLimits limits = options().queueLimits();
        return budget_.exceeds({limits.bytes / part, limits.messages / part});
    };
    if (blocked_ && isOver(2)) {
        pauseReading(queueFull);
    } else if ((pausedFor_ & queueFull) != 0 && !isOver(4)) {
        endPause(queueFull);
    }
    if (wasFull_.load(std::memory_order_relaxed) && !isOver(2)) {
        wasFull_.store(false, std::memory_order_relaxed);
        channel_->handler->onDrain(*this);
    }
}

// Deadlines of an open session ------------------------------------------------------------------

// One timer serves all of them. What only moves a deadline away does not touch it: when it expires,
// it is set to what is next.
inline void Connection::schedule() noexcept {
    TimePoint next = (TimePoint::max)();
    if (expires_ != (TimePoint::max)()) {
        next = detail::saturatedAdd(loop_->now(),
                                    detail::saturatedDifference(expires_, loop_->wallTime()));
    }
    if (leaves_ != 0) {
        next = (std::min)(next, loop_->tickBegin(leaves_));
    }
    if (blocked_) {
        // A look on the way tells at the end whether something has arrived since.
        if (options().stallTimeout.count() > 0) {
            const bool looked = watch_ && !pinging() && watch_->since == progress_;
            next = (std::min)(next, progress_ + options().stallTimeout / (looked ? 1 : 4));
        }
    } else if (pinging()) {
        next = (std::min)(next, watch_->since + options().pongTimeout);
    } else if (options().pingInterval.count() > 0) {
        next = (std::min)(next, pingDue());
    }
    if ((pausedFor_ & tooFast) != 0) {
        next = (std::min)(next, inboundRate_->reached());
    }
    if (next == (TimePoint::max)()) {
        loop_->disarmTimer(*this);
    } else {
        loop_->armTimer(*this, next);
    }
}

inline void Connection::setExpiry(TimePoint time) noexcept {
    const bool before = expires_ != (TimePoint::max)();
    expires_ = time;
    if (const bool after = time != (TimePoint::max)(); after != before) {
        loop_->countExpiring(after ? 1 : -1);
    }
}

// Up to a quarter earlier than the interval says, differently for each session and each time, so
// that sessions that were opened together do not stay in step.
inline Connection::TimePoint Connection::pingDue() const noexcept {
    const auto seen = static_cast<std::uint64_t>(lastSeen_.load(std::memory_order_relaxed));
    const std::uint64_t mixed = (seen ^ id_.value() << 20) * 0x9E3779B97F4A7C15U >> 32;
    const TimePoint::duration quarter = TimePoint::duration(options().pingInterval) / 4;
    return lastSeen() + options().pingInterval -
           TimePoint::duration(quarter.count() / 1024 * static_cast<TimePoint::rep>(mixed % 1024));
}

// True if the session would be closed for a deadline of its client's.
inline bool Connection::overdue() const noexcept {
    const TimePoint now = loop_->now();
    if (expires_ != (TimePoint::max)() && loop_->wallTime() >= expires_) {
        return true;
    }
    if (blocked_) {
        return options().stallTimeout.count() > 0 && now >= progress_ + options().stallTimeout;
    }
    return pinging() && lastSeen() < watch_->pinged && now >= watch_->since + options().pongTimeout;
}

// The loop may have been held up, so that what would have kept a deadline is there and was not
// looked at: an answer in the socket, room in the socket, or what another thread has submitted.
inline void Connection::takeWhatWaits() {
    loop_->catchUp();
    if (phase_ != Phase::ended) {
        readNow();
    }
    if (phase_ != Phase::ended && blocked_) {
        tryToWrite();
    }
}

inline void Connection::checkDeadlines() {
    if (overdue()) {
        takeWhatWaits();
        if (phase_ != Phase::open) {
            return;
        }
    }
    const TimePoint now = loop_->now();
    if (expires_ != (TimePoint::max)() && loop_->wallTime() >= expires_) {
        beginClose(CloseCode::unauthorized, "session has expired", ClosedBy::hub, {}, false);
        return;
    }
    if (leaves_ != 0 && now >= loop_->tickBegin(leaves_)) {
        sayGoodBye();
        return;
    }
    if ((pausedFor_ & tooFast) != 0 && now >= inboundRate_->reached()) {
        endPause(tooFast);
    }
    if (blocked_) {
        if (pinging()) {
            watch_.reset();
        }
        if (options().stallTimeout.count() > 0 && stalls(now)) {
            if (!loop_->extendTimer(*this)) {
                beginClose(CloseCode::tryAgainLater, "write stalled", ClosedBy::hub, Errc::stalled,
                           true);
            }
            return;
        }
    } else if (pinging() && lastSeen() >= watch_->pinged) {
        watch_.reset();  // anything that came shows that it lives
    } else if (pinging()) {
        if (now >= watch_->since + options().pongTimeout && !pingIsOnItsWay()) {
            if (loop_->extendTimer(*this)) {
                return;
            }
            beginClose(CloseCode::internalError, "no answer to a ping", ClosedBy::hub,
                       Errc::pongTimeout, true);
            abort(Errc::pongTimeout);  // nobody is there to answer the close frame
            return;
        }
    } else if (options().pingInterval.count() > 0 && now >= pingDue() &&
               (pausedFor_ & tooFast) == 0) {
        ping();
    }
    if (phase_ == Phase::open) {
        schedule();
    }
}

// A client that is slow may be behind by megabytes, in the buffers of both systems.
inline void Connection::ping() {
    const auto before = sendPositions();
    watch_ = std::make_unique<Watch>();
    watch_->pinged = watch_->since = loop_->now();
    const auto sent = watch_->pinged.time_since_epoch().count();
    queueControl(
        Frame::make(protocol::Opcode::ping, {reinterpret_cast<const char*>(&sent), sizeof(sent)}));
    flush();
    if (before && watch_) {
        watch_->acknowledged = watch_->end = before->acknowledged;
        if (before->taken != before->acknowledged) {
            watch_->end = before->taken;
        }
    }
}

// True if what was sent before the ping has gone on reaching the client: until the ping is there,
// there is no answer to be had. Then it has the time-out from now on.
inline bool Connection::pingIsOnItsWay() {
    if (watch_->acknowledged == watch_->end) {
        return false;
    }
    const auto positions = sendPositions();
    if (!positions || positions->acknowledged == watch_->acknowledged) {
        return false;
    }
    const auto left = static_cast<std::int32_t>(watch_->end - positions->acknowledged);
    watch_->acknowledged = left > 0 ? positions->acknowledged : watch_->end;
    watch_->since = loop_->now();
    return true;
}

// While the socket takes nothing. A ping would wait behind what waits, and an answer to an earlier
// one may not be read. The socket has room again when a good part of its buffer has left, which a
// slow client may take longer for than the time-out: what has arrived since the last look counts.
inline bool Connection::stalls(TimePoint now) {
    const TimePoint::duration patience = options().stallTimeout;
    const bool over = now >= progress_ + patience;
    const bool looked = watch_ && watch_->since == progress_;
    if (!over && (looked || now < progress_ + patience / 4)) {
        return false;
    }
    const auto positions = sendPositions();
    const std::uint32_t acknowledged = positions ? positions->acknowledged : 0;
    if (over && looked && acknowledged == watch_->acknowledged) {
        return true;
    }
    if (over) {
        progress_ = looked ? now : now - patience * 3 / 4;  // the loop was held up, and has not
    }
    watch_ = std::make_unique<Watch>();
    watch_->since = progress_;
    watch_->acknowledged = acknowledged;
    return false;
}

// Our pings carry the time, so a pong tells how long it took; one that was not asked for does not.
inline void Connection::heardPong(std::string_view payload) {
    if (!pinging()) {
        return;
    }
    const auto sent = watch_->pinged.time_since_epoch().count();
    if (payload == std::string_view(reinterpret_cast<const char*>(&sent), sizeof(sent))) {
        const auto took =
            std::chrono::duration_cast<std::chrono::microseconds>(lastSeen() - watch_->pinged)
                .count();
        roundTrip_.store(static_cast<std::uint32_t>(std::clamp<std::int64_t>(took, 1, 0xFFFFFFFF)),
                         std::memory_order_relaxed);
        watch_.reset();
        if (options().pingInterval < options().pongTimeout && phase_ == Phase::open) {
            schedule();  // the next ping is due before the timer that is set
        }
    }
}

inline void Connection::countInbound(detail::RateLimiter& rate, std::uint64_t amount,
                                     std::uint64_t perSecond) {
    if (perSecond == 0 || phase_ != Phase::open) {
        return;
    }
    const TimePoint now = loop_->now();
    rate.count(now, amount, perSecond, loop_->heldUp(now));
    if (rate.reached() <= now) {
        return;
    }
    if (options().whenInboundTooFast == RatePolicy::close) {
        beginClose(CloseCode::policyViolation, "rate limit exceeded", ClosedBy::hub,
                   Errc::inboundTooFast, true);
    } else {
        pauseReading(tooFast);
        schedule();
    }
}

inline void Connection::endPause(PauseReason reason) {
    const std::uint8_t before = pausedFor_;
    pausedFor_ = static_cast<std::uint8_t>(before & ~reason);
    if (before != 0 && pausedFor_ == 0) {
        resumeReading();
    }
}

// Closing, RFC 6455 section 7 ------------------------------------------------------------------

inline void Connection::beginClose(const Frame& closeFrame, ClosedBy by, std::error_code error) {
    std::string_view reason(closeFrame.data() + 2, closeFrame.size() - 2);
    const CloseCode code = protocol::takeCloseCode(reason);
    beginClose(code, reason, by, error, code == CloseCode::tryAgainLater && error);
}

inline void Connection::beginClose(CloseCode code, std::string_view reason, ClosedBy by,
                                   std::error_code error, bool dropQueueFirst) {
    if (phase_ != Phase::open) {
        return;
    }
    if (!dropQueueFirst) {
        takeBroadcasts(false);
        if (phase_ != Phase::open) {
            return;
        }
    }
    dropHandshake();
    phase_ = Phase::closing;
    budget_.close();
    endPause(static_cast<PauseReason>(pausedFor_));  // its close frame must be read
    reason = reason.substr(0, protocol::utf8PrefixLength(reason, protocol::maxCloseReason));
    closing_ = std::make_unique<ClosingState>();
    closing_->info.code = code;
    closing_->info.reason = reason;
    closing_->info.by = by;
    closing_->info.error = error;
    if (dropQueueFirst) {
        missBroadcasts(closing_->info);
        dropQueue();
    }
    queueControl(Frame::make(protocol::Opcode::close, protocol::closePayload(code, reason)));
    loop_->armTimer(*this, options().closeTimeout);
    flush();
}

inline void Connection::peerClosed(CloseCode code, std::string_view reason) {
    // If it was first: the peer reads no more messages now, so what waits is not sent before the
    // answer.
    beginClose(code, reason, ClosedBy::peer, {}, true);
    if (phase_ == Phase::closing) {
        closing_->peerClosed = true;
        flush();
    }
}

// What was said to all before the session ended, and has not got as far as its queue.
inline void Connection::missBroadcasts(CloseInfo& info) noexcept {
    for (; admitted_ && seen_ != channel_->log.end(); ++seen_) {
        const BroadcastLog::Entry& entry = channel_->log[seen_];
        if (!entry.skips(id_)) {
            info.undeliveredMessages += entry.run.messages;
            info.undeliveredBytes += entry.bytesFor(window()).size;
        }
    }
}

inline void Connection::dropQueue() {
    loop_->queuePool().reserve();  // for what stays
    const Written dropped = queue_.dropUnstarted(loop_->queuePool());
    budget_.release(dropped.bytes, dropped.messages);
    unqueued(dropped.bytes);
    closing_->info.undeliveredBytes += dropped.bytes;
    closing_->info.undeliveredMessages += dropped.messages;
}

// Both sides have said good-bye, or the peer cannot be understood any more.
inline void Connection::finishClose() {
    closing_->info.clean = closing_->peerClosed;
    reportClose(std::move(closing_->info));
    linger();
}

inline void Connection::reportClose(CloseInfo info) noexcept {
    budget_.close();
    phase_ = Phase::lingering;
    if (!admitted_) {
        closing_.reset();
        attachment_.reset();
        return;
    }
    loop_->connectionLeft(*this);
    setExpiry((TimePoint::max)());
    closing_.reset();
    info.deliveredMessages = deliveredMessages_;
    info.droppedMessages = droppedMessages_;
    info.undeliveredMessages += budget_.messages();
    info.undeliveredBytes += budget_.bytes();
    channel_->handler->onClose(*this, info);
    attachment_.reset();
}

// To close a socket that holds unread bytes would reset the connection, and the client might lose
// our last words; so end our direction and read on for a moment.
inline void Connection::linger() {
    endAfterFlush_ = false;
    phase_ = Phase::lingering;
    shutdownSend();
    if (clientEnded_) {
        end();
    } else {
        loop_->armTimer(*this, lingerTime);
    }
}

inline void Connection::receiveEnd(std::error_code error) {
    if (unread_ && listening()) {
        unread_->ended = true;  // what came before it comes first
        unread_->error = error;
        return;
    }
    if (!error && readsOn()) {
        return;
    }
    if (phase_ == Phase::lingering && !endAfterFlush_) {
        end();
    } else if (phase_ != Phase::ended) {
        abort(error ? error : make_error_code(Errc::connectionLost));
    }
}

// A client may end its direction behind its request, or behind its close frame, and still read. It
// cannot be told from one that has closed its socket; what is written to such a one fails.
inline bool Connection::readsOn() {
    clientEnded_ = true;
    switch (phase_) {
        case Phase::handshake:
            if (handshake_) {
                refuse(400, "the request is not complete");
            }
            return phase_ != Phase::handshake;
        case Phase::deciding:
            // There will be no session, but a refusal is for it to read.
            handshake_->pending->endClient();
            handshake_->ticket.reset();
            return true;
        case Phase::closing:
            return !queue_.empty() || held_.bytes > 0;
        case Phase::lingering:
            return endAfterFlush_;
        case Phase::open:
        case Phase::ended:
            break;
    }
    return false;
}

// Needs no memory, since a lack of it is one of the reasons to come here.
inline void Connection::abort(std::error_code error) noexcept {
    if (phase_ == Phase::open || phase_ == Phase::closing) {
        CloseInfo info = closing_ ? std::move(closing_->info) : CloseInfo();
        missBroadcasts(info);
        if (!info.error) {
            info.error = error;
        }
        reportClose(std::move(info));
    }
    end();
}

inline void Connection::expired() {
    if (phase_ == Phase::open && admitted_) {
        checkDeadlines();
        return;
    }
    takeWhatWaits();
    if (armed || phase_ == Phase::ended || (phase_ == Phase::open && admitted_) ||
        loop_->extendTimer(*this)) {
        return;  // it has gone on, or may
    }
    switch (phase_) {
        case Phase::handshake:
            refuse(408, "the handshake took too long");
            break;
        case Phase::deciding:
            rejectHandshake(unavailable("the handshake could not be decided in time\n"));
            break;
        case Phase::closing:
            abort(Errc::closeTimeout);
            break;
        case Phase::open:
            refuse(401, "authentication took too long");
            break;
        case Phase::lingering:
        case Phase::ended:
            end();
            break;
    }
}

inline void Connection::end() noexcept {
    if (phase_ == Phase::ended) {
        return;
    }
    dropHandshake();
    phase_ = Phase::ended;
    waitingPong_ = nullptr;
    watch_.reset();
    engine_.reset();
    unqueued(queue_.clear(loop_->queuePool()));
    if (std::exchange(blocked_, false)) {
        countSlow(std::uint64_t{0} - 1);
    }
    loop_->disarmTimer(*this);
    closeSocket();
    loop_->connectionEnded(*this);
}

}  // namespace pushhub

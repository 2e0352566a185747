#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <pushhub/close_code.hpp>
#include <pushhub/config.hpp>  // early: it refuses what cannot work
#include <pushhub/detail/process.hpp>
#include <pushhub/detail/text_list.hpp>
#include <pushhub/detail/time.hpp>
#include <pushhub/detail/unique_function.hpp>
#include <pushhub/detail/wait_until.hpp>
#include <pushhub/error.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/handshake.hpp>
#include <pushhub/http/forwarded.hpp>
#include <pushhub/http/origin.hpp>
#include <pushhub/hub_stats.hpp>
#include <pushhub/log.hpp>
#include <pushhub/options.hpp>
#include <pushhub/path_template.hpp>
#include <pushhub/push_options.hpp>
#include <pushhub/registry.hpp>
#include <pushhub/send_result.hpp>
#include <pushhub/session.hpp>
#include <pushhub/transport/transport.hpp>

namespace pushhub {

namespace detail {

template <class Hook, class = void>
inline constexpr bool hasOneCallOperator = !std::is_class_v<Hook>;
template <class Hook>
inline constexpr bool hasOneCallOperator<Hook, std::void_t<decltype(&Hook::operator())>> = true;

template <class Hook, class Payload>
inline constexpr bool isMessageHook = std::is_invocable_v<Hook&, const SessionPtr&, const Payload&>;

// The type with which onMessage calls a hook. Testing a generic lambda compiles its body with that
// type, where an error is final. So it is tested with text, the usual type, and with nothing else.
template <class Hook>
constexpr bool takesMessage() {
    if constexpr (!hasOneCallOperator<Hook> && isMessageHook<Hook, std::string_view>) {
        return false;
    } else {
        return isMessageHook<Hook, Message>;
    }
}

}  // namespace detail

/// A WebSocket endpoint for pushing to users.
///
/// Set the hooks, then `start` (or `run`), then push from any thread. The hooks of one session are
/// called one at a time: onOpen, onMessage any number of times, onClose exactly once; all on the
/// session's event loop, so a hook should return quickly. A hook may push, query, close, `stop`,
/// and start or destroy another hub; functions that must not be called in a hook throw. If a hook
/// throws, onError is called and the session continues. The hub holds no lock while a hook runs.
///
/// Destroy the hub before anything its hooks refer to. After `fork`, it belongs to the parent.
///
/// Unless stated otherwise, functions may be called from any thread.
template <class Transport>
class PushHub final : private TransportHandler, private Handshake::Decider {
    // Here and not in a function or a base: then a wrong Transport gives this one error alone.
    static constexpr auto missing = detail::missing<Transport>;
    static_assert(missing != detail::Missing::start,
                  "pushhub: a Transport needs start(TransportHandler&), see transport.hpp");
    static_assert(missing != detail::Missing::stop,
                  "pushhub: a Transport needs stop(TransportHandler&, std::chrono::milliseconds), "
                  "see transport.hpp");
    static_assert(missing != detail::Missing::sendAll,
                  "pushhub: a Transport needs sendAll(TransportHandler&, const FramePtr&, const "
                  "RefPtr<ExceptList>&, OverflowPolicy), see transport.hpp");
    static_assert(missing != detail::Missing::address,
                  "pushhub: a Transport needs address() const, a std::string, see transport.hpp");
    static_assert(missing != detail::Missing::port,
                  "pushhub: a Transport needs port() const, a std::uint16_t, see transport.hpp");
    static_assert(missing != detail::Missing::onLoop,
                  "pushhub: a Transport needs onLoop() const, a bool, see transport.hpp");
    static_assert(missing != detail::Missing::later,
                  "pushhub: a Transport needs later(std::function<void()>), see transport.hpp");

public:
    // Types that store hooks. Any callable converts to them, including move-only ones. nullptr, a
    // null function pointer and an empty std::function mean no hook.
    using OpenHook = detail::UniqueFunction<void(const SessionPtr&)>;
    using HandshakeHook = detail::UniqueFunction<void(const HandshakePtr&)>;
    using FirstMessageHook = detail::UniqueFunction<void(const HandshakePtr&, std::string_view)>;
    using MessageHook = detail::UniqueFunction<void(const SessionPtr&, const Message&)>;
    using DroppedHook = detail::UniqueFunction<void(const SessionPtr&, const Dropped&)>;
    using DrainHook = detail::UniqueFunction<void(const SessionPtr&)>;
    using CloseHook = detail::UniqueFunction<void(const SessionPtr&, const CloseInfo&)>;
    using ErrorHook =
        detail::UniqueFunction<void(const SessionPtr&, std::error_code, std::string_view)>;
    using LogHook = detail::UniqueFunction<void(const LogRecord&)>;
    using HttpHook = detail::UniqueFunction<std::optional<HttpResponse>(const HttpRequest&)>;

    /// User ids in braces. Functions that take one user delete the overload with such a list,
    /// because since C++20 a std::string_view can be constructed from `{"0001", "0002"}`, as the
    /// range between the two pointers.
    using UserList = std::initializer_list<detail::ListedText>;

    /// A hub with its own listener. Further arguments are forwarded to the transport: `PushHub<>
    /// hub(options, ioContext)` runs in the host's io_context. Throws std::invalid_argument naming
    /// the option and its value.
    template <class... TransportArgs>
    explicit PushHub(Options options, TransportArgs&&... transportArgs)
        : PushHub(std::make_shared<Transport>(checked(options),
                                              std::forward<TransportArgs>(transportArgs)...),
                  std::make_shared<const Options>(options), options) {}

    /// A hub with another path on the listener of `other`. Address, port, loops and the other
    /// listener options are those of `other`: throws std::invalid_argument for a listener option
    /// that has neither its default nor the listener's value. The listener is open while at least
    /// one of its hubs is started.
    PushHub(PushHub& other, Options options)
        : PushHub(other.transport_, other.listenerOptions_, checked(options)) {
        options_.validateForListener(*listenerOptions_);
    }

    /// Stops. In a hook (including one of this hub, except onError and onLog) and in a handler of
    /// the host's io_context it does not wait for clients; the captures of such a hook live until
    /// it returns, and its exceptions are not reported. In a hook that runs inside this hub's
    /// `start` or `stop` it ends the process. In a forked child process it leaves everything to the
    /// parent.
    ~PushHub() override {
        if (isForked()) {
            abandon();
            return;
        }
        if (holdsLife()) {
            endProcess();
        }
        if (transport_->onLoop()) {
            transport_->stop(*this,
                             std::chrono::milliseconds(0));  // now nobody waits for this loop
        }
        stopNow(std::chrono::seconds(5));
        hooks_->hubGone = true;
        const std::lock_guard<std::mutex> lock(life_->deferred);
        life_->hub = nullptr;
    }

    // Hooks: set them before `start`, otherwise std::logic_error is thrown ------------------

    /// Called when a client requests a session: see `Handshake`. Without this hook, any client that
    /// requests the path is accepted as the user named in it, but refused with 400 if it offers
    /// subprotocols. If the hook throws, the client gets 500. On a loop.
    void onHandshake(HandshakeHook hook) { set(handshakeHook_, std::move(hook), "onHandshake"); }

    /// Authentication by the first message, for clients that cannot send credentials earlier. A
    /// client accepted without a user is connected, but not registered, and gets no pushes; its
    /// first message is passed to this hook, to be decided like a handshake. On a loop.
    void onFirstMessage(FirstMessageHook hook) {
        set(firstMessageHook_, std::move(hook), "onFirstMessage");
    }

    /// Called when a session has opened; it is already registered.
    void onOpen(OpenHook hook) { set(openHook_, std::move(hook), "onOpen"); }

    /// Called when a session has ended; it is no longer registered.
    void onClose(CloseHook hook) { set(closeHook_, std::move(hook), "onClose"); }

    /// Called when a client has sent a message. A hook that takes `(SessionPtr, Message)` gets text
    /// and binary; one that takes `(SessionPtr, std::string_view)` gets text only, and a session
    /// that sends binary is closed with 1003. A generic lambda, or a function object with several
    /// call operators, gets text if it accepts text: give the parameter the type `Message` to get
    /// both. The bytes are valid until the hook returns.
    template <class Hook>
    void onMessage(Hook hook) {
        if constexpr (detail::takesMessage<Hook>()) {
            set(messageHook_, MessageHook(std::move(hook)), "onMessage");
        } else if constexpr (detail::isMessageHook<Hook, std::string_view>) {
            set(messageHook_,
                detail::isNull(hook) ? MessageHook() : MessageHook(textOnly(std::move(hook))),
                "onMessage");
        } else {
            static_assert(!std::is_same_v<Hook, Hook>,
                          "pushhub: onMessage takes a hook (SessionPtr, std::string_view text) or "
                          "(SessionPtr, Message)");
        }
    }
    void onMessage(std::nullptr_t) { set(messageHook_, MessageHook(), "onMessage"); }

    /// Called when a session's queue was full and messages already counted as accepted were
    /// dropped: messages from `sendAll`, or older ones to make room for newer ones. Not called for
    /// messages refused to their sender or replaced by a newer one with the same key. On the
    /// session's loop, possibly once for each message.
    void onDropped(DroppedHook hook) { set(droppedHook_, std::move(hook), "onDropped"); }

    /// Called when a session's queue was full and is at most half full again. On the session's
    /// loop.
    void onDrain(DrainHook hook) { set(drainHook_, std::move(hook), "onDrain"); }

    /// Called on errors: a hook threw, a client violated the protocol or a limit, connections
    /// cannot be accepted. The session is null if the error concerns none. On the loop where it
    /// occurred.
    void onError(ErrorHook hook) { set(errorHook_, std::move(hook), "onError"); }

    /// Receives log events: see `LogRecord`. Without it nothing is logged. Called on the loop or
    /// thread where the event occurs, possibly on several at a time.
    void onLog(LogHook hook) { set(logHook_, std::move(hook), "onLog"); }

    /// Called for a plain HTTP request on the same port, of any method, with its body
    /// (`Options::maxHttpBodySize`). Without a response the client gets 404, or 426 on the path of
    /// a hub (405 for methods other than GET and HEAD). For small responses: a health check, a
    /// page, a CORS preflight. The connection is closed after the response. A status or header that
    /// cannot be sent is reported to onError: the client gets 500, or the response without the
    /// header. On a loop.
    void onHttp(HttpHook hook) { set(httpHook_, std::move(hook), "onHttp"); }

    // Life -----------------------------------------------------------------------------------

    /// Opens the endpoint and returns. Throws std::system_error naming address and port if it
    /// cannot be opened; throws std::logic_error if the hub is already started, if another started
    /// hub on the listener has the same paths, or in a hook while another thread stops this hub or
    /// closes the listener.
    void start() {
        if (!startIfIdle()) {
            throw std::logic_error("pushhub: start() of a hub that is started");
        }
    }

    /// Calls `start` unless the hub is started, then waits until another thread or a hook calls
    /// `stop`. A `stop` called since the last `start` or `run` is not lost: then it returns
    /// immediately. It does not run a host's io_context. Throws std::logic_error in a hook or a
    /// handler of the host's io_context, which would wait for itself.
    void run() {
        if (inHook()) {
            throw std::logic_error(
                "pushhub: run() in a hook or a handler, expected a thread that "
                "can wait");
        }
        refuseIfForked("run");
        const std::shared_ptr<Life> life = life_;  // the hub may be destroyed meanwhile
        std::unique_lock<std::mutex> lock(life->mutex);
        const std::uint64_t before = life->stops;
        if (state_ == State::idle && !life->stopped) {
            lock.unlock();
            startIfIdle(true);
            lock.lock();
        }
        life->changed.wait(lock, [&] { return life->stopped || life->stops != before; });
        life->stopped = false;
    }

    /// Refuses new handshakes, closes every session with 1001 after sending its accepted messages,
    /// and aborts those that have not ended by the deadline; onClose is called for each. When it
    /// returns, no hook is running and the port is free; the hub can be started again. If another
    /// thread is already stopping it, the earlier deadline applies. In a hook, or in a handler of
    /// the host's io_context, it only starts the shutdown and returns. Elsewhere, do not call it
    /// while holding a lock that a hook takes.
    ///
    /// In a host's io_context the threads that run it continue to call the hooks. Only if these
    /// have left it, or have not reached the hub 5 s after the deadline, this thread calls the
    /// hooks.
    void stop(std::chrono::milliseconds deadline = std::chrono::seconds(5)) {
        if (isForked()) {
            state_ = State::idle;  // the sessions are the parent's
        } else if (!inHook()) {
            stopNow(deadline);
        } else if (const State state = state_;
                   state == State::starting || state == State::running) {
            transport_->later([life = life_, deadline, stops = stops()] {
                const std::lock_guard<std::mutex> lock(life->deferred);
                if (life->hub) {
                    life->hub->stopNow(deadline, stops);
                }
            });
        } else {
            rememberStop();
        }
    }

    /// `stop` with a time in any unit.
    template <class Rep, class Period>
    void stop(std::chrono::duration<Rep, Period> deadline) {
        stop(detail::saturatedCast<std::chrono::milliseconds>(deadline));
    }

    bool isRunning() const noexcept { return state_ == State::running; }

    /// While started, the port the hub listens on; otherwise the one from the options.
    std::uint16_t port() const noexcept { return transport_->port(); }

    /// The transport, for functions specific to its type.
    Transport& transport() noexcept { return *transport_; }

    // Pushes: they never block, and never throw because of a client. A session gets the messages of
    // one thread in order. See `SendResult`; O(size of the message) plus the stated cost.
    // --------------------------------------------------------------------------------------

    /// To every session. O(number of loops): the sessions' loops do the rest.
    SendResult sendAll(std::string_view text, const PushOptions& push = {}) {
        return sendAll(MessageType::text, text, push, nullptr);
    }
    SendResult sendAllBinary(std::string_view bytes, const PushOptions& push = {}) {
        return sendAll(MessageType::binary, bytes, push, nullptr);
    }

    /// To every session except one, or except the current sessions of one user.
    SendResult sendAllExcept(const SessionPtr& session, std::string_view text,
                             const PushOptions& push = {}) {
        return sendAll(MessageType::text, text, push, except(session));
    }
    SendResult sendAllExcept(std::string_view userId, std::string_view text,
                             const PushOptions& push = {}) {
        return sendAll(MessageType::text, text, push, except(userId));
    }
    SendResult sendAllExceptBinary(const SessionPtr& session, std::string_view bytes,
                                   const PushOptions& push = {}) {
        return sendAll(MessageType::binary, bytes, push, except(session));
    }
    SendResult sendAllExceptBinary(std::string_view userId, std::string_view bytes,
                                   const PushOptions& push = {}) {
        return sendAll(MessageType::binary, bytes, push, except(userId));
    }
    SendResult sendAllExcept(UserList, std::string_view, const PushOptions& = {}) = delete;
    SendResult sendAllExceptBinary(UserList, std::string_view, const PushOptions& = {}) = delete;

    /// To all sessions of a user. O(sessions of the user).
    SendResult sendOne(std::string_view userId, std::string_view text,
                       const PushOptions& push = {}) {
        return sendOne(MessageType::text, userId, text, push);
    }
    SendResult sendOneBinary(std::string_view userId, std::string_view bytes,
                             const PushOptions& push = {}) {
        return sendOne(MessageType::binary, userId, bytes, push);
    }
    SendResult sendOne(UserList, std::string_view, const PushOptions& = {}) = delete;
    SendResult sendOneBinary(UserList, std::string_view, const PushOptions& = {}) = delete;

    /// To all sessions of each of these users; a user named twice gets one copy. Takes any range of
    /// elements that convert to std::string_view or std::string, or a list in braces. O(n log n) in
    /// the number of users.
    template <class Users>
    SendResult sendMore(Users&& userIds, std::string_view text, const PushOptions& push = {}) {
        return sendMore(MessageType::text, detail::TextList::of(userIds), text, push);
    }
    SendResult sendMore(UserList userIds, std::string_view text, const PushOptions& push = {}) {
        return sendMore(MessageType::text, userIds, text, push);
    }
    template <class Users>
    SendResult sendMoreBinary(Users&& userIds, std::string_view bytes,
                              const PushOptions& push = {}) {
        return sendMore(MessageType::binary, detail::TextList::of(userIds), bytes, push);
    }
    SendResult sendMoreBinary(UserList userIds, std::string_view bytes,
                              const PushOptions& push = {}) {
        return sendMore(MessageType::binary, userIds, bytes, push);
    }

    /// Closes all sessions of a user, for example on log-out. Returns the number of these sessions.
    /// See `Session::close`; a code that must not be sent throws std::invalid_argument.
    std::size_t disconnect(std::string_view userId, CloseCode code = CloseCode::unauthorized,
                           std::string_view reason = {}) {
        if (!isSendableCloseCode(static_cast<std::uint16_t>(code))) {
            throw std::invalid_argument("pushhub: disconnect: " + wrongCloseCode(code));
        }
        const UserSessions sessions = registry_.find(userId);
        sessions.forEach([&](const SessionPtr& session) { session->close(code, reason); });
        return sessions.size();
    }
    std::size_t disconnect(UserList, CloseCode = CloseCode::unauthorized,
                           std::string_view = {}) = delete;

    // Queries. A session counts from just before its onOpen to just before its onClose. ------

    std::size_t sessionCount() const noexcept { return registry_.sessionCount(); }
    std::size_t userCount() const noexcept { return registry_.userCount(); }
    bool isOnline(std::string_view userId) const { return !registry_.find(userId).empty(); }

    /// O(sessions of the user).
    std::vector<SessionPtr> sessions(std::string_view userId) const {
        std::vector<SessionPtr> result;
        registry_.find(userId).forEach(
            [&](const SessionPtr& session) { result.push_back(session); });
        return result;
    }

    /// In no particular order. O(users).
    std::vector<std::string> userIds() const { return registry_.userIds(); }

    /// Any thread; O(1).
    HubStats stats() const noexcept {
        HubStats stats;
        stats.sessions = registry_.sessionCount();
        stats.users = registry_.userCount();
        stats.handshakesAccepted = accepted_;
        for (std::size_t i = 0; i < refused_.size(); ++i) {
            stats.refusals.counts[i] = refused_[i];
            stats.handshakesRefusedOtherwise += refused_[i];
        }
        stats.handshakesUnauthorized = stats.refusals[401];
        stats.handshakesForbidden = stats.refusals[403];
        stats.handshakesOverUserLimit = stats.refusals[409];
        stats.handshakesUnavailable = stats.refusals[503];
        for (const int counted : {0, 401, 403, 409, 503}) {
            stats.handshakesRefusedOtherwise -= stats.refusals[counted];
        }
        stats.handshakesTlsFailed = counters_->tlsFailed;
        stats.closedByPeer = closedBy_[static_cast<std::size_t>(ClosedBy::peer)];
        stats.closedByHost = closedBy_[static_cast<std::size_t>(ClosedBy::host)];
        stats.closedByHub = closedBy_[static_cast<std::size_t>(ClosedBy::hub)];
        stats.closedByNetwork = closedBy_[static_cast<std::size_t>(ClosedBy::network)];
        stats.messagesIn = counters_->messagesIn;
        stats.bytesIn = counters_->bytesIn;
        stats.messagesOut = counters_->messagesOut;
        stats.bytesOut = counters_->bytesOut;
        stats.refusedMessages = counters_->refusedMessages;
        stats.droppedMessages = droppedMessages_;
        stats.droppedBytes = droppedBytes_;
        stats.conflatedMessages = conflatedMessages_;
        stats.queuedBytes = counters_->queuedBytes;
        stats.slowSessions = counters_->slowSessions;
        stats.loopLag = counters_->lag.at(std::chrono::steady_clock::now());
        return stats;
    }

private:
    // What others may still hold when the hub has gone.
    struct Life {
        std::mutex deferred;  // held while a `stop` of a hook is carried out
        PushHub* hub;         // guarded by it; null once the hub goes

        std::mutex mutex;  // of the rest
        std::condition_variable changed;
        bool stopped = false;  // since the last start, and no `run` has returned on account of it
        std::uint64_t stops = 0;

        std::atomic<std::thread::id> holder{};  // of the `LifeLock`
    };

    PushHub(std::shared_ptr<Transport> transport, std::shared_ptr<const Options> listenerOptions,
            const Options& options)
        : transport_(std::move(transport)),
          listenerOptions_(std::move(listenerOptions)),
          options_(options),
          path_(makePath(options)),
          userIndex_(path_->indexOf(options.userParameter)),
          origins_(options.allowedOrigins),
          proxies_(options.trustedProxies) {
        life_->hub = this;
    }

    static std::shared_ptr<const PathTemplate> makePath(const Options& options) {
        try {
            return std::make_shared<const PathTemplate>(options.path);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument("pushhub: option path: " + std::string(error.what()));
        }
    }

    static const Options& checked(const Options& options) {
        options.validate();
        return options;
    }

    template <class Hook>
    void set(Hook& hook, Hook value, const char* name) {
        const auto refuseIfStarted = [&] {
            if (state_ != State::idle) {
                throw std::logic_error(std::string("pushhub: ") + name + " set after start()");
            }
        };
        refuseIfStarted();
        const LifeLock lock = lockLife(name);
        refuseIfStarted();
        hook = std::move(value);
    }

    template <class Hook>
    static auto textOnly(Hook hook) {
        return [hook = std::move(hook)](const SessionPtr& session, const Message& message) mutable {
            if (message.type == MessageType::text) {
                std::invoke(hook, session, message.data);
            } else {
                session->connection().close(CloseCode::unsupportedData,
                                            "binary messages not supported", ClosedBy::hub,
                                            Errc::unsupportedData);
            }
        };
    }

    // Life, continued ------------------------------------------------------------------------

    using TimePoint = std::chrono::steady_clock::time_point;

    // Start, stop and the setting of hooks, one at a time. Null if another thread still has it at
    // that time.
    class LifeLock {
    public:
        LifeLock(std::shared_ptr<Life> life, TimePoint time) {
            std::unique_lock<std::mutex> lock(life->mutex);
            if (detail::waitUntil(life->changed, lock, time,
                                  [&] { return life->holder == std::thread::id(); })) {
                life->holder = std::this_thread::get_id();
                life_ = std::move(life);
            }
        }
        LifeLock(LifeLock&&) noexcept = default;
        LifeLock& operator=(LifeLock&&) noexcept = default;
        ~LifeLock() {
            if (life_) {
                const std::lock_guard<std::mutex> lock(life_->mutex);
                life_->holder = std::thread::id();
                life_->changed.notify_all();
            }
        }
        explicit operator bool() const noexcept { return life_ != nullptr; }

    private:
        std::shared_ptr<Life> life_;
    };

    bool holdsLife() const noexcept { return life_->holder == std::this_thread::get_id(); }

    // Also onLog in `start` and `stop`, on whichever thread.
    bool inHook() const noexcept { return holdsLife() || transport_->onLoop(); }

    // A hook must not wait for a thread that waits for it.
    LifeLock lockLife(const char* call) {
        const auto refuse = [call](const char* where) {
            throw std::logic_error(std::string("pushhub: ") + call + where);
        };
        if (holdsLife()) {
            refuse(" in a hook that start() or stop() of the hub calls");
        }
        LifeLock lock(life_, transport_->onLoop() ? TimePoint() : (TimePoint::max)());
        if (!lock) {
            refuse(" in a hook while another thread starts or stops the hub");
        }
        return lock;
    }

    std::uint64_t stops() const {
        const std::lock_guard<std::mutex> lock(life_->mutex);
        return life_->stops;
    }

    // `unlessStopped`: not if a `stop` came since the last `start`.
    bool startIfIdle(bool unlessStopped = false) {
        refuseIfForked("start");
        if (state_ == State::running) {
            return false;
        }
        const LifeLock lock = lockLife("start()");
        if (state_ != State::idle) {
            return false;
        }
        if (unlessStopped) {
            const std::lock_guard<std::mutex> reading(life_->mutex);
            if (life_->stopped) {
                return false;
            }
        }
        if (userIndex_ == PathTemplate::npos && !handshakeHook_ && !firstMessageHook_) {
            throw std::logic_error("pushhub: option path is \"" + options_.path +
                                   "\", expected a parameter {" + options_.userParameter +
                                   "} or a hook onHandshake or onFirstMessage that tells the user");
        }
        state_ = State::starting;
        try {
            transport_->start(*this);
        } catch (...) {
            state_ = State::idle;
            throw;
        }
        {
            const std::lock_guard<std::mutex> changing(life_->mutex);
            life_->stopped = false;
            process_ = detail::currentProcess();
            state_ = State::running;
        }
        log(LogLevel::info, "started", [&](LogFields& fields) {
            fields.add("address", transport_->address());
            fields.add("port", std::to_string(port()));
            fields.add("path", options_.path);
        });
        return true;
    }

    // A `stop` that a hook has put off does nothing if there was another one since: `stops` are
    // those before it.
    void stopNow(std::chrono::milliseconds deadline,
                 std::optional<std::uint64_t> stops = std::nullopt) {
        LifeLock lock(life_,
                      detail::saturatedAdd(std::chrono::steady_clock::now(),
                                           (std::max)(deadline, std::chrono::milliseconds(0))));
        if (!lock) {
            cutSessions();
            lock = LifeLock(life_, (TimePoint::max)());
        }
        if (state_ == State::idle) {
            rememberStop();
            return;
        }
        if (stops && *stops != this->stops()) {
            return;
        }
        state_ = State::stopping;
        transport_->stop(*this, deadline);
        log(LogLevel::info, "stopped",
            [&](LogFields& fields) { fields.add("path", options_.path); });
        const std::lock_guard<std::mutex> changing(life_->mutex);
        state_ = State::idle;
        process_ = 0;
        ++life_->stops;
        life_->stopped = true;
        life_->changed.notify_all();
    }

    // Another thread stops, and has more time than this one had.
    void cutSessions() {
        const std::lock_guard<std::mutex> lock(life_->mutex);  // it is not started again meanwhile
        if (state_ != State::stopping) {
            return;
        }
        for (const std::string& userId : registry_.userIds()) {
            registry_.find(userId).forEach([](const SessionPtr& session) {
                Command command;
                command.task = detail::makeTask([session] { session->connection().cutOff(); });
                session->connection().loop().submit(std::move(command));
            });
        }
    }

    void rememberStop() {
        const std::lock_guard<std::mutex> changing(life_->mutex);
        life_->stopped = true;
    }

    // In a child process the threads of the loops do not exist, locks may be held for ever, and
    // what is done to a socket's registration is done to the parent's.
    bool isForked() const noexcept {
        const long process = process_;
        return process != 0 && process != detail::currentProcess();
    }
    void refuseIfForked(const char* call) const {
        if (isForked()) {
            throw std::logic_error(std::string("pushhub: ") + call +
                                   "() in a child process of the one that started the hub");
        }
    }
    void abandon() {
        new std::shared_ptr<Transport>(transport_);  // leaked, so that nothing of it is destroyed
        new std::shared_ptr<Life>(life_);
    }

    [[noreturn]] static void endProcess() {
        throw std::logic_error(
            "pushhub: a hub is destroyed in a hook that runs inside its start() or stop()");
    }

    // Pushes, continued ----------------------------------------------------------------------

    std::error_code encode(MessageType type, std::string_view payload, const PushOptions& push,
                           detail::Outgoing& outgoing) const {
        if (!isRunning()) {
            return Errc::notRunning;
        }
        return outgoing.encode(type, payload, push, options_);
    }

    // Those of the sessions that are there, a bit for each.
    unsigned windowsInUse() const noexcept {
        unsigned windows = 0;
        for (unsigned window = 1; options_.compression && window < windows_.size(); ++window) {
            windows |= windows_[window] > 0 ? 1U << window : 0U;
        }
        return windows;
    }

    SendResult sendAll(MessageType type, std::string_view payload, const PushOptions& push,
                       const detail::RefPtr<ExceptList>& except) {
        SendResult result;
        detail::Outgoing outgoing;
        result.error = encode(type, payload, push, outgoing);
        if (!result.error) {
            result.accepted = registry_.sessionCount();
            result.accepted -= except ? (std::min)(result.accepted, except->size()) : 0;
            transport_->sendAll(*this, outgoing.allForms(windowsInUse()), except,
                                detail::policy(push, options_));
        }
        return result;
    }

    detail::RefPtr<ExceptList> except(const SessionPtr& session) const {
        return session ? detail::makeRef<ExceptList>(std::vector<SessionId>{session->id()})
                       : nullptr;
    }

    detail::RefPtr<ExceptList> except(std::string_view userId) const {
        std::vector<SessionId> ids;
        registry_.find(userId).forEach(
            [&](const SessionPtr& session) { ids.push_back(session->id()); });
        return ids.empty() ? nullptr : detail::makeRef<ExceptList>(std::move(ids));
    }

    SendResult sendOne(MessageType type, std::string_view userId, std::string_view payload,
                       const PushOptions& push) {
        SendResult result;
        detail::Outgoing outgoing;
        result.error = encode(type, payload, push, outgoing);
        if (result.error) {
            return result;
        }
        const UserSessions sessions = registry_.find(userId);
        result.offline = sessions.empty() ? 1 : 0;
        const OverflowPolicy whenFull = detail::policy(push, options_);
        sessions.forEach([&](const SessionPtr& session) {
            Connection& connection = session->connection();
            detail::count(result, connection.send(outgoing.form(connection.window()), whenFull));
        });
        return result;
    }

    SendResult sendMore(MessageType type, detail::TextList users, std::string_view payload,
                        const PushOptions& push) {
        std::vector<std::string_view>& userIds = users.views();
        SendResult result;
        detail::Outgoing outgoing;
        result.error = encode(type, payload, push, outgoing);
        if (result.error) {
            return result;
        }
        std::sort(userIds.begin(), userIds.end());
        userIds.erase(std::unique(userIds.begin(), userIds.end()), userIds.end());

        // One hand-over to each loop, however many of the sessions live there.
        const OverflowPolicy whenFull = detail::policy(push, options_);
        std::vector<LoopCommands> perLoop;
        for (const std::string_view userId : userIds) {
            const UserSessions sessions = registry_.find(userId);
            result.offline += sessions.empty() ? 1U : 0U;
            sessions.forEach([&](const SessionPtr& session) {
                Connection& connection = session->connection();
                commandsFor(perLoop, connection.loop(), userIds.size())
                    .push_back(
                        connection.sendCommand(outgoing.form(connection.window()), whenFull));
            });
        }
        for (auto& [loop, commands] : perLoop) {
            submit(*loop, commands, whenFull, result);
        }
        return result;
    }

    // Hands over those frames for which there is room.
    static void submit(LoopContext& loop, std::vector<Command>& commands, OverflowPolicy whenFull,
                       SendResult& result) {
        const auto refuses = [&](const Command& command) {
            const std::error_code refused = command.connection->reserve(*command.frame, whenFull);
            detail::count(result, refused);
            return static_cast<bool>(refused);
        };
        commands.erase(std::remove_if(commands.begin(), commands.end(), refuses), commands.end());
        try {
            loop.submit(commands.data(), commands.size());
        } catch (const std::bad_alloc&) {
            for (const Command& command : commands) {
                command.connection->takeBack(*command.frame);
                --result.accepted;
                detail::count(result, std::make_error_code(std::errc::not_enough_memory));
            }
        }
    }

    using LoopCommands = std::pair<LoopContext*, std::vector<Command>>;

    static std::vector<Command>& commandsFor(std::vector<LoopCommands>& perLoop, LoopContext& loop,
                                             std::size_t expected) {
        for (LoopCommands& entry : perLoop) {
            if (entry.first == &loop) {
                return entry.second;
            }
        }
        std::vector<Command>& commands = perLoop.emplace_back(&loop, std::vector<Command>()).second;
        commands.reserve(expected);
        return commands;
    }

    // Events of the transport ------------------------------------------------------------------

    static SessionPtr sessionOf(const Connection& connection) {
        return std::static_pointer_cast<Session>(connection.attachment());
    }

    const Options& options() const noexcept override { return options_; }
    const PathTemplate& path() const noexcept override { return *path_; }
    std::shared_ptr<const void> hooks() const noexcept override { return hooks_; }

    std::shared_ptr<detail::HubCounters> counters() const noexcept override { return counters_; }

    void onRefused(const Refusal& refusal) noexcept override {
        ++refused_[Refusals::indexOf(refusal.status)];
        const bool plain = refusal.request && !protocol::isUpgradeRequest(*refusal.request);
        log(LogLevel::info, plain ? "request refused" : "handshake refused",
            [&](LogFields& fields) {
                if (refusal.status != 0) {
                    fields.add("status", std::to_string(refusal.status));
                }
                fields.add("reason", std::string(refusal.reason));
                if (!refusal.request) {
                    fields.add("address", std::string(refusal.address));
                    return;
                }
                fields.add("address",
                           proxies_.clientAddress(std::string(refusal.address), *refusal.request));
                // Without the query, which may have a token.
                fields.add("path", std::string(refusal.request->path()));
            });
    }

    void onConnectionFailed(const Connection& connection, std::string_view event,
                            std::string_view reason) noexcept override {
        ++refused_[Refusals::indexOf(0)];
        log(LogLevel::info, event, [&](LogFields& fields) {
            fields.add("reason", std::string(reason));
            fields.add("address", connection.remoteAddress());
        });
    }

    bool onHandshake(PendingHandshake& pending) override {
        std::vector<std::string> params;
        if (!path_->match(pending.request().path(), params)) {
            return false;
        }
        if (!isRunning()) {
            pending.reject(unavailable("the service is stopping\n"));
        } else if (registry_.sessionCount() >= options_.maxSessions) {
            pending.reject(unavailable("too many sessions\n"));
        } else if (!isOriginAllowed(pending.request())) {
            pending.reject({403, "this origin is not allowed\n"});
        } else if (!countPending(pending.connection())) {
            pending.reject(unavailable("too many handshakes\n"));
        } else {
            decide(pending, std::move(params));
        }
        return true;
    }

    // Counts the connection while it is no session yet. The count may outlive the hub.
    bool countPending(Connection& connection) {
        if (!handshakeHook_ && !firstMessageHook_) {
            return true;
        }
        if (++*pendingHandshakes_ > options_.maxPendingHandshakes) {
            --*pendingHandshakes_;
            return false;
        }
        connection.keepWhilePending(
            std::shared_ptr<void>(nullptr, [count = pendingHandshakes_](void*) { --*count; }));
        return true;
    }

    bool isOriginAllowed(const HttpRequest& request) const noexcept {
        const std::string_view origin = request.origin();
        if (origins_.empty() && !origin.empty()) {
            return isSameOrigin(origin, request.header("Host"));
        }
        return origins_.judge(origin) != OriginPolicy::Verdict::refused;
    }

    // The hook's turn, or the answer without one.
    void decide(PendingHandshake& pending, std::vector<std::string> params) {
        if (!handshakeHook_ && !pending.request().subprotocols().empty()) {
            // Nobody here can choose one, and a browser drops a connection for which none is
            // chosen: better an answer that says why than a session that is lost at once.
            pending.reject({400, "this endpoint speaks no subprotocol\n"});
            return;
        }
        std::string userId = userIndex_ < params.size() ? params[userIndex_] : std::string();
        if (!handshakeHook_ && !firstMessageHook_) {
            pending.decide(
                [&] { openSession(pending, std::move(userId), std::move(params), Acceptance()); });
            return;
        }
        Handshake::Decider& decider = *this;
        const auto handshake = std::make_shared<Handshake>(
            decider, detail::RefPtr<PendingHandshake>(&pending), std::move(userId),
            remoteAddress(pending), path_, std::move(params));
        if (!handshakeHook_) {
            handshake->accept();
            return;
        }
        const PendingHandshake::InHook inHook(pending);
        if (!guarded(nullptr, "onHandshake", [&] { handshakeHook_(handshake); })) {
            handshake->reject(500, "internal error\n");
        }
    }

    std::string remoteAddress(const PendingHandshake& pending) const {
        return proxies_.clientAddress(pending.connection().remoteAddress(), pending.request());
    }

    void admit(Handshake& handshake, Acceptance acceptance) override {
        PendingHandshake& pending = handshake.pending();
        Connection& connection = pending.connection();
        const bool believed = acceptance.userId.empty();
        if (believed && firstMessageHook_ && !connection.open()) {
            connection.setAttachment(handshake.shared_from_this());
            connection.acceptHandshake(
                {acceptance.subprotocol, acceptance.headers, acceptance.compress},
                handshake.request(), nullptr);
            return;
        }
        if (!believed && !handshake.userId().empty() && acceptance.userId != handshake.userId()) {
            connection.rejectHandshake({403, "the path names another user\n"});
            return;
        }
        std::string userId = believed ? handshake.userId() : acceptance.userId;
        openSession(pending, std::move(userId), handshake.takeParams(), std::move(acceptance));
    }

    // The client may come: a session, if the limits allow one more.
    void openSession(PendingHandshake& pending, std::string userId, std::vector<std::string> params,
                     Acceptance acceptance) {
        Connection& connection = pending.connection();
        if (acceptance.expires && *acceptance.expires <= std::chrono::system_clock::now()) {
            HttpResponse expired{401, "expired\n"};
            expired.headers = {{"WWW-Authenticate", "Bearer error=\"invalid_token\""}};
            connection.rejectHandshake(std::move(expired));
            return;
        }
        if (userId.empty()) {
            report(nullptr, Errc::internalError, "a handshake was accepted without a user");
            connection.rejectHandshake({500, "internal error\n"});
            return;
        }
        if (params.size() == 1 && userIndex_ == 0) {
            params.clear();  // the session has it as the user
        }
        std::string behindProxy = proxies_.empty() ? std::string() : remoteAddress(pending);
        const auto session = std::make_shared<Session>(
            detail::RefPtr<Connection>(&connection), std::move(userId), path_, std::move(params),
            pending.takeRequest(), std::move(acceptance.data));
        if (!behindProxy.empty()) {
            session->setForwardedFor(std::move(behindProxy));
        }
        const bool keepRequest = options_.keepRequest;  // onOpen may destroy the hub
        const Registry::Added added = addSession(session);
        if (added != Registry::Added::yes) {
            pending.giveBack(session->takeRequest());
            connection.rejectHandshake(
                added == Registry::Added::full
                    ? unavailable("too many sessions\n")
                    : HttpResponse{409, "this user has too many sessions\n"});
            return;
        }
        try {
            if (connection.open()) {
                connection.admit(session);
            } else {
                connection.acceptHandshake({std::move(acceptance.subprotocol),
                                            std::move(acceptance.headers), acceptance.compress},
                                           session->request(), session);
            }
        } catch (const std::bad_alloc&) {
            if (!connection.admitted()) {
                registry_.remove(*session);  // otherwise onClose does
            }
            throw;
        }
        if (!keepRequest) {
            session->takeRequest();
        }
        if (acceptance.expires) {
            Session::expireAt(connection, *acceptance.expires);
        }
    }

    // Within the limits, making room for the user if that is the policy.
    Registry::Added addSession(const SessionPtr& session) {
        for (;;) {
            const Registry::Added added =
                registry_.add(session, options_.maxSessions, options_.maxSessionsPerUser);
            if (added != Registry::Added::userFull ||
                options_.whenUserFull == UserLimitPolicy::refuse) {
                return added;
            }
            if (const SessionPtr oldest = registry_.find(session->userId()).oldestOpen()) {
                oldest->close(CloseCode::sessionReplaced, "replaced by a newer session");
            }
        }
    }

    bool takesHttp() const noexcept override { return static_cast<bool>(httpHook_); }

    std::optional<HttpResponse> onHttp(const HttpRequest& request) override {
        std::optional<HttpResponse> response;
        const bool good = guarded(nullptr, "onHttp", [&] {
            if (httpHook_) {
                response = httpHook_(request);
            }
        });
        // The hook may have destroyed the hub.
        return good ? std::move(response) : HttpResponse{500, "internal error\n"};
    }

    void reportMisuse(const std::string& what) noexcept override {
        report(nullptr, std::make_error_code(std::errc::invalid_argument), what);
    }

    void onOpen(Connection& connection) noexcept override {
        const SessionPtr session = sessionOf(connection);
        ++accepted_;
        log(LogLevel::debug, "session opened",
            [&](LogFields& fields) { fields.addSession(*session); });
        ++windows_[connection.window()];
        guarded(session, "onOpen", [&] {
            if (openHook_) {
                openHook_(session);
            }
        });
    }

    // Another handshake object for the second decision, so that one who kept the first one cannot
    // make it.
    void onFirstMessage(Connection& connection, const Message& message) override {
        const auto first = std::static_pointer_cast<Handshake>(connection.attachment());
        const auto pending =
            detail::makeRef<PendingHandshake>(connection, first->pending().takeRequest());
        connection.setPendingHandshake(pending);
        Handshake::Decider& decider = *this;
        const auto handshake = std::make_shared<Handshake>(
            decider, pending, first->userId(), first->remoteAddress(), path_, first->takeParams());
        const PendingHandshake::InHook inHook(*pending);
        if (message.type != MessageType::text) {
            handshake->reject(401, "the first message must be text");
        } else if (!guarded(nullptr, "onFirstMessage",
                            [&] { firstMessageHook_(handshake, message.data); })) {
            handshake->reject(500, "internal error");
        }
    }

    void onMessage(Connection& connection, const Message& message) noexcept override {
        if (messageHook_) {
            const SessionPtr session = sessionOf(connection);
            guarded(session, "onMessage", [&] { messageHook_(session, message); });
        }
    }

    void onDropped(Connection& connection, const Dropped& dropped) noexcept override {
        if (dropped.reason == Errc::conflated) {
            conflatedMessages_ += dropped.messages;
            return;
        }
        droppedMessages_ += dropped.messages;
        droppedBytes_ += dropped.bytes;
        if (droppedHook_) {
            const SessionPtr session = sessionOf(connection);
            guarded(session, "onDropped", [&] { droppedHook_(session, dropped); });
        }
    }

    void onDrain(Connection& connection) noexcept override {
        if (drainHook_) {
            const SessionPtr session = sessionOf(connection);
            guarded(session, "onDrain", [&] { drainHook_(session); });
        }
    }

    void onClose(Connection& connection, const CloseInfo& info) noexcept override {
        const SessionPtr session = sessionOf(connection);
        --windows_[connection.window()];
        registry_.remove(*session);
        ++closedBy_[static_cast<std::size_t>(info.by)];
        log(info.error && info.by == ClosedBy::hub ? LogLevel::warning : LogLevel::debug,
            "session closed", [&](LogFields& fields) {
                fields.addSession(*session);
                fields.add("code", std::to_string(static_cast<unsigned>(info.code)));
                fields.add("reason", info.reason);
                if (info.error) {
                    fields.add("error", info.error.message());
                }
                fields.add("undelivered", std::to_string(info.undeliveredMessages));
            });
        // That clients vanish is nobody's fault.
        if (info.error && info.by == ClosedBy::hub && info.error != Errc::pongTimeout) {
            tell(session, info.error, info.reason);  // the log has it
        }
        guarded(session, "onClose", [&] {
            if (closeHook_) {
                closeHook_(session, info);
            }
        });
        session->takeData();  // it may refer to sessions, and they to this one
    }

    void onError(Connection* connection, std::error_code error,
                 std::string_view what) noexcept override {
        report(connection ? sessionOf(*connection) : nullptr, error, what);
    }

    // Runs what calls a hook; false if it threw.
    template <class Function>
    bool guarded(const SessionPtr& session, const char* hook, Function function) noexcept {
        const Hooks& hooks = *hooks_;  // the loop keeps them, if the hook destroys the hub
        try {
            function();
            return true;
        } catch (...) {
            if (!hooks.hubGone) {
                reportHook(session, hook);
            }
        }
        return false;
    }

    // The exception that is being handled.
    void reportHook(const SessionPtr& session, const char* hook) noexcept {
        try {
            throw;
        } catch (const std::system_error& error) {
            reportHook(session, error.code(), hook, error.what());
        } catch (const std::exception& error) {
            reportHook(session, Errc::hookFailed, hook, error.what());
        } catch (...) {
            reportHook(session, Errc::hookFailed, hook, "not a std::exception");
        }
    }

    void reportHook(const SessionPtr& session, std::error_code error, const char* hook,
                    const char* what) noexcept {
        try {
            report(session, error, std::string(hook) + ": " + what);
        } catch (const std::bad_alloc&) {
            report(session, error, hook);
        }
    }

    // Details of an event, for whoever reads the log.
    class LogFields {
    public:
        void add(std::string_view name, std::string value) {
            values_[count_] = std::move(value);
            fields_[count_] = {name, values_[count_]};
            ++count_;
        }
        void addSession(const Session& session) {
            add("session", std::to_string(session.id().value()));
            add("user", session.userId());
            add("address", session.remoteAddress());
        }
        LogRecord record(LogLevel level, std::string_view event) const noexcept {
            return {level, event, fields_.data(), count_};
        }

    private:
        std::array<std::string, 8> values_;
        std::array<LogField, 8> fields_{};
        std::size_t count_ = 0;
    };

    template <class Fill>
    void log(LogLevel level, std::string_view event, Fill fill) const noexcept {
        if (logHook_) {
            try {
                LogFields fields;
                fill(fields);
                logHook_(fields.record(level, event));
            } catch (...) {
                // A log that fails must not take the service with it.
            }
        }
    }

    void report(const SessionPtr& session, std::error_code error, std::string_view what) noexcept {
        log(LogLevel::error, "error", [&](LogFields& fields) {
            fields.add("error", error.message());
            fields.add("what", std::string(what));
            if (session) {
                fields.addSession(*session);
            }
        });
        tell(session, error, what);
    }

    void tell(const SessionPtr& session, std::error_code error, std::string_view what) noexcept {
        if (errorHook_) {
            try {
                errorHook_(session, error, what);
            } catch (...) {
                // There is nobody left to tell.
            }
        }
    }

    const std::shared_ptr<Transport> transport_;
    const std::shared_ptr<const Options> listenerOptions_;
    const Options options_;
    const std::shared_ptr<const PathTemplate> path_;
    const std::size_t userIndex_;

    const OriginPolicy origins_;
    const ProxyTrust proxies_;

    struct Hooks {
        HandshakeHook handshake;
        FirstMessageHook firstMessage;
        OpenHook open;
        MessageHook message;
        DroppedHook dropped;
        DrainHook drain;
        CloseHook close;
        ErrorHook error;
        LogHook log;
        HttpHook http;
        bool hubGone = false;  // while one of them runs
    };
    const std::shared_ptr<Hooks> hooks_ = std::make_shared<Hooks>();
    HandshakeHook& handshakeHook_ = hooks_->handshake;
    FirstMessageHook& firstMessageHook_ = hooks_->firstMessage;
    OpenHook& openHook_ = hooks_->open;
    MessageHook& messageHook_ = hooks_->message;
    DroppedHook& droppedHook_ = hooks_->dropped;
    DrainHook& drainHook_ = hooks_->drain;
    CloseHook& closeHook_ = hooks_->close;
    ErrorHook& errorHook_ = hooks_->error;
    LogHook& logHook_ = hooks_->log;
    HttpHook& httpHook_ = hooks_->http;

    Registry registry_;
    const std::shared_ptr<std::atomic<std::size_t>> pendingHandshakes_ =
        std::make_shared<std::atomic<std::size_t>>(0);
    const std::shared_ptr<detail::HubCounters> counters_ = std::make_shared<detail::HubCounters>();
    std::array<std::atomic<std::uint64_t>, Refusals::statuses.size() + 1> refused_{};
    std::array<std::atomic<std::uint64_t>, 4> closedBy_{};
    std::atomic<std::uint64_t> accepted_{0};
    std::array<std::atomic<std::size_t>, 16> windows_{};  // sessions with each, 0: none
    std::atomic<std::uint64_t> droppedMessages_{0};
    std::atomic<std::uint64_t> droppedBytes_{0};
    std::atomic<std::uint64_t> conflatedMessages_{0};

    enum class State : std::uint8_t { idle, starting, running, stopping };
    std::atomic<State> state_{State::idle};
    std::atomic<long> process_{0};  // that started it
    const std::shared_ptr<Life> life_ = std::make_shared<Life>();
};

}  // namespace pushhub

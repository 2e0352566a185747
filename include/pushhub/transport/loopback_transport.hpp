#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/detail/insist.hpp>
#include <pushhub/detail/latch.hpp>
#include <pushhub/detail/unique_function.hpp>
#include <pushhub/protocol/client_frame.hpp>
#include <pushhub/transport/event_loop.hpp>
#include <pushhub/transport/transport.hpp>

namespace pushhub {

class LoopbackTransport;

namespace detail {

// Both directions of a connection in memory.
struct LoopbackPipe {
    std::string toServer;
    std::string toClient;
    std::size_t window = 64 * 1024;  // bytes the client has room for and has not read
    bool reading = true;             // the client reads what arrives
    bool clientEnded = false;        // no more bytes to the server
    bool clientGone = false;         // and none are taken from it either
    bool serverEnded = false;
    bool serverGone = false;
};

class LoopbackConnection final : public Connection {
public:
    LoopbackConnection(RefPtr<LoopContext> loop, SessionId id, std::shared_ptr<LoopbackPipe> pipe)
        : Connection(std::move(loop), id), pipe_(std::move(pipe)) {}

    std::string remoteAddress() const override {
        return "loopback:" + std::to_string(id().value());
    }

    /// Reports events as the socket of another transport would. True if there were any.
    bool step() {
        if (wantsWritable_ && (room() > 0 || pipe_->clientGone)) {
            wantsWritable_ = false;
            orCut([this] { writable(); });
            return true;
        }
        if (pipe_->serverGone) {
            return false;
        }
        if (readingPaused()) {
            return false;
        }
        if (!pipe_->toServer.empty()) {
            orCut([&] { readNow(); });
            return true;
        }
        if (pipe_->clientEnded && !std::exchange(endReported_, true)) {
            receiveEnd({});
            return true;
        }
        return false;
    }

    bool gone() const noexcept { return pipe_->serverGone; }

private:
    void readNow() override {
        constexpr std::size_t mostAtOnce = 16 * 1024;  // as from a socket
        std::string bytes = pipe_->toServer.substr(0, mostAtOnce);
        pipe_->toServer.erase(0, bytes.size());
        if (!bytes.empty()) {
            receive(bytes.data(), bytes.size());
        }
    }

    std::optional<SendPositions> sendPositions() noexcept override {
        return SendPositions{taken_, taken_ - static_cast<std::uint32_t>(pipe_->toClient.size())};
    }

    std::size_t room() const noexcept {
        return pipe_->window - (std::min)(pipe_->window, pipe_->toClient.size());
    }

    std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        if (pipe_->clientGone) {
            error = std::make_error_code(std::errc::broken_pipe);
            return 0;
        }
        std::size_t written = 0;
        try {
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t size = (std::min)(buffers[i].size, room());
                pipe_->toClient.append(buffers[i].data, size);
                written += size;
                taken_ += static_cast<std::uint32_t>(size);
            }
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::no_buffer_space);
            return written;
        }
        if (written == 0) {
            error = std::make_error_code(std::errc::operation_would_block);
        }
        return written;
    }

    void waitWritable() override { wantsWritable_ = true; }
    void shutdownSend() noexcept override { pipe_->serverEnded = true; }
    void closeSocket() noexcept override { pipe_->serverEnded = pipe_->serverGone = true; }

    const std::shared_ptr<LoopbackPipe> pipe_;
    std::uint32_t taken_ = 0;
    bool wantsWritable_ = false;
    bool endReported_ = false;
};

class LoopbackLoop final : public EventLoop {
public:
    explicit LoopbackLoop(const Options& listenerOptions) : EventLoop(listenerOptions, 1) {}

    bool onLoop() const noexcept override { return runner_ == std::this_thread::get_id(); }

    void connect(const RefPtr<LoopbackConnection>& connection) {
        connections_.push_back(connection);
        countConnection();
        add(*connection);
    }

    /// Runs one round of all pending work. True if there was any.
    bool step() {
        runner_ = std::this_thread::get_id();
        bool worked = woken_.exchange(false);
        if (worked) {
            drain();
        }
        for (std::size_t i = 0; i < connections_.size(); ++i) {
            worked = connections_[i]->step() || worked;
        }
        connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                          [](const auto& c) { return c->gone(); }),
                           connections_.end());
        afterEvents();
        runner_ = std::thread::id();
        return worked;
    }

    /// Moves the clock to the next deadline, by at most `most`; returns the step.
    TimePoint::duration advance(TimePoint::duration most) {
        const TimePoint::duration step =
            std::clamp(saturatedDifference(nextDue(), now_), TimePoint::duration(), most);
        now_ = saturatedAdd(now_, step);
        tickAway();
        return step;
    }

    /// Moves the clock while the loop does nothing.
    void holdUp(TimePoint::duration time) {
        nextTimers(true);
        now_ = saturatedAdd(now_, time);
        tickAway();
    }

    void setClock(TimePoint::duration step) { clockAhead_ += step; }

    void finish() { shutdown(); }

    TimePoint now() const noexcept override { return now_; }
    TimePoint wallTime() const noexcept override { return now_ + clockAhead_; }

private:
    void wake() override { woken_ = true; }

    void tickAway() {
        runner_ = std::this_thread::get_id();
        runTimers();
        afterEvents();
        runner_ = std::thread::id();
    }

    std::vector<RefPtr<LoopbackConnection>> connections_;
    TimePoint now_{std::chrono::hours(1)};
    TimePoint::duration clockAhead_{0};  // how far the system's clock was set forward
    std::atomic<bool> woken_{false};
    std::atomic<std::thread::id> runner_{};
};

}  // namespace detail

/// A client of a `LoopbackTransport` that behaves like a browser: it answers pings and close frames
/// automatically. Data in both directions is transferred by `LoopbackTransport::poll`.
class LoopbackClient {
public:
    struct Received {
        MessageType type;
        std::string data;
        bool compressed =
            false;  ///< `data` is as RFC 7692 has it; only if the client offered that.
    };

    /// HTTP status of the response to the handshake; 0 before the response, 100 after the interim
    /// response.
    int status() const noexcept { return status_; }
    bool connected() const noexcept { return status_ == 101 && !closeCode_ && !pipe_->serverEnded; }

    /// Head of the HTTP response, and its body if the status was not 101.
    const std::string& response() const noexcept { return response_; }

    /// Returns and removes the messages that have arrived.
    std::vector<Received> take() { return std::exchange(messages_, {}); }

    /// The same as plain strings.
    std::vector<std::string> takeTexts() {
        std::vector<std::string> texts;
        for (Received& message : take()) {
            texts.push_back(std::move(message.data));
        }
        return texts;
    }

    /// Code and reason of the hub's close frame, if it has sent one.
    std::optional<CloseCode> closeCode() const noexcept { return closeCode_; }
    const std::string& closeReason() const noexcept { return closeReason_; }
    std::size_t pings() const noexcept { return pings_; }
    std::size_t pongs() const noexcept { return pongs_; }

    void send(std::string_view text) { sendFrame(protocol::Opcode::text, text); }
    void sendBinary(std::string_view bytes) { sendFrame(protocol::Opcode::binary, bytes); }
    void ping(std::string_view payload = {}) { sendFrame(protocol::Opcode::ping, payload); }
    void close(CloseCode code = CloseCode::normal, std::string_view reason = {}) {
        sendFrame(protocol::Opcode::close, protocol::closePayload(code, reason));
        closeSent_ = true;
    }

    /// Sends raw bytes, for tests of invalid input.
    void sendBytes(std::string_view bytes) { pipe_->toServer.append(bytes); }

    /// Masks and sends one frame.
    void sendFrame(protocol::Opcode opcode, std::string_view payload, bool final = true) {
        sendBytes(protocol::clientFrame(opcode, payload, final));
    }

    /// Stops or resumes reading: simulates a slow client with room for `window` unread bytes.
    void setReading(bool reading, std::size_t window = 64 * 1024) {
        pipe_->reading = reading;
        pipe_->window = window;
    }

    /// Ends the sending direction and continues to read: a half-closed socket.
    void endSending() { pipe_->clientEnded = true; }

    /// Reads that many of the bytes that have arrived, whether or not it is reading: simulates a
    /// slow client that makes progress.
    void read(std::size_t bytes) {
        unread_ += pipe_->toClient.substr(0, bytes);
        pipe_->toClient.erase(0, bytes);
        readUnread();
    }

    /// Disappears without closing.
    void drop() { pipe_->clientEnded = pipe_->clientGone = true; }

private:
    friend class LoopbackTransport;

    explicit LoopbackClient(std::shared_ptr<detail::LoopbackPipe> pipe) : pipe_(std::move(pipe)) {}

    bool gone() const noexcept { return pipe_->serverGone; }

    // Reads what has arrived; true if there was something.
    bool step() {
        if (!pipe_->reading || pipe_->clientGone) {
            return false;
        }
        const bool worked = !pipe_->toClient.empty();
        unread_ += std::exchange(pipe_->toClient, {});
        readUnread();
        if (pipe_->serverEnded && !pipe_->clientEnded) {
            pipe_->clientEnded = true;
            return true;
        }
        return worked;
    }

    void readUnread() {
        if (status_ == 0 || status_ == 100) {
            readResponse();
        } else if (status_ != 101) {
            response_ += std::exchange(unread_, {});
        }
        while (status_ == 101 && readFrame()) {
        }
    }

    void readResponse() {
        const std::size_t end = unread_.find("\r\n\r\n");
        if (end == std::string::npos) {
            return;
        }
        status_ = (unread_[9] - '0') * 100 + (unread_[10] - '0') * 10 + (unread_[11] - '0');
        response_ = status_ < 200 ? unread_.substr(0, end + 4) : unread_;
        unread_.erase(0, response_.size());
    }

    bool readFrame() {
        if (unread_.size() < 2) {
            return false;
        }
        const auto code = static_cast<unsigned char>(unread_[1]);
        const std::size_t header = code < 126 ? 2 : code == 126 ? 4 : 10;
        if (unread_.size() < header || unread_.size() < protocol::frameSize(unread_.data())) {
            return false;
        }
        const std::size_t size = protocol::frameSize(unread_.data());
        const auto opcode = static_cast<protocol::Opcode>(unread_[0] & 0x0F);
        const bool compressed = (unread_[0] & 0x40) != 0;
        std::string payload = unread_.substr(header, size - header);
        unread_.erase(0, size);
        switch (opcode) {
            case protocol::Opcode::ping:
                ++pings_;
                sendFrame(protocol::Opcode::pong, payload);
                break;
            case protocol::Opcode::pong:
                ++pongs_;
                break;
            case protocol::Opcode::close:
                readClose(payload);
                break;
            default:
                messages_.push_back(
                    {static_cast<MessageType>(opcode), std::move(payload), compressed});
        }
        return true;
    }

    void readClose(const std::string& payload) {
        std::string_view reason = payload;
        closeCode_ = protocol::takeCloseCode(reason);
        closeReason_ = reason;
        if (!std::exchange(closeSent_, true)) {
            sendFrame(protocol::Opcode::close, payload);
        }
    }

    const std::shared_ptr<detail::LoopbackPipe> pipe_;
    std::string unread_;
    std::string response_;
    std::vector<Received> messages_;
    std::optional<CloseCode> closeCode_;
    std::string closeReason_;
    int status_ = 0;
    std::size_t pings_ = 0;
    std::size_t pongs_ = 0;
    bool closeSent_ = false;
};

/// A Transport in memory, for unit tests of code that uses a hub: no sockets, no threads, and a
/// clock that the test moves. Work is done only in `poll`, `advance` and `stop`, and hooks run on
/// the thread that calls these. Meets the requirements in transport.hpp.
class LoopbackTransport : public std::enable_shared_from_this<LoopbackTransport> {
public:
    explicit LoopbackTransport(const Options& options) : options_(options) {}

    // What a Transport must have -------------------------------------------------------------

    void start(TransportHandler& handler) {
        const std::unique_lock<std::mutex> lock = lockOutside();
        for (const TransportHandler* started : handlers_) {
            detail::refuseSamePaths(*started, handler);
        }
        if (!loop()) {
            setLoop(detail::makeRef<detail::LoopbackLoop>(options_));
        }
        handlers_.reserve(handlers_.size() + 1);
        const auto place = EventLoop::makePlace(handler, handlers_.size() + 1);
        handlers_.push_back(&handler);
        loop()->attach(*place);
    }

    void stop(TransportHandler& handler, std::chrono::milliseconds deadline) {
        const std::unique_lock<std::mutex> lock = lockOutside();
        const auto found = std::find(handlers_.begin(), handlers_.end(), &handler);
        if (found == handlers_.end()) {
            return;
        }
        if (!lock) {
            handlers_.erase(found);
            const auto current = loop();
            detail::insist([&] {
                return current->callFirst([current, &handler] { current->leave(handler); });
            });
            current->help();
            return;  // the `poll` that called the hook does the rest
        }
        const auto latch = detail::insist([] { return std::make_shared<detail::Latch>(1); });
        const auto current = loop();
        const auto call = [&current](auto function) {
            detail::insist([&] { return current->call(function); });
        };
        call([current, &handler, latch] { current->closeAll(handler, latch); });
        pollLocked();
        for (auto left = detail::saturatedCast<Duration>(deadline);
             left > Duration::zero() && !latch->done(); pollLocked()) {
            left -= current->advance(left);
        }
        call([current, &handler] { current->leave(handler); });
        pollLocked();
        handlers_.erase(std::remove(handlers_.begin(), handlers_.end(), &handler), handlers_.end());
        finishWithLast();
    }

    void sendAll(TransportHandler& handler, const FramePtr& frame,
                 const detail::RefPtr<ExceptList>& except, OverflowPolicy whenFull) {
        if (const auto current = loop()) {
            Command command;
            command.kind = Command::Kind::sendAll;
            command.handler = &handler;
            command.frame = frame;
            command.except = except;
            command.whenFull = whenFull;
            current->submit(std::move(command));
        }
    }

    std::string address() const { return options_.address; }
    std::uint16_t port() const noexcept { return options_.port; }

    bool onLoop() const noexcept {
        const auto current = loop();
        return current && current->onLoop();
    }

    void later(detail::UniqueFunction<void()> function) {
        const std::lock_guard<std::mutex> lock(loopMutex_);
        later_.push_back(std::move(function));
    }

    // For tests --------------------------------------------------------------------------------

    /// Connects to `target`, such as "/websocket/0002?token=x"; `headers` are further lines of the
    /// request, each ended by CR LF. Poll, then see `status`. Only while a hub is started.
    std::shared_ptr<LoopbackClient> connect(std::string_view target,
                                            std::string_view headers = {}) {
        std::string request = "GET ";
        request.append(target).append(
            " HTTP/1.1\r\nHost: loopback\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n");
        request.append(headers).append("\r\n");
        auto client = connectRaw();
        client->sendBytes(request);
        return client;
    }

    /// Connects without sending anything.
    std::shared_ptr<LoopbackClient> connectRaw() {
        refuseInHook("connect");
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!loop()) {
            throw std::logic_error("pushhub: LoopbackTransport::connect before start()");
        }
        auto pipe = std::make_shared<detail::LoopbackPipe>();
        clients_.push_back(std::shared_ptr<LoopbackClient>(new LoopbackClient(pipe)));
        loop()->connect(
            detail::makeRef<detail::LoopbackConnection>(loop(), SessionId(++nextId_), pipe));
        return clients_.back();
    }

    /// Does all pending work of the hub and the clients until none is left. In a hook it does
    /// nothing: the work continues afterwards anyway.
    void poll() {
        if (onLoop()) {
            return;
        }
        const auto self = weak_from_this().lock();  // a hook may destroy the last hub
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            pollLocked();
            finishWithLast();
        }
        std::vector<detail::UniqueFunction<void()>> functions;
        {
            const std::lock_guard<std::mutex> lock(loopMutex_);
            functions.swap(later_);
        }
        for (const auto& function : functions) {
            function();
        }
    }

    /// Time on the clock that `advance` moves, as in `Session::lastSeen`. While a hub is started.
    std::chrono::steady_clock::time_point now() const noexcept {
        const auto current = loop();
        return current ? current->now() : std::chrono::steady_clock::time_point();
    }

    /// Moves the clock by `time` from deadline to deadline and polls at each. The clock never goes
    /// back: 0 and negative times have no effect. Throws std::invalid_argument for more than ten
    /// years.
    template <class Rep, class Period>
    void advance(std::chrono::duration<Rep, Period> time) {
        Duration left = checkedTime("advance", (std::max)(time, time.zero()));
        const auto self = weak_from_this().lock();
        poll();
        while (left > Duration::zero()) {
            {
                const std::lock_guard<std::mutex> lock(mutex_);
                const auto current = loop();
                left -= current ? current->advance(left) : left;
            }
            poll();
        }
    }

    /// Moves the clock while the loop does nothing, as if a hook took that long or the machine was
    /// paused. Then everything due is done, before clients are read from. Otherwise like `advance`.
    template <class Rep, class Period>
    void pause(std::chrono::duration<Rep, Period> time) {
        const Duration length = checkedTime("pause", (std::max)(time, time.zero()));
        const auto self = weak_from_this().lock();
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            const auto current = loop();
            if (current && length > Duration::zero()) {
                current->holdUp(length);
            }
        }
        poll();
    }

    /// Sets the system clock, as the hub sees it, forward or back. It determines when sessions
    /// expire. By at most ten years, like `advance`. While a hub is started.
    template <class Rep, class Period>
    void setClock(std::chrono::duration<Rep, Period> step) {
        const Duration length = checkedTime("setClock", step);
        const std::lock_guard<std::mutex> lock(mutex_);
        if (const auto current = loop()) {
            current->setClock(length);
        }
    }

private:
    using Duration = LoopContext::TimePoint::duration;

    template <class Rep, class Period>
    Duration checkedTime(const char* function, std::chrono::duration<Rep, Period> time) const {
        refuseInHook(function);
        constexpr Duration most = std::chrono::hours(24 * 3653);
        const auto length = detail::saturatedCast<Duration>(time);
        if (length > most || length < -most) {
            const auto ms = detail::saturatedCast<std::chrono::milliseconds>(time);
            throw std::invalid_argument(std::string("pushhub: LoopbackTransport::") + function +
                                        " by " + std::to_string(ms.count()) +
                                        " ms, expected at most ten years");
        }
        return length;
    }

    void refuseInHook(const char* function) const {
        if (onLoop()) {
            throw std::logic_error(std::string("pushhub: LoopbackTransport::") + function +
                                   " in a hook");
        }
    }

    // A hook runs in `poll` or `stop`, which have the lock already.
    std::unique_lock<std::mutex> lockOutside() {
        std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
        if (!onLoop()) {
            lock.lock();
        }
        return lock;
    }

    void finishWithLast() {
        const auto current = loop();
        if (current && handlers_.empty()) {
            detail::insist([&] { return current->call([current] { current->finish(); }); });
            pollLocked();
            setLoop(nullptr);
            clients_.clear();
        }
    }

    void pollLocked() {
        const auto current = loop();
        bool worked = current != nullptr;
        while (worked) {
            worked = current->step();
            for (const auto& client : clients_) {
                worked = client->step() || worked;
            }
        }
        // Those that have gone, and that no test holds any more.
        clients_.erase(std::remove_if(clients_.begin(), clients_.end(),
                                      [](const auto& client) {
                                          return client.use_count() == 1 && client->gone();
                                      }),
                       clients_.end());
    }

    detail::RefPtr<detail::LoopbackLoop> loop() const {
        const std::lock_guard<std::mutex> lock(loopMutex_);
        return loop_;
    }
    void setLoop(detail::RefPtr<detail::LoopbackLoop> loop) {
        const std::lock_guard<std::mutex> lock(loopMutex_);
        loop_ = std::move(loop);
    }

    const Options options_;
    std::mutex mutex_;  // start, stop, connect and poll, one at a time, hooks included
    mutable std::mutex loopMutex_;
    detail::RefPtr<detail::LoopbackLoop> loop_;
    std::vector<std::shared_ptr<LoopbackClient>> clients_;
    // At the end of the `poll` whose hook asked for it.
    std::vector<detail::UniqueFunction<void()>> later_;
    std::vector<TransportHandler*> handlers_;
    std::uint64_t nextId_ = 0;
};

}  // namespace pushhub

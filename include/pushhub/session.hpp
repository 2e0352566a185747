#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/close_code.hpp>
#include <pushhub/compression.hpp>
#include <pushhub/detail/time.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/path_template.hpp>
#include <pushhub/push_options.hpp>
#include <pushhub/send_result.hpp>
#include <pushhub/session_data.hpp>
#include <pushhub/session_id.hpp>
#include <pushhub/transport/connection.hpp>

namespace pushhub {

namespace detail {

// A push in the forms that its receivers take: as it is, and compressed at most once for each
// window. Refers to the payload.
class Outgoing {
public:
    // Makes a frame of text or bytes, or says why not.
    std::error_code encode(MessageType type, std::string_view payload, const PushOptions& push,
                           const Options& options) {
        if (payload.size() > Frame::maxPayload ||
            protocol::frameHeaderSize(payload.size()) + payload.size() > options.maxQueueBytes) {
            return Errc::messageTooBig;
        }
        if (type == MessageType::text && !protocol::isValidUtf8(payload)) {
            return Errc::invalidUtf8;
        }
        opcode_ = static_cast<protocol::Opcode>(type);
        payload_ = payload;
        compression_ = push.compress ? options.compression.get() : nullptr;
        plain_ = Frame::make(opcode_, payload, push.key);
        return {};
    }

    // The form for a session with that window; 0 is one without compression.
    const FramePtr& form(unsigned window) {
        if (window == 0 || !compression_) {
            return plain_;
        }
        if (!compressed_) {
            compressed_.emplace();
        }
        FramePtr& form = (*compressed_)[window];
        if (!form) {
            form = compress(window);
        }
        if (!form) {
            form = plain_;
        }
        return form;
    }

    // One frame with the forms for all of these windows, a bit for each.
    const FramePtr& allForms(unsigned windows) {
        for (unsigned window = 0; compression_ && windows >> window != 0; ++window) {
            if ((windows >> window & 1U) != 0) {
                if (FramePtr made = compress(window)) {
                    plain_->addForm(std::move(made));
                }
            }
        }
        return plain_;
    }

private:
    // Null if it is better sent as it is.
    FramePtr compress(unsigned window) const {
        const std::string bytes = compression_->compress(payload_, window);
        return bytes.empty() ? nullptr
                             : Frame::makeCompressed(opcode_, bytes, window, plain_->key());
    }

    protocol::Opcode opcode_{};
    std::string_view payload_;
    const MessageCompression* compression_ = nullptr;
    FramePtr plain_;
    std::optional<std::array<FramePtr, 16>> compressed_;  // by window; mostly not needed
};

inline OverflowPolicy policy(const PushOptions& push, const Options& options) noexcept {
    return push.whenQueueFull != OverflowPolicy::inherit ? push.whenQueueFull
           : push.key.empty()                            ? options.whenQueueFull
                                                         : OverflowPolicy::conflate;
}

inline void count(SendResult& result, std::error_code refused) {
    if (!refused) {
        ++result.accepted;
    } else if (refused == Errc::sessionClosed) {
        ++result.closing;
    } else {
        ++result.refused;
        result.error = refused;
    }
}

}  // namespace detail

/// One open WebSocket of a user. Hooks get it as a `SessionPtr`, which the application may keep:
/// after the session has ended, queries still work and sends are refused.
///
/// All functions may be called from any thread, except those for the application's own data.
class Session {
public:
    /// Constructed by the hub.
    Session(detail::RefPtr<Connection> connection, std::string userId,
            std::shared_ptr<const PathTemplate> path, std::vector<std::string> params,
            HttpRequest request, SessionData data)
        : connection_(std::move(connection)),
          userId_(std::move(userId)),
          path_(std::move(path)),
          params_(std::move(params)),
          request_(std::move(request)),
          data_(std::move(data)) {}

    SessionId id() const noexcept { return connection_->id(); }
    const std::string& userId() const noexcept { return userId_; }

    /// A path parameter, decoded; "" if the template has no parameter of that name.
    std::string_view param(std::string_view name) const noexcept {
        const std::size_t index = path_->indexOf(name);
        if (index == PathTemplate::npos) {
            return {};
        }
        return params_.empty() ? std::string_view(userId_) : std::string_view(params_[index]);
    }

    /// The handshake request: headers, query, cookies. Empty if `Options::keepRequest` is off and
    /// onOpen has returned.
    const HttpRequest& request() const noexcept { return request_; }

    /// First header of that name (case-insensitive), "" if absent.
    std::string_view header(std::string_view name) const { return request_.header(name); }
    /// First query parameter of that name, decoded.
    std::optional<std::string> query(std::string_view name) const { return request_.query(name); }
    /// First cookie of that name.
    std::optional<std::string> cookie(std::string_view name) const { return request_.cookie(name); }

    /// "address:port" of the client; behind a trusted proxy, as the proxy reports it.
    std::string remoteAddress() const {
        return forwardedFor_ ? *forwardedFor_ : connection_->remoteAddress();
    }

    /// Subject of the client's TLS certificate, "" without one: see `Handshake::peerSubject`.
    std::string peerSubject() const { return connection_->peerSubject(); }

    /// True until the session begins to close.
    bool isOpen() const noexcept { return connection_->accepting(); }

    /// Bytes accepted for this session and not yet sent, including frame headers. A broadcast
    /// counts once its loop has processed it.
    std::uint64_t bufferedBytes() const noexcept { return connection_->bufferedBytes(); }

    /// Time of the last byte from the client: the answer to a ping, if the client is silent.
    std::chrono::steady_clock::time_point lastSeen() const noexcept {
        return connection_->lastSeen();
    }

    /// Time from the hub's latest ping to the client's answer; 0 before the first answer.
    std::chrono::microseconds roundTripTime() const noexcept {
        return connection_->roundTripTime();
    }

    /// Sends to this session only. Never blocks, and never throws because of the client; see
    /// `SendResult`. O(size of the message).
    SendResult send(std::string_view text, const PushOptions& push = {}) {
        return send(MessageType::text, text, push);
    }
    SendResult sendBinary(std::string_view bytes, const PushOptions& push = {}) {
        return send(MessageType::binary, bytes, push);
    }

    /// Sends the messages accepted so far, then a close frame, and closes (RFC 6455 section 7.1.2).
    /// Returns immediately; onClose reports the end. Valid codes are 1000-1003, 1007-1014 and
    /// 3000-4999; others return std::errc::invalid_argument: then the session stays open, and
    /// onError is called. `reason` is truncated to 123 bytes at a character boundary; invalid UTF-8
    /// is replaced by U+FFFD.
    std::error_code close(CloseCode code = CloseCode::normal, std::string_view reason = {}) {
        return connection_->close(code, reason);
    }

    /// Closes the session with 4401 at `expiry`, replacing the time set before: for a client whose
    /// credentials were renewed. Immediately if the time has passed; `max()`: never. If the system
    /// clock is changed, the expiry follows within about a second.
    template <class Duration>
    void expireAt(std::chrono::time_point<std::chrono::system_clock, Duration> expiry) {
        const auto time = detail::saturatedTime(expiry);
        Command command;
        command.task = detail::makeTask([connection = connection_, time] {
            connection->orCut([&] { expireAt(*connection, time); });
        });
        connection_->loop().submit(std::move(command));
    }

    /// Storage for the application's own data of this session, of any type. Not thread-safe: use it
    /// in hooks of this session only, or guard the data. `data` returns null if no `T` is stored.
    /// The hub destroys the data on the session's loop when onClose has returned, so that the data
    /// may refer to other sessions; from then on `data` returns null.
    template <class T, class... Args>
    T& emplaceData(Args&&... args) {
        return data_.emplace<T>(std::forward<Args>(args)...);
    }
    template <class T>
    T* data() noexcept {
        return data_.get<T>();
    }

    // For the hub.
    Connection& connection() const noexcept { return *connection_; }
    HttpRequest takeRequest() noexcept { return std::move(request_); }
    SessionData takeData() noexcept { return std::exchange(data_, SessionData()); }
    void setForwardedFor(std::string address) {
        forwardedFor_ = std::make_unique<const std::string>(std::move(address));
    }
    static void expireAt(Connection& connection, std::chrono::system_clock::time_point time) {
        using Clock = std::chrono::system_clock;
        connection.expireAt(
            time == (Clock::time_point::max)()
                ? (LoopContext::TimePoint::max)()
                : detail::saturatedAdd(connection.loop().wallTime(),
                                       detail::saturatedDifference(time, Clock::now())));
    }

private:
    SendResult send(MessageType type, std::string_view payload, const PushOptions& push) {
        SendResult result;
        detail::Outgoing outgoing;
        const Options& options = connection_->channel()->options;
        result.error = outgoing.encode(type, payload, push, options);
        if (!result.error) {
            detail::count(result, connection_->send(outgoing.form(connection_->window()),
                                                    detail::policy(push, options)));
        }
        return result;
    }

    const detail::RefPtr<Connection> connection_;
    const std::string userId_;
    const std::shared_ptr<const PathTemplate> path_;
    const std::vector<std::string> params_;  // as in path_; empty if the user is the only one
    HttpRequest request_;
    std::unique_ptr<const std::string> forwardedFor_;
    SessionData data_;
};

}  // namespace pushhub

#pragma once

#include <string>
#include <system_error>

namespace pushhub {

/// Run-time errors.
enum class Errc {
    invalidUtf8 = 1,
    messageTooBig,
    queueBytesFull,
    queueMessagesFull,
    hubQueueFull,
    conflated,
    sessionClosed,
    notRunning,
    hookFailed,
    handshakeAnswered,
    closeTimeout,
    stalled,
    pongTimeout,
    inboundTooFast,
    tooManyFragments,
    protocolViolation,
    invalidPayload,
    inboundTooBig,
    unsupportedData,
    connectionLost,
    deadlineReached,
    internalError,
    brokenCompression,
    tlsFailed
};

/// The category of `Errc`, named "pushhub".
inline const std::error_category& pushhubCategory() noexcept {
    class Category final : public std::error_category {
    public:
        const char* name() const noexcept override { return "pushhub"; }
        std::string message(int value) const override {
            switch (static_cast<Errc>(value)) {
                case Errc::invalidUtf8:
                    return "text to send is not valid UTF-8";
                case Errc::messageTooBig:
                    return "message is larger than the session's queue may be";
                case Errc::queueBytesFull:
                    return "session's queue is full (bytes)";
                case Errc::queueMessagesFull:
                    return "session's queue is full (messages)";
                case Errc::hubQueueFull:
                    return "queues of the hub are full, all sessions together";
                case Errc::conflated:
                    return "a newer message with the same key took its place";
                case Errc::sessionClosed:
                    return "session is closing or closed";
                case Errc::notRunning:
                    return "hub is not running";
                case Errc::hookFailed:
                    return "a hook threw an exception";
                case Errc::handshakeAnswered:
                    return "handshake was already answered, or its client left";
                case Errc::closeTimeout:
                    return "client did not answer the close frame in time";
                case Errc::stalled:
                    return "client took nothing for too long while messages waited";
                case Errc::pongTimeout:
                    return "client did not answer a ping in time";
                case Errc::inboundTooFast:
                    return "client sent more per second than it may";
                case Errc::tooManyFragments:
                    return "client sent a message in too many frames";
                case Errc::protocolViolation:
                    return "client violated the WebSocket protocol";
                case Errc::invalidPayload:
                    return "client sent text that is not valid UTF-8";
                case Errc::inboundTooBig:
                    return "client sent a message over the size limit";
                case Errc::unsupportedData:
                    return "client sent a binary message, the hub takes text";
                case Errc::connectionLost:
                    return "connection was lost without a close frame";
                case Errc::deadlineReached:
                    return "cut off at the deadline of stop()";
                case Errc::internalError:
                    return "internal error";
                case Errc::brokenCompression:
                    return "client sent compressed data that cannot be read";
                case Errc::tlsFailed:
                    return "TLS failed";
            }
            return "unknown error " + std::to_string(value);
        }
    };
    static const Category category;
    return category;
}

inline std::error_code make_error_code(Errc code) noexcept {
    return {static_cast<int>(code), pushhubCategory()};
}

}  // namespace pushhub

/// @cond
template <>
struct std::is_error_code_enum<pushhub::Errc> : std::true_type {};
/// @endcond

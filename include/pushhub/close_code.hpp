#pragma once

#include <cstdint>
#include <string>
#include <system_error>

namespace pushhub {

/// Why a WebSocket was closed, RFC 6455 section 7.4. Any number from 3000 to 4999 is the
/// application's: `static_cast<CloseCode>(4321)`.
enum class CloseCode : std::uint16_t {
    normal = 1000,
    goingAway = 1001,
    protocolError = 1002,
    unsupportedData = 1003,
    noStatus = 1005,  ///< Never sent: the peer's close frame had no code.
    abnormal = 1006,  ///< Never sent: the connection was lost without a close frame.
    invalidPayload = 1007,
    policyViolation = 1008,
    messageTooBig = 1009,
    internalError = 1011,
    serviceRestart = 1012,
    tryAgainLater = 1013,
    unauthorized = 4401,    ///< Proof of identity missing, wrong or expired.
    sessionReplaced = 4409  ///< A newer session of the same user took its place.
};

/// True if a close frame may carry `code` (RFC 6455 sections 7.4.1 and 7.4.2, and the IANA
/// registry): 1000-1003, 1007-1014 and 3000-4999.
constexpr bool isSendableCloseCode(std::uint16_t code) noexcept {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/// Says that a close code is not sendable, and which are.
inline std::string wrongCloseCode(CloseCode code) {
    return "the close code is " + std::to_string(static_cast<unsigned>(code)) +
           ", expected 1000-1003, 1007-1014 or 3000-4999";
}

/// The close code that stands for an HTTP status, for clients that cannot see the status: 4401 for
/// 401 and so on.
constexpr CloseCode closeCodeFor(int httpStatus) noexcept {
    return httpStatus == 503                       ? CloseCode::tryAgainLater
           : httpStatus >= 400 && httpStatus < 500 ? static_cast<CloseCode>(4000 + httpStatus)
                                                   : CloseCode::internalError;
}

/// Who ended a session.
enum class ClosedBy : std::uint8_t {
    peer,    ///< The client sent the first close frame.
    host,    ///< The application called `Session::close`, or stopped the hub.
    hub,     ///< The library did: a limit or a violation of the protocol.
    network  ///< Nobody: the connection broke.
};

/// The end of a session, as `onClose` is told it.
struct CloseInfo {
    CloseCode code = CloseCode::abnormal;  ///< From the first close frame, whoever sent it.
    std::string reason;                    ///< Valid UTF-8, at most 123 bytes.
    bool clean = false;                    ///< Both close frames were exchanged.
    ClosedBy by = ClosedBy::network;
    std::error_code error;  ///< Set if something failed: why.

    /// Messages that were handed to the operating system whole, over the session's life. Over TLS
    /// they count once all that was encrypted with them has left, up to 80 KiB: if the connection
    /// ends before, with a part of that in the operating system's hands, all of it is undelivered.
    /// So this may be short by the messages of one such piece, and never says too much.
    std::uint64_t deliveredMessages = 0;
    /// Messages that were dropped while the session was open, for newer ones or because its queue
    /// was full; a push that was refused to its sender is not among them.
    std::uint64_t droppedMessages = 0;
    /// Messages that were accepted for this session and neither delivered nor dropped before it
    /// ended. Accepted = `deliveredMessages` + `droppedMessages` + `undeliveredMessages`, exactly.
    std::uint64_t undeliveredMessages = 0;
    std::uint64_t undeliveredBytes = 0;  ///< What was still queued then, frame headers included.
};

}  // namespace pushhub

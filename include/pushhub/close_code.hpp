#pragma once

#include <cstdint>
#include <string>
#include <system_error>

namespace pushhub {

/// Why a WebSocket was closed, RFC 6455 section 7.4. Applications may use any number from 3000 to
/// 4999: `static_cast<CloseCode>(4321)`.
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
    unauthorized = 4401,    ///< Credentials missing, wrong or expired.
    sessionReplaced = 4409  ///< A newer session of the same user took its place.
};

/// True if a close frame may carry `code` (RFC 6455 sections 7.4.1 and 7.4.2, and the IANA
/// registry): 1000-1003, 1007-1014 and 3000-4999.
constexpr bool isSendableCloseCode(std::uint16_t code) noexcept {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/// Error text for a close code that is not sendable; lists the valid codes.
inline std::string wrongCloseCode(CloseCode code) {
    return "the close code is " + std::to_string(static_cast<unsigned>(code)) +
           ", expected 1000-1003, 1007-1014 or 3000-4999";
}

/// The close code for an HTTP status, for clients that cannot see the status: 4401 for 401 and so
/// on.
constexpr CloseCode closeCodeFor(int httpStatus) noexcept {
    return httpStatus == 503                       ? CloseCode::tryAgainLater
           : httpStatus >= 400 && httpStatus < 500 ? static_cast<CloseCode>(4000 + httpStatus)
                                                   : CloseCode::internalError;
}

/// The side that ended a session.
enum class ClosedBy : std::uint8_t {
    peer,    ///< The client sent the first close frame.
    host,    ///< The application called `Session::close`, or stopped the hub.
    hub,     ///< The library did: a limit or a violation of the protocol.
    network  ///< Neither side: the connection broke.
};

/// The end of a session, as passed to `onClose`.
struct CloseInfo {
    CloseCode code = CloseCode::abnormal;  ///< From the first close frame, whichever side sent it.
    std::string reason;                    ///< Valid UTF-8, at most 123 bytes.
    bool clean = false;                    ///< Both close frames were exchanged.
    ClosedBy by = ClosedBy::network;
    std::error_code error;  ///< The reason, if something failed.

    /// Messages handed to the operating system whole, over the session's lifetime. Over TLS up to
    /// 80 KiB are encrypted together, and their messages count once all of it has been sent: if the
    /// connection ends before, and only part of it has been sent, all of them are undelivered. The
    /// count can be low by one such batch, never high.
    std::uint64_t deliveredMessages = 0;
    /// Messages dropped while the session was open, to make room for newer ones or because its
    /// queue was full. Pushes refused to their sender do not count.
    std::uint64_t droppedMessages = 0;
    /// Messages accepted for this session and neither delivered nor dropped before it ended.
    /// Accepted = `deliveredMessages` + `droppedMessages` + `undeliveredMessages`, exactly.
    std::uint64_t undeliveredMessages = 0;
    std::uint64_t undeliveredBytes =
        0;  ///< Bytes still queued at that time, including frame headers.
};

}  // namespace pushhub

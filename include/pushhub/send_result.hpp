#pragma once

#include <cstddef>
#include <system_error>

namespace pushhub {

/// The result of a push, counted in sessions. Accepted means queued within the limits and in order;
/// it does not mean that the client has read the message (see `CloseInfo::undeliveredMessages`).
struct SendResult {
    /// Sessions that accepted the message. For `sendAll` and `sendAllExcept`: sessions addressed;
    /// messages that their full queues drop afterwards are counted in `HubStats::droppedMessages`.
    std::size_t accepted = 0;
    std::size_t refused = 0;  ///< Sessions whose queue was full; `error` says by which limit.
    std::size_t closing = 0;  ///< Sessions that were already closing.
    std::size_t offline = 0;  ///< Named users without a session.

    /// Why a session refused the message, or why nothing was sent at all (`Errc::invalidUtf8`,
    /// `Errc::messageTooBig`, `Errc::notRunning`). An offline user is not an error.
    std::error_code error;

    /// True if at least one session accepted the message.
    explicit operator bool() const noexcept { return accepted > 0; }
};

}  // namespace pushhub

#pragma once

#include <cstddef>
#include <system_error>

namespace pushhub {

/// What became of a push, counted in sessions. Accepted means: queued within the limits, and in
/// order; not yet that the client read it (see `CloseInfo::undeliveredMessages`).
struct SendResult {
    /// Sessions that accepted the message. For `sendAll` and `sendAllExcept`: sessions addressed;
    /// what one of their full queues refuses afterwards is counted in `HubStats::droppedMessages`.
    std::size_t accepted = 0;
    std::size_t refused = 0;  ///< Sessions whose queue was full; `error` says by which limit.
    std::size_t closing = 0;  ///< Sessions that were already closing.
    std::size_t offline = 0;  ///< Named users who had no session.

    /// Why somebody refused, or why nothing was sent at all (`Errc::invalidUtf8`,
    /// `Errc::messageTooBig`, `Errc::notRunning`). That a user is offline is no error.
    std::error_code error;

    /// True if at least one session accepted the message.
    explicit operator bool() const noexcept { return accepted > 0; }
};

}  // namespace pushhub

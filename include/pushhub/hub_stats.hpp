#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pushhub {

/// Number of refused clients by HTTP status.
class Refusals {
public:
    /// The statuses that are counted separately. 0: closed without an HTTP response, for example
    /// after a failed TLS handshake.
    static constexpr std::array<int, 20> statuses{0,   400, 401, 403, 404, 405, 408, 409, 411, 413,
                                                  414, 417, 426, 429, 431, 500, 501, 502, 503, 505};

    /// Index of the count for `status`: its index in `statuses`, or the index after the last one
    /// for all other statuses.
    static constexpr std::size_t indexOf(int status) noexcept {
        std::size_t index = 0;
        while (index < statuses.size() && statuses[index] != status) {
            ++index;
        }
        return index;
    }

    /// Clients refused with `status`; for a status not in `statuses`, clients refused with any such
    /// status.
    std::uint64_t operator[](int status) const noexcept { return counts[indexOf(status)]; }

    /// As in `statuses`; the last one counts all others.
    std::array<std::uint64_t, statuses.size() + 1> counts{};
};

/// Counters of a hub since its construction, and its current state. Each number is exact as of a
/// few milliseconds ago; together they are not a snapshot of one instant.
struct HubStats {
    std::size_t sessions = 0;
    std::size_t users = 0;

    // Handshakes, by outcome. A refusal before the path is known, or for a path of no hub, counts
    // for each hub on the listener; so does an unanswered plain HTTP request.
    std::uint64_t handshakesAccepted = 0;
    std::uint64_t handshakesUnauthorized = 0;      ///< 401
    std::uint64_t handshakesForbidden = 0;         ///< 403
    std::uint64_t handshakesOverUserLimit = 0;     ///< 409
    std::uint64_t handshakesUnavailable = 0;       ///< 503: too many, too slow to decide, stopping
    std::uint64_t handshakesRefusedOtherwise = 0;  ///< Any other status.
    Refusals refusals{};                           ///< All refused handshakes, by status.
    /// TLS handshakes that a client began and did not complete: no TLS, unsupported version,
    /// certificate rejected by one side, timeout, client gone. No path is known at that point, so
    /// each hub on the listener counts them.
    std::uint64_t handshakesTlsFailed = 0;

    // Sessions that have ended, by who ended them.
    std::uint64_t closedByPeer = 0;
    std::uint64_t closedByHost = 0;
    std::uint64_t closedByHub = 0;
    std::uint64_t closedByNetwork = 0;

    // Data messages, and all bytes on the wire except those of TLS.
    std::uint64_t messagesIn = 0;
    std::uint64_t bytesIn = 0;
    std::uint64_t messagesOut = 0;  ///< Each delivery counts.
    std::uint64_t bytesOut = 0;

    // Messages that were not sent although there was a session.
    std::uint64_t refusedMessages = 0;  ///< Reported to the sender: `SendResult::refused`.
    std::uint64_t droppedMessages = 0;  ///< Reported to onDropped.
    std::uint64_t droppedBytes = 0;
    std::uint64_t conflatedMessages = 0;  ///< Replaced by a newer one with the same key.

    std::uint64_t queuedBytes = 0;   ///< In the queues of all sessions.
    std::uint64_t slowSessions = 0;  ///< Sessions whose socket currently takes no more data.
    /// Maximum delay of the event loops in the last seconds. Slow hooks show up here.
    std::chrono::microseconds loopLag{0};
};

namespace detail {

/// The worst lateness of the last seconds: a value counts half as much with each second that has
/// gone by. Any thread.
class LagMeter {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    void note(std::chrono::microseconds late, TimePoint now) noexcept {
        const auto micros = static_cast<std::uint64_t>(
            std::clamp<std::chrono::microseconds::rep>(late.count(), 0, 0xFFFFFFFF));
        std::uint64_t before = worst_.load(std::memory_order_relaxed);
        while (micros > faded(before, now) &&
               !worst_.compare_exchange_weak(before, std::uint64_t{second(now)} << 32U | micros,
                                             std::memory_order_relaxed)) {
        }
    }

    std::chrono::microseconds at(TimePoint now) const noexcept {
        return std::chrono::microseconds(faded(worst_.load(std::memory_order_relaxed), now));
    }

private:
    static std::uint32_t second(TimePoint time) noexcept {
        return static_cast<std::uint32_t>(time.time_since_epoch() / std::chrono::seconds(1));
    }
    static std::uint64_t faded(std::uint64_t worst, TimePoint now) noexcept {
        const std::uint32_t age = second(now) - static_cast<std::uint32_t>(worst >> 32U);
        return age < 32 ? (worst & 0xFFFFFFFF) >> age : 0;
    }

    std::atomic<std::uint64_t> worst_{
        0};  // microseconds, below the second in which they were noted
};

/// What the event loops add up for a hub, each from time to time.
struct HubCounters {
    std::atomic<std::uint64_t> messagesIn{0};
    std::atomic<std::uint64_t> bytesIn{0};
    std::atomic<std::uint64_t> messagesOut{0};
    std::atomic<std::uint64_t> bytesOut{0};
    std::atomic<std::uint64_t> refusedMessages{0};
    std::atomic<std::uint64_t> queuedBytes{0};
    std::atomic<std::uint64_t> slowSessions{0};
    LagMeter lag;
    std::atomic<std::uint64_t> tlsFailed{0};
};

}  // namespace detail

}  // namespace pushhub

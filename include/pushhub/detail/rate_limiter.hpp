#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace pushhub::detail {

/// The generic cell rate algorithm (ITU-T I.371), with a second's worth at once.
class RateLimiter {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    /// The rate is exceeded until then: at or before now if it is not.
    TimePoint reached() const noexcept { return reached_; }

    /// Counts `amount` against a rate of `perSecond`, at least 1. After a pause of `heldUp` so much
    /// more may come at once.
    void count(TimePoint now, std::uint64_t amount, std::uint64_t perSecond,
               TimePoint::duration heldUp = {}) noexcept {
        reached_ = (std::max)(reached_, now - std::chrono::seconds(1) - heldUp) +
                   std::chrono::duration_cast<TimePoint::duration>(
                       std::chrono::nanoseconds(1'000'000'000 * amount / perSecond));
    }

private:
    TimePoint reached_{};
};

}  // namespace pushhub::detail

#pragma once

#include <chrono>

namespace pushhub::detail {

// Arithmetic with times that stops at the largest and the smallest value, so that a host may say
// `max()` for "for ever". A plain sum would wrap around.

/// `value` in the unit of `To`, or the nearest `To` if it does not fit.
template <class To, class Rep, class Period>
constexpr To saturatedCast(std::chrono::duration<Rep, Period> value) noexcept {
    using Wide = std::chrono::duration<long double, typename To::period>;
    const auto wide = std::chrono::duration_cast<Wide>(value);
    if (!(wide < std::chrono::duration_cast<Wide>((To::max)()))) {
        return (To::max)();
    }
    if (!(wide > std::chrono::duration_cast<Wide>((To::min)()))) {
        return (To::min)();
    }
    return std::chrono::duration_cast<To>(value);
}

template <class Clock, class Duration, class Rep, class Period>
constexpr std::chrono::time_point<Clock, Duration> saturatedAdd(
    std::chrono::time_point<Clock, Duration> time,
    std::chrono::duration<Rep, Period> span) noexcept {
    using Time = std::chrono::time_point<Clock, Duration>;
    const Duration added = saturatedCast<Duration>(span);
    if (added == (Duration::max)() || (added > Duration::zero() && time > (Time::max)() - added)) {
        return (Time::max)();
    }
    if (added == (Duration::min)() || (added < Duration::zero() && time < (Time::min)() - added)) {
        return (Time::min)();
    }
    return time + added;
}

/// The time from `from` to `to`.
template <class Clock, class Duration>
constexpr Duration saturatedDifference(std::chrono::time_point<Clock, Duration> to,
                                       std::chrono::time_point<Clock, Duration> from) noexcept {
    const Duration end = to.time_since_epoch();
    const Duration begin = from.time_since_epoch();
    if (begin < Duration::zero() && end > (Duration::max)() + begin) {
        return (Duration::max)();
    }
    if (begin > Duration::zero() && end < (Duration::min)() + begin) {
        return (Duration::min)();
    }
    return end - begin;
}

/// What a host sets as a time of a token or a session. `max()` of a coarser clock is that of the
/// system's, too.
template <class Clock, class Duration>
constexpr typename Clock::time_point saturatedTime(
    std::chrono::time_point<Clock, Duration> time) noexcept {
    return typename Clock::time_point(
        saturatedCast<typename Clock::duration>(time.time_since_epoch()));
}

}  // namespace pushhub::detail

#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace pushhub::detail {

/// Like `changed.wait_until(lock, time, done)`, for any time. Some standard libraries turn it into
/// one of another clock, of which the largest ones overflow; so this waits an hour at most at once.
template <class Predicate>
bool waitUntil(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
               std::chrono::steady_clock::time_point time, Predicate done) {
    while (!done()) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= time) {
            return false;
        }
        changed.wait_until(lock, (std::min)(time, now + std::chrono::hours(1)));
    }
    return true;
}

}  // namespace pushhub::detail

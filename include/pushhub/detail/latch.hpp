#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include <pushhub/detail/wait_until.hpp>

namespace pushhub::detail {

/// Counts down as loops report that they are done; another thread waits for it.
class Latch {
public:
    explicit Latch(std::size_t count) : count_(count) {}

    void countDown() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (count_ > 0 && --count_ == 0) {
            changed_.notify_all();
        }
    }

    /// Lets go of those that wait, whatever the count.
    void open() {
        const std::lock_guard<std::mutex> lock(mutex_);
        count_ = 0;
        changed_.notify_all();
    }

    bool waitUntil(std::chrono::steady_clock::time_point deadline) {
        std::unique_lock<std::mutex> lock(mutex_);
        return detail::waitUntil(changed_, lock, deadline, [this] { return count_ == 0; });
    }

    bool done() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return count_ == 0;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t count_;
};

}  // namespace pushhub::detail

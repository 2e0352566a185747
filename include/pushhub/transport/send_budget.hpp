#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <pushhub/options.hpp>

namespace pushhub {

/// What waits for one session, counted exactly: bytes, messages and whether it still takes any,
/// in one atomic word. Any thread reserves room here before it queues, so that the answer to a
/// send is final; the event loop gives room back as bytes leave.
class SendBudget {
public:
    enum class Outcome { accepted, closed, bytesFull, messagesFull };

    /// Largest limits that can be counted: 1 TiB less one byte, and 8,388,607 messages.
    static constexpr std::uint64_t maxBytes = (std::uint64_t{1} << 40) - 1;
    static constexpr std::uint64_t maxMessages = (std::uint64_t{1} << 23) - 1;

    /// Takes room for one or more messages, all or none. Lock-free; any thread. `evenIfClosed` is
    /// for what was accepted before the close, and comes to be queued behind it.
    Outcome reserve(std::uint64_t bytes, std::uint64_t messages, const QueueLimits& limits,
                    bool evenIfClosed = false) noexcept {
        std::uint64_t state = state_.load(std::memory_order_relaxed);
        do {
            if (isClosed(state) && !evenIfClosed) {
                return Outcome::closed;
            }
            if (bytesOf(state) + bytes > limits.bytes) {
                return Outcome::bytesFull;
            }
            if (messagesOf(state) + messages > limits.messages) {
                return Outcome::messagesFull;
            }
        } while (!state_.compare_exchange_weak(state, state + pack(bytes, messages),
                                               std::memory_order_relaxed));
        return Outcome::accepted;
    }

    /// True if more is counted than `limits` allow.
    bool exceeds(const QueueLimits& limits) const noexcept {
        const std::uint64_t state = state_.load(std::memory_order_relaxed);
        return bytesOf(state) > limits.bytes || messagesOf(state) > limits.messages;
    }

    /// Counts what is queued whatever the limits say: control frames, and the rest of a message
    /// that was written in part.
    void add(std::uint64_t bytes, std::uint64_t messages) noexcept {
        state_.fetch_add(pack(bytes, messages), std::memory_order_relaxed);
    }

    /// Gives room back.
    void release(std::uint64_t bytes, std::uint64_t messages) noexcept {
        state_.fetch_sub(pack(bytes, messages), std::memory_order_relaxed);
    }

    /// From now on `reserve` answers `closed`. What was reserved stays counted.
    void close() noexcept { state_.fetch_or(closedBit, std::memory_order_relaxed); }

    /// Takes `close` back.
    void reopen() noexcept { state_.fetch_and(~closedBit, std::memory_order_relaxed); }

    bool closed() const noexcept { return isClosed(state_.load(std::memory_order_relaxed)); }
    std::uint64_t bytes() const noexcept { return bytesOf(state_.load(std::memory_order_relaxed)); }
    std::uint64_t messages() const noexcept {
        return messagesOf(state_.load(std::memory_order_relaxed));
    }

private:
    static constexpr std::uint64_t closedBit = std::uint64_t{1} << 63;
    static constexpr std::uint64_t pack(std::uint64_t bytes, std::uint64_t messages) noexcept {
        return messages << 40 | bytes;
    }
    static constexpr bool isClosed(std::uint64_t state) noexcept {
        return (state & closedBit) != 0;
    }
    static constexpr std::uint64_t bytesOf(std::uint64_t state) noexcept {
        return state & maxBytes;
    }
    static constexpr std::uint64_t messagesOf(std::uint64_t state) noexcept {
        return state >> 40 & maxMessages;
    }

    std::atomic<std::uint64_t> state_{0};
};

}  // namespace pushhub

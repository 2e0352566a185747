#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <pushhub/detail/intrusive_list.hpp>

namespace pushhub {

/// Something with a deadline, in at most one wheel.
struct TimerNode {
    detail::ListLinks<TimerNode> timerLinks;
    std::uint32_t deadline = 0;
    bool armed = false;
    bool extended = false;  // for whoever arms it: see `LoopContext::extendTimer`
};

/// Deadlines of one event loop, in ticks: arming, moving and disarming cost O(1) and no
/// allocation, so that ten thousand sessions need one timer of the operating system. A hashed
/// wheel (Varghese and Lauck, 1987). Ticks are numbered by the loop and wrap around; a deadline is
/// less than 2^31 ticks away. Not thread-safe.
class TimerWheel {
public:
    /// The tick up to which deadlines have expired.
    std::uint32_t now() const noexcept { return now_; }

    /// Sets the tick without a look at deadlines. Only while nothing is armed.
    void startAt(std::uint32_t now) noexcept { now_ = now; }

    /// Arms `node` to expire at that tick, or moves it there; at the next one if it has passed.
    void arm(TimerNode& node, std::uint32_t deadline) noexcept {
        disarm(node);
        node.deadline = later(deadline, now_) ? deadline : now_ + 1;
        node.armed = true;
        slot(node.deadline).add(node);
        ++armed_;
    }

    void disarm(TimerNode& node) noexcept {
        if (node.armed) {
            slot(node.deadline).nodes.remove(node);
            node.armed = false;
            --armed_;
        }
    }

    /// Advances to a tick, over however many, and calls `expired(node)` for each node that is due
    /// by then. The call may arm and disarm nodes, the one it is given included. O(slots passed,
    /// at most 256, and nodes in them).
    template <class Expired>
    void advance(std::uint32_t now, Expired expired) {
        const auto steps = (std::min<std::uint32_t>)(now - now_, slotCount);
        now_ = now;
        for (std::uint32_t tick = now - steps + 1; tick != now + 1; ++tick) {
            Slot& due = slot(tick);
            due.earliest = now + farthest;
            for (std::size_t left = due.nodes.size(); left > 0 && !due.nodes.empty(); --left) {
                TimerNode& node = *due.nodes.front();
                due.nodes.remove(node);
                if (later(node.deadline, now_)) {
                    due.add(node);  // due in another round of the wheel
                    continue;
                }
                node.armed = false;
                --armed_;
                expired(node);
            }
        }
    }

    /// The first tick to advance to: nothing expires before it. What was armed for it may have been
    /// disarmed since. Nothing if nothing is armed. O(slots).
    std::optional<std::uint32_t> next() const noexcept {
        std::optional<std::uint32_t> first;
        for (const Slot& slot : slots_) {
            if (!slot.nodes.empty() && (!first || later(*first, slot.earliest))) {
                first = slot.earliest;
            }
        }
        return first;
    }

    std::size_t armed() const noexcept { return armed_; }

private:
    static constexpr std::uint32_t slotCount = 256;
    static constexpr std::uint32_t farthest = 0x7FFFFFFF;

    struct Slot {
        detail::IntrusiveList<TimerNode, &TimerNode::timerLinks> nodes;
        std::uint32_t earliest = 0;  // no node of it is due before; if there is one

        void add(TimerNode& node) noexcept {
            if (nodes.empty() || later(earliest, node.deadline)) {
                earliest = node.deadline;
            }
            nodes.pushBack(node);
        }
    };

    static bool later(std::uint32_t a, std::uint32_t b) noexcept {
        return static_cast<std::int32_t>(a - b) > 0;
    }

    Slot& slot(std::uint32_t tick) noexcept { return slots_[tick % slotCount]; }

    std::array<Slot, slotCount> slots_;
    std::uint32_t now_ = 0;
    std::size_t armed_ = 0;
};

}  // namespace pushhub

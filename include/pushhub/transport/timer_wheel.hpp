#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <pushhub/detail/intrusive_list.hpp>

namespace pushhub {

/// Something with a deadline, in at most one wheel.
struct TimerNode {
    detail::ListLinks<TimerNode> timerLinks;
    std::uint32_t deadline = 0;
    bool armed = false;
};

/// Deadlines of one event loop, in ticks: arming, moving and disarming cost O(1) and no
/// allocation, so that ten thousand sessions need one timer of the operating system. A hashed
/// wheel (Varghese and Lauck, 1987). Not thread-safe.
class TimerWheel {
public:
    /// Arms `node` to expire `ticks` from now (at least one), or moves it there.
    void arm(TimerNode& node, std::uint32_t ticks) noexcept {
        disarm(node);
        node.deadline = now_ + (ticks == 0 ? 1 : ticks);
        node.armed = true;
        slot(node.deadline).pushBack(node);
        ++armed_;
    }

    void disarm(TimerNode& node) noexcept {
        if (node.armed) {
            slot(node.deadline).remove(node);
            node.armed = false;
            --armed_;
        }
    }

    /// Advances by one tick and calls `expired(node)` for each node that is due. The call may arm
    /// and disarm nodes, the one it is given included.
    template <class Expired>
    void tick(Expired expired) {
        Slot& due = slot(++now_);
        for (std::size_t left = due.size(); left > 0 && !due.empty(); --left) {
            TimerNode& node = *due.front();
            due.remove(node);
            if (node.deadline != now_) {
                due.pushBack(node);  // due in another round of the wheel
                continue;
            }
            node.armed = false;
            --armed_;
            expired(node);
        }
    }

    std::size_t armed() const noexcept { return armed_; }

private:
    using Slot = detail::IntrusiveList<TimerNode, &TimerNode::timerLinks>;
    static constexpr std::size_t slotCount = 256;

    Slot& slot(std::uint32_t tick) noexcept { return slots_[tick % slotCount]; }

    std::array<Slot, slotCount> slots_;
    std::uint32_t now_ = 0;
    std::size_t armed_ = 0;
};

}  // namespace pushhub

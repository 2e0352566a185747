#include <pushhub/transport/timer_wheel.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "support/catch.hpp"

using pushhub::TimerNode;
using pushhub::TimerWheel;

namespace {

/// The tick after which `node` expires, counted from now; 0 if not within `limit`.
std::uint32_t expiry(TimerWheel& wheel, const TimerNode& node, std::uint32_t limit) {
    for (std::uint32_t tick = 1; tick <= limit; ++tick) {
        bool expired = false;
        wheel.advance(wheel.now() + 1, [&](TimerNode& due) { expired = expired || &due == &node; });
        if (expired) {
            return tick;
        }
    }
    return 0;
}

void armIn(TimerWheel& wheel, TimerNode& node, std::uint32_t ticks) {
    wheel.arm(node, wheel.now() + ticks);
}

}  // namespace

TEST_CASE("A timer expires once, after its ticks", "[timer_wheel]") {
    for (const std::uint32_t ticks : {1U, 2U, 255U, 256U, 257U, 511U, 512U, 513U, 5000U}) {
        for (const std::uint32_t start : {0U, 1U, 200U, 255U, 256U, 0x7FFFFFF0U, 0xFFFFFFF0U}) {
            TimerWheel wheel;
            TimerNode node;
            wheel.startAt(start);
            armIn(wheel, node, ticks);
            CHECK(wheel.next() == start + ticks);
            CHECK(wheel.armed() == 1);
            CHECK(expiry(wheel, node, 6000) == ticks);
            CHECK_FALSE(node.armed);
            CHECK(wheel.armed() == 0);
            CHECK_FALSE(wheel.next());
            CHECK(expiry(wheel, node, 600) == 0);
        }
    }
}

TEST_CASE("A deadline that has passed is the next tick", "[timer_wheel]") {
    for (const std::uint32_t ticks : {0U, 5U, 1000U}) {
        TimerWheel wheel;
        TimerNode node;
        wheel.arm(node, wheel.now() - ticks);
        CHECK(expiry(wheel, node, 5) == 1);
    }
}

TEST_CASE("A wheel advances over any number of ticks, and lets expire what is due",
          "[timer_wheel]") {
    for (const std::uint32_t ticks : {1U, 10U, 255U, 256U, 257U, 1000U, 100'000U}) {
        TimerWheel wheel;
        std::vector<TimerNode> nodes(2000);
        for (std::uint32_t i = 0; i < nodes.size(); ++i) {
            armIn(wheel, nodes[i], i + 1);
        }
        std::size_t expired = 0;
        bool early = false;
        wheel.advance(wheel.now() + ticks, [&](TimerNode& node) {
            ++expired;
            early = early || node.deadline > wheel.now();
            if (expired % 2 == 0) {
                armIn(wheel, node, 1);  // not in the same call
            }
        });
        CHECK_FALSE(early);
        const std::size_t due = std::min<std::size_t>(ticks, nodes.size());
        CHECK(expired == due);
        CHECK(wheel.armed() == nodes.size() - due + due / 2);
        CHECK(wheel.next() == wheel.now() + 1);
    }
}

TEST_CASE("The next tick to look at is that of a deadline, in whatever round", "[timer_wheel]") {
    TimerWheel wheel;
    std::vector<TimerNode> nodes(300);
    for (std::uint32_t i = 0; i < nodes.size(); ++i) {
        armIn(wheel, nodes[i], 5000 + i);
    }
    CHECK(wheel.next() == 5000);
    wheel.advance(4000, [](TimerNode&) { FAIL("early"); });
    CHECK(wheel.next() == 5000);
    TimerNode other;
    wheel.arm(other, 4100);
    CHECK(wheel.next() == 4100);
    wheel.disarm(other);
    wheel.disarm(nodes[0]);
    // What was disarmed may cost one look, and no more.
    std::uint32_t looks = 0;
    for (; wheel.next() != 5001U && looks < 10; ++looks) {
        wheel.advance(*wheel.next(), [](TimerNode&) { FAIL("early"); });
    }
    CHECK(looks <= 2);
}

TEST_CASE("A timer may be moved and disarmed", "[timer_wheel]") {
    TimerWheel wheel;
    TimerNode node;
    wheel.disarm(node);
    armIn(wheel, node, 10);
    armIn(wheel, node, 300);
    CHECK(wheel.armed() == 1);
    CHECK(expiry(wheel, node, 400) == 300);
    armIn(wheel, node, 10);
    wheel.disarm(node);
    wheel.disarm(node);
    CHECK(wheel.armed() == 0);
    CHECK(expiry(wheel, node, 300) == 0);
}

TEST_CASE("What expires may arm and disarm itself and others of the same tick", "[timer_wheel]") {
    TimerWheel wheel;
    std::vector<TimerNode> nodes(6);
    for (TimerNode& node : nodes) {
        armIn(wheel, node, 3);
    }
    TimerNode rounds;  // in the same slot, due a revolution later
    armIn(wheel, rounds, 3 + 256);
    std::vector<std::size_t> expired;
    const auto onExpired = [&](TimerNode& node) {
        if (&node == &rounds) {
            expired.push_back(100);
            return;
        }
        const auto index = static_cast<std::size_t>(&node - nodes.data());
        expired.push_back(index);
        if (index == 0 && expired.size() == 1) {
            wheel.disarm(nodes[1]);       // due now, not called yet
            armIn(wheel, nodes[2], 256);  // due now, moved into this very slot
            armIn(wheel, nodes[3], 1);
            armIn(wheel, nodes[0], 512);  // itself, into this very slot
        } else if (index == 4 && expired.size() == 2) {
            armIn(wheel, nodes[1], 256);
        }
    };
    for (int i = 0; i < 3; ++i) {
        wheel.advance(wheel.now() + 1, onExpired);
    }
    CHECK(expired == std::vector<std::size_t>{0, 4, 5});
    wheel.advance(wheel.now() + 1, onExpired);
    CHECK(expired == std::vector<std::size_t>{0, 4, 5, 3});
    for (int i = 0; i < 255; ++i) {
        wheel.advance(wheel.now() + 1, onExpired);
    }
    std::sort(expired.begin() + 4, expired.end());
    CHECK(expired == std::vector<std::size_t>{0, 4, 5, 3, 1, 2, 100});
    CHECK(wheel.armed() == 1);
    for (int i = 0; i < 256; ++i) {
        wheel.advance(wheel.now() + 1, onExpired);
    }
    CHECK(expired.back() == 0);
    CHECK(wheel.armed() == 0);
}

TEST_CASE("Timers expire when they should, whatever the order of calls", "[timer_wheel]") {
    std::mt19937 random(GENERATE(11U, 12U, 13U));
    TimerWheel wheel;
    std::vector<TimerNode> nodes(200);
    std::map<TimerNode*, std::uint64_t> due;  // the model
    std::uint64_t now = 0;
    std::size_t wrong = 0;
    const auto act = [&] {
        TimerNode& node = nodes[random() % nodes.size()];
        if (random() % 3 == 0) {
            wheel.disarm(node);
            due.erase(&node);
        } else {
            const auto ticks = static_cast<std::uint32_t>(random() % (random() % 4 ? 40 : 1500));
            armIn(wheel, node, ticks);
            due[&node] = now + std::max(ticks, 1U);
        }
    };
    std::size_t expirations = 0;
    for (int step = 0; step < 20'000; ++step) {
        if (random() % 2) {
            act();
        }
        const std::uint64_t before = now;
        now += random() % 8 ? 1 : random() % 600;
        if (const auto next = wheel.next()) {  // nothing is due before
            for (const auto& one : due) {
                wrong += one.second < *next ? 1 : 0;
            }
        }
        wheel.advance(static_cast<std::uint32_t>(now), [&](TimerNode& node) {
            const auto found = due.find(&node);
            if (found == due.end() || found->second > now || found->second <= before) {
                ++wrong;
            } else {
                due.erase(found);
            }
            ++expirations;
            if (random() % 4 == 0) {
                act();
            }
        });
        for (const auto& one : due) {
            wrong += one.second <= now ? 1 : 0;  // one was missed
        }
        wrong += wheel.armed() != due.size() ? 1 : 0;
    }
    CHECK(wrong == 0);
    CHECK(expirations > 1000);
}

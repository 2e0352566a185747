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
        wheel.tick([&](TimerNode& due) { expired = expired || &due == &node; });
        if (expired) {
            return tick;
        }
    }
    return 0;
}

}  // namespace

TEST_CASE("A timer expires once, after its ticks", "[timer_wheel]") {
    for (const std::uint32_t ticks : {1U, 2U, 255U, 256U, 257U, 511U, 512U, 513U, 5000U}) {
        for (const std::uint32_t start : {0U, 1U, 200U, 255U, 256U}) {
            TimerWheel wheel;
            TimerNode node;
            for (std::uint32_t i = 0; i < start; ++i) {
                wheel.tick([](TimerNode&) { FAIL("nothing is armed"); });
            }
            wheel.arm(node, ticks);
            CHECK(wheel.armed() == 1);
            CHECK(expiry(wheel, node, 6000) == ticks);
            CHECK_FALSE(node.armed);
            CHECK(wheel.armed() == 0);
            CHECK(expiry(wheel, node, 600) == 0);
        }
    }
}

TEST_CASE("No ticks mean one", "[timer_wheel]") {
    TimerWheel wheel;
    TimerNode node;
    wheel.arm(node, 0);
    CHECK(expiry(wheel, node, 5) == 1);
}

TEST_CASE("A timer may be moved and disarmed", "[timer_wheel]") {
    TimerWheel wheel;
    TimerNode node;
    wheel.disarm(node);
    wheel.arm(node, 10);
    wheel.arm(node, 300);
    CHECK(wheel.armed() == 1);
    CHECK(expiry(wheel, node, 400) == 300);
    wheel.arm(node, 10);
    wheel.disarm(node);
    wheel.disarm(node);
    CHECK(wheel.armed() == 0);
    CHECK(expiry(wheel, node, 300) == 0);
}

TEST_CASE("What expires may arm and disarm itself and others of the same tick", "[timer_wheel]") {
    TimerWheel wheel;
    std::vector<TimerNode> nodes(6);
    for (TimerNode& node : nodes) {
        wheel.arm(node, 3);
    }
    TimerNode rounds;  // in the same slot, due a revolution later
    wheel.arm(rounds, 3 + 256);
    std::vector<std::size_t> expired;
    const auto onExpired = [&](TimerNode& node) {
        if (&node == &rounds) {
            expired.push_back(100);
            return;
        }
        const auto index = static_cast<std::size_t>(&node - nodes.data());
        expired.push_back(index);
        if (index == 0 && expired.size() == 1) {
            wheel.disarm(nodes[1]);    // due now, not called yet
            wheel.arm(nodes[2], 256);  // due now, moved into this very slot
            wheel.arm(nodes[3], 1);
            wheel.arm(nodes[0], 512);  // itself, into this very slot
        } else if (index == 4 && expired.size() == 2) {
            wheel.arm(nodes[1], 256);
        }
    };
    for (int i = 0; i < 3; ++i) {
        wheel.tick(onExpired);
    }
    CHECK(expired == std::vector<std::size_t>{0, 4, 5});
    wheel.tick(onExpired);
    CHECK(expired == std::vector<std::size_t>{0, 4, 5, 3});
    for (int i = 0; i < 255; ++i) {
        wheel.tick(onExpired);
    }
    std::sort(expired.begin() + 4, expired.end());
    CHECK(expired == std::vector<std::size_t>{0, 4, 5, 3, 1, 2, 100});
    CHECK(wheel.armed() == 1);
    for (int i = 0; i < 256; ++i) {
        wheel.tick(onExpired);
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
            wheel.arm(node, ticks);
            due[&node] = now + std::max(ticks, 1U);
        }
    };
    std::size_t expirations = 0;
    for (int step = 0; step < 20'000; ++step) {
        if (random() % 2) {
            act();
        }
        ++now;
        wheel.tick([&](TimerNode& node) {
            const auto found = due.find(&node);
            if (found == due.end() || found->second != now) {
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

#include <pushhub/transport/send_budget.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using pushhub::QueueLimits;
using pushhub::SendBudget;
using Outcome = SendBudget::Outcome;

TEST_CASE("Room is given up to each limit, exactly, or not at all", "[send_budget]") {
    const QueueLimits limits{100, 3};
    SendBudget budget;
    CHECK(budget.reserve(100, 1, limits) == Outcome::accepted);
    CHECK(budget.reserve(1, 1, limits) == Outcome::bytesFull);
    CHECK(budget.bytes() == 100);
    CHECK(budget.messages() == 1);
    budget.release(100, 1);
    CHECK(budget.reserve(101, 1, limits) == Outcome::bytesFull);
    CHECK(budget.reserve(1, 4, limits) == Outcome::messagesFull);
    CHECK(budget.reserve(0, 3, limits) == Outcome::accepted);
    CHECK(budget.reserve(0, 1, limits) == Outcome::messagesFull);
    budget.release(0, 1);
    CHECK(budget.reserve(100, 1, limits) == Outcome::accepted);
    CHECK(budget.bytes() == 100);
    CHECK(budget.messages() == 3);
}

TEST_CASE("Control frames count, but are not refused", "[send_budget]") {
    const QueueLimits limits{100, 3};
    SendBudget budget;
    budget.add(127, 0);
    CHECK(budget.bytes() == 127);
    CHECK(budget.messages() == 0);
    CHECK(budget.reserve(1, 1, limits) == Outcome::bytesFull);
    budget.release(30, 0);  // left in part
    CHECK(budget.reserve(3, 1, limits) == Outcome::accepted);
    CHECK(budget.reserve(1, 1, limits) == Outcome::bytesFull);
    budget.release(97, 0);
    CHECK(budget.bytes() == 3);
}

TEST_CASE("Once closed it takes nothing, and keeps what was taken", "[send_budget]") {
    const QueueLimits limits{100, 3};
    SendBudget budget;
    CHECK(budget.reserve(10, 1, limits) == Outcome::accepted);
    CHECK_FALSE(budget.closed());
    budget.close();
    budget.close();
    CHECK(budget.closed());
    CHECK(budget.reserve(10, 1, limits) == Outcome::closed);
    CHECK(budget.reserve(1000, 1, limits) == Outcome::closed);
    CHECK(budget.bytes() == 10);
    CHECK(budget.messages() == 1);
    CHECK(budget.reserve(20, 2, limits, true) == Outcome::accepted);
    CHECK(budget.reserve(0, 1, limits, true) == Outcome::messagesFull);
    budget.add(4, 0);
    budget.release(34, 3);
    CHECK(budget.bytes() == 0);
    CHECK(budget.messages() == 0);
    CHECK(budget.closed());
}

TEST_CASE("Bytes, messages and the end do not touch each other", "[send_budget]") {
    // The largest limits that options allow, with what comes on top of them.
    const QueueLimits limits{std::uint64_t{1} << 39, std::uint64_t{1} << 22};
    SendBudget budget;
    CHECK(budget.reserve(limits.bytes, limits.messages, limits) == Outcome::accepted);
    CHECK(budget.reserve(1, 0, limits) == Outcome::bytesFull);
    CHECK(budget.reserve(0, 1, limits) == Outcome::messagesFull);
    CHECK(budget.reserve(0xFFFFFFFFU, 1, limits) == Outcome::bytesFull);
    budget.add(1000, 1);
    CHECK(budget.bytes() == limits.bytes + 1000);
    CHECK(budget.messages() == limits.messages + 1);
    CHECK_FALSE(budget.closed());
    budget.close();
    CHECK(budget.bytes() == limits.bytes + 1000);
    CHECK(budget.messages() == limits.messages + 1);
    budget.release(limits.bytes + 1000, limits.messages + 1);
    CHECK(budget.bytes() == 0);
    CHECK(budget.messages() == 0);
    CHECK(budget.closed());
}

TEST_CASE("Many threads together never exceed a limit", "[send_budget]") {
    const QueueLimits limits{1000, 50};
    SendBudget budget;
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<bool> exceeded{false};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (std::uint64_t i = 0; i < 20'000; ++i) {
                const std::uint64_t bytes = 1 + (i * 7 + t) % 97;
                if (budget.reserve(bytes, 1, limits) == Outcome::accepted) {
                    ++accepted;
                    if (budget.bytes() > 1000 || budget.messages() > 50) {
                        exceeded = true;
                    }
                    if (i % 3 != 0) {
                        std::this_thread::yield();
                    }
                    budget.release(bytes, 1);
                } else {
                    ++refused;
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK_FALSE(exceeded);
    CHECK(accepted + refused == 80'000);
    CHECK(accepted > 0);
    CHECK(budget.bytes() == 0);
    CHECK(budget.messages() == 0);
}

TEST_CASE("What was accepted before the close is known exactly after it", "[send_budget]") {
    for (int round = 0; round < 50; ++round) {
        const QueueLimits limits{1'000'000, 100'000};
        SendBudget budget;
        std::atomic<std::uint64_t> accepted{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 1000; ++i) {
                    if (budget.reserve(3, 1, limits) != Outcome::accepted) {
                        break;
                    }
                    ++accepted;
                }
            });
        }
        budget.close();
        const std::uint64_t atClose = budget.messages();
        for (std::thread& thread : threads) {
            thread.join();
        }
        CHECK(budget.messages() == atClose);
        CHECK(budget.messages() == accepted);
        CHECK(budget.bytes() == 3 * accepted);
    }
}

// What happens when memory is short: each allocation of a scenario fails in turn.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <pushhub/protocol/client_frame.hpp>
#include <pushhub/protocol/engine.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/allocation.hpp"
#include "support/catch.hpp"

namespace {

// Counts down to the allocations that fail, so many in a row.
constexpr long none = std::numeric_limits<long>::max();
std::atomic<long> left{none};
std::atomic<long> inARow{1};
std::atomic<long> living{0};

bool fails() noexcept {
    if (left == none) {
        return false;
    }
    const long before = left--;
    return before <= 0 && before > -inARow;
}

}  // namespace

void* pushhub::test::allocate(std::size_t size) noexcept {
    void* const memory = fails() ? nullptr : std::malloc(size);
    living += memory ? 1 : 0;
    return memory;
}
void pushhub::test::release(void* memory) noexcept {
    living -= memory ? 1 : 0;
    std::free(memory);
}

using namespace pushhub;
using namespace std::chrono_literals;

namespace {

struct Balance {
    std::uint64_t accepted = 0;    // for the one session
    std::uint64_t broadcasts = 0;  // that did not fail
    std::uint64_t accounted = 0;
    std::size_t opened = 0;
    std::size_t closed = 0;
    std::size_t received = 0;
    bool other = false;   // something that is no lack of memory
    bool failed = false;  // the allocation was reached
    long leaked = 0;
};

// Hooks and test code keep what they need in numbers: they must not fail themselves.
void scenario(OverflowPolicy policy, Balance& balance) {
    try {
        Options options;
        options.maxQueueMessages = 6;
        options.whenQueueFull = policy;
        options.maxInboundMessagesPerSecond = 1000;
        PushHub<LoopbackTransport> hub(options);
        hub.onHandshake([](const HandshakePtr& handshake) { handshake->accept(); });
        hub.onOpen([&](const SessionPtr&) { ++balance.opened; });
        hub.onMessage([&](const SessionPtr& session, std::string_view text) {
            balance.accepted += session->send(text).accepted;
        });
        hub.onClose([&](const SessionPtr&, const CloseInfo& info) {
            ++balance.closed;
            balance.accounted +=
                info.deliveredMessages + info.droppedMessages + info.undeliveredMessages;
        });
        hub.start();
        std::shared_ptr<LoopbackClient> client;
        const auto push = [&](std::string_view text, bool all) {
            try {
                PushOptions keyed;
                keyed.key = "key";
                if (all) {
                    balance.broadcasts += hub.sendAll(text).accepted;
                    balance.broadcasts += hub.sendAll(text).accepted;
                } else {
                    balance.accepted += hub.sendOne("1", text).accepted;
                    balance.accepted += hub.sendMore({"1"}, text, keyed).accepted;
                }
            } catch (const std::bad_alloc&) {
                // nothing of this push was accepted
            }
        };
        try {
            client = hub.transport().connect("/websocket/1");
            hub.transport().poll();
            client->send("echo this, please, and do it soon");
            client->ping("ping");
            hub.transport().poll();
            push("one at a time, with a text that is long enough", false);
            push("for all, with a text that is long enough to need memory", true);
            hub.transport().poll();
            client->setReading(false, 100);
            for (int i = 0; i < 4; ++i) {
                push("for all, while the client is slow, and its queue fills up", true);
                push("for one, while the client is slow", false);
                hub.transport().poll();
            }
            client->setReading(true);
            hub.transport().advance(100ms);
            balance.received += client->take().size();
            client->close(CloseCode::normal, "good bye, and many thanks for everything");
            hub.transport().poll();
        } catch (const std::bad_alloc&) {
            // of the client's side
        }
        hub.stop();
    } catch (const std::bad_alloc&) {
        // the hub could not be made or started
    } catch (...) {
        balance.other = true;
    }
}

// The allocation after `successes` fails.
Balance run(OverflowPolicy policy, long successes = none) {
    Balance balance;
    const long before = living;
    left = successes;
    scenario(policy, balance);
    balance.failed = left < 0;
    left = none;
    balance.leaked = living - before;
    return balance;
}

/// How many of three sessions got a broadcast, and of how many it is told that they did not, if
/// `count` allocations fail after `successes`.
struct Broadcast {
    std::size_t received = 0;
    std::uint64_t undelivered = 0;
    std::size_t cut = 0;
    bool failed = false;
    bool onOurSide = false;  // a client had no memory
};

Broadcast broadcast(long successes, long count) {
    Broadcast outcome;
    PushHub<LoopbackTransport> hub{Options()};
    hub.onClose([&](const SessionPtr&, const CloseInfo& info) {
        outcome.undelivered += info.undeliveredMessages;
    });
    hub.start();
    std::vector<std::shared_ptr<LoopbackClient>> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(hub.transport().connect("/websocket/1"));
    }
    clients.front()->setReading(false, 0);
    hub.transport().poll();
    hub.sendAll("to all");
    inARow = count;
    left = successes;
    try {
        hub.transport().poll();
    } catch (const std::bad_alloc&) {
        outcome.onOurSide = true;
    }
    outcome.failed = left < 0;
    left = none;
    inARow = 1;
    clients.front()->setReading(true);
    hub.transport().poll();
    for (const auto& client : clients) {
        outcome.received += client->take().size();
    }
    outcome.cut = 3 - hub.sessionCount();
    return outcome;
}

}  // namespace

TEST_CASE("A reset engine gives a large buffer back, and keeps a small one", "[memory]") {
    const auto freedFor = [](std::size_t size) {
        protocol::Engine engine;
        engine.setMaxMessageSize(size);
        std::string part =
            protocol::clientFrame(protocol::Opcode::binary, std::string(size, 'x'), false);
        std::size_t used = 0;
        REQUIRE(engine.read(part.data(), part.size(), used) == protocol::EngineEvent::needMore);
        const long before = living;
        engine.reset();
        return before - living;
    };
    CHECK(freedFor(1024 * 1024) == 1);
    CHECK(freedFor(1024) == 0);
}

TEST_CASE("A broadcast that the log has no memory for gets to each session, or is told",
          "[memory]") {
    for (const long count : {1, 2, 100}) {
        Broadcast outcome;
        outcome.failed = true;
        for (long successes = 0; outcome.failed; ++successes) {
            outcome = broadcast(successes, count);
            INFO("after " << successes << ", " << count << " in a row");
            if (!outcome.onOurSide) {
                CHECK(outcome.received + outcome.undelivered == 3);
                CHECK(outcome.cut == outcome.undelivered);
            }
        }
    }
}

TEST_CASE("Each allocation may fail, and the accounts are right all the same", "[memory]") {
    for (const OverflowPolicy policy :
         {OverflowPolicy::close, OverflowPolicy::dropNewest, OverflowPolicy::dropOldest}) {
        INFO("policy " << static_cast<int>(policy));
        const Balance good = run(policy);
        CHECK(good.opened == 1);
        CHECK(good.received > 4);
        CHECK(good.leaked == 0);
        bool more = true;
        long failures = 0;
        bool right = true;
        for (; more && right; ++failures) {
            const Balance balance = run(policy, failures);
            more = balance.failed;
            const std::uint64_t most = balance.accepted + balance.broadcasts;
            right = balance.leaked == 0 && !balance.other && balance.opened == balance.closed &&
                    balance.accounted <= most && balance.accounted >= balance.accepted &&
                    balance.received <= balance.accounted;
            INFO("failure " << failures << ": leaked " << balance.leaked << ", opened "
                            << balance.opened << ", closed " << balance.closed << ", accepted "
                            << balance.accepted << "+" << balance.broadcasts << ", accounted "
                            << balance.accounted << ", received " << balance.received);
            CHECK(right);
        }
        CHECK(failures > 100);
    }
}

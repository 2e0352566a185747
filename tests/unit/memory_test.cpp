// What happens when memory is short: each allocation of a scenario fails in turn.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"

namespace {

// Counts down to the allocation that fails; below zero none does.
std::atomic<long> left{-1};
std::atomic<long> living{0};

bool fails() noexcept {
    return left >= 0 && left-- == 0;
}

}  // namespace

// All forms, since a sanitizer has each of its own.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    void* memory = fails() ? nullptr : std::malloc(size);
    living += memory ? 1 : 0;
    return memory;
}
void* operator new(std::size_t size) {
    if (void* memory = operator new(size, std::nothrow)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
void operator delete(void* memory) noexcept {
    living -= memory ? 1 : 0;
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    operator delete(memory);
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
    bool lostBroadcast = false;
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
        hub.onError([&](const SessionPtr&, std::error_code error, std::string_view what) {
            if (error == std::errc::not_enough_memory) {
                balance.lostBroadcast =
                    balance.lostBroadcast || what.substr(0, 11) == "a broadcast";
            }
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

// The allocation after `successes` fails; none does if that is negative.
Balance run(OverflowPolicy policy, long successes = -1) {
    Balance balance;
    const long before = living;
    left = successes;
    scenario(policy, balance);
    balance.failed = successes >= 0 && left < 0;
    left = -1;
    balance.leaked = living - before;
    return balance;
}

}  // namespace

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

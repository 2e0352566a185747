// What becomes of pushes to a client that reads too slowly, by policy.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

namespace {

Options queueOf(std::size_t messages, OverflowPolicy policy) {
    Options options;
    options.maxQueueMessages = messages;
    options.whenQueueFull = policy;
    return options;
}

PushOptions with(OverflowPolicy policy) {
    PushOptions push;
    push.whenQueueFull = policy;
    return push;
}

PushOptions about(std::string_view key) {
    PushOptions push;
    push.key = key;
    return push;
}

std::uint64_t accountedFor(const CloseInfo& info) {
    return info.deliveredMessages + info.droppedMessages + info.undeliveredMessages;
}

}  // namespace

TEST_CASE("dropOldest keeps the newest, whoever sends and however they come", "[slow_client]") {
    for (const bool broadcast : {false, true}) {
        for (const bool together : {false, true}) {
            INFO((broadcast ? "sendAll" : "sendOne") << (together ? ", together" : ", one by one"));
            // Together, twice the limit may be on the way to the queue, and no more.
            RecordedHub hub(queueOf(5, OverflowPolicy::dropOldest));
            std::vector<std::pair<std::uint64_t, std::error_code>> dropped;
            std::vector<std::string> drained;
            hub.hub.onDropped([&](const SessionPtr&, const Dropped& what) {
                dropped.emplace_back(what.messages, what.reason);
            });
            hub.hub.onDrain(
                [&](const SessionPtr& session) { drained.push_back(session->userId()); });
            hub.hub.start();
            const auto client = hub.connect("1");
            client->setReading(false, 0);
            for (int i = 0; i < 9; ++i) {
                const std::string text = "message " + std::to_string(i);
                CHECK((broadcast ? hub.hub.sendAll(text) : hub.hub.sendOne("1", text)).accepted ==
                      1);
                if (!together) {
                    hub.poll();
                    CHECK(hub.opened[0]->bufferedBytes() <= 5 * (2 + text.size()));
                }
            }
            hub.poll();
            CHECK(dropped.size() == 4);
            CHECK(dropped[0].second == Errc::queueMessagesFull);
            CHECK(hub.hub.stats().droppedMessages == 4);
            CHECK(hub.hub.stats().queuedBytes == hub.opened[0]->bufferedBytes());
            CHECK(drained.empty());
            client->setReading(true);
            hub.poll();
            CHECK(client->takeTexts() ==
                  Strings{"message 4", "message 5", "message 6", "message 7", "message 8"});
            CHECK(drained == Strings{"1"});
            CHECK(hub.opened[0]->bufferedBytes() == 0);
            CHECK(hub.hub.stats().queuedBytes == 0);
            hub.hub.stop();
            REQUIRE(hub.closes.size() == 1);
            CHECK(hub.closes[0].droppedMessages == 4);
            CHECK(hub.closes[0].deliveredMessages == 5);
            CHECK(accountedFor(hub.closes[0]) == 9);
        }
    }
}

TEST_CASE("A message that has begun to leave is not dropped for a newer one", "[slow_client]") {
    RecordedHub hub(queueOf(2, OverflowPolicy::dropOldest));
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 4);  // header and two letters of the first
    for (const char* text : {"first", "second", "third", "fourth"}) {
        hub.hub.sendOne("1", text);
        hub.poll();
    }
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"first", "fourth"});
}

TEST_CASE("While older messages make room, no more than the queue again may be on its way",
          "[slow_client]") {
    RecordedHub hub(queueOf(5, OverflowPolicy::dropOldest));
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    std::size_t accepted = 0;
    for (int i = 0; i < 100; ++i) {
        accepted += hub.hub.sendOne("1", "text").accepted;
    }
    CHECK(accepted == 10);
    hub.poll();
    CHECK(hub.hub.stats().droppedMessages == 5);
    CHECK(hub.opened[0]->isOpen());
}

TEST_CASE("Twice the queue may be more than 32 bits count", "[slow_client]") {
    Options options = queueOf(5, OverflowPolicy::dropOldest);
    options.maxTotalQueueBytes = options.maxQueueBytes = std::size_t{1} << 31;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    CHECK(hub.hub.sendOne("1", "message").accepted == 1);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"message"});
}

TEST_CASE("A push with a key takes the place of the one that waits", "[slow_client]") {
    for (const bool broadcast : {false, true}) {
        RecordedHub hub(queueOf(5, OverflowPolicy::close));
        std::size_t told = 0;
        hub.hub.onDropped([&](const SessionPtr&, const Dropped&) { ++told; });
        hub.hub.start();
        const auto slow = hub.connect("1");
        const auto push = [&](const std::string& text, std::string_view key) {
            const SendResult result = broadcast ? hub.hub.sendAll(text, about(key))
                                                : hub.hub.sendOne("1", text, about(key));
            CHECK(result.accepted == 1);
            hub.poll();
        };
        push("EUR 0", "EUR");  // nothing waits
        CHECK(slow->takeTexts() == Strings{"EUR 0"});
        slow->setReading(false, 0);
        hub.hub.sendOne("1", "a message");
        hub.poll();
        for (int i = 1; i <= 100; ++i) {
            push("EUR " + std::to_string(i), "EUR");
            push("USD " + std::string(static_cast<std::size_t>(i), '.'), "USD");
        }
        CHECK(hub.opened[0]->bufferedBytes() == (2 + 9) + (2 + 7) + (2 + 104));
        CHECK(hub.hub.stats().queuedBytes == hub.opened[0]->bufferedBytes());
        slow->setReading(true);
        hub.poll();
        CHECK(slow->takeTexts() == Strings{"a message", "EUR 100", "USD " + std::string(100, '.')});
        CHECK(hub.hub.stats().conflatedMessages == 198);
        CHECK(hub.hub.stats().droppedMessages == 0);
        CHECK(told == 0);
        hub.hub.stop();
        CHECK(accountedFor(hub.closes[0]) == 202);
        CHECK(hub.closes[0].droppedMessages == 198);
    }
}

TEST_CASE("The policy of a push comes before that of the hub", "[slow_client]") {
    RecordedHub hub(queueOf(2, OverflowPolicy::conflate));
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    hub.hub.sendOne("1", "a");
    hub.hub.sendOne("1", "b");
    hub.poll();
    const SendResult refused = hub.hub.sendOne("1", "c", with(OverflowPolicy::dropNewest));
    CHECK(refused.refused == 1);
    CHECK(refused.error == Errc::queueMessagesFull);
    hub.hub.sendAll("d", with(OverflowPolicy::dropNewest));
    hub.poll();
    CHECK(hub.hub.stats().droppedMessages == 1);
    hub.hub.sendAll("e");  // no key: the oldest goes
    hub.poll();
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"b", "e"});
    client->setReading(false, 0);
    for (int i = 0; i < 3; ++i) {
        hub.opened[0]->send("f", with(OverflowPolicy::close));
        hub.poll();
    }
    CHECK_FALSE(hub.opened[0]->isOpen());
    client->setReading(true);
    hub.poll();
    CHECK(client->closeCode() == CloseCode::tryAgainLater);
}

TEST_CASE("A session that takes nothing is closed after the stall time", "[slow_client]") {
    Options options;
    options.stallTimeout = 10s;
    RecordedHub hub(options);
    hub.hub.start();
    const auto stuck = hub.connect("stuck");
    const auto slow = hub.connect("slow");
    const auto good = hub.connect("good");
    stuck->setReading(false, 0);
    slow->setReading(false, 100);
    hub.hub.sendAll(std::string(60'000, 'x'));
    hub.poll();
    for (int i = 0; i < 90; ++i) {
        hub.advance(100ms);
        slow->setReading(true, 100);  // takes a hundred bytes
        hub.poll();
        slow->setReading(false, 100);
    }
    CHECK(hub.closes.empty());
    hub.advance(5s);
    REQUIRE(hub.hub.sessionCount() == 3);  // stuck is closing
    CHECK_FALSE(hub.opened[0]->isOpen());
    CHECK(hub.opened[1]->isOpen());
    CHECK(hub.opened[2]->isOpen());
    hub.advance(5s);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::stalled);
    CHECK(hub.closes[0].code == CloseCode::tryAgainLater);
    CHECK(hub.closes[0].undeliveredMessages == 1);
}

TEST_CASE("Over the hub's budget the longest queue pays", "[slow_client]") {
    Options options;
    options.maxQueueBytes = 100'000;
    options.maxTotalQueueBytes = 150'000;
    RecordedHub hub(options);
    hub.hub.start();
    std::vector<RecordedHub::ClientPtr> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(hub.connect(std::to_string(i)));
        clients.back()->setReading(false, 0);
    }
    hub.hub.sendOne("2", std::string(50'000, 'x'));
    hub.hub.sendOne("1", std::string(40'000, 'x'));
    hub.poll();
    hub.hub.sendAll(std::string(10'000, 'x'));
    hub.poll();
    CHECK(hub.hub.stats().queuedBytes > 130'000);
    CHECK(hub.opened[2]->isOpen());
    hub.hub.sendAll(std::string(9'000, 'x'));
    hub.poll();
    CHECK_FALSE(hub.opened[2]->isOpen());
    CHECK(hub.opened[0]->isOpen());
    CHECK(hub.opened[1]->isOpen());
    CHECK(hub.opened[3]->isOpen());
    CHECK(hub.hub.stats().queuedBytes < 150'000);
    clients[2]->setReading(true);
    hub.poll();
    CHECK(clients[2]->closeCode() == CloseCode::tryAgainLater);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::hubQueueFull);
    CHECK(hub.closes[0].undeliveredMessages == 3);
}

TEST_CASE("A client that does not read its answers is not read from", "[slow_client]") {
    Options options;
    options.maxQueueMessages = 4000;
    RecordedHub hub(options);
    hub.whenMessage = [](const SessionPtr& session, const Message& message) {
        session->send(message.data);
    };
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    for (int i = 0; i < 10'000; ++i) {
        client->send("question " + std::to_string(i));
    }
    hub.poll();
    CHECK(hub.count("message") > 1500);
    CHECK(hub.count("message") < 3500);
    CHECK(hub.opened[0]->isOpen());
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts().size() == 10'000);
    CHECK(hub.count("message") == 10'000);
}

TEST_CASE("A client that is not read from can still close, and be closed", "[slow_client]") {
    Options options;
    options.maxQueueMessages = 10;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    for (int i = 0; i < 8; ++i) {
        hub.hub.sendOne("1", "text");
    }
    hub.poll();
    hub.opened[0]->close(CloseCode::normal, "bye");
    hub.poll();
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts().size() == 8);
    CHECK(client->closeCode() == CloseCode::normal);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].clean);
}

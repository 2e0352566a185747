#include <pushhub/transport/connection.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/handshake.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/handshake_request.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::handshakeRequest;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
namespace wire = pushhub::test::wire;
using ClientPtr = RecordedHub::ClientPtr;
using Strings = std::vector<std::string>;

namespace {

Options smallQueue(std::size_t bytes, std::size_t messages,
                   OverflowPolicy policy = OverflowPolicy::close) {
    Options options;
    options.maxQueueBytes = bytes;
    options.maxQueueMessages = messages;
    options.whenQueueFull = policy;
    return options;
}

std::uint64_t ended(const CloseInfo& info) {
    return info.deliveredMessages + info.undeliveredMessages;
}

/// True if `part` is the beginning of `whole`.
bool isPrefix(const Strings& part, const Strings& whole) {
    return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

}  // namespace

// Handshake ------------------------------------------------------------------------------------

TEST_CASE("A handshake that does not come in time gets 408", "[connection]") {
    Options options;
    options.handshakeTimeout = 1000ms;
    RecordedHub hub(options);
    hub.hub.start();
    const auto silent = hub.hub.transport().connectRaw();
    const auto slow = hub.hub.transport().connectRaw();
    const std::string request = handshakeRequest("/websocket/1");
    slow->sendBytes(request.substr(0, request.size() - 1));
    hub.advance(900ms);
    CHECK(silent->status() == 0);
    CHECK(slow->status() == 0);
    hub.advance(200ms);
    CHECK(silent->status() == 408);
    CHECK(slow->status() == 408);
    slow->sendBytes(request.substr(request.size() - 1));
    hub.poll();
    CHECK(hub.events.empty());
    CHECK(hub.hub.sessionCount() == 0);
}

TEST_CASE("An open session has no time-out from its handshake", "[connection]") {
    Options options;
    options.handshakeTimeout = 1000ms;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.advance(60s);
    CHECK(client->connected());
    CHECK(hub.events == Strings{"open 1"});
}

TEST_CASE("A handshake in pieces opens one session, with its last byte", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.hub.transport().connectRaw();
    const std::string request = handshakeRequest("/websocket/0002?token=x");
    for (std::size_t i = 0; i < request.size(); ++i) {
        REQUIRE(hub.events.empty());
        client->sendBytes(request.substr(i, 1));
        hub.poll();
    }
    CHECK(client->status() == 101);
    REQUIRE(hub.events == Strings{"open 0002"});
    CHECK(hub.opened[0]->query("token") == "x");
    CHECK(hub.opened[0]->header("hOsT") == "localhost");
}

TEST_CASE("Frames in the same bytes as the handshake are taken after onOpen", "[connection]") {
    const std::string all = handshakeRequest("/websocket/1") + wire::clientFrame(wire::text, "a") +
                            wire::fragment(wire::text, "b") +
                            wire::clientFrame(wire::continuation, "c");
    for (const std::size_t cut : {all.size(), all.size() - 3, all.size() - 9, all.size() - 20}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.hub.transport().connectRaw();
        client->sendBytes(all.substr(0, cut));
        hub.poll();
        client->sendBytes(all.substr(cut));
        hub.poll();
        CHECK(hub.events == Strings{"open 1", "message 1 a", "message 1 bc"});
    }
}

TEST_CASE("A close or a violation in the same bytes as the handshake", "[connection]") {
    // The answer to the handshake goes first, whatever comes behind it.
    for (const bool violation : {false, true}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.hub.transport().connectRaw();
        client->sendBytes(handshakeRequest("/websocket/1") +
                          (violation ? wire::clientFrame(3, "") : wire::clientClose(1000)));
        hub.poll();
        CHECK(client->status() == 101);
        CHECK(client->closeCode() == (violation ? CloseCode::protocolError : CloseCode::normal));
        CHECK(hub.count("open") == 1);
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].clean == !violation);
    }
}

TEST_CASE("Handshakes that are refused never are sessions", "[connection]") {
    Options options;
    options.maxSessions = 1;
    options.maxHandshakeBytes = 512;
    RecordedHub hub(options);
    hub.hub.start();
    auto& transport = hub.hub.transport();
    const auto first = hub.connect("1");
    REQUIRE(first->connected());
    const auto status = [&](const ClientPtr& client) {
        hub.poll();
        return client->status();
    };
    CHECK(status(transport.connect("/elsewhere/1")) == 404);
    const auto second = transport.connect("/websocket/2");
    CHECK(status(second) == 503);
    CHECK(second->response().find("Retry-After") != std::string::npos);
    CHECK(status(transport.connect("/websocket/2", "X: " + std::string(600, 'x') + "\r\n")) == 431);
    const auto garbage = transport.connectRaw();
    garbage->sendBytes("no HTTP\r\n\r\n");
    CHECK(status(garbage) == 400);
    first->close();
    hub.poll();
    CHECK(status(transport.connect("/websocket/2")) == 101);
    CHECK(hub.events == Strings{"open 1", "close 1 1000", "open 2"});
}

TEST_CASE("A client that has left before the answer leaves no session", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.hub.transport().connectRaw();
    client->sendBytes(handshakeRequest("/websocket/1"));
    client->drop();
    hub.poll();
    CHECK(hub.count("open") == hub.count("close"));
    CHECK(hub.hub.sessionCount() == 0);
}

// Messages from the client -----------------------------------------------------------------------

TEST_CASE("Text and binary are told apart", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->send("t");
    client->sendBinary("b");
    client->send("");
    hub.poll();
    CHECK(hub.events == Strings{"open 1", "message 1 t", "binary 1 b", "message 1 "});
}

TEST_CASE("A hook for text only: a session that sends binary is closed with 1003", "[connection]") {
    PushHub<LoopbackTransport> hub{Options{}};
    Strings texts;
    std::vector<CloseInfo> closes;
    hub.onMessage([&](const SessionPtr&, std::string_view text) { texts.emplace_back(text); });
    hub.onClose([&](const SessionPtr&, const CloseInfo& info) { closes.push_back(info); });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    client->send("a");
    client->sendBinary("b");
    client->send("c");
    hub.transport().poll();
    CHECK(texts == Strings{"a"});
    CHECK(client->closeCode() == CloseCode::unsupportedData);
    REQUIRE(closes.size() == 1);
    CHECK(closes[0].clean);
}

TEST_CASE("A violation closes with its code, and is told as an error", "[connection]") {
    const std::vector<std::pair<std::string, CloseCode>> violations{
        {wire::clientFrame(3, ""), CloseCode::protocolError},
        {wire::clientFrame(wire::text, "\xff"), CloseCode::invalidPayload},
        {wire::clientHeader(wire::text, 1 << 20), CloseCode::messageTooBig},
        {wire::clientFrame(wire::closing, "x"), CloseCode::protocolError}};
    for (const auto& [bytes, code] : violations) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        client->sendBytes(bytes);
        client->send("after");
        hub.poll();
        CHECK(client->closeCode() == code);
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].code == code);
        CHECK(hub.closes[0].by == ClosedBy::hub);
        CHECK(hub.closes[0].error);
        CHECK_FALSE(hub.closes[0].clean);
        CHECK(hub.count("message") == 0);
        CHECK(hub.errors.size() == 1);
        CHECK(hub.hub.sessionCount() == 0);
    }
}

TEST_CASE("What hooks say to earlier messages goes before the end, however the bytes come",
          "[connection]") {
    // The hook's answer, then the client's close frame or its violation, in one read or in several.
    for (const auto& [last, code] :
         {std::pair(wire::clientClose(1000), CloseCode::normal),
          std::pair(wire::clientFrame(3, ""), CloseCode::protocolError),
          std::pair(wire::clientFrame(wire::text, "\xff"), CloseCode::invalidPayload)}) {
        for (const bool reading : {true, false}) {
            RecordedHub hub;
            hub.whenMessage = [](const SessionPtr& session, const Message& message) {
                session->send(message.data);
            };
            hub.hub.start();
            const auto client = hub.connect("1");
            client->setReading(reading, reading ? 64 * 1024 : 3);  // 3: room for one answer
            client->sendBytes(wire::clientFrame(wire::text, "1") +
                              wire::clientFrame(wire::text, "2") + last);
            hub.poll();
            client->setReading(true);
            hub.poll();
            CHECK(client->takeTexts() == (reading ? Strings{"1", "2"} : Strings{"1"}));
            CHECK(client->closeCode() == code);
            REQUIRE(hub.closes.size() == 1);
            CHECK(ended(hub.closes[0]) == 2);
            CHECK(hub.closes[0].undeliveredMessages == (reading ? 0 : 1));
        }
    }
}

TEST_CASE("Nothing that follows a violation is read, not even a close frame", "[connection]") {
    // The client does not read, so that the session cannot end at once.
    for (const std::string& after :
         {wire::clientClose(1000), wire::clientFrame(3, "") + std::string(5000, 'x'),
          std::string(100'000, '\0'), wire::clientFrame(wire::text, "late")}) {
        for (const std::string& violation :
             {wire::clientHeader(wire::text, 1 << 20), wire::clientFrame(wire::text, "\xff"),
              wire::clientFrame(3, ""), wire::clientFrame(wire::text, "\xe2")}) {
            for (const bool together : {true, false}) {
                RecordedHub hub;
                hub.hub.start();
                const auto client = hub.connect("1");
                client->setReading(false, 0);
                hub.hub.sendOne("1", "waits");
                hub.poll();
                if (together) {
                    client->sendBytes(violation + after);
                } else {
                    client->sendBytes(violation);
                    hub.poll();
                    client->sendBytes(after);
                }
                hub.poll();
                client->setReading(true);
                hub.poll();
                CHECK(client->closeCode().has_value());
                REQUIRE(hub.closes.size() == 1);
                CHECK_FALSE(hub.closes[0].clean);
                CHECK(ended(hub.closes[0]) == 1);
                CHECK(hub.count("message") == 0);
            }
        }
    }
}

TEST_CASE("Messages that come after close are not delivered", "[connection]") {
    RecordedHub hub;
    hub.whenMessage = [](const SessionPtr& session, const Message& message) {
        if (message.data == "last") {
            session->close();
        }
    };
    hub.hub.start();
    const auto client = hub.connect("1");
    client->send("first");
    client->send("last");
    client->send("late");
    hub.poll();
    client->send("later");
    hub.poll();
    CHECK(hub.events == Strings{"open 1", "message 1 first", "message 1 last", "close 1 1000"});
}

TEST_CASE("Nothing after the client's close frame counts", "[connection]") {
    for (const std::string& after : {wire::clientFrame(wire::text, "late"),
                                     wire::clientFrame(3, ""), wire::clientClose(1001)}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, 0);
        client->sendBytes(wire::clientClose(4000, "bye") + after);
        hub.poll();
        client->setReading(true);
        hub.poll();
        REQUIRE(hub.events == Strings{"open 1", "close 1 4000"});
        CHECK(hub.closes[0].clean);
        CHECK(hub.closes[0].by == ClosedBy::peer);
        CHECK(hub.closes[0].reason == "bye");
        CHECK_FALSE(hub.closes[0].error);
    }
}

// Pings
// --------------------------------------------------------------------------------------------

TEST_CASE("Pings are answered, also between fragments", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    for (int i = 0; i < 3; ++i) {
        client->ping("p");
        hub.poll();
    }
    CHECK(client->pongs() == 3);
    client->sendBytes(wire::fragment(wire::text, "a") + wire::clientFrame(wire::ping, "") +
                      wire::clientFrame(wire::continuation, "b"));
    hub.poll();
    CHECK(client->pongs() == 4);
    CHECK(hub.events == Strings{"open 1", "message 1 ab"});
}

TEST_CASE("A client that pings and does not read fills no queue", "[connection]") {
    // 0: no pong can leave; 50: the first leaves in part; 2: only its header does.
    for (const std::size_t window : {0U, 2U, 50U}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, window);
        std::uint64_t most = 0;
        for (std::size_t i = 0; i < 1000; ++i) {
            client->ping(std::string(100 + i % 26, 'p'));
            if (i % 3 == 0) {
                hub.poll();
                most = std::max(most, hub.opened[0]->bufferedBytes());
            }
        }
        hub.poll();
        most = std::max(most, hub.opened[0]->bufferedBytes());
        CHECK(most > 0);
        CHECK(most <= 2 * (2 + 125));
        client->setReading(true);
        hub.poll();
        CHECK(client->pongs() >= 1);
        CHECK(client->pongs() <= 3);
        CHECK(hub.opened[0]->bufferedBytes() == 0);
        CHECK(hub.hub.stats().queuedBytes == 0);
        client->ping("again");
        hub.hub.sendOne("1", "still here");
        hub.poll();
        CHECK(client->takeTexts() == Strings{"still here"});
        CHECK(client->connected());
    }
}

TEST_CASE("Every ping of a read is answered, in order and with its payload", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 1 << 20);
    std::string pings;
    for (std::size_t i = 0; i < 1000; ++i) {
        pings += wire::clientFrame(wire::ping, std::string(i % 126, 'p'));
    }
    client->sendBytes(pings);
    hub.poll();
    CHECK(hub.opened[0]->bufferedBytes() == 0);
    client->setReading(true);
    hub.poll();
    CHECK(client->pongs() == 1000);
    CHECK(client->connected());
    // Before what ends the session, too.
    for (const std::string& last : {wire::clientClose(1000), wire::clientFrame(3, "")}) {
        const auto other = hub.connect("2");
        other->sendBytes(wire::clientFrame(wire::ping, "1") + wire::clientFrame(wire::ping, "2") +
                         last);
        hub.poll();
        CHECK(other->pongs() == 2);
        CHECK(other->closeCode().has_value());
    }
}

TEST_CASE("Pongs between messages that wait", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 1);
    Strings sent;
    for (int i = 0; i < 20; ++i) {
        sent.push_back("message " + std::to_string(i));
        hub.hub.sendOne("1", sent.back());
        client->ping(std::to_string(i));
        hub.poll();
    }
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == sent);
    CHECK(client->pongs() == 1);
    CHECK(hub.opened[0]->bufferedBytes() == 0);
}

// Clients that are too slow
// ------------------------------------------------------------------------

TEST_CASE("A full queue refuses a push, by bytes or by messages, and closes", "[connection]") {
    struct Limit {
        Options options;
        std::string payload;
        std::size_t fits;
        Errc error;
    };
    const std::vector<Limit> limits{
        {smallQueue(1024, 1000), std::string(98, 'x'), 10, Errc::queueBytesFull},
        {smallQueue(1024 * 1024, 7), "", 7, Errc::queueMessagesFull}};
    for (const Limit& limit : limits) {
        RecordedHub hub(limit.options);
        hub.hub.start();
        const auto client = hub.connect("1");
        const auto other = hub.connect("2");
        client->setReading(false, 0);
        for (std::size_t i = 0; i < limit.fits; ++i) {
            const SendResult result = hub.hub.sendOne("1", limit.payload);
            REQUIRE(result.accepted == 1);
            REQUIRE_FALSE(result.error);
            if (i % 2 == 0) {
                hub.poll();
            }
        }
        SendResult result = hub.hub.sendMore({"1", "2", "3"}, limit.payload);
        CHECK(result.accepted == 1);
        CHECK(result.refused == 1);
        CHECK(result.offline == 1);
        CHECK(result.error == limit.error);
        result = hub.hub.sendOne("1", "x");
        CHECK(result.closing == 1);
        CHECK_FALSE(hub.opened[0]->isOpen());
        hub.poll();
        CHECK(other->takeTexts() == Strings{limit.payload});
        client->setReading(true);
        hub.poll();
        CHECK(client->closeCode() == CloseCode::tryAgainLater);
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].by == ClosedBy::hub);
        CHECK(hub.closes[0].error == limit.error);
        CHECK(ended(hub.closes[0]) == limit.fits);
        CHECK(hub.closes[0].deliveredMessages == client->take().size());
        CHECK(hub.errors.size() == 1);
        CHECK(hub.hub.sessionCount() == 1);
    }
}

TEST_CASE("A full queue with dropNewest refuses the push, and the session goes on",
          "[connection]") {
    RecordedHub hub(smallQueue(1024, 3, OverflowPolicy::dropNewest));
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    for (int i = 0; i < 6; ++i) {
        const SendResult result = hub.hub.sendOne("1", std::to_string(i));
        CHECK(result.accepted == (i < 3 ? 1 : 0));
        CHECK(result.refused == (i < 3 ? 0 : 1));
        CHECK((i < 3 || result.error == Errc::queueMessagesFull));
        hub.poll();
    }
    CHECK(hub.opened[0]->isOpen());
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"0", "1", "2"});
    CHECK(hub.hub.sendOne("1", "back").accepted == 1);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"back"});
    CHECK(hub.errors.empty());
}

TEST_CASE("Broadcasts that a full queue cannot take are dropped and counted", "[connection]") {
    // One by one, or all at once, where they come as one block.
    for (const bool together : {false, true}) {
        RecordedHub hub(smallQueue(1024, 5, OverflowPolicy::dropNewest));
        hub.hub.start();
        const auto slow = hub.connect("slow");
        const auto fast = hub.connect("fast");
        slow->setReading(false, 0);
        Strings all;
        for (int i = 0; i < 8; ++i) {
            all.push_back("message " + std::to_string(i));
            CHECK(hub.hub.sendAll(all.back()).accepted == 2);
            if (!together) {
                hub.poll();
            }
        }
        hub.poll();
        CHECK(fast->takeTexts() == all);
        CHECK(hub.hub.stats().droppedMessages == 3);
        CHECK(hub.hub.stats().droppedBytes == 3 * (2 + all[0].size()));
        slow->setReading(true);
        hub.poll();
        CHECK(slow->takeTexts() == Strings(all.begin(), all.begin() + 5));
        hub.hub.sendAll("on it goes");
        hub.poll();
        CHECK(slow->takeTexts() == Strings{"on it goes"});
        slow->close();
        hub.poll();
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].deliveredMessages == 6);
        CHECK(hub.closes[0].undeliveredMessages == 0);
    }
}

TEST_CASE("A broadcast that a full queue cannot take closes with 1013", "[connection]") {
    for (const bool together : {false, true}) {
        for (const std::size_t window : {0U, 5U, 40U}) {
            RecordedHub hub(smallQueue(1024, 5));
            hub.hub.start();
            const auto slow = hub.connect("slow");
            const auto fast = hub.connect("fast");
            slow->setReading(false, window);
            Strings all;
            for (int i = 0; i < 12; ++i) {
                all.push_back("message " + std::to_string(i));
                hub.hub.sendAll(all.back());
                if (!together) {
                    hub.poll();
                }
            }
            hub.poll();
            CHECK(fast->takeTexts() == all);
            slow->setReading(true);
            hub.poll();
            CHECK(slow->closeCode() == CloseCode::tryAgainLater);
            const Strings received = slow->takeTexts();
            CHECK(isPrefix(received, all));
            REQUIRE(hub.closes.size() == 1);
            CHECK(hub.closes[0].error == Errc::queueMessagesFull);
            CHECK(hub.closes[0].deliveredMessages == received.size());
            if (together) {  // later ones were sent to a session that was closing
                CHECK(ended(hub.closes[0]) + hub.hub.stats().droppedMessages == all.size());
            }
            CHECK(fast->connected());
        }
    }
}

TEST_CASE("A message larger than the queue may be is refused, and nobody is closed",
          "[connection]") {
    RecordedHub hub(smallQueue(1024, 5));
    hub.hub.start();
    const auto client = hub.connect("1");
    CHECK(hub.hub.sendOne("1", std::string(1021, 'x')).error == Errc::messageTooBig);
    CHECK(hub.hub.sendAll(std::string(2000, 'x')).error == Errc::messageTooBig);
    CHECK(hub.opened[0]->send(std::string(2000, 'x')).error == Errc::messageTooBig);
    CHECK(hub.hub.sendOne("1", std::string(1020, 'x')).accepted == 1);
    hub.poll();
    CHECK(client->take().size() == 1);
    CHECK(client->connected());
}

// Sending
// ------------------------------------------------------------------------------------------

TEST_CASE("Of what one thread sends, messages arrive in order, whatever the call", "[connection]") {
    for (const std::size_t window : {64U * 1024U, 1U, 33U, 700U}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        const auto other = hub.connect("2");
        client->setReading(window > 1000, window);
        Strings sent;
        for (std::size_t i = 0; i < 120; ++i) {
            std::string message = std::to_string(i) + ":" + std::string(i * i % 9000, 'x');
            switch (i % 5) {
                case 0:
                    hub.hub.sendOne("1", message);
                    break;
                case 1:
                    hub.hub.sendMore({"1", "2", "1"}, message);
                    break;
                case 2:
                    hub.opened[0]->send(message);
                    break;
                default:
                    hub.hub.sendAll(message);
                    break;
            }
            if (i % 4 == 0) {
                hub.hub.sendAllExcept("1", "not for 1");
                hub.hub.sendAllExcept(hub.opened[0], "not for 1");
            }
            sent.push_back(std::move(message));
            if (i % 11 == 0) {
                hub.poll();
            }
        }
        hub.poll();
        client->setReading(true, std::max<std::size_t>(window, 1));
        hub.poll();
        CHECK(client->takeTexts() == sent);
        CHECK(hub.opened[0]->bufferedBytes() == 0);
        client->close();
        hub.poll();
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].deliveredMessages == sent.size());
        CHECK(hub.closes[0].undeliveredMessages == 0);
    }
}

TEST_CASE("sendAllExcept passes over one session, or all of a user", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto a1 = hub.connect("a");
    const auto a2 = hub.connect("a");
    const auto b = hub.connect("b");
    CHECK(hub.hub.sendAllExcept(hub.opened[0], "1").accepted == 2);
    CHECK(hub.hub.sendAllExcept("a", "2").accepted == 1);
    CHECK(hub.hub.sendAll("3").accepted == 3);
    CHECK(hub.hub.sendAllExcept("nobody", "4").accepted == 3);
    CHECK(hub.hub.sendAllExcept(SessionPtr(), "5").accepted == 3);
    CHECK(hub.hub.sendAllExceptBinary("b", "6").accepted == 2);
    hub.poll();
    CHECK(a1->takeTexts() == Strings{"3", "4", "5", "6"});
    CHECK(a2->takeTexts() == Strings{"1", "3", "4", "5", "6"});
    CHECK(b->takeTexts() == Strings{"1", "2", "3", "4", "5"});
}

TEST_CASE("Text to send that is not UTF-8 is refused", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    for (const std::string& bad : {std::string("\xff"), std::string("a\xe2\x82")}) {
        CHECK(hub.hub.sendAll(bad).error == Errc::invalidUtf8);
        CHECK(hub.hub.sendOne("1", bad).error == Errc::invalidUtf8);
        CHECK(hub.hub.sendMore({"1"}, bad).error == Errc::invalidUtf8);
        CHECK(hub.hub.sendAllExcept("2", bad).error == Errc::invalidUtf8);
        const SendResult result = hub.opened[0]->send(bad);
        CHECK(result.error == Errc::invalidUtf8);
        CHECK_FALSE(result);
        CHECK(hub.hub.sendOneBinary("1", bad).accepted == 1);
    }
    hub.poll();
    const auto received = client->take();
    REQUIRE(received.size() == 2);
    CHECK(received[0].type == MessageType::binary);
}

// Accounting -----------------------------------------------------------------------------------

namespace {

struct Ending {
    const char* name;
    std::function<void(RecordedHub&, const ClientPtr&)> end;
    CloseCode code;
    bool dropsQueue;  // what waits may be lost although the client reads on
};

std::vector<Ending> endings() {
    return {
        {"client closes",
         [](RecordedHub& hub, const ClientPtr& client) {
             client->close(CloseCode::goingAway);
             hub.poll();
         },
         CloseCode::goingAway, true},
        {"host closes",
         [](RecordedHub& hub, const ClientPtr&) {
             hub.opened[0]->close(static_cast<CloseCode>(4000));
             hub.poll();
         },
         static_cast<CloseCode>(4000), false},
        {"client vanishes",
         [](RecordedHub& hub, const ClientPtr& client) {
             client->drop();
             hub.poll();
         },
         CloseCode::abnormal, true},
        {"client does not answer",
         [](RecordedHub& hub, const ClientPtr& client) {
             hub.opened[0]->close(static_cast<CloseCode>(4001));
             client->setReading(false, 3);
             hub.advance(6s);
         },
         static_cast<CloseCode>(4001), true},
        {"hub stops", [](RecordedHub& hub, const ClientPtr&) { hub.hub.stop(1s); },
         CloseCode::goingAway, true},
        {"client violates the protocol",
         [](RecordedHub& hub, const ClientPtr& client) {
             client->sendBytes(wire::clientFrame(3, ""));
             hub.poll();
         },
         CloseCode::protocolError, true},
        {"host closes, then client violates the protocol",
         [](RecordedHub& hub, const ClientPtr& client) {
             hub.opened[0]->close(static_cast<CloseCode>(4002));
             client->sendBytes(wire::clientFrame(wire::text, "\xff"));
             hub.poll();
             client->sendBytes(wire::clientFrame(3, ""));
             hub.poll();
         },
         static_cast<CloseCode>(4002), true},
        {"host closes, then client vanishes",
         [](RecordedHub& hub, const ClientPtr& client) {
             hub.opened[0]->close(static_cast<CloseCode>(4003));
             client->drop();
             hub.poll();
         },
         static_cast<CloseCode>(4003), true},
    };
}

}  // namespace

TEST_CASE("Accepted is delivered plus undelivered, however a session ends", "[connection]") {
    const std::size_t window = GENERATE(64U * 1024U, 0U, 1U, 13U, 300U, 5000U);
    const bool pollBetween = GENERATE(false, true);
    // 0: unicasts alone, 1: broadcasts alone, otherwise both.
    const std::size_t mix = GENERATE(0U, 1U, 2U, 5U);
    for (const Ending& ending : endings()) {
        INFO(ending.name << ", window " << window << ", poll between " << pollBetween << ", mix "
                         << mix);
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        REQUIRE(client->connected());
        client->setReading(window > 10'000, window);
        Strings sent;
        std::size_t accepted = 0;
        for (std::size_t i = 0; i < 30; ++i) {
            sent.push_back(std::to_string(i) + ":" + std::string(i % 7 == 6 ? 5000 : i * 3, 'x'));
            const bool unicast = mix == 0 || (mix > 1 && i % mix == 0);
            accepted += unicast ? hub.hub.sendOne("1", sent.back()).accepted
                                : hub.hub.sendAll(sent.back()).accepted;
            if (pollBetween && i % 3 == 0) {
                hub.poll();
            }
        }
        REQUIRE(accepted == sent.size());
        ending.end(hub, client);
        client->setReading(true);
        hub.poll();
        hub.advance(20s);

        REQUIRE(hub.count("close") == 1);
        REQUIRE(hub.count("open") == 1);
        CHECK(hub.events.back().substr(0, 5) == "close");
        const CloseInfo& info = hub.closes[0];
        CHECK(info.code == ending.code);
        CHECK(ended(info) == accepted);
        CHECK((info.undeliveredMessages == 0) == (info.undeliveredBytes == 0));
        const Strings received = client->takeTexts();
        CHECK(isPrefix(received, sent));
        CHECK(received.size() <= info.deliveredMessages);
        if (info.code != CloseCode::abnormal && !client->closeCode()) {
            // cut before our close frame: what it was sent was counted nevertheless
            CHECK(info.error);
        }
        if (!ending.dropsQueue) {
            CHECK(received == sent);
            CHECK(info.deliveredMessages == sent.size());
            CHECK(info.clean);
        }
        CHECK(hub.hub.sessionCount() == 0);
        CHECK(hub.opened[0]->send("late").closing == 1);
        CHECK(hub.hub.sendOne("1", "late").accepted == 0);
    }
}

TEST_CASE("What is accepted between the end of a session and its onClose does not exist",
          "[connection]") {
    RecordedHub hub;
    std::vector<SendResult> results;
    hub.whenClosed = [&](const SessionPtr& session, const CloseInfo&) {
        results.push_back(session->send("late"));
        results.push_back(hub.hub.sendOne(session->userId(), "late"));
        CHECK(hub.hub.sessionCount() == 0);
        CHECK_FALSE(hub.hub.isOnline(session->userId()));
    };
    hub.hub.start();
    const auto client = hub.connect("1");
    client->close();
    hub.poll();
    REQUIRE(results.size() == 2);
    CHECK(results[0].closing == 1);
    CHECK(results[1].offline == 1);
}

// Closing
// ------------------------------------------------------------------------------------------

TEST_CASE("The host closes: what was accepted goes first, and the handshake is clean",
          "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.hub.sendOne("1", "a");
    hub.hub.sendAll("b");
    CHECK_FALSE(hub.opened[0]->close(CloseCode::goingAway, "moving"));
    CHECK_FALSE(hub.opened[0]->close(CloseCode::normal, "too late"));
    CHECK(hub.hub.sendOne("1", "c").closing == 1);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"a", "b"});
    CHECK(client->closeCode() == CloseCode::goingAway);
    CHECK(client->closeReason() == "moving");
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].by == ClosedBy::host);
    CHECK(hub.closes[0].clean);
    CHECK(hub.closes[0].reason == "moving");
    CHECK_FALSE(hub.closes[0].error);
    CHECK(hub.closes[0].deliveredMessages == 2);
}

TEST_CASE("A long close reason is cut at a character", "[connection]") {
    const std::string euro = "\xe2\x82\xac";
    std::string euros;
    for (int i = 0; i < 60; ++i) {
        euros += euro;
    }
    const std::vector<std::pair<std::string, std::size_t>> reasons{{std::string(123, 'r'), 123},
                                                                   {std::string(124, 'r'), 123},
                                                                   {std::string(5000, 'r'), 123},
                                                                   {euros, 123},
                                                                   {"a" + euros, 121},
                                                                   {"ab" + euros, 122}};
    for (const auto& [reason, length] : reasons) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        hub.opened[0]->close(CloseCode::normal, reason);
        hub.poll();
        CHECK(client->closeReason() == reason.substr(0, length));
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].reason == reason.substr(0, length));
    }
}

TEST_CASE("The client closes: code and reason are told and echoed", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto with = hub.connect("1");
    const auto without = hub.connect("2");
    with->close(static_cast<CloseCode>(4321), "why");
    without->sendFrame(protocol::Opcode::close, "");
    hub.poll();
    CHECK(with->closeCode() == static_cast<CloseCode>(4321));
    CHECK(without->closeCode() == CloseCode::noStatus);
    REQUIRE(hub.closes.size() == 2);
    CHECK(hub.closes[0].by == ClosedBy::peer);
    CHECK(hub.closes[0].reason == "why");
    CHECK(hub.closes[0].clean);
    CHECK(hub.closes[1].code == CloseCode::noStatus);
    CHECK(hub.closes[1].clean);
    CHECK(hub.errors.empty());
}

TEST_CASE("A client that does not answer a close frame is cut in time", "[connection]") {
    Options options;
    options.closeTimeout = 2000ms;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false);
    hub.opened[0]->close();
    hub.advance(1900ms);
    CHECK(hub.closes.empty());
    hub.advance(200ms);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::closeTimeout);
    CHECK_FALSE(hub.closes[0].clean);
    CHECK(hub.closes[0].code == CloseCode::normal);
}

TEST_CASE("A close that cannot be answered in time is not clean", "[connection]") {
    Options options;
    options.closeTimeout = 2000ms;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    hub.hub.sendOne("1", "waits");
    hub.poll();
    client->close();
    hub.advance(2100ms);
    REQUIRE(hub.closes.size() == 1);
    CHECK_FALSE(hub.closes[0].clean);
    CHECK(hub.closes[0].error == Errc::closeTimeout);
    CHECK(hub.closes[0].by == ClosedBy::peer);
    CHECK(ended(hub.closes[0]) == 1);
}

TEST_CASE("A client that vanishes", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->send("last words");
    client->drop();
    hub.poll();
    REQUIRE(hub.events == Strings{"open 1", "message 1 last words", "close 1 1006"});
    CHECK(hub.closes[0].by == ClosedBy::network);
    CHECK(hub.closes[0].error);
    CHECK_FALSE(hub.closes[0].clean);
}

TEST_CASE("A push to a client that has vanished counts as undelivered", "[connection]") {
    for (const int kind : {0, 1, 2, 3}) {
        RecordedHub hub;
        hub.hub.start();
        const auto client = hub.connect("1");
        std::size_t accepted = 0;
        hub.whenMessage = [&](const SessionPtr&, const Message&) {
            client->drop();
            // All in one batch; the first write finds out.
            accepted += kind == 1 ? 0 : hub.hub.sendOne("1", "one").accepted;
            accepted += kind == 0 ? 0 : hub.hub.sendAll("all").accepted;
            accepted += kind == 0 ? 0 : hub.hub.sendAllExcept("2", "all").accepted;
            accepted += kind == 3 ? hub.hub.sendOne("1", "one").accepted : 0;
        };
        client->send("go");
        hub.poll();
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].deliveredMessages == 0);
        CHECK(hub.closes[0].undeliveredMessages == accepted);
    }
}

// Hooks
// --------------------------------------------------------------------------------------------

TEST_CASE("A session may be closed in every hook", "[connection]") {
    SECTION("onOpen") {
        RecordedHub hub;
        hub.whenOpened = [](const SessionPtr& session) {
            session->send("hello");
            session->close(CloseCode::policyViolation, "not you");
        };
        hub.hub.start();
        const auto client = hub.hub.transport().connectRaw();
        client->sendBytes(handshakeRequest("/websocket/1") + wire::clientFrame(wire::text, "a"));
        hub.poll();
        CHECK(client->takeTexts() == Strings{"hello"});
        CHECK(client->closeCode() == CloseCode::policyViolation);
        CHECK(hub.events == Strings{"open 1", "close 1 1008"});
    }
    SECTION("onMessage, another session too") {
        RecordedHub hub;
        hub.whenMessage = [&](const SessionPtr&, const Message&) {
            for (const SessionPtr& session : hub.opened) {
                session->close();
            }
        };
        hub.hub.start();
        const auto a = hub.connect("a");
        const auto b = hub.connect("b");
        b->send("x");
        hub.poll();
        CHECK(a->closeCode() == CloseCode::normal);
        CHECK(b->closeCode() == CloseCode::normal);
        CHECK(hub.count("close") == 2);
    }
    SECTION("onClose") {
        RecordedHub hub;
        hub.whenClosed = [&](const SessionPtr&, const CloseInfo&) {
            for (const SessionPtr& session : hub.opened) {
                session->close();
            }
        };
        hub.hub.start();
        const auto a = hub.connect("a");
        const auto b = hub.connect("b");
        a->close();
        hub.poll();
        CHECK(b->closeCode() == CloseCode::normal);
        CHECK(hub.count("close") == 2);
    }
    SECTION("onError") {
        RecordedHub hub;
        hub.whenMessage = [](const SessionPtr&, const Message&) {
            throw std::runtime_error("oops");
        };
        hub.whenError = [](const SessionPtr& session) { session->close(); };
        hub.hub.start();
        const auto a = hub.connect("a");
        a->send("x");
        hub.poll();
        CHECK(hub.events == Strings{"open a", "message a x", "error a", "close a 1000"});
    }
}

TEST_CASE("The hub may be stopped in every hook", "[connection]") {
    const std::size_t where = GENERATE(0U, 1U, 2U, 3U);
    RecordedHub hub;
    const auto stop = [&] { hub.hub.stop(1s); };
    if (where == 0) {
        hub.whenOpened = [&](const SessionPtr& session) {
            if (session->userId() == "b") {
                stop();
            }
        };
    } else if (where == 1) {
        hub.whenMessage = [&](const SessionPtr&, const Message&) { stop(); };
    } else if (where == 2) {
        hub.whenClosed = [&](const SessionPtr&, const CloseInfo&) { stop(); };
    } else {
        hub.whenMessage = [&](const SessionPtr&, const Message&) {
            throw std::runtime_error("oops");
        };
        hub.whenError = [&](const SessionPtr&) { stop(); };
    }
    hub.hub.start();
    const auto a = hub.connect("a");
    const auto b = hub.connect("b");
    if (where == 2) {
        b->close();
    } else {
        b->send("x");
    }
    hub.poll();
    hub.hub.stop();  // waits for the one that was begun
    CHECK_FALSE(hub.hub.isRunning());
    CHECK(hub.count("open") == 2);
    CHECK(hub.count("close") == 2);
    CHECK(hub.hub.sessionCount() == 0);
    CHECK(a->closeCode() == CloseCode::goingAway);

    // And it may be started again, with nothing left of before.
    hub.whenOpened = nullptr;
    hub.whenMessage = nullptr;
    hub.whenClosed = nullptr;
    hub.whenError = nullptr;
    hub.hub.start();
    const auto c = hub.connect("c");
    CHECK(c->connected());
    hub.hub.sendAll("again");
    hub.poll();
    CHECK(c->takeTexts() == Strings{"again"});
}

TEST_CASE("Hooks that throw are told to onError, and the session goes on", "[connection]") {
    RecordedHub hub;
    hub.whenOpened = [](const SessionPtr&) { throw std::runtime_error("in open"); };
    hub.whenMessage = [](const SessionPtr&, const Message& message) {
        if (message.data == "int") {
            throw 42;
        }
        throw std::system_error(std::make_error_code(std::errc::timed_out), "in message");
    };
    hub.whenClosed = [](const SessionPtr&, const CloseInfo&) {
        throw std::logic_error("in close");
    };
    hub.whenError = [](const SessionPtr&) { throw std::runtime_error("in error"); };
    hub.hub.start();
    const auto client = hub.connect("1");
    client->send("int");
    client->send("error");
    hub.poll();
    CHECK(client->connected());
    hub.hub.sendOne("1", "still");
    hub.poll();
    CHECK(client->takeTexts() == Strings{"still"});
    client->close();
    hub.poll();
    CHECK(hub.events == Strings{"open 1", "error 1", "message 1 int", "error 1", "message 1 error",
                                "error 1", "close 1 1000", "error 1"});
    REQUIRE(hub.errors.size() == 4);
    CHECK(hub.errors[0].first == Errc::hookFailed);
    CHECK(hub.errors[0].second.find("in open") != std::string::npos);
    CHECK(hub.errors[1].first == Errc::hookFailed);
    CHECK(hub.errors[2].first == std::errc::timed_out);
    CHECK(hub.errors[3].second.find("in close") != std::string::npos);
    CHECK(hub.hub.sessionCount() == 0);
}

TEST_CASE("A hook may push to its own session and to all", "[connection]") {
    RecordedHub hub;
    hub.whenOpened = [&](const SessionPtr& session) {
        session->send("welcome");
        hub.hub.sendAll(session->userId() + " is here");
        hub.poll();  // does nothing in a hook
    };
    hub.whenClosed = [&](const SessionPtr& session, const CloseInfo&) {
        hub.hub.sendAll(session->userId() + " has gone");
    };
    hub.hub.start();
    const auto a = hub.connect("a");
    const auto b = hub.connect("b");
    b->close();
    hub.poll();
    CHECK(a->takeTexts() == Strings{"welcome", "a is here", "b is here", "b has gone"});
    CHECK(b->takeTexts() == Strings{"welcome", "b is here"});
}

TEST_CASE("Events come in order: open first, close last and once", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    std::vector<ClientPtr> clients;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 9; ++i) {
            clients.push_back(hub.hub.transport().connect("/websocket/" + std::to_string(i)));
            clients.back()->send("x");
            switch (i % 5) {
                case 0:
                    clients.back()->close();
                    break;
                case 1:
                    clients.back()->drop();
                    break;
                case 2:
                    clients.back()->sendBytes("garbage");
                    break;
                case 3:
                    clients.back()->sendBytes(wire::clientFrame(wire::text, "\xff"));
                    break;
                default:
                    break;
            }
        }
        hub.poll();
    }
    hub.hub.stop();
    std::vector<int> open(9);
    bool good = true;
    for (const std::string& event : hub.events) {
        const std::string kind = event.substr(0, event.find(' '));
        int& sessions = open[static_cast<std::size_t>(event[kind.size() + 1] - '0')];
        sessions += kind == "open" ? 1 : kind == "close" ? -1 : 0;
        good = good && sessions >= 0 && (kind != "message" || sessions > 0);
    }
    CHECK(good);
    CHECK(std::all_of(open.begin(), open.end(), [](int n) { return n == 0; }));
    CHECK(hub.count("open") >= 21);  // those that vanish at once need not become sessions
    CHECK(hub.count("open") == hub.count("close"));
}

// Two hubs
// -----------------------------------------------------------------------------------------

TEST_CASE("Two hubs share a listener", "[connection]") {
    Options first;
    first.path = "/orders/{userId}";
    Options second;
    second.path = "/prices/{symbol}/{userId}";
    second.maxMessageSize = 3;
    RecordedHub orders(first);
    RecordedHub prices(orders, second);
    orders.hub.start();
    prices.hub.start();
    auto& transport = orders.hub.transport();
    const auto a = transport.connect("/orders/1");
    const auto b = transport.connect("/prices/abc/1");
    const auto neither = transport.connect("/other/1");
    orders.poll();
    CHECK(neither->status() == 404);
    REQUIRE(orders.events == Strings{"open 1"});
    REQUIRE(prices.events == Strings{"open 1"});
    CHECK(prices.opened[0]->param("symbol") == "abc");
    CHECK(prices.opened[0]->param("userId") == "1");
    CHECK(orders.opened[0]->id() != prices.opened[0]->id());

    orders.hub.sendAll("order");
    prices.hub.sendAll("price");
    orders.hub.sendOne("1", "order 2");
    orders.poll();
    CHECK(a->takeTexts() == Strings{"order", "order 2"});
    CHECK(b->takeTexts() == Strings{"price"});
    a->send("1234");
    b->send("1234");
    orders.poll();
    CHECK(a->connected());
    CHECK(b->closeCode() == CloseCode::messageTooBig);  // each hub has its own limits

    orders.hub.stop();
    CHECK(a->closeCode() == CloseCode::goingAway);
    CHECK(orders.hub.sendAll("x").error == Errc::notRunning);
    const auto c = transport.connect("/prices/abc/2");
    const auto d = transport.connect("/orders/2");
    prices.poll();
    CHECK(c->status() == 101);
    CHECK(d->status() == 404);
    prices.hub.stop();
    CHECK(c->closeCode() == CloseCode::goingAway);
    CHECK(prices.hub.sessionCount() == 0);
}

TEST_CASE("Stop gives every session its end, and cuts those that do not go", "[connection]") {
    RecordedHub hub;
    hub.hub.start();
    const auto good = hub.connect("good");
    const auto stuck = hub.connect("stuck");
    stuck->setReading(false, 0);
    const auto pending = hub.hub.transport().connectRaw();
    pending->sendBytes("GET /webso");
    hub.poll();
    hub.hub.sendAll("last");
    hub.hub.stop(1s);
    CHECK(good->takeTexts() == Strings{"last"});
    CHECK(good->closeCode() == CloseCode::goingAway);
    REQUIRE(hub.closes.size() == 2);
    CHECK(hub.closes[0].clean);
    CHECK(hub.closes[1].error == Errc::deadlineReached);
    CHECK(ended(hub.closes[1]) == 1);
    CHECK(hub.closes[1].undeliveredMessages == 1);
    CHECK(hub.hub.sessionCount() == 0);
    const std::size_t events = hub.events.size();
    stuck->setReading(true);
    hub.poll();
    CHECK(hub.events.size() == events);
}

// Decided later
// ------------------------------------------------------------------------------------

namespace {

/// A hub that keeps each handshake until the test decides it.
struct DeferringHub {
    DeferringHub() {
        recorded.hub.onHandshake(
            [this](const HandshakePtr& handshake) { pending.push_back(handshake); });
        recorded.hub.start();
    }

    LoopbackTransport& transport() { return recorded.hub.transport(); }

    std::vector<HandshakePtr> pending;
    RecordedHub recorded;
};

}  // namespace

TEST_CASE("A handshake that is decided later", "[connection]") {
    DeferringHub hub;
    auto& transport = hub.transport();
    auto& pending = hub.pending;
    const Strings& events = hub.recorded.events;
    const auto client = transport.connect("/websocket/1");
    client->send("early");
    transport.poll();
    client->send("bird");
    transport.poll();
    REQUIRE(pending.size() == 1);
    CHECK(client->status() == 0);
    CHECK(events.empty());

    SECTION("accepted") {
        Acceptance acceptance;
        acceptance.headers = {{"X-Extra", "yes"}};
        CHECK_FALSE(pending[0]->accept(std::move(acceptance)));
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        CHECK(pending[0]->reject(403) == Errc::handshakeAnswered);
        transport.poll();
        CHECK(client->status() == 101);
        CHECK(client->response().find("X-Extra: yes\r\n") != std::string::npos);
        CHECK(events == Strings{"open 1", "message 1 early", "message 1 bird"});
    }
    SECTION("rejected") {
        CHECK_FALSE(pending[0]->reject(403, "no"));
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        transport.poll();
        CHECK(client->status() == 403);
        CHECK(events.empty());
    }
    SECTION("too late: the client has gone") {
        client->drop();
        transport.poll();
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        transport.poll();
        CHECK(events.empty());
    }
    SECTION("too late: time-out") {
        transport.advance(11s);
        CHECK(client->status() == 503);
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        transport.poll();
        CHECK(events.empty());
    }
    SECTION("the hub is stopped first") {
        hub.recorded.hub.stop(1s);
        CHECK(client->status() == 503);
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        CHECK(events.empty());
    }
    SECTION("the hub is stopped between the answer and its execution") {
        CHECK_FALSE(pending[0]->accept());
        hub.recorded.hub.stop(1s);
        CHECK(hub.recorded.count("open") == hub.recorded.count("close"));
        CHECK(hub.recorded.hub.sessionCount() == 0);
    }
    SECTION("the application forgets it") {
        pending.clear();
        transport.poll();
        CHECK(client->status() == 0);
        transport.advance(11s);
        CHECK(client->status() == 503);
        CHECK(events.empty());
    }
    SECTION("a client that does not wait for the answer") {
        client->sendBytes(std::string(20'000, 'x'));
        transport.poll();
        CHECK(pending[0]->accept() == Errc::handshakeAnswered);
        CHECK(events.empty());
    }
}

TEST_CASE("A session gets each broadcast that comes after it has opened", "[connection]") {
    // The broadcasts and the answer to the handshake in one batch of the loop: the second one must
    // not be joined to the first, which the session does not get.
    DeferringHub hub;
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    REQUIRE(hub.pending.size() == 1);
    hub.recorded.hub.sendAll("before");
    hub.pending[0]->accept();
    hub.recorded.hub.sendAll("after");
    hub.recorded.hub.sendAll("after that");
    hub.transport().poll();
    CHECK(client->status() == 101);
    CHECK(client->takeTexts() == Strings{"after", "after that"});
}

TEST_CASE("Broadcasts before a client is admitted are not its own", "[connection]") {
    DeferringHub hub;
    const auto client = hub.transport().connect("/websocket/1");
    for (int i = 0; i < 3; ++i) {
        hub.recorded.hub.sendAll(std::string(5000, 'x'));
        hub.transport().poll();
    }
    SECTION("it goes while it waits") {
        client->drop();
        hub.transport().poll();
        CHECK(hub.recorded.events.empty());
    }
    SECTION("it is admitted and closes") {
        hub.pending.at(0)->accept();
        hub.transport().poll();
        client->close();
        hub.transport().poll();
        REQUIRE(hub.recorded.closes.size() == 1);
        CHECK(ended(hub.recorded.closes[0]) == 0);
        CHECK(client->take().empty());
    }
}

TEST_CASE("A first message that is decided too late opens no session", "[connection]") {
    RecordedHub hub;
    std::vector<HandshakePtr> pending;
    hub.hub.onFirstMessage(
        [&](const HandshakePtr& handshake, std::string_view) { pending.push_back(handshake); });
    hub.hub.start();
    const auto client = hub.connect("1");
    REQUIRE(client->status() == 101);
    client->send("token");
    hub.poll();
    REQUIRE(pending.size() == 1);
    Acceptance acceptance;
    acceptance.userId = "1";

    SECTION("in time") {
        CHECK_FALSE(pending[0]->accept(acceptance));
        client->send("first");
        hub.poll();
        CHECK(hub.events == Strings{"open 1", "message 1 first"});
    }
    SECTION("after the time-out") {
        client->setReading(false, 0);
        hub.advance(11s);
        pending[0]->accept(acceptance);
        hub.poll();
        CHECK(hub.hub.sessionCount() == 0);
        CHECK(hub.count("open") == 0);
        client->setReading(true);
        hub.poll();
        CHECK(client->closeCode() == CloseCode::unauthorized);
    }
    SECTION("after the client has gone") {
        client->drop();
        hub.poll();
        CHECK(pending[0]->accept(acceptance) == Errc::handshakeAnswered);
        hub.poll();
        CHECK(hub.hub.sessionCount() == 0);
        CHECK(hub.events.empty());
    }
    hub.hub.stop();
    CHECK(hub.hub.sessionCount() == 0);
    CHECK(hub.count("open") == hub.count("close"));
}

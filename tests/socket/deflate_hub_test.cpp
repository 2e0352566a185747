// What a hub makes of compression, over each transport.

#include <pushhub/deflate.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/harness.hpp"
#include "support/wait.hpp"
#include "support/zlib_peer.hpp"

using namespace pushhub;
using pushhub::test::deflated;
using pushhub::test::Events;
using pushhub::test::Harness;
using pushhub::test::inflated;
using pushhub::test::noise;
using pushhub::test::open;
using pushhub::test::someText;
using Texts = std::vector<std::string>;
namespace wire = pushhub::test::wire;

namespace {

/// Counts what is compressed.
class Counting final : public MessageCompression {
public:
    explicit Counting(const DeflateOptions& options = {}) : inner_(permessageDeflate(options)) {}

    std::optional<Agreement> negotiate(std::string_view offers) const override {
        return inner_->negotiate(offers);
    }
    std::string compress(std::string_view payload, unsigned window) const noexcept override {
        ++compressions;
        return inner_->compress(payload, window);
    }
    std::unique_ptr<MessageInflater> makeInflater() const noexcept override {
        ++inflaters;
        return inner_->makeInflater();
    }

    mutable std::atomic<int> compressions{0};
    mutable std::atomic<int> inflaters{0};

private:
    const std::shared_ptr<const MessageCompression> inner_;
};

std::string offer(int window = 15) {
    return "Sec-WebSocket-Extensions: permessage-deflate" +
           (window < 15 ? "; server_max_window_bits=" + std::to_string(window) : "") + "\r\n";
}

/// The next message, which has to be compressed, as a client with that window reads it.
std::string readCompressed(test::AnyClient& client, int window = 15) {
    const auto messages = client.readWire(1);
    REQUIRE(messages.size() == 1);
    REQUIRE(messages[0].compressed);
    return inflated(messages[0].data, window).value_or("cannot be inflated");
}

std::string readPlain(test::AnyClient& client) {
    const auto messages = client.readWire(1);
    REQUIRE(messages.size() == 1);
    REQUIRE_FALSE(messages[0].compressed);
    return messages[0].data;
}

wire::FrameBits rsv1() {
    wire::FrameBits bits;
    bits.rsv = 4;
    return bits;
}

}  // namespace

TEMPLATE_TEST_CASE("the application declines compression for a client", "[deflate]",
                   LoopbackTransport, AsioTransport) {
    using H = Harness<TestType>;
    const bool byFirstMessage = GENERATE(false, true);
    const auto counting = std::make_shared<Counting>();
    Options options = H::options();
    options.compression = counting;
    typename H::Hub hub(options);
    hub.onHandshake([](const HandshakePtr& handshake) {
        Acceptance acceptance;
        acceptance.compress = handshake->header("User-Agent") != "broken";
        handshake->accept(std::move(acceptance));
    });
    if (byFirstMessage) {
        hub.onFirstMessage([](const HandshakePtr& handshake, std::string_view) {
            Acceptance acceptance;
            acceptance.userId = handshake->userId();
            handshake->accept(std::move(acceptance));
        });
    }
    hub.start();
    const auto connect = [&](std::string_view userId, const std::string& headers) {
        auto client = H::connect(hub, "/websocket/" + std::string(userId), headers);
        if (byFirstMessage) {
            client->send("token");
        }
        REQUIRE(H::until(hub, [&] { return hub.isOnline(userId); }));
        return client;
    };
    const auto broken = connect("a", offer() + "User-Agent: broken\r\n");
    const auto good = connect("b", offer());
    const std::string text = someText(2000);
    CHECK(hub.sendAll(text).accepted == 2);
    CHECK(readPlain(*broken) == text);
    CHECK(readCompressed(*good) == text);
    CHECK(hub.sendOne("a", text).accepted == 1);
    CHECK(readPlain(*broken) == text);
    CHECK(counting->compressions == 1);
}

TEMPLATE_TEST_CASE("a push is compressed once, whoever gets it", "[deflate]", LoopbackTransport,
                   AsioTransport) {
    using H = Harness<TestType>;
    const auto counting = std::make_shared<Counting>();
    Options options = H::options();
    options.compression = counting;
    typename H::Hub hub(options);
    hub.start();

    std::vector<test::ClientPtr> clients;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(open<H>(hub, std::to_string(i % 50), offer()));
    }
    const std::string text = someText(2000);
    CHECK(hub.sendAll(text).accepted == 100);
    CHECK(counting->compressions == 1);
    Texts users;
    for (int i = 0; i < 50; ++i) {
        users.push_back(std::to_string(i));
    }
    CHECK(hub.sendMore(users, text + "more").accepted == 100);
    CHECK(counting->compressions == 2);
    CHECK(hub.sendOne("7", text + "one").accepted == 2);
    CHECK(counting->compressions == 3);
    CHECK(hub.sendAllExceptBinary("7", text + "except").accepted == 98);
    CHECK(counting->compressions == 4);
    for (int i = 0; i < 100; ++i) {
        test::AnyClient& client = *clients[static_cast<std::size_t>(i)];
        CHECK((readCompressed(client) == text));
        CHECK((readCompressed(client) == text + "more"));
        CHECK((readCompressed(client) == text + (i % 50 == 7 ? "one" : "except")));
    }
    CHECK(counting->inflaters == 0);

    clients.clear();
    for (const auto& user : users) {
        hub.disconnect(user);
    }
    const auto plain = H::connect(hub, "/websocket/plain");
    REQUIRE(H::until(hub, [&] { return hub.sessionCount() == 1; }));
    hub.sendAll(text);
    hub.sendOne("plain", text);
    CHECK((readPlain(*plain) == text));
    CHECK((readPlain(*plain) == text));
    CHECK(counting->compressions == 4);
}

TEMPLATE_TEST_CASE("each session gets the form that it agreed on", "[deflate]", LoopbackTransport,
                   AsioTransport) {
    using H = Harness<TestType>;
    const auto counting = std::make_shared<Counting>();
    Options options = H::options();
    options.compression = counting;
    typename H::Hub hub(options);
    hub.start();

    const auto plain = open<H>(hub, "u");
    const auto declined = open<H>(hub, "u", "Sec-WebSocket-Extensions: permessage-deflate; x\r\n");
    std::vector<test::ClientPtr> clients;
    for (int window = 9; window <= 15; ++window) {
        clients.push_back(open<H>(hub, "u", offer(window)));
    }
    // What repeats lies further back than the smaller windows reach.
    const std::string text = someText(700) + noise(40'000) + someText(700);
    const auto readAll = [&](std::string_view expected, bool compressed) {
        CHECK((readPlain(*plain) == expected));
        CHECK((readPlain(*declined) == expected));
        for (int window = 9; window <= 15; ++window) {
            test::AnyClient& client = *clients[static_cast<std::size_t>(window - 9)];
            CHECK(((compressed ? readCompressed(client, window) : readPlain(client)) == expected));
        }
    };
    CHECK(hub.sendAllBinary(text).accepted == 9);
    CHECK(counting->compressions == 7);
    readAll(text, true);
    CHECK(hub.sendOneBinary("u", text).accepted == 9);
    CHECK(counting->compressions == 14);
    readAll(text, true);
    for (const SessionPtr& session : hub.sessions("u")) {
        CHECK(session->sendBinary(text).accepted == 1);
    }
    CHECK(counting->compressions == 21);
    readAll(text, true);

    // Too short, or not smaller: one attempt for each window, whatever the number of sessions.
    const std::string small(DeflateOptions().minimumSize - 1, 'x');
    const std::string random = noise(3000);
    clients.push_back(open<H>(hub, "u", offer()));
    for (const std::string& incompressible : {small, random, std::string()}) {
        counting->compressions = 0;
        CHECK(hub.sendAllBinary(incompressible).accepted == 10);
        CHECK(hub.sendOneBinary("u", incompressible).accepted == 10);
        CHECK(counting->compressions == 14);
        readAll(incompressible, false);
        readAll(incompressible, false);
    }
    CHECK(clients.back()->readWire(6).size() == 6);

    // The order stays, whatever the form.
    for (int i = 0; i < 30; ++i) {
        hub.sendAll(std::to_string(i) + (i % 3 == 0 ? someText(1000) : ""));
        hub.sendOne("u", "one " + std::to_string(i) + (i % 2 == 0 ? someText(500) : ""));
    }
    for (int i = 0; i < 30; ++i) {
        readAll(std::to_string(i) + (i % 3 == 0 ? someText(1000) : ""), i % 3 == 0);
        readAll("one " + std::to_string(i) + (i % 2 == 0 ? someText(500) : ""), i % 2 == 0);
    }
}

TEMPLATE_TEST_CASE("a client may compress what it sends", "[deflate]", LoopbackTransport,
                   AsioTransport) {
    using H = Harness<TestType>;
    Events<std::string> messages;
    Events<CloseCode> closes;
    const auto counting = std::make_shared<Counting>();
    Options options = H::options();
    options.compression = counting;
    typename H::Hub hub(options);
    hub.onMessage([&](const SessionPtr& session, std::string_view text) {
        messages.add(session->userId() + " " + std::string(text));
    });
    hub.onClose([&](const SessionPtr&, const CloseInfo& info) { closes.add(info.code); });
    hub.start();
    const auto a = open<H>(hub, "a", offer());
    const auto b = open<H>(hub, "b");
    const auto said = [&](std::size_t count) {
        return H::until(hub, [&] { return messages.size() == count; });
    };

    const std::string text = someText(20'000);
    a->sendBytes(wire::clientFrame(wire::text, deflated(text), rsv1()));
    REQUIRE(said(1));
    b->send("plain");
    REQUIRE(said(2));
    a->send("not compressed");
    REQUIRE(said(3));
    a->sendBytes(wire::clientFrame(wire::text, deflated("again"), rsv1()));
    REQUIRE(said(4));
    CHECK((messages.all() == Texts{"a " + text, "b plain", "a not compressed", "a again"}));
    CHECK(counting->inflaters <= 2);  // one for each loop

    const auto closed = [&](test::AnyClient& client, const std::string& bytes) {
        client.sendBytes(bytes);
        return client.readClose();
    };
    CHECK(closed(*a, wire::clientFrame(wire::text, "\x06", rsv1())) == CloseCode::invalidPayload);
    CHECK(closed(*b, wire::clientFrame(wire::text, deflated("x"), rsv1())) ==
          CloseCode::protocolError);
    REQUIRE(H::until(hub, [&] { return closes.size() == 2; }));
    const auto c = open<H>(hub, "c", offer());
    const std::string bomb = deflated(std::string(options.maxMessageSize + 1, 'x'));
    CHECK(closed(*c, wire::clientFrame(wire::text, bomb, rsv1())) == CloseCode::messageTooBig);
    CHECK(H::until(hub, [&] { return closes.size() == 3; }));
    CHECK(messages.size() == 4);
}

TEMPLATE_TEST_CASE("a client that says much in few bytes gets its turn like others", "[deflate]",
                   LoopbackTransport, AsioTransport) {
    using H = Harness<TestType>;
    Events<std::string> messages;
    Events<CloseInfo> closes;
    Options options = H::options();
    options.loops = 1;
    options.compression = permessageDeflate();
    typename H::Hub hub(options);
    const auto other = std::make_shared<test::ClientPtr>();
    hub.onMessage([&](const SessionPtr& session, const Message& message) {
        if (messages.size() == 0) {
            (*other)->send("hello");  // has arrived before the next turn
        }
        messages.add(session->userId() + " " + std::to_string(message.data.size()));
        session->send("got it");
    });
    hub.onClose([&](const SessionPtr&, const CloseInfo& info) { closes.add(info); });
    hub.start();
    const auto talker = open<H>(hub, "talker", offer());
    *other = open<H>(hub, "other");

    const bool compressed = GENERATE(true, false);  // or in many frames
    const std::size_t count = compressed ? 200 : 8'000;
    const std::ptrdiff_t most = compressed ? 10 : 1'500;  // before the other one has its turn
    std::string frames;
    Texts expected;
    for (std::size_t i = 0; i < count; ++i) {
        const std::string text(compressed ? 40'000 + i : 0, 'x');
        frames += compressed ? wire::clientFrame(wire::text, deflated(text), rsv1())
                             : wire::clientFrame(wire::text, text);
        expected.push_back("talker " + std::to_string(text.size()));
    }
    REQUIRE(frames.size() < 60'000);  // read at once
    talker->sendBytes(frames + wire::clientClose(4000));
    REQUIRE(H::until(hub, [&] { return closes.size() == 1 && messages.size() == count + 1; }));

    Texts all = messages.all();
    const auto hello = std::find(all.begin(), all.end(), "other 5");
    CHECK(hello - all.begin() < most);
    all.erase(hello);
    CHECK(all == expected);
    CHECK(closes.all()[0].clean);
    CHECK(static_cast<unsigned>(closes.all()[0].code) == 4000);
    CHECK(closes.all()[0].deliveredMessages == count);  // also those of the last turn
}

TEST_CASE("the answer says what was agreed on", "[deflate]") {
    const auto answerTo = [](const Options& options, const std::string& headers) {
        PushHub<LoopbackTransport> hub(options);
        hub.onHandshake([](const HandshakePtr& handshake) {
            Acceptance acceptance;
            acceptance.headers = {{"Sec-WebSocket-Extensions", "permessage-deflate; made=up"}};
            handshake->accept(acceptance);
        });
        hub.start();
        const auto client = hub.transport().connect("/websocket/1", headers);
        hub.transport().poll();
        const std::string name = "Sec-WebSocket-Extensions: ";
        const std::size_t at = client->response().find(name);
        return at == std::string::npos
                   ? std::to_string(client->status())
                   : client->response().substr(
                         at + name.size(), client->response().find('\r', at) - at - name.size());
    };
    Options options;
    CHECK(answerTo(options, offer()) == "101");  // and RSV1 is 1002, see engine_test.cpp
    options.compression = permessageDeflate();
    const std::string base =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    CHECK(answerTo(options, "") == "101");
    CHECK(answerTo(options, offer()) == base);
    CHECK(answerTo(options, offer(12)) == base + "; server_max_window_bits=12");
    CHECK(answerTo(options, offer(8)) == "101");
    CHECK(answerTo(options, offer(8) + offer(11)) == base + "; server_max_window_bits=11");
    CHECK(answerTo(options, "Sec-WebSocket-Extensions: x; y=\"z\"\r\n" + offer()) == base);
    CHECK(answerTo(options, "Sec-WebSocket-Extensions: permessage-deflate;\r\n") == "400");
}

TEST_CASE("a first message may be compressed", "[deflate]") {
    Options options;
    options.compression = permessageDeflate();
    PushHub<LoopbackTransport> hub(options);
    std::string first;
    hub.onHandshake([](const HandshakePtr& handshake) { handshake->accept(); });
    hub.onFirstMessage([&](const HandshakePtr& handshake, std::string_view text) {
        first = text;
        Acceptance acceptance;
        acceptance.userId = "1";
        handshake->accept(acceptance);
    });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1", offer());
    client->sendBytes(wire::clientFrame(wire::text, deflated("token"), rsv1()));
    hub.transport().poll();
    CHECK(first == "token");
    hub.sendAll(someText(1000));
    hub.transport().poll();
    const auto received = client->take();
    REQUIRE(received.size() == 1);
    CHECK(received[0].compressed);
}

TEST_CASE("a push can go without compression", "[deflate]") {
    Options options;
    const auto counting = std::make_shared<Counting>();
    options.compression = counting;
    const std::string text = someText(1000);
    PushOptions plainly;
    plainly.compress = false;
    detail::Outgoing push;
    REQUIRE_FALSE(push.encode(MessageType::text, text, plainly, options));
    CHECK(push.form(15)->size() == 4 + text.size());
    CHECK_FALSE(push.allForms(1U << 15)->hasForms());
    CHECK(counting->compressions == 0);

    detail::Outgoing compressed;
    REQUIRE_FALSE(compressed.encode(MessageType::text, text, PushOptions(), options));
    CHECK(compressed.form(0)->size() == 4 + text.size());
    CHECK(compressed.form(15)->size() < text.size() / 2);
    CHECK(compressed.form(15) == compressed.form(15));
    CHECK(compressed.form(9) != compressed.form(15));
    CHECK(counting->compressions == 2);
}

TEST_CASE("a push with a key takes the place of an older one in its form", "[deflate]") {
    Options options;
    options.compression = permessageDeflate();
    PushHub<LoopbackTransport> hub(options);
    hub.start();
    const auto slow = hub.transport().connect("/websocket/1", offer());
    hub.transport().poll();
    slow->setReading(false, 0);
    PushOptions keyed;
    keyed.key = "EURUSD";
    PushOptions plainly = keyed;
    plainly.compress = false;
    const SessionPtr session = hub.sessions("1")[0];
    const std::string text = someText(3000);
    const std::size_t compressed = options.compression->compress(text, 15).size() + 4;
    hub.sendAll(text + "older", keyed);
    hub.transport().poll();
    hub.sendOne("1", text + "newer", plainly);
    hub.transport().poll();
    CHECK(session->bufferedBytes() == text.size() + 5 + 4);
    session->send(text, keyed);
    hub.transport().poll();
    CHECK(session->bufferedBytes() == compressed);
    hub.sendAll("behind");
    slow->setReading(true);
    hub.transport().poll();
    const auto received = slow->take();
    REQUIRE(received.size() == 2);
    CHECK((inflated(received[0].data) == text));
    CHECK(received[1].data == "behind");
    CHECK(session->bufferedBytes() == 0);
}

TEST_CASE("what waits is counted in the form in which it is sent", "[deflate]") {
    Options options;
    DeflateOptions deflate;
    deflate.minimumSize = 30;
    options.compression = permessageDeflate(deflate);
    options.maxQueueBytes = 20'000;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    std::optional<CloseInfo> closed;
    PushHub<LoopbackTransport> hub(options);
    hub.onClose([&](const SessionPtr& session, const CloseInfo& info) {
        if (session->userId() == "slow") {
            closed = info;
        }
    });
    hub.start();
    const auto slow = hub.transport().connect("/websocket/slow", offer(12));
    hub.transport().poll();
    REQUIRE(slow->connected());
    const SessionPtr session = hub.sessions("slow")[0];

    const auto size = [&](const std::string& text) {
        const std::string small = options.compression->compress(text, 12);
        const std::size_t payload = small.empty() ? text.size() : small.size();
        return protocol::frameHeaderSize(payload) + payload;
    };

    std::minstd_rand random(GENERATE(range(1U, 20U)));
    const auto below = [&](unsigned most) { return static_cast<std::size_t>(random() % most); };
    Texts expected;
    Texts seen;
    std::size_t accepted = 0;
    std::size_t waiting = 0;  // a model of the session's queue while its client reads nothing
    slow->setReading(false, 0);
    for (int i = 0; i < 60; ++i) {
        const std::string text = std::to_string(i) + someText(below(6000));
        const bool fits = waiting + size(text) <= options.maxQueueBytes;
        if (below(2) == 0) {
            CHECK(session->send(text).accepted == (fits ? 1 : 0));
        } else {
            hub.sendAll(text);
        }
        hub.transport().poll();
        if (fits) {
            waiting += size(text);
            expected.push_back(text);
            ++accepted;
        }
        REQUIRE(session->bufferedBytes() == waiting);
        if (below(8) == 0) {  // reads a little, or everything
            const std::size_t window = below(3) == 0 ? 100'000 : 1 + below(3000);
            slow->setReading(false, window);
            hub.transport().poll();
            waiting -= std::min(waiting, window);
            REQUIRE(session->bufferedBytes() == waiting);
            slow->setReading(true, 0);
            hub.transport().poll();
            slow->setReading(false, 0);
        }
        for (const auto& message : slow->take()) {
            seen.push_back(message.compressed ? inflated(message.data, 12).value_or("?")
                                              : message.data);
        }
    }
    SECTION("delivered") {
        slow->setReading(true, 100'000);
        hub.transport().poll();
        CHECK(session->bufferedBytes() == 0);
        for (const auto& message : slow->take()) {
            seen.push_back(message.compressed ? inflated(message.data, 12).value_or("?")
                                              : message.data);
        }
        CHECK((seen == expected));
    }
    SECTION("undelivered") {
        slow->drop();
        const std::string late = "late" + someText(500);
        if (waiting + size(late) <= options.maxQueueBytes) {
            waiting += size(late);
            ++accepted;
        }
        hub.sendAll(late);
        hub.transport().poll();
        REQUIRE(closed);
        CHECK(closed->deliveredMessages + closed->undeliveredMessages == accepted);
        CHECK(closed->undeliveredBytes == waiting);
    }
}

// Who may connect: the handshake hook, the first message, limits of users, expiry. Over both
// transports.

#include "support/catch.hpp"
#include "support/harness.hpp"
#include "support/wait.hpp"

#include <stdexcept>

using namespace pushhub;
using namespace std::chrono_literals;
using pushhub::test::Events;
using pushhub::test::Harness;
using Texts = std::vector<std::string>;

namespace {

Acceptance as(std::string userId) {
    Acceptance acceptance;
    acceptance.userId = std::move(userId);
    return acceptance;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the handshake hook decides", "[handshake]", test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> errors;
    typename H::Hub hub(H::options());
    hub.onError(
        [&](SessionPtr, std::error_code, std::string_view what) { errors.add(std::string(what)); });
    hub.onHandshake([](const HandshakePtr& handshake) {
        const std::string token = handshake->query("token").value_or("");
        if (token == "throw") {
            throw std::runtime_error("no database");
        }
        if (token.empty()) {
            HttpResponse response{401, "who are you?\n"};
            response.headers = {{"WWW-Authenticate", "Bearer"}};
            handshake->reject(std::move(response));
        } else {
            handshake->accept(as(token));
        }
    });
    hub.start();
    CHECK(H::status(hub, "/websocket/a") == 401);
    CHECK(H::status(hub, "/websocket/a?token=b") == 403);
    CHECK(hub.sessionCount() == 0);
    CHECK(H::status(hub, "/websocket/a?token=throw") == 500);
    REQUIRE(H::until(hub, [&] { return errors.size() == 1; }));
    CHECK(errors.all().front() == "onHandshake: no database");
    const auto client = H::connect(hub, "/websocket/a?token=a");
    REQUIRE(H::until(hub, [&] { return hub.isOnline("a"); }));
    hub.sendOne("a", "welcome");
    CHECK(client->read(1) == Texts{"welcome"});
}

TEMPLATE_LIST_TEST_CASE("a handshake can be decided later, by another thread", "[handshake]",
                        test::Transports) {
    using H = Harness<TestType>;
    Events<HandshakePtr> waiting;
    Events<std::string> opened;
    Options options = H::options();
    options.path = "/live";  // no user in the path: the hook tells
    typename H::Hub hub(options);
    hub.onHandshake([&](const HandshakePtr& handshake) { waiting.add(handshake); });
    hub.onOpen([&](SessionPtr session) {
        opened.add(session->userId() + " " + *session->data<std::string>() + " " +
                   std::string(session->header("x-test")));
    });
    hub.start();

    test::ClientPtr client;
    std::thread connecting([&] {
        client = H::connect(hub, "/live", "X-Test: 7\r\nSec-WebSocket-Protocol: v1, v2\r\n");
    });
    REQUIRE(waiting.waitFor(1));
    const HandshakePtr handshake = waiting.all().front();
    CHECK(handshake->userId().empty());
    CHECK(handshake->header("x-test") == "7");
    CHECK(hub.sessionCount() == 0);
    Acceptance right = as("a");
    right.subprotocol = "v2";
    right.headers = {{"X-Server", "1"}};
    right.data = std::string("data");
    std::error_code first;
    std::error_code second;
    std::thread deciding([&] {
        first = handshake->accept(right);
        second = handshake->reject(403);
    });
    deciding.join();
    REQUIRE(H::until(hub, [&] { return opened.size() == 1; }));
    connecting.join();
    CHECK_FALSE(first);
    CHECK(second == Errc::handshakeAnswered);
    CHECK(handshake->accept(right) == Errc::handshakeAnswered);
    CHECK(opened.all().front() == "a data 7");
    hub.sendAll("hi");
    CHECK(client->read(1) == Texts{"hi"});
}

TEST_CASE("what goes wrong while a handshake waits", "[handshake]") {
    Events<HandshakePtr> waiting;
    Options options;
    options.maxPendingHandshakes = 2;
    options.decisionTimeout = 300ms;
    options.handshakeTimeout = 500ms;
    PushHub<LoopbackTransport> hub(options);
    hub.onHandshake([&](const HandshakePtr& handshake) { waiting.add(handshake); });
    hub.start();
    LoopbackTransport& transport = hub.transport();
    const auto client = transport.connect("/websocket/a");
    transport.poll();
    REQUIRE(waiting.size() == 1);

    SECTION("the client leaves") {
        client->drop();
        transport.poll();
        CHECK(waiting.all().front()->accept() == Errc::handshakeAnswered);
    }
    SECTION("nobody decides in time") {
        transport.advance(200ms);
        CHECK(client->status() == 0);
        transport.advance(200ms);  // before the time for the client's part is over
        CHECK(client->status() == 503);
        CHECK(waiting.all().front()->accept() == Errc::handshakeAnswered);
    }
    SECTION("too many wait") {
        const auto second = transport.connect("/websocket/b");
        const auto third = transport.connect("/websocket/c");
        transport.poll();
        CHECK(second->status() == 0);
        CHECK(third->status() == 503);
        CHECK(third->response().find("Retry-After") != std::string::npos);
    }
    SECTION("the hub stops") {
        hub.stop();
        CHECK(client->status() == 503);
        CHECK(waiting.all().front()->accept() == Errc::handshakeAnswered);
    }
    SECTION("frames come before the answer") {
        client->send("early");
        Events<std::string> got;
        transport.poll();
        CHECK_FALSE(waiting.all().front()->accept());
        transport.poll();
        CHECK(client->status() == 101);
        CHECK(hub.sessionCount() == 1);
    }
    SECTION("a flood comes before the answer") {
        client->sendBytes(std::string(100 * 1024, 'x'));
        transport.poll();
        CHECK(waiting.all().front()->accept() == Errc::handshakeAnswered);
        CHECK(hub.sessionCount() == 0);
    }
    CHECK(hub.stats().sessions == hub.sessionCount());
}

TEMPLATE_LIST_TEST_CASE("identity by the first message", "[handshake]", test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> events;
    typename H::Hub hub(H::options());
    hub.onFirstMessage([&](const HandshakePtr& handshake, std::string_view text) {
        events.add("first " + std::string(text));
        if (text == "secret " + handshake->userId()) {
            handshake->accept(as(handshake->userId()));
        } else {
            handshake->reject(401, "wrong secret");
        }
    });
    hub.onOpen([&](SessionPtr session) { events.add("open " + session->userId()); });
    hub.onMessage([&](SessionPtr, std::string_view text) { events.add(std::string(text)); });
    hub.onClose([&](SessionPtr session, CloseInfo) { events.add("close " + session->userId()); });
    hub.start();
    const auto client = H::connect(hub, "/websocket/a");
    REQUIRE(H::until(hub, [&] { return true; }));
    CHECK(hub.sendAll("not for you").accepted == 0);
    CHECK(hub.sendOne("a", "nor this").offline == 1);
    CHECK(hub.sessionCount() == 0);

    SECTION("right: a session from then on, in order") {
        client->send("secret a");
        client->send("second");
        REQUIRE(H::until(hub, [&] { return events.size() == 3; }));
        CHECK(events.all() == Texts{"first secret a", "open a", "second"});
        hub.sendAll("for you");
        CHECK(client->read(1) == Texts{"for you"});
    }
    SECTION("wrong: closed with 4401, and nobody hears of it") {
        client->send("guess");
        CHECK(client->readClose() == CloseCode::unauthorized);
        CHECK(hub.sessionCount() == 0);
        CHECK(events.all() == Texts{"first guess"});
    }
    SECTION("gone before") {
        client->drop();
        hub.stop();
        CHECK(events.size() == 0);
    }
    SECTION("the hub stops before") {
        std::thread stopper = H::stop(hub, std::chrono::milliseconds(200));
        CHECK(client->readClose() != CloseCode::normal);
        if (stopper.joinable()) {
            stopper.join();
        }
        CHECK(events.size() == 0);
    }
}

TEST_CASE("a first message that does not come, or is decided late", "[handshake]") {
    Events<HandshakePtr> waiting;
    Events<std::string> got;
    Options options;
    options.decisionTimeout = 300ms;
    PushHub<LoopbackTransport> hub(options);
    hub.onFirstMessage(
        [&](const HandshakePtr& handshake, std::string_view) { waiting.add(handshake); });
    hub.onMessage([&](SessionPtr, std::string_view text) { got.add(std::string(text)); });
    hub.start();
    LoopbackTransport& transport = hub.transport();
    const auto client = transport.connect("/websocket/a");
    transport.poll();
    CHECK(client->status() == 101);
    SECTION("none") {
        transport.advance(400ms);
        CHECK(client->closeCode() == CloseCode::unauthorized);
    }
    SECTION("undecided") {
        client->send("hello");
        transport.advance(400ms);
        CHECK(client->closeCode() == CloseCode::unauthorized);
        CHECK(waiting.all().front()->accept(as("a")) == Errc::handshakeAnswered);
    }
    SECTION("decided later: what came meanwhile is not lost") {
        client->send("hello");
        client->send("one");
        transport.poll();
        client->send("two");
        transport.poll();
        REQUIRE(waiting.size() == 1);
        CHECK(got.size() == 0);
        CHECK_FALSE(waiting.all().front()->accept(as("a")));
        transport.poll();
        CHECK(got.all() == Texts{"one", "two"});
        CHECK(hub.isOnline("a"));
        transport.advance(1s);
        CHECK(hub.isOnline("a"));
    }
    SECTION("binary") {
        client->sendBinary("hello");
        transport.poll();
        CHECK(client->closeCode() == CloseCode::unauthorized);
        CHECK(waiting.size() == 0);
    }
}

TEST_CASE("sessions expire, and can be renewed", "[handshake]") {
    PushHub<LoopbackTransport> hub(Options{});
    hub.onHandshake([](const HandshakePtr& handshake) {
        Acceptance acceptance = as("a");
        const auto life = handshake->query("past") ? -1s : 2s;
        acceptance.expires = std::chrono::system_clock::now() + life;
        handshake->accept(std::move(acceptance));
    });
    hub.start();
    LoopbackTransport& transport = hub.transport();
    const auto past = transport.connect("/websocket/a?past=1");
    const auto client = transport.connect("/websocket/a");
    const auto renewed = transport.connect("/websocket/a");
    transport.poll();
    CHECK(past->status() == 401);
    REQUIRE(hub.sessions("a").size() == 2);
    hub.sessions("a").back()->expireAt(std::chrono::system_clock::now() + 1h);
    transport.advance(1500ms);
    CHECK(hub.sessionCount() == 2);
    transport.advance(1s);
    CHECK(client->closeCode() == CloseCode::unauthorized);
    CHECK(renewed->connected());
    CHECK(hub.sessionCount() == 1);
    CHECK(hub.disconnect("a", CloseCode::unauthorized, "logged out") == 1);
    transport.poll();
    CHECK(renewed->closeReason() == "logged out");
}

TEMPLATE_LIST_TEST_CASE("a user has so many sessions and no more", "[handshake]",
                        test::Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.maxSessionsPerUser = 2;
    options.whenUserFull = GENERATE(UserLimitPolicy::refuse, UserLimitPolicy::replaceOldest);
    typename H::Hub hub(options);
    hub.start();
    const auto first = H::connect(hub, "/websocket/a");
    const auto second = H::connect(hub, "/websocket/a");
    const auto other = H::connect(hub, "/websocket/b");
    REQUIRE(H::until(hub, [&] { return hub.sessionCount() == 3; }));
    if (options.whenUserFull == UserLimitPolicy::refuse) {
        CHECK(H::status(hub, "/websocket/a") == 409);
    } else {
        const auto third = H::connect(hub, "/websocket/a");
        CHECK(first->readClose() == CloseCode::sessionReplaced);
        REQUIRE(H::until(hub, [&] { return hub.sessions("a").size() == 2; }));
        hub.sendOne("a", "x");
        CHECK(second->read(1) == Texts{"x"});
        CHECK(third->read(1) == Texts{"x"});
    }
    CHECK(hub.isOnline("b"));
}

TEMPLATE_LIST_TEST_CASE("origins", "[handshake]", test::Transports) {
    using H = Harness<TestType>;
    SECTION("by default the same host, and who is no browser") {
        typename H::Hub hub(H::options());
        hub.start();
        const std::string host =
            std::is_same_v<TestType, LoopbackTransport> ? "loopback" : "localhost";
        CHECK(H::status(hub, "/websocket/a") == 101);
        CHECK(H::status(hub, "/websocket/a", "Origin: http://" + host + "\r\n") == 101);
        CHECK(H::status(hub, "/websocket/a", "Origin: http://evil.example\r\n") == 403);
        CHECK(H::status(hub, "/websocket/a", "Origin: null\r\n") == 403);
    }
    SECTION("by list") {
        Options options = H::options();
        options.allowedOrigins = {"https://app.example.com"};
        typename H::Hub hub(options);
        hub.start();
        CHECK(H::status(hub, "/websocket/a") == 101);
        CHECK(H::status(hub, "/websocket/a", "Origin: https://app.example.com\r\n") == 101);
        CHECK(H::status(hub, "/websocket/a", "Origin: https://app.example.com.evil.com\r\n") ==
              403);
        CHECK(H::status(hub, "/websocket/a", "Origin: null\r\n") == 403);
    }
}

TEMPLATE_LIST_TEST_CASE("subprotocols need somebody who chooses", "[handshake]", test::Transports) {
    using H = Harness<TestType>;
    const char* const offer = "Sec-WebSocket-Protocol: v12.stomp, v11.stomp\r\n";
    typename H::Hub hub(H::options());
    SECTION("no hook") {
        Events<std::string> opened;
        hub.onOpen([&](SessionPtr session) { opened.add(session->userId()); });
        hub.start();
        CHECK(H::status(hub, "/websocket/a", offer) == 400);
        CHECK(H::status(hub, "/websocket/a", "Sec-WebSocket-Protocol: \r\n") == 101);
        REQUIRE(H::until(hub, [&] { return opened.size() == 1; }));
        CHECK(hub.stats().handshakesRefusedOtherwise == 1);
    }
    SECTION("a hook for the first message only") {
        hub.onFirstMessage(
            [](const HandshakePtr& handshake, std::string_view) { handshake->accept(as("a")); });
        hub.start();
        CHECK(H::status(hub, "/websocket/a", offer) == 400);
        CHECK(H::status(hub, "/websocket/a") == 101);
    }
    SECTION("a hook may accept without one") {
        hub.onHandshake([](const HandshakePtr& handshake) { handshake->accept(); });
        hub.start();
        CHECK(H::status(hub, "/websocket/a", offer) == 101);
    }
}

TEMPLATE_LIST_TEST_CASE("a close code instead of a status", "[handshake]", test::Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.closeInsteadOfStatus = true;
    Events<std::string> events;
    typename H::Hub hub(options);
    hub.onHandshake([](const HandshakePtr& handshake) { handshake->reject(401, "no token\n"); });
    hub.onOpen([&](SessionPtr) { events.add("open"); });
    hub.onClose([&](SessionPtr, CloseInfo) { events.add("close"); });
    hub.start();
    const auto client = H::connect(hub, "/websocket/a");
    CHECK(client->readClose() == CloseCode::unauthorized);
    CHECK(H::status(hub, "/websocket/a", "Sec-WebSocket-Protocol: bearer.c2VjcmV0, v1\r\n") == 101);
    CHECK(H::status(hub, "/nowhere") == 404);
    hub.stop();
    CHECK(events.size() == 0);

    options.maxSessionsPerUser = 1;
    typename H::Hub small(options);
    small.start();
    const auto first = H::connect(small, "/websocket/a");
    REQUIRE(H::until(small, [&] { return small.isOnline("a"); }));
    const auto second = H::connect(small, "/websocket/a");
    CHECK(second->readClose() == static_cast<CloseCode>(4409));
}

TEST_CASE("a hub needs to know the user from somewhere") {
    Options options;
    options.path = "/live";
    PushHub<LoopbackTransport> hub(options);
    CHECK_THROWS_AS(hub.start(), std::logic_error);
    hub.onHandshake([](const HandshakePtr& handshake) { handshake->accept(); });
    Events<std::string> errors;
    hub.onError(
        [&](SessionPtr, std::error_code, std::string_view what) { errors.add(std::string(what)); });
    hub.start();
    const auto client = hub.transport().connect("/live");
    hub.transport().poll();
    CHECK(client->status() == 500);
    CHECK(errors.all() == Texts{"a handshake was accepted without a user"});
    hub.stop();
}

#include <pushhub/session.hpp>

#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "support/catch.hpp"
#include "support/connection_archetype.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;
using pushhub::test::SessionMaker;

TEST_CASE("Session ids are values of their own kind", "[session]") {
    CHECK(SessionId() == SessionId(0));
    CHECK(SessionId(1) != SessionId(2));
    CHECK(SessionId(1) < SessionId(2));
    std::ostringstream out;
    out << SessionId(42);
    CHECK(out.str() == "42");
    const std::unordered_set<SessionId> ids{SessionId(1), SessionId(2), SessionId(1)};
    CHECK(ids.size() == 2);
}

TEST_CASE("A session knows its user and its parameters", "[session]") {
    SessionMaker one;
    const SessionPtr session = one("0002");
    CHECK(session->userId() == "0002");
    CHECK(session->param("userId") == "0002");
    CHECK(session->param("other").empty());
    CHECK(session->remoteAddress() == "192.0.2.1:1234");
    CHECK(session->id() != one("0002")->id());

    SessionMaker two({}, "/prices/{symbol}/{userId}");
    const SessionPtr more = two("7", {"abc", "7"});
    CHECK(more->param("symbol") == "abc");
    CHECK(more->param("userId") == "7");
    CHECK(more->param("Symbol").empty());
}

TEST_CASE("A session without a request answers nothing", "[session]") {
    SessionMaker make;
    const SessionPtr session = make("1");
    CHECK(session->header("host").empty());
    CHECK_FALSE(session->query("token"));
    CHECK_FALSE(session->cookie("id"));
}

TEST_CASE("A message is framed once and handed to the loop", "[session]") {
    SessionMaker make;
    const SessionPtr session = make("1");
    CHECK(session->isOpen());
    CHECK(session->send("text").accepted == 1);
    CHECK(session->sendBinary("\xff").accepted == 1);
    CHECK(session->send("").accepted == 1);
    CHECK(session->bufferedBytes() == 6 + 3 + 2);
    REQUIRE(make.loop->submitted.size() == 3);
    const Command& command = make.loop->submitted[0];
    CHECK(command.kind == Command::Kind::send);
    CHECK(command.connection.get() == &session->connection());
    CHECK(std::string(command.frame->data(), command.frame->size()) == "\x81\x04text");
    make.loop->submitted.clear();  // commands refer to connections, those to the loop
}

TEST_CASE("Each reason for a refusal has its place in the result", "[session]") {
    Options options;
    options.maxQueueBytes = 1024;
    options.maxQueueMessages = 2;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    SessionMaker make(options);
    const SessionPtr session = make("1");

    SendResult result = session->send("\xc0\xaf");
    CHECK(result.error == Errc::invalidUtf8);
    CHECK(result.accepted + result.refused + result.closing + result.offline == 0);
    CHECK_FALSE(result);
    result = session->send(std::string(1021, 'x'));
    CHECK(result.error == Errc::messageTooBig);

    CHECK(session->send(std::string(800, 'x')).accepted == 1);
    result = session->send(std::string(300, 'x'));
    CHECK(result.refused == 1);
    CHECK(result.error == Errc::queueBytesFull);
    CHECK(session->send("x").accepted == 1);
    result = session->send("x");
    CHECK(result.refused == 1);
    CHECK(result.error == Errc::queueMessagesFull);
    CHECK(session->isOpen());
    CHECK(make.loop->submitted.size() == 2);

    CHECK(session->close(CloseCode::noStatus) == std::errc::invalid_argument);
    CHECK(session->isOpen());
    REQUIRE(make.loop->submitted.size() == 3);
    CHECK(make.loop->submitted[2].kind == Command::Kind::call);  // the handler is told
    CHECK_FALSE(session->close(CloseCode::goingAway, "bye"));
    CHECK_FALSE(session->isOpen());
    result = session->send("x");
    CHECK(result.closing == 1);
    CHECK_FALSE(result.error);
    REQUIRE(make.loop->submitted.size() == 4);
    const Command& command = make.loop->submitted[3];
    CHECK(command.kind == Command::Kind::close);
    CHECK(std::string(command.frame->data(), command.frame->size()) ==
          "\x88\x05\x03\xe9"
          "bye");
    CHECK_FALSE(session->close());
    CHECK(make.loop->submitted.size() == 4);
    make.loop->submitted.clear();
}

TEST_CASE("A full queue closes the session once", "[session]") {
    Options options;
    options.maxQueueMessages = 1;
    SessionMaker make(options);
    const SessionPtr session = make("1");
    CHECK(session->send("x").accepted == 1);
    CHECK(session->send("x").refused == 1);
    CHECK_FALSE(session->isOpen());
    CHECK(session->send("x").closing == 1);
    CHECK(make.loop->submitted.size() == 2);
    make.loop->submitted.clear();
}

TEST_CASE("A session carries the application's data", "[session]") {
    struct Cart {
        int items = 0;
        std::string note;
    };
    SessionMaker make;
    const SessionPtr session = make("1");
    CHECK(session->data<Cart>() == nullptr);
    Cart& cart = session->emplaceData<Cart>(Cart{3, "gift"});
    CHECK(session->data<Cart>() == &cart);
    CHECK(session->data<Cart>()->note == "gift");
    CHECK(session->data<int>() == nullptr);
    session->emplaceData<int>(5);
    CHECK(session->data<Cart>() == nullptr);
    CHECK(*session->data<int>() == 5);
}

TEST_CASE("A session that is kept outlives its connection and its hub", "[session]") {
    std::weak_ptr<Session> watched;
    SessionPtr kept;
    {
        RecordedHub hub;
        hub.hub.start();
        const auto client =
            hub.hub.transport().connect("/websocket/a%20b?x=1%202", "Cookie: id=7\r\n");
        hub.poll();
        REQUIRE(hub.opened.size() == 1);
        kept = hub.opened[0];
        watched = kept;
        client->close();
        hub.poll();
        CHECK(kept->send("late").closing == 1);
    }
    CHECK(kept->userId() == "a b");
    CHECK(kept->query("x") == "1 2");
    CHECK(kept->cookie("id") == "7");
    CHECK_FALSE(kept->isOpen());
    CHECK(kept->send("later").closing == 1);
    CHECK_FALSE(kept->close());
    CHECK(kept->remoteAddress().find("loopback:") == 0);
    kept = nullptr;
    CHECK(watched.expired());
}

TEST_CASE("Sessions that nobody keeps are freed when they end", "[session]") {
    RecordedHub hub;
    std::vector<std::weak_ptr<Session>> watched;
    hub.whenOpened = [&](const SessionPtr& session) { watched.emplace_back(session); };
    hub.hub.start();
    const auto a = hub.connect("a");
    const auto b = hub.connect("b");
    const auto c = hub.connect("c");
    hub.opened.clear();
    REQUIRE(watched.size() == 3);
    CHECK_FALSE(watched[0].expired());
    a->close();
    b->drop();
    hub.poll();
    CHECK(watched[0].expired());
    CHECK(watched[1].expired());
    hub.hub.stop();
    CHECK(watched[2].expired());
}

TEST_CASE("Without keepRequest the request is there in onOpen only", "[session]") {
    for (const bool keep : {true, false}) {
        Options options;
        options.keepRequest = keep;
        RecordedHub hub(options);
        std::string inOpen;
        hub.whenOpened = [&](const SessionPtr& session) { inOpen = session->header("X-Who"); };
        hub.hub.start();
        const auto client = hub.hub.transport().connect("/websocket/1", "X-Who: me\r\n");
        hub.poll();
        REQUIRE(hub.opened.size() == 1);
        CHECK(inOpen == "me");
        CHECK(hub.opened[0]->header("x-who") == (keep ? "me" : ""));
        CHECK(hub.opened[0]->userId() == "1");
        CHECK(client->connected());
    }
}

TEST_CASE("Several threads push to one session, and each one's order is kept", "[session]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    const SessionPtr session = hub.opened[0];
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 300; ++i) {
                const std::string message = std::to_string(t) + " " + std::to_string(i);
                if (i % 3 == 0) {
                    hub.hub.sendAll(message);
                } else if (i % 3 == 1) {
                    hub.hub.sendOne("1", message);
                } else {
                    session->send(message);
                }
            }
        });
    }
    for (int i = 0; i < 100; ++i) {
        hub.poll();
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    hub.poll();
    std::vector<int> next(3);
    bool inOrder = true;
    for (const std::string& message : client->takeTexts()) {
        int& expected = next[static_cast<std::size_t>(message[0] - '0')];
        inOrder = inOrder && message.substr(2) == std::to_string(expected++);
    }
    CHECK(inOrder);
    CHECK(next == std::vector<int>{300, 300, 300});
    CHECK(session->bufferedBytes() == 0);
}

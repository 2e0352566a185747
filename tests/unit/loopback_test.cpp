#include <pushhub/transport/loopback_transport.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <pushhub/push_hub.hpp>
#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

TEST_CASE("Nothing happens but in poll, advance and stop", "[loopback]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.hub.transport().connect("/websocket/1");
    CHECK(hub.events.empty());
    CHECK(client->status() == 0);
    hub.poll();
    CHECK(hub.events == Strings{"open 1"});
    CHECK(client->connected());
    client->send("a");
    hub.hub.sendAll("b");
    CHECK(hub.events.size() == 1);
    CHECK(client->take().empty());
    hub.poll();
    CHECK(hub.events.size() == 2);
    CHECK(client->takeTexts() == Strings{"b"});
    CHECK(client->takeTexts().empty());
}

TEST_CASE("Hooks run on the thread that polls, and the hub knows", "[loopback]") {
    RecordedHub hub;
    bool onLoop = false;
    std::thread::id thread;
    hub.whenOpened = [&](const SessionPtr&) {
        onLoop = hub.hub.transport().onLoop();
        thread = std::this_thread::get_id();
    };
    hub.hub.start();
    CHECK_FALSE(hub.hub.transport().onLoop());
    const auto client = hub.connect("1");
    CHECK(onLoop);
    CHECK(thread == std::this_thread::get_id());
    CHECK_FALSE(hub.hub.transport().onLoop());
}

TEST_CASE("The clock moves by advance alone, and as far as it says", "[loopback]") {
    Options options;
    options.handshakeTimeout = 1000ms;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.hub.transport().connectRaw();
    for (int i = 0; i < 1000; ++i) {
        hub.poll();
    }
    CHECK(client->status() == 0);
    for (int i = 0; i < 9; ++i) {
        hub.advance(100ms);
    }
    CHECK(client->status() == 0);
    hub.advance(100ms);
    CHECK(client->status() == 408);
}

TEST_CASE("A client answers pings and close frames by itself", "[loopback]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.opened.at(0)->close(CloseCode::goingAway, "bye");
    hub.poll();
    CHECK(client->closeCode() == CloseCode::goingAway);
    CHECK(client->closeReason() == "bye");
    CHECK_FALSE(client->connected());
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].clean);
}

TEST_CASE("A client that reads slowly has room for what it was given", "[loopback]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 10);
    hub.hub.sendAll(std::string(100, 'x'));
    hub.poll();
    CHECK(hub.opened.at(0)->bufferedBytes() == 92);
    CHECK(client->take().empty());
    client->setReading(true, 10);  // ten bytes at a time
    hub.poll();
    CHECK(client->takeTexts() == Strings{std::string(100, 'x')});
    CHECK(hub.opened[0]->bufferedBytes() == 0);
}

TEST_CASE("Large messages go both ways", "[loopback]") {
    Options options;
    options.maxMessageSize = 1024 * 1024;
    options.maxQueueBytes = 2 * 1024 * 1024;
    RecordedHub hub(options);
    hub.whenMessage = [](const SessionPtr& session, const Message& message) {
        CHECK(session->send(message.data).accepted == 1);
    };
    hub.hub.start();
    const auto client = hub.connect("1");
    for (const std::size_t size : {0U, 1U, 125U, 126U, 65'535U, 65'536U, 1'000'000U}) {
        client->send(std::string(size, 'x'));
        hub.poll();
        const auto texts = client->takeTexts();
        REQUIRE(texts.size() == 1);
        CHECK(texts[0].size() == size);
    }
}

TEST_CASE("The answer to a handshake can be read", "[loopback]") {
    RecordedHub hub;
    hub.hub.onHttp([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.path() != "/health") {
            return {};
        }
        return HttpResponse{200, "fine\n"};
    });
    hub.hub.start();
    auto& transport = hub.hub.transport();
    const auto page = transport.connectRaw();
    page->sendBytes("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto missing = transport.connectRaw();
    missing->sendBytes("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto endpoint = transport.connectRaw();
    endpoint->sendBytes("GET /websocket/1 HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto socket = transport.connect("/websocket/1");
    hub.poll();
    CHECK(page->status() == 200);
    CHECK(page->response().find("\r\n\r\nfine\n") != std::string::npos);
    CHECK(missing->status() == 404);
    CHECK(endpoint->status() == 426);
    CHECK(endpoint->response().find("Sec-WebSocket-Version: 13") != std::string::npos);
    // RFC 6455 section 4.2.2: SHA-1 of the key and the GUID
    CHECK(socket->response().find("Sec-WebSocket-Accept: ") != std::string::npos);
    CHECK(socket->connected());
}

TEST_CASE("A hub may be started again, with other sessions and ids", "[loopback]") {
    RecordedHub hub;
    std::set<SessionId> ids;
    hub.whenOpened = [&](const SessionPtr& session) { ids.insert(session->id()); };
    for (int round = 0; round < 100; ++round) {
        hub.hub.start();
        const auto client = hub.connect("1");
        REQUIRE(client->connected());
        hub.hub.sendAll("x");
        hub.hub.stop();
        REQUIRE(client->takeTexts() == Strings{"x"});
        REQUIRE(client->closeCode() == CloseCode::goingAway);
        REQUIRE(hub.hub.sessionCount() == 0);
    }
    CHECK(ids.size() == 100);
    CHECK(hub.count("open") == 100);
    CHECK(hub.count("close") == 100);
}

TEST_CASE("A hub that is not started takes no push", "[loopback]") {
    RecordedHub hub;
    CHECK(hub.hub.sendAll("x").error == Errc::notRunning);
    CHECK(hub.hub.sendOne("1", "x").error == Errc::notRunning);
    hub.poll();
    hub.advance(1s);
    hub.hub.stop();
    hub.hub.start();
    CHECK_THROWS_AS(hub.hub.start(), std::logic_error);
    CHECK_THROWS_AS(hub.hub.onOpen([](const SessionPtr&) {}), std::logic_error);
    hub.hub.stop();
    hub.hub.stop();
    CHECK(hub.hub.sendOne("1", "x").error == Errc::notRunning);
    CHECK(hub.events.empty());
}

TEST_CASE("A hub that goes stops itself", "[loopback]") {
    std::shared_ptr<LoopbackClient> client;
    Strings events;
    {
        RecordedHub hub;
        hub.whenClosed = [&](const SessionPtr&, const CloseInfo& info) {
            events.push_back(info.clean ? "clean" : "cut");
        };
        hub.hub.start();
        client = hub.connect("1");
    }
    CHECK(events == Strings{"clean"});
    CHECK(client->closeCode() == CloseCode::goingAway);
    client->send("to nobody");
}

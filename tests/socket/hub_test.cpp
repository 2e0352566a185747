// What a hub promises, over each transport.

#include "support/catch.hpp"
#include "support/harness.hpp"
#include "support/wait.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

using namespace pushhub;
using pushhub::test::Events;
using pushhub::test::Harness;
using pushhub::test::open;
using Texts = std::vector<std::string>;

TEMPLATE_LIST_TEST_CASE("pushes reach whom they are for", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    typename H::Hub hub(H::options());
    hub.start();
    const auto a1 = open<H>(hub, "a");
    const auto a2 = open<H>(hub, "a");
    const auto b = open<H>(hub, "b");
    const auto c = open<H>(hub, "c");

    SECTION("sendAll: everybody") {
        const SendResult result = hub.sendAll("hello");
        CHECK(result.accepted == 4);
        CHECK_FALSE(result.error);
        for (const auto* client : {&a1, &a2, &b, &c}) {
            CHECK((*client)->read(1) == Texts{"hello"});
        }
    }
    SECTION("sendOne: all sessions of one user, nobody else") {
        CHECK(hub.sendOne("a", "for a").accepted == 2);
        CHECK(hub.sendAll("end").accepted == 4);
        CHECK(a1->read(2) == Texts{"for a", "end"});
        CHECK(a2->read(2) == Texts{"for a", "end"});
        CHECK(b->read(1) == Texts{"end"});
    }
    SECTION("sendOne: a user who is not there is no error") {
        const SendResult result = hub.sendOne("nobody", "x");
        CHECK(result.accepted == 0);
        CHECK(result.offline == 1);
        CHECK_FALSE(result.error);
        CHECK_FALSE(result);
    }
    SECTION("sendMore: each named user once, in whatever range") {
        const SendResult result = hub.sendMore({"a", "c", "a", "nobody"}, "more");
        CHECK(result.accepted == 3);
        CHECK(result.offline == 1);
        CHECK(hub.sendMore(std::set<std::string>{"b"}, "set").accepted == 1);
        const char* names[] = {"c", "c"};
        CHECK(hub.sendMoreBinary(names, "array").accepted == 1);
        hub.sendAll("end");
        CHECK(a1->read(2) == Texts{"more", "end"});
        CHECK(a2->read(2) == Texts{"more", "end"});
        CHECK(b->read(2) == Texts{"set", "end"});
        CHECK(c->read(3) == Texts{"more", "array", "end"});
    }
    SECTION("sendAllExcept: a user, or one session") {
        CHECK(hub.sendAllExcept("a", "not a").accepted == 2);
        const SessionPtr one = hub.sessions("a").front();
        CHECK(hub.sendAllExcept(one, "not one").accepted == 3);
        hub.sendAll("end");
        CHECK(b->read(3) == Texts{"not a", "not one", "end"});
        const Texts first = a1->read(1);
        const Texts second = a2->read(1);
        CHECK((first == Texts{"end"}) != (second == Texts{"end"}));
    }
    SECTION("what is not UTF-8 is refused, as binary it goes") {
        const SendResult result = hub.sendAll("\xC3\x28");
        CHECK(result.accepted == 0);
        CHECK(result.error == Errc::invalidUtf8);
        CHECK(hub.sendOne("a", "\xED\xA0\x80").error == Errc::invalidUtf8);
        CHECK(hub.sendOneBinary("b", "\xC3\x28").accepted == 1);
        CHECK(b->read(1) == Texts{"\xC3\x28"});
    }
    SECTION("a message larger than a queue may be is refused") {
        CHECK(hub.sendAll(std::string(2 * 1024 * 1024, 'x')).error == Errc::messageTooBig);
        CHECK(hub.sendOne("a", std::string(2 * 1024 * 1024, 'x')).error == Errc::messageTooBig);
        CHECK(hub.sessionCount() == 4);
    }
    SECTION("mixed pushes of one thread keep their order in each session") {
        Texts expected;
        for (int i = 0; i < 300; ++i) {
            const std::string text = "message " + std::to_string(i);
            switch (i % 4) {
                case 0:
                    hub.sendAll(text);
                    break;
                case 1:
                    hub.sendOne("b", text);
                    break;
                case 2:
                    hub.sendMore({"b", "a"}, text);
                    break;
                default:
                    hub.sessions("b").front()->send(text);
            }
            expected.push_back(text);
        }
        CHECK(b->read(300) == expected);
    }
}

TEMPLATE_LIST_TEST_CASE("a session tells about its handshake", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.path = "/prices/{symbol}/{userId}";
    Events<SessionPtr> opened;
    typename H::Hub hub(options);
    hub.onOpen([&](SessionPtr session) { opened.add(session); });
    hub.start();
    const auto client = H::connect(hub, "//prices/EUR%2FUSD///j%C3%BCrgen?token=a%20b&x=1&x=2",
                                   "X-Request-Id: 42\r\nCookie: sid=abc; theme=dark\r\n");
    REQUIRE(H::until(hub, [&] { return opened.size() == 1; }));
    const SessionPtr session = opened.all().front();
    CHECK(session->userId() == "j\xC3\xBCrgen");
    CHECK(session->param("symbol") == "EUR/USD");
    CHECK(session->param("userId") == "j\xC3\xBCrgen");
    CHECK(session->param("nothing").empty());
    CHECK(session->query("token") == "a b");
    CHECK(session->query("x") == "1");
    CHECK_FALSE(session->query("y"));
    CHECK(session->header("x-request-ID") == "42");
    CHECK(session->header("absent").empty());
    CHECK(session->cookie("sid") == "abc");
    CHECK(session->cookie("theme") == "dark");
    CHECK_FALSE(session->remoteAddress().empty());
    CHECK(session->id().value() > 0);
    CHECK(session->isOpen());
}

TEMPLATE_LIST_TEST_CASE("handshakes that are not for the hub get an answer", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.maxSessions = 1;
    typename H::Hub hub(options);
    hub.start();
    CHECK(H::status(hub, "/other/0001") == 404);
    CHECK(H::status(hub, "/websocket") == 404);
    CHECK(H::status(hub, "/websocket/a/b") == 404);
    CHECK(H::status(hub, "/websocket/%ff") == 404);
    const auto client = open<H>(hub, "0001");
    CHECK(H::status(hub, "/websocket/0002") == 503);
    CHECK(hub.sessionCount() == 1);
}

TEMPLATE_LIST_TEST_CASE("the registry tells who is there", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> closed;
    typename H::Hub hub(H::options());
    hub.onClose([&](SessionPtr session, CloseInfo) { closed.add(session->userId()); });
    hub.start();
    CHECK_FALSE(hub.isOnline("a"));
    const auto old = open<H>(hub, "a");
    const SessionPtr oldSession = hub.sessions("a").front();
    const auto fresh = open<H>(hub, "a");
    const auto other = open<H>(hub, "b");
    CHECK(hub.userCount() == 2);
    CHECK(hub.isOnline("a"));
    CHECK(hub.sessions("a").size() == 2);
    Texts ids = hub.userIds();
    std::sort(ids.begin(), ids.end());
    CHECK(ids == Texts{"a", "b"});

    // The fault of the pattern this replaces: the end of the old session took the new one along.
    old->close(CloseCode::normal);
    REQUIRE(H::until(hub, [&] { return closed.size() == 1; }));
    CHECK(hub.sessions("a").size() == 1);
    CHECK(hub.sessions("a").front() != oldSession);
    CHECK(hub.sendOne("a", "still here").accepted == 1);
    CHECK(fresh->read(1) == Texts{"still here"});

    CHECK_FALSE(oldSession->isOpen());
    CHECK(oldSession->send("too late").closing == 1);
    CHECK(oldSession->userId() == "a");

    fresh->drop();
    REQUIRE(H::until(hub, [&] { return closed.size() == 2; }));
    CHECK_FALSE(hub.isOnline("a"));
    CHECK(hub.sessionCount() == 1);
}

TEMPLATE_LIST_TEST_CASE("messages from clients reach onMessage", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> got;
    typename H::Hub hub(H::options());
    SECTION("text and binary told apart") {
        hub.onMessage([&](const SessionPtr& session, const Message& message) {
            got.add((message.type == MessageType::text ? "text " : "binary ") +
                    std::string(message.data));
            session->send("seen");
        });
        hub.start();
        const auto client = open<H>(hub, "a");
        client->send("one");
        client->sendBinary("two");
        client->send("");
        REQUIRE(H::until(hub, [&] { return got.size() == 3; }));
        CHECK(got.all() == Texts{"text one", "binary two", "text "});
        CHECK(client->read(3) == Texts{"seen", "seen", "seen"});
    }
    SECTION("a hook for text closes a session that sends binary") {
        hub.onMessage([&](SessionPtr, std::string_view text) { got.add(std::string(text)); });
        hub.start();
        const auto client = open<H>(hub, "a");
        client->send("one");
        client->sendBinary("two");
        CHECK(client->readClose() == CloseCode::unsupportedData);
        CHECK(got.all() == Texts{"one"});
    }
}

TEMPLATE_LIST_TEST_CASE("a session has room for the application's data", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    struct Counter {
        int messages = 0;
    };
    Events<int> counts;
    typename H::Hub hub(H::options());
    hub.onOpen([](SessionPtr session) { session->emplaceData<Counter>(); });
    hub.onMessage([&](SessionPtr session, std::string_view) {
        const bool otherType = session->data<std::string>() != nullptr;
        counts.add(otherType ? -1 : ++session->data<Counter>()->messages);
    });
    hub.start();
    const auto client = open<H>(hub, "a");
    client->send("x");
    client->send("y");
    REQUIRE(H::until(hub, [&] { return counts.size() == 2; }));
    CHECK(counts.all() == std::vector<int>{1, 2});
}

TEMPLATE_LIST_TEST_CASE("the end of a session is told once and exactly", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    Events<CloseInfo> ends;
    typename H::Hub hub(H::options());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    const auto client = open<H>(hub, "a");
    const SessionPtr session = hub.sessions("a").front();
    hub.sendOne("a", "1");
    CHECK(client->read(1) == Texts{"1"});

    SECTION("by the client") {
        client->close(static_cast<CloseCode>(4321));
        REQUIRE(H::until(hub, [&] { return ends.size() == 1; }));
        const CloseInfo end = ends.all().front();
        CHECK(end.code == static_cast<CloseCode>(4321));
        CHECK(end.clean);
        CHECK(end.by == ClosedBy::peer);
        CHECK(client->readClose() == static_cast<CloseCode>(4321));
    }
    SECTION("by the application, behind what was sent") {
        hub.sendAll("2");
        session->send("3");
        CHECK_FALSE(session->close(CloseCode::normal, "done"));
        CHECK(session->send("4").closing == 1);
        CHECK(client->read(2) == Texts{"2", "3"});
        CHECK(client->readClose() == CloseCode::normal);
        REQUIRE(H::until(hub, [&] { return ends.size() == 1; }));
        const CloseInfo end = ends.all().front();
        CHECK(end.code == CloseCode::normal);
        CHECK(end.reason == "done");
        CHECK(end.by == ClosedBy::host);
        CHECK(end.clean);
        CHECK(end.deliveredMessages == 3);
        CHECK(end.undeliveredMessages == 0);
    }
    SECTION("by nobody") {
        client->drop();
        REQUIRE(H::until(hub, [&] { return ends.size() == 1; }));
        CHECK(ends.all().front().code == CloseCode::abnormal);
        CHECK_FALSE(ends.all().front().clean);
        CHECK(ends.all().front().by == ClosedBy::network);
        CHECK(ends.all().front().error);
    }
    SECTION("codes that may not be sent are refused") {
        for (const int code : {0, 999, 1004, 1005, 1006, 1015, 2999, 5000}) {
            CHECK(session->close(static_cast<CloseCode>(code)) == std::errc::invalid_argument);
        }
        CHECK(session->isOpen());
    }
    hub.stop();
    CHECK(ends.size() == 1);
    CHECK(hub.sessionCount() == 0);
}

TEMPLATE_LIST_TEST_CASE("a hook that throws reaches onError and harms nobody", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> errors;
    typename H::Hub hub(H::options());
    hub.onOpen([](SessionPtr) { throw std::runtime_error("in open"); });
    hub.onMessage([](SessionPtr, std::string_view text) {
        if (text == "number") {
            throw 42;
        }
        throw std::system_error(std::make_error_code(std::errc::timed_out), "in message");
    });
    hub.onClose([](SessionPtr, CloseInfo) { throw std::runtime_error("in close"); });
    hub.onError([&](SessionPtr session, std::error_code error, std::string_view what) {
        errors.add(session->userId() + "|" + (error == Errc::hookFailed ? "hook" : "code") + "|" +
                   std::string(what));
        throw std::runtime_error("in error");
    });
    hub.start();
    const auto client = open<H>(hub, "a");
    client->send("x");
    client->send("number");
    REQUIRE(H::until(hub, [&] { return errors.size() == 3; }));
    CHECK(hub.sendOne("a", "alive").accepted == 1);
    CHECK(client->read(1) == Texts{"alive"});
    client->close(CloseCode::normal);
    REQUIRE(H::until(hub, [&] { return errors.size() == 4; }));
    const Texts all = errors.all();
    CHECK(all[0] == "a|hook|onOpen: in open");
    CHECK(all[1].substr(0, 18) == "a|code|onMessage: ");
    CHECK(all[2] == "a|hook|onMessage: not a std::exception");
    CHECK(all[3] == "a|hook|onClose: in close");
}

TEMPLATE_LIST_TEST_CASE("hooks may call everything", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Events<std::string> events;
    typename H::Hub hub(H::options());
    hub.onOpen([&](SessionPtr session) {
        hub.sendAll("opened");
        hub.sendOne(session->userId(), "hello");
    });
    hub.onMessage([&](SessionPtr session, std::string_view text) {
        if (text == "close") {
            hub.sendAll("last");
            session->close();
            session->send("never");
        } else {
            hub.stop();
            events.add("stop returned");
        }
    });
    hub.onClose([&](SessionPtr session, CloseInfo) {
        session->close();
        session->send("never");
        events.add("closed " + std::to_string(hub.sessionCount()));
    });
    hub.start();
    const auto client = open<H>(hub, "a");
    CHECK(client->read(2) == Texts{"opened", "hello"});
    SECTION("close") {
        client->send("close");
        CHECK(client->read(1) == Texts{"last"});
        CHECK(client->readClose() == CloseCode::normal);
        REQUIRE(H::until(hub, [&] { return events.size() == 1; }));
        CHECK(events.all().front() == "closed 0");
    }
    SECTION("stop") {
        client->send("stop");
        REQUIRE(H::until(hub, [&] { return events.size() >= 1; }));
        CHECK(client->readClose() == CloseCode::goingAway);
        REQUIRE(H::until(hub, [&] { return events.size() == 2; }));
        hub.stop();
        CHECK_FALSE(hub.isRunning());
        CHECK(hub.sendAll("x").error == Errc::notRunning);
        hub.start();
        const auto again = open<H>(hub, "a");
        CHECK(again->read(1) == Texts{"opened"});
    }
}

TEMPLATE_LIST_TEST_CASE("stop says good-bye", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Events<CloseInfo> ends;
    typename H::Hub hub(H::options());
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    CHECK(hub.sendAll("x").error == Errc::notRunning);
    CHECK(hub.sendOne("a", "x").error == Errc::notRunning);
    hub.start();
    CHECK_THROWS_AS(hub.start(), std::logic_error);
    CHECK_THROWS_AS(hub.onClose([](SessionPtr, CloseInfo) {}), std::logic_error);
    const auto polite = open<H>(hub, "a");
    const auto silent = open<H>(hub, "b");
    hub.sendAll("last words");
    std::thread stopper = H::stop(hub, std::chrono::milliseconds(300));
    CHECK(polite->read(1) == Texts{"last words"});
    CHECK(polite->readClose() == CloseCode::goingAway);
    if (stopper.joinable()) {
        stopper.join();
    }
    REQUIRE(ends.size() == 2);
    for (const CloseInfo& end : ends.all()) {
        CHECK(end.code == CloseCode::goingAway);
        CHECK(end.by == ClosedBy::host);
        CHECK(end.deliveredMessages == 1);
        CHECK(end.undeliveredMessages == 0);
    }
    CHECK(hub.sessionCount() == 0);
    CHECK_FALSE(hub.isRunning());
    hub.stop();
}

TEMPLATE_LIST_TEST_CASE("several hubs share a listener", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    Options orderOptions = H::options();
    orderOptions.path = "/orders/{userId}";
    Options priceOptions = H::options();
    priceOptions.path = "/prices/{symbol}/{userId}";
    typename H::Hub orders(orderOptions);
    typename H::Hub prices(orders, priceOptions);
    orders.start();
    CHECK(H::status(orders, "/prices/EURUSD/a") == 404);
    prices.start();
    CHECK(prices.port() == orders.port());
    const auto order = H::connect(orders, "/orders/a");
    const auto price = H::connect(orders, "/prices/EURUSD/a");
    REQUIRE(
        H::until(orders, [&] { return orders.sessionCount() == 1 && prices.sessionCount() == 1; }));
    orders.sendAll("order");
    prices.sendAll("price");
    CHECK(order->read(1) == Texts{"order"});
    CHECK(price->read(1) == Texts{"price"});
    std::thread stopper = H::stop(orders, std::chrono::seconds(5));
    CHECK(order->readClose() == CloseCode::goingAway);
    if (stopper.joinable()) {
        stopper.join();
    }
    CHECK(H::status(prices, "/orders/a") == 404);
    CHECK(prices.sendOne("a", "still").accepted == 1);
    CHECK(price->read(1) == Texts{"still"});
}

TEMPLATE_LIST_TEST_CASE("the most specific path wins, whatever the order of starts", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    const std::vector<std::string> paths = {"/ws/{userId}", "/ws/admin/{userId}",
                                            "/{userId}/admin/x", "/ws/{userId}/x"};
    std::vector<std::size_t> order = {0, 1, 2, 3};
    do {
        std::vector<std::unique_ptr<typename H::Hub>> hubs(paths.size());
        typename H::Hub* first = nullptr;
        for (const std::size_t i : order) {
            Options options = H::options();
            options.path = paths[i];
            hubs[i] = first ? std::make_unique<typename H::Hub>(*first, options)
                            : std::make_unique<typename H::Hub>(options);
            first = hubs[i].get();
            hubs[i]->start();
        }
        const auto reached = [&](const std::string& target) {
            const auto client = H::connect(*first, target);
            std::size_t found = paths.size();
            const bool one = H::until(*first, [&] {
                for (std::size_t i = 0; i < hubs.size(); ++i) {
                    found = hubs[i]->sessionCount() == 1 ? i : found;
                }
                return found < paths.size();
            });
            client->drop();
            const bool gone = H::until(*first, [&] { return hubs[found]->sessionCount() == 0; });
            return one && gone ? paths[found] : "none";
        };
        CHECK(reached("/ws/admin") == "/ws/{userId}");
        CHECK(reached("/ws/admin/x") == "/ws/admin/{userId}");
        CHECK(reached("/ws/other/x") == "/ws/{userId}/x");
        CHECK(reached("/up/admin/x") == "/{userId}/admin/x");
    } while (std::next_permutation(order.begin(), order.end()));
}

TEMPLATE_LIST_TEST_CASE("a hub that could not be reached is not started", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.path = "/ws/{userId}";
    typename H::Hub hub(options);
    hub.start();
    options.path = "/ws/{name}/";
    options.userParameter = "name";
    typename H::Hub same(hub, options);
    CHECK_THROWS_WITH(same.start(),
                      Catch::Contains("\"/ws/{name}/\"") && Catch::Contains("\"/ws/{userId}\""));
    CHECK_FALSE(same.isRunning());
    hub.stop();
    same.start();  // now it can be
    CHECK_THROWS_AS(hub.start(), std::logic_error);
}

TEMPLATE_LIST_TEST_CASE("options of the listener that a second hub sets are refused", "[hub]",
                        test::Transports) {
    using H = Harness<TestType>;
    Options first = H::options();
    first.port = 1234;
    first.maxConnections = 7;
    typename H::Hub hub(first);
    const auto refusal = [&](auto change) -> std::string {
        Options options;
        options.path = "/second/{userId}";
        change(options);
        try {
            typename H::Hub second(hub, options);
            typename H::Hub third(second, options);  // whose listener is the first one's
            return "";
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
    };
    CHECK(refusal([](Options&) {}) == "");
    CHECK(refusal([&](Options& o) {
              o = first;
              o.path = "/second/{userId}";
          }) == "");
    CHECK_THAT(refusal([](Options& o) { o.port = 99; }),
               Catch::Contains("option port is 99, expected 1234"));
    CHECK_THAT(refusal([](Options& o) { o.address = "0.0.0.0"; }),
               Catch::Contains("option address is \"0.0.0.0\", expected \"127.0.0.1\""));
    CHECK_THAT(refusal([](Options& o) { o.loops = 5; }), Catch::Contains("option loops is 5"));
    CHECK_THAT(refusal([](Options& o) { o.listenSocket = 3; }),
               Catch::Contains("option listenSocket is 3, expected -1"));
    CHECK_THAT(refusal([](Options& o) { o.maxConnections = 6; }),
               Catch::Contains("option maxConnections is 6, expected 7"));
    CHECK_THAT(refusal([](Options& o) { o.maxConnectionsPerAddress = 6; }),
               Catch::Contains("option maxConnectionsPerAddress is 6"));
    CHECK_THAT(refusal([](Options& o) { o.maxConnectionsPerSecond = 6; }),
               Catch::Contains("option maxConnectionsPerSecond is 6"));
    CHECK_THAT(refusal([](Options& o) { o.handshakeTimeout = std::chrono::seconds(6); }),
               Catch::Contains("option handshakeTimeout is 6000 ms"));
    CHECK_THAT(refusal([](Options& o) { o.maxHandshakeBytes = 600; }),
               Catch::Contains("option maxHandshakeBytes is 600"));
    CHECK_THAT(refusal([](Options& o) { o.maxHttpBodySize = 7; }),
               Catch::Contains("option maxHttpBodySize is 7"));
}

TEMPLATE_LIST_TEST_CASE("wrong options throw and name the value", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    const auto message = [](Options options) -> std::string {
        try {
            typename H::Hub hub(options);
            hub.start();
        } catch (const std::logic_error& error) {
            return error.what();
        }
        return "nothing thrown";
    };
    const auto contains = [](const std::string& text, const std::string& part) {
        INFO(text);
        CHECK(text.find(part) != std::string::npos);
    };
    Options options = H::options();
    options.path = "no slash/{userId}";
    contains(message(options), "no slash");
    options.path = "/websocket/{user}";
    contains(message(options), "/websocket/{user}");
    options = H::options();
    options.maxMessageSize = 0;
    contains(message(options), "maxMessageSize is 0");
    options = H::options();
    options.maxQueueBytes = 5;
    contains(message(options), "maxQueueBytes is 5");
    options = H::options();
    options.closeTimeout = std::chrono::milliseconds(0);
    contains(message(options), "closeTimeout is 0 ms");
}

TEMPLATE_LIST_TEST_CASE("plain HTTP on the same port", "[hub]", test::Transports) {
    using H = Harness<TestType>;
    typename H::Hub hub(H::options());
    hub.onHttp([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.path() == "/health") {
            return HttpResponse{200, "fine\n"};
        }
        if (request.path() == "/broken") {
            throw std::runtime_error("oops");
        }
        return std::nullopt;
    });
    hub.start();
    const auto get = [&](const std::string& request) {
        if constexpr (!std::is_same_v<TestType, LoopbackTransport>) {
            test::SocketClient client = H::connectSocket(hub);
            client.sendBytes(request);
            return client.readStatus();
        } else {
            const auto client = hub.transport().connectRaw();
            client->sendBytes(request);
            hub.transport().poll();
            return client->status();
        }
    };
    CHECK(get("GET /health HTTP/1.1\r\nHost: x\r\n\r\n") == 200);
    CHECK(get("HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n") == 200);
    CHECK(get("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n") == 500);
    CHECK(get("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n") == 404);
    CHECK(get("GET /websocket/1 HTTP/1.1\r\nHost: x\r\n\r\n") == 426);
    CHECK(get("POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") == 200);
    CHECK(get("POST /websocket/1 HTTP/1.1\r\nHost: x\r\n\r\n") == 405);
    CHECK(get("GET /health HTTP/1.0\r\n\r\n") == 200);
    CHECK(get("GET /health HTTP/2.0\r\nHost: x\r\n\r\n") == 505);
    CHECK(get("rubbish\r\n\r\n") == 400);
}

TEMPLATE_LIST_TEST_CASE("a client that ends its direction behind its request", "[hub]",
                        test::SocketTransports) {
    using H = Harness<TestType>;
    const std::string page(8 * 1024 * 1024, 'x');
    typename H::Hub hub(H::options());
    hub.onHttp([&](const HttpRequest&) { return HttpResponse{200, page}; });
    hub.start();
    test::SocketClient client = H::connectSocket(hub);
    client.sendBytes("GET / HTTP/1.0\r\n\r\n");
    client.endSending();
    CHECK(client.readStatus() == 200);
    client.waitForEnd();
    CHECK(client.takeBytes() == page);
}

TEST_CASE("a refusal behind a trusted proxy is logged with the client's address", "[hub]") {
    using H = Harness<AsioTransport>;
    Options options = H::options();
    options.trustedProxies = {"127.0.0.0/8"};
    test::Events<std::string> addresses;
    H::Hub hub(options);
    hub.onLog([&](const LogRecord& record) {
        for (const LogField& field : record) {
            if (record.event == "handshake refused" && field.name == "address") {
                addresses.add(std::string(field.value));
            }
        }
    });
    hub.start();
    CHECK(H::status(hub, "/elsewhere", "X-Forwarded-For: 192.0.2.7\r\n") == 404);
    REQUIRE(addresses.waitFor(1));
    CHECK(addresses.all() == Texts{"192.0.2.7"});
}

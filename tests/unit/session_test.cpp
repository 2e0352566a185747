#include <pushhub/session.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
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

TEST_CASE("A session's data may be of any type", "[session]") {
    struct Deck {
        std::vector<std::unique_ptr<int>> cards;
    };
    struct Immovable {
        explicit Immovable(int number) : value(number) {}
        Immovable(const Immovable&) = delete;
        Immovable& operator=(const Immovable&) = delete;
        std::mutex mutex;
        int value;
    };
    SessionMaker make;
    const SessionPtr session = make("1");
    CHECK(*session->emplaceData<std::unique_ptr<int>>(std::make_unique<int>(3)) == 3);
    CHECK(**session->data<std::unique_ptr<int>>() == 3);
    session->emplaceData<Deck>().cards.push_back(std::make_unique<int>(4));
    CHECK(*session->data<Deck>()->cards[0] == 4);
    CHECK(session->emplaceData<Immovable>(5).value == 5);
    CHECK(session->data<Immovable>()->value == 5);
    CHECK(session->data<Deck>() == nullptr);
    CHECK(session->data<const Immovable>()->value == 5);

    struct Throws {
        Throws() { throw std::runtime_error("no"); }
    };
    CHECK_THROWS_AS(session->emplaceData<Throws>(), std::runtime_error);
    CHECK(session->data<Immovable>()->value == 5);
}

TEST_CASE("An acceptance takes data of any type, moved or copied", "[session]") {
    struct Deck {
        std::vector<std::unique_ptr<int>> cards;
    };
    for (const bool moved : {true, false}) {
        RecordedHub hub;
        hub.hub.onHandshake([&](const HandshakePtr& handshake) {
            Deck deck;
            deck.cards.push_back(std::make_unique<int>(7));
            Acceptance acceptance;
            acceptance.data = std::move(deck);
            if (moved) {
                handshake->accept(std::move(acceptance));
            } else {
                handshake->accept(acceptance);
            }
        });
        hub.started();
        const auto client = hub.connect("1");
        REQUIRE(hub.opened.size() == 1);
        REQUIRE(hub.opened[0]->data<Deck>());
        CHECK(*hub.opened[0]->data<Deck>()->cards[0] == 7);
    }
}

TEST_CASE("A session's data is destroyed after onClose, whoever keeps the session", "[session]") {
    struct Player {
        SessionPtr opponent;
        std::shared_ptr<int> alive;
    };
    const auto alive = std::make_shared<int>(0);
    const auto counted = [&] { return alive.use_count() - 1; };
    SECTION("when the client leaves, and the hook still sees it") {
        RecordedHub hub;
        hub.whenOpened = [&](const SessionPtr& session) {
            session->emplaceData<Player>(Player{nullptr, alive});
        };
        bool seen = false;
        hub.whenClosed = [&](const SessionPtr& session, const CloseInfo&) {
            seen = session->data<Player>() != nullptr;
        };
        hub.started();
        const auto a = hub.connect("a");
        const auto b = hub.connect("b");
        hub.opened[0]->data<Player>()->opponent = hub.opened[1];
        hub.opened[1]->data<Player>()->opponent = hub.opened[0];
        const std::vector<std::weak_ptr<Session>> watched(hub.opened.begin(), hub.opened.end());
        const SessionPtr kept = hub.opened[0];
        hub.opened.clear();
        a->close();
        hub.poll();
        CHECK(seen);
        CHECK(counted() == 1);
        CHECK(kept->data<Player>() == nullptr);
        CHECK(kept->userId() == "a");
        b->drop();
        hub.poll();
        CHECK(counted() == 0);
        CHECK(watched[1].expired());
    }
    SECTION("when the hook throws, and when the hub stops") {
        RecordedHub hub;
        hub.whenOpened = [&](const SessionPtr& session) {
            session->emplaceData<Player>(Player{session, alive});
        };
        hub.whenClosed = [](const SessionPtr&, const CloseInfo&) {
            throw std::runtime_error("in onClose");
        };
        hub.started();
        const auto a = hub.connect("a");
        const auto b = hub.connect("b");
        hub.opened.clear();
        a->close();
        hub.poll();
        CHECK(counted() == 1);
        hub.hub.stop();
        CHECK(counted() == 0);
    }
    SECTION("when the data uses its session and the hub to the end") {
        struct Goodbye {
            RecordedHub* hub;
            SessionPtr session;
            ~Goodbye() {
                CHECK(session->data<std::unique_ptr<Goodbye>>() == nullptr);
                CHECK_FALSE(hub->hub.isOnline(session->userId()));
                hub->hub.sendAll(session->userId() + " has left");
            }
        };
        RecordedHub hub;
        hub.whenOpened = [&](const SessionPtr& session) {
            auto goodbye = std::make_unique<Goodbye>();
            goodbye->hub = &hub;
            goodbye->session = session;
            session->emplaceData<std::unique_ptr<Goodbye>>(std::move(goodbye));
        };
        hub.started();
        const auto a = hub.connect("a");
        const auto b = hub.connect("b");
        a->close();
        hub.poll();
        CHECK(b->takeTexts() == std::vector<std::string>{"a has left"});
    }
}

TEST_CASE("What a handshake was given is freed when there is no session", "[session]") {
    struct Claim {
        HandshakePtr handshake;
        std::shared_ptr<int> alive;
    };
    const auto alive = std::make_shared<int>(0);
    HandshakePtr kept;
    const auto claiming = [&](std::string user) {
        return [&, user = std::move(user)](const HandshakePtr& handshake) {
            kept = handshake;
            Acceptance acceptance{user};
            acceptance.data = Claim{handshake, alive};
            handshake->accept(acceptance);
        };
    };
    Options options;
    options.maxSessionsPerUser = 1;
    {
        RecordedHub hub(options);
        hub.hub.onHandshake(claiming("1"));
        hub.started();
        const auto first = hub.connect("1");
        CHECK(alive.use_count() == 2);
        const auto second = hub.connect("1");  // 409
        CHECK(second->status() == 409);
        CHECK(alive.use_count() == 2);
        const auto other = hub.connect("2");  // 403: the path names another user
        CHECK(other->status() == 403);
        CHECK(alive.use_count() == 2);
        first->drop();
        hub.poll();
        CHECK(alive.use_count() == 1);
    }
    const std::weak_ptr<Handshake> watched = kept;
    kept = nullptr;
    CHECK(watched.expired());
}

TEST_CASE("A client that leaves before its first message is freed", "[session]") {
    std::vector<std::weak_ptr<Handshake>> watched;
    RecordedHub hub;
    hub.hub.onHandshake([&](const HandshakePtr& handshake) {
        watched.emplace_back(handshake);
        handshake->accept();
    });
    hub.hub.onFirstMessage(
        [&](const HandshakePtr& handshake, std::string_view) { watched.emplace_back(handshake); });
    hub.started();
    const auto silent = hub.connect("1");
    const auto undecided = hub.connect("2");
    const auto there = hub.connect("3");
    undecided->send("first");
    hub.poll();
    silent->drop();
    undecided->drop();
    hub.poll();
    REQUIRE(watched.size() == 4);
    CHECK(watched[0].expired());
    CHECK(watched[1].expired());
    CHECK(watched[3].expired());
    hub.hub.stop();
    CHECK(watched[2].expired());
}

TEST_CASE("A session that is kept may be used when its hub has gone", "[session]") {
    std::weak_ptr<Session> watched;
    {
        SessionPtr kept;
        {
            RecordedHub hub;
            hub.started();
            const auto client = hub.connect("1");
            kept = hub.opened[0];
        }
        watched = kept;
        kept->expireAt(std::chrono::system_clock::now());
        CHECK_FALSE(kept->close());
        CHECK(kept->send("late").closing == 1);
        kept->emplaceData<int>(1);
    }
    CHECK(watched.expired());
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

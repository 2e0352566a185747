// Clients that are refused: what they get, what the log and the figures say, and what becomes of
// texts, codes and statuses of the application that cannot be sent.

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using namespace std::chrono_literals;
using pushhub::test::bodyOf;
using pushhub::test::RecordedHub;
using ClientPtr = RecordedHub::ClientPtr;
using Strings = std::vector<std::string>;

namespace {

struct Text {
    std::string given;
    std::string sent;
};

const std::string replaced = "\xef\xbf\xbd";

std::vector<Text> texts() {
    const std::string euro = "\xe2\x82\xac";
    std::string euros;
    for (int i = 0; i < 41; ++i) {
        euros += euro;
    }
    const std::string x(123, 'x');
    return {
        {"", ""},
        {"logged out", "logged out"},
        {"ung\xfcltig", "ung" + replaced + "ltig"},
        {"\xff", replaced},
        {"\xff\xfe", replaced + replaced},
        {"cut \xe2\x82", "cut " + replaced + replaced},
        {"\xed\xa0\x80", replaced + replaced + replaced},  // a surrogate
        {"\xc0\xaf", replaced + replaced},                 // an overlong form
        {std::string("a\0b", 3), std::string("a\0b", 3)},
        {x, x},
        {x + "y", x},
        {std::string(122, 'x') + euro, std::string(122, 'x')},
        {std::string(121, 'x') + "\xff", std::string(121, 'x')},
        {std::string(120, 'x') + "\xff", std::string(120, 'x') + replaced},
        {euros + euro, euros},
        {euros + "\xff", euros},
        {std::string(100000, 'x'), x},
        {std::string(100000, '\xff'),
         [] {
             std::string all;
             for (int i = 0; i < 41; ++i) {
                 all += replaced;
             }
             return all;
         }()},
    };
}

using Decide = std::function<void(const HandshakePtr&)>;

/// A hub that decides as it is told, and writes its log down.
struct DecidingHub {
    explicit DecidingHub(Decide decide, Options options = {}, bool byFirstMessage = false)
        : recorded(options) {
        if (byFirstMessage) {
            recorded.hub.onFirstMessage(
                [decide](const HandshakePtr& handshake, std::string_view) { decide(handshake); });
        } else {
            recorded.hub.onHandshake(decide);
        }
        recorded.hub.onLog([this](const LogRecord& record) {
            if (record.level >= LogLevel::info) {
                std::string line(record.event);
                for (const LogField& field : record) {
                    line.append(" ").append(field.name).append("=").append(field.value);
                }
                lines.push_back(std::move(line));
            }
        });
        recorded.hub.start();
        lines.clear();
    }

    ClientPtr connect(const std::string& target, const std::string& headers = {}) {
        auto client = recorded.hub.transport().connect(target, headers);
        recorded.poll();
        return client;
    }
    ClientPtr raw(const std::string& bytes) {
        auto client = recorded.hub.transport().connectRaw();
        client->sendBytes(bytes);
        recorded.poll();
        return client;
    }

    Strings lines;
    RecordedHub recorded;
};

Options closing() {
    Options options;
    options.closeInsteadOfStatus = true;
    return options;
}

constexpr unsigned wrongCodes[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
constexpr unsigned goodCodes[] = {1000, 1001, 1003, 1007, 1014, 3000, 4000, 4401, 4999};
constexpr int wrongStatuses[] = {-1, 0, 99, 100, 101, 200, 204, 302, 399, 600, 1000};

}  // namespace

TEST_CASE("Any text can be a reason", "[refusal]") {
    for (const Text& text : texts()) {
        INFO(text.given);
        {
            INFO("of close");
            RecordedHub hub;
            hub.hub.start();
            const auto client = hub.connect("1");
            CHECK_FALSE(hub.opened[0]->close(CloseCode::normal, text.given));
            hub.poll();
            CHECK(client->closeReason() == text.sent);
            REQUIRE(hub.closes.size() == 1);
            CHECK(hub.closes[0].reason == text.sent);
            CHECK(hub.closes[0].clean);
        }
        {
            INFO("of disconnect");
            RecordedHub hub;
            hub.hub.start();
            const auto client = hub.connect("1");
            CHECK(hub.hub.disconnect("1", CloseCode::unauthorized, text.given) == 1);
            hub.poll();
            CHECK(client->closeReason() == text.sent);
            CHECK(client->closeCode() == CloseCode::unauthorized);
        }
        {
            INFO("of reject");
            DecidingHub hub([&](const HandshakePtr& handshake) {
                CHECK_FALSE(handshake->reject(403, text.given));
            });
            const auto client = hub.connect("/websocket/1");
            CHECK(client->status() == 403);
            CHECK(bodyOf(client) == text.given);  // HTTP takes any bytes
            REQUIRE(hub.lines.size() == 1);
            CHECK(hub.lines[0] == "handshake refused status=403 reason=" + text.sent +
                                      " address=loopback:1 path=/websocket/1");
        }
        {
            INFO("of reject by code");
            DecidingHub hub(
                [&](const HandshakePtr& handshake) {
                    CHECK_FALSE(handshake->reject(403, text.given));
                },
                closing());
            const auto client = hub.connect("/websocket/1");
            CHECK(client->status() == 101);
            CHECK(client->closeReason() == text.sent);
            CHECK(client->closeCode() == static_cast<CloseCode>(4403));
        }
        {
            INFO("of reject by message");
            DecidingHub hub(
                [&](const HandshakePtr& handshake) {
                    CHECK_FALSE(handshake->reject(403, text.given));
                },
                Options(), true);
            const auto client = hub.connect("/websocket/1");
            client->send("hello");
            hub.recorded.poll();
            CHECK(client->closeReason() == text.sent);
            CHECK(client->closeCode() == static_cast<CloseCode>(4403));
        }
    }
}

TEST_CASE("A close code that may not be sent closes nobody, and is told", "[refusal]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    for (const unsigned number : wrongCodes) {
        const auto code = static_cast<CloseCode>(number);
        hub.errors.clear();
        CHECK(hub.opened[0]->close(code, "x") == std::errc::invalid_argument);
        hub.poll();
        const std::string expected = "the close code is " + std::to_string(number) +
                                     ", expected 1000-1003, 1007-1014 or 3000-4999";
        REQUIRE(hub.errors.size() == 1);
        CHECK(hub.errors[0].first == std::errc::invalid_argument);
        CHECK(hub.errors[0].second == expected);
        for (const char* const user : {"1", "nobody"}) {
            try {
                hub.hub.disconnect(user, code);
                FAIL("no exception");
            } catch (const std::invalid_argument& error) {
                CHECK(error.what() == "pushhub: disconnect: " + expected);
            }
        }
    }
    hub.poll();
    CHECK(client->connected());
    for (const unsigned number : goodCodes) {
        const auto user = hub.connect("2");
        CHECK(hub.hub.disconnect("2", static_cast<CloseCode>(number)) == 1);
        hub.poll();
        CHECK(user->closeCode() == static_cast<CloseCode>(number));
    }
}

TEST_CASE("A status that refuses nothing is 500, at once, and is told", "[refusal]") {
    for (const int status : wrongStatuses) {
        const Decide decide = [status](const HandshakePtr& handshake) {
            CHECK(handshake->reject(status, "text") == std::errc::invalid_argument);
            CHECK(handshake->accept() == Errc::handshakeAnswered);
        };
        const std::string what =
            "reject: the status is " + std::to_string(status) + ", expected from 400 to 599";
        DecidingHub plain(decide);
        CHECK(plain.connect("/websocket/1")->status() == 500);
        REQUIRE(plain.recorded.errors.size() == 1);
        CHECK(plain.recorded.errors[0].second == what);
        DecidingHub byCode(decide, closing());
        CHECK(byCode.connect("/websocket/1")->closeCode() == CloseCode::internalError);
        CHECK(byCode.recorded.errors.size() == 1);
        DecidingHub byMessage(decide, Options(), true);
        const auto client = byMessage.connect("/websocket/1");
        client->send("hello");
        byMessage.recorded.poll();
        CHECK(client->closeCode() == CloseCode::internalError);
        CHECK(byMessage.recorded.errors.size() == 1);
        CHECK(byMessage.recorded.hub.stats().refusals[500] == 1);
    }
    for (const int status : {400, 401, 418, 429, 499, 500, 503, 599}) {
        DecidingHub hub(
            [&](const HandshakePtr& handshake) { CHECK_FALSE(handshake->reject(status, "text")); });
        CHECK(hub.connect("/websocket/1")->status() == status);
        CHECK(hub.recorded.errors.empty());
    }
}

TEST_CASE("A header of a refusal that cannot be sent is left out, and is told", "[refusal]") {
    DecidingHub hub([](const HandshakePtr& handshake) {
        HttpResponse response{429, "slowly"};
        response.headers = {{"Retry-After", "3"}, {"X-Bad", "a\nb"}};
        CHECK_FALSE(handshake->reject(std::move(response)));
    });
    const auto client = hub.connect("/websocket/1");
    CHECK(client->status() == 429);
    CHECK(client->response().find("Retry-After: 3\r\n") != std::string::npos);
    CHECK(client->response().find("X-Bad") == std::string::npos);
    REQUIRE(hub.recorded.errors.size() == 1);
    CHECK(hub.recorded.errors[0].second.find("reject: the header \"X-Bad\"") == 0);
}

TEST_CASE("An acceptance that cannot be carried out is 500, at once, and is told", "[refusal]") {
    struct Row {
        const char* offers;
        Acceptance acceptance;
        std::string what;
    };
    Acceptance unknown;
    unknown.subprotocol = "chat.v2";
    Acceptance header;
    header.headers = {{"X-A", "a\r\nb"}};
    Acceptance noToken;
    noToken.headers = {{"X A", "b"}};
    const std::vector<Row> rows = {
        {"", unknown,
         "accept: the subprotocol is \"chat.v2\", expected none, since the client offers none"},
        {"Sec-WebSocket-Protocol: a, b\r\n", unknown,
         "accept: the subprotocol is \"chat.v2\", expected one that the client offers: a, b"},
        {"", header, "accept: the header \"X-A\" is "},
        {"", noToken, "accept: the header \"X A\" is "},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        const bool later = GENERATE(false, true);
        HandshakePtr kept;
        DecidingHub hub([&](const HandshakePtr& handshake) {
            kept = handshake;
            if (!later) {
                CHECK(handshake->accept(row.acceptance) == std::errc::invalid_argument);
            }
        });
        const auto client = hub.connect("/websocket/1", row.offers);
        if (later) {
            CHECK(client->status() == 0);
            CHECK(kept->accept(row.acceptance) == std::errc::invalid_argument);
            hub.recorded.poll();
        }
        CHECK(client->status() == 500);
        REQUIRE(hub.recorded.errors.size() == 1);
        CHECK(hub.recorded.errors[0].first == std::errc::invalid_argument);
        CHECK(hub.recorded.errors[0].second.find(row.what) == 0);
        CHECK(kept->accept() == Errc::handshakeAnswered);
        CHECK(hub.recorded.hub.sessionCount() == 0);
        kept.reset();
    }
}

TEST_CASE("A refusal with 401 has a challenge", "[refusal]") {
    const auto challenge = [](const ClientPtr& client) {
        const std::string name = "\r\nWWW-Authenticate: ";
        const std::string& response = client->response();
        const std::size_t at = response.find(name);
        REQUIRE(at != std::string::npos);
        CHECK(response.find(name, at + 1) == std::string::npos);
        const std::size_t begin = at + name.size();
        return response.substr(begin, response.find("\r\n", begin) - begin);
    };
    DecidingHub bare([](const HandshakePtr& handshake) { handshake->reject(401); });
    CHECK(challenge(bare.connect("/websocket/1")) == "Bearer");
    DecidingHub own([](const HandshakePtr& handshake) {
        handshake->reject({401, {}, {}, {{"www-authenticate", "Basic"}}});
    });
    CHECK(own.connect("/websocket/1")->response().find("Bearer") == std::string::npos);
    DecidingHub expired([](const HandshakePtr& handshake) {
        Acceptance acceptance;
        acceptance.expires = std::chrono::system_clock::now() - 1s;
        handshake->accept(std::move(acceptance));
    });
    CHECK(challenge(expired.connect("/websocket/1")) == "Bearer error=\"invalid_token\"");
}

TEST_CASE("Every refusal is logged with status, reason, address and path, and counted",
          "[refusal]") {
    Options options;
    options.maxSessionsPerUser = 1;
    options.handshakeTimeout = 1000ms;
    options.decisionTimeout = 500ms;
    options.maxPendingHandshakes = 2;
    DecidingHub hub(
        [](const HandshakePtr& handshake) {
            if (handshake->userId() == "wait") {
                return;
            }
            handshake->accept();
        },
        options);
    const std::string upgrade =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n";
    const auto request = [](const std::string& line, const std::string& headers = {}) {
        return line + "\r\nHost: here\r\n" + headers + "\r\n";
    };
    hub.recorded.hub.stop();
    hub.recorded.hub.onHttp([](const HttpRequest&) { return std::nullopt; });
    hub.recorded.hub.start();
    hub.connect("/websocket/there");
    struct Row {
        std::string bytes;
        int status;
        std::string path;  // "" if it is not known
    };
    const std::vector<Row> rows = {
        {"\x16\x03\x01\x02\x03", 400, ""},
        {"rubbish\r\n\r\n", 400, ""},
        {request("GET /websocket/1 HTTP/1.1", "Upgrade: websocket\r\n"), 400, "/websocket/1"},
        {request("GET /websocket/1?token=secret HTTP/1.1",
                 "Origin: http://evil.example\r\n" + upgrade),
         403, "/websocket/1"},
        {request("GET /nowhere?token=secret HTTP/1.1", upgrade), 404, "/nowhere"},
        {request("GET /nowhere?token=secret HTTP/1.1"), 404, "/nowhere"},
        {request("POST /websocket/1?token=secret HTTP/1.1"), 405, "/websocket/1"},
        {request("GET /websocket/there HTTP/1.1", upgrade), 409, "/websocket/there"},
        {request("POST / HTTP/1.1", "Content-Length: 99999999\r\n"), 413, "/"},
        {"GET /" + std::string(9000, 'x'), 414, ""},
        {request("POST / HTTP/1.1", "Expect: x\r\nContent-Length: 1\r\n"), 417, "/"},
        {request("GET /websocket/1?token=secret HTTP/1.1"), 426, "/websocket/1"},
        {request("GET /websocket/1 HTTP/1.0", upgrade), 426, "/websocket/1"},
        {request("GET /websocket/1 HTTP/1.1",
                 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"),
         426, "/websocket/1"},
        {request("GET /websocket/1 HTTP/1.1", "Cookie: " + std::string(20000, 'x') + "\r\n"), 431,
         ""},
        {request("POST / HTTP/1.1", "Transfer-Encoding: gzip\r\n"), 501, ""},
        {request("GET /websocket/1 HTTP/2.0"), 505, ""},
    };
    for (const Row& row : rows) {
        INFO(row.bytes.substr(0, 200));
        hub.lines.clear();
        const HubStats before = hub.recorded.hub.stats();
        CHECK(hub.raw(row.bytes)->status() == row.status);
        const HubStats after = hub.recorded.hub.stats();
        CHECK(after.refusals[row.status] == before.refusals[row.status] + 1);
        REQUIRE(hub.lines.size() == 1);
        const std::string& line = hub.lines[0];
        CHECK(line.find(" status=" + std::to_string(row.status) + " reason=") != std::string::npos);
        CHECK(line.find(" address=loopback:") != std::string::npos);
        const std::string path = row.path.empty() ? "" : " path=" + row.path;
        CHECK(line.find(" path=") ==
              (path.empty() ? std::string::npos : line.size() - path.size()));
        CHECK(line.substr(line.size() - path.size()) == path);
    }

    SECTION("those of time") {
        hub.lines.clear();
        hub.raw("GET /websocket/1 HTTP/1.1\r\n");
        hub.raw("");
        hub.connect("/websocket/wait");
        hub.connect("/websocket/wait");
        CHECK(hub.connect("/websocket/wait")->status() == 503);
        hub.recorded.advance(600ms);
        CHECK(hub.recorded.hub.stats().refusals[503] == 3);
        hub.recorded.advance(600ms);
        CHECK(hub.recorded.hub.stats().refusals[408] == 2);
        CHECK(hub.lines.size() == 5);
    }
    SECTION("those of a request whose body does not come") {
        const std::string post =
            request("POST /upload?token=secret HTTP/1.1", "Content-Length: 9\r\n");
        for (const bool ends : {true, false}) {
            hub.lines.clear();
            const auto client = hub.raw(post + "a");
            if (ends) {
                client->endSending();
            }
            hub.recorded.advance(1100ms);
            CHECK(client->status() == (ends ? 400 : 408));
            REQUIRE(hub.lines.size() == 1);
            CHECK(hub.lines[0].find("request refused status=" + std::to_string(client->status())) ==
                  0);
            CHECK(hub.lines[0].find(" path=/upload") == hub.lines[0].size() - 13);
        }
    }
    SECTION("one that leaves is none") {
        hub.lines.clear();
        hub.recorded.hub.transport().connectRaw()->drop();
        hub.recorded.hub.transport().connectRaw()->endSending();
        hub.recorded.poll();
        CHECK(hub.lines.empty());
    }
    SECTION("when the hub stops, with the advice to come back") {
        const auto waiting = hub.connect("/websocket/wait");
        hub.lines.clear();
        hub.recorded.hub.stop();
        CHECK(waiting->status() == 503);
        CHECK(waiting->response().find("Retry-After: 5\r\n") != std::string::npos);
        REQUIRE(hub.lines.size() == 2);
        CHECK(hub.lines[0].find("handshake refused status=503 reason=the service is stopping") ==
              0);
    }
}

TEST_CASE("What onHttp answers is no refusal", "[refusal]") {
    std::size_t lines = 0;
    RecordedHub hub;
    hub.hub.onHttp([](const HttpRequest&) { return HttpResponse{404, "mine"}; });
    hub.hub.onLog([&](const LogRecord&) { ++lines; });
    hub.hub.start();
    lines = 0;
    const auto client = hub.hub.transport().connectRaw();
    client->sendBytes("GET / HTTP/1.0\r\n\r\n");
    hub.poll();
    CHECK(client->status() == 404);
    CHECK(lines == 0);
    CHECK(hub.hub.stats().refusals[404] == 0);
}

TEST_CASE("A refusal belongs to the hub whose path was asked for, or to all", "[refusal]") {
    RecordedHub first;
    Options options;
    options.path = "/other/{userId}";
    RecordedHub second(first, options);
    first.hub.start();
    second.hub.start();
    const auto send = [&](const std::string& bytes) {
        first.hub.transport().connectRaw()->sendBytes(bytes);
        first.poll();
    };
    send("GET /other/1 HTTP/1.0\r\n\r\n");
    CHECK(first.hub.stats().refusals[426] == 0);
    CHECK(second.hub.stats().refusals[426] == 1);
    send("GET /elsewhere HTTP/1.0\r\n\r\n");
    CHECK(first.hub.stats().refusals[404] == 1);
    CHECK(second.hub.stats().refusals[404] == 1);
    send("rubbish\r\n\r\n");
    CHECK(first.hub.stats().refusals[400] == 1);
    CHECK(second.hub.stats().refusals[400] == 1);
}

TEST_CASE("Each hub is told of a refusal, also if one of them destroys another one", "[refusal]") {
    const std::size_t destroyer = GENERATE(0U, 1U, 2U);
    const std::size_t victim = GENERATE(0U, 1U, 2U);
    CAPTURE(destroyer, victim);
    if (destroyer == victim) {
        return;
    }
    std::vector<std::unique_ptr<RecordedHub::Hub>> hubs;
    std::vector<int> told(3);
    Options options;
    for (std::size_t i = 0; i < told.size(); ++i) {
        options.path = "/" + std::to_string(i) + "/{userId}";
        hubs.push_back(i == 0 ? std::make_unique<RecordedHub::Hub>(options)
                              : std::make_unique<RecordedHub::Hub>(*hubs.front(), options));
        hubs.back()->onLog([&, i](const LogRecord& record) {
            if (record.event != "request refused") {
                return;
            }
            ++told[i];
            if (i == destroyer) {
                hubs[victim].reset();
            }
        });
    }
    for (const auto& hub : hubs) {
        hub->start();
    }
    LoopbackTransport& transport = hubs[destroyer]->transport();
    transport.connectRaw()->sendBytes("GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n");
    transport.poll();
    for (std::size_t i = 0; i < told.size(); ++i) {
        CAPTURE(i);
        if (i == victim) {
            CHECK(told[i] <= 1);
        } else {
            CHECK(told[i] == 1);
        }
    }
}

TEST_CASE("Before it is a session, a connection that breaks the protocol is refused", "[refusal]") {
    DecidingHub hub([](const HandshakePtr& handshake) { handshake->accept(); }, Options(), true);
    const auto broken = hub.connect("/websocket/1");
    broken->sendBytes("\xff\xff\xff");
    hub.recorded.poll();
    CHECK(broken->closeCode() == CloseCode::protocolError);
    CHECK(hub.recorded.hub.stats().refusals[400] == 1);
    hub.connect("/websocket/2");
    hub.recorded.advance(11s);
    CHECK(hub.recorded.hub.stats().refusals[401] == 1);
    CHECK(hub.lines.size() == 2);
}

TEST_CASE("A client that ends its direction while its handshake is decided", "[refusal]") {
    HandshakePtr kept;
    Options options;
    options.maxPendingHandshakes = 1;
    options.closeInsteadOfStatus = GENERATE(false, true);
    DecidingHub hub([&](const HandshakePtr& handshake) { kept = handshake; }, options);
    const auto client = hub.connect("/websocket/1");
    client->endSending();
    hub.recorded.poll();
    CHECK(client->status() == 0);
    SECTION("can be refused") {
        CHECK_FALSE(kept->reject(401, "no"));
        hub.recorded.poll();
        CHECK(client->status() == 401);
    }
    SECTION("cannot be accepted") {
        CHECK(kept->accept() == Errc::handshakeAnswered);
        hub.recorded.poll();
        CHECK(client->status() == 0);
        CHECK(hub.recorded.hub.sessionCount() == 0);
        CHECK(hub.recorded.events.empty());
    }
    SECTION("waits no more") {
        const auto other = hub.connect("/websocket/2");
        CHECK(other->status() == 0);  // it has the only place
        hub.recorded.advance(11s);
        CHECK(client->status() == 503);
    }
    kept.reset();
}

TEST_CASE("A client that ends its direction behind its close frame gets ours", "[refusal]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 1000);
    const std::string message(5000, 'x');
    hub.hub.sendOne("1", message);
    hub.poll();
    const bool first = GENERATE(false, true);
    if (first) {
        client->close(CloseCode::normal);
        client->endSending();
        hub.poll();
    } else {
        hub.opened[0]->close(CloseCode::goingAway);
        hub.poll();
        client->endSending();
        hub.poll();
    }
    CHECK(hub.closes.empty());
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == Strings{message});
    CHECK(client->closeCode() == (first ? CloseCode::normal : CloseCode::goingAway));
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].clean == first);
    CHECK(hub.closes[0].deliveredMessages == 1);
}

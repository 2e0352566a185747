#include <pushhub/auth/authenticator.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/auth/auth.hpp>
#include <pushhub/error.hpp>
#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub::auth;
using namespace std::chrono_literals;
using pushhub::CloseCode;
using pushhub::Errc;
using pushhub::Options;
using pushhub::test::RecordedHub;

namespace {

// The token "is-USER" proves to be that user.
std::optional<Identity> check(const std::string& token) {
    if (token.compare(0, 3, "is-") != 0) {
        return std::nullopt;
    }
    Identity identity;
    identity.userId = token.substr(3);
    return identity;
}

std::vector<TokenSource> allSources() {
    return {bearerHeader(), queryToken("token"), subprotocolToken("pushhub"), cookieToken("sid")};
}

RecordedHub::ClientPtr connect(RecordedHub& recorded, std::string_view target,
                               std::string_view headers) {
    auto client = recorded.hub.transport().connect(target, headers);
    recorded.poll();
    return client;
}

std::string headerOf(const std::string& response, const std::string& name) {
    const std::size_t at = response.find("\r\n" + name + ": ");
    if (at == std::string::npos) {
        return "";
    }
    const std::size_t begin = at + name.size() + 4;
    return response.substr(begin, response.find("\r\n", begin) - begin);
}

constexpr const char* invalidRequest = "Bearer realm=\"orders\", error=\"invalid_request\"";
constexpr const char* challenge = "Bearer realm=\"orders\"";
constexpr const char* invalidToken = "Bearer realm=\"orders\", error=\"invalid_token\"";

}  // namespace

TEST_CASE("An authenticator lets in who has a token", "[auth][authenticator]") {
    struct Row {
        const char* target;
        std::string headers;
        int status;
        const char* challenge;
    };
    const std::string bearer = "Authorization: Bearer is-1\r\n";
    const std::string protocols = "Sec-WebSocket-Protocol: pushhub, bearer.aXMtMQ\r\n";
    const std::string cookie = "Cookie: sid=is-1\r\n";
    const std::string origin = "Origin: http://loopback\r\n";
    const std::vector<Row> rows = {
        // Each way alone.
        {"/websocket/1", bearer, 101, ""},
        {"/websocket/1", bearer + origin, 101, ""},
        {"/websocket/1?token=is-1", "", 101, ""},
        {"/websocket/1?token=is-1", origin, 101, ""},
        {"/websocket/1", protocols, 101, ""},
        {"/websocket/1", cookie + origin, 101, ""},
        // No token.
        {"/websocket/1", "", 401, challenge},
        {"/websocket/1", origin, 401, challenge},
        {"/websocket/1", "Sec-WebSocket-Protocol: pushhub\r\n", 401, challenge},
        {"/websocket/1", "Authorization: Basic YTpi\r\n", 401, challenge},
        {"/websocket/1?token=", "", 401, challenge},
        // A wrong one.
        {"/websocket/1", "Authorization: Bearer S3cret\r\n", 401, invalidToken},
        {"/websocket/1?token=S3cret", "", 401, invalidToken},
        {"/websocket/1", "Sec-WebSocket-Protocol: pushhub, bearer.UzNjcmV0\r\n", 401, invalidToken},
        {"/websocket/1", "Cookie: sid=S3cret\r\n" + origin, 401, invalidToken},
        // One that names nobody.
        {"/websocket/1?token=is-", "", 401, invalidToken},
        // Another user's.
        {"/websocket/2", bearer, 403, ""},
        {"/websocket/2?token=is-1", "", 403, ""},
        // A cookie alone, and nothing says who sent it.
        {"/websocket/1", cookie, 403, ""},
        {"/websocket/1", "Cookie: sid=S3cret\r\n", 403, ""},
        {"/websocket/1", cookie + "Origin: https://evil.example\r\n", 403, ""},
        {"/websocket/1", cookie + "Origin: null\r\n", 403, ""},
        // The same token twice is no contradiction, and then the cookie is not alone.
        {"/websocket/1?token=is-1", bearer, 101, ""},
        {"/websocket/1?token=is-1", cookie, 101, ""},
        {"/websocket/1", bearer + cookie, 101, ""},
        {"/websocket/1?token=is-1", bearer + cookie + protocols, 101, ""},
        // Different ones are, even if one of them is worth nothing.
        {"/websocket/1?token=is-2", bearer, 400, invalidRequest},
        {"/websocket/1?token=S3cret", bearer, 400, invalidRequest},
        {"/websocket/1?token=is-2", cookie + origin, 400, invalidRequest},
        {"/websocket/1", bearer + "Cookie: sid=S3cret\r\n", 400, invalidRequest},
        {"/websocket/1?token=S3cret", protocols, 400, invalidRequest},
        {"/websocket/1?token=is-1", bearer + "Cookie: sid=S3cret\r\n", 400, invalidRequest},
        // Malformed, wherever.
        {"/websocket/1", "Authorization: Bearer S3cret x\r\n", 400, invalidRequest},
        {"/websocket/1?token=is-1&token=S3cret", "", 400, invalidRequest},
        {"/websocket/1", bearer + "Sec-WebSocket-Protocol: bearer.UzNjcmV0\r\n", 400,
         invalidRequest},
        {"/websocket/1", bearer + "Cookie: sid=is-1; sid=S3cret\r\n", 400, invalidRequest},
        {"/websocket/1?token=S3cret%00", bearer, 400, invalidRequest},
    };
    for (const Row& row : rows) {
        INFO(row.target << "\n" << row.headers);
        RecordedHub recorded;
        recorded.hub.onHandshake(Authenticator(allSources(), &check, "orders"));
        recorded.started();
        const auto client = connect(recorded, row.target, row.headers);
        CHECK(client->status() == row.status);
        CHECK(headerOf(client->response(), "WWW-Authenticate") == row.challenge);
        CHECK(client->response().find("S3cret") == std::string::npos);
        CHECK(client->response().find("UzNjcmV0") == std::string::npos);
        CHECK(recorded.hub.isOnline("1") == (row.status == 101));
        CHECK(recorded.errors.empty());
    }
}

TEST_CASE("The real subprotocol is answered, whichever token decides", "[auth][authenticator]") {
    struct Row {
        const char* target;
        std::string headers;
        const char* answer;
    };
    const std::vector<Row> rows = {
        {"/websocket/1", "Sec-WebSocket-Protocol: pushhub, bearer.aXMtMQ\r\n", "pushhub"},
        {"/websocket/1", "Sec-WebSocket-Protocol: bearer.aXMtMQ, pushhub\r\n", "pushhub"},
        {"/websocket/1?token=is-1", "Sec-WebSocket-Protocol: pushhub\r\n", "pushhub"},
        {"/websocket/1?token=is-1", "", ""},
    };
    for (const Row& row : rows) {
        INFO(row.headers);
        RecordedHub recorded;
        recorded.hub.onHandshake(Authenticator(allSources(), &check));
        recorded.started();
        const auto client = connect(recorded, row.target, row.headers);
        CHECK(client->status() == 101);
        CHECK(headerOf(client->response(), "Sec-WebSocket-Protocol") == row.answer);
        CHECK(client->response().find("aXMtMQ") == std::string::npos);
    }
}

TEST_CASE("The order of the sources does not matter to who gets in", "[auth][authenticator]") {
    RecordedHub recorded;
    recorded.hub.onHandshake(Authenticator({cookieToken("sid"), queryToken("token")}, &check));
    recorded.started();
    CHECK(connect(recorded, "/websocket/1?token=is-1", "Cookie: sid=is-1\r\n")->status() == 101);
    CHECK(connect(recorded, "/websocket/1?token=is-2", "Cookie: sid=is-1\r\n")->status() == 400);
}

TEST_CASE("Without a realm the challenge has none", "[auth][authenticator]") {
    RecordedHub recorded;
    recorded.hub.onHandshake(Authenticator(allSources(), &check));
    recorded.started();
    const auto none = connect(recorded, "/websocket/1", "");
    CHECK(headerOf(none->response(), "WWW-Authenticate") == "Bearer");
    const auto wrong = connect(recorded, "/websocket/1?token=x", "");
    CHECK(headerOf(wrong->response(), "WWW-Authenticate") == "Bearer error=\"invalid_token\"");
}

TEST_CASE("The identity's data and expiry reach the session", "[auth][authenticator]") {
    RecordedHub recorded;
    recorded.hub.onHandshake(Authenticator({queryToken("token")}, [](const std::string& token) {
        std::optional<Identity> identity = check(token);
        identity->data = std::string("admin");
        identity->expires = std::chrono::system_clock::now() + 1h;
        return identity;
    }));
    std::string role;
    recorded.whenOpened = [&](const pushhub::SessionPtr& session) {
        role = *session->data<std::string>();
    };
    recorded.started();
    const auto client = connect(recorded, "/websocket/1?token=is-1", "");
    CHECK(role == "admin");
    recorded.advance(59min);
    recorded.poll();
    CHECK(client->connected());
    recorded.advance(2min);
    recorded.poll();
    CHECK(client->closeCode() == CloseCode::unauthorized);
    CHECK(recorded.events.back() == "close 1 4401");
}

TEST_CASE("A check may decide later, from any thread, once", "[auth][authenticator]") {
    RecordedHub recorded;
    std::vector<std::pair<std::string, Decision>> asked;
    recorded.hub.onHandshake(Authenticator(allSources(), [&](std::string token, Decision decide) {
        asked.emplace_back(std::move(token), std::move(decide));
    }));
    recorded.started();
    const auto client =
        connect(recorded, "/websocket/1", "Sec-WebSocket-Protocol: pushhub, bearer.aXMtMQ\r\n");
    CHECK(client->status() == 0);
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].first == "is-1");
    const Decision copy = asked[0].second;

    std::error_code first;
    SECTION("in") {
        std::thread([&] { first = asked[0].second(check("is-1")); }).join();
        recorded.poll();
        CHECK(client->status() == 101);
        CHECK(headerOf(client->response(), "Sec-WebSocket-Protocol") == "pushhub");
    }
    SECTION("out") {
        std::thread([&] { first = asked[0].second(std::nullopt); }).join();
        recorded.poll();
        CHECK(client->status() == 401);
    }
    CHECK_FALSE(first);
    const int status = client->status();
    CHECK(copy(check("is-1")) == Errc::handshakeAnswered);
    CHECK(copy(std::nullopt) == Errc::handshakeAnswered);
    recorded.poll();
    CHECK(client->status() == status);
    CHECK(recorded.hub.sessionCount() == (status == 101 ? 1U : 0U));
    CHECK(recorded.errors.empty());
}

TEST_CASE("A decision about a client that has gone changes nothing", "[auth][authenticator]") {
    RecordedHub recorded;
    std::optional<Decision> kept;
    recorded.hub.onHandshake(Authenticator(
        {queryToken("token")}, [&](const std::string&, Decision decide) { kept = decide; }));
    recorded.started();
    const auto client = connect(recorded, "/websocket/1?token=is-1", "");
    client->drop();
    recorded.poll();
    REQUIRE(kept.has_value());
    CHECK((*kept)(check("is-1")) == Errc::handshakeAnswered);
    recorded.poll();
    CHECK(recorded.hub.sessionCount() == 0);
    CHECK(recorded.events.empty());
}

TEST_CASE("A check that throws is a failed hook", "[auth][authenticator]") {
    RecordedHub recorded;
    recorded.hub.onHandshake(
        Authenticator({queryToken("token")}, [](const std::string&) -> std::optional<Identity> {
            throw std::runtime_error("the database is away");
        }));
    recorded.started();
    const auto client = connect(recorded, "/websocket/1?token=S3cret", "");
    CHECK(client->status() == 500);
    CHECK(client->response().find("database") == std::string::npos);
    REQUIRE(recorded.errors.size() == 1);
    CHECK(recorded.errors[0].first == Errc::hookFailed);
    CHECK(recorded.errors[0].second.find("the database is away") != std::string::npos);
    CHECK(recorded.errors[0].second.find("S3cret") == std::string::npos);
}

TEST_CASE("A ticket opens one connection", "[auth][authenticator][ticket]") {
    TicketOffice office;
    RecordedHub recorded;
    recorded.hub.onHandshake(Authenticator({queryToken("ticket")}, ticketCheck(office)));
    recorded.started();
    const std::string target = "/websocket/1?ticket=" + office.issue("1");
    CHECK(connect(recorded, target, "")->status() == 101);
    CHECK(connect(recorded, target, "")->status() == 401);
    CHECK(connect(recorded, "/websocket/2?ticket=" + office.issue("1"), "")->status() == 403);
    CHECK(office.size() == 0);
}

TEST_CASE("The first message can be the token", "[auth][authenticator]") {
    RecordedHub recorded;
    recorded.hub.onFirstMessage(firstMessage(&check));
    recorded.started();
    const auto client = connect(recorded, "/websocket/1", "");
    CHECK(client->status() == 101);
    CHECK(recorded.hub.sessionCount() == 0);

    SECTION("right") {
        client->send("is-1");
        recorded.poll();
        CHECK(recorded.hub.isOnline("1"));
        client->send("hello");
        recorded.poll();
        CHECK(recorded.events == std::vector<std::string>{"open 1", "message 1 hello"});
    }
    SECTION("wrong") {
        for (const char* text : {"S3cret", "", "is-2", "is-1\n", "is-"}) {
            INFO(text);
            const auto other = connect(recorded, "/websocket/1", "");
            other->send(text);
            recorded.poll();
            const bool otherUser = std::string_view(text) == "is-2";
            CHECK(other->closeCode() ==
                  (otherUser ? static_cast<CloseCode>(4403) : CloseCode::unauthorized));
            CHECK(other->closeReason().find("S3cret") == std::string::npos);
        }
        CHECK(recorded.hub.sessionCount() == 0);
        CHECK(recorded.events.empty());
    }
}

TEST_CASE("Wrong arguments of an authenticator are errors", "[auth][authenticator]") {
    CHECK_THROWS_AS(Authenticator({}, &check), std::invalid_argument);
    for (const char* realm : {"a\"b", "a\\b", "a\r\nSet-Cookie: x", "a\tb", "a\x7f"}) {
        INFO(realm);
        CHECK_THROWS_AS(Authenticator({bearerHeader()}, &check, realm), std::invalid_argument);
    }
    CHECK_NOTHROW(Authenticator({bearerHeader()}, &check, "orders, \xc3\xbc"));
}

#include <pushhub/auth/token_sources.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/auth/base64url.hpp>
#include <pushhub/http/request.hpp>
#include "support/catch.hpp"

using pushhub::HttpRequest;
using namespace pushhub::auth;

namespace {

HttpRequest request(const std::string& headers, const std::string& target = "/websocket/1") {
    HttpRequest parsed;
    const auto result =
        HttpRequest::parse("GET " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n", parsed);
    REQUIRE(result.status == pushhub::HttpParseResult::State::complete);
    return parsed;
}

// A search in short: "=TOKEN", "" for none, "!" for malformed.
std::string summary(const TokenSearch& search) {
    if (!search.malformed.empty()) {
        CHECK_FALSE(search.token.has_value());
        return "!";
    }
    return search.token ? "=" + search.token->value : "";
}

struct Row {
    std::string given;
    std::string summary;
};

}  // namespace

TEST_CASE("base64url is encoded and decoded", "[auth][base64url]") {
    const std::vector<Row> rows = {
        // RFC 4648, section 10, and both characters of its own
        {"", ""},
        {"f", "Zg"},
        {"fo", "Zm8"},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg"},
        {"fooba", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "-__-"},
        {"\xff", "_w"},
        {"\xff\xff", "__8"},
        {std::string(3, '\0'), "AAAA"},
    };
    for (const Row& row : rows) {
        INFO(row.summary);
        CHECK(base64UrlEncode(row.given) == row.summary);
        CHECK(base64UrlDecode(row.summary) == row.given);
    }
    std::string all;
    for (int i = 0; i < 256; ++i) {
        all.push_back(static_cast<char>(static_cast<unsigned char>(i)));
        CHECK(base64UrlDecode(base64UrlEncode(all)) == all);
    }
}

TEST_CASE("There is one base64url text for each value", "[auth][base64url]") {
    for (const std::string text : {"Zg==",
                                   "Zm8=",
                                   "Z",
                                   "Zm9vZ",
                                   "Zh",
                                   "Zm9",
                                   "Zv",
                                   "Zm9vYh",
                                   "+/+/",
                                   "Zm 9v",
                                   "Zm9v\n",
                                   "Zm9v ",
                                   " Zm9v",
                                   "Zm9v.",
                                   "=",
                                   "====",
                                   "A===",
                                   "Z\xc3\xbc"
                                   "A",
                                   "_x",
                                   "__9"}) {
        INFO(text);
        CHECK_FALSE(base64UrlDecode(text).has_value());
    }
    CHECK_FALSE(base64UrlDecode(std::string_view("Zm\0v", 4)).has_value());
    // Every text of up to three characters of the alphabet and its neighbours: what decodes,
    // encodes to itself.
    const std::string characters = "Aa09-_+/=BQgw";
    std::size_t decodable = 0;
    for (const char a : characters) {
        for (const char b : characters) {
            for (const char c : characters) {
                for (const std::string& text : {std::string{a, b}, std::string{a, b, c}}) {
                    if (const std::optional<std::string> bytes = base64UrlDecode(text)) {
                        ++decodable;
                        CHECK(base64UrlEncode(*bytes) == text);
                    }
                }
            }
        }
    }
    CHECK(decodable > 0);
}

TEST_CASE("A bearer token is found in the Authorization header", "[auth][token]") {
    const std::vector<Row> rows = {
        {"", ""},
        {"Authorization: Bearer abc\r\n", "=abc"},
        {"authorization: bearer abc\r\n", "=abc"},
        {"AUTHORIZATION: BEARER abc\r\n", "=abc"},
        {"Authorization:Bearer abc  \r\n", "=abc"},
        {"Authorization: Bearer   abc\r\n", "=abc"},
        {"Authorization: Bearer aB0-._~+/==\r\n", "=aB0-._~+/=="},
        {"Authorization: Bearer\r\n abc\r\n", "=abc"},  // folded
        {"Authorization: Bearer\r\n", "!"},
        {"Authorization: Bearer \r\n", "!"},
        {"Authorization: Bearer =\r\n", "!"},
        {"Authorization: Bearer =abc\r\n", "!"},
        {"Authorization: Bearer a=b\r\n", "!"},
        {"Authorization: Bearer abc def\r\n", "!"},
        {"Authorization: Bearer abc, Bearer def\r\n", "!"},
        {"Authorization: Bearer abc,\r\n", "!"},
        {"Authorization: Bearer \"abc\"\r\n", "!"},
        {"Authorization: Bearer a;b\r\n", "!"},
        {"Authorization: Bearer \xc3\xbc\r\n", "!"},
        {"Authorization: Bearer a\tb\r\n", "!"},
        {"Authorization: Bearer token=\"abc\"\r\n", "!"},
        {"Authorization: Bearerabc\r\n", ""},
        {"Authorization: Bearer:abc\r\n", ""},
        {"Authorization: Basic YTpi\r\n", ""},
        {"Authorization: Digest username=\"Bearer abc\"\r\n", ""},
        {"Authorization:\r\n", ""},
        {"Authorization: abc\r\n", ""},
        {"Proxy-Authorization: Bearer abc\r\n", ""},
        {"X-Authorization: Bearer abc\r\n", ""},
        // Two headers: a proxy and a server behind it could disagree about which one counts.
        {"Authorization: Bearer abc\r\nAuthorization: Bearer abc\r\n", "!"},
        {"Authorization: Bearer abc\r\nAuthorization: Bearer def\r\n", "!"},
        {"Authorization: Bearer abc\r\nAuthorization: Basic YTpi\r\n", "!"},
        {"Authorization: Basic YTpi\r\nauthorization: Bearer abc\r\n", "!"},
    };
    for (const Row& row : rows) {
        INFO(row.given);
        const TokenSearch search = bearerHeader()(request(row.given));
        CHECK(summary(search) == row.summary);
        CHECK_FALSE((search.token && search.token->fromCookie));
        CHECK(search.subprotocol.empty());
    }
}

TEST_CASE("A token is found in the query", "[auth][token]") {
    const std::vector<Row> rows = {
        {"/", ""},
        {"/?", ""},
        {"/?token=abc", "=abc"},
        {"/?a=b&token=abc&c=d", "=abc"},
        {"/?token=a%2Bb%3D%3D", "=a+b=="},
        {"/?token=a+b", "=a b"},
        {"/?token=a=b", "=a=b"},
        {"/?%74oken=abc", "=abc"},
        {"/?token=%C3%BC", "=\xc3\xbc"},
        {"/?token=a;b", "=a;b"},
        {"/?token=", ""},
        {"/?token", ""},
        {"/?Token=abc", ""},
        {"/?tokens=abc", ""},
        {"/?xtoken=abc", ""},
        {"/?a=token=abc", ""},
        {"/token=abc", ""},
        {"/?other=%zz&token=abc", "=abc"},
        // What is not decodable, or no text.
        {"/?token=%", "!"},
        {"/?token=%4", "!"},
        {"/?token=%zz", "!"},
        {"/?token=%FF", "!"},
        {"/?token=%C3", "!"},
        {"/?token=%C0%80", "!"},
        {"/?token=%00", "!"},
        {"/?token=a%00b", "!"},
        {"/?token=a%0D%0ASet-Cookie:x", "!"},
        {"/?token=a%09b", "!"},
        {"/?token=a%7Fb", "!"},
        // Twice.
        {"/?token=abc&token=abc", "!"},
        {"/?token=abc&token=def", "!"},
        {"/?token=abc&%74oken=def", "!"},
        {"/?token=abc&token=", "!"},
        {"/?token=&token=abc", "!"},
        {"/?token&token=abc", "!"},
        {"/?token=%zz&token=abc", "!"},
    };
    const TokenSource source = queryToken("token");
    for (const Row& row : rows) {
        INFO(row.given);
        const TokenSearch search = source(request("", row.given));
        CHECK(summary(search) == row.summary);
        CHECK_FALSE((search.token && search.token->fromCookie));
    }
    CHECK(summary(queryToken("a b")(request("", "/?a+b=1"))) == "=1");
    CHECK_THROWS_AS(queryToken(""), std::invalid_argument);
}

TEST_CASE("A token is found in a cookie", "[auth][token]") {
    const std::vector<Row> rows = {
        {"", ""},
        {"Cookie: sid=abc\r\n", "=abc"},
        {"Cookie: a=b; sid=abc; c=d\r\n", "=abc"},
        {"cookie: sid=\"abc\"\r\n", "=abc"},
        {"Cookie: sid=a%20b\r\n", "=a%20b"},
        {"Cookie: sid=a=b==\r\n", "=a=b=="},
        {"Cookie: sid=\xc3\xbc\r\n", "=\xc3\xbc"},
        {"Cookie: a=b\r\nCookie: sid=abc\r\n", "=abc"},
        {"Cookie: sid=\"abc\r\n", "=\"abc"},
        {"Cookie: sid=\r\n", ""},
        {"Cookie: sid=\"\"\r\n", ""},
        {"Cookie: sid\r\n", ""},
        {"Cookie: SID=abc\r\n", ""},
        {"Cookie: xsid=abc; sidx=abc\r\n", ""},
        {"Cookie: a=\"b; sid=abc\"\r\n", "=abc\""},  // quotes hold nothing together
        {"Set-Cookie: sid=abc\r\n", ""},
        {"Cookie2: sid=abc\r\n", ""},
        {"Cookie: sid=\xff\r\n", "!"},
        {"Cookie: sid=a\tb\r\n", "!"},
        // Several of the name: only if they agree.
        {"Cookie: sid=abc; sid=abc\r\n", "=abc"},
        {"Cookie: sid=abc; sid=\"abc\"\r\n", "=abc"},
        {"Cookie: sid=abc; sid=\r\n", "=abc"},
        {"Cookie: sid=; sid=abc\r\n", "=abc"},
        {"Cookie: sid=abc\r\nCookie: sid=abc\r\n", "=abc"},
        {"Cookie: sid=abc; sid=def\r\n", "!"},
        {"Cookie: sid=abc; sid=def; sid=abc\r\n", "!"},
        {"Cookie: sid=abc\r\nCookie: sid=def\r\n", "!"},
        {"Cookie: sid=abc; a=b; sid=\"def\"\r\n", "!"},
    };
    const TokenSource source = cookieToken("sid");
    for (const Row& row : rows) {
        INFO(row.given);
        const TokenSearch search = source(request(row.given));
        CHECK(summary(search) == row.summary);
        CHECK((!search.token || search.token->fromCookie));
    }
    CHECK(summary(cookieToken("__Host-sid")(request("Cookie: __Host-sid=1\r\n"))) == "=1");
    for (const char* name : {"", "a b", "a;b", "a=b", "\xc3\xbc"}) {
        INFO(name);
        CHECK_THROWS_AS(cookieToken(name), std::invalid_argument);
    }
}

TEST_CASE("A token is found among the subprotocols", "[auth][token]") {
    struct SubprotocolRow {
        const char* offered;
        const char* summary;
        const char* answer;
    };
    const std::vector<SubprotocolRow> rows = {
        {"", "", ""},
        {"pushhub", "", "pushhub"},
        {"other", "", ""},
        {"pushhub, bearer.YWJj", "=abc", "pushhub"},
        {"bearer.YWJj, pushhub", "=abc", "pushhub"},
        {"bearer.YWJj,pushhub", "=abc", "pushhub"},
        {"v2.pushhub, pushhub, bearer.YWJj, x", "=abc", "pushhub"},
        {"pushhub,bearer.w7w", "=\xc3\xbc", "pushhub"},
        {"pushhub, bearer.Pj4_Pz8-", "=>>\?\?\?>", "pushhub"},
        {"pushhub, bearer", "", "pushhub"},
        {"pushhub, Bearer.YWJj", "", "pushhub"},
        {"pushhub, xbearer.YWJj", "", "pushhub"},
        {"Pushhub, other", "", ""},
        // Nothing that could be answered, so browsers would give up.
        {"bearer.YWJj", "!", ""},
        {"Pushhub, bearer.YWJj", "!", ""},
        {"pushhub2, bearer.YWJj", "!", ""},
        // Several.
        {"pushhub, bearer.YWJj, bearer.ZGVm", "!", ""},
        {"pushhub, bearer.YWJj, bearer.YWJj", "!", ""},
        // Not base64url, or not a text.
        {"pushhub, bearer.", "!", ""},
        {"pushhub, bearer.YWJ", "!", ""},
        {"pushhub, bearer.YWJjZ", "!", ""},
        {"pushhub, bearer.YWI=", "!", ""},
        {"pushhub, bearer.Pj4/Pz8+", "!", ""},
        {"pushhub, bearer.YW.Jj", "!", ""},
        {"pushhub, bearer._w", "!", ""},      // not UTF-8
        {"pushhub, bearer.YQBi", "!", ""},    // NUL
        {"pushhub, bearer.YQ0KYg", "!", ""},  // CR LF
    };
    const TokenSource source = subprotocolToken("pushhub");
    for (const SubprotocolRow& row : rows) {
        INFO(row.offered);
        const std::string header =
            *row.offered ? "Sec-WebSocket-Protocol: " + std::string(row.offered) + "\r\n" : "";
        const TokenSearch search = source(request(header));
        CHECK(summary(search) == row.summary);
        CHECK(search.subprotocol == row.answer);
        CHECK_FALSE((search.token && search.token->fromCookie));
    }
    const TokenSearch spread = source(
        request("Sec-WebSocket-Protocol: pushhub\r\nSec-WebSocket-Protocol: bearer.YWJj\r\n"));
    CHECK(summary(spread) == "=abc");
    CHECK(spread.subprotocol == "pushhub");
    for (const char* name : {"", "a b", "a,b", "bearer.x", "\xc3\xbc"}) {
        INFO(name);
        CHECK_THROWS_AS(subprotocolToken(name), std::invalid_argument);
    }
}

TEST_CASE("What is malformed is told without what the client sent", "[auth][token]") {
    const std::string secret = "S3cret";
    const std::vector<TokenSearch> searches = {
        bearerHeader()(request("Authorization: Bearer " + secret + " x\r\n")),
        queryToken("t")(request("", "/?t=" + secret + "&t=" + secret)),
        cookieToken("t")(request("Cookie: t=" + secret + "; t=x" + secret + "\r\n")),
        subprotocolToken("p")(request("Sec-WebSocket-Protocol: bearer." + secret + "\r\n")),
    };
    for (const TokenSearch& search : searches) {
        REQUIRE_FALSE(search.malformed.empty());
        CHECK(search.malformed.find(secret) == std::string::npos);
    }
}

#include <pushhub/http/request.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::HttpLimits;
using pushhub::HttpParseResult;
using pushhub::HttpRequest;
using Status = HttpParseResult::State;

namespace {

HttpRequest parsed(const std::string& head) {
    HttpRequest request;
    const HttpParseResult result = HttpRequest::parse(head, request);
    INFO(head);
    INFO(result.reason);
    REQUIRE(result.status == Status::complete);
    REQUIRE(result.consumed == head.size());
    return request;
}

HttpRequest withHeaders(const std::string& lines) {
    return parsed("GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n");
}

HttpRequest withTarget(const std::string& target) {
    return parsed("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs headersOf(const HttpRequest& request) {
    Pairs headers;
    request.forEachHeader(
        [&](std::string_view name, std::string_view value) { headers.emplace_back(name, value); });
    return headers;
}

}  // namespace

static_assert(sizeof(HttpRequest) == sizeof(void*), "a session keeps one of these");
static_assert(std::is_nothrow_move_constructible<HttpRequest>::value, "");
static_assert(std::is_nothrow_move_assignable<HttpRequest>::value, "");

TEST_CASE("The parts of a request are readable", "[http][request]") {
    const HttpRequest request = parsed(
        "GET //websocket/00%302?token=a%20b&x HTTP/1.1\r\n"
        "Host: example.com:8081\r\n"
        "Origin: https://example.com\r\n"
        "X-Thing:  one \r\n"
        "x-thing:two\r\n"
        "\r\n");
    CHECK(request.method() == "GET");
    CHECK(request.target() == "//websocket/00%302?token=a%20b&x");
    CHECK(request.path() == "//websocket/00%302");
    CHECK(request.rawQuery() == "token=a%20b&x");
    CHECK(request.version() == "HTTP/1.1");
    CHECK(request.origin() == "https://example.com");
    CHECK(request.header("X-Thing") == "one");
    CHECK(request.header("X-THING") == "one");
    CHECK(request.header("x-thing") == "one");
    CHECK(request.header("X-Thin").empty());
    CHECK(request.header("X-Thing2").empty());
    CHECK(request.header("").empty());
    CHECK(request.headerCount("x-Thing") == 2);
    CHECK(request.headerCount("Cookie") == 0);
    CHECK(request.headerValues("X-thing") == std::vector<std::string_view>{"one", "two"});
    CHECK(request.headerValues("Cookie").empty());
    CHECK(headersOf(request) == Pairs{{"Host", "example.com:8081"},
                                      {"Origin", "https://example.com"},
                                      {"X-Thing", "one"},
                                      {"x-thing", "two"}});
    CHECK_FALSE(request.hasBody());
}

TEST_CASE("An empty request answers everything with nothing", "[http][request]") {
    const HttpRequest request;
    CHECK(request.method().empty());
    CHECK(request.target().empty());
    CHECK(request.path().empty());
    CHECK(request.rawQuery().empty());
    CHECK(request.version().empty());
    CHECK(request.header("Host").empty());
    CHECK(request.headerCount("Host") == 0);
    CHECK_FALSE(request.hasToken("Connection", "upgrade"));
    CHECK_FALSE(request.query("a").has_value());
    CHECK_FALSE(request.cookie("a").has_value());
    CHECK(request.subprotocols().empty());
    CHECK(headersOf(request).empty());
    CHECK_FALSE(request.hasBody());
    CHECK(request.memoryUsage() == sizeof request);
}

TEST_CASE("Any minor version of HTTP/1 is read, and told", "[http][request]") {
    for (const char minor : std::string("0123456789")) {
        const std::string version = std::string("HTTP/1.") + minor;
        const HttpRequest request = parsed("GET /a " + version + "\r\nHost: b\r\n\r\n");
        CHECK(request.version() == version);
        CHECK(request.header("Host") == "b");
        CHECK_FALSE(request.hasBody());
    }
    CHECK(parsed("GET / HTTP/1.0\r\n\r\n").headerCount("Host") == 0);
    const auto status = [](const std::string& head) {
        HttpRequest request;
        return HttpRequest::parse(head, request).httpStatus;
    };
    CHECK(status("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.0\r\nHost: a b\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.2\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/0.9\r\nHost: a\r\n\r\n") == 505);
    CHECK(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
    CHECK(status("GET / HTTP/1.10\r\nHost: a\r\n\r\n") == 400);
}

TEST_CASE("A body is kept behind the head", "[http][request]") {
    HttpRequest request =
        parsed("PUT /a?b HTTP/1.1\r\nHost: c\r\nContent-Length: 9\r\nX: y\r\n\r\n");
    const std::size_t before = request.memoryUsage();
    CHECK(request.body().empty());
    request.setBody(std::string("body\0body", 9));
    CHECK(request.body() == std::string("body\0body", 9));
    CHECK(request.memoryUsage() == before + sizeof(std::size_t) + 9);
    CHECK(request.method() == "PUT");
    CHECK(request.target() == "/a?b");
    CHECK(request.version() == "HTTP/1.1");
    CHECK(request.header("X") == "y");
    const HttpRequest moved = std::move(request);
    CHECK(moved.body().size() == 9);
    CHECK(HttpRequest().body().empty());
    HttpRequest large = parsed("PUT / HTTP/1.1\r\nHost: c\r\n\r\n");
    large.setBody(std::string(100000, 'x'));
    CHECK(large.body() == std::string(100000, 'x'));
}

TEST_CASE("Moving a request keeps its views valid", "[http][request]") {
    HttpRequest first = withHeaders("X-A: b\r\n");
    const std::string_view value = first.header("X-A");
    HttpRequest second = std::move(first);
    CHECK(value == "b");
    CHECK(second.header("X-A").data() == value.data());
    HttpRequest third;
    third = std::move(second);
    CHECK(third.header("X-A").data() == value.data());
}

TEST_CASE("The output is written only when the head is complete", "[http][request]") {
    HttpRequest request = withTarget("/first");
    CHECK(HttpRequest::parse("GET /second HTTP/1.1\r\nHost: a\r\n", request).status ==
          Status::incomplete);
    CHECK(request.target() == "/first");
    CHECK(HttpRequest::parse("GET /second HTTP/1.1\r\n\r\n", request).status == Status::invalid);
    CHECK(request.target() == "/first");
    CHECK(HttpRequest::parse("GET /second HTTP/1.1\r\nHost: a\r\n\r\n", request).status ==
          Status::complete);
    CHECK(request.target() == "/second");
}

TEST_CASE("A request takes no more memory than it took on the wire", "[http][request]") {
    const std::vector<std::string> heads = {
        "GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        "G / HTTP/1.1\r\nHost:a\r\na:\r\nb:\r\nc:\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET /websocket/0002 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a\r\na:b\r\n c\r\n\td\r\n\r\n",
    };
    for (const std::string& head : heads) {
        INFO(head);
        const HttpRequest request = parsed(head);
        CHECK(request.memoryUsage() <= sizeof request + head.size());
        CHECK(request.memoryUsage() > sizeof request);
    }
}

TEST_CASE("The absolute form of the target is reduced to path and query", "[http][request]") {
    CHECK(withTarget("http://example.com/a/b?c=d").target() == "/a/b?c=d");
    CHECK(withTarget("ws://example.com:8081//a").target() == "//a");
    CHECK(withTarget("WSS://[::1]:1/").target() == "/");
    CHECK(withTarget("https://example.com").target() == "/");
    const HttpRequest onlyQuery = withTarget("https://example.com?c=d");
    CHECK(onlyQuery.target() == "/?c=d");
    CHECK(onlyQuery.path() == "/");
    CHECK(onlyQuery.query("c") == std::string("d"));
    CHECK(withTarget("/http://example.com/").path() == "/http://example.com/");
    const HttpRequest asterisk = parsed("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(asterisk.path() == "*");
}

TEST_CASE("Path and query are told apart", "[http][request]") {
    CHECK(withTarget("/a").rawQuery().empty());
    CHECK(withTarget("/a?").rawQuery().empty());
    CHECK(withTarget("/a?").path() == "/a");
    CHECK(withTarget("/a?b?c").rawQuery() == "b?c");
    CHECK(withTarget("/?").path() == "/");
}

TEST_CASE("Header values come without whitespace around them", "[http][request]") {
    CHECK(withHeaders("X-A:b\r\n").header("X-A") == "b");
    CHECK(withHeaders("X-A: \t b\t\t \r\n").header("X-A") == "b");
    CHECK(withHeaders("X-A: b  c\r\n").header("X-A") == "b  c");
    CHECK(withHeaders("X-A:\r\n").headerCount("X-A") == 1);
    CHECK(withHeaders("X-A: \t\r\n").headerValues("X-A") == std::vector<std::string_view>{""});
    CHECK(withHeaders("X-A: : :\r\n").header("X-A") == ": :");
}

TEST_CASE("Folded lines are joined with one space", "[http][request]") {
    CHECK(withHeaders("X-A: b\r\n c\r\n").header("X-A") == "b c");
    CHECK(withHeaders("X-A: b \t\r\n\t \tc \r\n d\r\n").header("X-A") == "b c d");
    CHECK(withHeaders("X-A:\r\n b\r\n").header("X-A") == "b");
    CHECK(withHeaders("X-A: b\r\n \r\n c\r\n").header("X-A") == "b c");
    const HttpRequest request = withHeaders("X-A: b\r\n X-C: d\r\nX-E: f\r\n");
    CHECK(headersOf(request) == Pairs{{"Host", "a"}, {"X-A", "b X-C: d"}, {"X-E", "f"}});
}

TEST_CASE("Tokens are found in lists, whole and in any case", "[http][request]") {
    const HttpRequest request =
        withHeaders("Connection: keep-alive ,\tUpGrade\r\nX-A: b\r\nconnection:,last\r\n");
    CHECK(request.hasToken("Connection", "upgrade"));
    CHECK(request.hasToken("CONNECTION", "keep-alive"));
    CHECK(request.hasToken("Connection", "LAST"));
    CHECK_FALSE(request.hasToken("Connection", "keep"));
    CHECK_FALSE(request.hasToken("Connection", "grade"));
    CHECK_FALSE(request.hasToken("Connection", "b"));
    CHECK_FALSE(request.hasToken("Connection", ""));
    CHECK_FALSE(request.hasToken("X-B", "b"));
}

TEST_CASE("Subprotocols come in order over all headers", "[http][request]") {
    const HttpRequest request = withHeaders(
        "Sec-WebSocket-Protocol: chat, superchat\r\nsec-websocket-protocol: ,v1.json,\r\n");
    CHECK(request.subprotocols() == std::vector<std::string_view>{"chat", "superchat", "v1.json"});
    CHECK(withHeaders("").subprotocols().empty());
    CHECK(withHeaders("Sec-WebSocket-Protocol: \r\n").subprotocols().empty());
}

TEST_CASE("Query parameters and cookies are looked up in the request", "[http][request]") {
    const HttpRequest request = parsed(
        "GET /a?token=x%2By+z&token=second&bad=%zz HTTP/1.1\r\nHost: a\r\n"
        "Cookie: sid=abc; theme=\"dark\"\r\nCookie: sid=later; late=1\r\n\r\n");
    CHECK(request.query("token") == std::string("x+y z"));
    CHECK_FALSE(request.query("bad").has_value());
    CHECK_FALSE(request.query("none").has_value());
    CHECK(request.cookie("sid") == std::string("abc"));
    CHECK(request.cookie("theme") == std::string("dark"));
    CHECK(request.cookie("late") == std::string("1"));
    CHECK_FALSE(request.cookie("SID").has_value());
}

TEST_CASE("A body that is declared is reported for methods that may have one", "[http][request]") {
    const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
    CHECK(parsed(post + "Content-Length: 3\r\n\r\n").hasBody());
    CHECK(parsed(post + "Transfer-Encoding: chunked\r\n\r\n").hasBody());
    CHECK_FALSE(parsed(post + "Content-Length: 0\r\n\r\n").hasBody());
    CHECK_FALSE(parsed(post + "\r\n").hasBody());
    const auto status = [](const std::string& head) {
        HttpRequest request;
        return HttpRequest::parse(head, request).httpStatus;
    };
    CHECK(status(post + "Transfer-Encoding: gzip, chunked\r\n\r\n") == 501);
    CHECK(status(post + "Transfer-Encoding: chunked, chunked\r\n\r\n") == 501);
    CHECK(status(post + "Transfer-Encoding: xchunked\r\n\r\n") == 501);
    CHECK(status(post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n") == 501);
    CHECK(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
    HttpRequest head;
    const HttpParseResult result =
        HttpRequest::parse("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", head);
    CHECK(result.httpStatus == 413);
}

TEST_CASE("Requests that follow one another are told apart", "[http][request]") {
    const std::string both =
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    HttpRequest request;
    const HttpParseResult first = HttpRequest::parse(both, request);
    REQUIRE(first.status == Status::complete);
    CHECK(request.target() == "/1");
    const std::string rest = both.substr(first.consumed);
    const HttpParseResult second = HttpRequest::parse(rest, request);
    REQUIRE(second.status == Status::complete);
    CHECK(second.consumed == rest.size());
    CHECK(request.target() == "/2");
}

TEST_CASE("Nothing and an empty line are incomplete", "[http][request]") {
    HttpRequest request;
    for (const char* const bytes : {"", "\r", "\r\n", "G", "\r\nG", "GET / HTTP/1.1\r\n"}) {
        INFO(bytes);
        const HttpParseResult result = HttpRequest::parse(bytes, request);
        CHECK(result.status == Status::incomplete);
        CHECK(result.consumed == 0);
        CHECK(result.httpStatus == 0);
    }
}

TEST_CASE("What can never become a request is refused before it ends", "[http][request]") {
    HttpRequest request;
    const auto early = [&](const std::string& bytes) {
        const HttpParseResult result = HttpRequest::parse(bytes, request);
        CHECK(result.status == Status::invalid);
        return result.httpStatus;
    };
    CHECK(early("\x16") == 400);
    CHECK(HttpRequest::parse("\x16\x03\x01", request).reason ==
          std::string("TLS on a port without TLS"));
    CHECK(early("\n") == 400);
    CHECK(early("\rG") == 400);
    CHECK(early("\r\n\r") == 400);
    CHECK(early("GET / HTTP/1.1\n") == 400);
    CHECK(early("GET / HTTP/1.1\r\nHost: a\n") == 400);
    CHECK(early("GET /" + std::string(8 * 1024 + 64, 'a')) == 414);
    CHECK(early(std::string(8 * 1024 + 65, 'a')) == 501);
    CHECK(early("GET / HTTP/1.1\r\nX: " + std::string(16 * 1024, 'a')) == 431);
}

TEST_CASE("The limits hold exactly", "[http][request]") {
    HttpRequest request;
    const auto status = [&](const std::string& head, const HttpLimits& limits) {
        const HttpParseResult result = HttpRequest::parse(head, request, limits);
        CHECK(result.status != Status::incomplete);
        return result.status == Status::complete ? 200 : result.httpStatus;
    };
    const std::string head = "GET /1234 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n";
    HttpLimits limits;

    limits.maxHeadBytes = head.size();
    CHECK(status(head, limits) == 200);
    CHECK(status("\r\n" + head, limits) == 200);
    CHECK(status(head + "more", limits) == 200);
    limits.maxHeadBytes = head.size() - 1;
    CHECK(status(head, limits) == 431);

    limits = {};
    limits.maxHeaders = 2;
    CHECK(status(head, limits) == 200);
    limits.maxHeaders = 1;
    CHECK(status(head, limits) == 431);

    limits = {};
    limits.maxTargetBytes = 5;
    CHECK(status(head, limits) == 200);
    limits.maxTargetBytes = 4;
    CHECK(status(head, limits) == 414);
    limits.maxTargetBytes = 0;
    CHECK(status(head, limits) == 414);

    // The whole request line counts as too long only where its target does.
    limits = {};
    limits.maxTargetBytes = 100;
    const std::string rest = " HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string method(32, 'M');
    CHECK(status(method + " /" + std::string(99, 'a') + rest, limits) == 200);
    CHECK(status(method + " /" + std::string(100, 'a') + rest, limits) == 414);
    CHECK(status("GET /" + std::string(10000, 'a') + rest, limits) == 414);
    CHECK(status(std::string(33, 'M') + " /" + rest, limits) == 501);
}

TEST_CASE("Limits beyond 64 KiB count as 65535", "[http][request]") {
    HttpLimits limits;
    limits.maxHeadBytes = 1024 * 1024;
    limits.maxHeaders = 1000000;
    limits.maxTargetBytes = 1024 * 1024;
    const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    HttpRequest request;
    const std::string fits = start + std::string(65535 - start.size() - 4, 'v') + "\r\n\r\n";
    REQUIRE(HttpRequest::parse(fits, request, limits).status == Status::complete);
    CHECK(request.header("X").size() == 65535 - start.size() - 4);
    const std::string tooLong = start + std::string(65536 - start.size() - 4, 'v') + "\r\n\r\n";
    CHECK(HttpRequest::parse(tooLong, request, limits).httpStatus == 431);

    std::string many = "GET / HTTP/1.1\r\nHost:a\r\n";
    while (many.size() < 65530) {
        many += "a:\r\n";
    }
    many.resize(many.size() - (many.size() % 4 == 0 ? 4 : many.size() % 4));
    many = many.substr(0, many.rfind("\r\n") + 2) + "\r\n";
    REQUIRE(HttpRequest::parse(many, request, limits).status == Status::complete);
    CHECK(request.headerCount("a") > 16000);

    const std::string longTarget =
        "GET /" + std::string(65000, 't') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    REQUIRE(HttpRequest::parse(longTarget, request, limits).status == Status::complete);
    CHECK(request.path().size() == 65001);
}

TEST_CASE("Bytes that were scanned are not scanned again", "[http][request]") {
    // A client that sends its head byte by byte must not cost a scan of the whole per byte. The
    // line end hidden in the scanned part shows whether it was looked at.
    std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nX-A: bcdefgh";
    HttpRequest request;
    REQUIRE(HttpRequest::parse(bytes, request).status == Status::incomplete);
    const std::size_t scanned = bytes.size();
    bytes[bytes.find("bcd")] = '\n';
    bytes += "more";
    CHECK(HttpRequest::parse(bytes, request, {}, scanned).status == Status::incomplete);
    CHECK(HttpRequest::parse(bytes, request, {}, 0).status == Status::invalid);
}

TEST_CASE("A large head is complete with its last byte, sent byte by byte", "[http][request]") {
    std::string head = "GET /" + std::string(8000, 't') + " HTTP/1.1\r\nHost: a\r\n";
    while (head.size() < 16000) {
        head += "X-" + std::to_string(head.size()) + ": " + std::string(100, 'v') + "\r\n";
    }
    head += "\r\n";
    HttpRequest request;
    std::size_t incomplete = 0;
    for (std::size_t length = 0; length < head.size(); ++length) {
        const HttpParseResult result =
            HttpRequest::parse({head.data(), length}, request, {}, length == 0 ? 0 : length - 1);
        incomplete += result.status == Status::incomplete ? 1 : 0;
    }
    CHECK(incomplete == head.size());
    CHECK(HttpRequest::parse(head, request, {}, head.size() - 1).status == Status::complete);
    CHECK(request.path().size() == 8001);
}

TEST_CASE("No control character but the tab gets into a value, wherever it stands",
          "[http][request]") {
    for (int c = 0; c < 256; ++c) {
        for (std::size_t at = 0; at < 20; ++at) {
            std::string value(20, 'v');
            value[at] = static_cast<char>(c);
            // Trimmed at the ends, it would be no part of the value.
            const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX-A: |" + value + "|\r\n\r\n";
            HttpRequest request;
            const HttpParseResult result = HttpRequest::parse(head, request);
            const bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
            INFO("character " << c << " at " << at);
            CHECK(result.status == (good ? Status::complete : Status::invalid));
            if (good) {
                CHECK(request.header("X-A") == "|" + value + "|");
            }
        }
    }
}

TEST_CASE("Only token characters get into a header name", "[http][request]") {
    const std::string_view others = "\"(),/:;<=>?@[\\]{} \t\r\n";
    for (int c = 0; c < 256; ++c) {
        const std::string name = std::string("X") + static_cast<char>(c) + "Y";
        HttpRequest request;
        const HttpParseResult result =
            HttpRequest::parse("GET / HTTP/1.1\r\nHost: a\r\n" + name + ":b\r\n\r\n", request);
        const bool token =
            c > 0x20 && c < 0x7f && others.find(static_cast<char>(c)) == std::string_view::npos;
        INFO("character " << c);
        if (c == ':') {
            CHECK(request.header("X") == "Y:b");
        } else {
            CHECK(result.status == (token ? Status::complete : Status::invalid));
        }
    }
}

TEST_CASE("Only visible ASCII without '#' gets into a target", "[http][request]") {
    for (int c = 0; c < 256; ++c) {
        HttpRequest request;
        const HttpParseResult result = HttpRequest::parse(
            std::string("GET /a") + static_cast<char>(c) + "b HTTP/1.1\r\nHost: a\r\n\r\n",
            request);
        INFO("character " << c);
        CHECK(result.status ==
              (c > 0x20 && c < 0x7f && c != '#' ? Status::complete : Status::invalid));
    }
}

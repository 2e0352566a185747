#include <pushhub/http/response.hpp>

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::HttpResponse;
using pushhub::isReservedHeader;
using pushhub::isValidHeader;
using pushhub::reasonPhrase;
using pushhub::serialize;
using pushhub::whyNotSendable;

namespace {

HttpResponse response(int status, std::string body,
                      std::vector<std::pair<std::string, std::string>> headers = {}) {
    HttpResponse result;
    result.status = status;
    result.body = std::move(body);
    result.headers = std::move(headers);
    return result;
}

}  // namespace

TEST_CASE("A response has the bytes of RFC 9112", "[http][response]") {
    CHECK(serialize(response(200, "hello"), false, true) ==
          "HTTP/1.1 200 OK\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n"
          "Content-Length: 5\r\n"
          "\r\n"
          "hello");
    CHECK(serialize(response(503, "", {{"Retry-After", "5"}}), false, false) ==
          "HTTP/1.1 503 Service Unavailable\r\n"
          "Retry-After: 5\r\n"
          "Content-Length: 0\r\n"
          "Connection: close\r\n"
          "\r\n");
}

TEST_CASE("The answer to HEAD is that to GET without the body", "[http][response]") {
    const HttpResponse page = response(200, std::string(1234, 'x'));
    const std::string get = serialize(page, false, true);
    const std::string head = serialize(page, true, true);
    CHECK(get == head + page.body);
    CHECK(head.find("Content-Length: 1234\r\n") != std::string::npos);
}

TEST_CASE("Statuses without a body have none", "[http][response]") {
    for (const int status : {204, 304}) {
        const std::string bytes = serialize(response(status, "body"), false, true);
        INFO(bytes);
        CHECK(bytes.find("Content-Length") == std::string::npos);
        CHECK(bytes.find("Content-Type") == std::string::npos);
        CHECK(bytes.substr(bytes.size() - 4) == "\r\n\r\n");
    }
}

TEST_CASE("205 says that it has no body", "[http][response]") {
    CHECK(serialize(response(205, "body"), false, true) ==
          "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("A date is sent once, and the host's takes precedence", "[http][response]") {
    const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
    CHECK(serialize(response(204, ""), false, true, date) ==
          "HTTP/1.1 204 No Content\r\nDate: " + date + "\r\n\r\n");
    CHECK(serialize(response(204, "", {{"date", "now"}}), false, true, date) ==
          "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n");
}

TEST_CASE("What cannot be sent of a response is named", "[http][response]") {
    CHECK(whyNotSendable(response(200, "\xff", {{"X-A", "b"}})).empty());
    CHECK(whyNotSendable(response(200, "", {{"X A", "b"}})).find("\"X A\"") != std::string::npos);
    CHECK(whyNotSendable(response(200, "", {{"X-A", "b\n"}})).find("X-A") != std::string::npos);
    CHECK(whyNotSendable(response(99, "")).find("status is 99,") != std::string::npos);
    HttpResponse type = response(200, "b");
    type.contentType = "a\r\nb";
    CHECK(whyNotSendable(type).find("content type") != std::string::npos);
}

TEST_CASE("A status that cannot be one is sent as 500", "[http][response]") {
    for (const int status : {-1, 0, 100, 101, 199, 600, 1000}) {
        CHECK(serialize(response(status, ""), false, true).substr(0, 13) == "HTTP/1.1 500 ");
    }
    CHECK(serialize(response(599, ""), false, true).substr(0, 13) == "HTTP/1.1 599 ");
}

TEST_CASE("A response cannot be split", "[http][response]") {
    const std::string plain = serialize(response(200, "b"), false, true);
    const std::vector<std::pair<std::string, std::string>> bad = {
        {"X-A", "b\r\nX-B: c"},
        {"X-A", "b\r\n\r\n<script>"},
        {"X-A", "b\n"},
        {"X-A", "\r"},
        {"X-A", std::string(1, '\0')},
        {"X-A", "a long value with ESC \x1b in it"},
        {"X-A\r\nX-B", "c"},
        {"X-A: b\r\nX-B", "c"},
        {"X A", "b"},
        {"X-A:", "b"},
        {"X-\xc3\xbc", "b"},
        {"", "b"},
    };
    for (const auto& [name, value] : bad) {
        CHECK_FALSE(isValidHeader(name, value));
    }
    CHECK(serialize(response(200, "b", bad), false, true) == plain);

    HttpResponse split = response(200, "b");
    split.contentType = "text/html\r\nX-B: c";
    CHECK(serialize(split, false, true) == "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
}

TEST_CASE("Good headers are valid", "[http][response]") {
    CHECK(isValidHeader("X-A", ""));
    CHECK(isValidHeader("X-A", "b c\td"));
    CHECK(isValidHeader("Set-Cookie", "a=b; Path=/; HttpOnly"));
    CHECK(isValidHeader("X-Name", "J\xc3\xbcrgen"));
    CHECK(isValidHeader("WWW-Authenticate", "Bearer realm=\"push\", error=\"invalid_token\""));
}

TEST_CASE("The host's headers cannot contradict the framing", "[http][response]") {
    for (const char* const name :
         {"Content-Length", "content-length", "Transfer-Encoding", "CONNECTION"}) {
        CHECK(isReservedHeader(name));
    }
    CHECK_FALSE(isReservedHeader("Content-Type"));
    const std::string bytes = serialize(response(200, "hello",
                                                 {{"content-length", "3"},
                                                  {"Transfer-Encoding", "chunked"},
                                                  {"connection", "keep-alive"}}),
                                        false, false);
    CHECK(bytes == serialize(response(200, "hello"), false, false));
}

TEST_CASE("A Content-Type among the headers takes precedence", "[http][response]") {
    const std::string bytes =
        serialize(response(200, "{}", {{"content-type", "application/json"}}), false, true);
    CHECK(bytes ==
          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

TEST_CASE("Whoever sends Upgrade lists it in Connection", "[http][response]") {
    const HttpResponse upgrade =
        response(426, "", {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}});
    CHECK(serialize(upgrade, false, false) ==
          "HTTP/1.1 426 Upgrade Required\r\n"
          "Upgrade: websocket\r\n"
          "Sec-WebSocket-Version: 13\r\n"
          "Content-Length: 0\r\n"
          "Connection: Upgrade, close\r\n"
          "\r\n");
    CHECK(serialize(upgrade, false, true).find("\r\nConnection: Upgrade\r\n") != std::string::npos);
}

TEST_CASE("Each status that the library answers with has a phrase", "[http][response]") {
    for (const int status : {101, 200, 400, 401, 403, 404, 405, 408, 409, 413, 414, 426, 429, 431,
                             500, 501, 503, 505}) {
        INFO(status);
        CHECK(reasonPhrase(status) != std::string("Unknown"));
    }
    CHECK(reasonPhrase(418) == std::string("Unknown"));
    CHECK(reasonPhrase(426) == std::string("Upgrade Required"));
}

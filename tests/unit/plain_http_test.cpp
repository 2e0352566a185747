// Plain HTTP on the hub's port: what onHttp gets, and what the client gets.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

#include "support/catch.hpp"
#include "support/connection_archetype.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using namespace std::chrono_literals;
using pushhub::test::bodyOf;
using pushhub::test::RecordedHub;
using ClientPtr = RecordedHub::ClientPtr;
using Strings = std::vector<std::string>;

namespace {

using Answer = std::optional<HttpResponse>;

std::string head(const std::string& line, const std::string& headers = {}) {
    return line + "\r\nHost: here\r\n" + headers + "\r\n";
}

/// A hub in memory with a hook for plain HTTP.
class HttpHub {
public:
    explicit HttpHub(std::function<Answer(const HttpRequest&)> hook, const Options& options = {})
        : recorded_(options) {
        recorded_.hub.onHttp(std::move(hook));
        recorded_.hub.start();
    }

    ClientPtr send(const std::string& bytes, std::size_t step = 100000) {
        auto client = recorded_.hub.transport().connectRaw();
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            client->sendBytes(bytes.substr(at, step));
            poll();
        }
        return client;
    }
    int status(const std::string& bytes) { return send(bytes)->status(); }

    void poll() { recorded_.poll(); }
    void advance(std::chrono::milliseconds time) { recorded_.advance(time); }
    RecordedHub& recorded() { return recorded_; }

private:
    RecordedHub recorded_;
};

Answer echo(const HttpRequest& request) {
    HttpResponse response;
    response.body.append(request.method()).append(" ").append(request.target()).append(" ");
    response.body.append(request.version()).append(" ").append(request.body());
    return response;
}

/// A socket with room for `room` bytes, which never says that it has some.
class FullSocket final : public Connection {
public:
    using Connection::Connection;
    std::string remoteAddress() const override { return "192.0.2.1:1234"; }

    std::size_t room = 0;
    std::string taken;
    bool closed = false;

private:
    std::size_t writeSome(const WriteBuffer* buffers, std::size_t,
                          std::error_code& error) noexcept override {
        const std::size_t size = std::min(room, buffers->size);
        taken.append(buffers->data, size);
        room -= size;
        if (size == 0) {
            error = std::make_error_code(std::errc::operation_would_block);
        }
        return size;
    }
    void waitWritable() override {}
    void shutdownSend() noexcept override {}
    void closeSocket() noexcept override { closed = true; }
};

bool has(const ClientPtr& client, std::string_view line) {
    return client->response().find("\r\n" + std::string(line)) != std::string::npos;
}

}  // namespace

TEST_CASE("onHttp gets any minor version of HTTP/1", "[http]") {
    HttpHub hub(&echo);
    CHECK(bodyOf(hub.send("GET /health HTTP/1.0\r\n\r\n")) == "GET /health HTTP/1.0 ");
    CHECK(bodyOf(hub.send(head("GET /a HTTP/1.0"))) == "GET /a HTTP/1.0 ");
    CHECK(bodyOf(hub.send(head("GET /a HTTP/1.1"))) == "GET /a HTTP/1.1 ");
    CHECK(bodyOf(hub.send(head("GET /a HTTP/1.7"))) == "GET /a HTTP/1.7 ");
    CHECK(hub.status(head("GET /a HTTP/2.0")) == 505);
    CHECK(hub.status(head("GET /a HTTP/0.9")) == 505);
    CHECK(has(hub.send("GET / HTTP/1.0\r\n\r\n"), "Connection: close\r\n"));
}

TEST_CASE("A WebSocket handshake needs HTTP/1.1", "[http]") {
    HttpHub hub([](const HttpRequest&) { return std::nullopt; });
    const std::string upgrade =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n";
    CHECK(hub.status(head("GET /websocket/1 HTTP/1.1", upgrade)) == 101);
    CHECK(hub.status(head("GET /websocket/1 HTTP/1.2", upgrade)) == 101);
    const ClientPtr old = hub.send(head("GET /websocket/1 HTTP/1.0", upgrade));
    CHECK(old->status() == 426);
    CHECK(bodyOf(old).find("HTTP/1.1") != std::string::npos);
    CHECK(has(old, "Upgrade: websocket\r\n"));
}

TEST_CASE("onHttp gets every method, with its body", "[http]") {
    HttpHub hub(&echo);
    for (const std::string method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"}) {
        const std::string line = method + " /a?b HTTP/1.1";
        const std::string expected = method + " /a?b HTTP/1.1 ";
        CHECK(bodyOf(hub.send(head(line))) == expected);
        const std::string length = head(line, "Content-Length: 4\r\n") + "body";
        const std::string chunks = head(line, "Transfer-Encoding: chunked\r\n") +
                                   "1\r\nb\r\n3;x=y\r\nody\r\n0\r\nX: y\r\n\r\n";
        for (const std::size_t step : {1U, 5U, 100000U}) {
            CHECK(bodyOf(hub.send(length, step)) == expected + "body");
            CHECK(bodyOf(hub.send(chunks, step)) == expected + "body");
        }
        CHECK(bodyOf(hub.send(length + "GET /smuggled HTTP/1.1\r\n\r\n")) == expected + "body");
    }
    CHECK(bodyOf(hub.send(head("OPTIONS * HTTP/1.1"))) == "OPTIONS * HTTP/1.1 ");
    const ClientPtr preflight = hub.send(head("HEAD /a HTTP/1.1"));
    CHECK(preflight->status() == 200);
    CHECK(bodyOf(preflight).empty());
    CHECK(has(preflight, "Content-Length: 17\r\n"));
    CHECK(hub.recorded().errors.empty());
}

TEST_CASE("A request with a body that is not taken gets a clear status", "[http]") {
    Options options;
    options.maxHttpBodySize = 10;
    options.handshakeTimeout = 1000ms;
    HttpHub hub(&echo, options);
    const auto post = [&](const std::string& headers, const std::string& body = {}) {
        return hub.send(head("POST / HTTP/1.1", headers) + body)->status();
    };
    CHECK(post("Content-Length: 10\r\n", "0123456789") == 200);
    CHECK(post("Content-Length: 11\r\n") == 413);
    CHECK(post("Content-Length: 99999999999999999999999\r\n") == 413);
    CHECK(post("Transfer-Encoding: chunked\r\n", "b\r\n") == 413);
    CHECK(post("Transfer-Encoding: chunked\r\n", "x\r\n") == 400);
    CHECK(post("Transfer-Encoding: gzip\r\n") == 501);
    CHECK(post("Content-Length: 1\r\nExpect: magic\r\n") == 417);
    CHECK(hub.status(head("GET / HTTP/1.1", "Content-Length: 1\r\n")) == 413);
    CHECK(hub.status(head("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n")) == 400);

    const ClientPtr slow = hub.send(head("POST / HTTP/1.1", "Content-Length: 10\r\n") + "1");
    hub.advance(900ms);
    slow->sendBytes("2");
    hub.advance(50ms);
    CHECK(slow->status() == 0);
    hub.advance(200ms);
    CHECK(slow->status() == 408);

    options.maxHttpBodySize = 0;
    HttpHub none(&echo, options);
    CHECK(none.status(head("POST / HTTP/1.1", "Content-Length: 1\r\n")) == 413);
    CHECK(none.status(head("POST / HTTP/1.1", "Content-Length: 0\r\n")) == 200);
}

TEST_CASE("A client that expects 100-continue is told to continue", "[http]") {
    HttpHub hub(&echo);
    const std::string request =
        head("POST / HTTP/1.1", "Content-Length: 4\r\nExpect: 100-Continue\r\n");
    const ClientPtr client = hub.send(request);
    CHECK(client->status() == 100);
    CHECK(client->response() == "HTTP/1.1 100 Continue\r\n\r\n");
    client->sendBytes("body");
    hub.poll();
    CHECK(client->status() == 200);
    CHECK(bodyOf(client) == "POST / HTTP/1.1 body");
    // One that does not wait, one that is too old, and one whose body would not be taken.
    CHECK(hub.send(request + "body")->response().find("HTTP/1.1 200") == 0);
    CHECK(hub.status(head("POST / HTTP/1.0", "Content-Length: 4\r\nExpect: 100-continue\r\n")) ==
          0);
    CHECK(hub.status(head("POST / HTTP/1.1",
                          "Content-Length: 99999999\r\nExpect: 100-continue\r\n")) == 413);
}

TEST_CASE("What no hook answers", "[http]") {
    HttpHub hub([](const HttpRequest&) { return std::nullopt; });
    for (const std::string method : {"GET", "POST", "OPTIONS", "DELETE"}) {
        CHECK(hub.status(head(method + " /elsewhere HTTP/1.1")) == 404);
    }
    CHECK(hub.status(head("GET /websocket/1 HTTP/1.1")) == 426);
    CHECK(hub.status(head("HEAD /websocket/1 HTTP/1.1")) == 426);
    const ClientPtr options = hub.send(head("OPTIONS /websocket/1 HTTP/1.1"));
    CHECK(options->status() == 204);
    CHECK(has(options, "Allow: GET, OPTIONS\r\n"));
    const ClientPtr post =
        hub.send(head("POST /websocket/1 HTTP/1.1", "Content-Length: 2\r\n") + "{}");
    CHECK(post->status() == 405);
    CHECK(has(post, "Allow: GET, OPTIONS\r\n"));
}

TEST_CASE("Where no hub has a hook, no body is waited for", "[http]") {
    RecordedHub recorded;
    recorded.hub.start();
    const auto answerTo = [&](const std::string& bytes) {
        const auto client = recorded.hub.transport().connectRaw();
        client->sendBytes(bytes);
        recorded.poll();
        return client;
    };
    for (const std::string headers :
         {"Content-Length: 10\r\n", "Content-Length: 99999999\r\n",
          "Transfer-Encoding: chunked\r\n", "Content-Length: 10\r\nExpect: 100-continue\r\n"}) {
        const auto client = answerTo(head("POST /elsewhere HTTP/1.1", headers));
        CHECK(client->response().find("HTTP/1.1 404") == 0);
        client->sendBytes("0123456789GET / HTTP/1.1\r\n\r\n");  // it is a body, and not read
        recorded.poll();
        CHECK(bodyOf(client) == "not found\n");
        CHECK(answerTo(head("POST /websocket/1 HTTP/1.1", headers))->status() == 405);
    }
}

TEST_CASE("A hook of any hub on the listener comes before the hub whose path it is", "[http]") {
    RecordedHub first;
    Options options;
    options.path = "/other/{userId}";
    RecordedHub second(first, options);
    second.hub.onHttp([](const HttpRequest& request) -> Answer {
        return request.path() == "/websocket/help" ? Answer({200, "help"}) : std::nullopt;
    });
    first.hub.start();
    second.hub.start();
    const auto client = first.hub.transport().connectRaw();
    client->sendBytes(head("GET /websocket/help HTTP/1.1"));
    first.poll();
    CHECK(client->status() == 200);
}

TEST_CASE("An answer that cannot be sent as it is is told", "[http]") {
    HttpHub hub([](const HttpRequest& request) -> Answer {
        HttpResponse response{200, "x"};
        if (request.path() == "/header") {
            response.headers = {{"X-Good", "y"}, {"X-Bad", "a\r\nb"}};
        } else {
            response.status = std::stoi(std::string(request.path().substr(1)));
        }
        return response;
    });
    for (const char* const status : {"0", "99", "100", "101", "199", "600", "1000"}) {
        const std::size_t before = hub.recorded().errors.size();
        CHECK(hub.status(head("GET /" + std::string(status) + " HTTP/1.1")) == 500);
        REQUIRE(hub.recorded().errors.size() == before + 1);
        CHECK(hub.recorded().errors.back().first == std::errc::invalid_argument);
        CHECK(hub.recorded().errors.back().second ==
              "onHttp: the status is " + std::string(status) + ", expected from 200 to 599");
    }
    const std::size_t before = hub.recorded().errors.size();
    for (const char* const status : {"200", "204", "302", "404", "599"}) {
        CHECK(hub.status(head("GET /" + std::string(status) + " HTTP/1.1")) == std::stoi(status));
    }
    CHECK(hub.recorded().errors.size() == before);
    const ClientPtr client = hub.send(head("GET /header HTTP/1.1"));
    CHECK(client->status() == 200);
    CHECK(has(client, "X-Good: y\r\n"));
    CHECK_FALSE(has(client, "X-Bad"));
    REQUIRE(hub.recorded().errors.size() == before + 1);
    CHECK(hub.recorded().errors.back().second.find("\"X-Bad\"") != std::string::npos);
}

TEST_CASE("Every answer but 101 has a date", "[http]") {
    HttpHub hub(&echo);
    CHECK(has(hub.send(head("GET / HTTP/1.1")), "Date: "));
    CHECK(has(hub.send("rubbish\r\n\r\n"), "Date: "));
    const auto client = hub.recorded().hub.transport().connect("/elsewhere");
    hub.poll();
    CHECK(has(client, "Date: "));
}

TEST_CASE("A client that ends its direction behind its request gets the whole answer", "[http]") {
    const std::string page(1024 * 1024, 'x');
    HttpHub hub([&](const HttpRequest&) { return HttpResponse{200, page}; });
    const ClientPtr client = hub.recorded().hub.transport().connectRaw();
    client->sendBytes("GET / HTTP/1.0\r\n\r\n");
    client->endSending();
    hub.poll();
    CHECK(bodyOf(client) == page);
    CHECK_FALSE(client->connected());

    // In the middle of its request: an answer, too. Without a word: none.
    const ClientPtr half = hub.recorded().hub.transport().connectRaw();
    half->sendBytes("GET / HTTP");
    half->endSending();
    const ClientPtr halfBody = hub.recorded().hub.transport().connectRaw();
    halfBody->sendBytes("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nbo");
    halfBody->endSending();
    const ClientPtr silent = hub.recorded().hub.transport().connectRaw();
    silent->endSending();
    hub.poll();
    CHECK(half->status() == 400);
    CHECK(halfBody->status() == 400);
    CHECK(silent->status() == 0);
    CHECK(hub.recorded().hub.stats().refusals[400] == 2);
}

TEST_CASE("An answer has time as long as its client reads", "[http]") {
    const std::string page(1024 * 1024, 'x');
    Options options;
    options.closeTimeout = 1000ms;
    HttpHub hub([&](const HttpRequest&) { return HttpResponse{200, page}; }, options);
    SECTION("a slow one gets all of it") {
        const bool halfClosed = GENERATE(false, true);
        const ClientPtr client = hub.recorded().hub.transport().connectRaw();
        client->setReading(false, 10 * 1024);
        client->sendBytes(head("GET / HTTP/1.1"));
        if (halfClosed) {
            client->endSending();
        }
        for (int i = 0; i < 200 && bodyOf(client).size() < page.size(); ++i) {
            client->setReading(false, 10 * 1024);
            hub.advance(800ms);
            client->setReading(true, 10 * 1024);  // what is there, and room for as much again
            hub.poll();
            client->setReading(false, 10 * 1024);
        }
        CHECK(bodyOf(client) == page);
    }
    SECTION("one that does not read is cut") {
        const ClientPtr client = hub.recorded().hub.transport().connectRaw();
        client->setReading(false, 10 * 1024);
        client->sendBytes(head("GET / HTTP/1.1"));
        hub.advance(1200ms);
        client->setReading(true, 10 * 1024 * 1024);
        hub.poll();
        CHECK(bodyOf(client).size() < page.size());
    }
}

TEST_CASE("A socket is asked for room before an answer is given up", "[http]") {
    test::HandlerArchetype handler;
    const auto socket =
        detail::makeRef<FullSocket>(detail::makeRef<test::LoopArchetype>(), SessionId(1));
    socket->setChannel(detail::makeRef<Channel>(handler, Options()));
    std::string request = "GET / HTTP/1.0\r\n\r\n";
    socket->receive(request.data(), request.size());
    socket->answer({200, std::string(1000, 'x')}, false);
    const auto expire = [&] {
        socket->loop().disarmTimer(*socket);
        socket->expired();
    };
    for (int i = 1; i <= 3; ++i) {
        socket->room = 100;
        expire();
        CHECK(socket->taken.size() == 100U * static_cast<std::size_t>(i));
        CHECK_FALSE(socket->closed);
    }
    expire();
    CHECK(socket->closed);
}

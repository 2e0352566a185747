// Pings to silent clients, what a client may send per second, and closes that are spread over time.

#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

namespace {

Options heartbeat(std::chrono::milliseconds interval, std::chrono::milliseconds timeout) {
    Options options;
    options.pingInterval = interval;
    options.pongTimeout = timeout;
    return options;
}

/// Stops or resumes a client without its noticing: nothing of it arrives, what is sent to it
/// vanishes in its socket.
void unplug(const RecordedHub::ClientPtr& client) {
    client->setReading(false, 1024 * 1024);
}

}  // namespace

TEST_CASE("A silent client is pinged, and answers", "[heartbeat]") {
    RecordedHub hub(heartbeat(30s, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    const auto opened = hub.opened[0]->lastSeen();
    CHECK(hub.opened[0]->roundTripTime() == 0us);
    for (int i = 0; i < 600; ++i) {
        hub.advance(1s);
    }
    CHECK(hub.closes.empty());
    CHECK(client->connected());
    const auto silent = hub.opened[0]->lastSeen() - opened;
    CHECK(silent > 560s);
    CHECK(hub.opened[0]->roundTripTime() > 0us);
    // Between the interval and three quarters of it.
    CHECK(client->pings() >= 20);
    CHECK(client->pings() <= 27);
}

TEST_CASE("The interval may be shorter than the time-out", "[heartbeat]") {
    RecordedHub hub(heartbeat(1s, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    for (int i = 0; i < 60; ++i) {
        hub.advance(1s);
    }
    CHECK(client->pings() >= 55);
    CHECK(client->pings() <= 80);
}

TEST_CASE("A client that has vanished is gone within interval and time-out", "[heartbeat]") {
    RecordedHub hub(heartbeat(30s, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.advance(100s);
    unplug(client);
    hub.advance(40s + 2 * LoopContext::tick);
    CHECK(hub.hub.sessionCount() == 0);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::pongTimeout);
    CHECK(hub.closes[0].reason == "no answer to a ping");
    CHECK_FALSE(hub.closes[0].clean);
    CHECK(hub.errors.empty());  // it is no fault
}

TEST_CASE("Who sends is not pinged", "[heartbeat]") {
    RecordedHub hub(heartbeat(30s, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    for (int i = 0; i < 20; ++i) {
        hub.advance(20s);
        client->send("here");
        hub.poll();
    }
    CHECK(client->pings() == 0);
}

TEST_CASE("Anything that comes counts as an answer to a ping", "[heartbeat]") {
    RecordedHub hub(heartbeat(30s, 20s));
    hub.hub.start();
    const auto client = hub.connect("1");
    unplug(client);  // pings are not seen, so no pong comes
    for (int i = 0; i < 20; ++i) {
        hub.advance(35s);
        client->send("here");
        hub.poll();
    }
    CHECK(hub.closes.empty());
}

TEST_CASE("Pongs that nobody asked for tell no round-trip time", "[heartbeat]") {
    RecordedHub hub(heartbeat(30s, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    unplug(client);
    for (const std::size_t size : {0U, 8U, 125U}) {
        client->sendFrame(protocol::Opcode::pong, std::string(size, '\0'));
    }
    hub.poll();
    hub.advance(31s);
    client->sendFrame(protocol::Opcode::pong, std::string(8, '\0'));
    hub.poll();
    CHECK(hub.opened[0]->roundTripTime() == 0us);
}

TEST_CASE("Sessions that were opened together are not pinged together", "[heartbeat]") {
    RecordedHub hub(heartbeat(40s, 10s));
    hub.hub.start();
    std::vector<RecordedHub::ClientPtr> clients;
    for (int i = 0; i < 200; ++i) {
        clients.push_back(hub.connect(std::to_string(i)));
    }
    std::set<std::size_t> seen;
    std::size_t most = 0;
    for (int second = 0; second <= 41; ++second) {
        std::size_t before = 0;
        for (const auto& client : clients) {
            before += client->pings();
        }
        hub.advance(1s);
        std::size_t after = 0;
        for (const auto& client : clients) {
            after += client->pings();
        }
        most = std::max(most, after - before);
        if (second < 29) {
            CHECK(after == 0);
        }
        seen.insert(after);
    }
    CHECK(*seen.rbegin() == 200);
    CHECK(most < 60);  // 20 in the mean
}

TEST_CASE("Without an interval nobody is pinged", "[heartbeat]") {
    RecordedHub hub(heartbeat(0ms, 10s));
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.advance(1h);
    CHECK(client->pings() == 0);
    CHECK(client->connected());
}

TEST_CASE("A client whose queue waits is not pinged: the stall time decides", "[heartbeat]") {
    Options options = heartbeat(10s, 5s);
    options.stallTimeout = 60s;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    hub.hub.sendOne("1", "waits");
    hub.poll();
    hub.advance(55s);
    CHECK(hub.closes.empty());
    client->setReading(true);
    hub.poll();
    CHECK(client->takeTexts() == Strings{"waits"});
    hub.advance(30s);
    CHECK(client->pings() >= 2);
    CHECK(hub.closes.empty());
}

TEST_CASE("A session's expiry and its heartbeat keep out of each other's way", "[heartbeat]") {
    RecordedHub hub(heartbeat(10s, 5s));
    hub.hub.start();
    const auto client = hub.connect("1");
    hub.opened[0]->expireAt(std::chrono::system_clock::now() + 60s);
    hub.poll();
    hub.advance(55s);
    CHECK(client->connected());
    CHECK(client->pings() >= 4);
    hub.advance(6s);
    CHECK(client->closeCode() == CloseCode::unauthorized);
}

TEST_CASE("A client that sends too fast is closed, or read more slowly", "[inbound_rate]") {
    for (const RatePolicy policy : {RatePolicy::close, RatePolicy::pause}) {
        for (const bool bytes : {false, true}) {
            INFO((policy == RatePolicy::close ? "close" : "pause") << (bytes ? ", bytes" : ""));
            Options options;
            options.whenInboundTooFast = policy;
            if (bytes) {
                options.maxInboundBytesPerSecond = 1000;  // ten frames of 100 bytes
            } else {
                options.maxInboundMessagesPerSecond = 10;
            }
            RecordedHub hub(options);
            hub.hub.start();
            const auto client = hub.connect("1");
            const std::string text(94, 'x');
            for (int second = 0; second < 10; ++second) {  // as fast as it may
                for (int i = 0; i < 10; ++i) {
                    client->send(text);
                    hub.poll();
                    hub.advance(100ms);
                }
            }
            CHECK(hub.count("message") == 100);
            CHECK(hub.closes.empty());
            for (int i = 0; i < 100; ++i) {
                client->send(text);
                hub.poll();
            }
            if (policy == RatePolicy::close) {
                REQUIRE(hub.closes.size() == 1);
                CHECK(hub.closes[0].code == CloseCode::policyViolation);
                CHECK(hub.closes[0].error == Errc::inboundTooFast);
                CHECK(hub.count("message") <= 111);
            } else {
                CHECK(hub.count("message") <= 112);
                hub.advance(5s);
                // What lies ready is read as one piece, and paid for afterwards.
                CHECK(hub.count("message") == 200);
                client->send(text);
                hub.poll();
                CHECK(hub.count("message") == 200);
                hub.advance(10s);
                CHECK(hub.count("message") == 201);
                CHECK(hub.closes.empty());
            }
        }
    }
}

TEST_CASE("Pings count as messages, so a flood of them is slowed down too", "[inbound_rate]") {
    Options options;
    options.maxInboundMessagesPerSecond = 10;
    options.whenInboundTooFast = RatePolicy::close;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    for (int i = 0; i < 20; ++i) {
        client->ping("p");
        hub.poll();
    }
    CHECK(client->closeCode() == CloseCode::policyViolation);
}

TEST_CASE("A message in too many frames is refused, however they come", "[fragments]") {
    for (const std::size_t piece : {1U, 7U, 10'000U}) {
        for (const bool tooMany : {false, true}) {
            Options options;
            options.maxFragments = 5;
            RecordedHub hub(options);
            hub.hub.start();
            const auto client = hub.connect("1");
            std::string bytes = protocol::clientFrame(protocol::Opcode::text, "whole");
            bytes += protocol::clientFrame(protocol::Opcode::text, "a", false);
            for (int i = 0; i < (tooMany ? 4 : 3); ++i) {
                bytes += protocol::clientFrame(protocol::Opcode::ping, "");
                bytes += protocol::clientFrame(protocol::Opcode::continuation, "", false);
            }
            bytes += protocol::clientFrame(protocol::Opcode::continuation, "b");
            bytes += protocol::clientFrame(protocol::Opcode::text, "next");
            for (std::size_t at = 0; at < bytes.size(); at += piece) {
                client->sendBytes(bytes.substr(at, piece));
                hub.poll();
            }
            CHECK(hub.count("message") == (tooMany ? 1 : 3));
            if (tooMany) {
                CHECK(client->closeCode() == CloseCode::policyViolation);
                REQUIRE(hub.closes.size() == 1);
                CHECK(hub.closes[0].error == Errc::tooManyFragments);
            } else {
                CHECK(client->connected());
            }
        }
    }
}

TEST_CASE("stop spreads its closes over the time that the options say", "[stop_spread]") {
    Options options;
    options.stopSpread = 10s;
    RecordedHub hub(options);
    hub.hub.start();
    std::vector<RecordedHub::ClientPtr> clients;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(hub.connect(std::to_string(i)));
    }
    std::vector<std::chrono::steady_clock::time_point> times;
    hub.whenClosed = [&](const SessionPtr&, const CloseInfo&) {
        times.push_back(hub.hub.transport().now());
    };
    hub.hub.stop(20s);
    REQUIRE(times.size() == 100);
    CHECK(hub.count("close ") == 100);
    for (const CloseInfo& info : hub.closes) {
        CHECK(info.code == CloseCode::goingAway);
        CHECK(info.clean);
    }
    for (std::size_t i = 10; i < times.size(); ++i) {
        CHECK(times[i] - times[i - 10] >= 900ms);  // a tenth in each second
    }
    CHECK(times.back() - times.front() <= 10s);
}

TEST_CASE("Closes are spread as far, also if a hook destroys another hub meanwhile",
          "[stop_spread]") {
    Options options;
    options.stopSpread = 10s;
    options.maxQueueMessages = 1;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    RecordedHub hub(options);
    Options others;
    others.path = "/others/{userId}";
    auto other = std::make_unique<RecordedHub>(hub, others);
    hub.hub.onDropped([&](const SessionPtr&, const Dropped&) { other.reset(); });
    hub.hub.start();
    other->hub.start();
    const auto first = hub.connect("1");
    const auto second = hub.connect("2");
    first->setReading(false, 0);
    hub.hub.sendAll("fills its queue");
    hub.poll();
    CHECK(other);
    hub.hub.sendAll("is dropped as the session is closed");
    const auto begin = hub.hub.transport().now();
    hub.whenClosed = [&](const SessionPtr& session, const CloseInfo&) {
        if (session->userId() == "2") {
            CHECK(hub.hub.transport().now() - begin < 6s);  // the second half of the spread
            CHECK(hub.hub.transport().now() - begin >= 5s);
        }
    };
    hub.hub.stop(20s);
    CHECK(hub.count("close 2") == 1);
    CHECK_FALSE(other);
}

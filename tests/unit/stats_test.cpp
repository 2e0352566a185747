// The figures of a hub, as numbers and as text, and what it tells a log.

#include <chrono>
#include <cstddef>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/metrics/prometheus.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

TEST_CASE("Handshakes are counted by outcome", "[stats]") {
    Options options;
    options.maxSessionsPerUser = 1;
    options.maxSessions = 2;
    RecordedHub hub(options);
    hub.hub.onHandshake([](const HandshakePtr& handshake) {
        if (handshake->query("no")) {
            handshake->reject(std::stoi(*handshake->query("no")));
        } else {
            handshake->accept();
        }
    });
    hub.hub.start();
    const auto a = hub.connect("a");
    const auto again = hub.connect("a");
    CHECK(again->status() == 409);
    const auto b = hub.connect("b");
    CHECK(hub.connect("c")->status() == 503);
    const auto closing = b->status();
    CHECK(closing == 101);
    b->close();
    hub.poll();
    for (const char* status : {"401", "403", "403", "418"}) {
        hub.connect("x?no=" + std::string(status));
    }
    hub.hub.transport().connect("/elsewhere");
    hub.poll();
    const HubStats stats = hub.hub.stats();
    CHECK(stats.sessions == 1);
    CHECK(stats.users == 1);
    CHECK(stats.handshakesAccepted == 2);
    CHECK(stats.handshakesOverUserLimit == 1);
    CHECK(stats.handshakesUnavailable == 1);
    CHECK(stats.handshakesUnauthorized == 1);
    CHECK(stats.handshakesForbidden == 2);
    CHECK(stats.handshakesRefusedOtherwise == 2);
    CHECK(stats.refusals[403] == 2);
    CHECK(stats.refusals[404] == 1);
    CHECK(stats.refusals[418] == 1);  // any other
    CHECK(stats.refusals[426] == 0);
    CHECK(stats.closedByPeer == 1);
}

TEST_CASE("Messages and bytes are counted on both ways", "[stats]") {
    Options options;
    options.maxQueueMessages = 2;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    RecordedHub hub(options);
    hub.hub.start();
    const auto a = hub.connect("a");
    const auto b = hub.connect("b");
    const std::uint64_t before = hub.hub.stats().bytesOut;
    CHECK(before > 200);  // the answers to the handshakes
    hub.hub.sendAll("12345678");
    hub.hub.sendOne("a", "1234");
    a->send("123");
    hub.poll();
    HubStats stats = hub.hub.stats();
    CHECK(stats.messagesOut == 3);
    CHECK(stats.bytesOut - before == 2 * 10 + 6);
    CHECK(stats.messagesIn == 1);
    CHECK(stats.bytesIn == 2 + 4 + 3);
    CHECK(stats.slowSessions == 0);

    b->setReading(false, 0);
    for (int i = 0; i < 3; ++i) {
        hub.hub.sendOne("b", "12");
    }
    hub.poll();
    hub.hub.sendAll("1");
    hub.poll();
    stats = hub.hub.stats();
    CHECK(stats.slowSessions == 1);
    CHECK(stats.queuedBytes == 8);
    CHECK(stats.refusedMessages == 1);
    CHECK(stats.droppedMessages == 1);
    CHECK(stats.droppedBytes == 3);
    b->drop();
    hub.poll();
    stats = hub.hub.stats();
    CHECK(stats.slowSessions == 0);
    CHECK(stats.queuedBytes == 0);
    CHECK(stats.closedByNetwork == 1);
}

TEST_CASE("The figures as text for Prometheus", "[stats]") {
    HubStats stats;
    stats.sessions = 3;
    stats.handshakesForbidden = 12'345'678'901;
    stats.handshakesTlsFailed = 7;
    stats.loopLag = 1500us;
    const std::string plain = prometheusText(stats);
    CHECK(plain.find("# TYPE pushhub_sessions gauge\npushhub_sessions 3\n") != std::string::npos);
    CHECK(plain.find("pushhub_handshakes_total{outcome=\"forbidden\"} 12345678901\n") !=
          std::string::npos);
    CHECK(plain.find("pushhub_handshakes_total{outcome=\"tls_failed\"} 7\n") != std::string::npos);
    CHECK(plain.find("pushhub_loop_lag_seconds 0.001500\n") != std::string::npos);
    const std::string labelled = prometheusText(stats, "endpoint=\"orders\"");
    CHECK(labelled.find("pushhub_sessions{endpoint=\"orders\"} 3\n") != std::string::npos);
    CHECK(labelled.find("{endpoint=\"orders\",outcome=\"forbidden\"} ") != std::string::npos);
    // Each line is a comment, or a name and a number.
    for (std::size_t begin = 0, end = 0; begin < plain.size(); begin = end + 1) {
        end = plain.find('\n', begin);
        REQUIRE(end != std::string::npos);
        const std::string line = plain.substr(begin, end - begin);
        CHECK((line.substr(0, 9) == "# HELP pu" || line.substr(0, 9) == "# TYPE pu" ||
               (line.substr(0, 8) == "pushhub_" && line.find(' ') == line.rfind(' '))));
    }
}

namespace {

Strings linesOf(const std::string& text) {
    Strings lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    return lines;
}

// "sessions" for `# TYPE pushhub_sessions gauge` and for `pushhub_sessions{…} 3`.
std::string familyOf(const std::string& line) {
    const std::size_t begin = line.find("pushhub_");
    return line.substr(begin, line.find_first_of(" {", begin) - begin);
}

}  // namespace

TEST_CASE("The figures of several hubs have each metric once, with all its samples", "[stats]") {
    HubStats stats;
    PrometheusText text;
    CHECK(text.str().empty());
    stats.sessions = 1;
    text += prometheusText(stats, "endpoint=\"a\"");
    stats.sessions = 2;
    text += prometheusText(stats, "endpoint=\"b\"") + prometheusText(stats);
    const Strings lines = linesOf(text);
    std::set<std::string> seen;
    std::string current;
    std::size_t families = 0;
    for (const std::string& line : lines) {
        if (line.rfind("# HELP ", 0) == 0) {
            current = familyOf(line);
            CHECK(seen.insert(current).second);
            ++families;
        } else {
            CHECK(familyOf(line) == current);
        }
    }
    CHECK(families == detail::prometheusFamilies().size());
    REQUIRE(lines.size() > 5);
    CHECK(lines[2] == "pushhub_sessions{endpoint=\"a\"} 1");
    CHECK(lines[3] == "pushhub_sessions{endpoint=\"b\"} 2");
    CHECK(lines[4] == "pushhub_sessions 2");
}

TEST_CASE("Hubs with the same labels are not added", "[stats]") {
    const HubStats stats;
    PrometheusText text = prometheusText(stats, "a=\"1\",b=\"2\"");
    const std::string before = text;
    CHECK_THROWS_WITH(
        text += prometheusText(stats, "c=\"3\"") + prometheusText(stats, "b=\"2\", a=\"1\""),
        "prometheusText: two hubs with the labels 'a=\"1\",b=\"2\"', expected some that tell them "
        "apart");
    CHECK(text.str() == before);
    CHECK_THROWS_AS(prometheusText(stats) + prometheusText(stats), std::invalid_argument);
    CHECK_THROWS_AS(text += text, std::invalid_argument);
    CHECK(text.str() == before);
}

TEST_CASE("Labels are name=\"value\" with escapes, or refused", "[stats]") {
    const HubStats stats;
    const auto sample = [&](std::string_view labels) {
        return linesOf(prometheusText(stats, labels))[2];
    };
    CHECK(sample("") == "pushhub_sessions 0");
    CHECK(sample("a=\"\"") == "pushhub_sessions{a=\"\"} 0");
    CHECK(sample(" b = \"1,}\" , a=\"\\\\ \\\" \\n\", ") ==
          "pushhub_sessions{a=\"\\\\ \\\" \\n\",b=\"1,}\"} 0");
    CHECK(prometheusLabel("tenant", "a\"b\\c\nd") == "tenant=\"a\\\"b\\\\c\\nd\"");
    CHECK(sample(prometheusLabel("tenant", "a\"b\\c\n\xc3\xa9")) ==
          "pushhub_sessions{tenant=\"a\\\"b\\\\c\\n\xc3\xa9\"} 0");

    for (const char* const wrong : {"orders",
                                    "endpoint=orders",
                                    "endpoint='orders'",
                                    "endpoint=\"orders",
                                    "=\"x\"",
                                    "1a=\"x\"",
                                    "a-b=\"x\"",
                                    "a:b=\"x\"",
                                    "\xc3\xa9=\"x\"",
                                    "__name__=\"x\"",
                                    ",",
                                    "a=\"x\",,",
                                    "a=\"x\" b=\"y\"",
                                    "a=\"x\"} 1\npushhub_users{b=\"y\"",
                                    "a=\"1\n2\"",
                                    "a=\"\\t\"",
                                    "a=\"\\",
                                    "{a=\"x\"}",
                                    "a=\"1\",a=\"2\"",
                                    "outcome=\"x\"",
                                    "by=\"x\"",
                                    "reason=\"x\"",
                                    "a=\"\xff\""}) {
        CAPTURE(wrong);
        CHECK_THROWS_AS(prometheusText(stats, wrong), std::invalid_argument);
    }
    CHECK_THROWS_WITH(prometheusText(stats, "a-b=\"x\""),
                      "prometheusText: labels 'a-b=\"x\"': 'a-b' is not a label name");
    CHECK_THROWS_WITH(prometheusText(stats, "by=\"x\""),
                      "prometheusText: labels 'by=\"x\"': 'by' is a label of "
                      "pushhub_sessions_closed_total");
    CHECK_THROWS_WITH(prometheusLabel("a b", "x"), "prometheusLabel: 'a b' is not a label name");
    CHECK_THROWS_AS(prometheusLabel("__a", "x"), std::invalid_argument);
    CHECK_THROWS_AS(prometheusLabel("a", "\xff"), std::invalid_argument);
}

TEST_CASE("A log is told what happens, and nothing without one", "[log]") {
    RecordedHub hub;
    Strings lines;
    hub.hub.onLog([&](const LogRecord& record) {
        std::string line(toString(record.level));
        line.append(": ").append(record.event);
        for (const LogField& field : record) {
            line.append(" ").append(field.name).append("=").append(field.value);
        }
        lines.push_back(line);
    });
    hub.whenMessage = [](const SessionPtr&, const Message&) {
        throw std::runtime_error("no database");
    };
    hub.hub.start();
    const auto a = hub.connect("a");
    a->send("text");
    hub.poll();
    a->sendBytes("\xFF\xFF");
    hub.poll();
    hub.connect("b/c?token=secret");
    hub.hub.stop();
    REQUIRE(lines.size() == 6);
    CHECK(lines[0] == "info: started address=127.0.0.1 port=8081 path=/websocket/{userId}");
    CHECK(lines[1] == "debug: session opened session=1 user=a address=loopback:1");
    CHECK(lines[2].find("error: error error=a hook threw an exception what=onMessage: no database "
                        "session=1 user=a") == 0);
    CHECK(lines[3].find("warning: session closed session=1 user=a address=loopback:1 code=1002 "
                        "reason=") == 0);
    CHECK(lines[4] ==
          "info: handshake refused status=404 reason=no such endpoint address=loopback:2 "
          "path=/websocket/b/c");
    CHECK(lines[5] == "info: stopped path=/websocket/{userId}");
}

TEST_CASE("A log that throws does no harm", "[log]") {
    RecordedHub hub;
    hub.hub.onLog([](const LogRecord&) { throw std::runtime_error("disk full"); });
    hub.hub.start();
    const auto a = hub.connect("a");
    CHECK(a->connected());
    hub.hub.stop();
    CHECK(hub.closes.size() == 1);
}

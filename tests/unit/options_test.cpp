#include <pushhub/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using pushhub::Options;
using namespace std::chrono_literals;

TEST_CASE("The defaults are valid", "[options]") {
    const Options options;
    CHECK_NOTHROW(options.validate());
    CHECK(options.queueLimits().bytes == options.maxQueueBytes);
    CHECK(options.queueLimits().messages == options.maxQueueMessages);
}

// On 32 bit a size_t that is too large does not exist, and the sum wraps to one that is too small.
constexpr auto mostQueueBytes = static_cast<std::size_t>(
    (std::min)(std::uint64_t{1} << 38, std::uint64_t{(std::numeric_limits<std::size_t>::max)()}));
constexpr std::size_t tooManyQueueBytes = mostQueueBytes + 1;

TEST_CASE("An option out of range is named together with its value", "[options]") {
    struct Row {
        const char* option;
        std::string value;
        std::function<void(Options&)> set;
    };
    const std::vector<Row> rows{
        {"loops", "1025", [](Options& o) { o.loops = 1025; }},
        {"maxMessageSize", "0", [](Options& o) { o.maxMessageSize = 0; }},
        {"maxMessageSize", "1073741825",
         [](Options& o) { o.maxMessageSize = (std::size_t{1} << 30) + 1; }},
        {"maxQueueBytes", "1023", [](Options& o) { o.maxQueueBytes = 1023; }},
        {"maxQueueBytes", std::to_string(tooManyQueueBytes),
         [](Options& o) { o.maxQueueBytes = tooManyQueueBytes; }},
        {"maxQueueMessages", "0", [](Options& o) { o.maxQueueMessages = 0; }},
        {"maxQueueMessages", "2097153",
         [](Options& o) { o.maxQueueMessages = (std::size_t{1} << 21) + 1; }},
        {"maxFragments", "0", [](Options& o) { o.maxFragments = 0; }},
        {"maxSessions", "0", [](Options& o) { o.maxSessions = 0; }},
        {"maxHandshakeBytes", "255", [](Options& o) { o.maxHandshakeBytes = 255; }},
        {"maxHandshakeBytes", "65536", [](Options& o) { o.maxHandshakeBytes = 65535 + 1; }},
        {"maxHttpBodySize", "1073741825",
         [](Options& o) { o.maxHttpBodySize = (std::size_t{1} << 30) + 1; }},
        {"handshakeTimeout", "0", [](Options& o) { o.handshakeTimeout = 0ms; }},
        {"handshakeTimeout", "-5", [](Options& o) { o.handshakeTimeout = -5ms; }},
        {"handshakeTimeout", "86400001", [](Options& o) { o.handshakeTimeout = 24h + 1ms; }},
        {"closeTimeout", "0", [](Options& o) { o.closeTimeout = 0ms; }},
        {"maxTotalQueueBytes", "1048575",
         [](Options& o) { o.maxTotalQueueBytes = 1024 * 1024 - 1; }},
        {"whenQueueFull", "4",
         [](Options& o) { o.whenQueueFull = pushhub::OverflowPolicy::inherit; }},
        {"listenSocket", "-2", [](Options& o) { o.listenSocket = -2; }},
        {"proxyProtocol", "true", [](Options& o) { o.proxyProtocol = true; }},
        {"stallTimeout", "-1", [](Options& o) { o.stallTimeout = -1ms; }},
        {"stopSpread", "-1", [](Options& o) { o.stopSpread = -1ms; }},
        {"pingInterval", "86400001", [](Options& o) { o.pingInterval = 24h + 1ms; }},
        {"pongTimeout", "0", [](Options& o) { o.pongTimeout = 0ms; }}};
    for (const Row& row : rows) {
        Options options;
        row.set(options);
        std::string message;
        try {
            options.validate();
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        INFO(row.option << ' ' << row.value << ": " << message);
        CHECK(message.find("option " + std::string(row.option) + " is " + row.value) !=
              std::string::npos);
        CHECK(message.find("expected") != std::string::npos);
    }
}

TEST_CASE("The ends of each range are valid", "[options]") {
    const std::vector<std::function<void(Options&)>> changes{
        [](Options& o) { o.loops = 1024; },
        [](Options& o) { o.maxMessageSize = 1; },
        [](Options& o) { o.maxQueueBytes = 1024; },
        [](Options& o) { o.maxTotalQueueBytes = o.maxQueueBytes = mostQueueBytes; },
        [](Options& o) { o.maxQueueMessages = 1; },
        [](Options& o) { o.maxQueueMessages = std::size_t{1} << 21; },
        [](Options& o) { o.maxSessions = 1; },
        [](Options& o) {
            o.proxyProtocol = true;
            o.trustedProxies = {"10.0.0.0/8"};
        },
        [](Options& o) { o.maxHandshakeBytes = 256; },
        [](Options& o) { o.maxHandshakeBytes = 65535; },
        [](Options& o) { o.maxHttpBodySize = 0; },
        [](Options& o) { o.maxHttpBodySize = std::size_t{1} << 30; },
        [](Options& o) { o.handshakeTimeout = 1ms; },
        [](Options& o) { o.closeTimeout = 24h; },
        [](Options& o) { o.stallTimeout = o.pingInterval = o.stopSpread = 0ms; }};
    for (const auto& change : changes) {
        Options options;
        change(options);
        CHECK_NOTHROW(options.validate());
    }
}

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <pushhub/fwd.hpp>

namespace pushhub {

/// How much may wait in one session's queue.
struct QueueLimits {
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;
};

/// What happens to a push that a session's full queue cannot take.
enum class OverflowPolicy : std::uint8_t {
    close,  ///< The session is closed with 1013: a client too slow must come back and catch up.
    dropNewest,  ///< That message is refused, and counted; the session goes on.
    dropOldest,  ///< The message that has waited longest is dropped for it.
    /// A push with a key takes the place of one with the same key that waits, full or not; for
    /// others `dropOldest`. Of a price only the latest matters. See `PushOptions::key`.
    conflate,
    inherit  ///< Of `PushOptions` only: what the hub's options say.
};

/// What happens to a client that sends more than it may.
enum class RatePolicy : std::uint8_t {
    pause,  ///< It is not read from until it may send again, so that TCP slows it down.
    close   ///< The session is closed with 1008.
};

/// What happens to the session of a user who has as many as they may.
enum class UserLimitPolicy : std::uint8_t {
    refuse,        ///< The new one is refused with 409.
    replaceOldest  ///< The oldest one is closed with 4409.
};

namespace detail {

constexpr bool olderMakeRoom(OverflowPolicy policy) noexcept {
    return policy == OverflowPolicy::dropOldest || policy == OverflowPolicy::conflate;
}

inline void checkOptionTime(const char* option, std::chrono::milliseconds value,
                            std::chrono::milliseconds least = std::chrono::milliseconds(1)) {
    if (value < least || value > std::chrono::hours(24)) {
        throw std::invalid_argument("pushhub: option " + std::string(option) + " is " +
                                    std::to_string(value.count()) + " ms, expected from " +
                                    std::to_string(least.count()) + " ms to 24 h");
    }
}

}  // namespace detail

/// Settings of a hub. Every limit has a safe default; `validate` is called by the hub's
/// constructor and throws std::invalid_argument that names the option and the value.
struct Options {
    /// Address to listen on, IPv4 or IPv6. Loopback by default: who wants the network says so
    /// ("0.0.0.0", "::"), best together with a check of who may connect.
    std::string address = "127.0.0.1";

    /// Port to listen on; 0 takes any free one, see `PushHub::port`.
    std::uint16_t port = 8081;

    /// A TCP socket that listens already, such as descriptor 3 of systemd's socket activation,
    /// instead of one at `address` and `port`. -1: none. Each start listens on a duplicate, so the
    /// socket stays the host's; it is made non-blocking.
    int listenSocket = -1;

    /// Path of the endpoint; `{name}` stands for one segment. See `PathTemplate`.
    std::string path = "/websocket/{userId}";

    /// The parameter of `path` that names the user.
    std::string userParameter = "userId";

    /// Event loops, a thread each. 0: one for each processor that the process may use, by affinity
    /// and, rounded up, by the CPU quota of its container. A hub in the host's io_context has one.
    unsigned loops = 0;

    /// Largest message taken from a client, in bytes; beyond it the session is closed with 1009.
    std::size_t maxMessageSize = 64 * 1024;

    /// Most frames that one message from a client may come in; beyond it the session is closed with
    /// 1008.
    std::size_t maxFragments = 1024;

    /// Most that may wait for one session: bytes on the wire, and messages (empty ones count).
    std::size_t maxQueueBytes = 1024 * 1024;
    std::size_t maxQueueMessages = 64 * 1024;

    /// What a session with a full queue gets.
    OverflowPolicy whenQueueFull = OverflowPolicy::close;

    /// Time for which a session whose queue waits may take nothing, by its socket and, where the
    /// operating system tells, by what its client acknowledges; then it is closed with 1013. 0: for
    /// ever.
    std::chrono::milliseconds stallTimeout = std::chrono::seconds(30);

    /// Most that may wait for all sessions of this hub together, in bytes, shared messages counted
    /// for each. Beyond it the session with the largest queue is closed with 1013, and meanwhile
    /// pushes to single sessions are refused.
    std::uint64_t maxTotalQueueBytes = std::uint64_t{1024} * 1024 * 1024;

    /// A client from which nothing came for this long, less up to a quarter at random, is sent a
    /// ping; if nothing comes within the time-out either, its connection is cut. The time-out
    /// begins again while data that was sent before the ping reaches the client. 0: never.
    std::chrono::milliseconds pingInterval = std::chrono::seconds(30);
    std::chrono::milliseconds pongTimeout = std::chrono::seconds(10);

    /// Most messages, pings and pongs, and most bytes, that a client may send per second, with a
    /// second's worth at once; 0 for any number. And what happens beyond.
    std::uint32_t maxInboundMessagesPerSecond = 0;
    std::uint64_t maxInboundBytesPerSecond = 0;
    RatePolicy whenInboundTooFast = RatePolicy::pause;

    /// Most sessions of this hub at a time; a handshake beyond it gets 503.
    std::size_t maxSessions = 1'000'000;

    /// Most connections of the listener, sessions and what is none yet; most from one client
    /// address (of IPv6 a network of 64 bits; `trustedProxies` are exempt); 0 for any number. One
    /// beyond it is closed at once. And most that are accepted per second, with a second's worth at
    /// once; 0 for any number: those beyond it wait. Of the listener: set them on the first hub
    /// that shares one.
    std::size_t maxConnections = 0;
    std::size_t maxConnectionsPerAddress = 0;
    std::uint32_t maxConnectionsPerSecond = 0;

    /// Origins that browsers may come from, such as "https://app.example.com" or
    /// "https://*.example.com"; "*" for any of http and https. Those of apps, "file://" and "null"
    /// have to be named. Empty: only pages from the same host and port. A client that sends no
    /// Origin is no browser and may come. See `OriginPolicy`.
    std::vector<std::string> allowedOrigins{};

    /// Networks of reverse proxies, such as "10.0.0.0/8": only from them X-Forwarded-For and
    /// Forwarded tell the address of the client. See `ProxyTrust`.
    std::vector<std::string> trustedProxies{};

    /// Connections from `trustedProxies` begin with a header of the PROXY protocol, version 1 or 2,
    /// that names the client; one that does not is closed. From other addresses no header is
    /// expected, nor believed. Of the listener, with the `trustedProxies` of its first hub.
    bool proxyProtocol = false;

    /// Time for the application to decide a handshake, or a first message, and how many may wait
    /// for that; beyond it 503, or 4401 once the connection is open.
    std::chrono::milliseconds decisionTimeout = std::chrono::seconds(10);
    std::size_t maxPendingHandshakes = 1000;

    /// Most sessions of one user, 0 for any number, and what happens beyond.
    std::size_t maxSessionsPerUser = 0;
    UserLimitPolicy whenUserFull = UserLimitPolicy::refuse;

    /// Answer 101 and close with the code of `closeCodeFor` where a handshake for this hub would
    /// be refused with a status, since a browser does not show the status to the page.
    bool closeInsteadOfStatus = false;

    /// Time a client has for its handshake, from the connection on, that of TLS included. Of the
    /// listener: set it on the first hub that shares one.
    std::chrono::milliseconds handshakeTimeout = std::chrono::seconds(10);

    /// Largest handshake request, in bytes; beyond it 431. Of the listener, like the timeout.
    std::size_t maxHandshakeBytes = 16 * 1024;

    /// Largest body of a plain HTTP request for `PushHub::onHttp`, in bytes; beyond it 413. 0: none
    /// is taken. Of the listener, like the timeout, which is the time for the body too.
    std::size_t maxHttpBodySize = 64 * 1024;

    /// Time a client has to answer a close frame before its connection is cut; and time in which it
    /// has to take something of the answer to a plain HTTP request.
    std::chrono::milliseconds closeTimeout = std::chrono::seconds(5);

    /// Time over which `PushHub::stop` spreads its closes, so that thousands of clients do not come
    /// back in the same second. Should be less than the deadline of `stop`.
    std::chrono::milliseconds stopSpread = std::chrono::seconds(0);

    /// Compression of messages (RFC 7692) for the clients that offer it, from `permessageDeflate`
    /// in deflate.hpp; null for none. Of messages from a client, `maxMessageSize` counts the
    /// inflated size.
    std::shared_ptr<const MessageCompression> compression{};

    /// Keep the handshake request for `Session::header`, `query` and `cookie` after onOpen has
    /// returned. It costs its own size per session.
    bool keepRequest = true;

    /// Throws std::invalid_argument for the first option that is out of range. `path` is checked
    /// by `PathTemplate`.
    void validate() const {
        const auto checkOption = [](bool good, const char* option, auto value,
                                    const char* expected) {
            if (!good) {
                throw std::invalid_argument("pushhub: option " + std::string(option) + " is " +
                                            std::to_string(value) + ", expected " + expected);
            }
        };
        checkOption(listenSocket >= -1, "listenSocket", listenSocket,
                    "a descriptor, or -1 for none");
        checkOption(loops <= 1024, "loops", loops, "at most 1024 (0: one per core)");
        checkOption(maxMessageSize >= 1 && maxMessageSize <= std::size_t{1} << 30, "maxMessageSize",
                    maxMessageSize, "from 1 byte to 1 GiB");
        checkOption(maxFragments >= 1, "maxFragments", maxFragments, "at least 1");
        checkOption(maxQueueBytes >= 1024 && std::uint64_t{maxQueueBytes} <= std::uint64_t{1} << 38,
                    "maxQueueBytes", maxQueueBytes, "from 1024 bytes to 256 GiB");
        checkOption(maxQueueMessages >= 1 && maxQueueMessages <= std::size_t{1} << 21,
                    "maxQueueMessages", maxQueueMessages, "from 1 to 2097152");
        checkOption(whenQueueFull < OverflowPolicy::inherit, "whenQueueFull",
                    static_cast<int>(whenQueueFull), "a policy of a hub");
        checkOption(maxTotalQueueBytes >= maxQueueBytes, "maxTotalQueueBytes", maxTotalQueueBytes,
                    "at least maxQueueBytes");
        checkOption(maxSessions >= 1, "maxSessions", maxSessions, "at least 1");
        checkOption(maxHandshakeBytes >= 256 && maxHandshakeBytes <= 65535, "maxHandshakeBytes",
                    maxHandshakeBytes, "from 256 to 65535 bytes");
        checkOption(maxHttpBodySize <= std::size_t{1} << 30, "maxHttpBodySize", maxHttpBodySize,
                    "at most 1 GiB");
        detail::checkOptionTime("handshakeTimeout", handshakeTimeout);
        checkOption(maxPendingHandshakes >= 1, "maxPendingHandshakes", maxPendingHandshakes,
                    "at least 1");
        detail::checkOptionTime("closeTimeout", closeTimeout);
        constexpr std::chrono::milliseconds never(0);
        detail::checkOptionTime("stallTimeout", stallTimeout, never);
        detail::checkOptionTime("pingInterval", pingInterval, never);
        detail::checkOptionTime("pongTimeout", pongTimeout);
        detail::checkOptionTime("stopSpread", stopSpread, never);
        detail::checkOptionTime("decisionTimeout", decisionTimeout);
        if (proxyProtocol && trustedProxies.empty()) {
            throw std::invalid_argument(
                "pushhub: option proxyProtocol is true, expected trustedProxies with the proxies "
                "that send its header");
        }
    }

    /// Throws std::invalid_argument for an option that belongs to the listener, and has neither its
    /// default nor the listener's value: of a hub that joins the listener of another one.
    void validateForListener(const Options& listener) const {
        const Options byDefault;
        const auto checkOption = [&](const char* option, auto member) {
            if (this->*member != byDefault.*member && this->*member != listener.*member) {
                throw std::invalid_argument(
                    "pushhub: option " + std::string(option) + " is " + text(this->*member) +
                    ", expected " + text(listener.*member) +
                    " as the hub that owns the listener has, or the default");
            }
        };
        checkOption("address", &Options::address);
        checkOption("port", &Options::port);
        checkOption("listenSocket", &Options::listenSocket);
        checkOption("loops", &Options::loops);
        checkOption("maxConnections", &Options::maxConnections);
        checkOption("maxConnectionsPerAddress", &Options::maxConnectionsPerAddress);
        checkOption("maxConnectionsPerSecond", &Options::maxConnectionsPerSecond);
        checkOption("proxyProtocol", &Options::proxyProtocol);
        checkOption("handshakeTimeout", &Options::handshakeTimeout);
        checkOption("maxHandshakeBytes", &Options::maxHandshakeBytes);
        checkOption("maxHttpBodySize", &Options::maxHttpBodySize);
    }

    QueueLimits queueLimits() const noexcept { return {maxQueueBytes, maxQueueMessages}; }

private:
    static std::string text(const std::string& value) { return "\"" + value + "\""; }
    static std::string text(std::chrono::milliseconds value) {
        return std::to_string(value.count()) + " ms";
    }
    template <class Number>
    static std::string text(Number value) {
        if constexpr (std::is_same_v<Number, bool>) {
            return value ? "true" : "false";
        } else {
            return std::to_string(value);
        }
    }
};

}  // namespace pushhub

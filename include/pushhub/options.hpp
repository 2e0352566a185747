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

/// Maximum size of one session's queue.
struct QueueLimits {
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;
};

/// Policy for a push to a session whose queue is full.
enum class OverflowPolicy : std::uint8_t {
    close,       ///< The session is closed with 1013: a slow client must reconnect and catch up.
    dropNewest,  ///< That message is refused and counted; the session continues.
    dropOldest,  ///< The oldest waiting message is dropped to make room.
    /// A push with a key replaces a waiting push with the same key, whether or not the queue is
    /// full; other pushes are handled as with `dropOldest`. For values of which only the latest
    /// matters, such as prices. See `PushOptions::key`.
    conflate,
    inherit  ///< In `PushOptions` only: use the hub's option.
};

/// Policy for a client that exceeds its rate limit.
enum class RatePolicy : std::uint8_t {
    pause,  ///< The hub stops reading until the client may send again, so TCP slows it down.
    close   ///< The session is closed with 1008.
};

/// Policy for a new session of a user who already has the maximum number of sessions.
enum class UserLimitPolicy : std::uint8_t {
    refuse,        ///< The new session is refused with 409.
    replaceOldest  ///< The oldest session is closed with 4409.
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

/// Settings of a hub. Every limit has a safe default. The hub's constructor calls `validate`, which
/// throws std::invalid_argument naming the option and the value.
struct Options {
    /// Address to listen on, IPv4 or IPv6. Loopback by default; set "0.0.0.0" or "::" to accept
    /// remote clients, preferably together with authentication.
    std::string address = "127.0.0.1";

    /// Port to listen on; 0 selects any free port, see `PushHub::port`.
    std::uint16_t port = 8081;

    /// A listening TCP socket, such as descriptor 3 of systemd's socket activation, used instead of
    /// `address` and `port`. -1: none. Each start listens on a duplicate, so the host keeps the
    /// socket; it is made non-blocking.
    int listenSocket = -1;

    /// Path of the endpoint; `{name}` stands for one segment. See `PathTemplate`.
    std::string path = "/websocket/{userId}";

    /// The parameter of `path` that names the user.
    std::string userParameter = "userId";

    /// Number of event loops, each with one thread. 0: one for each processor that the process may
    /// use, according to its affinity and the CPU quota of its container, rounded up. A hub in the
    /// host's io_context has one loop.
    unsigned loops = 0;

    /// Maximum size of a message from a client, in bytes. A session that exceeds it is closed with
    /// 1009.
    std::size_t maxMessageSize = 64 * 1024;

    /// Maximum number of frames in one message from a client. A session that exceeds it is closed
    /// with 1008.
    std::size_t maxFragments = 1024;

    /// Maximum size of one session's queue: bytes on the wire, and messages (empty ones count).
    std::size_t maxQueueBytes = 1024 * 1024;
    std::size_t maxQueueMessages = 64 * 1024;

    /// Policy for a session with a full queue.
    OverflowPolicy whenQueueFull = OverflowPolicy::close;

    /// Maximum time without progress of a session whose queue is not empty; after that the session
    /// is closed with 1013. Progress means that the socket takes bytes or, where the operating
    /// system reports it, that the client acknowledges some. 0: no limit.
    std::chrono::milliseconds stallTimeout = std::chrono::seconds(30);

    /// Maximum size of the queues of all sessions of this hub together, in bytes. Shared messages
    /// count for each session. If it is exceeded, the session with the largest queue is closed with
    /// 1013, and meanwhile pushes to single sessions are refused.
    std::uint64_t maxTotalQueueBytes = std::uint64_t{1024} * 1024 * 1024;

    /// A client that has sent nothing for this time, less a random part of up to a quarter, gets a
    /// ping. If it sends nothing within the timeout either, its connection is aborted. The timeout
    /// restarts while data sent before the ping still reaches the client. 0: never.
    std::chrono::milliseconds pingInterval = std::chrono::seconds(30);
    std::chrono::milliseconds pongTimeout = std::chrono::seconds(10);

    /// Maximum number of messages, pings and pongs, and of bytes, that a client may send per
    /// second; bursts of up to one second's worth are allowed. 0: unlimited. `whenInboundTooFast`
    /// applies if a limit is exceeded.
    std::uint32_t maxInboundMessagesPerSecond = 0;
    std::uint64_t maxInboundBytesPerSecond = 0;
    RatePolicy whenInboundTooFast = RatePolicy::pause;

    /// Maximum number of open sessions of this hub; further handshakes get 503.
    std::size_t maxSessions = 1'000'000;

    /// Maximum number of open connections of the listener, including those still in the handshake.
    /// 0: unlimited. Excess connections are closed immediately. A listener option: set it on the
    /// first hub that shares the listener.
    std::size_t maxConnections = 0;

    /// The same limit for one client address. An IPv6 address stands for its network of 64 bits;
    /// `trustedProxies` are exempt. A listener option.
    std::size_t maxConnectionsPerAddress = 0;

    /// Maximum number of connections accepted per second; bursts of up to one second's worth are
    /// allowed. 0: unlimited. Excess connections wait. A listener option.
    std::uint32_t maxConnectionsPerSecond = 0;

    /// Origins of pages that may connect, such as "https://app.example.com" or
    /// "https://*.example.com"; "*" means any http or https origin. Origins of apps, "file://" and
    /// "null" must be listed. Empty: only pages from the same host and port. A client that sends no
    /// Origin is not a browser and is allowed. See `OriginPolicy`.
    std::vector<std::string> allowedOrigins{};

    /// Networks of reverse proxies, such as "10.0.0.0/8". X-Forwarded-For and Forwarded supply the
    /// client's address only on connections from these. See `ProxyTrust`.
    std::vector<std::string> trustedProxies{};

    /// Connections from `trustedProxies` begin with a header of the PROXY protocol, version 1 or 2,
    /// that names the client; a connection without it is closed. From other addresses a header is
    /// neither expected nor trusted. A listener option, with the `trustedProxies` of the first hub.
    bool proxyProtocol = false;

    /// Maximum time for the application to decide a handshake or a first message, and maximum
    /// number of undecided ones. After that the client gets 503, or 4401 once the connection is
    /// open.
    std::chrono::milliseconds decisionTimeout = std::chrono::seconds(10);
    std::size_t maxPendingHandshakes = 1000;

    /// Maximum number of open sessions per user, 0: unlimited, and the policy if it is reached.
    std::size_t maxSessionsPerUser = 0;
    UserLimitPolicy whenUserFull = UserLimitPolicy::refuse;

    /// If a handshake for this hub would be refused with a status, answer 101 instead and close
    /// with the code of `closeCodeFor`, because a browser does not expose the status to the page.
    bool closeInsteadOfStatus = false;

    /// Maximum time for a client's handshake, starting with the connection and including the TLS
    /// handshake. A listener option: set it on the first hub that shares the listener.
    std::chrono::milliseconds handshakeTimeout = std::chrono::seconds(10);

    /// Maximum size of a handshake request, in bytes; larger ones get 431. A listener option.
    std::size_t maxHandshakeBytes = 16 * 1024;

    /// Maximum size of the body of a plain HTTP request for `PushHub::onHttp`, in bytes; larger
    /// ones get 413. 0: no body is accepted. `handshakeTimeout` also covers the body. A listener
    /// option.
    std::size_t maxHttpBodySize = 64 * 1024;

    /// Maximum time for a client to answer a close frame before its connection is aborted; also the
    /// time within which it must take some of the response to a plain HTTP request.
    std::chrono::milliseconds closeTimeout = std::chrono::seconds(5);

    /// Time over which `PushHub::stop` spreads its closes, so that thousands of clients do not
    /// reconnect in the same second. Should be less than the deadline of `stop`.
    std::chrono::milliseconds stopSpread = std::chrono::seconds(0);

    /// Message compression (RFC 7692) for clients that offer it, from `permessageDeflate` in
    /// deflate.hpp; null: none. For messages from a client, `maxMessageSize` limits the inflated
    /// size.
    std::shared_ptr<const MessageCompression> compression{};

    /// Keep the handshake request for `Session::header`, `query` and `cookie` after onOpen has
    /// returned. This costs memory equal to the request's size per session.
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

    /// For a hub that joins the listener of another one: throws std::invalid_argument for a
    /// listener option that has neither its default nor the listener's value.
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

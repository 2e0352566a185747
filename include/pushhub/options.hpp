#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace pushhub {

/// How much may wait in one session's queue.
struct QueueLimits {
    std::size_t bytes = 0;
    std::size_t messages = 0;
};

/// What happens to a push that a session's full queue cannot take.
enum class OverflowPolicy : std::uint8_t {
    close,      ///< The session is closed with 1013: a client too slow must come back and catch up.
    dropNewest  ///< That message is refused, and counted; the session goes on.
};

/// What happens to the session of a user who has as many as they may.
enum class UserLimitPolicy : std::uint8_t {
    refuse,        ///< The new one is refused with 409.
    replaceOldest  ///< The oldest one is closed with 4409.
};

namespace detail {

inline void checkOptionTime(const char* option, std::chrono::milliseconds value) {
    if (value < std::chrono::milliseconds(1) || value > std::chrono::hours(24)) {
        throw std::invalid_argument("pushhub: option " + std::string(option) + " is " +
                                    std::to_string(value.count()) +
                                    " ms, expected from 1 ms to 24 h");
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

    /// Path of the endpoint; `{name}` stands for one segment. See `PathTemplate`.
    std::string path = "/websocket/{userId}";

    /// The parameter of `path` that names the user.
    std::string userParameter = "userId";

    /// Event loops, a thread each; 0 means one per core. A hub in the host's io_context has one.
    unsigned loops = 0;

    /// Largest message taken from a client, in bytes; beyond it the session is closed with 1009.
    std::size_t maxMessageSize = 64 * 1024;

    /// Most that may wait for one session: bytes on the wire, and messages (empty ones count).
    std::size_t maxQueueBytes = 1024 * 1024;
    std::size_t maxQueueMessages = 64 * 1024;

    /// What a session with a full queue gets.
    OverflowPolicy whenQueueFull = OverflowPolicy::close;

    /// Most sessions of this hub at a time; a handshake beyond it gets 503.
    std::size_t maxSessions = 1'000'000;

    /// Origins that browsers may come from, such as "https://app.example.com" or
    /// "https://*.example.com"; "*" for any. Empty: only pages from the same host and port. A
    /// client that sends no Origin is no browser and may come. See `OriginPolicy`.
    std::vector<std::string> allowedOrigins{};

    /// Networks of reverse proxies, such as "10.0.0.0/8": only from them X-Forwarded-For and
    /// Forwarded tell the address of the client. See `ProxyTrust`.
    std::vector<std::string> trustedProxies{};

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

    /// Time a client has for its handshake, from the connection on. Of the listener: set it on the
    /// first hub that shares one.
    std::chrono::milliseconds handshakeTimeout = std::chrono::seconds(10);

    /// Largest handshake request, in bytes; beyond it 431. Of the listener, like the timeout.
    std::size_t maxHandshakeBytes = 16 * 1024;

    /// Time a client has to answer a close frame before its connection is cut.
    std::chrono::milliseconds closeTimeout = std::chrono::seconds(5);

    /// Keep the handshake request for `Session::header`, `query` and `cookie` after onOpen has
    /// returned. It costs its own size per session.
    bool keepRequest = true;

    /// Throws std::invalid_argument for the first option that is out of range. `path` is checked
    /// by `PathTemplate`.
    void validate() const {
        const auto check = [](bool good, const char* option, auto value, const char* expected) {
            if (!good) {
                throw std::invalid_argument("pushhub: option " + std::string(option) + " is " +
                                            std::to_string(value) + ", expected " + expected);
            }
        };
        check(loops <= 1024, "loops", loops, "at most 1024 (0: one per core)");
        check(maxMessageSize >= 1 && maxMessageSize <= std::size_t{1} << 30, "maxMessageSize",
              maxMessageSize, "from 1 byte to 1 GiB");
        check(maxQueueBytes >= 1024 && maxQueueBytes <= std::size_t{1} << 39, "maxQueueBytes",
              maxQueueBytes, "from 1024 bytes to 512 GiB");
        check(maxQueueMessages >= 1 && maxQueueMessages <= std::size_t{1} << 22, "maxQueueMessages",
              maxQueueMessages, "from 1 to 4194304");
        check(maxSessions >= 1, "maxSessions", maxSessions, "at least 1");
        check(maxHandshakeBytes >= 256 && maxHandshakeBytes <= 65535, "maxHandshakeBytes",
              maxHandshakeBytes, "from 256 to 65535 bytes");
        detail::checkOptionTime("handshakeTimeout", handshakeTimeout);
        check(maxPendingHandshakes >= 1, "maxPendingHandshakes", maxPendingHandshakes,
              "at least 1");
        detail::checkOptionTime("closeTimeout", closeTimeout);
        detail::checkOptionTime("decisionTimeout", decisionTimeout);
    }

    QueueLimits queueLimits() const noexcept { return {maxQueueBytes, maxQueueMessages}; }
};

}  // namespace pushhub

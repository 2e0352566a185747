// A fixed small scenario whose instructions are counted under callgrind: one hub in an io_context
// that this thread polls, and bare sockets of the same thread as its clients, so that the same work
// happens in the same order on every run. Only what the collected functions call is counted; the
// clients are not.
//
//   callgrind_scenario handshake|paced|burst|one|inbound      prints "units N"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kSessions = 100;
constexpr std::size_t kPushes = 50;
constexpr std::size_t kMessageSize = 128;
constexpr int kPatience = 100000;  // polls until a scenario is given up

using Hub = pushhub::PushHub<>;

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "callgrind_scenario: %s\n", what);
    std::exit(1);
}

class Client {
public:
    Client(std::uint16_t port, std::size_t user) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_port = htons(port);
        peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0) {
            fail("connect failed");
        }
        fcntl(fd_, F_SETFL, O_NONBLOCK);
        write("GET /websocket/u" + std::to_string(user) +
              " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    }

    ~Client() { close(fd_); }

    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void write(std::string_view bytes) {
        if (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(bytes.size())) {
            fail("send failed");
        }
    }

    /// Waits until the server's kernel has what was written: a poll that finds nothing costs, too.
    void settle() const {
        int underWay = 1;
        for (int i = 0; ioctl(fd_, SIOCOUTQ, &underWay) == 0 && underWay > 0; ++i) {
            if (i > kPatience) {
                fail("what was written does not arrive");
            }
            poll(nullptr, 0, 1);
        }
    }

    /// Takes what has arrived; returns how many bytes.
    std::size_t drain() {
        char buffer[16384];
        std::size_t total = 0;
        for (ssize_t got = 0; (got = recv(fd_, buffer, sizeof buffer, 0)) > 0;) {
            total += static_cast<std::size_t>(got);
        }
        return total;
    }

private:
    int fd_;
};

using Clients = std::vector<std::unique_ptr<Client>>;

void settle(const Clients& clients) {
    for (const auto& client : clients) {
        client->settle();
    }
}

std::size_t drain(const Clients& clients) {
    std::size_t total = 0;
    for (const auto& client : clients) {
        total += client->drain();
    }
    return total;
}

}  // namespace

// The names that callgrind collects. They must not call each other: the option toggles.
extern "C" {

__attribute__((noinline)) std::size_t collectedPoll(asio::io_context& context) {
    if (context.stopped()) {
        context.restart();
    }
    return context.poll();
}

__attribute__((noinline)) void collectedSendAll(Hub& hub, const std::string& text,
                                                std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
        hub.sendAll(text);
    }
}

__attribute__((noinline)) void collectedSendOne(Hub& hub, const std::string& user,
                                                const std::string& text) {
    hub.sendOne(user, text);
}

}  // extern "C"

namespace {

/// For the part of a scenario that is not counted. Not the same code as collectedPoll, or the
/// compiler makes one function of both and callgrind counts the wrong calls.
std::size_t quietPoll(asio::io_context& context) {
    if (context.stopped()) {
        context.restart();
    }
    std::size_t done = 0;
    while (context.poll_one() > 0) {
        ++done;
    }
    return done;
}

void expectBytes(asio::io_context& context, const Clients& clients, std::size_t bytes) {
    std::size_t got = 0;
    for (int i = 0; got < bytes; ++i) {
        collectedPoll(context);
        got += drain(clients);
        if (i > kPatience) {
            fail("messages are missing");
        }
    }
    if (got != bytes) {
        fail("more arrived than was pushed");
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::string scenario = argc > 1 ? argv[1] : "";
    asio::io_context context;
    pushhub::Options options;
    options.port = 0;
    Hub hub(options, context);
    std::size_t received = 0;
    hub.onMessage([&received](pushhub::SessionPtr, std::string_view) { ++received; });
    hub.start();

    const bool countHandshakes = scenario == "handshake";
    Clients clients;
    for (std::size_t i = 0; i < kSessions; ++i) {
        clients.push_back(std::make_unique<Client>(hub.port(), i));
    }
    settle(clients);
    for (int i = 0; hub.sessionCount() < kSessions; ++i) {
        if (countHandshakes) {
            collectedPoll(context);
        } else {
            quietPoll(context);
        }
        if (i > kPatience) {
            fail("handshakes are missing");
        }
    }
    drain(clients);

    const std::string text(kMessageSize, 'x');
    const std::size_t frameSize = kMessageSize + 4;
    std::size_t units = kSessions * kPushes;
    if (countHandshakes) {
        units = kSessions;
    } else if (scenario == "paced") {
        for (std::size_t i = 0; i < kPushes; ++i) {
            collectedSendAll(hub, text, 1);
            expectBytes(context, clients, kSessions * frameSize);
        }
    } else if (scenario == "burst") {
        collectedSendAll(hub, text, kPushes);
        expectBytes(context, clients, kSessions * kPushes * frameSize);
    } else if (scenario == "one") {
        std::vector<std::string> users;
        for (std::size_t i = 0; i < kSessions; ++i) {
            users.push_back("u" + std::to_string(i));
        }
        for (std::size_t i = 0; i < units; ++i) {
            collectedSendOne(hub, users[i % kSessions], text);
            collectedPoll(context);
            if (i % kSessions == kSessions - 1 && drain(clients) != kSessions * frameSize) {
                fail("messages are missing");
            }
        }
    } else if (scenario == "inbound") {
        // A masked text message of 16 bytes; the mask is arbitrary but fixed.
        std::string frame{'\x81', '\x90', '\x5A', '\x43', '\x11', '\x7E'};
        for (std::size_t i = 0; i < 16; ++i) {
            frame.push_back(static_cast<char>('x' ^ frame[2 + i % 4]));
        }
        for (std::size_t i = 0; i < kPushes; ++i) {
            for (const auto& client : clients) {
                client->write(frame);
            }
            settle(clients);
            for (int j = 0; received < (i + 1) * kSessions; ++j) {
                collectedPoll(context);
                if (j > kPatience) {
                    fail("messages are missing");
                }
            }
        }
    } else {
        fail("usage: callgrind_scenario handshake|paced|burst|one|inbound");
    }
    std::printf("units %zu\n", units);
    std::fflush(stdout);
    _exit(0);  // what a shutdown costs is not part of the scenario
}

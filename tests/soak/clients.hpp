#pragma once

// Clients that behave well, are slow, never read, lie, or die; many on one thread.

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "soak/endpoint.hpp"

namespace pushhub::soak {

using protocol::Opcode;
using test::SocketClient;

/// One client, driven without blocking. It leaves in its own way when its time is over.
class Client {
public:
    enum class Kind {
        good,
        slow,        // reads a little now and then
        never,       // stops reading, and later dies
        vanishing,   // stops reading, and waits until the server has noticed
        resetting,   // dies without a word
        lying,       // breaks the protocol
        chattering,  // sends more than it may
        undecided,   // its handshake is refused, or never decided
        impatient,   // dies while its handshake is decided
        garbage,     // knows no HTTP, and on a TLS port no TLS
        half         // its handshake, of TLS or HTTP, is never complete
    };

    Client(Endpoint& endpoint, Book& book, Report& report, Random& random)
        : endpoint_(endpoint),
          book_(book),
          report_(report),
          kind_(choose(random)),
          mood_(random()),
          leaves_(Clock::now() + std::chrono::milliseconds(random() % 4000)) {
        report_.count("clients: " + std::string(nameOf(kind_)));
        try {
            begin();
        } catch (const std::exception&) {
            report_.count("clients that found the hub stopped");
            finish();
        }
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client() { finish(); }

    bool ended() const noexcept { return !socket_; }

    /// What to poll, if it wants to read now.
    std::optional<pollfd> wants() const {
        if (!socket_ || deaf_ || Clock::now() < nextRead_) {
            return std::nullopt;
        }
        return pollfd{socket_->fd(), POLLIN, 0};
    }

    void readable() {
        guarded([&] {
            try {
                do {
                    const bool alive = socket_->readMore(std::chrono::milliseconds(0));
                    take();
                    if (!alive) {
                        finish();
                    }
                } while (socket_ && buffered(*socket_));
            } catch (const SocketClient::Timeout&) {
                // A part of a TLS record.
            }
            if (kind_ == Kind::slow) {
                nextRead_ = Clock::now() + std::chrono::milliseconds(20 + mood_ % 200);
            }
        });
    }

    /// Called often. In a hurry it leaves now.
    void act(bool hurry) {
        const auto now = Clock::now();
        if (!socket_) {
            return;
        }
        if (hurry) {
            leaves_ = std::min(leaves_, now);
        }
        guarded([&] {
            if (open_ && kind_ == Kind::good && !leaving_ && now >= nextSend_) {
                nextSend_ = now + std::chrono::milliseconds(100 + mood_ % 200);
                socket_->sendText("how are you?");
            }
            if (now >= leaves_ && !leaving_) {
                leaving_ = true;
                leave(hurry);
            }
            // What is on the way to a slow one would take it too long.
            if (socket_ && hurry && (deaf_ || kind_ == Kind::slow)) {
                finish(true);
            }
        });
        if (socket_ && now > leaves_ + tooLong) {
            report_.fail(std::string("a connection goes on long after its client left: ") +
                         nameOf(kind_));
            finish(true);
        }
    }

private:
    // For the server to notice, and for everything that was on the way.
    static constexpr std::chrono::seconds tooLong{30};

    static Kind choose(Random& random) {
        constexpr Kind others[] = {
            Kind::slow,       Kind::slow,      Kind::never,     Kind::never,   Kind::vanishing,
            Kind::resetting,  Kind::resetting, Kind::lying,     Kind::lying,   Kind::lying,
            Kind::chattering, Kind::undecided, Kind::impatient, Kind::garbage, Kind::half};
        return random() % 3 == 0 ? Kind::good : others[random() % std::size(others)];
    }

    static const char* nameOf(Kind kind) {
        constexpr const char* names[] = {"good",      "slow",    "never reading",   "vanishing",
                                         "resetting", "lying",   "chattering",      "undecided",
                                         "impatient", "garbage", "half a handshake"};
        return names[static_cast<std::size_t>(kind)];
    }

    void begin() {
        if (kind_ == Kind::garbage || kind_ == Kind::half) {
            // Without TLS, even where it is spoken.
            socket_.emplace(endpoint_.port());
            socket_->sendBytes(kind_ == Kind::garbage ? std::string("\x16\x03\x01\xff\xff\0\r\n", 8)
                               : endpoint_.tls        ? std::string("\x16\x03\x01\x02", 4)
                                               : "GET /" + endpoint_.name + "/1 HTTP/1.1\r\nHost:");
            return;
        }
        socket_.emplace(endpoint_.connect());
        if (kind_ == Kind::slow || kind_ == Kind::never || kind_ == Kind::vanishing) {
            const int small = 64 * 1024;
            ::setsockopt(socket_->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        }
        ledger_ = book_.enter(endpoint_.name, endpoint_.own, endpoint_.own && mood_ % 2 == 0);
        const bool later = kind_ == Kind::impatient || mood_ % 3 == 0;
        // 404 while this hub is stopped and the other one on the port is not.
        expected_ = kind_ != Kind::undecided ? std::set<int>{101, 404, 503}
                    : mood_ % 2 == 0         ? std::set<int>{401, 404, 503}
                                             : std::set<int>{503, 404, 101};
        socket_->sendBytes(test::handshakeRequest(
            endpoint_.target(*ledger_, kind_ == Kind::undecided ? mood_ % 2 == 0 ? "no" : "never"
                                       : later                  ? "later"
                                                                : "now")));
        if (kind_ == Kind::impatient) {
            leaves_ = Clock::now() + std::chrono::milliseconds(mood_ % 200);
        }
    }

    // Bytes that TLS has read and not handed out: the socket will not become readable for them.
    static bool buffered(const SocketClient& socket) {
        if (!socket.layer()) {
            return false;
        }
        SSL* const ssl = test::tlsOf(socket).ssl();
        return SSL_pending(ssl) > 0 || BIO_pending(SSL_get_rbio(ssl)) > 0;
    }

    void take() {
        if (ledger_ && !open_) {
            const std::optional<int> status = socket_->takeStatus();
            if (!status) {
                return;
            }
            report_.count("handshakes answered with " + std::to_string(*status));
            report_.check(expected_.count(*status) == 1,
                          "a handshake was answered with " + std::to_string(*status));
            open_ = *status == 101;
            if (!open_) {
                finish();
                return;
            }
            begun();
        }
        while (socket_ && open_) {
            const auto frame = socket_->takeFrame();
            if (!frame) {
                return;
            }
            switch (frame->opcode) {
                case Opcode::text:
                    ledger_->take(frame->payload);
                    break;
                case Opcode::ping:
                    socket_->sendBytes(clientFrame(Opcode::pong, frame->payload));
                    break;
                case Opcode::close: {
                    std::string_view reason = frame->payload;
                    const auto code = protocol::takeCloseCode(reason);
                    report_.count("closed with " + std::to_string(static_cast<int>(code)));
                    ledger_->sawClose = true;
                    if (!closed_) {
                        closed_ = true;
                        socket_->sendClose(CloseCode::normal);
                    }
                    finish();
                    return;
                }
                case Opcode::pong:
                    break;
                default:
                    ledger_->wrong = true;
            }
        }
    }

    void begun() {
        deaf_ = kind_ == Kind::never || kind_ == Kind::vanishing;
        if (kind_ == Kind::chattering) {
            std::string pings;
            for (int i = 0; i < 1200; ++i) {
                pings += i % 3 == 0 ? clientFrame(Opcode::text, "again")
                                    : clientFrame(Opcode::ping, "x");
            }
            socket_->sendBytes(pings);
        }
    }

    void leave(bool hurry) {
        switch (kind_) {
            case Kind::good:
            case Kind::slow:
            case Kind::chattering:
            case Kind::undecided:
                if (!open_) {
                    leaving_ = false;  // once the handshake is answered
                    break;
                }
                if (mood_ % 3 == 0) {
                    socket_->sendText("bye");  // asks the server to close
                } else if (!closed_) {
                    closed_ = true;
                    socket_->sendClose(CloseCode::normal);
                }
                break;
            case Kind::lying:
                if (!open_) {
                    leaving_ = false;  // once the handshake is answered, or it would never lie
                    break;
                }
                socket_->sendBytes(lie());
                break;
            case Kind::vanishing:
                if (deaf_ && !hurry) {
                    leavesTheServerToNotice();
                    break;
                }
                finish(true);
                break;
            case Kind::never:
            case Kind::resetting:
            case Kind::impatient:
                finish(mood_ % 2 == 0);
                break;
            case Kind::garbage:
            case Kind::half:
                break;  // the server ends it
        }
    }

    // The socket stays open and is never read, until the ledger says that the session has ended.
    void leavesTheServerToNotice() {
        if (ledger_->closed > 0) {
            report_.count("vanished clients noticed");
            finish(true);
            return;
        }
        leaving_ = false;  // look again
    }

    std::string lie() const {
        switch (mood_ / 8 % 9) {
            case 0:
                return std::string("\x81\x01x", 3);  // not masked
            case 1:
                return clientFrame(static_cast<Opcode>(3), "reserved");
            case 2:
                return clientFrame(Opcode::text, "\xC0\xAF");  // no UTF-8
            case 3:
                return clientFrame(Opcode::text, std::string(20000, 'x'));  // too big
            case 4:
                return clientFrame(Opcode::ping, "in parts", false);
            case 5:
                return clientFrame(Opcode::binary, "only text is taken");
            case 6:
                return clientFrame(Opcode::continuation, "of nothing");
            case 7:
                return clientFrame(Opcode::close, std::string("\x03\xED", 2));  // 1005
            default:
                return std::string(300, '\xFF');
        }
    }

    template <class Function>
    void guarded(Function function) {
        try {
            function();
        } catch (const std::exception&) {
            report_.count("connections that broke");
            finish();
        }
    }

    void finish(bool reset = false) {
        if (socket_) {
            socket_->disconnect(reset);
            socket_.reset();
        }
        if (ledger_) {
            ledger_->leftAt = Clock::now();
            ledger_->left = true;
            ledger_ = nullptr;
        }
    }

    Endpoint& endpoint_;
    Book& book_;
    Report& report_;
    const Kind kind_;
    const std::uint64_t mood_;
    Clock::time_point leaves_;
    Clock::time_point nextRead_{};
    Clock::time_point nextSend_{};
    std::optional<SocketClient> socket_;
    LedgerPtr ledger_;  // of a client that asks for a session
    std::set<int> expected_;
    bool open_ = false;
    bool deaf_ = false;     // reads nothing
    bool closed_ = false;   // has sent a close frame
    bool leaving_ = false;  // has begun to leave
};

/// Up to `most` clients on the calling thread, until `over`; while there is a `pause` they leave
/// and none come.
inline void beClients(const std::vector<std::unique_ptr<Endpoint>>& endpoints, Book& book,
                      Report& report, unsigned seed, std::size_t most,
                      const std::atomic<bool>& pause, const std::atomic<bool>& over,
                      std::atomic<std::size_t>& present) {
    Random random(seed);
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<pollfd> polled;
    std::vector<Client*> readers;
    std::size_t known = 0;
    while (!over || !clients.empty()) {
        const bool hurry = pause || over;
        for (int i = 0; i < 2 && !hurry && clients.size() < most; ++i) {
            clients.push_back(std::make_unique<Client>(*endpoints[random() % endpoints.size()],
                                                       book, report, random));
        }
        polled.clear();
        readers.clear();
        for (const auto& client : clients) {
            client->act(hurry);
            if (const auto want = client->wants()) {
                polled.push_back(*want);
                readers.push_back(client.get());
            }
        }
        ::poll(polled.data(), static_cast<nfds_t>(polled.size()), 10);
        for (std::size_t i = 0; i < polled.size(); ++i) {
            if (polled[i].revents != 0) {
                readers[i]->readable();
            }
        }
        clients.erase(std::remove_if(clients.begin(), clients.end(),
                                     [](const auto& client) { return client->ended(); }),
                      clients.end());
        present += clients.size() - known;
        known = clients.size();
    }
}

}  // namespace pushhub::soak

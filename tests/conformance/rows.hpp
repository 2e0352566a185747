#pragma once

// What the tables in this folder share: a row, which says what a client sends, what comes back, and
// what the application is told; and the two ends that play it, as a whole, in single bytes, and cut
// at byte boundaries, over every transport of the harness.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/protocol/close_payload.hpp>

#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/harness.hpp"

namespace pushhub::test {

using Strings = std::vector<std::string>;

inline constexpr std::size_t messageLimit = 1 << 20;

/// A message with its kind, as a client gets it and the application sees it.
inline std::string asText(std::string_view payload) {
    return std::string("text ").append(payload);
}
inline std::string asBinary(std::string_view payload) {
    return std::string("binary ").append(payload);
}
inline std::string ofKind(unsigned opcode, std::string_view payload) {
    return opcode == wire::text ? asText(payload) : asBinary(payload);
}

struct Row {
    const char* section;
    std::string name;
    std::string bytes;
    Strings messages{};  // echoed, and seen by the application
    Strings pongs{};
    std::optional<CloseCode>
        close{};           // that the server sends; without: the client closes with 1000
    std::string reason{};  // of a close that the client began
    ClosedBy by = ClosedBy::peer;
};
using Rows = std::vector<Row>;

inline Row violation(const char* section, std::string name, std::string bytes,
                     CloseCode code = CloseCode::protocolError, Strings before = {}) {
    return {section, std::move(name), std::move(bytes), std::move(before), {}, code,
            {},      ClosedBy::hub};
}

/// The message in pieces, the last of which is final.
inline std::string inFragments(unsigned opcode, std::string_view payload, std::size_t size) {
    std::string bytes;
    for (unsigned next = opcode;; next = wire::continuation) {
        const std::string_view piece = payload.substr(0, size);
        payload.remove_prefix(piece.size());
        if (payload.empty()) {
            return bytes + wire::clientFrame(next, piece);
        }
        bytes += wire::fragment(next, piece);
    }
}
inline std::string number(std::uint64_t value) {
    return std::to_string(value);
}

// Well-formed: the ends of each range of Unicode, and what is no character but a code point.
inline const Strings goodTexts{std::string(1, '\0'),
                               "\x7f",
                               "\xc2\x80",
                               "\xdf\xbf",
                               "\xe0\xa0\x80",
                               "\xef\xbf\xbf",
                               "\xf0\x90\x80\x80",
                               "\xf4\x8f\xbf\xbf",
                               "\xed\x9f\xbf",
                               "\xee\x80\x80",
                               "\xef\xbf\xbd",
                               "\xef\xbf\xbe",
                               "\xef\xb7\x90",
                               "\xef\xb7\xaf",
                               "\xef\xbb\xbf",
                               "\xf0\x9f\xbf\xbe",
                               "\xf0\x9f\xbf\xbf",
                               "\xf1\x8f\xbf\xbe",
                               "\xf3\xbf\xbf\xbf",
                               "\xf4\x8f\xbf\xbe",
                               "h\xc3\xa4llo \xe2\x82\xac \xf0\x9f\x91\x8b"};

// Ill-formed whatever follows.
inline const Strings badTexts{"\x80",
                              "\xbf",
                              "\x80\xbf\x80",
                              "a\x80",
                              "\xc0\x80",
                              "\xc0\xaf",
                              "\xc1\xbf",
                              "\xc2 ",
                              "\xc2\xc2",
                              "\xdf\x7f",
                              "\xe0\x80\x80",
                              "\xe0\x9f\xbf",
                              "\xe0\xa0 ",
                              "\xe1 ",
                              "\xe2\x82 ",
                              "\xef\xbf\x7f",
                              "\xed\xa0\x80",
                              "\xed\xad\xbf",
                              "\xed\xae\x80",
                              "\xed\xaf\xbf",
                              "\xed\xb0\x80",
                              "\xed\xbe\x80",
                              "\xed\xbf\xbf",
                              "\xed\xa0\x80\xed\xb0\x80",
                              "\xf0\x80\x80\x80",
                              "\xf0\x8f\xbf\xbf",
                              "\xf0 ",
                              "\xf0\x90 ",
                              "\xf0\x90\x80 ",
                              "\xf4\x90\x80\x80",
                              "\xf5\x80\x80\x80",
                              "\xf7\xbf\xbf\xbf",
                              "\xf8\x88\x80\x80\x80",
                              "\xfb\xbf\xbf\xbf\xbf",
                              "\xfc\x84\x80\x80\x80\x80",
                              "\xfd",
                              "\xfe",
                              "\xff",
                              "\xfe\xfe\xff\xff",
                              "good \xe2\x82\xac\xed\xa0\x80 bad",
                              "good \xf4\x90\x80\x80 bad"};

// Well-formed so far, and cut short.
inline const Strings cutTexts{"\xc2",     "\xdf",          "\xe0",     "\xe2\x82",
                              "\xef\xbf", "\xf0",          "\xf0\x90", "\xf0\x9f\x91",
                              "\xf4\x8f", "good \xe2\x82", "\xed\x9f"};

// The two ends --------------------------------------------------------------------------------

struct Seen {
    Strings messages;
    std::vector<CloseInfo> closes;
};

/// A hub that echoes, and what its application is told, by user.
template <class Transport>
class EchoHub {
public:
    using H = Harness<Transport>;

    explicit EchoHub(Options options = H::options()) : hub(adjusted(std::move(options))) {
        hub.onMessage([this](const SessionPtr& session, const Message& message) {
            const bool isText = message.type == MessageType::text;
            {
                const std::lock_guard<std::mutex> lock(mutex_);
                seen_[session->userId()].messages.push_back(isText ? asText(message.data)
                                                                   : asBinary(message.data));
            }
            isText ? session->send(message.data) : session->sendBinary(message.data);
        });
        hub.onOpen([this](const SessionPtr& session) {
            const std::lock_guard<std::mutex> lock(mutex_);
            sessions_[session->userId()] = session;
        });
        hub.onClose([this](const SessionPtr& session, const CloseInfo& info) {
            const std::lock_guard<std::mutex> lock(mutex_);
            sessions_.erase(session->userId());
            seen_[session->userId()].closes.push_back(info);
        });
        hub.start();
    }

    /// As the application closes the only session of a user.
    void close(const std::string& user, CloseCode code, std::string_view reason = {}) {
        const std::lock_guard<std::mutex> lock(mutex_);
        sessions_.at(user)->close(code, reason);
    }

    Seen seen(const std::string& user) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return seen_[user];
    }
    /// Waits for the end of a session, and tells it.
    Seen ended(const std::string& user) {
        REQUIRE(H::until(hub, [&] { return !seen(user).closes.empty(); }));
        return seen(user);
    }

private:
    static Options adjusted(Options options) {
        options.maxMessageSize = messageLimit;
        options.maxFragments = 1'000'000;
        options.maxQueueBytes = 4 * messageLimit;
        return options;
    }

    std::mutex mutex_;
    std::map<std::string, Seen> seen_;
    std::map<std::string, SessionPtr> sessions_;

public:
    typename H::Hub hub;  // the last: its hooks use the others
};

/// What a client of the rows asks for in its handshake.
struct Terms {
    std::string headers{};
    /// Reads a compressed message; without: there must be none.
    std::function<std::string(std::string_view)> inflate{};
};

/// What a client got.
struct Received {
    Strings messages;
    Strings pongs;
    std::optional<CloseCode> close;
    std::string reason;
    bool strict = true;  // each frame was as a server's must be, and none followed the close frame
};

/// The client's end of a connection, over sockets: it takes frames apart by itself, strictly.
template <class Transport>
class Peer {
public:
    using Hub = typename Harness<Transport>::Hub;
    static constexpr bool inMemory = false;

    explicit Peer(Hub& hub, Terms terms = {})
        : terms_(std::move(terms)), client_(Harness<Transport>::connectSocket(hub)) {}

    /// False if the server has ended the connection already.
    bool send(std::string_view bytes) {
        try {
            client_.sendBytes(bytes);
            return true;
        } catch (const std::runtime_error&) {
            return false;
        }
    }
    void settle() {}

    int status() { return client_.readStatus(); }
    const std::string& head() { return client_.head(); }

    /// Reads until there is that much, or the end.
    void await(std::size_t messages, std::size_t pongs) {
        take();
        while (!received_.close &&
               (received_.messages.size() < messages || received_.pongs.size() < pongs) &&
               client_.readMore()) {
            take();
        }
    }
    /// Reads on to the end of the connection.
    const Received& all() {
        while (client_.readMore()) {
        }
        take();
        received_.strict = received_.strict && bytes_.empty();
        return received_;
    }

private:
    void take() {
        bytes_ += client_.takeBytes();
        for (;;) {
            const auto at = [this](std::size_t i) { return static_cast<unsigned char>(bytes_[i]); };
            if (bytes_.size() < 2) {
                return;
            }
            const std::size_t form = at(1) < 126 ? 0 : at(1) == 126 ? 2 : 8;
            if (bytes_.size() < 2 + form) {
                return;
            }
            std::uint64_t size = form == 0 ? at(1) : 0;
            for (std::size_t i = 0; i < form; ++i) {
                size = size << 8 | at(2 + i);
            }
            if (bytes_.size() - 2 - form < size) {
                return;
            }
            // Final, not masked, the shortest length, nothing behind a close; and no reserved bit
            // but RSV1 of a message, where that was agreed on.
            const unsigned opcode = at(0) & 0x0F;
            const bool data = opcode == wire::text || opcode == wire::binary;
            const bool compressed = data && terms_.inflate && (at(0) & 0x40) != 0;
            received_.strict = received_.strict && (at(0) & 0xF0) == (compressed ? 0xC0 : 0x80) &&
                               at(1) < 128 &&
                               size >= (form == 0   ? 0U
                                        : form == 2 ? 126U
                                                    : 65536U) &&
                               !received_.close;
            const std::string payload = bytes_.substr(2 + form, size);
            bytes_.erase(0, 2 + form + size);
            if (data) {
                received_.messages.push_back(
                    ofKind(opcode, compressed ? terms_.inflate(payload) : payload));
            } else if (opcode == wire::pong) {
                received_.pongs.push_back(payload);
            } else if (opcode == wire::closing) {
                std::string_view reason = payload;
                received_.close = protocol::takeCloseCode(reason);
                received_.reason = reason;
            } else {
                received_.strict = false;
            }
        }
    }

    const Terms terms_;
    SocketClient client_;
    std::string bytes_;
    Received received_;
};

/// The same in memory, where the library's own client takes the frames apart.
template <>
class Peer<LoopbackTransport> {
public:
    using Hub = Harness<LoopbackTransport>::Hub;
    static constexpr bool inMemory = true;

    explicit Peer(Hub& hub, Terms terms = {})
        : hub_(hub), terms_(std::move(terms)), client_(hub.transport().connectRaw()) {
        client_->setReading(true, 8 * messageLimit);
    }
    bool send(std::string_view bytes) {
        client_->sendBytes(bytes);
        return true;
    }
    /// What was sent arrives before anything else is.
    void settle() { hub_.transport().poll(); }
    int status() {
        settle();
        return client_->status();
    }
    const std::string& head() { return client_->response(); }
    void await(std::size_t, std::size_t) { settle(); }
    const Received& all() {
        settle();
        for (const LoopbackClient::Received& one : client_->take()) {
            received_.strict = received_.strict && (!one.compressed || terms_.inflate);
            const std::string data =
                one.compressed && terms_.inflate ? terms_.inflate(one.data) : one.data;
            received_.messages.push_back(one.type == MessageType::text ? asText(data)
                                                                       : asBinary(data));
        }
        received_.pongs.resize(client_->pongs());
        received_.close = client_->closeCode();
        received_.reason = client_->closeReason();
        return received_;
    }

private:
    Hub& hub_;
    const Terms terms_;
    const std::shared_ptr<LoopbackClient> client_;
    Received received_;
};

/// Where a row is cut. In memory everywhere, or some dozens of times if it is long; a connection of
/// a socket costs enough that each row has a few, which differ from row to row.
template <class Transport>
std::set<std::size_t> cuts(std::size_t size, std::size_t row) {
    std::set<std::size_t> places;
    if (Peer<Transport>::inMemory) {
        const std::size_t step = size < 700 ? 1 : std::max<std::size_t>(997, size / 30);
        for (std::size_t at = 1; at < size; at += at < 16 || at + 16 > size ? 1 : step) {
            places.insert(at);
        }
    } else if (size > 1) {
        for (const std::size_t at : {row % 14 + 1, row * 7 % (size - 1) + 1, size - 1}) {
            if (at < size) {
                places.insert(at);
            }
        }
    }
    return places;
}

template <class Transport>
void runOnce(EchoHub<Transport>& hub, const Terms& terms, const std::string& user, const Row& row,
             const std::vector<std::string_view>& pieces) {
    Peer<Transport> peer(hub.hub, terms);
    peer.send(handshakeRequest("/websocket/" + user, terms.headers));
    REQUIRE(peer.status() == 101);
    for (const std::string_view piece : pieces) {
        if (!peer.send(piece)) {
            break;
        }
        peer.settle();
    }
    if (!row.close) {
        peer.await(row.messages.size(), row.pongs.size());
        peer.send(wire::clientClose(1000));
    }
    const Received& received = peer.all();
    const CloseCode code = row.close.value_or(CloseCode::normal);
    CHECK(received.strict);
    CHECK(received.messages == row.messages);
    if (Peer<Transport>::inMemory) {
        CHECK(received.pongs.size() == row.pongs.size());
    } else {
        CHECK(received.pongs == row.pongs);
    }
    REQUIRE(received.close);
    CHECK(*received.close == code);
    if (row.by == ClosedBy::peer) {
        CHECK(received.reason == row.reason);
    }
    const Seen seen = hub.ended(user);
    CHECK(seen.messages == row.messages);
    REQUIRE(seen.closes.size() == 1);
    const CloseInfo& info = seen.closes.front();
    CHECK(info.code == code);
    CHECK(info.by == row.by);
    CHECK(info.clean == (row.by == ClosedBy::peer));
    CHECK(info.deliveredMessages == row.messages.size());
    CHECK(info.undeliveredMessages == 0);
}

template <class Transport>
void runRows(const Rows& rows, Options options = Harness<Transport>::options(),
             const Terms& terms = {}) {
    EchoHub<Transport> hub(std::move(options));
    std::size_t users = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        const std::string_view bytes = row.bytes;
        INFO("section " << row.section << ": " << row.name);
        runOnce(hub, terms, number(++users), row, {bytes});
        if (bytes.size() <= 2000) {
            INFO("in single bytes");
            std::vector<std::string_view> pieces;
            for (std::size_t at = 0; at < bytes.size(); ++at) {
                pieces.push_back(bytes.substr(at, 1));
            }
            runOnce(hub, terms, number(++users), row, pieces);
        }
        for (const std::size_t cut : cuts<Transport>(bytes.size(), i)) {
            INFO("cut at " << cut);
            runOnce(hub, terms, number(++users), row, {bytes.substr(0, cut), bytes.substr(cut)});
        }
    }
}

}  // namespace pushhub::test

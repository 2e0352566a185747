// RFC 6455 from the side of a server, as a table: what a client sends, what comes back, and what
// the application is told; each row as a whole, in single bytes, and cut at byte boundaries, over
// every transport of the harness. Sections are those of the RFC.

#include <chrono>
#include <cstddef>
#include <cstdint>
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

#include <pushhub/protocol/upgrade.hpp>

#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/harness.hpp"

using namespace pushhub;
using namespace pushhub::test;
using namespace std::chrono_literals;
using wire::binary, wire::clientClose, wire::clientFrame, wire::clientHeader, wire::closing;
using wire::continuation, wire::fragment, wire::FrameBits, wire::ping, wire::pong, wire::text;
using Strings = std::vector<std::string>;

namespace {

constexpr std::size_t messageLimit = 1 << 20;

/// A message with its kind, as a client gets it and the application sees it.
std::string asText(std::string_view payload) {
    return std::string("text ").append(payload);
}
std::string asBinary(std::string_view payload) {
    return std::string("binary ").append(payload);
}
std::string ofKind(unsigned opcode, std::string_view payload) {
    return opcode == text ? asText(payload) : asBinary(payload);
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

Row violation(const char* section, std::string name, std::string bytes,
              CloseCode code = CloseCode::protocolError, Strings before = {}) {
    return {section, std::move(name), std::move(bytes), std::move(before), {}, code,
            {},      ClosedBy::hub};
}

std::string lengthForm(unsigned opcode, std::string_view payload, unsigned lengthBytes) {
    FrameBits bits;
    bits.lengthBytes = lengthBytes;
    return clientFrame(opcode, payload, bits);
}
std::string unmasked(unsigned opcode, std::string_view payload) {
    FrameBits bits;
    bits.masked = false;
    return clientFrame(opcode, payload, bits);
}
std::string reserved(unsigned opcode, unsigned rsv, std::string_view payload = "x") {
    FrameBits bits;
    bits.rsv = rsv;
    return clientFrame(opcode, payload, bits);
}
/// The message in pieces, the last of which is final.
std::string inFragments(unsigned opcode, std::string_view payload, std::size_t size) {
    std::string bytes;
    for (unsigned next = opcode;; next = continuation) {
        const std::string_view piece = payload.substr(0, size);
        payload.remove_prefix(piece.size());
        if (payload.empty()) {
            return bytes + clientFrame(next, piece);
        }
        bytes += fragment(next, piece);
    }
}
std::string number(std::uint64_t value) {
    return std::to_string(value);
}

// The table -------------------------------------------------------------------------------------

Rows framing() {
    Rows rows;
    for (const unsigned kind : {text + 0U, binary + 0U}) {
        for (const std::size_t size :
             {0U, 1U, 2U, 3U, 4U, 5U, 8U, 124U, 125U, 126U, 127U, 128U, 65535U, 65536U, 65537U}) {
            const std::string payload(size, 'a');
            rows.push_back({"5.2",
                            "a payload of " + number(size),
                            clientFrame(kind, payload),
                            {ofKind(kind, payload)}});
        }
        for (const auto& [size, form] : {std::pair(0U, 2U),
                                         {1U, 2U},
                                         {125U, 2U},
                                         {0U, 8U},
                                         {125U, 8U},
                                         {126U, 8U},
                                         {65535U, 8U}}) {
            rows.push_back(violation("5.2", "the minimal number of bytes MUST encode the length",
                                     lengthForm(kind, std::string(size, 'x'), form)));
        }
        for (const unsigned rsv : {1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
            rows.push_back(violation("5.2", "RSV " + number(rsv), reserved(kind, rsv)));
            rows.push_back(violation("5.2", "RSV " + number(rsv) + " behind a message",
                                     clientFrame(kind, "good") + reserved(kind, rsv),
                                     CloseCode::protocolError, {ofKind(kind, "good")}));
            rows.push_back(violation("5.2", "RSV " + number(rsv) + " on a continuation",
                                     fragment(kind, "a") + reserved(continuation, rsv)));
        }
        rows.push_back(violation("5.1", "a frame that is not masked", unmasked(kind, "x")));
        rows.push_back(violation("5.1", "an empty frame that is not masked", unmasked(kind, "")));
        rows.push_back(violation("5.1", "a second fragment that is not masked",
                                 fragment(kind, "a") + unmasked(continuation, "b")));
        rows.push_back(violation("5.1", "not masked, behind a message",
                                 clientFrame(kind, "good") + unmasked(kind, "x"),
                                 CloseCode::protocolError, {ofKind(kind, "good")}));
    }
    for (const unsigned control : {closing + 0U, ping + 0U, pong + 0U}) {
        rows.push_back(violation("5.1", "a control frame that is not masked",
                                 unmasked(control, wire::closePayload(1000))));
        for (const unsigned rsv : {1U, 2U, 4U, 7U}) {
            rows.push_back(violation("5.2", "RSV on a control frame",
                                     reserved(control, rsv, wire::closePayload(1000))));
        }
    }
    for (const std::uint32_t key : {0U, 1U, 0xFFFFFFFFU, 0x80000000U, 0x01020304U}) {
        FrameBits bits;
        bits.key = key;
        for (std::size_t size = 0; size < 9; ++size) {
            const std::string payload = std::string("12345678").substr(0, size);
            rows.push_back(
                {"5.3", "any key unmasks", clientFrame(text, payload, bits), {asText(payload)}});
        }
    }
    for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
        rows.push_back(
            violation("5.2", "reserved opcode " + number(opcode), clientFrame(opcode, "")));
        rows.push_back(violation("5.2", "reserved opcode " + number(opcode) + " with a payload",
                                 clientFrame(opcode, "payload")));
        rows.push_back(violation("5.2", "reserved opcode between fragments",
                                 fragment(text, "a") + clientFrame(opcode, "")));
        rows.push_back(violation("5.2", "reserved opcode behind a message",
                                 clientFrame(text, "good") + clientFrame(opcode, ""),
                                 CloseCode::protocolError, {asText("good")}));
    }
    for (const std::uint64_t length : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        rows.push_back(violation("5.2", "the most significant bit of a length MUST be 0",
                                 clientHeader(binary, length)));
    }
    for (const std::uint64_t length :
         {~std::uint64_t{0} >> 1, std::uint64_t{1} << 32, std::uint64_t{messageLimit} + 1}) {
        rows.push_back(violation("10.4", "a length beyond the limit", clientHeader(binary, length),
                                 CloseCode::messageTooBig));
        rows.push_back(violation("10.4", "a second fragment beyond the limit",
                                 fragment(binary, "x") + clientHeader(continuation, length),
                                 CloseCode::messageTooBig));
    }
    return rows;
}

Rows fragmentation() {
    Rows rows;
    for (const unsigned kind : {text + 0U, binary + 0U}) {
        const std::string whole = "fragments";
        for (std::size_t size = 1; size <= whole.size(); ++size) {
            rows.push_back({"5.4",
                            "pieces of " + number(size),
                            inFragments(kind, whole, size),
                            {ofKind(kind, whole)}});
        }
        rows.push_back({"5.4",
                        "empty fragments",
                        fragment(kind, "") + fragment(continuation, "x") +
                            fragment(continuation, "") + clientFrame(continuation, ""),
                        {ofKind(kind, "x")}});
        rows.push_back({"5.4",
                        "nothing but empty fragments",
                        fragment(kind, "") + clientFrame(continuation, ""),
                        {ofKind(kind, "")}});
        rows.push_back(
            {"5.4",
             "a ping between fragments",
             fragment(kind, "a") + clientFrame(ping, "p") + clientFrame(continuation, "b"),
             {ofKind(kind, "ab")},
             {"p"}});
        rows.push_back({"5.4",
                        "pings and pongs between fragments",
                        fragment(kind, "a") + clientFrame(ping, "1") + clientFrame(pong, "x") +
                            fragment(continuation, "b") + clientFrame(ping, "2") +
                            clientFrame(continuation, "c"),
                        {ofKind(kind, "abc")},
                        {"1", "2"}});
        rows.push_back({"5.4",
                        "two fragmented messages",
                        inFragments(kind, "one", 1) + inFragments(kind, "two", 2),
                        {ofKind(kind, "one"), ofKind(kind, "two")}});
        rows.push_back(violation("5.4", "a message between fragments",
                                 fragment(kind, "a") + clientFrame(text, "b")));
        rows.push_back(violation("5.4", "a fragmented message between fragments",
                                 fragment(kind, "a") + fragment(binary, "b")));
        for (const bool fin : {true, false}) {
            FrameBits bits;
            bits.fin = fin;
            for (const char* payload : {"", "x"}) {
                rows.push_back(violation("5.4", "a continuation of nothing",
                                         clientFrame(continuation, payload, bits)));
                rows.push_back(
                    violation("5.4", "a continuation of a message that has ended",
                              inFragments(kind, "ab", 1) + clientFrame(continuation, payload, bits),
                              CloseCode::protocolError, {ofKind(kind, "ab")}));
            }
        }
        for (const std::size_t size : {1000U, 4096U, 65536U, 300'000U}) {
            const std::string payload(size, 'm');
            rows.push_back({"5.4",
                            number(size) + " bytes in pieces",
                            inFragments(kind, payload, size < 5000 ? 1 : 1300),
                            {ofKind(kind, payload)}});
        }
    }
    return rows;
}

Rows controlFrames() {
    Rows rows;
    for (const std::size_t size : {0U, 1U, 2U, 124U, 125U}) {
        const std::string payload(size, '\xfe');
        rows.push_back(
            {"5.5.2", "a ping of " + number(size), clientFrame(ping, payload), {}, {payload}});
        rows.push_back({"5.5.3", "a pong of " + number(size) + " that nobody asked for",
                        clientFrame(pong, payload)});
    }
    for (const unsigned control : {closing + 0U, ping + 0U, pong + 0U}) {
        for (const std::size_t size : {126U, 127U, 65535U, 65536U}) {
            rows.push_back(violation("5.5", "all control frames MUST have 125 bytes or less",
                                     clientHeader(control, size)));
        }
        rows.push_back(violation("5.5", "control frames MUST NOT be fragmented",
                                 fragment(control, wire::closePayload(1000))));
        rows.push_back(violation("5.5", "an empty control frame that is fragmented",
                                 fragment(control, "") + clientFrame(continuation, "")));
        rows.push_back(violation("5.5", "a fragmented control frame between fragments",
                                 fragment(text, "a") + fragment(control, "")));
    }
    Row many{"5.5.2", "ten pings", "", {}, {}};
    Row between{"5.5.2", "pings between messages", "", {}, {}};
    for (unsigned i = 0; i < 10; ++i) {
        many.bytes += clientFrame(ping, number(i));
        many.pongs.push_back(number(i));
        between.bytes += clientFrame(text, number(i)) + clientFrame(ping, number(i));
        between.messages.push_back(asText(number(i)));
        between.pongs.push_back(number(i));
    }
    rows.push_back(many);
    rows.push_back(between);
    return rows;
}

// Well-formed: the ends of each range of Unicode, and what is no character but a code point.
const Strings goodTexts{std::string(1, '\0'),
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
const Strings badTexts{"\x80",
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
const Strings cutTexts{"\xc2",     "\xdf",         "\xe0",     "\xe2\x82",      "\xef\xbf", "\xf0",
                       "\xf0\x90", "\xf0\x9f\x91", "\xf4\x8f", "good \xe2\x82", "\xed\x9f"};

Rows utf8() {
    Rows rows;
    const auto bad = [](std::string name, std::string bytes) {
        return violation("8.1", std::move(name), std::move(bytes), CloseCode::invalidPayload);
    };
    for (const std::string& good : goodTexts) {
        rows.push_back({"8.1", "UTF-8", clientFrame(text, good), {asText(good)}});
        rows.push_back(
            {"8.1", "UTF-8 in a fragment per byte", inFragments(text, good, 1), {asText(good)}});
    }
    for (const std::string& one : badTexts) {
        rows.push_back(bad("not UTF-8", clientFrame(text, one)));
        rows.push_back(bad("not UTF-8, a fragment per byte", inFragments(text, one, 1)));
        rows.push_back(bad("not UTF-8, and the message goes on", fragment(text, one + "abc")));
        // It is known before the frame is complete.
        rows.push_back(bad(
            "not UTF-8, and the frame goes on",
            clientFrame(text, "ab" + one + std::string(200, 'x')).substr(0, 8 + 2 + one.size())));
        rows.push_back({"8.1", "not UTF-8, in binary", clientFrame(binary, one), {asBinary(one)}});
        rows.push_back({"5.5.2", "not UTF-8, in a ping", clientFrame(ping, one), {}, {one}});
        rows.push_back(bad("not UTF-8, in a reason", clientClose(1000, one)));
    }
    for (const std::string& cut : cutTexts) {
        rows.push_back(bad("ends inside a character", clientFrame(text, cut)));
        rows.push_back(bad("ends inside a character, in fragments",
                           fragment(text, "x") + clientFrame(continuation, cut)));
        rows.push_back(bad("ends inside a character, the last fragment is empty",
                           fragment(text, cut) + clientFrame(continuation, "")));
        rows.push_back(bad("ends inside a character, in a reason", clientClose(1000, cut)));
        rows.push_back({"8.1",
                        "ends inside a character, in binary",
                        clientFrame(binary, cut),
                        {asBinary(cut)}});
    }
    const std::string split = "\xe2\x82\xac\xf0\x9f\x91\x8b\xc3\xa4";
    for (std::size_t at = 1; at < split.size(); ++at) {
        rows.push_back({"8.1",
                        "fragments cut a character",
                        fragment(text, split.substr(0, at)) + clientFrame(ping, "p") +
                            clientFrame(continuation, split.substr(at)),
                        {asText(split)},
                        {"p"}});
    }
    rows.push_back({"8.1",
                    "no state is left over for the next message",
                    inFragments(text, split, 3) + clientFrame(binary, "\xf0\x9f") +
                        inFragments(text, split, 2),
                    {asText(split), asBinary("\xf0\x9f"), asText(split)}});
    return rows;
}

Rows closingHandshake() {
    Rows rows;
    for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U,
                                1012U, 1013U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
        rows.push_back({"7.4",
                        "code " + number(code),
                        clientClose(code),
                        {},
                        {},
                        static_cast<CloseCode>(code)});
        rows.push_back({"7.4",
                        "code " + number(code) + " with a reason",
                        clientClose(code, "why"),
                        {},
                        {},
                        static_cast<CloseCode>(code),
                        "why"});
    }
    for (const unsigned code : {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 1999U,
                                2000U, 2999U, 5000U, 9999U, 65535U}) {
        rows.push_back(violation("7.4", "code " + number(code), clientClose(code)));
        rows.push_back(
            violation("7.4", "code " + number(code) + " with a reason", clientClose(code, "why")));
    }
    rows.push_back({"5.5.1", "no code", clientFrame(closing, ""), {}, {}, CloseCode::noStatus});
    rows.push_back(violation("5.5.1", "one byte", clientFrame(closing, "\x03")));
    for (const std::size_t size : {1U, 122U, 123U}) {
        const std::string reason(size, 'r');
        rows.push_back({"5.5.1",
                        "a reason of " + number(size),
                        clientClose(1000, reason),
                        {},
                        {},
                        CloseCode::normal,
                        reason});
    }
    rows.push_back(violation("5.5", "a reason of 124", clientClose(1000, std::string(124, 'r'))));
    rows.push_back({"5.5.1",
                    "a message, then close",
                    clientFrame(text, "last") + clientClose(1000),
                    {asText("last")},
                    {},
                    CloseCode::normal});
    rows.push_back({"5.5.1",
                    "a ping, then close",
                    clientFrame(ping, "last") + clientClose(1000),
                    {},
                    {"last"},
                    CloseCode::normal});
    rows.push_back({"5.5.1",
                    "close inside a message",
                    fragment(text, "a") + clientClose(1001),
                    {},
                    {},
                    CloseCode::goingAway});
    rows.push_back({"5.5.1",
                    "close inside a character",
                    fragment(text, "\xe2") + clientClose(1001),
                    {},
                    {},
                    CloseCode::goingAway});
    for (const std::string& after :
         {clientFrame(text, "late"), clientFrame(ping, "late"), clientClose(1001),
          clientFrame(3, "late"), unmasked(text, "late"), std::string(100, '\xff')}) {
        rows.push_back({"5.5.1",
                        "what follows a close frame is ignored",
                        clientClose(1000) + after,
                        {},
                        {},
                        CloseCode::normal});
        rows.push_back(
            violation("7.1.7", "what follows a violation is ignored", clientFrame(3, "") + after));
    }
    return rows;
}

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

    explicit Peer(Hub& hub) : client_(Harness<Transport>::connectSocket(hub)) {}

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
            // Final, no reserved bit, not masked, the shortest length, nothing behind a close.
            received_.strict = received_.strict && (at(0) & 0xF0) == 0x80 && at(1) < 128 &&
                               size >= (form == 0   ? 0U
                                        : form == 2 ? 126U
                                                    : 65536U) &&
                               !received_.close;
            const unsigned opcode = at(0) & 0x0F;
            const std::string payload = bytes_.substr(2 + form, size);
            bytes_.erase(0, 2 + form + size);
            if (opcode == text || opcode == binary) {
                received_.messages.push_back(ofKind(opcode, payload));
            } else if (opcode == pong) {
                received_.pongs.push_back(payload);
            } else if (opcode == closing) {
                std::string_view reason = payload;
                received_.close = protocol::takeCloseCode(reason);
                received_.reason = reason;
            } else {
                received_.strict = false;
            }
        }
    }

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

    explicit Peer(Hub& hub) : hub_(hub), client_(hub.transport().connectRaw()) {
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
            received_.messages.push_back(one.type == MessageType::text ? asText(one.data)
                                                                       : asBinary(one.data));
        }
        received_.pongs.resize(client_->pongs());
        received_.close = client_->closeCode();
        received_.reason = client_->closeReason();
        return received_;
    }

private:
    Hub& hub_;
    const std::shared_ptr<LoopbackClient> client_;
    Received received_;
};

/// Where a row is cut. In memory everywhere, unless it is long; a connection of a socket costs
/// enough that each row has a few, which differ from row to row.
template <class Transport>
std::set<std::size_t> cuts(std::size_t size, std::size_t row) {
    std::set<std::size_t> places;
    if (Peer<Transport>::inMemory) {
        for (std::size_t at = 1; at < size;
             at += size < 700 || at < 16 || at + 16 > size ? 1 : 997) {
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
void runOnce(EchoHub<Transport>& hub, const std::string& user, const Row& row,
             const std::vector<std::string_view>& pieces) {
    Peer<Transport> peer(hub.hub);
    peer.send(handshakeRequest("/websocket/" + user));
    REQUIRE(peer.status() == 101);
    for (const std::string_view piece : pieces) {
        if (!peer.send(piece)) {
            break;
        }
        peer.settle();
    }
    if (!row.close) {
        peer.await(row.messages.size(), row.pongs.size());
        peer.send(clientClose(1000));
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
void runRows(const Rows& rows) {
    EchoHub<Transport> hub;
    std::size_t users = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        const std::string_view bytes = row.bytes;
        INFO("section " << row.section << ": " << row.name);
        runOnce(hub, number(++users), row, {bytes});
        if (bytes.size() <= 2000) {
            INFO("in single bytes");
            std::vector<std::string_view> pieces;
            for (std::size_t at = 0; at < bytes.size(); ++at) {
                pieces.push_back(bytes.substr(at, 1));
            }
            runOnce(hub, number(++users), row, pieces);
        }
        for (const std::size_t cut : cuts<Transport>(bytes.size(), i)) {
            INFO("cut at " << cut);
            runOnce(hub, number(++users), row, {bytes.substr(0, cut), bytes.substr(cut)});
        }
    }
}

// The opening handshake -------------------------------------------------------------------------

struct HandshakeRow {
    const char* section;
    std::string name;
    std::string request;
    int status;
    std::string holds{};  // in the head of the answer
};

/// The good request with one line changed, or left out for an empty `to`, or added behind for an
/// empty `from`.
std::string changed(std::string_view from, std::string_view to) {
    std::string request = handshakeRequest("/websocket/1");
    const std::size_t at = from.empty() ? request.size() - 2 : request.find(from);
    if (at == std::string::npos) {
        throw std::logic_error("the request has no such line");
    }
    const std::size_t size = from.empty() ? 0 : request.find("\r\n", at) + 2 - at;
    return request.replace(at, size, to.empty() ? std::string() : std::string(to) + "\r\n");
}

std::vector<HandshakeRow> handshakes() {
    const std::string accept =
        "Sec-WebSocket-Accept: " + protocol::acceptKey("AQIDBAUGBwgJCgsMDQ4PEA==");
    const std::string version = "Sec-WebSocket-Version: 13";
    std::vector<HandshakeRow> rows{
        {"4.2.2", "a good one", changed("", "X: y"), 101, accept},
        {"4.2.2", "Upgrade in the answer", changed("", "X: y"), 101, "Upgrade: websocket"},
        {"4.2.2", "Connection in the answer", changed("", "X: y"), 101, "Connection: Upgrade"},
        {"4.2.1", "a method other than GET", changed("GET", "POST /websocket/1 HTTP/1.1"), 405},
        {"4.2.1", "HTTP/1.0", changed("GET", "GET /websocket/1 HTTP/1.0"), 505},
        {"4.2.1", "an absolute target", changed("GET", "GET ws://h/websocket/1 HTTP/1.1"), 101},
        {"4.2.1", "another path", changed("GET", "GET /other HTTP/1.1"), 404},
        {"4.2.1", "no Host", changed("Host", ""), 400},
        {"4.2.1", "two Hosts", changed("", "Host: other"), 400},
        {"4.2.1", "no Upgrade", changed("Upgrade:", ""), 426, "Upgrade: websocket"},
        {"4.2.1", "Upgrade in any case", changed("Upgrade:", "upgrade: WebSocket"), 101},
        {"4.2.1", "Upgrade as a list", changed("Upgrade:", "Upgrade: h2c, websocket"), 101},
        {"4.2.1", "no Connection", changed("Connection", ""), 400},
        {"4.2.1", "Connection as a list", changed("Connection", "Connection: keep-alive, upgrade"),
         101},
        {"4.2.1", "Connection without Upgrade", changed("Connection", "Connection: close"), 400},
        {"4.2.1", "no key", changed("Sec-WebSocket-Key", ""), 400},
        {"4.2.1", "two keys", changed("", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="), 400},
        {"4.2.1", "a key of 15 bytes",
         changed("Sec-WebSocket-Key", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4P"), 400},
        {"4.2.1", "a key of 17 bytes",
         changed("Sec-WebSocket-Key", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEBE="), 400},
        {"4.2.1", "a key that is not base64",
         changed("Sec-WebSocket-Key", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PE!=="), 400},
        {"4.2.2", "no version", changed("Sec-WebSocket-Version", ""), 426, version},
        {"4.2.2", "two versions", changed("", "Sec-WebSocket-Version: 13"), 400},
        {"10.2", "an Origin of elsewhere", changed("", "Origin: http://elsewhere.example"), 403},
        {"10.2", "an Origin of the same host", changed("", "Origin: http://localhost"), 101},
        {"10.2", "two Origins", changed("", "Origin: http://localhost\r\nOrigin: null"), 400},
        {"4.2.1", "subprotocols that are no tokens", changed("", "Sec-WebSocket-Protocol: a b"),
         400},
        {"4.2.1", "a subprotocol twice", changed("", "Sec-WebSocket-Protocol: a, a"), 400},
        {"9.1", "an unknown extension", changed("", "Sec-WebSocket-Extensions: x-y; z=1"), 101},
        {"4.2.1", "a body", changed("", "Content-Length: 3"), 413},
    };
    for (const char* value : {"0", "7", "8", "12", "14", "013", "13, 8", "x", ""}) {
        rows.push_back(
            {"4.4", std::string("version ") + value,
             changed("Sec-WebSocket-Version", std::string("Sec-WebSocket-Version: ") + value), 426,
             version});
    }
    return rows;
}

template <class Transport>
void runHandshake(EchoHub<Transport>& hub, const HandshakeRow& row, std::size_t cut) {
    INFO("section " << row.section << ": " << row.name << ", cut at " << cut);
    Peer<Transport> peer(hub.hub);
    const std::string_view bytes = row.request;
    if (cut == 0) {
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            peer.send(bytes.substr(at, 1));
            peer.settle();
        }
    } else {
        peer.send(bytes.substr(0, cut));
        peer.settle();
        peer.send(bytes.substr(cut));
    }
    CHECK(peer.status() == row.status);
    const std::string& head = peer.head();
    CHECK(head.find(row.holds) != std::string::npos);
    // 4.2.2: nothing is accepted that was not asked for, or that nobody chose.
    CHECK(head.find("\r\nSec-WebSocket-Extensions:") == std::string::npos);
    CHECK(head.find("\r\nSec-WebSocket-Protocol:") == std::string::npos);
    CHECK((head.find("\r\nSec-WebSocket-Accept:") != std::string::npos) == (row.status == 101));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("conformance: framing, 5.1 to 5.3", "[conformance]", Transports) {
    runRows<TestType>(framing());
}
TEMPLATE_LIST_TEST_CASE("conformance: fragmentation, 5.4", "[conformance]", Transports) {
    runRows<TestType>(fragmentation());
}
TEMPLATE_LIST_TEST_CASE("conformance: control frames, 5.5", "[conformance]", Transports) {
    runRows<TestType>(controlFrames());
}
TEMPLATE_LIST_TEST_CASE("conformance: UTF-8, 8.1", "[conformance]", Transports) {
    runRows<TestType>(utf8());
}
TEMPLATE_LIST_TEST_CASE("conformance: closing, 5.5.1 and 7", "[conformance]", Transports) {
    runRows<TestType>(closingHandshake());
}

TEMPLATE_LIST_TEST_CASE("conformance: the opening handshake, 4.2", "[conformance]", Transports) {
    EchoHub<TestType> hub;
    std::size_t number = 0;
    for (const HandshakeRow& row : handshakes()) {
        runHandshake(hub, row, row.request.size());
        runHandshake(hub, row, 0);
        for (const std::size_t cut : cuts<TestType>(row.request.size(), ++number)) {
            runHandshake(hub, row, cut);
        }
    }
}

TEMPLATE_LIST_TEST_CASE("conformance: the server closes, 7.1", "[conformance]", Transports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.closeTimeout = 300ms;
    EchoHub<TestType> hub(options);
    Peer<TestType> peer(hub.hub);
    peer.send(handshakeRequest("/websocket/1"));
    REQUIRE(peer.status() == 101);
    REQUIRE(H::until(hub.hub, [&] { return hub.hub.isOnline("1"); }));

    SECTION("messages that were accepted go before the close frame, and none behind it") {
        CHECK(hub.hub.sendOne("1", "before").accepted == 1);
        hub.close("1", CloseCode::goingAway, "bye");
        CHECK(hub.hub.sendOne("1", "behind").accepted == 0);
        peer.await(2, 0);
        // It is still listening, for the answer only: 7.1.2.
        peer.send(clientFrame(text, "late") + clientFrame(ping, "late") + clientClose(1001, "bye"));
        const Received& received = peer.all();
        CHECK(received.strict);
        CHECK(received.messages == Strings{asText("before")});
        CHECK(received.pongs.empty());
        CHECK(received.close == CloseCode::goingAway);
        CHECK(received.reason == "bye");
        const Seen seen = hub.ended("1");
        CHECK(seen.messages.empty());
        REQUIRE(seen.closes.size() == 1);
        CHECK(seen.closes[0].clean);
        CHECK(seen.closes[0].by == ClosedBy::host);
    }
    SECTION("an answer with another code is an answer, 7.1.5: the code is that of the first") {
        hub.close("1", CloseCode::goingAway);
        peer.await(1, 0);
        peer.send(clientClose(4000));
        CHECK(peer.all().close == CloseCode::goingAway);
        const Seen seen = hub.ended("1");
        CHECK(seen.closes.at(0).code == CloseCode::goingAway);
        CHECK(seen.closes.at(0).clean);
    }
    SECTION("a reason is cut at a character to 123 bytes, 5.5") {
        std::string reason;
        for (int i = 0; i < 50; ++i) {
            reason += "\xe2\x82\xac";
        }
        hub.close("1", CloseCode::normal, reason);
        peer.await(1, 0);
        peer.send(clientClose(1000));
        CHECK(peer.all().reason == reason.substr(0, 123));
    }
}

TEMPLATE_LIST_TEST_CASE("conformance: clients that do not play by the rules, 7.1 and 7.2",
                        "[conformance]", SocketTransports) {
    using H = Harness<TestType>;
    Options options = H::options();
    options.closeTimeout = 100ms;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    EchoHub<TestType> hub(options);
    SocketClient client = H::connectSocket(hub.hub);
    REQUIRE(client.handshake("/websocket/1") == 101);
    REQUIRE(H::until(hub.hub, [&] { return hub.hub.isOnline("1"); }));

    SECTION("a close frame that is never answered") {
        hub.close("1", CloseCode::normal);
        const CloseInfo info = hub.ended("1").closes.at(0);
        CHECK(info.error == Errc::closeTimeout);
        CHECK_FALSE(info.clean);
        CHECK(client.readClose() == CloseCode::normal);
        CHECK(client.waitForEnd());
    }
    SECTION("it answers with no end of data instead of a close frame") {
        hub.close("1", CloseCode::normal);
        const std::string data = clientFrame(binary, std::string(1000, 'x'));
        REQUIRE(H::until(hub.hub, [&] {
            try {
                client.sendBytes(data);
            } catch (const std::runtime_error&) {
            }
            return !hub.seen("1").closes.empty();
        }));
        CHECK(hub.seen("1").closes.at(0).error == Errc::closeTimeout);
        CHECK(hub.seen("1").messages.empty());
    }
    SECTION("the connection ends without a close frame, 7.1.5: 1006") {
        client.disconnect();
        const CloseInfo info = hub.ended("1").closes.at(0);
        CHECK(info.code == CloseCode::abnormal);
        CHECK(info.by == ClosedBy::network);
    }
    SECTION("half of the connection ends") {
        ::shutdown(client.fd(), SHUT_WR);
        CHECK(hub.ended("1").closes.at(0).code == CloseCode::abnormal);
        CHECK(client.waitForEnd());
    }
    SECTION("it ends inside a frame") {
        client.sendBytes(clientHeader(text, 100) + "x");
        client.disconnect();
        CHECK(hub.ended("1").closes.at(0).code == CloseCode::abnormal);
        CHECK(hub.seen("1").messages.empty());
    }
    SECTION("half of the connection ends behind a close frame: that is a clean end") {
        client.sendBytes(clientClose(4000));
        ::shutdown(client.fd(), SHUT_WR);
        const CloseInfo info = hub.ended("1").closes.at(0);
        CHECK(static_cast<unsigned>(info.code) == 4000);
        CHECK(info.clean);
        CHECK(static_cast<unsigned>(client.readClose()) == 4000);
    }
    SECTION("it resets the connection while it is written to") {
        std::size_t accepted = 0;
        const std::string data(100'000, 'x');
        while (hub.hub.sendOne("1", data).accepted == 1) {
            ++accepted;
        }
        client.disconnect(true);
        const CloseInfo info = hub.ended("1").closes.at(0);
        CHECK(info.deliveredMessages + info.undeliveredMessages == accepted);
        CHECK(info.by == ClosedBy::network);
        CHECK(info.undeliveredMessages > 0);
    }
    SECTION("it does not hang up when all is said: the server does") {
        client.sendBytes(clientClose(1000));
        CHECK(client.readClose() == CloseCode::normal);
        CHECK(client.waitForEnd());
        // What it sends comes back as a reset once the server's end is gone.
        CHECK(H::until(hub.hub, [&] {
            try {
                client.sendBytes("x");
                return false;
            } catch (const std::runtime_error&) {
                return true;
            }
        }));
    }
}

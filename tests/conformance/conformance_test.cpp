// RFC 6455 from the side of a server, as a table. Sections are those of the RFC.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/protocol/upgrade.hpp>

#include "conformance/rows.hpp"
#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/harness.hpp"

using namespace pushhub;
using namespace pushhub::test;
using namespace std::chrono_literals;
using wire::binary, wire::clientClose, wire::clientFrame, wire::clientHeader, wire::closing;
using wire::continuation, wire::fragment, wire::FrameBits, wire::ping, wire::pong, wire::text;

namespace {

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
        {"4.2.1", "HTTP/1.0", changed("GET", "GET /websocket/1 HTTP/1.0"), 426},
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
        client.endSending();
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
        client.endSending();
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

#include <pushhub/protocol/engine.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/client_frames.hpp"

using pushhub::CloseCode;
using pushhub::Errc;
using pushhub::MessageType;
using pushhub::protocol::Engine;
using pushhub::protocol::EngineEvent;
using namespace pushhub::test::wire;

namespace {

/// One event in a form that can be compared and printed.
using Events = std::vector<std::string>;

std::string number(CloseCode code) {
    return std::to_string(static_cast<unsigned>(code));
}

std::string describe(EngineEvent event, const Engine& engine) {
    const std::string payload(engine.payload());
    switch (event) {
        case EngineEvent::needMore:
            return "needMore";
        case EngineEvent::message:
            return (engine.type() == MessageType::text ? "text " : "binary ") + payload;
        case EngineEvent::ping:
            return "ping " + payload;
        case EngineEvent::pong:
            return "pong " + payload;
        case EngineEvent::close:
            return "close " + number(engine.closeCode()) + " " + std::string(engine.closeReason());
        case EngineEvent::violation:
            return "violation " + number(engine.violation().closeCode);
    }
    return "?";
}

/// Reads one piece as it would come from a socket; false after a violation. The copy has exactly
/// the size of the piece, so that a sanitizer sees a read behind its end.
bool readPiece(Engine& engine, std::string_view piece, Events& events) {
    std::vector<char> bytes(piece.begin(), piece.end());
    std::size_t at = 0;
    while (at < bytes.size()) {
        std::size_t used = 0;
        const EngineEvent event = engine.read(bytes.data() + at, bytes.size() - at, used);
        REQUIRE(used <= bytes.size() - at);
        if (event == EngineEvent::needMore) {
            REQUIRE(used == bytes.size() - at);
            return true;
        }
        events.push_back(describe(event, engine));
        if (event == EngineEvent::violation) {
            return false;
        }
        REQUIRE(used > 0);
        at += used;
    }
    return true;
}

Events readWhole(const std::string& bytes, std::size_t maxMessageSize = 64 * 1024) {
    Engine engine;
    engine.setMaxMessageSize(maxMessageSize);
    Events events;
    readPiece(engine, bytes, events);
    return events;
}

Events readCut(const std::string& bytes, std::size_t cut, std::size_t maxMessageSize) {
    Engine engine;
    engine.setMaxMessageSize(maxMessageSize);
    Events events;
    if (readPiece(engine, std::string_view(bytes).substr(0, cut), events)) {
        readPiece(engine, std::string_view(bytes).substr(cut), events);
    }
    return events;
}

Events readInSteps(const std::string& bytes, std::size_t step, std::size_t maxMessageSize) {
    Engine engine;
    engine.setMaxMessageSize(maxMessageSize);
    Events events;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        if (!readPiece(engine, std::string_view(bytes).substr(at, step), events)) {
            break;
        }
    }
    return events;
}

struct Row {
    const char* section;  // of RFC 6455, where no other is named
    const char* what;
    std::string bytes;
    Events expected;
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
    return out << row.section << ": " << row.what;
}

FrameBits rsv(unsigned bits) {
    FrameBits frame;
    frame.rsv = bits;
    return frame;
}

FrameBits lengthIn(unsigned bytes) {
    FrameBits frame;
    frame.lengthBytes = bytes;
    return frame;
}

FrameBits notFinal() {
    FrameBits frame;
    frame.fin = false;
    return frame;
}

FrameBits unmasked() {
    FrameBits frame;
    frame.masked = false;
    return frame;
}

FrameBits keyed(std::uint32_t key) {
    FrameBits frame;
    frame.key = key;
    return frame;
}

const Events broken{"violation 1002"};
const Events badText{"violation 1007"};
const std::string euro = "\xe2\x82\xac";

std::vector<Row> framing() {
    std::vector<Row> rows{
        {"5.1", "an unmasked text", clientFrame(text, "hi", unmasked()), broken},
        {"5.1", "an unmasked empty ping", clientFrame(ping, "", unmasked()), broken},
        {"5.1", "an unmasked close", clientFrame(closing, closePayload(1000), unmasked()), broken},
        {"5.1", "an unmasked fragment after a masked one",
         fragment(text, "a") + clientFrame(continuation, "b", unmasked()), broken},

        {"5.2", "an empty text", clientFrame(text, ""), {"text "}},
        {"5.2", "an empty binary", clientFrame(binary, ""), {"binary "}},
        {"5.2",
         "several messages",
         clientFrame(text, "a") + clientFrame(binary, "b") + clientFrame(text, "c"),
         {"text a", "binary b", "text c"}},
        {"5.2",
         "nothing after a violation is read",
         clientFrame(text, "a") + clientFrame(3, "") + clientFrame(text, "b"),
         {"text a", "violation 1002"}},
        {"5.2", "16-bit length of 125", clientFrame(binary, std::string(125, 'x'), lengthIn(2)),
         broken},
        {"5.2", "16-bit length of 0", clientFrame(text, "", lengthIn(2)), broken},
        {"5.2", "64-bit length of 5", clientFrame(text, "hello", lengthIn(8)), broken},
        {"5.2", "64-bit length of 200", clientFrame(text, std::string(200, 'x'), lengthIn(8)),
         broken},
        {"5.2", "64-bit length of 65535", clientHeader(binary, 0xFFFF, lengthIn(8)), broken},
        {"5.2", "non-minimal length of a continuation",
         fragment(text, "a") + clientFrame(continuation, "b", lengthIn(2)), broken},
        {"5.2", "length with its top bit set", clientHeader(text, std::uint64_t{1} << 63) + "abc",
         broken},
        {"5.2", "all bits of the length set", clientHeader(binary, ~std::uint64_t{0}) + "abc",
         broken},
        {"5.2", "a continuation so long that the sum of sizes is small again",
         fragment(binary, std::string(100, 'x')) +
             clientHeader(continuation, ~std::uint64_t{0} - 50) + std::string(300, '\xff'),
         broken},
        {"5.2", "the same in a text",
         fragment(text, std::string(100, 'x')) +
             clientHeader(continuation, ~std::uint64_t{0} - 50) + std::string(300, '\xff'),
         broken},

        {"5.3", "a key of zeros", clientFrame(text, "hello world", keyed(0)), {"text hello world"}},
        {"5.3",
         "a key of ones",
         clientFrame(text, "hello world", keyed(0xFFFFFFFF)),
         {"text hello world"}},
        {"5.3",
         "each frame has its own key",
         clientFrame(text, "hel",
                     [] {
                         auto f = keyed(0x01020304);
                         f.fin = false;
                         return f;
                     }()) +
             clientFrame(continuation, "lo world", keyed(0xa5b6c7d8)),
         {"text hello world"}},
        {"5.7",
         "the masked text of the examples",
         std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11),
         {"text Hello"}},
        {"5.7",
         "a masked pong of the examples",
         std::string("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11),
         {"pong Hello"}},
    };
    for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
        rows.push_back({"5.2", "a reserved opcode", clientFrame(opcode, "x"), broken});
        rows.push_back(
            {"5.2", "a reserved opcode between fragments",
             fragment(text, "a") + clientFrame(opcode, "") + clientFrame(continuation, "b"),
             broken});
    }
    for (unsigned bits = 1; bits < 8; ++bits) {
        for (const unsigned opcode : {text, binary, closing, ping, pong}) {
            rows.push_back({"5.2", "RSV bits without an extension",
                            clientFrame(opcode, "", rsv(bits)), broken});
        }
        rows.push_back({"5.2", "RSV bits of a continuation",
                        fragment(text, "a") + clientFrame(continuation, "b", rsv(bits)), broken});
    }
    for (const std::size_t size : {1U, 124U, 125U, 126U, 127U, 128U, 1000U}) {
        const std::string payload(size, 'x');
        rows.push_back({"5.2",
                        "the shortest form of a length",
                        clientFrame(binary, payload),
                        {"binary " + payload}});
    }
    return rows;
}

std::vector<Row> fragmentation() {
    return {
        {"5.4",
         "two fragments",
         fragment(text, "ab") + clientFrame(continuation, "cd"),
         {"text abcd"}},
        {"5.4",
         "three fragments of a binary",
         fragment(binary, "a") + fragment(continuation, "b") + clientFrame(continuation, "c"),
         {"binary abc"}},
        {"5.4",
         "empty fragments",
         fragment(text, "") + fragment(continuation, "") + fragment(continuation, "a") +
             clientFrame(continuation, ""),
         {"text a"}},
        {"5.4",
         "a message of empty fragments only",
         fragment(text, "") + clientFrame(continuation, ""),
         {"text "}},
        {"5.4",
         "control frames between fragments",
         fragment(text, "a") + clientFrame(ping, "1") + fragment(continuation, "b") +
             clientFrame(pong, "2") + clientFrame(ping, "") + clientFrame(continuation, "c"),
         {"ping 1", "pong 2", "ping ", "text abc"}},
        {"5.4",
         "a close between fragments",
         fragment(text, "a") + clientClose(1001, "bye"),
         {"close 1001 bye"}},
        {"5.4", "a continuation of nothing", clientFrame(continuation, "a"), broken},
        {"5.4", "a fragment that continues nothing", fragment(continuation, "a"), broken},
        {"5.4",
         "a continuation after a whole message",
         clientFrame(text, "a") + clientFrame(continuation, "b"),
         {"text a", "violation 1002"}},
        {"5.4",
         "a continuation after a control frame",
         clientFrame(ping, "a") + clientFrame(continuation, "b"),
         {"ping a", "violation 1002"}},
        {"5.4", "a text within a text", fragment(text, "a") + clientFrame(text, "b"), broken},
        {"5.4", "a binary within a text", fragment(text, "a") + clientFrame(binary, "b"), broken},
        {"5.4",
         "a text within a text, after a ping",
         fragment(text, "a") + clientFrame(ping, "") + fragment(text, "b"),
         {"ping ", "violation 1002"}},
        {"5.5", "a fragmented ping", clientFrame(ping, "", notFinal()), broken},
        {"5.5", "a fragmented close", clientFrame(closing, closePayload(1000), notFinal()), broken},
        {"5.5",
         "a ping of 125 bytes",
         clientFrame(ping, std::string(125, 'p')),
         {"ping " + std::string(125, 'p')}},
        {"5.5", "a ping of 126 bytes", clientFrame(ping, std::string(126, 'p')), broken},
        {"5.5", "a pong of 70,000 bytes", clientHeader(pong, 70'000), broken},
        {"5.5", "a close of 126 bytes",
         clientFrame(closing, closePayload(1000, std::string(124, 'r'))), broken},
        {"5.5", "a short ping with a long length", clientFrame(ping, "p", lengthIn(2)), broken},
        {"5.5.3", "a pong nobody asked for", clientFrame(pong, "?"), {"pong ?"}},
        {"5.5.2",
         "a ping of any bytes",
         clientFrame(ping, "\xff\x00\x80"),
         {std::string("ping \xff\x00\x80").substr(0, 6)}},
    };
}

std::vector<Row> closes() {
    std::vector<Row> rows{
        {"5.5.1", "no code", clientFrame(closing, ""), {"close 1005 "}},
        {"5.5.1", "half a code", clientFrame(closing, "\x03"), broken},
        {"5.5.1", "a code alone", clientClose(1000), {"close 1000 "}},
        {"5.5.1",
         "a code and a reason",
         clientClose(1001, "tab closed"),
         {"close 1001 tab closed"}},
        {"5.5.1",
         "the longest reason",
         clientClose(1000, std::string(123, 'r')),
         {"close 1000 " + std::string(123, 'r')}},
        {"5.5.1", "a reason that is not UTF-8", clientClose(1000, "\xff"), badText},
        {"5.5.1", "a reason that ends in a character", clientClose(1000, euro.substr(0, 2)),
         badText},
        {"5.5.1", "a reason in UTF-8", clientClose(4321, euro), {"close 4321 " + euro}},
    };
    // Section 7.4.2, and what IANA has registered since.
    for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U,
                                1012U, 1013U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
        rows.push_back({"7.4",
                        "a code that may be sent",
                        clientClose(code),
                        {"close " + std::to_string(code) + " "}});
    }
    for (const unsigned code : {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U,
                                2999U, 5000U, 32768U, 65535U}) {
        rows.push_back({"7.4", "a code that may not be sent", clientClose(code, "why"), broken});
    }
    return rows;
}

std::vector<Row> utf8() {
    const auto halves = [](std::string_view message, std::size_t at) {
        return fragment(text, message.substr(0, at)) +
               clientFrame(continuation, message.substr(at));
    };
    std::vector<Row> rows{
        {"8.1",
         "characters of each size",
         clientFrame(text, "a\xc3\xa4" + euro + "\xf0\x9f\x98\x80"),
         {"text a\xc3\xa4" + euro + "\xf0\x9f\x98\x80"}},
        {"8.1",
         "bytes that are no text, in a binary",
         clientFrame(binary, "\xff\xfe\xc0"),
         {"binary \xff\xfe\xc0"}},
        {"8.1",
         "the same in fragments of a binary",
         fragment(binary, "\xff") + clientFrame(continuation, "\xc0"),
         {"binary \xff\xc0"}},
        {"8.1", "a text that ends inside a character", clientFrame(text, euro.substr(0, 2)),
         badText},
        {"8.1", "a lone tail byte", clientFrame(text, "a\x80"), badText},
        {"8.1", "an overlong slash", clientFrame(text, "\xc0\xaf"), badText},
        {"8.1", "a surrogate", clientFrame(text, "\xed\xa0\x80"), badText},
        {"8.1", "above U+10FFFF", clientFrame(text, "\xf4\x90\x80\x80"), badText},
        {"8.1", "a fragmented text that ends inside a character",
         halves("a" + euro.substr(0, 2), 1), badText},
        {"8.1", "the same, the last fragment empty",
         fragment(text, euro.substr(0, 2)) + clientFrame(continuation, ""), badText},
        {"8.1",
         "the same after another message",
         clientFrame(text, "ok") + halves(euro.substr(0, 1), 1),
         {"text ok", "violation 1007"}},
        {"8.1", "a bad byte in the second fragment", halves("ab\xff", 2), badText},
        {"8.1", "a character that goes on wrongly in the second fragment",
         halves("\xe2\x82"
                "a",
                2),
         badText},
        {"8.1",
         "a ping inside a character",
         fragment(text, euro.substr(0, 1)) + clientFrame(ping, "\xff") +
             clientFrame(continuation, euro.substr(1)),
         {"ping \xff", "text " + euro}},
        {"8.1",
         "a text is begun anew after one that was whole",
         clientFrame(text, euro) + clientFrame(text, euro.substr(1)),
         {"text " + euro, "violation 1007"}},
        {"8.1", "a bad byte closes before the message is complete",
         clientHeader(text, 1000, keyed(0)) + "abc\xff", badText},
    };
    for (std::size_t at = 0; at <= 4; ++at) {
        rows.push_back({"8.1",
                        "a fragment that ends inside a character",
                        halves("\xf0\x9f\x98\x80", at),
                        {"text \xf0\x9f\x98\x80"}});
    }
    return rows;
}

void check(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        INFO(row);
        CHECK(readWhole(row.bytes) == row.expected);
        bool same = true;
        for (std::size_t cut = 1; cut < row.bytes.size(); ++cut) {
            same = same && readCut(row.bytes, cut, 64 * 1024) == row.expected;
        }
        for (const std::size_t step : {1U, 2U, 3U, 7U}) {
            same = same && readInSteps(row.bytes, step, 64 * 1024) == row.expected;
        }
        CHECK(same);
    }
}

}  // namespace

TEST_CASE("Frames are read as RFC 6455 section 5 says, however they are cut", "[engine]") {
    check(framing());
}

TEST_CASE("Fragments and control frames between them", "[engine]") {
    check(fragmentation());
}

TEST_CASE("Close frames and their codes", "[engine]") {
    check(closes());
}

TEST_CASE("Text is UTF-8, over fragments and reads too", "[engine]") {
    check(utf8());
}

TEST_CASE("Long messages keep their bytes", "[engine]") {
    std::string payload;
    for (std::size_t i = 0; i < 66'000; ++i) {
        payload += static_cast<char>('a' + i % 23);
    }
    for (const std::size_t size : {65'535U, 65'536U, 66'000U}) {
        const Events expected{"binary " + payload.substr(0, size)};
        const std::string bytes = clientFrame(binary, payload.substr(0, size));
        CHECK(readInSteps(bytes, bytes.size(), 70'000) == expected);
        CHECK(readInSteps(bytes, 1, 70'000) == expected);
        CHECK(readInSteps(bytes, 4096, 70'000) == expected);
        CHECK(readInSteps(bytes, 4097, 70'000) == expected);
    }
}

TEST_CASE("A message larger than the limit is refused as soon as a header says so", "[engine]") {
    const Events tooBig{"violation 1009"};
    const std::string ten(10, 'x');
    CHECK(readWhole(clientFrame(text, ten), 10) == Events{"text " + ten});
    CHECK(readWhole(clientHeader(text, 11), 10) == tooBig);
    CHECK(readWhole(clientHeader(binary, 70'000), 69'999) == tooBig);
    CHECK(readWhole(clientHeader(binary, (std::uint64_t{1} << 63) - 1), 10) == tooBig);
    CHECK(readWhole(clientHeader(binary, std::uint64_t{1} << 32), 10) == tooBig);

    const std::string nine = fragment(text, "1234") + fragment(continuation, "56789");
    CHECK(readWhole(nine + clientFrame(continuation, "0"), 10) == Events{"text 1234567890"});
    CHECK(readWhole(nine + clientHeader(continuation, 2), 10) == tooBig);
    CHECK(readWhole(nine + clientFrame(continuation, ""), 10) == Events{"text 123456789"});
    // A control frame is no part of it, whatever the limit.
    CHECK(readWhole(nine + clientFrame(ping, ten + ten) + clientFrame(continuation, "0"), 10) ==
          Events{"ping " + ten + ten, "text 1234567890"});
    CHECK(readWhole(clientFrame(ping, std::string(125, 'p')), 1) ==
          Events{"ping " + std::string(125, 'p')});

    const std::string bytes = nine + clientFrame(continuation, "01");
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
        CHECK(readCut(bytes, cut, 10) == tooBig);
    }
}

TEST_CASE("The header of a message alone makes no room for it", "[engine]") {
    // No allocator has that much: if it was asked for, it would throw.
    Engine engine;
    constexpr std::size_t most = (std::numeric_limits<std::size_t>::max)() / 2;
    engine.setMaxMessageSize(most);
    Events events;
    CHECK(readPiece(engine, clientHeader(binary, most) + "some", events));
    CHECK(events.empty());
}

TEST_CASE("A violation says which one it is", "[engine]") {
    const auto violationOf = [](const std::string& bytes) {
        Engine engine;
        engine.setMaxMessageSize(10);
        Events events;
        REQUIRE_FALSE(readPiece(engine, bytes, events));
        CHECK_FALSE(engine.violation().reason.empty());
        CHECK(engine.violation().reason.size() <= pushhub::protocol::maxCloseReason);
        return engine.violation();
    };
    CHECK(violationOf(clientFrame(3, "")).error == Errc::protocolViolation);
    CHECK(violationOf(clientFrame(text, "\xff")).error == Errc::invalidPayload);
    CHECK(violationOf(clientFrame(text, "\xe2")).error == Errc::invalidPayload);
    CHECK(violationOf(clientHeader(text, 11)).error == Errc::inboundTooBig);
    CHECK(violationOf(clientHeader(text, 11)).reason.find("10") != std::string::npos);
    CHECK(violationOf(clientClose(1005)).error == Errc::protocolViolation);
    CHECK(violationOf(clientClose(1000, "\xff")).error == Errc::invalidPayload);
}

TEST_CASE("After a violation everything is one, until the engine is reset", "[engine]") {
    const std::string good = clientFrame(text, "good");
    const std::vector<std::string> bad{clientFrame(3, ""),
                                       clientHeader(binary, 70'000),
                                       clientFrame(text, "\xff"),
                                       fragment(text, "\xe2") + clientFrame(continuation, ""),
                                       clientFrame(closing, "\x03"),
                                       fragment(text, "a") + clientFrame(text, "b"),
                                       clientFrame(text, "", lengthIn(8)),
                                       clientHeader(text, ~std::uint64_t{0})};
    for (const std::string& bytes : bad) {
        for (const std::string& before : {std::string(), good}) {
            Engine engine;
            Events events;
            REQUIRE_FALSE(readPiece(engine, before + bytes, events));
            const pushhub::protocol::Violation first = engine.violation();
            CHECK_FALSE(engine.idle());
            for (int i = 0; i < 3; ++i) {
                std::string more = good + std::string(1000, 'x');
                std::size_t used = 0;
                CHECK(engine.read(more.data(), more.size(), used) == EngineEvent::violation);
                CHECK(used == more.size());  // or its reader would ask forever
                CHECK(engine.violation().closeCode == first.closeCode);
                CHECK(engine.violation().error == first.error);
            }
            engine.reset();
            CHECK(engine.idle());
            events.clear();
            CHECK(readPiece(engine, good, events));
            CHECK(events == Events{"text good"});
        }
    }
}

TEST_CASE("An engine is idle exactly between messages", "[engine]") {
    const std::vector<std::pair<std::string, bool>> frames{
        {clientFrame(text, "a"), true},
        {clientFrame(ping, ""), true},
        {fragment(binary, "a"), false},
        {clientFrame(ping, "p"), false},
        {fragment(continuation, ""), false},
        {clientFrame(continuation, "c"), true},
        {clientFrame(binary, std::string(300, 'x')), true},
        {clientFrame(text, ""), true},
        {fragment(text, ""), false},
        {clientFrame(continuation, ""), true},
        {clientClose(1000), true}};
    Engine engine;
    CHECK(engine.idle());
    Events events;
    for (const auto& [bytes, idleAfter] : frames) {
        bool right = true;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            right = right && readPiece(engine, bytes.substr(i, 1), events);
            right = right && engine.idle() == (i + 1 == bytes.size() && idleAfter);
        }
        CHECK(right);
    }
    CHECK(events.size() == 8);
}

TEST_CASE("Reset forgets whatever was begun", "[engine]") {
    const std::string begun =
        fragment(text, "ab\xe2") + clientFrame(ping, "p") + clientFrame(continuation, "\x82\xac");
    for (std::size_t length = 0; length <= begun.size(); ++length) {
        Engine engine;
        Events events;
        readPiece(engine, begun.substr(0, length), events);
        engine.reset();
        REQUIRE(engine.idle());
        events.clear();
        readPiece(engine,
                  clientFrame(ping, "q") + clientFrame(text, "new") + clientFrame(continuation, ""),
                  events);
        CHECK(events == Events{"ping q", "text new", "violation 1002"});
    }
}

TEST_CASE("One engine serves one message after the other", "[engine]") {
    Engine engine;
    Events events;
    Events expected;
    std::string bytes;
    for (std::size_t i = 0; i < 300; ++i) {
        const std::string payload(i * 7 % 1000, static_cast<char>('a' + i % 26));
        if (i % 3 == 0) {
            bytes += fragment(text, payload.substr(0, payload.size() / 2)) +
                     clientFrame(continuation, payload.substr(payload.size() / 2));
        } else {
            bytes += clientFrame(text, payload);
        }
        expected.push_back("text " + payload);
    }
    for (std::size_t at = 0; at < bytes.size(); at += 997) {
        REQUIRE(readPiece(engine, std::string_view(bytes).substr(at, 997), events));
    }
    CHECK(events == expected);
}

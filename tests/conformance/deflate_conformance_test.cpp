// RFC 7692 from the side of a server, as a table. Sections are those of the RFC.

#include <pushhub/deflate.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conformance/rows.hpp"
#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/harness.hpp"
#include "support/zlib_peer.hpp"

using namespace pushhub;
using namespace pushhub::test;
using wire::binary, wire::clientClose, wire::clientFrame, wire::clientHeader, wire::closing;
using wire::continuation, wire::fragment, wire::FrameBits, wire::ping, wire::pong, wire::text;

namespace {

const std::string hello = hex("f2 48 cd c9 c9 07 00");

FrameBits bitsOf(bool fin, unsigned rsv) {
    FrameBits bits;
    bits.fin = fin;
    bits.rsv = rsv;
    return bits;
}

/// A compressed message in frames of `size` bytes, with `between` behind each but the last.
std::string squeezed(unsigned opcode, std::string_view data, std::size_t size = std::string::npos,
                     std::string_view between = {}) {
    std::string bytes;
    for (unsigned next = opcode;; next = continuation) {
        const std::string_view piece = data.substr(0, size);
        data.remove_prefix(piece.size());
        bytes += clientFrame(next, piece, bitsOf(data.empty(), next == opcode ? 4 : 0));
        if (data.empty()) {
            return bytes;
        }
        bytes += between;
    }
}

/// A compressed message that goes on.
std::string unended(unsigned opcode, std::string_view data) {
    return clientFrame(opcode, data, bitsOf(false, 4));
}

// Negotiation -----------------------------------------------------------------------------------

const std::string base =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

struct Offer {
    const char* section;
    std::string offers;  // one value of Sec-WebSocket-Extensions; "|" begins another line
    std::string answer;  // "": declined
};

std::vector<Offer> offers() {
    const std::string one = "permessage-deflate; ";
    const std::string none;
    std::vector<Offer> rows{
        {"5", "permessage-deflate", base},
        {"5", "permessage-bzip2", none},
        {"5", "x-webkit-deflate-frame", none},
        // 5.1: the first that can be accepted, in the order of the client.
        {"5.1", one + "server_max_window_bits=10, permessage-deflate",
         base + "; server_max_window_bits=10"},
        {"5.1", "permessage-deflate, " + one + "server_max_window_bits=10", base},
        {"5.1", one + "x, " + one + "server_max_window_bits=8, " + one + "client_max_window_bits",
         base},
        {"5.1", one + "x, " + one + "server_no_context_takeover=1", none},
        {"5.1", "permessage-bzip2, permessage-deflate", base},
        {"5.1", "permessage-deflate, x-other; a=b; c", base},
        {"5.1", "x-other; server_max_window_bits=9, permessage-deflate", base},
        {"5.1", "x-other|permessage-deflate", base},
        {"5.1", one + "x|" + one + "server_max_window_bits=11|permessage-deflate",
         base + "; server_max_window_bits=11"},
        {"5.1", ", ,permessage-deflate ,", base},
        // 7.1: decline what is not defined, twice there, or has a value that it must not have.
        {"7.1", one + "unknown", none},
        {"7.1", one + "client_max_window_bits; unknown=1", none},
        {"7.1", one + "Server_No_Context_Takeover", none},
        {"7.1.2.1", one + "server_max_window_bits", none},
        {"7.1.2.1", one + "server_max_window_bits=8", none},  // allowed; zlib cannot do it
        {"7.1.2.1", one + "server_max_window_bits=\"12\"", base + "; server_max_window_bits=12"},
        {"7.1.2.1", one + "server_max_window_bits=\"1\\2\"", base + "; server_max_window_bits=12"},
        {"7.1.2.1", "permessage-deflate;\tserver_max_window_bits = 12 ",
         base + "; server_max_window_bits=12"},
        {"7.1.2.2", one + "client_max_window_bits", base},
        {"7.1.2.2", one + "client_max_window_bits=\"10\"", base},
        {"7.1.3", one + "client_max_window_bits; server_max_window_bits=10",
         base + "; server_max_window_bits=10"},
        {"7.1.3",
         one + "client_max_window_bits; server_max_window_bits=10, " + one +
             "client_max_window_bits",
         base + "; server_max_window_bits=10"},
        {"7.1",
         one + "client_no_context_takeover; client_max_window_bits=9; "
               "server_no_context_takeover; server_max_window_bits=9",
         base + "; server_max_window_bits=9"},
    };
    for (int bits = 8; bits <= 15; ++bits) {
        const std::string parameter = "_max_window_bits=" + std::to_string(bits);
        rows.push_back({"7.1.2.2", one + "client" + parameter, base});
        if (bits > 8) {
            rows.push_back({"7.1.2.1", one + "server" + parameter, base + "; server" + parameter});
        }
    }
    for (const char* value : {"0", "1", "7", "16", "08", "010", "015", "99", "-9", "+9", "0x9",
                              "9.0", "1e1", "a", "4294967305", "18446744073709551625"}) {
        for (const char* side : {"server", "client"}) {
            rows.push_back({"7.1.2", one + side + "_max_window_bits=" + value, none});
        }
    }
    for (const char* side : {"server", "client"}) {
        const std::string takeover = std::string(side) + "_no_context_takeover";
        const std::string window = std::string(side) + "_max_window_bits=10";
        rows.push_back({"7.1.1", one + takeover, base});
        for (const char* value : {"=1", "=\"1\"", "=true", "=0"}) {
            rows.push_back({"7.1.1", one + takeover + value, none});
        }
        rows.push_back({"7.1", one + takeover + "; " + takeover, none});
        rows.push_back({"7.1", one + window + "; " + window, none});
        rows.push_back({"7.1", one + window + "; x; " + takeover, none});
    }
    return rows;
}

std::string headersOf(std::string offers) {
    const std::string name = "Sec-WebSocket-Extensions: ";
    for (std::size_t at = 0; (at = offers.find('|', at)) != std::string::npos;) {
        offers.replace(at, 1, "\r\n" + name);
    }
    return offers.empty() ? offers : name + offers + "\r\n";
}

/// The values of Sec-WebSocket-Extensions in the head of an answer, one a line.
std::string extensionsIn(const std::string& head) {
    const std::string name = "\r\nSec-WebSocket-Extensions: ";
    std::string values;
    for (std::size_t at = 0; (at = head.find(name, at)) != std::string::npos;) {
        at += name.size();
        values += (values.empty() ? "" : "\n") + head.substr(at, head.find('\r', at) - at);
    }
    return values;
}

// Messages --------------------------------------------------------------------------------------

Rows sizes() {
    Rows rows;
    for (const unsigned kind : {text + 0U, binary + 0U}) {
        for (const std::size_t size :
             {0U, 1U, 2U, 5U, 60U, 125U, 126U, 127U, 200U, 65535U, 65536U, 300'000U}) {
            const std::string payload = kind == text ? someText(size) : noise(size);
            for (const int level : {0, 1, 9}) {
                rows.push_back({"7.2.1",
                                number(size) + " bytes, level " + std::to_string(level),
                                squeezed(kind, deflated(payload, 15, level)),
                                {ofKind(kind, payload)}});
            }
            rows.push_back({"6.1",
                            number(size) + " bytes in fragments",
                            squeezed(kind, deflated(payload), size < 500 ? 1 : 1500),
                            {ofKind(kind, payload)}});
        }
        const std::string payload = someText(40);
        rows.push_back({"7.2.1",
                        "a block for each byte",
                        squeezed(kind, deflated(payload, 15, 6, 1), 20),
                        {ofKind(kind, payload)}});
    }
    return rows;
}

/// What the RFC shows, and what else DEFLATE allows.
Rows blocks() {
    const std::string otherBlock = hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00");
    const std::pair<const char*, std::pair<std::string, std::string>> streams[] = {
        {"7.2.3.1 one compressed block", {hello, "Hello"}},
        {"7.2.3.3 a block without compression", {hex("00 05 00 fa ff 48 65 6c 6c 6f 00"), "Hello"}},
        {"7.2.3.4 BFINAL", {hex("f3 48 cd c9 c9 07 00 00"), "Hello"}},
        {"7.2.3.5 two blocks", {otherBlock, "Hello"}},
        {"7.2.3.6 an empty message", {hex("00"), ""}},
        {"7.2.2 not one byte", {"", ""}},
        {"7.2.2 the tail was not removed", {hello + hex("00 00 ff ff"), "Hello"}},
        {"7.2.1 empty blocks", {hex("00 00 00 ff ff 00 00 00 ff ff 00"), ""}},
        {"7.2.3.4 BFINAL, nothing behind it", {hex("f3 48 cd c9 c9 07 00"), "Hello"}},
        {"7.2.3.4 BFINAL in an empty block", {hex("03 00 00"), ""}},
        {"7.2.3.4 BFINAL without compression", {hex("01 01 00 fe ff 48 00"), "H"}},
        {"7.2.3.4 BFINAL twice",
         {hex("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00"), "HelloHello"}},
        {"7.2.3.4 a block refers to one before BFINAL",
         {hex("f3 48 cd c9 c9 07 00 f2 00 11 00 00"), "HelloHello"}},
    };
    Rows rows;
    for (const auto& [name, stream] : streams) {
        for (const unsigned kind : {text + 0U, binary + 0U}) {
            const auto& [data, payload] = stream;
            const Strings expected{ofKind(kind, payload)};
            rows.push_back({"7.2.3", name, squeezed(kind, data), expected});
            for (std::size_t size = 1; size < data.size(); ++size) {
                rows.push_back({"6.1", std::string(name) + ", fragments of " + number(size),
                                squeezed(kind, data, size), expected});
            }
        }
    }
    return rows;
}

Rows fragments() {
    Rows rows;
    for (const unsigned kind : {text + 0U, binary + 0U}) {
        const Strings expected{ofKind(kind, "Hello")};
        const std::string nothing = fragment(continuation, "");
        rows.push_back({"6.1", "the first fragment is empty",
                        unended(kind, "") + clientFrame(continuation, hello), expected});
        rows.push_back({"6.1", "the last fragment is empty",
                        unended(kind, hello) + clientFrame(continuation, ""), expected});
        rows.push_back({"6.1", "empty fragments everywhere",
                        unended(kind, "") + nothing + fragment(continuation, hello.substr(0, 3)) +
                            nothing + fragment(continuation, hello.substr(3)) + nothing +
                            clientFrame(continuation, ""),
                        expected});
        rows.push_back({"6.1",
                        "nothing but empty fragments",
                        unended(kind, "") + nothing + clientFrame(continuation, ""),
                        {ofKind(kind, "")}});
        rows.push_back({"6", "control frames between fragments",
                        squeezed(kind, hello, 2, clientFrame(ping, "p") + clientFrame(pong, "q")),
                        expected, Strings(3, "p")});
        rows.push_back({"6",
                        "what is not compressed, before and behind",
                        clientFrame(kind, hello) + squeezed(kind, hello) +
                            inFragments(kind, "plain", 2) + squeezed(kind, hello, 1) +
                            clientFrame(kind, ""),
                        {ofKind(kind, hello), ofKind(kind, "Hello"), ofKind(kind, "plain"),
                         ofKind(kind, "Hello"), ofKind(kind, "")}});
        if (kind == text) {
            rows.back().bytes.replace(0, 6 + hello.size(), clientFrame(text, "first"));
            rows.back().messages[0] = asText("first");
        }
        for (const unsigned rsv : {0U, 4U}) {
            rows.push_back(
                violation("6.1", "a message between fragments",
                          unended(kind, hello) + clientFrame(kind, hello, bitsOf(true, rsv))));
        }
        rows.push_back({"6",
                        "close inside a message",
                        unended(kind, hello) + clientClose(1001),
                        {},
                        {},
                        CloseCode::goingAway});
    }
    return rows;
}

/// RSV1 is for the first frame of a message; nobody has agreed on RSV2 and RSV3.
Rows reservedBits() {
    Rows rows;
    for (const unsigned control : {closing + 0U, ping + 0U, pong + 0U}) {
        for (const unsigned rsv : {1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
            const std::string frame =
                clientFrame(control, wire::closePayload(1000), bitsOf(true, rsv));
            const std::string name = "RSV " + number(rsv) + " on a control frame";
            rows.push_back(violation("6.1", name, frame));
            rows.push_back(violation("6.1", name + " in a message", unended(text, hello) + frame));
            rows.push_back(violation("6.1", name + " behind a message",
                                     squeezed(text, hello) + frame, CloseCode::protocolError,
                                     {asText("Hello")}));
        }
    }
    for (const unsigned kind : {text + 0U, binary + 0U}) {
        for (const unsigned rsv : {1U, 2U, 3U, 5U, 6U, 7U}) {
            rows.push_back(violation("6", "RSV " + number(rsv) + " on a message",
                                     clientFrame(kind, hello, bitsOf(true, rsv))));
        }
        for (const unsigned rsv : {1U, 2U, 4U, 6U, 7U}) {
            for (const bool fin : {true, false}) {
                const std::string rest =
                    clientFrame(continuation, hello.substr(3), bitsOf(fin, rsv));
                const std::string name = "RSV " + number(rsv) + " on a continuation";
                rows.push_back(violation("6.1", name, unended(kind, hello.substr(0, 3)) + rest));
                rows.push_back(violation("6.1", name + " of what is not compressed",
                                         fragment(kind, "a") + rest));
                rows.push_back(violation("6.1", name + " of nothing", rest));
            }
        }
    }
    for (const unsigned opcode : {3U, 7U, 11U, 15U}) {
        rows.push_back(violation("6", "RSV1 on a reserved opcode",
                                 clientFrame(opcode, hello, bitsOf(true, 4))));
    }
    return rows;
}

Rows broken() {
    Rows rows;
    const auto bad = [&rows](const std::string& name, const std::string& data, bool atOnce) {
        for (const unsigned kind : {text + 0U, binary + 0U}) {
            const CloseCode code = CloseCode::invalidPayload;
            rows.push_back(violation("7.2.2", name, squeezed(kind, data), code));
            rows.push_back(
                violation("7.2.2", name + ", a fragment per byte", squeezed(kind, data, 1), code));
            if (atOnce) {  // the rest of the message, or of the frame, is still to come
                rows.push_back(
                    violation("7.2.2", name + ", and goes on", unended(kind, data), code));
                rows.push_back(violation(
                    "7.2.2", name + ", and the frame goes on",
                    squeezed(kind, data + std::string(99, 'x')).substr(0, 6 + data.size()), code));
            }
        }
    };
    bad("a reserved kind of block", hex("06"), true);
    bad("a reserved kind of block behind a good one", hello + hex("00 00 ff ff 06"), true);
    bad("a length and its complement", hex("00 05 00 00 00"), true);
    bad("a distance to before the message", hex("f2 00 11 00"), true);
    bad("too many codes", hex("fc ff ff ff ff ff ff ff ff ff"), true);
    bad("rubbish behind BFINAL", hex("f3 48 cd c9 c9 07 00 06"), true);
    bad("it ends inside a block", hex("f2 48 cd c9"), false);
    bad("it ends before the data of a block", hex("00 04 00 fb ff"), false);
    bad("it ends in the length of a block", hex("00 05 00"), false);
    bad("it ends where a block goes on", hex("00 09 00 f6 ff 48 65 6c 6c 6f"), false);
    // 7.1.1.2: the client was told not to refer to its earlier messages.
    rows.push_back(violation("7.2.3.2", "the window of the message before",
                             squeezed(text, hello) + squeezed(text, hex("f2 00 11 00 00")),
                             CloseCode::invalidPayload, {asText("Hello")}));
    rows.push_back({"7.1.1.2",
                    "each message begins with an empty window",
                    squeezed(text, hello) + squeezed(text, hello, 3) + squeezed(binary, hello),
                    {asText("Hello"), asText("Hello"), asBinary("Hello")}});
    // 7.1.2.2: nothing smaller was agreed on, and no larger window exists.
    const std::string far = noise(300) + std::string(32'400, '\0') + noise(300);
    rows.push_back({"7.1.2.2",
                    "references over almost 32 KiB",
                    squeezed(binary, deflated(far, 15, 9)),
                    {asBinary(far)}});
    return rows;
}

Rows compressedText() {
    Rows rows;
    for (const std::string& good : goodTexts) {
        rows.push_back({"6.2", "UTF-8", squeezed(text, deflated(good)), {asText(good)}});
        rows.push_back({"6.2",
                        "UTF-8, a block and a fragment per byte",
                        squeezed(text, deflated(good, 15, 6, 1), 7),
                        {asText(good)}});
    }
    const auto bad = [&rows](std::string name, std::string bytes) {
        rows.push_back(
            violation("6.2", std::move(name), std::move(bytes), CloseCode::invalidPayload));
    };
    for (const std::string& one : badTexts) {
        bad("not UTF-8", squeezed(text, deflated(one)));
        bad("not UTF-8, a fragment per byte", squeezed(text, deflated(one), 1));
        bad("not UTF-8, and the message goes on", unended(text, deflated("ab" + one) + "\x02"));
        rows.push_back(
            {"6.2", "not UTF-8, in binary", squeezed(binary, deflated(one)), {asBinary(one)}});
    }
    for (const std::string& cut : cutTexts) {
        bad("ends inside a character", squeezed(text, deflated(cut)));
        bad("ends inside a character, the last fragment is empty",
            unended(text, deflated(cut)) + clientFrame(continuation, ""));
    }
    return rows;
}

Rows limits() {
    Rows rows;
    const auto tooBig = [&rows](std::string name, std::string bytes) {
        rows.push_back(violation("8", std::move(name), std::move(bytes), CloseCode::messageTooBig));
    };
    const std::string most(messageLimit, 'x');
    const std::string bomb = deflated(std::string(64 * messageLimit, '\0'), 15, 9);
    rows.push_back({"8", "as large as may be", squeezed(text, deflated(most)), {asText(most)}});
    tooBig("a byte more", squeezed(text, deflated(most + "y")));
    tooBig("a bomb", squeezed(binary, bomb));
    tooBig("a bomb in fragments", squeezed(binary, bomb, 1000));
    tooBig("a bomb behind text", squeezed(text, deflated("Hello") + hex("00 00 ff ff") + bomb));
    tooBig("the header says enough", clientHeader(binary, 2 * messageLimit, bitsOf(true, 4)));
    rows.push_back(violation("8", "a message that is not compressed has the same limit",
                             squeezed(text, hello) + clientHeader(text, messageLimit + 1),
                             CloseCode::messageTooBig, {asText("Hello")}));
    return rows;
}

/// What a server sends must be readable with the window that the client asked for.
Rows windows(int bits) {
    Rows rows;
    const std::string repeated = someText(700);
    for (const std::size_t distance :
         {std::size_t{1} << (bits - 1), std::size_t{1} << bits, (std::size_t{1} << bits) + 1000}) {
        const std::string payload = repeated + noise(distance) + repeated;
        rows.push_back({"7.1.2.1",
                        "what repeats is " + number(distance) + " bytes away",
                        squeezed(binary, deflated(payload)),
                        {asBinary(payload)}});
    }
    // 7.1.1.1: nor may it refer to what was sent before.
    rows.push_back({"7.1.1.1",
                    "the same again",
                    clientFrame(text, repeated) + clientFrame(text, repeated),
                    {asText(repeated), asText(repeated)}});
    return rows;
}

template <class Transport>
Options compressing() {
    Options options = Harness<Transport>::options();
    DeflateOptions deflate;
    deflate.minimumSize = 0;  // whatever gets smaller
    options.compression = permessageDeflate(deflate);
    return options;
}

/// The client's reader has that window and no more; `count` says how often it was needed.
Terms termsOf(const std::string& offers, int bits = 15, std::atomic<int>* count = nullptr) {
    return {headersOf(offers), [bits, count](std::string_view message) {
                if (count) {
                    ++*count;
                }
                return inflated(message, bits).value_or("cannot be inflated");
            }};
}

template <class Transport>
void runCompressed(const Rows& rows) {
    runRows<Transport>(rows, compressing<Transport>(), termsOf("permessage-deflate"));
}

/// Opens a session with these offers, and says "Hello" compressed.
template <class Transport>
void negotiates(EchoHub<Transport>& hub, const std::string& user, const std::string& offers,
                const std::string& answer) {
    Peer<Transport> peer(hub.hub, termsOf(offers));
    peer.send(handshakeRequest("/websocket/" + user, headersOf(offers)));
    REQUIRE(peer.status() == 101);
    CHECK(extensionsIn(peer.head()) == answer);
    peer.send(squeezed(text, hello));
    if (!answer.empty()) {
        peer.await(1, 0);
        peer.send(clientClose(1000));
    }
    const Received& received = peer.all();
    CHECK(received.strict);
    CHECK(received.messages == (answer.empty() ? Strings() : Strings{asText("Hello")}));
    CHECK(received.close == (answer.empty() ? CloseCode::protocolError : CloseCode::normal));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("deflate conformance: negotiation, 5 and 7.1", "[conformance]",
                        Transports) {
    EchoHub<TestType> hub(compressing<TestType>());
    EchoHub<TestType> without;
    std::size_t users = 0;
    for (const Offer& row : offers()) {
        INFO("section " << row.section << ": " << row.offers);
        negotiates(hub, number(++users), row.offers, row.answer);
        // 5: a server that does not want the extension leaves it out, and then RSV1 is wrong.
        negotiates(without, number(users), row.offers, "");
    }
    negotiates(hub, "nothing", "", "");
    // RFC 6455 section 9.1: what is malformed is not declined, it fails the handshake.
    for (const char* malformed :
         {"permessage-deflate;", "permessage-deflate; ; client_max_window_bits",
          "permessage-deflate; client_max_window_bits=",
          "permessage-deflate; client_max_window_bits=\"\"",
          "permessage-deflate; client_max_window_bits=\"10",
          "permessage-deflate; client_max_window_bits=\"1 0\"",
          "permessage-deflate; client_max_window_bits=10 11",
          "permessage-deflate client_max_window_bits", "permessage-deflate, =", "; x",
          "permessage-deflate|;", "\"permessage-deflate\""}) {
        INFO(malformed);
        Peer<TestType> peer(hub.hub);
        peer.send(handshakeRequest("/websocket/1", headersOf(malformed)));
        CHECK(peer.status() == 400);
        CHECK(extensionsIn(peer.head()).empty());
    }
}

TEMPLATE_LIST_TEST_CASE("deflate conformance: messages of each size, 7.2", "[conformance]",
                        Transports) {
    runCompressed<TestType>(sizes());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: kinds of blocks, 7.2.3", "[conformance]",
                        Transports) {
    runCompressed<TestType>(blocks());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: fragments, 6", "[conformance]", Transports) {
    runCompressed<TestType>(fragments());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: reserved bits, 6", "[conformance]", Transports) {
    runCompressed<TestType>(reservedBits());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: broken streams, 7.2.2", "[conformance]", Transports) {
    runCompressed<TestType>(broken());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: UTF-8, 6.2", "[conformance]", Transports) {
    runCompressed<TestType>(compressedText());
}
TEMPLATE_LIST_TEST_CASE("deflate conformance: limits, 8", "[conformance]", Transports) {
    runCompressed<TestType>(limits());
}

TEMPLATE_LIST_TEST_CASE("deflate conformance: windows, 7.1.2", "[conformance]", Transports) {
    for (int bits = 9; bits <= 15; ++bits) {
        INFO("server_max_window_bits=" << bits);
        std::atomic<int> inflations{0};
        const std::string offer =
            "permessage-deflate; server_max_window_bits=" + std::to_string(bits);
        runRows<TestType>(windows(bits), compressing<TestType>(),
                          termsOf(offer, bits, &inflations));
        CHECK(inflations > 0);
    }
}

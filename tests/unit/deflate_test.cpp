#include <pushhub/deflate.hpp>
#include <pushhub/protocol/engine.hpp>

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/client_frames.hpp"
#include "support/zlib_peer.hpp"

// What C++ has allocated, to see that memory stays within the limits.
namespace {
std::atomic<std::size_t> liveBytes{0};
std::atomic<std::size_t> peakBytes{0};
}  // namespace

void* pushhub::test::allocate(std::size_t size) noexcept {
    void* const memory = std::malloc(size);
    const std::size_t live = liveBytes += ::malloc_usable_size(memory);
    peakBytes = std::max(peakBytes.load(), live);
    return memory;
}
void pushhub::test::release(void* memory) noexcept {
    liveBytes -= ::malloc_usable_size(memory);
    std::free(memory);
}

using namespace pushhub;
using namespace pushhub::test::wire;
using pushhub::protocol::Engine;
using pushhub::protocol::EngineEvent;
using pushhub::test::deflated;
using pushhub::test::hex;
using pushhub::test::inflated;
using pushhub::test::noise;
using pushhub::test::someText;
using namespace std::string_literals;

namespace {

using Events = std::vector<std::string>;

constexpr std::size_t limit = 64 * 1024;

FrameBits rsv1(bool fin = true) {
    FrameBits bits;
    bits.fin = fin;
    bits.rsv = 4;
    return bits;
}

FrameBits more() {
    FrameBits bits;
    bits.fin = false;
    return bits;
}

/// A compressed message in one frame.
std::string whole(unsigned opcode, std::string_view compressed) {
    return clientFrame(opcode, compressed, rsv1());
}

/// The same in frames of `size` bytes.
std::string inFragments(unsigned opcode, std::string_view compressed, std::size_t size) {
    std::string frames;
    for (std::size_t at = 0; at < compressed.size(); at += size) {
        FrameBits bits = rsv1(at + size >= compressed.size());
        bits.rsv = at == 0 ? 4 : 0;
        frames += clientFrame(at == 0 ? opcode : continuation, compressed.substr(at, size), bits);
    }
    return frames;
}

std::string describe(EngineEvent event, const Engine& engine) {
    const std::string payload(engine.payload());
    switch (event) {
        case EngineEvent::message:
            return (engine.type() == MessageType::text ? "text " : "binary ") + payload;
        case EngineEvent::ping:
            return "ping " + payload;
        case EngineEvent::violation:
            return "violation " +
                   std::to_string(static_cast<unsigned>(engine.violation().closeCode));
        default:
            return "?";
    }
}

/// Reads bytes that come cut after each of `cuts`, in copies of exactly their size.
Events read(Engine& engine, std::string_view bytes, const std::vector<std::size_t>& cuts = {}) {
    Events events;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : bytes.size();
        std::vector<char> piece(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                                bytes.begin() + static_cast<std::ptrdiff_t>(end));
        start = end;
        for (std::size_t at = 0; at < piece.size();) {
            std::size_t used = 0;
            const EngineEvent event = engine.read(piece.data() + at, piece.size() - at, used);
            at += used;
            if (event != EngineEvent::needMore) {
                events.push_back(describe(event, engine));
            }
            if (event == EngineEvent::violation) {
                return events;
            }
        }
    }
    return events;
}

struct Reader {
    std::shared_ptr<const MessageCompression> compression = permessageDeflate();
    Engine engine;

    explicit Reader(std::size_t most = limit) {
        engine.setMaxMessageSize(most);
        engine.setMaxFragments(1'000'000);
        engine.setCompression(compression.get());
    }
};

Events readWhole(std::string_view bytes, std::size_t most = limit) {
    Reader reader(most);
    return read(reader.engine, bytes);
}

/// The same however the bytes are cut.
Events readEveryWay(const std::string& bytes, std::size_t most = limit) {
    const Events events = readWhole(bytes, most);
    std::vector<std::size_t> everywhere;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
        everywhere.push_back(cut);
        Reader reader(most);
        CHECK(read(reader.engine, bytes, {cut}) == events);
    }
    Reader reader(most);
    CHECK(read(reader.engine, bytes, everywhere) == events);
    return events;
}

std::string refusal(const DeflateOptions& options) {
    try {
        permessageDeflate(options);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("Options of deflate that are out of range are named", "[deflate]") {
    DeflateOptions options;
    CHECK(refusal(options).empty());
    options.level = 0;
    CHECK(refusal(options) == "pushhub: option DeflateOptions::level is 0, expected from 1 to 9");
    options.level = 10;
    CHECK(refusal(options).find("level is 10") != std::string::npos);
    options.level = 9;
    options.windowBits = 8;
    CHECK(refusal(options).find("windowBits is 8, expected from 9 to 15") != std::string::npos);
    options.windowBits = 16;
    CHECK(refusal(options).find("windowBits is 16") != std::string::npos);
    options.windowBits = 9;
    options.memLevel = 0;
    CHECK(refusal(options).find("memLevel is 0, expected from 1 to 9") != std::string::npos);
    options.memLevel = 10;
    CHECK(refusal(options).find("memLevel is 10") != std::string::npos);
    options.memLevel = 1;
    CHECK(refusal(options).empty());
}

TEST_CASE("Offers are accepted or declined as RFC 7692 section 7.1 has it", "[deflate]") {
    const std::string base =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    const auto bits = [&](int number) {
        return base + "; server_max_window_bits=" + std::to_string(number);
    };
    const std::string none;
    struct Row {
        std::string offers;
        std::string answer;  // "": declined
        unsigned window = 15;
    };
    const std::vector<Row> rows = {
        {"", none},
        {"permessage-deflate", base},
        {"x-webkit-deflate-frame", none},
        {"Permessage-Deflate", none},
        {"permessage-deflate-2", none},
        // Section 7.1.1: context takeover.
        {"permessage-deflate; server_no_context_takeover", base},
        {"permessage-deflate; client_no_context_takeover", base},
        {"permessage-deflate; client_no_context_takeover; server_no_context_takeover", base},
        {"permessage-deflate; server_no_context_takeover=1", none},
        {"permessage-deflate; client_no_context_takeover=\"true\"", none},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", none},
        // Section 7.1.2.1: the window of the server.
        {"permessage-deflate; server_max_window_bits", none},
        {"permessage-deflate; server_max_window_bits=7", none},
        {"permessage-deflate; server_max_window_bits=8", none},
        {"permessage-deflate; server_max_window_bits=9", bits(9), 9},
        {"permessage-deflate; server_max_window_bits=10", bits(10), 10},
        {"permessage-deflate; server_max_window_bits=15", bits(15)},
        {"permessage-deflate; server_max_window_bits=16", none},
        {"permessage-deflate; server_max_window_bits=010", none},
        {"permessage-deflate; server_max_window_bits=+10", none},
        {"permessage-deflate; server_max_window_bits=10x", none},
        {"permessage-deflate; server_max_window_bits=1e1", none},
        {"permessage-deflate; server_max_window_bits=18446744073709551626", none},
        {"permessage-deflate; server_max_window_bits=\"10\"", bits(10), 10},
        {"permessage-deflate; server_max_window_bits=\"1\\0\"", bits(10), 10},
        {"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", none},
        // Section 7.1.2.2: the window of the client, of which the answer need not say anything.
        {"permessage-deflate; client_max_window_bits", base},
        {"permessage-deflate; client_max_window_bits=8", base},
        {"permessage-deflate; client_max_window_bits=15", base},
        {"permessage-deflate; client_max_window_bits=16", none},
        {"permessage-deflate; client_max_window_bits=07", none},
        {"permessage-deflate; client_max_window_bits; client_max_window_bits=10", none},
        // The examples of section 7.1.3.
        {"permessage-deflate; client_max_window_bits; server_max_window_bits=10", bits(10), 10},
        {"permessage-deflate; client_max_window_bits; server_max_window_bits=10, "
         "permessage-deflate; client_max_window_bits",
         bits(10), 10},
        // Section 7.1: anything unknown, and falling back to the next.
        {"permessage-deflate; unknown", none},
        {"permessage-deflate; unknown=1", none},
        {"permessage-deflate; Server_No_Context_Takeover", none},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", base},
        {"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12, "
         "permessage-deflate",
         bits(12), 12},
        {"other; server_max_window_bits=9, permessage-deflate", base},
        {"permessage-deflate, other; a=b; c", base},
        {",, permessage-deflate ,", base},
        {"permessage-deflate\t;\tserver_max_window_bits = 11", bits(11), 11},
        // Malformed: RFC 6455 section 9.1.
        {"permessage-deflate;", none},
        {"permessage-deflate; ; client_max_window_bits", none},
        {"permessage-deflate; client_max_window_bits=", none},
        {"permessage-deflate; client_max_window_bits=\"\"", none},
        {"permessage-deflate; client_max_window_bits=\"10", none},
        {"permessage-deflate; client_max_window_bits=\"1 0\"", none},
        {"permessage-deflate; client_max_window_bits=\"10\\", none},
        {"permessage-deflate; client_max_window_bits=10 11", none},
        {"permessage-deflate client_max_window_bits", none},
        {"permessage-deflate, =", none},
        {"permessage-deflate, a;", none},
        {"; permessage-deflate", none},
    };
    const auto compression = permessageDeflate();
    for (const Row& row : rows) {
        INFO(row.offers);
        const auto agreed = compression->negotiate(row.offers);
        CHECK((agreed ? agreed->answer : none) == row.answer);
        CHECK((!agreed || agreed->window == row.window));
    }

    DeflateOptions small;
    small.windowBits = 10;
    const auto smaller = permessageDeflate(small);
    CHECK(smaller->negotiate("permessage-deflate")->window == 10);
    CHECK(smaller->negotiate("permessage-deflate")->answer == base);
    CHECK(smaller->negotiate("permessage-deflate; server_max_window_bits=15")->answer == bits(10));
    CHECK(smaller->negotiate("permessage-deflate; server_max_window_bits=9")->answer == bits(9));
}

TEST_CASE("A long list of offers takes linear time", "[deflate]") {
    std::string offers = "permessage-deflate";
    while (offers.size() < 64 * 1024) {
        offers += ";a;b=\"\\c\", permessage-deflate";
    }
    CHECK(permessageDeflate()->negotiate(offers));
    CHECK_FALSE(permessageDeflate()->negotiate(offers + ";"));
}

TEST_CASE("The messages of RFC 7692 section 7.2.3 are read", "[deflate]") {
    struct Row {
        const char* section;
        std::string message;
        std::string text;
    };
    const std::vector<Row> rows = {
        {"7.2.3.1 one compressed block", hex("f2 48 cd c9 c9 07 00"), "Hello"},
        {"7.2.3.3 no compression", hex("00 05 00 fa ff 48 65 6c 6c 6f 00"), "Hello"},
        {"7.2.3.4 a final block", hex("f3 48 cd c9 c9 07 00 00"), "Hello"},
        {"7.2.3.5 two blocks", hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), "Hello"},
        {"7.2.3.6 an empty message", hex("00"), ""},
        {"two final blocks", hex("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00"), "HelloHello"},
        {"a block that refers to one before a final one",
         hex("f3 48 cd c9 c9 07 00 f2 00 11 00 00"), "HelloHello"},
        {"an empty final block", hex("03 00 00"), ""},
        {"a final block without the byte behind it", hex("f3 48 cd c9 c9 07 00"), "Hello"},
        {"the tail was not left out", hex("f2 48 cd c9 c9 07 00 00 00 ff ff"), "Hello"},
        {"nothing at all", "", ""},
    };
    for (const Row& row : rows) {
        INFO(row.section);
        CHECK(readEveryWay(whole(text, row.message)) == Events{"text " + row.text});
        CHECK(readEveryWay(whole(binary, row.message)) == Events{"binary " + row.text});
        if (!row.message.empty()) {
            CHECK(readEveryWay(inFragments(text, row.message, 1)) == Events{"text " + row.text});
            CHECK(readEveryWay(inFragments(text, row.message, 3)) == Events{"text " + row.text});
        }
        // Behind it comes whatever may come.
        CHECK(readWhole(whole(text, row.message) + clientFrame(text, "plain") +
                        whole(text, row.message)) ==
              Events{"text " + row.text, "text plain", "text " + row.text});
    }
    // A final block whose end is that of the buffer into which it is inflated.
    for (const std::size_t size : {16U * 1024U - 1, 16U * 1024U, 32U * 1024U}) {
        std::string message = deflated(std::string(size, 'x'), 15, 6) + hex("00 00 ff ff 03 00");
        CHECK((readWhole(whole(text, message)) == Events{"text " + std::string(size, 'x')}));
        std::string stored = hex("01");
        stored += bigEndian(size % 256 * 256 + size / 256, 2);
        stored += bigEndian((65535 - size) % 256 * 256 + (65535 - size) / 256, 2);
        stored.append(size, 'x');
        CHECK((readWhole(whole(text, stored)) == Events{"text " + std::string(size, 'x')}));
        CHECK((readWhole(whole(text, stored + hex("00"))) ==
               Events{"text " + std::string(size, 'x')}));
    }
    // Fragments with nothing in them.
    CHECK(readEveryWay(clientFrame(text, "", rsv1(false)) +
                       clientFrame(continuation, hex("f2 48 cd c9 c9 07 00"), more()) +
                       clientFrame(continuation, "")) == Events{"text Hello"});
    // 7.2.3.2: the window is not shared, as both sides have agreed.
    CHECK(readWhole(whole(text, hex("f2 48 cd c9 c9 07 00")) +
                    whole(text, hex("f2 00 11 00 00"))) == Events{"text Hello", "violation 1007"});
}

TEST_CASE("What a broken stream says is 1007, at once", "[deflate]") {
    const std::string hello = hex("f2 48 cd c9 c9 07 00");
    struct Row {
        const char* what;
        std::string message;
        bool atOnce = true;  // before the message has ended
    };
    const std::vector<Row> rows = {
        {"a reserved kind of block", hex("06")},
        {"the same behind good bytes", hello + hex("00 00 ff ff 06")},
        {"the length of a stored block", hex("00 05 00 00 00")},
        {"a distance to before the message", hex("f2 00 11 00")},
        {"too many codes", hex("fc ff ff ff ff ff ff ff ff ff")},
        {"rubbish behind a final block", hex("f3 48 cd c9 c9 07 00 06")},
        {"it ends inside a block", hex("f2 48 cd c9"), false},
        {"it ends before the data of a stored block", hex("00 04 00 fb ff"), false},
        {"it ends in the length of a stored block", hex("00 05 00"), false},
        {"it ends where a block says it goes on", hex("00 09 00 f6 ff 48 65 6c 6c 6f"), false},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        for (const unsigned opcode : {unsigned{text}, unsigned{binary}}) {
            CHECK(readEveryWay(whole(opcode, row.message)) == Events{"violation 1007"});
            CHECK(readEveryWay(inFragments(opcode, row.message, 1)) == Events{"violation 1007"});
        }
        const Events early = readWhole(clientFrame(text, row.message, rsv1(false)));
        CHECK(early == (row.atOnce ? Events{"violation 1007"} : Events{}));
    }
    Reader reader;
    CHECK(read(reader.engine, whole(text, "\x06")) == Events{"violation 1007"});
    CHECK(reader.engine.violation().error == Errc::brokenCompression);
    reader.engine.reset();
    CHECK(read(reader.engine, whole(text, hello)) == Events{"text Hello"});
}

TEST_CASE("Inflated text has to be UTF-8", "[deflate]") {
    const std::string good = "\u00fc \u4f60\u597d \U0001f44b" + someText(300);
    CHECK(readEveryWay(inFragments(text, deflated(good, 15, 6, 1), 7)) == Events{"text " + good});
    for (const std::string& bad : {"a\xff"s, "\xc3("s, "\xed\xa0\x80"s, "good\xe4\xbd"s}) {
        CHECK(readEveryWay(whole(text, deflated(bad))) == Events{"violation 1007"});
        CHECK(readEveryWay(inFragments(text, deflated(bad), 1)) == Events{"violation 1007"});
        CHECK(readWhole(whole(binary, deflated(bad))) == Events{"binary " + bad});
    }
    // At once: the rest of the message is still to come.
    CHECK(readWhole(clientFrame(text, deflated("a\xff"), rsv1(false))) == Events{"violation 1007"});
}

TEST_CASE("RSV1 is for the first frame of a message, if it was agreed on", "[deflate]") {
    const std::string hello = hex("f2 48 cd c9 c9 07 00");
    const Events refused{"violation 1002"};
    FrameBits rsv2;
    rsv2.rsv = 2;
    FrameBits rsv13 = rsv1();
    rsv13.rsv |= 1;

    CHECK(readEveryWay(whole(text, hello)) == Events{"text Hello"});
    CHECK(readEveryWay(clientFrame(text, "plain")) == Events{"text plain"});
    CHECK(readEveryWay(clientFrame(ping, "x", rsv1())) == refused);
    CHECK(readEveryWay(clientFrame(pong, "x", rsv1())) == refused);
    CHECK(readEveryWay(clientFrame(closing, closePayload(1000), rsv1())) == refused);
    CHECK(readEveryWay(clientFrame(text, "x", rsv2)) == refused);
    CHECK(readEveryWay(clientFrame(text, hello, rsv13)) == refused);

    const std::string first = clientFrame(text, hello.substr(0, 3), rsv1(false));
    const std::string rest(hello.substr(3));
    CHECK(readEveryWay(first + clientFrame(continuation, rest)) == Events{"text Hello"});
    CHECK(readEveryWay(first + clientFrame(continuation, rest, rsv1())) == refused);
    CHECK(readEveryWay(fragment(text, "a") + clientFrame(continuation, "b", rsv1())) == refused);
    CHECK(readEveryWay(fragment(text, "a") + clientFrame(continuation, hello, rsv1(false)) +
                       clientFrame(continuation, "")) == refused);
    CHECK(readEveryWay(clientFrame(continuation, hello, rsv1())) == refused);
    CHECK(readEveryWay(first + clientFrame(ping, "p") + clientFrame(continuation, rest)) ==
          Events{"ping p", "text Hello"});
    CHECK(readEveryWay(first + clientFrame(ping, "p", rsv1())) == refused);

    Engine plain;
    CHECK(read(plain, whole(text, hello)) == refused);

    // The engine goes on to another connection.
    Reader reader;
    CHECK(read(reader.engine, whole(text, hello)) == Events{"text Hello"});
    reader.engine.reset();
    reader.engine.setMaxMessageSize(5);
    reader.engine.setMaxFragments(1'000'000);
    reader.engine.setCompression(nullptr);
    CHECK(read(reader.engine, clientFrame(text, "plain")) == Events{"text plain"});
    CHECK(read(reader.engine, clientFrame(text, "plain6")) == Events{"violation 1009"});
    reader.engine.reset();
    CHECK(read(reader.engine, whole(text, hello)) == refused);
    reader.engine.reset();
    reader.engine.setMaxMessageSize(limit);
    reader.engine.setMaxFragments(1'000'000);
    reader.engine.setCompression(reader.compression.get());
    CHECK(read(reader.engine, first) == Events{});
    reader.engine.reset();  // in the middle of a message
    CHECK(read(reader.engine, whole(text, hello)) == Events{"text Hello"});
}

TEST_CASE("The limit counts inflated bytes", "[deflate]") {
    for (const std::size_t most : {std::size_t{1}, std::size_t{10}, std::size_t{1000}, limit}) {
        for (const bool compressible : {true, false}) {
            const std::string fits = compressible ? std::string(most, 'x') : noise(most);
            const std::string tooMuch = fits + "y";
            INFO(most << (compressible ? " x" : " bytes of noise"));
            const Events good{"binary " + fits};
            const Events bad{"violation 1009"};
            CHECK(readWhole(whole(binary, deflated(fits)), most) == good);
            CHECK(readWhole(whole(binary, deflated(tooMuch)), most) == bad);
            CHECK(readWhole(inFragments(binary, deflated(fits), 7), most) == good);
            CHECK(readWhole(inFragments(binary, deflated(tooMuch), 7), most) == bad);
            // Blocks with nothing in them behind a message that has the largest size.
            CHECK(readWhole(clientFrame(binary, deflated(fits) + hex("00 00 ff ff"), rsv1(false)) +
                                clientFrame(continuation, hex("00 00 00 ff ff"), more()) +
                                clientFrame(continuation, hex("00")),
                            most) == good);
            if (most <= 1000) {  // byte by byte, each in a fragment and flushed
                CHECK(readWhole(inFragments(binary, deflated(fits, 15, 6, 1), 7), most) == good);
            }
        }
    }
    // Uncompressed messages have the limit itself, before and after.
    const std::string plain = clientFrame(binary, std::string(limit + 1, 'x'));
    CHECK(readWhole(whole(text, hex("f2 48 cd c9 c9 07 00")) + plain) ==
          Events{"text Hello", "violation 1009"});
}

TEST_CASE("A message that never ends is 1009", "[deflate]") {
    std::string flood = clientFrame(text, hex("00 00 00 ff ff"), rsv1(false));
    while (flood.size() < 2 * limit) {
        flood += clientFrame(continuation, hex("00 00 00 ff ff"), more());
    }
    CHECK(readWhole(flood, 1024) == Events{"violation 1009"});
    // The header alone says enough.
    CHECK(readWhole(clientHeader(text, 2 * limit, rsv1())) == Events{"violation 1009"});
}

TEST_CASE("A bomb ends at the limit, and so does the memory for it", "[deflate]") {
    static const std::string bomb = deflated(std::string(256UL * 1024 * 1024, '\0'), 15, 9);
    REQUIRE(bomb.size() < 300 * 1024);
    const std::size_t most = GENERATE(std::size_t{1000}, limit, std::size_t{1024 * 1024 + 7});
    const std::string frames = GENERATE_REF(whole(binary, bomb), inFragments(binary, bomb, 100));

    Reader reader(most);
    std::vector<char> bytes(frames.begin(), frames.end());
    const std::size_t before = liveBytes;
    peakBytes = before;
    EngineEvent event = EngineEvent::needMore;
    for (std::size_t at = 0; at < bytes.size() && event == EngineEvent::needMore;) {
        std::size_t used = 0;
        const std::size_t size = std::min<std::size_t>(bytes.size() - at, 64 * 1024);
        event = reader.engine.read(bytes.data() + at, size, used);
        at += used;
    }
    const std::size_t peak = peakBytes - before;
    CHECK(event == EngineEvent::violation);
    CHECK(reader.engine.violation().closeCode == CloseCode::messageTooBig);
    CHECK(reader.engine.violation().error == Errc::inboundTooBig);
    // While it grows, the last step but one is still there.
    CHECK(peak < most + most / 2 + 16 * 1024);
}

TEST_CASE("An inflater that cannot be had closes with 1011", "[deflate]") {
    struct NoInflater final : MessageCompression {
        std::optional<Agreement> negotiate(std::string_view) const override { return {}; }
        std::string compress(std::string_view, unsigned) const noexcept override { return {}; }
        std::unique_ptr<MessageInflater> makeInflater() const noexcept override { return {}; }
    } compression;
    Engine engine;
    engine.setCompression(&compression);
    CHECK(read(engine, clientFrame(text, "plain")) == Events{"text plain"});
    CHECK(read(engine, whole(text, deflated("x"))) == Events{"violation 1011"});
}

TEST_CASE("Messages that are compressed can be read with the window that was agreed on",
          "[deflate]") {
    DeflateOptions options;
    options.minimumSize = 0;
    options.level = GENERATE(1, 6, 9);
    options.memLevel = GENERATE(1, 8);
    const auto compression = permessageDeflate(options);
    for (unsigned window = 9; window <= 15; ++window) {
        for (const std::size_t size : std::vector<std::size_t>{
                 3, 50, 256, 511, 1000, 4096, 32767, 32768, 32769, 65535, 65536, 100000}) {
            for (const std::string& payload :
                 {someText(size), std::string(size, 'x'), noise(size), noise(700) + noise(700)}) {
                const std::string message = compression->compress(payload, window);
                INFO(window << " bits, " << size << " bytes");
                CHECK(message.size() < payload.size());
                if (!message.empty()) {
                    // Beyond what was agreed on, zlib finds its distances too far back.
                    CHECK((inflated(message, static_cast<int>(window)) == payload));
                }
            }
        }
    }
}

TEST_CASE("What does not get smaller is not compressed", "[deflate]") {
    DeflateOptions options;
    options.minimumSize = 0;
    const auto compression = permessageDeflate(options);
    CHECK(compression->compress("", 15).empty());
    CHECK(compression->compress("x", 15).empty());
    CHECK(compression->compress("Hello", 15).empty());
    CHECK(compression->compress(noise(5000), 15).empty());
    CHECK(compression->compress("HelloHelloHello", 15) == deflated("HelloHelloHello"));

    options.minimumSize = 100;
    const auto from100 = permessageDeflate(options);
    CHECK(from100->compress(std::string(99, 'x'), 15).empty());
    CHECK(from100->compress(std::string(100, 'x'), 15) == deflated(std::string(100, 'x')));
}

TEST_CASE("Messages of all sizes are read as they were written", "[deflate]") {
    Reader reader(100'000);
    for (int bits = 9; bits <= 15; ++bits) {
        for (std::size_t size = 0; size <= 100'000; size = size * 3 / 2 + 1) {
            const std::string payload = bits % 2 != 0 ? someText(size) : noise(size);
            const std::string message = deflated(payload, bits);
            CHECK((read(reader.engine, whole(binary, message)) == Events{"binary " + payload}));
            CHECK((read(reader.engine, inFragments(binary, message, 1000)) ==
                   Events{"binary " + payload}));
        }
    }
}

TEST_CASE("Several threads compress at the same time", "[deflate]") {
    const auto compression = permessageDeflate();
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
            const std::string payload = someText(500 + 100 * i);
            const std::string expected = deflated(payload, static_cast<int>(9 + i % 3));
            for (int n = 0; n < 50; ++n) {
                good += compression->compress(payload, 9 + i % 3) == expected ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(good == 400);
}

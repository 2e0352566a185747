#include <pushhub/frame.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::Frame;
using pushhub::FramePtr;
using pushhub::protocol::frameHeaderSize;
using pushhub::protocol::frameSize;
using pushhub::protocol::Opcode;

namespace {

std::string bytesOf(const FramePtr& frame) {
    return {frame->data(), frame->size()};
}

}  // namespace

TEST_CASE("A frame is header and payload, RFC 6455 section 5.2", "[frame]") {
    CHECK(bytesOf(Frame::make(Opcode::text, "Hello")) == "\x81\x05Hello");
    CHECK(bytesOf(Frame::make(Opcode::pong, "")) == std::string("\x8a\x00", 2));
    CHECK(bytesOf(Frame::make(Opcode::close, "\x03\xe8")) == "\x88\x02\x03\xe8");

    const std::vector<std::pair<std::size_t, std::string>> headers{
        {125, std::string("\x82\x7d", 2)},
        {126, std::string("\x82\x7e\x00\x7e", 4)},
        {256, std::string("\x82\x7e\x01\x00", 4)},
        {65'535, std::string("\x82\x7e\xff\xff", 4)},
        {65'536, std::string("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10)},
        {0x123456, std::string("\x82\x7f\x00\x00\x00\x00\x00\x12\x34\x56", 10)}};
    for (const auto& [size, header] : headers) {
        const std::string payload(size, 'x');
        const FramePtr frame = Frame::make(Opcode::binary, payload);
        CHECK(bytesOf(frame) == header + payload);
        CHECK(frameHeaderSize(size) == header.size());
        CHECK(frameSize(frame->data()) == frame->size());
        CHECK(frame->room() == 0);
    }
    CHECK(frameHeaderSize(std::uint64_t{1} << 32) == 10);
}

TEST_CASE("The size of a frame is read from its header alone", "[frame]") {
    CHECK(frameSize("\x81\x7f\x00\x00\x00\x00\xff\xee\xdd\xcc") == 10 + 0xFFEEDDCC);
    CHECK(frameSize("\x81\x7e\xff\xfe") == 4 + 0xFFFE);
    CHECK(frameSize("\x81\x85") == 2 + 5);  // the mask bit is no part of the length
}

TEST_CASE("Room in a frame is used up and given back", "[frame]") {
    const FramePtr frame = Frame::allocate(20);
    CHECK(frame->size() == 0);
    CHECK(frame->room() == 20);
    frame->append(Opcode::text, "abc");
    frame->append("defg");
    frame->append("");
    CHECK(bytesOf(frame) ==
          "\x81\x03"
          "abcdefg");
    CHECK(frame->room() == 11);
    frame->clear();
    CHECK(frame->size() == 0);
    CHECK(frame->room() == 20);
    CHECK(bytesOf(Frame::raw("HTTP/1.1 101")) == "HTTP/1.1 101");
    CHECK(Frame::allocate(0)->room() == 0);
}

TEST_CASE("A frame is shared, and lives as long as the last who has it", "[frame]") {
    FramePtr first = Frame::make(Opcode::text, "shared");
    CHECK(first->unique());
    FramePtr second = first;
    CHECK_FALSE(first->unique());
    CHECK(first == second);
    first = nullptr;
    CHECK(second->unique());
    FramePtr third = std::move(second);
    CHECK_FALSE(second);
    CHECK(third->unique());
    const FramePtr& self = third;
    third = self;
    CHECK(bytesOf(third) == "\x81\x06shared");
}

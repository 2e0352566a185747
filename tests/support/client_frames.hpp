#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Frames as a client sends them, right ones and wrong ones, built without the library's help.
namespace pushhub::test::wire {

enum : unsigned { continuation = 0, text = 1, binary = 2, closing = 8, ping = 9, pong = 10 };

/// What the first byte of a frame says; `fin` and the opcode by default.
struct FrameBits {
    bool fin = true;
    unsigned rsv = 0;  // three bits, RSV1 the highest
    bool masked = true;
    std::uint32_t key = 0x37fa213d;
    unsigned lengthBytes = 0;  // 0: the shortest form, otherwise 2 or 8
};

inline std::string bigEndian(std::uint64_t value, unsigned bytes) {
    std::string out;
    for (unsigned i = bytes; i-- > 0;) {
        out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
    }
    return out;
}

/// A header that promises `length` bytes, whether or not they follow.
inline std::string clientHeader(unsigned opcode, std::uint64_t length, const FrameBits& bits = {}) {
    const unsigned lengthBytes = bits.lengthBytes   ? bits.lengthBytes
                                 : length < 126     ? 0
                                 : length <= 0xFFFF ? 2
                                                    : 8;
    const std::uint64_t code = lengthBytes == 0 ? length : lengthBytes == 2 ? 126 : 127;
    std::string header = bigEndian((bits.fin ? 0x80U : 0U) | bits.rsv << 4 | opcode, 1);
    header += bigEndian((bits.masked ? 0x80U : 0U) | code, 1);
    header += bigEndian(length, lengthBytes);
    return bits.masked ? header + bigEndian(bits.key, 4) : header;
}

inline std::string clientFrame(unsigned opcode, std::string_view payload,
                               const FrameBits& bits = {}) {
    std::string frame = clientHeader(opcode, payload.size(), bits);
    for (std::size_t i = 0; i < payload.size(); ++i) {
        const auto key = static_cast<unsigned char>(bits.key >> (8 * (3 - i % 4)));
        const auto byte = static_cast<unsigned char>(payload[i]);
        frame += static_cast<char>(bits.masked ? byte ^ key : byte);
    }
    return frame;
}

/// A frame with more to come.
inline std::string fragment(unsigned opcode, std::string_view payload) {
    FrameBits bits;
    bits.fin = false;
    return clientFrame(opcode, payload, bits);
}

inline std::string closePayload(unsigned code, std::string_view reason = {}) {
    return bigEndian(code, 2).append(reason);
}

inline std::string clientClose(unsigned code, std::string_view reason = {}) {
    return clientFrame(closing, closePayload(code, reason));
}

}  // namespace pushhub::test::wire

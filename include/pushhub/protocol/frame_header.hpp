#pragma once

#include <cstddef>
#include <cstdint>

namespace pushhub::protocol {

/// Opcodes of RFC 6455 section 5.2.
enum class Opcode : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xA
};

/// Largest payload of a control frame, RFC 6455 section 5.5.
inline constexpr std::size_t maxControlPayload = 125;
/// Largest reason in a close frame: the code takes two bytes.
inline constexpr std::size_t maxCloseReason = maxControlPayload - 2;

/// Bytes of a server's (unmasked) frame header before a payload of `length` bytes.
constexpr std::size_t frameHeaderSize(std::uint64_t length) noexcept {
    return length < 126 ? 2 : length <= 0xFFFF ? 4 : 10;
}

/// Writes the header of a final, unmasked frame (RFC 6455 section 5.2) and returns its size.
/// `compressed` sets the bit RSV1 (RFC 7692 section 6).
inline std::size_t writeFrameHeader(char* out, Opcode opcode, std::uint64_t length,
                                    bool compressed = false) noexcept {
    const auto byte = [](std::uint64_t value) { return static_cast<char>(value & 0xFF); };
    out[0] = byte(0x80U | (compressed ? 0x40U : 0U) | static_cast<unsigned>(opcode));
    if (length < 126) {
        out[1] = byte(length);
        return 2;
    }
    const bool wide = length > 0xFFFF;
    const int lengthBytes = wide ? 8 : 2;
    out[1] = byte(wide ? 127 : 126);
    for (int i = 0; i < lengthBytes; ++i) {
        out[2 + i] = byte(length >> (8 * (lengthBytes - 1 - i)));
    }
    return 2 + static_cast<std::size_t>(lengthBytes);
}

/// Size of the whole frame in memory, header included, whose unmasked header starts at `frame`.
inline std::size_t frameSize(const char* frame) noexcept {
    const auto byteAt = [frame](std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>(frame[i]));
    };
    const std::size_t code = byteAt(1) & 0x7F;
    if (code < 126) {
        return 2 + code;
    }
    const std::size_t lengthBytes = code == 126 ? 2 : 8;
    std::size_t length = 0;
    for (std::size_t i = 0; i < lengthBytes; ++i) {
        length = length << 8 | byteAt(2 + i);
    }
    return 2 + lengthBytes + length;
}

}  // namespace pushhub::protocol

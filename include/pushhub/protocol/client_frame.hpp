#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <pushhub/protocol/frame_header.hpp>
#include <pushhub/protocol/masking.hpp>

namespace pushhub::protocol {

/// A frame as a client sends it, masked (RFC 6455 section 5.3) with a key that is always the same:
/// for clients in tests, where nothing needs to be unpredictable.
inline std::string clientFrame(Opcode opcode, std::string_view payload, bool final = true) {
    constexpr MaskingKey key{0x12, 0x34, 0x56, 0x78};
    std::array<char, 10> header;
    const std::size_t size = writeFrameHeader(header.data(), opcode, payload.size());
    if (!final) {
        header[0] = static_cast<char>(header[0] & 0x7F);
    }
    header[1] = static_cast<char>(header[1] | 0x80);
    std::string frame(header.data(), size);
    frame.append(key.data(), key.size());
    frame.append(payload);
    mask(frame.data() + frame.size() - payload.size(), payload.size(), key, 0);
    return frame;
}

}  // namespace pushhub::protocol

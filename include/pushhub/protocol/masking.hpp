#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pushhub::protocol {

/// The key that a client masks a frame with, RFC 6455 section 5.3.
using MaskingKey = std::array<char, 4>;

/// Masks or unmasks, which is the same, `size` bytes at `data`. `at` is their place in the payload.
/// Linear, eight bytes at a time.
inline void mask(char* data, std::size_t size, const MaskingKey& key, std::uint64_t at) noexcept {
    const auto first = static_cast<unsigned>(at);  // of which the last two bits count
    char pattern[8];
    for (std::size_t i = 0; i < sizeof pattern; ++i) {
        pattern[i] = key[(first + i) % key.size()];
    }
    std::uint64_t wide;
    std::memcpy(&wide, pattern, sizeof wide);
    for (; size >= sizeof wide; data += sizeof wide, size -= sizeof wide) {
        std::uint64_t word;
        std::memcpy(&word, data, sizeof word);
        word ^= wide;
        std::memcpy(data, &word, sizeof word);
    }
    for (std::size_t i = 0; i < size; ++i) {
        data[i] = static_cast<char>(data[i] ^ pattern[i]);
    }
}

}  // namespace pushhub::protocol

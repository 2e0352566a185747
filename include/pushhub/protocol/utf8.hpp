#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <websocketpp/utf8_validator.hpp>

namespace pushhub::protocol {

namespace detail {

// The first byte that is not ASCII, or `end`.
inline const unsigned char* skipAscii(const unsigned char* p, const unsigned char* end) noexcept {
    constexpr std::uint64_t highBits = 0x8080808080808080U;
    for (; end - p >= 16; p += 16) {
        std::uint64_t words[2];
        std::memcpy(words, p, sizeof words);
        if (((words[0] | words[1]) & highBits) != 0) {
            break;
        }
    }
    while (p != end && *p < 0x80) {
        ++p;
    }
    return p;
}

}  // namespace detail

/// True if `text` is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing
/// above U+10FFFF, no sequence cut short. Never throws; linear, sixteen bytes at a time as long
/// as they are ASCII.
inline bool isValidUtf8(std::string_view text) noexcept {
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = p + text.size();
    const auto isTail = [](unsigned char c) { return (c & 0xc0U) == 0x80U; };

    while (p != end) {
        if (*p < 0x80) {
            p = detail::skipAscii(p, end);
            continue;
        }
        const unsigned char lead = *p;
        const std::ptrdiff_t left = end - p;
        // What the first tail byte may be depends on the lead byte: table 3-7 of the Unicode
        // standard, which rules out overlong forms, surrogates and too large values at once.
        if (lead >= 0xe1 && lead <= 0xef && lead != 0xed) {
            if (left < 3 || !isTail(p[1]) || !isTail(p[2])) {
                return false;
            }
            p += 3;
        } else if (lead >= 0xc2 && lead <= 0xdf) {
            if (left < 2 || !isTail(p[1])) {
                return false;
            }
            p += 2;
        } else if (lead == 0xe0 || lead == 0xed) {
            const bool second = lead == 0xe0 ? p + 1 != end && p[1] >= 0xa0 && p[1] <= 0xbf
                                             : p + 1 != end && p[1] >= 0x80 && p[1] <= 0x9f;
            if (!second || left < 3 || !isTail(p[2])) {
                return false;
            }
            p += 3;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            if (left < 4 || !isTail(p[1]) || !isTail(p[2]) || !isTail(p[3])) {
                return false;
            }
            if ((lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f)) {
                return false;
            }
            p += 4;
        } else {
            return false;
        }
    }
    return true;
}

/// The same for a text that comes in pieces, which may end inside a character: WebSocket++'s
/// validator, kept from what is ASCII.
class Utf8Stream {
public:
    /// Goes on with the next piece. False as soon as it cannot be part of any text; then it stays
    /// so.
    bool read(std::string_view piece) noexcept {
        const auto* p = reinterpret_cast<const unsigned char*>(piece.data());
        const auto* const end = p + piece.size();
        while (p != end) {
            if (complete()) {
                p = detail::skipAscii(p, end);
                if (p == end) {
                    break;
                }
            }
            if (!validator_.consume(*p++)) {
                return false;
            }
        }
        return true;
    }

    /// True if no character is begun.
    bool complete() noexcept { return validator_.complete(); }

private:
    websocketpp::utf8_validator::validator validator_;
};

/// The length of the longest prefix of at most `maxBytes` that does not end inside a character,
/// for example to cut a close reason at 123 bytes. `text` should be valid UTF-8; for other input
/// the result still never exceeds `maxBytes`. Constant time.
inline std::size_t utf8PrefixLength(std::string_view text, std::size_t maxBytes) noexcept {
    if (text.size() <= maxBytes) {
        return text.size();
    }
    std::size_t length = maxBytes;
    for (int back = 0; back < 3 && length > 0; ++back) {
        if ((static_cast<unsigned char>(text[length]) & 0xc0U) != 0x80U) {
            return length;
        }
        --length;
    }
    const bool atCharacter = (static_cast<unsigned char>(text[length]) & 0xc0U) != 0x80U;
    return atCharacter || length == 0 ? length : maxBytes;
}

}  // namespace pushhub::protocol

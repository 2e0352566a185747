#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Ready-made authentication: docs/authentication.md.
namespace pushhub::auth {

namespace detail {

inline constexpr std::string_view base64UrlDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::uint8_t, 256> makeBase64UrlValues() {
    std::array<std::uint8_t, 256> values{};
    for (auto& value : values) {
        value = 64;  // not a digit
    }
    for (std::size_t i = 0; i < base64UrlDigits.size(); ++i) {
        values[static_cast<unsigned char>(base64UrlDigits[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
}

inline constexpr std::array<std::uint8_t, 256> base64UrlValues = makeBase64UrlValues();

}  // namespace detail

/// Bytes as base64url without padding (RFC 4648, section 5): letters, digits, '-' and '_', suitable
/// for a URL, a cookie and a subprotocol. Linear.
inline std::string base64UrlEncode(std::string_view bytes) {
    std::string out;
    out.reserve((bytes.size() * 4 + 2) / 3);
    std::uint32_t bits = 0;
    unsigned count = 0;  // how many of the bits are still to be written, at most 6 + 8
    for (const char c : bytes) {
        bits = bits << 8U | static_cast<unsigned char>(c);
        for (count += 8; count >= 6;) {
            count -= 6;
            out.push_back(detail::base64UrlDigits[bits >> count & 63U]);
        }
    }
    if (count > 0) {
        out.push_back(detail::base64UrlDigits[bits << (6 - count) & 63U]);
    }
    return out;
}

/// The bytes for which `base64UrlEncode` returns this text; nothing for any other text. So each
/// value has exactly one spelling: padding, '+', '/', white space and stray bits at the end are
/// refused. Linear.
inline std::optional<std::string> base64UrlDecode(std::string_view text) {
    if (text.size() % 4 == 1) {
        return std::nullopt;
    }
    std::string out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        const std::uint8_t value = detail::base64UrlValues[static_cast<unsigned char>(c)];
        if (value > 63) {
            return std::nullopt;
        }
        bits = (bits << 6U | value) & 0xffffU;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out.push_back(static_cast<char>(static_cast<unsigned char>(bits >> count & 0xffU)));
        }
    }
    if ((bits & ((1U << count) - 1U)) != 0) {
        return std::nullopt;
    }
    return out;
}

}  // namespace pushhub::auth

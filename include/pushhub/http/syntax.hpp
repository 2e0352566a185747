#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <pushhub/detail/ascii.hpp>

/// Character classes and list syntax that requests and responses share (RFC 9110, section 5).
namespace pushhub::detail {

constexpr std::array<bool, 256> makeTokenTable() {
    std::array<bool, 256> table{};
    constexpr std::string_view tokenChars =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (const char c : tokenChars) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}

inline constexpr std::array<bool, 256> tokenTable = makeTokenTable();

constexpr bool isTokenChar(char c) {
    return tokenTable[static_cast<unsigned char>(c)];
}

/// A token of RFC 9110, section 5.6.2: at least one character.
constexpr bool isToken(std::string_view text) {
    for (const char c : text) {
        if (!isTokenChar(c)) {
            return false;
        }
    }
    return !text.empty();
}

/// Without the spaces and tabs at both ends (OWS).
constexpr std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

/// True if a header value may hold these bytes: no control character except the tab, so neither
/// NUL nor CR nor LF. Bytes from 0x80 on are opaque text (RFC 9110, section 5.5).
inline bool isFieldValue(std::string_view value) {
    constexpr std::uint64_t ones = 0x0101010101010101U;
    constexpr std::uint64_t highBits = 0x8080808080808080U;
    const char* p = value.data();
    std::size_t left = value.size();
    const auto good = [](const char* bytes, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            const auto c = static_cast<unsigned char>(bytes[i]);
            if ((c < 0x20 && c != '\t') || c == 0x7f) {
                return false;
            }
        }
        return true;
    };
    for (; left >= 8; left -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, sizeof word);
        const std::uint64_t below = (word - ones * 0x20U) & ~word & highBits;
        const std::uint64_t noDel = word ^ (ones * 0x7fU);
        const std::uint64_t del = (noDel - ones) & ~noDel & highBits;
        if ((below | del) != 0 && !good(p, 8)) {
            return false;
        }
    }
    return good(p, left);
}

/// True if `matches(element)` holds for an element of a comma list; stops at the first such one.
/// Elements come trimmed, empty ones are skipped (RFC 9110, section 5.6.1).
template <class Predicate>
bool anyListElement(std::string_view list, Predicate matches) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        const std::string_view element = trim(list.substr(0, comma));
        if (!element.empty() && matches(element)) {
            return true;
        }
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
    return false;
}

}  // namespace pushhub::detail

#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <pushhub/detail/ascii.hpp>
#include <pushhub/json/error.hpp>

namespace pushhub::json::detail {

using pushhub::detail::isDigit;

/// What is wrong with a JSON text and at which byte of it.
struct Problem {
    Errc code;
    std::size_t offset;
    std::string_view reason;  // static storage
};

/// The value of the four hexadecimal digits of a `\uXXXX` escape starting at `at`, if there is one.
inline std::optional<unsigned> unicodeEscape(std::string_view text, std::size_t at) noexcept {
    if (text.size() - at < 6 || text[at] != '\\' || text[at + 1] != 'u') {
        return std::nullopt;
    }
    unsigned value = 0;
    for (const char c : text.substr(at + 2, 4)) {
        const int digit = pushhub::detail::hexValue(c);
        if (digit < 0) {
            return std::nullopt;
        }
        value = value * 16 + static_cast<unsigned>(digit);
    }
    return value;
}

/// Looks in one pass over the bytes, without building anything, for what must not reach
/// RapidJSON: nesting beyond `maxDepth` (the outermost value is level 1), numbers whose exponent
/// overflows the `int` of its converter (CVE-2024-38517), escapes of half a surrogate pair, which
/// 1.1.0 turns into invalid UTF-8, and NUL, which its stream takes for the end of the text; and
/// for bare control characters in strings, about which its versions differ.
///
/// This is no parser. It agrees with one about where strings begin and end up to the first error
/// of syntax, and the parser goes no further than that. Linear, never throws.
inline std::optional<Problem> scan(std::string_view text, std::size_t maxDepth) noexcept {
    // Doubles end at 1.8e308 and 4.9e-324: three digits hold every exponent of use.
    constexpr std::size_t maxExponentDigits = 3;
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        return Problem{Errc::malformed, nul, "A NUL byte."};
    }
    std::size_t depth = 0;
    bool inString = false;

    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (inString) {
            if (c == '"') {
                inString = false;
            } else if (c == '\\') {
                const auto unit = unicodeEscape(text, i);
                if (!unit) {
                    ++i;  // whatever is escaped, it ends no string
                    continue;
                }
                if (*unit >= 0xdc00 && *unit <= 0xdfff) {
                    return Problem{Errc::malformed, i, "A low surrogate without a high one."};
                }
                i += 5;
                if (*unit >= 0xd800 && *unit <= 0xdbff) {
                    const auto low = unicodeEscape(text, i + 1);
                    if (!low || *low < 0xdc00 || *low > 0xdfff) {
                        return Problem{Errc::malformed, i - 5,
                                       "A high surrogate without a low one."};
                    }
                    i += 6;
                }
            } else if (static_cast<unsigned char>(c) < 0x20) {
                return Problem{Errc::malformed, i, "A control character in a string."};
            }
            continue;
        }
        switch (c) {
            case '"':
                inString = true;
                break;
            case '[':
            case '{':
                if (++depth > maxDepth) {
                    return Problem{Errc::tooDeep, i, "Nested deeper than the limit."};
                }
                break;
            case ']':
            case '}':
                depth -= depth > 0 ? 1U : 0U;
                break;
            case 'e':
            case 'E':
                if (i > 0 && isDigit(text[i - 1])) {
                    std::size_t p = i + 1;
                    if (p < text.size() && (text[p] == '+' || text[p] == '-')) {
                        ++p;
                    }
                    while (p < text.size() && text[p] == '0') {
                        ++p;
                    }
                    const std::size_t first = p;
                    while (p < text.size() && isDigit(text[p])) {
                        ++p;
                    }
                    if (p - first > maxExponentDigits) {
                        return Problem{Errc::numberOutOfRange, i,
                                       "An exponent of more than three digits."};
                    }
                    i = p - 1;
                }
                break;
            default:
                break;
        }
    }
    return std::nullopt;
}

}  // namespace pushhub::json::detail

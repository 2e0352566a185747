#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <pushhub/http/syntax.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub {

/// Decodes %XX escapes (RFC 3986, section 2.1) onto the end of `out`; with `plusIsSpace` also '+'
/// as browsers' forms send it. False if an escape is truncated or not hexadecimal; `out` then
/// contains the text before it. The caller must check whether the result is UTF-8. Linear.
inline bool percentDecodeTo(std::string_view text, std::string& out, bool plusIsSpace = false) {
    out.reserve(out.size() + text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '%') {
            if (text.size() - i < 3) {
                return false;
            }
            const int high = detail::hexValue(text[i + 1]);
            const int low = detail::hexValue(text[i + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            out.push_back(static_cast<char>(static_cast<unsigned char>(high * 16 + low)));
            i += 2;
        } else {
            out.push_back(plusIsSpace && c == '+' ? ' ' : c);
        }
    }
    return true;
}

/// The decoded text, or nothing if an escape is malformed. See `percentDecodeTo`.
inline std::optional<std::string> percentDecode(std::string_view text, bool plusIsSpace = false) {
    std::string out;
    if (!percentDecodeTo(text, out, plusIsSpace)) {
        return std::nullopt;
    }
    return out;
}

namespace detail {

/// Calls `visit(rawName, rawValue)` for each pair of a query until it returns true.
/// A pair without '=' has an empty value; empty pairs ("&&") are skipped.
template <class F>
bool anyRawQueryParam(std::string_view rawQuery, F visit) {
    while (!rawQuery.empty()) {
        const std::size_t ampersand = rawQuery.find('&');
        const std::string_view pair = rawQuery.substr(0, ampersand);
        rawQuery.remove_prefix(ampersand == std::string_view::npos ? rawQuery.size()
                                                                   : ampersand + 1);
        if (pair.empty()) {
            continue;
        }
        const std::size_t equals = pair.find('=');
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
        if (visit(pair.substr(0, equals), value)) {
            return true;
        }
    }
    return false;
}

inline std::optional<std::string> decodeQueryText(std::string_view raw) {
    std::optional<std::string> text = percentDecode(raw, true);
    if (text && !protocol::isValidUtf8(*text)) {
        text.reset();
    }
    return text;
}

}  // namespace detail

/// Calls `f(std::string name, std::string value)` for each parameter of a raw query (the text after
/// '?'), in order, including repeated ones, both decoded. Pairs whose name or value is not
/// decodable or not UTF-8 are skipped; returns false if there was one.
template <class F>
bool forEachQueryParam(std::string_view rawQuery, F f) {
    bool allDecodable = true;
    detail::anyRawQueryParam(rawQuery, [&](std::string_view rawName, std::string_view rawValue) {
        std::optional<std::string> name = detail::decodeQueryText(rawName);
        std::optional<std::string> value = detail::decodeQueryText(rawValue);
        if (name && value) {
            f(std::move(*name), std::move(*value));
        } else {
            allDecodable = false;
        }
        return false;
    });
    return allDecodable;
}

/// The decoded value of the first parameter with this (decoded) name; nothing if absent, not
/// decodable or not UTF-8. Further parameters of this name are ignored.
inline std::optional<std::string> findQueryParam(std::string_view rawQuery, std::string_view name) {
    std::optional<std::string> found;
    detail::anyRawQueryParam(rawQuery, [&](std::string_view rawName, std::string_view rawValue) {
        const bool plain = rawName.find_first_of("%+") == std::string_view::npos;
        if (plain ? rawName != name : percentDecode(rawName, true) != name) {
            return false;
        }
        found = detail::decodeQueryText(rawValue);
        return true;
    });
    return found;
}

}  // namespace pushhub

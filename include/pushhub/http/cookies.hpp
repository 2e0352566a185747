#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <pushhub/http/syntax.hpp>

namespace pushhub {

namespace detail {

/// Calls `visit(name, value)` for each pair of a Cookie header until it returns true.
template <class F>
bool anyCookie(std::string_view headerValue, F visit) {
    while (!headerValue.empty()) {
        const std::size_t semicolon = headerValue.find(';');
        const std::string_view pair = trim(headerValue.substr(0, semicolon));
        headerValue.remove_prefix(semicolon == std::string_view::npos ? headerValue.size()
                                                                      : semicolon + 1);
        const std::size_t equals = pair.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            continue;
        }
        const std::string_view name = trim(pair.substr(0, equals));
        std::string_view value = trim(pair.substr(equals + 1));
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
            value = value.substr(1, value.size() - 2);
        }
        if (!name.empty() && visit(name, value)) {
            return true;
        }
    }
    return false;
}

}  // namespace detail

/// Calls `f(name, value)` for each cookie of one Cookie header, in order, including repeated ones.
/// Quotes around a value are stripped, nothing else is decoded (RFC 6265 defines no encoding for
/// values); text without '=' or without a name is not a cookie. Linear.
template <class F>
void forEachCookie(std::string_view headerValue, F f) {
    detail::anyCookie(headerValue, [&](std::string_view name, std::string_view value) {
        f(name, value);
        return false;
    });
}

/// The value of the first cookie of this name (names are case-sensitive), a view into
/// `headerValue`. Browsers put the cookie with the longest path first (RFC 6265, section 5.4).
inline std::optional<std::string_view> findCookie(std::string_view headerValue,
                                                  std::string_view name) {
    std::optional<std::string_view> found;
    detail::anyCookie(headerValue, [&](std::string_view cookieName, std::string_view value) {
        if (cookieName != name) {
            return false;
        }
        found = value;
        return true;
    });
    return found;
}

}  // namespace pushhub

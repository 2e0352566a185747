#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <pushhub/http/syntax.hpp>

namespace pushhub::protocol {

namespace detail {

/// Takes what `text` begins with: spaces and tabs, then the longest token, which may be "".
inline std::string_view takeToken(std::string_view& text) {
    text.remove_prefix((std::min)(text.find_first_not_of(" \t"), text.size()));
    std::size_t size = 0;
    while (size < text.size() && pushhub::detail::isTokenChar(text[size])) {
        ++size;
    }
    const std::string_view token = text.substr(0, size);
    text.remove_prefix(size);
    return token;
}

/// Takes `separator` with the spaces and tabs before it, if it is next.
inline bool takeSeparator(std::string_view& text, char separator) {
    const std::size_t at = text.find_first_not_of(" \t");
    if (at == std::string_view::npos || text[at] != separator) {
        return false;
    }
    text.remove_prefix(at + 1);
    return true;
}

/// The value of a parameter, quoted or not: a token, "" if it is none.
inline std::string takeValue(std::string_view& text) {
    std::string value;
    if (!takeSeparator(text, '"')) {
        value = takeToken(text);
        return value;
    }
    while (!text.empty() && text.front() != '"') {
        text.remove_prefix(text.front() == '\\' ? 1 : 0);
        if (text.empty() || !pushhub::detail::isTokenChar(text.front())) {
            return {};
        }
        value += text.front();
        text.remove_prefix(1);
    }
    return takeSeparator(text, '"') ? value : std::string();
}

}  // namespace detail

/// Reads a value of Sec-WebSocket-Extensions (RFC 6455 section 9.1): calls `onExtension(name)` for
/// each, followed by `onParameter(name, value)` for each of its parameters, where the value is a
/// `std::optional<std::string>` without its quotes. False as soon as it is malformed. Linear.
template <class OnExtension, class OnParameter>
bool readExtensions(std::string_view text, OnExtension onExtension, OnParameter onParameter) {
    do {
        const std::string_view extension = detail::takeToken(text);
        if (extension.empty()) {
            continue;  // a list may have empty elements
        }
        onExtension(extension);
        while (detail::takeSeparator(text, ';')) {
            const std::string_view name = detail::takeToken(text);
            if (name.empty()) {
                return false;
            }
            std::optional<std::string> value;
            if (detail::takeSeparator(text, '=')) {
                value = detail::takeValue(text);
                if (value->empty()) {
                    return false;
                }
            }
            onParameter(name, value);
        }
    } while (detail::takeSeparator(text, ','));
    return pushhub::detail::trim(text).empty();
}

}  // namespace pushhub::protocol

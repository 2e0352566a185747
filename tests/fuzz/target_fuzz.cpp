// Feeds arbitrary text to the path template, the query, the cookies, percent-decoding and the
// UTF-8 check. The input is split at line feeds: pattern, path, query, name, cookies.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/http/cookies.hpp>
#include <pushhub/http/url.hpp>
#include <pushhub/path_template.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace {

using pushhub::PathTemplate;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

std::string encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte / 16];
        out += digits[byte % 16];
    }
    return out;
}

/// The definition, one character at a time: decode, then see whether encoding it again would
/// have to look the same.
bool isUtf8ByDefinition(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80             ? 1
                                   : (lead & 0xe0) == 0xc0 ? 2
                                   : (lead & 0xf0) == 0xe0 ? 3
                                   : (lead & 0xf8) == 0xf0 ? 4
                                                           : 0;
        if (length == 0 || text.size() - i < length) {
            return false;
        }
        std::uint32_t c = length == 1 ? lead : lead & (0xffU >> (length + 1));
        for (std::size_t k = 1; k < length; ++k) {
            const auto tail = static_cast<unsigned char>(text[i + k]);
            if ((tail & 0xc0) != 0x80) {
                return false;
            }
            c = (c << 6) | (tail & 0x3fU);
        }
        const std::size_t shortest = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        if (shortest != length || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return false;
        }
        i += length;
    }
    return true;
}

void checkUtf8(std::string_view text) {
    const bool valid = pushhub::protocol::isValidUtf8(text);
    require(valid == isUtf8ByDefinition(text));
    for (const std::size_t most :
         {std::size_t{0}, text.size() / 2, text.size(), std::size_t{123}}) {
        const std::size_t length = pushhub::protocol::utf8PrefixLength(text, most);
        require(length <= most && length <= text.size());
        require(!valid || pushhub::protocol::isValidUtf8(text.substr(0, length)));
        require(!valid || text.size() <= most || length + 4 > most);
    }
}

void checkPath(std::string_view pattern, std::string_view path) {
    try {
        const PathTemplate fits(pattern);
        std::vector<std::string> values;
        if (!fits.match(path, values)) {
            require(values.empty());
            return;
        }
        require(values.size() == fits.parameters().size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            require(fits.indexOf(fits.parameters()[i]) == i);
            require(!values[i].empty() && values[i] != "." && values[i] != "..");
            require(pushhub::protocol::isValidUtf8(values[i]));
            for (const char c : values[i]) {
                require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
            }
        }
        // The path that is built from the values fits, and gives them again.
        std::string built;
        std::size_t next = 0;
        for (std::size_t at = 0; at < pattern.size();) {
            const std::size_t end = std::min(pattern.find('/', at), pattern.size());
            const std::string_view segment = pattern.substr(at, end - at);
            if (!segment.empty()) {
                built += '/';
                built += segment[0] == '{' ? encoded(values[next++]) : encoded(segment);
            }
            at = end + 1;
        }
        std::vector<std::string> again;
        require(fits.match(built.empty() ? "/" : built, again) && again == values);
    } catch (const std::invalid_argument& error) {
        require(std::string_view(error.what()).substr(0, 15) == "path template \"");
    }
}

void checkQuery(std::string_view query, std::string_view name) {
    std::optional<std::string> first;
    std::string rebuilt;
    const bool all = pushhub::forEachQueryParam(query, [&](std::string key, std::string value) {
        require(pushhub::protocol::isValidUtf8(key) && pushhub::protocol::isValidUtf8(value));
        rebuilt += encoded(key) + "=" + encoded(value) + "&";
        if (!first && key == name) {
            first = value;
        }
    });
    const std::optional<std::string> found = pushhub::findQueryParam(query, name);
    if (all) {
        require(found == first);
    }
    if (pushhub::protocol::isValidUtf8(name) && all) {
        require(pushhub::findQueryParam(rebuilt, name) == first);
    }
    if (found) {
        require(pushhub::protocol::isValidUtf8(*found));
    }
}

void checkCookies(std::string_view header, std::string_view name) {
    std::optional<std::string_view> first;
    pushhub::forEachCookie(header, [&](std::string_view cookie, std::string_view value) {
        require(!cookie.empty() && cookie.find_first_of(";=") == std::string_view::npos);
        require(value.find(';') == std::string_view::npos);
        require(cookie.data() >= header.data() &&
                value.data() + value.size() <= header.data() + header.size());
        if (!first && cookie == name) {
            first = value;
        }
    });
    require(pushhub::findCookie(header, name) == first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::array<std::string, 5> parts;
    for (std::string& part : parts) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        part.assign(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    const auto& [pattern, path, query, name, cookies] = parts;

    checkPath(pattern, path);
    checkQuery(query, name);
    checkCookies(cookies, name);
    for (const std::string& part : parts) {
        checkUtf8(part);
        require(pushhub::percentDecode(encoded(part)) == part);
        if (const std::optional<std::string> decoded = pushhub::percentDecode(part)) {
            require(decoded->size() <= part.size());
        }
    }
    return 0;
}

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/http/syntax.hpp>

namespace pushhub {

namespace detail {

/// Host and port as written in an origin, a URL or a Host header.
struct Authority {
    std::string_view host;
    std::uint16_t port = 0;  // 0: not given
};

/// Scheme, host and port, which together are an origin (RFC 6454, section 4).
struct Origin {
    std::string_view scheme;
    Authority authority;
};

/// 0 for a scheme that has none.
constexpr std::uint16_t defaultPort(std::string_view scheme) noexcept {
    return equalsIgnoreCase(scheme, "https") || equalsIgnoreCase(scheme, "wss") ? 443
           : equalsIgnoreCase(scheme, "http") || equalsIgnoreCase(scheme, "ws") ? 80
                                                                                : 0;
}

/// A port that is not 0, without leading zeros; 0 for anything else.
constexpr std::uint16_t parsePort(std::string_view text) noexcept {
    unsigned port = 0;
    if (text.empty() || text.size() > 5 || text.front() == '0') {
        return 0;
    }
    for (const char c : text) {
        if (!isDigit(c)) {
            return 0;
        }
        port = port * 10 + static_cast<unsigned>(c - '0');
    }
    return port > 0xffff ? std::uint16_t{0} : static_cast<std::uint16_t>(port);
}

/// A name of labels as browsers send it, in ASCII, or an IPv6 address in brackets.
constexpr bool isOriginHost(std::string_view host) noexcept {
    if (!host.empty() && host.front() == '[') {
        if (host.size() < 4 || host.back() != ']') {
            return false;
        }
        for (const char c : host.substr(1, host.size() - 2)) {
            if (hexValue(c) < 0 && c != ':' && c != '.') {
                return false;
            }
        }
        return true;
    }
    char before = '.';
    for (const char c : host) {
        const char lower = toLowerAscii(c);
        const bool ofLabel = (lower >= 'a' && lower <= 'z') || isDigit(c) || c == '-' || c == '_';
        if (!ofLabel && (c != '.' || before == '.')) {
            return false;
        }
        before = c;
    }
    return !host.empty();
}

/// The host of an app's scheme, which need not be a DNS name: "localhost", "-", the id of an
/// extension, or empty ("file://"). Allows the characters of an opaque host in the URL standard,
/// except '*' and ','.
constexpr bool isAppHost(std::string_view host) noexcept {
    if (!host.empty() && host.front() == '[') {
        return isOriginHost(host);
    }
    constexpr std::string_view forbidden = "\"#*,/:<>?@[\\]^`|";
    for (const char c : host) {
        if (c <= ' ' || c > '~' || forbidden.find(c) != std::string_view::npos) {
            return false;
        }
    }
    return true;
}

inline std::optional<Authority> parseAuthority(
    std::string_view text, bool (*isHost)(std::string_view) noexcept = &isOriginHost) noexcept {
    const std::size_t bracket = text.rfind(']');
    const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
    Authority authority{text.substr(0, colon), 0};
    if (colon != std::string_view::npos) {
        authority.port = parsePort(text.substr(colon + 1));
        if (authority.port == 0) {
            return std::nullopt;
        }
    }
    if (!isHost(authority.host)) {
        return std::nullopt;
    }
    return authority;
}

/// `scheme://host[:port]` and nothing after it. The default port is that of the scheme. For schemes
/// other than those of the web, the host may be empty and have another form.
inline std::optional<Origin> parseOrigin(std::string_view text) noexcept {
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos || colon == 0) {
        return std::nullopt;
    }
    const std::string_view scheme = text.substr(0, colon);
    bool first = true;
    for (const char c : scheme) {
        const char lower = toLowerAscii(c);
        const bool letter = lower >= 'a' && lower <= 'z';
        if (!letter && (first || (!isDigit(c) && c != '+' && c != '-' && c != '.'))) {
            return std::nullopt;
        }
        first = false;
    }
    const std::uint16_t schemePort = defaultPort(scheme);
    text.remove_prefix(colon + 3);
    if (schemePort == 0 && text == "/") {
        text = {};  // some browsers send "file:///"
    }
    std::optional<Authority> authority =
        parseAuthority(text, schemePort != 0 ? &isOriginHost : &isAppHost);
    if (!authority) {
        return std::nullopt;
    }
    if (authority->port == 0) {
        authority->port = schemePort;
    }
    return Origin{scheme, *authority};
}

}  // namespace detail

/// Allowed origins of pages that open a session here (RFC 6455, section 10.2).
///
/// A browser sends the origin of the page and the cookies of the server with every WebSocket
/// handshake: without this check any page that a user visits could act as that user. Other clients
/// can send any origin, so an origin never proves a client's identity.
class OriginPolicy {
public:
    enum class Verdict : std::uint8_t {
        allowed,
        absent,  ///< There is no Origin: not a browser.
        refused
    };

    /// Each entry is one of
    /// - `https://app.example.com`, `http://localhost:3000`: exactly this scheme, host and port.
    ///   The default port may be omitted, and case does not matter;
    /// - `https://*.example.com`: any subdomain, also of several labels, but not example.com
    ///   itself;
    /// - `*`: any origin of the web, that is, of http or https;
    /// - `capacitor://localhost`, `chrome-extension://abc…`: exactly this scheme and host of an
    ///   app. The host may have any form;
    /// - `moz-extension://*`, `vscode-webview://*`: any host of this scheme, for schemes with
    ///   hosts that differ between installations;
    /// - `file://`: pages from files, if the browser reports it;
    /// - `null`: pages whose origin the browser does not reveal: from files, in sandboxed
    ///   frames, from data: URLs. Any page can open one of those, so this is as open as `*`.
    ///
    /// A trailing slash is ignored. Hosts are compared as text: write them as browsers do,
    /// non-ASCII ones in Punycode and IPv6 addresses in their shortest form. Anything else throws
    /// std::invalid_argument naming the entry. An empty list refuses every origin.
    explicit OriginPolicy(const std::vector<std::string>& allowed) {
        for (const std::string& entry : allowed) {
            if (entry == "*") {
                any_ = true;
            } else if (entry == "null") {
                null_ = true;
            } else {
                entries_.push_back(parseEntry(entry));
            }
        }
    }

    /// Checks the value of an Origin header, "" if there is none. A malformed value is refused
    /// regardless of the list. Linear in the list; allocates nothing. Any thread.
    Verdict judge(std::string_view originHeader) const noexcept {
        if (originHeader.empty()) {
            return Verdict::absent;
        }
        if (originHeader == "null") {
            return null_ ? Verdict::allowed : Verdict::refused;
        }
        const std::optional<detail::Origin> origin = detail::parseOrigin(originHeader);
        const bool good =
            origin && ((any_ && detail::defaultPort(origin->scheme) != 0) ||
                       std::any_of(entries_.begin(), entries_.end(),
                                   [&](const auto& entry) { return entry.matches(*origin); }));
        return good ? Verdict::allowed : Verdict::refused;
    }

    /// True if the list contains "*".
    bool any() const noexcept { return any_; }

    /// True if the list was empty.
    bool empty() const noexcept { return !any_ && !null_ && entries_.empty(); }

private:
    enum class Hosts : std::uint8_t { one, subdomains, all };

    struct Entry {
        std::string scheme;
        std::string host;  // with subdomains: from the dot on
        std::uint16_t port;
        Hosts hosts;

        bool matches(const detail::Origin& origin) const noexcept {
            std::string_view other = origin.authority.host;
            if (hosts == Hosts::subdomains) {
                if (other.size() <= host.size()) {
                    return false;
                }
                other.remove_prefix(other.size() - host.size());
            }
            return detail::equalsIgnoreCase(scheme, origin.scheme) &&
                   (hosts == Hosts::all ||
                    (port == origin.authority.port && detail::equalsIgnoreCase(host, other)));
        }
    };

    static Entry parseEntry(const std::string& entry) {
        std::string plain = entry;
        if (plain.size() > 1 && plain.back() == '/' && plain[plain.size() - 2] != '/') {
            plain.pop_back();  // as the address bar of a browser shows it
        }
        Hosts hosts = Hosts::one;
        constexpr std::string_view mark = "://*";
        const std::size_t star = plain.find(mark);
        if (star != std::string::npos && star + mark.size() == plain.size()) {
            hosts = Hosts::all;
            plain.pop_back();
        } else if (star != std::string::npos && plain[star + mark.size()] == '.') {
            hosts = Hosts::subdomains;
            plain.erase(star + mark.size() - 1, 2);
        }
        const std::optional<detail::Origin> origin = detail::parseOrigin(plain);
        const std::string_view host = origin ? origin->authority.host : std::string_view();
        if (!origin || (hosts == Hosts::subdomains && (host.empty() || host.front() == '['))) {
            throw std::invalid_argument(
                "pushhub: option allowedOrigins has \"" + entry +
                "\", expected scheme://host[:port] without a path, scheme://*.domain[:port], * for "
                "any of http and https, or of an app: scheme://, scheme://* or null");
        }
        return {std::string(origin->scheme),
                (hosts == Hosts::subdomains ? "." : "") + std::string(host), origin->authority.port,
                hosts};
    }

    std::vector<Entry> entries_;
    bool any_ = false;
    bool null_ = false;
};

/// True if a page of this origin came from the host and port in the request's Host header; also if
/// there is no origin. The scheme is not compared: behind a proxy that terminates TLS a server does
/// not know its own scheme.
///
/// Note that both headers come from the client. A page cannot change them, but if the owner of a
/// domain makes it resolve to this server (DNS rebinding), that domain is its own host: only a list
/// of origins protects against this.
inline bool isSameOrigin(std::string_view originHeader, std::string_view hostHeader) noexcept {
    if (originHeader.empty()) {
        return true;
    }
    const std::optional<detail::Origin> origin = detail::parseOrigin(originHeader);
    const std::optional<detail::Authority> host = detail::parseAuthority(hostHeader);
    if (!origin || !host) {
        return false;
    }
    const std::uint16_t byScheme = detail::defaultPort(origin->scheme);
    return byScheme != 0 && origin->authority.port == (host->port != 0 ? host->port : byScheme) &&
           detail::equalsIgnoreCase(origin->authority.host, host->host);
}

}  // namespace pushhub

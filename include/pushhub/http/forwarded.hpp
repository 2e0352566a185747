#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/http/request.hpp>
#include <pushhub/http/syntax.hpp>

namespace pushhub {

namespace detail {

/// An IP address. IPv4 addresses have the form ::ffff:a.b.c.d, as on dual-stack sockets.
struct IpAddress {
    std::array<std::uint8_t, 16> bytes{};

    bool isV4() const noexcept {
        constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        return std::equal(mapped.begin(), mapped.end(), bytes.begin());
    }
};

/// A decimal number without leading zeros, at most `most`.
inline std::optional<unsigned> parseDecimal(std::string_view text, unsigned most) noexcept {
    if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) {
        return std::nullopt;
    }
    unsigned number = 0;
    for (const char c : text) {
        if (!isDigit(c)) {
            return std::nullopt;
        }
        number = number * 10 + static_cast<unsigned>(c - '0');
    }
    return number <= most ? std::optional<unsigned>(number) : std::nullopt;
}

/// Four decimal numbers; none of the other forms that inet_aton takes.
inline bool parseIpv4(std::string_view text, std::uint8_t* bytes) noexcept {
    for (int i = 0; i < 4; ++i) {
        const std::size_t end = i < 3 ? text.find('.') : text.size();
        if (end == std::string_view::npos) {
            return false;
        }
        const std::optional<unsigned> number = parseDecimal(text.substr(0, end), 255);
        if (!number) {
            return false;
        }
        bytes[i] = static_cast<std::uint8_t>(*number);
        text.remove_prefix((std::min)(end + 1, text.size()));
    }
    return true;
}

/// RFC 4291, section 2.2.
inline bool parseIpv6(std::string_view text, std::array<std::uint8_t, 16>& bytes) noexcept {
    constexpr std::size_t none = 16;
    std::size_t filled = 0;
    std::size_t gap = none;  // where "::" stands
    if (text.substr(0, 2) == "::") {
        gap = 0;
        text.remove_prefix(2);
    }
    while (!text.empty()) {
        const std::size_t end = (std::min)(text.find(':'), text.size());
        const std::string_view group = text.substr(0, end);
        const bool last = end == text.size();
        if (group.find('.') != std::string_view::npos) {
            if (!last || filled > 12 || !parseIpv4(group, &bytes[filled])) {
                return false;
            }
            filled += 4;
            break;
        }
        unsigned number = 0;
        for (const char c : group) {
            if (hexValue(c) < 0) {
                return false;
            }
            number = number * 16 + static_cast<unsigned>(hexValue(c));
        }
        if (group.empty() || group.size() > 4 || filled > 14) {
            return false;
        }
        bytes[filled++] = static_cast<std::uint8_t>(number >> 8U);
        bytes[filled++] = static_cast<std::uint8_t>(number & 0xffU);
        if (last) {
            break;
        }
        text.remove_prefix(end + 1);
        if (text.empty()) {
            return false;
        }
        if (text.front() == ':') {
            if (gap != none) {
                return false;
            }
            gap = filled;
            text.remove_prefix(1);
        }
    }
    if (gap == none || filled == 16) {
        return gap == none && filled == 16;
    }
    const auto begin = bytes.begin();
    const auto tail = static_cast<std::ptrdiff_t>(gap);
    const auto end = static_cast<std::ptrdiff_t>(filled);
    std::move_backward(begin + tail, begin + end, bytes.end());
    std::fill(begin + tail, begin + tail + (16 - end), std::uint8_t{0});
    return true;
}

/// An address without a port. The zone of a link-local address ("%eth0") is ignored.
inline std::optional<IpAddress> parseIpAddress(std::string_view text) noexcept {
    IpAddress address;
    if (text.find(':') == std::string_view::npos) {
        address.bytes[10] = address.bytes[11] = 0xff;
        return parseIpv4(text, &address.bytes[12]) ? std::optional<IpAddress>(address)
                                                   : std::nullopt;
    }
    return parseIpv6(text.substr(0, text.find('%')), address.bytes)
               ? std::optional<IpAddress>(address)
               : std::nullopt;
}

/// The canonical text of an address: RFC 5952, section 4.
inline std::string toString(const IpAddress& address) {
    std::string out;
    const auto& bytes = address.bytes;
    if (address.isV4()) {
        for (std::size_t i = 12; i < 16; ++i) {
            out += (i > 12 ? "." : "") + std::to_string(bytes[i]);
        }
        return out;
    }
    std::array<unsigned, 8> groups{};
    for (std::size_t i = 0; i < 8; ++i) {
        groups[i] = bytes[2 * i] * 256U + bytes[2 * i + 1];
    }
    std::size_t gap = 8;  // the longest run of zeros, of two or more
    std::size_t gapLength = 1;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t end = i;
        while (end < 8 && groups[end] == 0) {
            ++end;
        }
        if (end - i > gapLength) {
            gap = i;
            gapLength = end - i;
        }
    }
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == gap) {
            out += "::";
            i += gapLength - 1;
            continue;
        }
        if (!out.empty() && out.back() != ':') {
            out += ':';
        }
        bool started = false;
        for (unsigned shift = 16; shift > 0;) {
            shift -= 4;
            const unsigned digit = (groups[i] >> shift) & 0xfU;
            started = started || digit != 0 || shift == 0;
            if (started) {
                out += hexDigits[digit];
            }
        }
    }
    return out;
}

/// An address and, if known, a port.
struct IpEndpoint {
    IpAddress address;
    unsigned port = 0;  // 0: not known
};

/// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". With
/// `hiddenPort` also an obfuscated port of RFC 7239, section 6.3 ("_x").
inline std::optional<IpEndpoint> parseIpEndpoint(std::string_view text,
                                                 bool hiddenPort = false) noexcept {
    std::string_view host = text;
    std::string_view port;
    bool hasPort = false;
    if (!text.empty() && text.front() == '[') {
        const std::size_t bracket = text.find(']');
        if (bracket == std::string_view::npos) {
            return std::nullopt;
        }
        host = text.substr(1, bracket - 1);
        port = text.substr(bracket + 1);
        hasPort = !port.empty();
        if ((hasPort && port.front() != ':') || host.find(':') == std::string_view::npos) {
            return std::nullopt;
        }
        port.remove_prefix(hasPort ? 1 : 0);
    } else if (text.find(':') == text.rfind(':') && text.find(':') != std::string_view::npos) {
        host = text.substr(0, text.find(':'));
        port = text.substr(host.size() + 1);
        hasPort = true;
    }
    const std::optional<IpAddress> address = parseIpAddress(host);
    if (!address) {
        return std::nullopt;
    }
    IpEndpoint endpoint{*address, 0};
    if (hasPort && !(hiddenPort && port.size() > 1 && port.front() == '_' && isToken(port))) {
        const std::optional<unsigned> number = parseDecimal(port, 0xffff);
        if (!number) {
            return std::nullopt;
        }
        endpoint.port = *number;
    }
    return endpoint;
}

inline std::string toString(const IpEndpoint& endpoint) {
    std::string out = toString(endpoint.address);
    if (endpoint.port != 0) {
        out = endpoint.address.isV4() ? out + ":" : "[" + out + "]:";
        out += std::to_string(endpoint.port);
    }
    return out;
}

/// Removes the last element from a comma list and returns it, trimmed. `more` is set if there are
/// others before it. Reads from the right, and only that element, because the text before it may
/// come from a hostile client, for example with an unterminated quote.
inline std::string_view takeLastElement(std::string_view& list, bool& more) noexcept {
    bool quoted = false;
    std::size_t begin = list.size();
    for (; begin > 0; --begin) {
        const char c = list[begin - 1];
        if (c == ',' && !quoted) {
            break;
        }
        if (c == '"') {
            std::size_t slashes = 0;
            while (slashes + 1 < begin && list[begin - 2 - slashes] == '\\') {
                ++slashes;
            }
            quoted = quoted != (slashes % 2 == 0);
        }
    }
    const std::string_view element = trim(list.substr(begin));
    more = begin > 0;
    list = list.substr(0, more ? begin - 1 : 0);
    return element;
}

/// The node after `for=` in an element of Forwarded (RFC 7239, section 4); nothing if there is not
/// exactly one, if it is not an address ("unknown", "_hidden"), or if the element is malformed.
inline std::optional<IpEndpoint> parseForwardedElement(std::string_view element) noexcept {
    std::optional<IpEndpoint> node;
    bool found = false;
    while (!element.empty()) {
        const std::size_t equals = element.find('=');
        if (equals == std::string_view::npos || !isToken(trim(element.substr(0, equals)))) {
            return std::nullopt;
        }
        const std::string_view name = trim(element.substr(0, equals));
        element = trim(element.substr(equals + 1));
        std::string_view value;
        if (!element.empty() && element.front() == '"') {
            std::size_t end = 1;
            while (end < element.size() && element[end] != '"') {
                end += element[end] == '\\' ? 2U : 1U;
            }
            if (end >= element.size()) {
                return std::nullopt;
            }
            value = element.substr(1, end - 1);
            element = trim(element.substr(end + 1));
        } else {
            value = trim(element.substr(0, element.find(';')));
            element.remove_prefix((std::min)(element.find(';'), element.size()));
        }
        if (!element.empty()) {
            if (element.front() != ';') {
                return std::nullopt;
            }
            element = trim(element.substr(1));
        }
        if (equalsIgnoreCase(name, "for")) {
            if (found) {
                return std::nullopt;
            }
            found = true;
            node = parseIpEndpoint(value, true);
        }
    }
    return node;
}

}  // namespace detail

/// The reverse proxies whose forwarding headers are trusted.
///
/// Anyone can send X-Forwarded-For and Forwarded (RFC 7239). They count only in requests from a
/// trusted proxy, and only the parts added by trusted proxies.
class ProxyTrust {
public:
    /// Addresses and networks: "192.0.2.7", "10.0.0.0/8", "::1", "fd00::/8". An IPv4 network also
    /// contains the addresses that a dual-stack socket shows as IPv4-mapped. Anything else throws
    /// std::invalid_argument naming the entry; so do bits after the prefix ("10.0.0.1/8"), because
    /// the entry would be ambiguous.
    explicit ProxyTrust(const std::vector<std::string>& networks) {
        for (const std::string& entry : networks) {
            networks_.push_back(parseNetwork(entry));
        }
    }

    /// True if a proxy with that address ("address" or "address:port") is trusted. Linear in the
    /// networks. Any thread.
    bool isTrusted(std::string_view addressPort) const {
        const std::optional<detail::IpEndpoint> peer = detail::parseIpEndpoint(addressPort);
        return peer && isTrusted(peer->address);
    }

    bool isTrusted(const detail::IpAddress& address) const noexcept {
        return std::any_of(networks_.begin(), networks_.end(),
                           [&](const Network& network) { return network.contains(address); });
    }

    /// The address of the client: "address:port", or "address" when no port is known, in the form
    /// of RFC 5952.
    ///
    /// If the peer is not trusted, the result is the peer as given. Otherwise the headers are read
    /// from the end, where the nearest proxy writes: the first address that is not trusted is the
    /// client. A malformed element ends the search, and the address before it counts, which may be
    /// the peer's. If X-Forwarded-For is present, Forwarded is ignored: nearly every proxy writes
    /// only the former, and passes the latter on as the client sent it. A proxy that writes
    /// Forwarded must remove the other.
    ///
    /// Linear in the headers, times the networks. Any thread.
    std::string clientAddress(std::string_view peerAddressPort, const HttpRequest& request) const {
        if (networks_.empty()) {
            return std::string(peerAddressPort);
        }
        if (!isTrusted(peerAddressPort)) {
            return std::string(peerAddressPort);
        }
        std::vector<std::string_view> lists = request.headerValues("X-Forwarded-For");
        const bool plain = !lists.empty();
        if (!plain) {
            lists = request.headerValues("Forwarded");
        }
        std::optional<detail::IpEndpoint> client;
        for (; !lists.empty(); lists.pop_back()) {
            std::string_view list = lists.back();
            for (bool more = true; more;) {
                const std::string_view element = detail::takeLastElement(list, more);
                const std::optional<detail::IpEndpoint> hop =
                    plain ? detail::parseIpEndpoint(element)
                          : detail::parseForwardedElement(element);
                if (!hop || !isTrusted(hop->address)) {
                    client = hop ? hop : client;
                    return client ? detail::toString(*client) : std::string(peerAddressPort);
                }
                client = hop;
            }
        }
        return client ? detail::toString(*client) : std::string(peerAddressPort);
    }

    /// True if no proxy is trusted.
    bool empty() const noexcept { return networks_.empty(); }

private:
    struct Network {
        detail::IpAddress first;
        unsigned prefix;  // bits of the 128; 96 and more for IPv4

        bool contains(const detail::IpAddress& address) const noexcept {
            // ::/0 is all of IPv6, and not IPv4 in IPv6's clothes.
            return address.isV4() == first.isV4() && samePrefix(address);
        }

        bool samePrefix(const detail::IpAddress& address) const noexcept {
            for (unsigned bit = 0; bit < prefix; bit += 8) {
                const unsigned mask = prefix - bit >= 8 ? 0xffU : 0xff00U >> (prefix - bit) & 0xffU;
                const unsigned difference =
                    static_cast<unsigned>(address.bytes[bit / 8] ^ first.bytes[bit / 8]);
                if ((difference & mask) != 0) {
                    return false;
                }
            }
            return true;
        }

        bool hasBitsBeyondPrefix() const noexcept {
            for (unsigned bit = prefix; bit < 128; ++bit) {
                if ((first.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) {
                    return true;
                }
            }
            return false;
        }
    };

    static Network parseNetwork(const std::string& entry) {
        const std::string_view text = entry;
        const std::size_t slash = text.find('/');
        const std::string_view host = text.substr(0, slash);
        const std::optional<detail::IpAddress> address =
            host.find('%') == std::string_view::npos ? detail::parseIpAddress(host) : std::nullopt;
        const unsigned offset = host.find(':') == std::string_view::npos ? 96 : 0;
        const std::optional<unsigned> prefix =
            slash == std::string_view::npos
                ? std::optional<unsigned>(128 - offset)
                : detail::parseDecimal(text.substr(slash + 1), 128 - offset);
        const Network network{address.value_or(detail::IpAddress()), prefix.value_or(0) + offset};
        if (!address || !prefix || network.hasBitsBeyondPrefix()) {
            throw std::invalid_argument("pushhub: option trustedProxies has \"" + entry +
                                        "\", expected an address or a network such as 10.0.0.0/8");
        }
        return network;
    }

    std::vector<Network> networks_;
};

}  // namespace pushhub

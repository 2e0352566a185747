#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <pushhub/http/forwarded.hpp>

namespace pushhub::detail {

/// Information about a client that a proxy sends before the client's first byte: the PROXY protocol
/// of HAProxy, versions 1 and 2 (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt).
struct ProxyHeader {
    enum class State : std::uint8_t { incomplete, complete, invalid };

    State status = State::incomplete;
    std::size_t consumed = 0;            ///< Bytes of a complete header.
    std::optional<IpEndpoint> client{};  ///< Empty if the proxy speaks for itself, or not over IP.
    const char* reason = "";             ///< The fault of an invalid header.
};

/// Maximum size of a header, including everything that version 2 appends to the addresses.
inline constexpr std::size_t maxProxyHeader = 4096;

inline ProxyHeader invalidProxyHeader(const char* reason) noexcept {
    ProxyHeader header;
    header.status = ProxyHeader::State::invalid;
    header.reason = reason;
    return header;
}

/// The next field of a line of version 1, up to one space.
inline std::string_view takeProxyField(std::string_view& line) noexcept {
    const std::string_view field = line.substr(0, line.find(' '));
    line.remove_prefix((std::min)(field.size() + 1, line.size()));
    return field;
}

/// The line of version 1, without its end.
inline ProxyHeader parseProxyLine(std::string_view line) noexcept {
    ProxyHeader header;
    header.status = ProxyHeader::State::complete;
    header.consumed = line.size() + 2;
    const std::string_view whole = line;
    takeProxyField(line);  // "PROXY"
    const std::string_view family = takeProxyField(line);
    if (family == "UNKNOWN") {
        return header;  // whatever follows
    }
    if (family != "TCP4" && family != "TCP6") {
        return invalidProxyHeader("a protocol other than TCP4, TCP6 and UNKNOWN");
    }
    IpEndpoint client;
    IpEndpoint ours;
    for (IpEndpoint* endpoint : {&client, &ours}) {
        const std::string_view text = takeProxyField(line);
        std::array<std::uint8_t, 16>& bytes = endpoint->address.bytes;
        bytes[10] = bytes[11] = family == "TCP4" ? 0xff : 0;
        if (family == "TCP4" ? !parseIpv4(text, &bytes[12]) : !parseIpv6(text, bytes)) {
            return invalidProxyHeader("a malformed address");
        }
    }
    for (IpEndpoint* endpoint : {&client, &ours}) {
        const std::optional<unsigned> port = parseDecimal(takeProxyField(line), 0xffff);
        if (!port) {
            return invalidProxyHeader("a malformed port");
        }
        endpoint->port = *port;
    }
    if (!line.empty() || whole.back() == ' ') {
        return invalidProxyHeader("something behind the ports");
    }
    header.client = client;
    return header;
}

/// Version 2, whose signature has come.
inline ProxyHeader parseProxyBinary(std::string_view bytes) noexcept {
    constexpr std::size_t fixed = 16;
    ProxyHeader header;
    if (bytes.size() < fixed) {
        return header;
    }
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned command = at(12);
    const unsigned family = at(13);
    const std::size_t length = at(14) * 256U + at(15);
    if (command != 0x20 && command != 0x21) {
        return invalidProxyHeader("an unknown version or command");
    }
    if (fixed + length > maxProxyHeader) {
        return invalidProxyHeader("too long");
    }
    // Of two addresses and two ports, over TCP.
    const std::size_t size = family == 0x11 ? 12 : family == 0x21 ? 36 : family == 0x31 ? 216 : 0;
    const bool local = command == 0x20;
    if (!local && family != 0 && size == 0) {
        return invalidProxyHeader("a protocol other than TCP");
    }
    if (!local && length < size) {
        return invalidProxyHeader("too short for its addresses");
    }
    if (bytes.size() < fixed + length) {
        return header;
    }
    header.status = ProxyHeader::State::complete;
    header.consumed = fixed + length;
    if (!local && (family == 0x11 || family == 0x21)) {
        IpEndpoint client;
        const std::size_t width = family == 0x11 ? 4 : 16;
        std::array<std::uint8_t, 16>& address = client.address.bytes;
        if (family == 0x11) {
            address[10] = address[11] = 0xff;
        }
        for (std::size_t i = 0; i < width; ++i) {
            address[16 - width + i] = at(fixed + i);
        }
        const std::size_t port = fixed + 2 * width;
        client.port = at(port) * 256U + at(port + 1);
        header.client = client;
    }
    return header;
}

/// Looks for a header at the beginning of `bytes`, which are all bytes received so far. The result
/// does not depend on how they are split. Constant time.
inline ProxyHeader parseProxyHeader(std::string_view bytes) noexcept {
    using namespace std::string_view_literals;
    constexpr std::string_view signature = "\r\n\r\n\0\r\nQUIT\n"sv;
    constexpr std::string_view prefix = "PROXY ";
    constexpr std::size_t maxLine = 107;
    const auto begins = [&](std::string_view expected) {
        return bytes.substr(0, expected.size()) == expected.substr(0, bytes.size());
    };
    if (begins(signature)) {
        return bytes.size() < signature.size() ? ProxyHeader() : parseProxyBinary(bytes);
    }
    if (!begins(prefix)) {
        return invalidProxyHeader("no PROXY header");
    }
    const std::string_view line = bytes.substr(0, maxLine);
    const std::size_t end = line.find_first_of("\r\n");
    if (end == std::string_view::npos) {
        return line.size() < maxLine ? ProxyHeader()
                                     : invalidProxyHeader("a line that is too long");
    }
    if (end + 1 >= line.size()) {
        return line.size() < maxLine && line[end] == '\r'
                   ? ProxyHeader()
                   : invalidProxyHeader("a line without its end");
    }
    if (line.substr(end, 2) != "\r\n") {
        return invalidProxyHeader("a line without its end");
    }
    return parseProxyLine(line.substr(0, end));
}

}  // namespace pushhub::detail

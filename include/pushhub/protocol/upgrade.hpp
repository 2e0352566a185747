#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <websocketpp/base64/base64.hpp>
#include <websocketpp/sha1/sha1.hpp>

#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/http/syntax.hpp>
#include <pushhub/protocol/extensions.hpp>

namespace pushhub::protocol {

/// What `checkUpgrade` says about a request.
struct UpgradeCheck {
    /// 101 if the handshake may go on, otherwise 400, 405 or 426. With 405 goes `Allow: GET`,
    /// with 426 `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
    int status;
    /// A constant English text that holds nothing of what the peer sent; "" with 101.
    const char* reason;
};

/// True if the request asks for WebSocket at all, well or badly: its Upgrade list has the token
/// "websocket". Others are plain HTTP, and so is HTTP/1.0, where Upgrade means nothing (RFC 9110
/// section 7.8).
inline bool isUpgradeRequest(const HttpRequest& request) {
    return request.hasToken("Upgrade", "websocket") && request.version() != "HTTP/1.0";
}

namespace detail {

/// Base64 of exactly 16 bytes: 22 characters of the alphabet and two '='. The four bits that
/// carry nothing need not be zero: the example in RFC 6455, section 4.1 has them set.
inline bool isSixteenBytesInBase64(std::string_view key) {
    if (key.size() != 24 || key.substr(22) != "==") {
        return false;
    }
    for (const char c : key.substr(0, 22)) {
        const bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          pushhub::detail::isDigit(c) || c == '+' || c == '/';
        if (!good) {
            return false;
        }
    }
    return true;
}

/// Distinct tokens, and few: finding a duplicate is quadratic.
inline bool areSubprotocols(const HttpRequest& request) {
    constexpr std::size_t most = 64;
    if (request.headerCount("Sec-WebSocket-Protocol") == 0) {
        return true;
    }
    const std::vector<std::string_view> names = request.subprotocols();
    if (names.size() > most) {
        return false;
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (!pushhub::detail::isToken(names[i])) {
            return false;
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (names[i] == names[j]) {
                return false;
            }
        }
    }
    return true;
}

/// RFC 6455 section 9.1 wants the connection failed if they are malformed, whoever asks for what.
inline bool areExtensions(const HttpRequest& request) {
    for (const std::string_view value : request.headerValues("Sec-WebSocket-Extensions")) {
        if (!readExtensions(
                value, [](auto) {}, [](auto, const auto&) {})) {
            return false;
        }
    }
    return true;
}

}  // namespace detail

/// Checks an opening handshake as RFC 6455, section 4.2.1 demands of a server; what `HttpRequest`
/// guarantees (HTTP/1.x, one Host, no body) is taken for granted. Only version 13 is spoken.
/// Path, Origin and identity are for others to judge. A few allocations at most.
inline UpgradeCheck checkUpgrade(const HttpRequest& request) {
    if (request.method() != "GET") {
        return {405, "a WebSocket handshake is a GET request"};
    }
    if (!isUpgradeRequest(request)) {
        return {426, "this resource speaks WebSocket only"};
    }
    if (!request.hasToken("Connection", "Upgrade")) {
        return {400, "the Connection header does not list Upgrade"};
    }
    // Before the key: the clients of old drafts have none, and shall learn what is spoken here.
    const std::size_t versions = request.headerCount("Sec-WebSocket-Version");
    if (versions > 1) {
        return {400, "several Sec-WebSocket-Version headers"};
    }
    if (request.header("Sec-WebSocket-Version") != "13") {
        return {426, "only version 13 of WebSocket is spoken here"};
    }
    const std::size_t keys = request.headerCount("Sec-WebSocket-Key");
    if (keys != 1) {
        return {400, keys == 0 ? "the Sec-WebSocket-Key header is missing"
                               : "several Sec-WebSocket-Key headers"};
    }
    if (!detail::isSixteenBytesInBase64(request.header("Sec-WebSocket-Key"))) {
        return {400, "the Sec-WebSocket-Key is not 16 bytes in base64"};
    }
    if (request.headerCount("Origin") > 1) {
        return {400, "several Origin headers"};
    }
    if (!detail::areSubprotocols(request)) {
        return {400, "the Sec-WebSocket-Protocol header is malformed"};
    }
    if (!detail::areExtensions(request)) {
        return {400, "the Sec-WebSocket-Extensions header is malformed"};
    }
    return {101, ""};
}

/// The value of Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2, step 5.4).
inline std::string acceptKey(std::string_view secWebSocketKey) {
    constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::string text;
    text.reserve(secWebSocketKey.size() + guid.size());
    text.append(secWebSocketKey).append(guid);
    std::array<unsigned char, 20> hash{};
    websocketpp::sha1::calc(text.data(), text.size(), hash.data());
    return websocketpp::base64_encode(hash.data(), hash.size());
}

/// The answer that opens a session: status 101 for `key`, with `subprotocol` unless it is "" or
/// not a token, and with the `extensions` that were agreed on. Of the extra headers those are left
/// out that are invalid, reserved or part of the handshake itself.
inline std::string upgradeResponse(
    std::string_view key, std::string_view subprotocol,
    const std::vector<std::pair<std::string, std::string>>& extraHeaders,
    std::string_view extensions = {}) {
    std::size_t size = 160 + subprotocol.size() + extensions.size();
    for (const auto& [name, value] : extraHeaders) {
        size += name.size() + value.size() + 4;
    }
    std::string out;
    out.reserve(size);
    out.append(
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n");
    pushhub::detail::appendHeader(out, "Sec-WebSocket-Accept", acceptKey(key));
    if (pushhub::detail::isToken(subprotocol)) {
        pushhub::detail::appendHeader(out, "Sec-WebSocket-Protocol", subprotocol);
    }
    if (!extensions.empty()) {
        pushhub::detail::appendHeader(out, "Sec-WebSocket-Extensions", extensions);
    }
    for (const auto& [name, value] : extraHeaders) {
        const std::string_view header = name;
        const bool ours = isReservedHeader(header) ||
                          pushhub::detail::equalsIgnoreCase(header, "Upgrade") ||
                          pushhub::detail::equalsIgnoreCase(header, "Sec-WebSocket-Accept") ||
                          pushhub::detail::equalsIgnoreCase(header, "Sec-WebSocket-Extensions") ||
                          pushhub::detail::equalsIgnoreCase(header, "Sec-WebSocket-Protocol");
        if (!ours && isValidHeader(header, value)) {
            pushhub::detail::appendHeader(out, header, value);
        }
    }
    out.append("\r\n");
    return out;
}

}  // namespace pushhub::protocol

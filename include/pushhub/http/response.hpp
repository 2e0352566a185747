#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/http/syntax.hpp>

namespace pushhub {

/// A small response to a plain HTTP request or to a refused handshake.
struct HttpResponse {
    /// 200 to 599; anything else is sent as 500.
    int status = 200;
    std::string body{};
    /// Left out when empty or when there is no body.
    std::string contentType = "text/plain; charset=utf-8";
    /// Further headers, in the order in which they are sent; see `isValidHeader` and
    /// `isReservedHeader` for headers that are not sent.
    std::vector<std::pair<std::string, std::string>> headers{};
};

/// The reason phrase of RFC 9110 (and 6585) for a status; "Unknown" for one that has none here.
inline const char* reasonPhrase(int status) {
    switch (status) {
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 205:
            return "Reset Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 308:
            return "Permanent Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 411:
            return "Length Required";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 421:
            return "Misdirected Request";
        case 422:
            return "Unprocessable Content";
        case 426:
            return "Upgrade Required";
        case 428:
            return "Precondition Required";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Unknown";
    }
}

/// True if the name is a token and the value has no control character except tabs: such a pair
/// cannot end its line, so a response cannot be split. Other headers are never sent; check the
/// application's headers with this function first to report them.
inline bool isValidHeader(std::string_view name, std::string_view value) {
    return detail::isToken(name) && detail::isFieldValue(value);
}

/// True for the headers that determine the end of a response and the state of the connection
/// (Connection, Content-Length, Transfer-Encoding): the library writes them itself.
inline bool isReservedHeader(std::string_view name) {
    return detail::equalsIgnoreCase(name, "Connection") ||
           detail::equalsIgnoreCase(name, "Content-Length") ||
           detail::equalsIgnoreCase(name, "Transfer-Encoding");
}

/// 503, with Retry-After.
inline HttpResponse unavailable(std::string why) {
    HttpResponse response{503, std::move(why)};
    response.headers = {{"Retry-After", "5"}};
    return response;
}

/// True for a valid response status: 200 to 599.
constexpr bool isFinalStatus(int status) noexcept {
    return status >= 200 && status <= 599;
}

/// True for a refusal status: 400 to 599.
constexpr bool isRefusalStatus(int status) noexcept {
    return status >= 400 && status <= 599;
}

/// True if the response has a header of that name, in any case.
inline bool hasHeader(const HttpResponse& response, std::string_view name) {
    return std::any_of(
        response.headers.begin(), response.headers.end(),
        [name](const auto& header) { return detail::equalsIgnoreCase(header.first, name); });
}

/// Names the item that `serialize` replaces or leaves out because it cannot be sent: the status, or
/// else the first such header. "" if there is none.
inline std::string whyNotSendable(const HttpResponse& response) {
    if (!isFinalStatus(response.status)) {
        return "the status is " + std::to_string(response.status) + ", expected from 200 to 599";
    }
    for (const auto& [name, value] : response.headers) {
        if (!isValidHeader(name, value)) {
            std::string why = "the header \"";
            why.append(name).append("\" is \"").append(value);
            return why.append("\", expected a token as its name, and no control characters");
        }
    }
    return detail::isFieldValue(response.contentType)
               ? std::string()
               : "the content type is \"" + response.contentType +
                     "\", expected no control characters";
}

namespace detail {

inline void appendHeader(std::string& out, std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace detail

/// The bytes of a response (RFC 9112, section 4). `headOnly` omits the body, as required in the
/// response to HEAD; `keepAlive` false adds "Connection: close"; `date` is the value of Date,
/// unless the response has one or it is "". Headers that are invalid or reserved are left out. 204,
/// 205 and 304 have no body.
inline std::string serialize(const HttpResponse& response, bool headOnly, bool keepAlive,
                             std::string_view date = {}) {
    const int status = isFinalStatus(response.status) ? response.status : 500;
    const bool bodyless = status == 204 || status == 205 || status == 304;

    std::size_t size = 200 + response.body.size() + response.contentType.size();
    for (const auto& [name, value] : response.headers) {
        size += name.size() + value.size() + 4;
    }
    std::string out;
    out.reserve(size);
    out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
    out.append(reasonPhrase(status)).append("\r\n");

    bool ownContentType = false;
    bool ownDate = false;
    bool upgrade = false;
    for (const auto& [name, value] : response.headers) {
        if (!isValidHeader(name, value) || isReservedHeader(name)) {
            continue;
        }
        ownContentType = ownContentType || detail::equalsIgnoreCase(name, "Content-Type");
        ownDate = ownDate || detail::equalsIgnoreCase(name, "Date");
        upgrade = upgrade || detail::equalsIgnoreCase(name, "Upgrade");
        detail::appendHeader(out, name, value);
    }
    if (!ownDate && !date.empty()) {
        detail::appendHeader(out, "Date", date);
    }
    if (status == 205) {
        detail::appendHeader(out, "Content-Length", "0");
    }
    if (!bodyless) {
        if (!ownContentType && !response.body.empty() && !response.contentType.empty() &&
            detail::isFieldValue(response.contentType)) {
            detail::appendHeader(out, "Content-Type", response.contentType);
        }
        detail::appendHeader(out, "Content-Length", std::to_string(response.body.size()));
    }
    // RFC 9110, section 7.8: whoever sends Upgrade lists it in Connection.
    if (upgrade || !keepAlive) {
        detail::appendHeader(out, "Connection",
                             !upgrade ? "close" : (keepAlive ? "Upgrade" : "Upgrade, close"));
    }
    out.append("\r\n");
    if (!headOnly && !bodyless) {
        out.append(response.body);
    }
    return out;
}

}  // namespace pushhub

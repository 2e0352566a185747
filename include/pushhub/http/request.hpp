#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/http/cookies.hpp>
#include <pushhub/http/syntax.hpp>
#include <pushhub/http/url.hpp>

namespace pushhub {

/// Maximum size of a request head.
struct HttpLimits {
    /// Bytes up to and including the empty line; more is answered with 431. Above 65535 it counts
    /// as 65535.
    std::size_t maxHeadBytes = 16 * 1024;
    /// Header fields; more is answered with 431.
    std::size_t maxHeaders = 100;
    /// Bytes of the request target; more is answered with 414.
    std::size_t maxTargetBytes = 8 * 1024;
};

/// What `HttpRequest::parse` found.
struct HttpParseResult {
    enum class State : std::uint8_t {
        complete,    ///< a whole head was parsed
        incomplete,  ///< valid so far, but the head has not ended
        invalid      ///< answer with `httpStatus` and close the connection
    };
    State status = State::incomplete;
    /// Size of the head in bytes, when complete; the bytes after it belong to the next protocol.
    std::size_t consumed = 0;
    /// 400, 413, 414, 431, 501 or 505, when invalid.
    int httpStatus = 0;
    /// A constant English text that contains no data from the peer.
    const char* reason = "";
};

/// An HTTP/1.x request (RFC 9112), immutable once parsed and cheap to keep: one pointer to one heap
/// block that is no larger than the head was on the wire, followed by the body, if any.
///
/// Returned views are valid as long as the block exists: moving the request keeps them valid. A
/// request not filled by `parse`, or moved from, returns "" or nothing from all functions. Several
/// threads may read at the same time.
///
/// The parser is strict where leniency has been used to smuggle requests, see `parse`.
class HttpRequest {
public:
    HttpRequest() = default;

    /// Parses a request head from the start of `bytes`. `out` is written only when complete.
    ///
    /// When incomplete, call again with the same bytes and more appended, and with `alreadyScanned`
    /// set to the earlier `bytes.size()`: the total cost is then linear however the bytes are
    /// split. The result does not depend on how the bytes are split.
    ///
    /// One allocation, when complete; throws nothing but std::bad_alloc.
    ///
    /// Versions: HTTP/1.0 and up to HTTP/1.9, which is read as HTTP/1.1 (RFC 9110 section 2.5).
    /// Refused: other major versions (505); bare CR or LF, NUL and other control characters except
    /// tabs in header values; whitespace before a colon; a header name that is not a token; several
    /// Host, or one that is not `host[:port]`, or none (HTTP/1.0 may leave it out); spaces, control
    /// characters, non-ASCII bytes and '#' in the target; a malformed or repeated Content-Length;
    /// Transfer-Encoding together with Content-Length, in HTTP/1.0, or other than "chunked" (501);
    /// a GET or HEAD that declares a body (413, or 400 for Transfer-Encoding). The first byte of
    /// TLS gets a separate reason. Accepted: one empty line before the request line (RFC 9112,
    /// section 2.2); folded header lines, each fold replaced by one space (section 5.2); the
    /// absolute form of the target with http, https, ws or wss, of which path and query are kept
    /// (section 3.2.2); "*" for OPTIONS.
    static HttpParseResult parse(std::string_view bytes, HttpRequest& out,
                                 const HttpLimits& limits = {}, std::size_t alreadyScanned = 0);

    /// "GET"; case-sensitive.
    std::string_view method() const { return {text(), methodLength()}; }

    /// Path and query as sent, undecoded.
    std::string_view target() const { return {text() + methodLength(), targetLength()}; }

    /// The target before '?', undecoded. Starts with '/', or is "*".
    std::string_view path() const { return target().substr(0, pathLength()); }

    /// The target after '?', undecoded; "" without a query.
    std::string_view rawQuery() const {
        return target().substr((std::min)(pathLength() + 1, targetLength()));
    }

    /// "HTTP/1.1", or another minor version, as sent.
    std::string_view version() const {
        constexpr std::string_view versions =
            "HTTP/1.0HTTP/1.1HTTP/1.2HTTP/1.3HTTP/1.4"
            "HTTP/1.5HTTP/1.6HTTP/1.7HTTP/1.8HTTP/1.9";
        constexpr std::size_t length = 8;
        return block_ ? versions.substr(length * minorVersion(), length) : std::string_view();
    }

    /// The value of the first header of this name (in any case), "" if there is none. Linear in the
    /// number of headers, like all look-ups here.
    std::string_view header(std::string_view name) const;

    /// Calls `f(name, value)` for each header, in order, including repeated ones. Names as sent;
    /// values without surrounding whitespace. Values may contain bytes from 0x80 on.
    template <class F>
    void forEachHeader(F f) const {
        Field field = firstField();
        for (std::size_t left = fieldCount(); left > 0; --left) {
            f(field.name(), field.value());
            field = field.next();
        }
    }

    /// All values of the headers of this name, in order.
    std::vector<std::string_view> headerValues(std::string_view name) const;

    /// Number of headers with this name.
    std::size_t headerCount(std::string_view name) const;

    /// True if a comma list, spread over all headers of this name, has `token` as an element (in
    /// any case).
    bool hasToken(std::string_view headerName, std::string_view token) const;

    /// The first query parameter of this name, percent-decoded, '+' as space; nothing if absent,
    /// not decodable or not UTF-8.
    std::optional<std::string> query(std::string_view name) const {
        return findQueryParam(rawQuery(), name);
    }

    /// The first cookie of this name, undecoded, without quotes.
    std::optional<std::string> cookie(std::string_view name) const;

    /// The elements of Sec-WebSocket-Protocol, in order of preference (RFC 6455, section 4.1).
    std::vector<std::string_view> subprotocols() const;

    /// The Origin header, "" if absent. "null" is a real value that browsers send.
    std::string_view origin() const { return header("Origin"); }

    /// True if the request declares a body, which `parse` does not read. Never for GET and HEAD.
    bool hasBody() const { return (flags() & declaresBody) != 0; }

    /// The body, decoded from its chunks; "" without one.
    std::string_view body() const {
        if ((flags() & keepsBody) == 0) {
            return {};
        }
        const char* const stored = block_.get() + load(capacityAt);
        std::size_t size;
        std::memcpy(&size, stored, sizeof size);
        return {stored + sizeof size, size};
    }

    /// Stores the body. Invalidates earlier views.
    void setBody(std::string_view body);

    /// Memory used by this request in bytes, including its block.
    std::size_t memoryUsage() const {
        const bool keeps = (flags() & keepsBody) != 0;
        return sizeof *this + load(capacityAt) + (keeps ? sizeof(std::size_t) + body().size() : 0);
    }

private:
    // The block: six numbers, then method, target and the fields. A field is the length of its
    // name (1 byte), of its value (2 bytes), its name, its value. That is never more than the
    // line took on the wire, so a block of the head's size always suffices.
    static constexpr std::size_t capacityAt = 0;
    static constexpr std::size_t fieldCountAt = 2;
    static constexpr std::size_t targetLengthAt = 4;
    static constexpr std::size_t pathLengthAt = 6;
    static constexpr std::size_t methodLengthAt = 8;
    static constexpr std::size_t flagsAt = 9;  // the minor version times 16, and the two below
    static constexpr std::size_t textAt = 10;
    static constexpr std::size_t largestHead = 0xffff;
    static constexpr unsigned declaresBody = 1;
    static constexpr unsigned keepsBody = 2;  // behind the block's capacity: its size, its bytes

    class Field {
    public:
        static constexpr std::size_t prefixLength = 3;
        explicit Field(const char* at) : at_(at) {}
        std::string_view name() const { return {at_ + prefixLength, nameLength()}; }
        std::string_view value() const {
            return {at_ + prefixLength + nameLength(), load16(at_ + 1)};
        }
        Field next() const { return Field(value().data() + value().size()); }

    private:
        std::size_t nameLength() const { return static_cast<unsigned char>(*at_); }
        const char* at_;
    };

    static std::size_t load16(const char* from) {
        std::uint16_t number;
        std::memcpy(&number, from, sizeof number);
        return number;
    }
    static void store16(char* to, std::size_t number) {
        const auto narrow = static_cast<std::uint16_t>(number);
        std::memcpy(to, &narrow, sizeof narrow);
    }

    std::size_t load(std::size_t at) const { return block_ ? load16(block_.get() + at) : 0; }
    std::size_t fieldCount() const { return load(fieldCountAt); }
    std::size_t targetLength() const { return load(targetLengthAt); }
    std::size_t pathLength() const { return load(pathLengthAt); }
    std::size_t methodLength() const {
        return block_ ? static_cast<unsigned char>(block_[methodLengthAt]) : 0;
    }
    unsigned flags() const { return block_ ? static_cast<unsigned char>(block_[flagsAt]) : 0U; }
    void setFlags(unsigned flags) { block_[flagsAt] = static_cast<char>(flags); }
    std::size_t minorVersion() const { return flags() >> 4; }
    const char* text() const { return block_ ? block_.get() + textAt : ""; }
    Field firstField() const { return Field(text() + methodLength() + targetLength()); }

    /// Calls `visit(value)` for the headers of this name until it returns true.
    template <class F>
    bool anyHeader(std::string_view name, F visit) const {
        Field field = firstField();
        for (std::size_t left = fieldCount(); left > 0; --left) {
            if (detail::equalsIgnoreCase(field.name(), name) && visit(field.value())) {
                return true;
            }
            field = field.next();
        }
        return false;
    }

    static HttpParseResult invalid(int httpStatus, const char* reason) {
        return {HttpParseResult::State::invalid, 0, httpStatus, reason};
    }
    static HttpParseResult findHeadEnd(std::string_view bytes, std::size_t start,
                                       const HttpLimits& limits, std::size_t alreadyScanned);
    static HttpParseResult findOriginForm(std::string_view method, std::string_view& target);
    static bool isHost(std::string_view host);
    HttpParseResult parseRequestLine(std::string_view line, std::size_t headBytes,
                                     const HttpLimits& limits);
    HttpParseResult parseFields(std::string_view lines, const HttpLimits& limits);
    HttpParseResult checkFraming();

    std::unique_ptr<char[]> block_;
};

inline std::string_view HttpRequest::header(std::string_view name) const {
    std::string_view found;
    anyHeader(name, [&](std::string_view value) {
        found = value;
        return true;
    });
    return found;
}

inline std::vector<std::string_view> HttpRequest::headerValues(std::string_view name) const {
    std::vector<std::string_view> values;
    anyHeader(name, [&](std::string_view value) {
        values.push_back(value);
        return false;
    });
    return values;
}

inline std::size_t HttpRequest::headerCount(std::string_view name) const {
    std::size_t count = 0;
    anyHeader(name, [&](std::string_view) {
        ++count;
        return false;
    });
    return count;
}

inline bool HttpRequest::hasToken(std::string_view headerName, std::string_view token) const {
    return anyHeader(headerName, [&](std::string_view list) {
        return detail::anyListElement(list, [&](std::string_view element) {
            return detail::equalsIgnoreCase(element, token);
        });
    });
}

inline std::optional<std::string> HttpRequest::cookie(std::string_view name) const {
    std::optional<std::string> found;
    anyHeader("Cookie", [&](std::string_view cookies) {
        if (const std::optional<std::string_view> value = findCookie(cookies, name)) {
            found.emplace(*value);
        }
        return found.has_value();
    });
    return found;
}

inline std::vector<std::string_view> HttpRequest::subprotocols() const {
    std::vector<std::string_view> names;
    anyHeader("Sec-WebSocket-Protocol", [&](std::string_view list) {
        return detail::anyListElement(list, [&](std::string_view element) {
            names.push_back(element);
            return false;
        });
    });
    return names;
}

inline void HttpRequest::setBody(std::string_view body) {
    const std::size_t capacity = load(capacityAt);
    const std::size_t size = body.size();
    std::unique_ptr<char[]> block(new char[capacity + sizeof size + size]);
    std::memcpy(block.get(), block_.get(), capacity);
    std::memcpy(block.get() + capacity, &size, sizeof size);
    std::copy(body.begin(), body.end(), block.get() + capacity + sizeof size);
    block_ = std::move(block);
    setFlags(flags() | keepsBody);
}

inline HttpParseResult HttpRequest::parse(std::string_view bytes, HttpRequest& out,
                                          const HttpLimits& limits, std::size_t alreadyScanned) {
    const std::size_t start = bytes.substr(0, 2) == "\r\n" ? 2 : 0;
    const HttpParseResult end = findHeadEnd(bytes, start, limits, alreadyScanned);
    if (end.status != HttpParseResult::State::complete) {
        return end;
    }
    const std::string_view head = bytes.substr(start, end.consumed - start);
    const std::size_t lineEnd = head.find('\n') + 1;

    HttpRequest request;
    HttpParseResult result =
        request.parseRequestLine(head.substr(0, lineEnd - 2), head.size(), limits);
    if (result.status == HttpParseResult::State::complete) {
        result = request.parseFields(head.substr(lineEnd, head.size() - lineEnd - 2), limits);
    }
    if (result.status == HttpParseResult::State::complete) {
        result = request.checkFraming();
    }
    if (result.status == HttpParseResult::State::complete) {
        result.consumed = end.consumed;
        out = std::move(request);
    }
    return result;
}

/// Finds the empty line. Looks at line ends only, in the order of the bytes, so that the outcome
/// does not depend on how the bytes arrive, and refuses what will never become a head at once.
inline HttpParseResult HttpRequest::findHeadEnd(std::string_view bytes, std::size_t start,
                                                const HttpLimits& limits,
                                                std::size_t alreadyScanned) {
    // A method, two spaces, the version and the line end fit into this beside the target.
    constexpr std::size_t lineReserve = 64;
    const std::size_t maxHead = (std::min)(limits.maxHeadBytes, largestHead);
    const std::size_t maxLine =
        start + (std::min)(limits.maxTargetBytes, largestHead) + lineReserve;
    const std::size_t size = (std::min)(bytes.size(), start + maxHead);

    if (bytes.size() > start && !detail::isTokenChar(bytes[start]) && bytes != "\r") {
        constexpr char tlsHandshake = '\x16';  // the type of a record, RFC 8446 section 5.1
        return invalid(400, bytes[start] == tlsHandshake
                                ? "TLS on a port without TLS"
                                : "the request does not start with a method");
    }
    std::size_t at = (std::min)((std::max)(start, alreadyScanned), size);
    const bool lineMayBeTooLong = at <= maxLine && size > maxLine;
    const std::size_t lineEnd = lineMayBeTooLong ? bytes.find('\n', start) : 0;
    const std::size_t stop = lineEnd > maxLine ? maxLine : size;
    while (at < stop) {
        const void* const found = std::memchr(bytes.data() + at, '\n', stop - at);
        if (found == nullptr) {
            break;
        }
        const auto lf = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
        if (lf == 0 || bytes[lf - 1] != '\r') {
            return invalid(400, "a line ends without CR LF");
        }
        if (lf >= 3 && bytes.compare(lf - 3, 2, "\r\n") == 0) {
            return {HttpParseResult::State::complete, lf + 1, 0, ""};
        }
        at = lf + 1;
    }
    if (stop < size) {
        const bool hasMethod = bytes.substr(start, lineReserve).find(' ') != std::string_view::npos;
        return hasMethod ? invalid(414, "the request target is too long")
                         : invalid(501, "the request method is too long");
    }
    if (size - start >= maxHead) {
        return invalid(431, "the request head is too large");
    }
    return {};
}

inline HttpParseResult HttpRequest::parseRequestLine(std::string_view line, std::size_t headBytes,
                                                     const HttpLimits& limits) {
    constexpr std::size_t maxMethodLength = 32;
    const std::size_t firstSpace = line.find(' ');
    const std::size_t lastSpace = line.rfind(' ');
    if (firstSpace == std::string_view::npos || firstSpace == lastSpace) {
        return invalid(400, "malformed request line");
    }
    const std::string_view method = line.substr(0, firstSpace);
    std::string_view target = line.substr(firstSpace + 1, lastSpace - firstSpace - 1);
    const std::string_view version = line.substr(lastSpace + 1);
    if (!detail::isToken(method)) {
        return invalid(400, "the method is not a token");
    }
    if (method.size() > maxMethodLength) {
        return invalid(501, "the request method is too long");
    }
    if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || !detail::isDigit(version[5]) ||
        version[6] != '.' || !detail::isDigit(version[7])) {
        return invalid(400, "the HTTP version is malformed");
    }
    if (version[5] != '1') {
        return invalid(505, "HTTP version not supported");
    }
    if (target.size() > limits.maxTargetBytes) {
        return invalid(414, "the request target is too long");
    }
    const HttpParseResult form = findOriginForm(method, target);
    if (form.status != HttpParseResult::State::complete) {
        return form;
    }

    block_.reset(new char[headBytes]);
    char* const block = block_.get();
    store16(block + capacityAt, headBytes);
    store16(block + fieldCountAt, 0);
    block[methodLengthAt] = static_cast<char>(method.size());
    setFlags(static_cast<unsigned>(version[7] - '0') << 4);
    std::memcpy(block + textAt, method.data(), method.size());
    char* const targetCopy = block + textAt + method.size();
    std::size_t length = target.size();
    if (target.empty() || target.front() == '?') {
        // The absolute form may leave out the path: "http://host?query".
        *targetCopy = '/';
        std::memcpy(targetCopy + 1, target.data(), length);
        ++length;
    } else {
        std::memcpy(targetCopy, target.data(), length);
    }
    store16(block + targetLengthAt, length);
    const std::string_view stored(targetCopy, length);
    store16(block + pathLengthAt, (std::min)(stored.find('?'), length));
    return {HttpParseResult::State::complete, 0, 0, ""};
}

/// Checks the target and reduces the absolute form to path and query.
inline HttpParseResult HttpRequest::findOriginForm(std::string_view method,
                                                   std::string_view& target) {
    for (const char c : target) {
        // Not only what RFC 3986 allows: browsers send '|', '{' and others as they are.
        if (c <= ' ' || c >= 0x7f || c == '#') {
            return invalid(400, "the request target has a character that is not allowed");
        }
    }
    constexpr HttpParseResult good{HttpParseResult::State::complete, 0, 0, ""};
    if (!target.empty() && target.front() == '/') {
        return good;
    }
    if (target == "*" && method == "OPTIONS") {
        return good;
    }
    const std::size_t colon = target.find("://");
    if (colon != std::string_view::npos) {
        const std::string_view scheme = target.substr(0, colon);
        for (const std::string_view known : {"http", "https", "ws", "wss"}) {
            if (!detail::equalsIgnoreCase(scheme, known)) {
                continue;
            }
            const std::string_view rest = target.substr(colon + 3);
            const std::size_t authorityLength = (std::min)(rest.find_first_of("/?"), rest.size());
            if (isHost(rest.substr(0, authorityLength))) {
                target = rest.substr(authorityLength);
                return good;
            }
        }
    }
    return invalid(400, "the request target is not a path");
}

/// `host[:port]` with the characters that RFC 3986, section 3.2.2 allows; no user name.
inline bool HttpRequest::isHost(std::string_view host) {
    std::string_view name;
    std::string_view rest;
    if (!host.empty() && host.front() == '[') {
        const std::size_t bracket = host.find(']');
        if (bracket == std::string_view::npos) {
            return false;
        }
        name = host.substr(1, bracket - 1);
        rest = host.substr(bracket + 1);
        for (const char c : name) {
            if (detail::hexValue(c) < 0 && c != ':' && c != '.') {
                return false;
            }
        }
        if (name.find(':') == name.rfind(':')) {
            return false;
        }
    } else {
        const std::size_t colon = (std::min)(host.find(':'), host.size());
        name = host.substr(0, colon);
        rest = host.substr(colon);
        for (std::size_t i = 0; i < name.size(); ++i) {
            const char c = name[i];
            if (c == '%') {
                if (name.size() - i < 3 || detail::hexValue(name[i + 1]) < 0 ||
                    detail::hexValue(name[i + 2]) < 0) {
                    return false;
                }
                continue;
            }
            const bool good = detail::isTokenChar(c)
                                  ? c != '#' && c != '^' && c != '`' && c != '|'
                                  : c == '(' || c == ')' || c == ',' || c == ';' || c == '=';
            if (!good) {
                return false;
            }
        }
    }
    if (name.empty()) {
        return false;
    }
    if (rest.empty()) {
        return true;
    }
    if (rest.front() != ':') {
        return false;
    }
    unsigned port = 0;
    for (const char c : rest.substr(1)) {
        if (!detail::isDigit(c)) {
            return false;
        }
        port = port * 10 + static_cast<unsigned>(c - '0');
        if (port > 0xffff) {
            return false;
        }
    }
    return true;
}

inline HttpParseResult HttpRequest::parseFields(std::string_view lines, const HttpLimits& limits) {
    constexpr std::size_t maxNameLength = 0xff;
    char* out = block_.get() + textAt + methodLength() + targetLength();
    char* field = nullptr;
    std::size_t count = 0;
    while (!lines.empty()) {
        const std::size_t lineEnd = lines.find('\n');
        const std::string_view line = lines.substr(0, lineEnd - 1);
        lines.remove_prefix(lineEnd + 1);

        if (line.front() == ' ' || line.front() == '\t') {
            if (field == nullptr) {
                return invalid(400, "whitespace before the first header");
            }
            const std::string_view more = detail::trim(line);
            if (!detail::isFieldValue(more)) {
                return invalid(400, "a control character in a header value");
            }
            const std::size_t before = load16(field + 1);
            if (more.empty()) {
                continue;
            }
            if (before != 0) {
                *out++ = ' ';
            }
            std::memcpy(out, more.data(), more.size());
            out += more.size();
            store16(field + 1, before + (before != 0 ? 1 : 0) + more.size());
            continue;
        }

        std::size_t nameLength = 0;
        while (nameLength < line.size() && detail::isTokenChar(line[nameLength])) {
            ++nameLength;
        }
        if (nameLength == 0 || nameLength == line.size() || line[nameLength] != ':') {
            return invalid(400, "a header is not of the form name:value");
        }
        if (++count > limits.maxHeaders) {
            return invalid(431, "the request has too many headers");
        }
        if (nameLength > maxNameLength) {
            return invalid(431, "a header name is too long");
        }
        const std::string_view value = detail::trim(line.substr(nameLength + 1));
        if (!detail::isFieldValue(value)) {
            return invalid(400, "a control character in a header value");
        }
        field = out;
        *out = static_cast<char>(static_cast<unsigned char>(nameLength));
        store16(out + 1, value.size());
        std::memcpy(out + Field::prefixLength, line.data(), nameLength);
        out += Field::prefixLength + nameLength;
        std::memcpy(out, value.data(), value.size());
        out += value.size();
    }
    store16(block_.get() + fieldCountAt, count);
    return {HttpParseResult::State::complete, 0, 0, ""};
}

/// The headers that decide whose request this is and where it ends.
inline HttpParseResult HttpRequest::checkFraming() {
    std::size_t hosts = 0;
    std::size_t lengths = 0;
    bool lengthIsNumber = true;
    bool hasLength = false;
    std::size_t codings = 0;
    bool codingIsChunked = false;
    bool hostIsGood = false;
    forEachHeader([&](std::string_view name, std::string_view value) {
        if (detail::equalsIgnoreCase(name, "Host")) {
            ++hosts;
            hostIsGood = isHost(value);
        } else if (detail::equalsIgnoreCase(name, "Content-Length")) {
            ++lengths;
            lengthIsNumber = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
                return detail::isDigit(c);
            });
            hasLength = value.find_first_not_of('0') != std::string_view::npos;
        } else if (detail::equalsIgnoreCase(name, "Transfer-Encoding")) {
            ++codings;
            codingIsChunked = detail::equalsIgnoreCase(value, "chunked");
        }
    });
    const bool hasCoding = codings != 0;
    const bool mayLackHost = minorVersion() == 0;
    if (hosts > 1 || (hosts == 0 && !mayLackHost)) {
        return invalid(400, hosts == 0 ? "the Host header is missing" : "several Host headers");
    }
    if (hosts == 1 && !hostIsGood) {
        return invalid(400, "the Host header is malformed");
    }
    if (lengths > 1 || !lengthIsNumber) {
        return invalid(400, "the Content-Length header is malformed");
    }
    if (hasCoding && lengths != 0) {
        return invalid(400, "Transfer-Encoding together with Content-Length");
    }
    if (hasCoding && minorVersion() == 0) {
        return invalid(400, "a Transfer-Encoding in HTTP/1.0");
    }
    const bool bodyless = method() == "GET" || method() == "HEAD";
    if (bodyless && hasCoding) {
        return invalid(400, "a GET or HEAD request has a Transfer-Encoding");
    }
    if (bodyless && hasLength) {
        return invalid(413, "a GET or HEAD request has a body");
    }
    if (hasCoding && (codings != 1 || !codingIsChunked)) {
        return invalid(501, "the only transfer coding here is chunked");
    }
    if (hasLength || hasCoding) {
        setFlags(flags() | declaresBody);
    }
    return {HttpParseResult::State::complete, 0, 0, ""};
}

}  // namespace pushhub

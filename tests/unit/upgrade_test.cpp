#include <pushhub/protocol/upgrade.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::HttpParseResult;
using pushhub::HttpRequest;
namespace protocol = pushhub::protocol;

namespace {

using Lines = std::vector<std::string>;

std::string join(const Lines& lines) {
    std::string head;
    for (const std::string& line : lines) {
        head += line + "\r\n";
    }
    return head + "\r\n";
}

/// A correct handshake; the rows of the table are small changes of it.
Lines good() {
    return {"GET /websocket/0002 HTTP/1.1",
            "Host: example.com:8081",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13"};
}

std::size_t lineOf(const Lines& lines, const std::string& name) {
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.compare(0, name.size() + 1, name + ":") == 0;
    });
    REQUIRE(found != lines.end());
    return static_cast<std::size_t>(found - lines.begin());
}

std::string requestLine(const std::string& line) {
    Lines lines = good();
    lines[0] = line;
    return join(lines);
}

std::string target(const std::string& text) {
    return requestLine("GET " + text + " HTTP/1.1");
}

/// The line of the header `name` replaced by `line`.
std::string with(const std::string& name, const std::string& line) {
    Lines lines = good();
    lines[lineOf(lines, name)] = line;
    return join(lines);
}

std::string without(const std::string& name) {
    Lines lines = good();
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(lineOf(lines, name)));
    return join(lines);
}

std::string plus(const std::string& line) {
    Lines lines = good();
    lines.push_back(line);
    return join(lines);
}

std::string plus(const Lines& more) {
    Lines lines = good();
    lines.insert(lines.end(), more.begin(), more.end());
    return join(lines);
}

std::string replaced(std::string head, const std::string& what, const std::string& by) {
    const std::size_t at = head.find(what);
    REQUIRE(at != std::string::npos);
    return head.replace(at, what.size(), by);
}

std::string host(const std::string& value) {
    return with("Host", "Host: " + value);
}

std::string key(const std::string& value) {
    return with("Sec-WebSocket-Key", "Sec-WebSocket-Key: " + value);
}

std::string version(const std::string& value) {
    return with("Sec-WebSocket-Version", "Sec-WebSocket-Version: " + value);
}

std::string nul(const std::string& before, const std::string& after) {
    return before + std::string(1, '\0') + after;
}

/// What a server answers to these bytes; 0 while it waits for more.
int statusOf(std::string_view bytes, HttpRequest& request, std::size_t alreadyScanned = 0) {
    const HttpParseResult result = HttpRequest::parse(bytes, request, {}, alreadyScanned);
    switch (result.status) {
        case HttpParseResult::State::incomplete:
            return 0;
        case HttpParseResult::State::invalid:
            return result.httpStatus;
        case HttpParseResult::State::complete:
            break;
    }
    CHECK(result.consumed == bytes.size());
    return protocol::checkUpgrade(request).status;
}

struct Row {
    std::string name;
    std::string head;
    int status;
};

// Recorded from the clients, on the wire; only the addresses were changed.
const char* const chromium =
    "GET /websocket/0002?token=a%20b HTTP/1.1\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "Connection: Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "HeadlessChrome/156.0.0.0 Safari/537.36\r\n"
    "Upgrade: websocket\r\n"
    "Origin: http://127.0.0.1:8081\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Cookie: sid=abc123; theme=\"dark\"\r\n"
    "Sec-WebSocket-Key: KTdTRj6NRQF/4qHztqAfLA==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "Sec-WebSocket-Protocol: pushhub, bearer.eyJhbGciOi\r\n"
    "\r\n";

const char* const firefox =
    "GET //websocket/0002 HTTP/1.1\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\n"
    "Accept: */*\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Origin: http://127.0.0.1:8081\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    "Sec-WebSocket-Key: nMurR5++OjAsXHOKdekcvw==\r\n"
    "Connection: Upgrade\r\n"
    "Cookie: sid=abc123; theme=\"dark\"\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Sec-Fetch-Mode: websocket\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "Upgrade: websocket\r\n"
    "\r\n";

const char* const nodeWs =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "Authorization: Bearer x\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: bnTY6hgoIyH8ic2fRzMUPg==\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "Sec-WebSocket-Protocol: pushhub\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "\r\n";

const char* const nodeUndici =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "host: 127.0.0.1:8081\r\n"
    "connection: upgrade\r\n"
    "upgrade: websocket\r\n"
    "sec-websocket-key: Fh7SgzwXb2gIxSueMGMjjA==\r\n"
    "sec-websocket-version: 13\r\n"
    "sec-websocket-protocol: pushhub\r\n"
    "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n"
    "accept: */*\r\n"
    "accept-language: *\r\n"
    "sec-fetch-mode: websocket\r\n"
    "user-agent: undici\r\n"
    "pragma: no-cache\r\n"
    "cache-control: no-cache\r\n"
    "accept-encoding: gzip, deflate\r\n"
    "\r\n";

const char* const pythonWebsockets =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: ZNnM7p49r/5sXWfRt+4UZA==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "Sec-WebSocket-Protocol: pushhub\r\n"
    "User-Agent: Python/3.11 websockets/10.4\r\n"
    "\r\n";

const char* const pythonAiohttp =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "Upgrade: websocket\r\n"
    "Connection: upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: TXIR93TmO0LqVqoV3KMdQA==\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "User-Agent: Python/3.11 aiohttp/3.8.4\r\n"
    "\r\n";

const char* const curl =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "Host: 127.0.0.1:8081\r\n"
    "User-Agent: curl/7.88.1\r\n"
    "Accept: */*\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "\r\n";

// Not recorded: the order and spelling that WebKit is known for.
const char* const safari =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Host: push.example.com\r\n"
    "Origin: https://app.example.com\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "Accept: */*\r\n"
    "Sec-WebSocket-Key: RiDTIdaVtlBeVMXnWPuKkg==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    "Sec-Fetch-Dest: websocket\r\n"
    "Sec-Fetch-Mode: websocket\r\n"
    "Sec-Fetch-Site: same-site\r\n"
    "User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, "
    "like Gecko) Version/17.4 Safari/605.1.15\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "\r\n";

// The handshake of draft 76 (2010): two keys and eight bytes behind the head.
const char* const hixie76 =
    "GET /demo HTTP/1.1\r\n"
    "Host: example.com\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
    "Sec-WebSocket-Protocol: sample\r\n"
    "Upgrade: WebSocket\r\n"
    "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n"
    "Origin: http://example.com\r\n"
    "\r\n";

const char* const proxied =
    "GET /websocket/0002 HTTP/1.1\r\n"
    "X-Real-IP: 203.0.113.7\r\n"
    "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n"
    "X-Forwarded-Proto: https\r\n"
    "Host: push.example.com\r\n"
    "Upgrade: websocket\r\n"
    "Connection: upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: RiDTIdaVtlBeVMXnWPuKkg==\r\n"
    "\r\n";

void addValidRows(std::vector<Row>& rows) {
    rows.insert(
        rows.end(),
        {
            {"Chromium 156", chromium, 101},
            {"Firefox 153", firefox, 101},
            {"Safari 17", safari, 101},
            {"Node ws 8", nodeWs, 101},
            {"Node undici (the built-in WebSocket)", nodeUndici, 101},
            {"Python websockets 10", pythonWebsockets, 101},
            {"Python aiohttp 3", pythonAiohttp, 101},
            {"curl 7.88", curl, 101},
            {"behind nginx", proxied, 101},
            {"the least that is valid", join(good()), 101},
            {"an empty line first", "\r\n" + join(good()), 101},
            {"HTTP/1.2", requestLine("GET / HTTP/1.2"), 101},
            {"HTTP/1.9", requestLine("GET / HTTP/1.9"), 101},
            {"headers backwards",
             [] {
                 Lines lines = good();
                 std::reverse(lines.begin() + 1, lines.end());
                 return join(lines);
             }(),
             101},
            {"names in lower case",
             [] {
                 Lines lines = good();
                 for (std::size_t i = 1; i < lines.size(); ++i) {
                     const auto colon =
                         lines[i].begin() + static_cast<std::ptrdiff_t>(lines[i].find(':'));
                     std::transform(lines[i].begin(), colon, lines[i].begin(),
                                    [](char c) { return pushhub::detail::toLowerAscii(c); });
                 }
                 return join(lines);
             }(),
             101},
            {"HOST in upper case", with("Host", "HOST: example.com"), 101},
            {"SEC-WEBSOCKET-KEY",
             with("Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ=="), 101},
            {"Upgrade: WebSocket", with("Upgrade", "Upgrade: WebSocket"), 101},
            {"Upgrade: WEBSOCKET", with("Upgrade", "Upgrade: WEBSOCKET"), 101},
            {"Upgrade as a list", with("Upgrade", "Upgrade: h2c, websocket"), 101},
            {"Upgrade as a list, the other way", with("Upgrade", "Upgrade: websocket,foo/2"), 101},
            {"Upgrade over two headers", plus("Upgrade: h2c"), 101},
            {"Connection: upgrade", with("Connection", "Connection: upgrade"), 101},
            {"Connection: UPGRADE", with("Connection", "Connection: UPGRADE"), 101},
            {"Connection: keep-alive, Upgrade",
             with("Connection", "Connection: keep-alive, Upgrade"), 101},
            {"Connection: Upgrade,keep-alive", with("Connection", "Connection: Upgrade,keep-alive"),
             101},
            {"Connection with empty elements", with("Connection", "Connection: ,, ,Upgrade,"), 101},
            {"Connection with tabs", with("Connection", "Connection:\tkeep-alive\t,\tUpgrade\t"),
             101},
            {"Connection over two headers",
             with("Connection", "Connection: keep-alive\r\nconnection: upgrade"), 101},
            {"Connection folded", with("Connection", "Connection: keep-alive,\r\n Upgrade"), 101},
            {"Connection folded with a tab", with("Connection", "Connection:\r\n\tUpgrade"), 101},
            {"Connection folded twice", with("Connection", "Connection: a,\r\n  b\r\n  , Upgrade"),
             101},
            {"a fold of nothing", with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13\r\n "),
             101},
            {"no space behind colons",
             [] {
                 std::string head;
                 for (std::string line : good()) {
                     const std::size_t at = line.find(": ");
                     head += at == std::string::npos ? line : line.erase(at + 1, 1);
                     head += "\r\n";
                 }
                 return head + "\r\n";
             }(),
             101},
            {"many spaces around a value", version("   13 \t  "), 101},
            {"a key with every kind of character", key("+/09AZazAQIDBAUGBwgJCg=="), 101},
            {"the key of RFC 6455, section 4.1, whose last bits are not zero",
             key("AQIDBAUGBwgJCgsMDQ4PEC=="), 101},
            {"a key of zeros", key("AAAAAAAAAAAAAAAAAAAAAA=="), 101},
            {"Host without port", host("example.com"), 101},
            {"Host with an empty port", host("example.com:"), 101},
            {"Host with port 65535", host("example.com:65535"), 101},
            {"Host is an IPv4 address", host("192.0.2.1:8081"), 101},
            {"Host is an IPv6 address", host("[::1]:8081"), 101},
            {"Host is an IPv6 address without port", host("[2001:db8::a]"), 101},
            {"Host is an IPv6 address in capitals", host("[2001:DB8:0:0:8:800:200C:417A]:80"), 101},
            {"Host is an IPv4 address in IPv6", host("[::ffff:192.0.2.128]:80"), 101},
            {"Host with '_' and '-'", host("my_service-1.local:8081"), 101},
            {"Host in punycode", host("xn--bcher-kva.example"), 101},
            {"Host with an escape", host("a%20b.example"), 101},
            {"Host in one letter", host("a"), 101},
            {"Host with a trailing dot", host("example.com.:80"), 101},
            {"Host without a space", with("Host", "Host:example.com"), 101},
            {"target /", target("/"), 101},
            {"target with runs of slashes", target("//websocket///0002"), 101},
            {"target with a query", target("/websocket/0002?token=a&x=%C3%A4"), 101},
            {"target with an empty query", target("/websocket/0002?"), 101},
            {"target with two '?'", target("/a?b?c"), 101},
            {"target with what browsers leave alone", target("/a|b?c={d}[e]\"f\"`^\\"), 101},
            {"target with a malformed escape, which the template refuses", target("/a%2"), 101},
            {"target in absolute form, ws", target("ws://example.com:8081/websocket/0002"), 101},
            {"target in absolute form, HTTP", target("HTTP://example.com/websocket/0002"), 101},
            {"target in absolute form, wss without a path", target("wss://example.com"), 101},
            {"target in absolute form, only a query", target("https://example.com?token=a"), 101},
            {"target in absolute form, IPv6", target("http://[::1]:8081/websocket/0002"), 101},
            {"Content-Length: 0", plus("Content-Length: 0"), 101},
            {"Content-Length: 000", plus("Content-Length: 000"), 101},
            {"Origin", plus("Origin: https://example.com"), 101},
            {"Origin: null, for the hub to judge", plus("Origin: null"), 101},
            {"a cookie", plus("Cookie: a=b; c=d"), 101},
            {"two Cookie headers", plus(Lines{"Cookie: a=b", "Cookie: c=d"}), 101},
            {"a header without a value", plus("X-Empty:"), 101},
            {"a header of spaces", plus("X-Empty:   "), 101},
            {"a name with every token character", plus("!#$%&'*+-.^_`|~09azAZ: x"), 101},
            {"a value in Latin-1", plus("X-Name: J\xfcrgen"), 101},
            {"a value in UTF-8", plus("X-Name: J\xc3\xbcrgen \xe4\xb8\xad\xe6\x96\x87"), 101},
            {"a value with tabs", plus("X-Tab: a\tb\tc"), 101},
            {"a value with colons", plus("X-Time: 12:34:56"), 101},
            {"one subprotocol", plus("Sec-WebSocket-Protocol: chat"), 101},
            {"subprotocols", plus("Sec-WebSocket-Protocol: chat, superchat,v1.json"), 101},
            {"subprotocols over two headers",
             plus(Lines{"Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b, c"}), 101},
            {"subprotocols folded", plus("Sec-WebSocket-Protocol: a,\r\n b,\r\n c"), 101},
            {"subprotocols that differ in case", plus("Sec-WebSocket-Protocol: chat, Chat"), 101},
            {"an empty Sec-WebSocket-Protocol", plus("Sec-WebSocket-Protocol:"), 101},
            {"64 subprotocols",
             [] {
                 std::string list = "p0";
                 for (int i = 1; i < 64; ++i) {
                     list += ",p" + std::to_string(i);
                 }
                 return plus("Sec-WebSocket-Protocol: " + list);
             }(),
             101},
            {"unknown extensions", plus("Sec-WebSocket-Extensions: x-foo; a=1, x-bar"), 101},
            {"an empty Sec-WebSocket-Extensions", plus("Sec-WebSocket-Extensions:"), 101},
            {"the key of draft 76 beside a good handshake", plus("Sec-WebSocket-Key1: 1 2 3"), 101},
            {"Expect", plus("Expect: 100-continue"), 101},
            {"HTTP2-Settings of another upgrade", plus("HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
             101},
            {"100 headers",
             [] {
                 Lines lines = good();
                 while (lines.size() < 101) {
                     lines.push_back("X-" + std::to_string(lines.size()) + ": v");
                 }
                 return join(lines);
             }(),
             101},
            {"a name of 255 bytes", plus(std::string(255, 'n') + ": v"), 101},
        });
}

void addRefusedRows(std::vector<Row>& rows) {
    rows.insert(
        rows.end(),
        {
            // The request line.
            {"POST", requestLine("POST /websocket/0002 HTTP/1.1"), 405},
            {"HEAD", requestLine("HEAD /websocket/0002 HTTP/1.1"), 405},
            {"PUT", requestLine("PUT /websocket/0002 HTTP/1.1"), 405},
            {"DELETE", requestLine("DELETE /websocket/0002 HTTP/1.1"), 405},
            {"OPTIONS *", requestLine("OPTIONS * HTTP/1.1"), 405},
            {"PATCH", requestLine("PATCH /websocket/0002 HTTP/1.1"), 405},
            {"get in lower case is another method", requestLine("get /websocket/0002 HTTP/1.1"),
             405},
            {"an unknown method", requestLine("GETT /websocket/0002 HTTP/1.1"), 405},
            {"POST with a body",
             replaced(plus("Content-Length: 5"), "GET", "POST"), 405},
            {"POST, chunked", replaced(plus("Transfer-Encoding: chunked"), "GET", "POST"), 405},
            {"CONNECT", requestLine("CONNECT example.com:443 HTTP/1.1"), 400},
            {"GET *", target("*"), 400},
            {"a method of 33 letters", requestLine(std::string(33, 'G') + " / HTTP/1.1"), 501},
            {"a method without end", requestLine(std::string(9000, 'G')), 501},
            {"a method that is no token", requestLine("G@T / HTTP/1.1"), 400},
            {"a method in UTF-8", requestLine("G\xc3\x84T / HTTP/1.1"), 400},
            {"an extension's parameter without a name", plus("Sec-WebSocket-Extensions: a;"), 400},
            {"an extension's parameter without a value", plus("Sec-WebSocket-Extensions: a; b="),
             400},
            {"an extension's value that is no token", plus("Sec-WebSocket-Extensions: a; b=\"c d\""),
             400},
            {"an extension that is no token",
             plus(Lines{"Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: b c"}), 400},
            {"a space first", requestLine(" GET / HTTP/1.1"), 400},
            {"two spaces behind the method", requestLine("GET  / HTTP/1.1"), 400},
            {"two spaces before the version", requestLine("GET /  HTTP/1.1"), 400},
            {"a space behind the version", requestLine("GET / HTTP/1.1 "), 400},
            {"a tab behind the method", requestLine("GET\t/ HTTP/1.1"), 400},
            {"a tab before the version", requestLine("GET /\tHTTP/1.1"), 400},
            {"no target", requestLine("GET HTTP/1.1"), 400},
            {"an empty target", requestLine("GET  HTTP/1.1"), 400},
            {"only a method", requestLine("GET"), 400},
            {"HTTP/0.9", requestLine("GET /"), 400},
            {"HTTP/1.0", requestLine("GET / HTTP/1.0"), 426},
            {"HTTP/2.0", requestLine("GET / HTTP/2.0"), 505},
            {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\n", 505},
            {"HTTP/0.9 spelled out", requestLine("GET / HTTP/0.9"), 505},
            {"HTTP/9.9", requestLine("GET / HTTP/9.9"), 505},
            {"HTTP/1.10", requestLine("GET / HTTP/1.10"), 400},
            {"HTTP/1", requestLine("GET / HTTP/1"), 400},
            {"HTTP/1,1", requestLine("GET / HTTP/1,1"), 400},
            {"HTTP/+.1", requestLine("GET / HTTP/+.1"), 400},
            {"http/1.1", requestLine("GET / http/1.1"), 400},
            {"HTTPS/1.1", requestLine("GET / HTTPS/1.1"), 400},
            {"ICY", requestLine("GET / ICY"), 400},
            {"a TLS client hello", "\x16\x03\x01\x02\x01\x01\r\n\r\n", 400},
            {"two empty lines first", "\r\n\r\n" + join(good()), 400},
            {"only empty lines", "\r\n\r\n", 400},
            {"a bare LF first", "\n" + join(good()), 400},
            {"a bare CR first", "\r" + join(good()), 400},
            {"NUL in the request line", requestLine(nul("GET /", " HTTP/1.1")), 400},
            {"NUL in the method", requestLine(nul("GE", "T / HTTP/1.1")), 400},
            // The target.
            {"a target without slash", target("websocket/0002"), 400},
            {"a target with a space", target("/a b"), 400},
            {"a target with a fragment", target("/websocket/0002#x"), 400},
            {"a query with a fragment", target("/a?b#c"), 400},
            {"a target in Latin-1", target("/J\xfcrgen"), 400},
            {"a target in UTF-8", target("/J\xc3\xbcrgen"), 400},
            {"a query in UTF-8", target("/a?n=J\xc3\xbcrgen"), 400},
            {"a target with DEL", target("/a\x7f"), 400},
            {"a target with a control character", target("/a\x01"), 400},
            {"a target with a bare CR", target("/a\rb"), 400},
            {"a target with a bare LF", target("/a\nb"), 400},
            {"ftp", target("ftp://example.com/"), 400},
            {"javascript", target("javascript://example.com/"), 400},
            {"no scheme", target("://example.com/"), 400},
            {"absolute without host", target("http:///path"), 400},
            {"absolute with a user name", target("http://user@example.com/"), 400},
            {"absolute with a password", target("http://user:pass@example.com/"), 400},
            {"absolute with a bad port", target("http://example.com:x/"), 400},
            {"absolute with an open bracket", target("http://[::1/"), 400},
            {"an authority", target("example.com:80"), 400},
            {"only '?'", target("?a=b"), 400},
            {"a target of 8193 bytes", target("/" + std::string(8192, 'a')), 414},
            {"a query of 8192 bytes", target("/?" + std::string(8191, 'a')), 414},
            {"a target of 12000 bytes", target("/" + std::string(12000, 'a')), 414},
            // Line ends and the shape of headers.
            {"lines end with LF", replaced(join(good()), "\r\n", "\n"), 400},
            {"one header ends with LF", plus("X-A: b\nX-C: d"), 400},
            {"one header ends with CR", plus("X-A: b\rX-C: d"), 400},
            {"CR CR LF", plus("X-A: b\r"), 400},
            {"a line of one CR", plus("\r"), 400},
            {"the head ends with LF", replaced(join(good()), "13\r\n\r\n", "13\r\n\n"), 400},
            {"everything ends with LF",
             [] {
                 std::string head = join(good());
                 head.erase(std::remove(head.begin(), head.end(), '\r'), head.end());
                 return head;
             }(),
             400},
            {"NUL in a value", plus(nul("X-A: b", "c")), 400},
            {"NUL at the end of a value", plus(nul("X-A: b", "")), 400},
            {"NUL in a name", plus(nul("X-", "A: b")), 400},
            {"NUL in the key", key(nul("dGhlIHNhbXBsZSBub25jZQ", "==")), 400},
            {"a control character in a value", plus("X-A: \x01"), 400},
            {"ESC in a value", plus("X-A: something longer \x1b[31m red"), 400},
            {"DEL in a value", plus("X-A: something longer \x7f and more"), 400},
            {"vertical tab in a value", plus("X-A: \v"), 400},
            {"space before the colon", plus("X-A : b"), 400},
            {"tab before the colon", plus("X-A\t: b"), 400},
            {"Host with a space before the colon", with("Host", "Host : example.com"), 400},
            {"the key with a space before the colon",
             with("Sec-WebSocket-Key", "Sec-WebSocket-Key : dGhlIHNhbXBsZSBub25jZQ=="), 400},
            {"no colon", plus("X-A b"), 400},
            {"a name and nothing else", plus("X-A"), 400},
            {"no name", plus(": b"), 400},
            {"a space in a name", plus("X A: b"), 400},
            {"a slash in a name", plus("X/A: b"), 400},
            {"brackets in a name", plus("X[A]: b"), 400},
            {"quotes in a name", plus("\"X\": b"), 400},
            {"a name in UTF-8", plus("X-\xc3\x84: b"), 400},
            {"whitespace before the first header",
             replaced(join(good()), "Host:", " Host:"), 400},
            {"a line of spaces before the first header",
             replaced(join(good()), "Host:", "  \r\nHost:"), 400},
            {"NUL in a folded line", plus(nul("X-A: b\r\n c", "")), 400},
            {"a bare CR in a folded line", plus("X-A: b\r\n c\rd"), 400},
            {"a header folded into a good one", with("Host", "Host: example.com\r\n evil.com"),
             400},
            // Sizes.
            {"101 headers",
             [] {
                 Lines lines = good();
                 while (lines.size() < 102) {
                     lines.push_back("X-" + std::to_string(lines.size()) + ": v");
                 }
                 return join(lines);
             }(),
             431},
            {"a name of 256 bytes", plus(std::string(256, 'n') + ": v"), 431},
            {"a head of more than 16 KiB", plus("X-A: " + std::string(16 * 1024, 'v')), 431},
            {"a head of more than 16 KiB in small lines",
             [] {
                 Lines lines = good();
                 for (int i = 0; i < 90; ++i) {
                     lines.push_back("X-A: " + std::string(200, 'v'));
                 }
                 return join(lines);
             }(),
             431},
            // Host.
            {"no Host", without("Host"), 400},
            {"two Hosts", plus("Host: example.com:8081"), 400},
            {"two different Hosts", plus("Host: other.example"), 400},
            {"two Hosts in different case", plus("hOsT: example.com"), 400},
            {"an empty Host", with("Host", "Host:"), 400},
            {"Host is only a port", host(":8081"), 400},
            {"Host with a path", host("example.com/a"), 400},
            {"Host with a user name", host("user@example.com"), 400},
            {"Host with a space", host("example.com evil.com"), 400},
            {"Host as a list in one header", host("a.example, b.example"), 400},
            {"Host with a scheme", host("http://example.com"), 400},
            {"Host with '?'", host("example.com?a"), 400},
            {"Host with '#'", host("example.com#a"), 400},
            {"Host with quotes", host("\"example.com\""), 400},
            {"Host with '<'", host("<script>"), 400},
            {"Host with a backslash", host("example.com\\a"), 400},
            {"Host in UTF-8", host("b\xc3\xbc"
                                   "cher.example"),
             400},
            {"Host with a malformed escape", host("a%2"), 400},
            {"Host with port x", host("example.com:x"), 400},
            {"Host with a negative port", host("example.com:-1"), 400},
            {"Host with port 65536", host("example.com:65536"), 400},
            {"Host with a very large port", host("example.com:99999999999999999999"), 400},
            {"Host with two ports", host("example.com:80:80"), 400},
            {"Host is IPv6 without brackets", host("::1"), 400},
            {"Host is IPv6 without end", host("[::1"), 400},
            {"Host is [] ", host("[]"), 400},
            {"Host is IPv4 in brackets", host("[127.0.0.1]"), 400},
            {"Host is IPv6 with letters", host("[::g]"), 400},
            {"Host is IPv6 with a zone", host("[fe80::1%25eth0]"), 400},
            {"Host is IPv6 with rubbish behind", host("[::1]x"), 400},
            // Bodies.
            {"Content-Length: 1", plus("Content-Length: 1"), 413},
            {"a large Content-Length", plus("Content-Length: 99999999999999999999999999"), 413},
            {"a negative Content-Length", plus("Content-Length: -1"), 400},
            {"Content-Length: +0", plus("Content-Length: +0"), 400},
            {"Content-Length: 0x0", plus("Content-Length: 0x0"), 400},
            {"Content-Length: 0, 0", plus("Content-Length: 0, 0"), 400},
            {"an empty Content-Length", plus("Content-Length:"), 400},
            {"a Content-Length of words", plus("Content-Length: none"), 400},
            {"Content-Length twice", plus(Lines{"Content-Length: 0", "Content-Length: 0"}), 400},
            {"Content-Length twice, the bad one first",
             plus(Lines{"Content-Length: x", "Content-Length: 0"}), 400},
            {"Content-Length folded", plus("Content-Length: 0\r\n 0"), 400},
            {"chunked", plus("Transfer-Encoding: chunked"), 400},
            {"Transfer-Encoding: identity", plus("Transfer-Encoding: identity"), 400},
            {"an empty Transfer-Encoding", plus("Transfer-Encoding:"), 400},
            {"transfer-encoding in lower case", plus("transfer-encoding: gzip, chunked"), 400},
            {"both", plus(Lines{"Content-Length: 0", "Transfer-Encoding: chunked"}), 400},
            {"both with POST",
             replaced(plus(Lines{"Content-Length: 5", "Transfer-Encoding: chunked"}), "GET",
                      "POST"),
             400},
            // Upgrade and Connection.
            {"no Upgrade", without("Upgrade"), 426},
            {"an empty Upgrade", with("Upgrade", "Upgrade:"), 426},
            {"Upgrade: h2c", with("Upgrade", "Upgrade: h2c"), 426},
            {"Upgrade: websockets", with("Upgrade", "Upgrade: websockets"), 426},
            {"Upgrade: xwebsocket", with("Upgrade", "Upgrade: xwebsocket"), 426},
            {"Upgrade: websocket/13", with("Upgrade", "Upgrade: websocket/13"), 426},
            {"Upgrade: \"websocket\"", with("Upgrade", "Upgrade: \"websocket\""), 426},
            {"Upgrade with spaces instead of commas", with("Upgrade", "Upgrade: h2c websocket"),
             426},
            {"Upgrade with a semicolon", with("Upgrade", "Upgrade: websocket;q=1"), 426},
            {"no Connection", without("Connection"), 400},
            {"an empty Connection", with("Connection", "Connection:"), 400},
            {"Connection: keep-alive", with("Connection", "Connection: keep-alive"), 400},
            {"Connection: close", with("Connection", "Connection: close"), 400},
            {"Connection: upgrades", with("Connection", "Connection: upgrades"), 400},
            {"Connection: no-upgrade", with("Connection", "Connection: no-upgrade"), 400},
            {"Connection with spaces instead of commas",
             with("Connection", "Connection: keep-alive Upgrade"), 400},
            {"Connection: websocket", with("Connection", "Connection: websocket"), 400},
            // The version.
            {"no version", without("Sec-WebSocket-Version"), 426},
            {"an empty version", version(""), 426},
            {"version 7", version("7"), 426},
            {"version 8", version("8"), 426},
            {"version 14", version("14"), 426},
            {"version 0", version("0"), 426},
            {"version 255", version("255"), 426},
            {"version 013", version("013"), 426},
            {"version +13", version("+13"), 426},
            {"version 13.0", version("13.0"), 426},
            {"version 13, 8", version("13, 8"), 426},
            {"version 8, 13", version("8, 13"), 426},
            {"version 13,", version("13,"), 426},
            {"version 13 13", version("13 13"), 426},
            {"version 130", version("130"), 426},
            {"version in words", version("thirteen"), 426},
            {"version twice", plus("Sec-WebSocket-Version: 13"), 400},
            {"versions 13 and 8", plus("Sec-WebSocket-Version: 8"), 400},
            {"draft 76", hixie76, 426},
            {"draft 75",
             "GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
             "Host: example.com\r\nOrigin: http://example.com\r\n"
             "WebSocket-Protocol: sample\r\n\r\n",
             426},
            {"draft 7, with the origin's old name",
             replaced(version("7"), "Upgrade:", "Sec-WebSocket-Origin: x\r\nUpgrade:"),
             426},
            // The key.
            {"no key", without("Sec-WebSocket-Key"), 400},
            {"an empty key", key(""), 400},
            {"two keys", plus("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
            {"two different keys", plus("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400},
            {"two keys in one header", key("dGhlIHNhbXBsZSBub25jZQ==, AAAAAAAAAAAAAAAAAAAAAA=="),
             400},
            {"a key of 15 bytes", key("dGhlIHNhbXBsZSBub25j"), 400},
            {"a key of 17 bytes", key("dGhlIHNhbXBsZSBub25jZQA="), 400},
            {"a key of 18 bytes", key("dGhlIHNhbXBsZSBub25jZQAB"), 400},
            {"a key of 12 bytes", key("dGhlIHNhbXBsZSBu"), 400},
            {"a key without padding", key("dGhlIHNhbXBsZSBub25jZQ"), 400},
            {"a key with half its padding", key("dGhlIHNhbXBsZSBub25jZQ="), 400},
            {"a key with too much padding", key("dGhlIHNhbXBsZSBub25jZQ==="), 400},
            {"a key in the URL alphabet", key("dGhlIHNhbXBsZSBub2-_ZQ=="), 400},
            {"a key with '='  inside", key("dGhlIHNhbX=sZSBub25jZQ=="), 400},
            {"a key with a space inside", key("dGhlIHNhbX sZSBub25jZQ=="), 400},
            {"a key with '!'", key("!!!!!!!!!!!!!!!!!!!!!!=="), 400},
            {"a key in quotes", key("\"dGhlIHNhbXBsZSBub25jZ\""), 400},
            {"a key in UTF-8", key("dGhlIHNhbXBsZSBub25j\xc3\x84=="), 400},
            {"a folded key", key("dGhlIHNhbXBs\r\n ZSBub25jZQ=="), 400},
            // The rest.
            {"two Origins", plus(Lines{"Origin: https://a.example", "Origin: https://b.example"}),
             400},
            {"a subprotocol with a slash", plus("Sec-WebSocket-Protocol: a/b"), 400},
            {"a subprotocol with a space", plus("Sec-WebSocket-Protocol: a b"), 400},
            {"a subprotocol with '='", plus("Sec-WebSocket-Protocol: bearer.YQ=="), 400},
            {"a subprotocol in quotes", plus("Sec-WebSocket-Protocol: \"chat\""), 400},
            {"a subprotocol twice", plus("Sec-WebSocket-Protocol: chat, x, chat"), 400},
            {"a subprotocol twice over two headers",
             plus(Lines{"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"}), 400},
            {"65 subprotocols",
             [] {
                 std::string list = "p0";
                 for (int i = 1; i < 65; ++i) {
                     list += ",p" + std::to_string(i);
                 }
                 return plus("Sec-WebSocket-Protocol: " + list);
             }(),
             400},
        });
}

std::vector<Row> allRows() {
    std::vector<Row> rows;
    addValidRows(rows);
    addRefusedRows(rows);
    return rows;
}

}  // namespace

TEST_CASE("Every handshake of the table gets its status", "[upgrade]") {
    const std::vector<Row> rows = allRows();
    REQUIRE(rows.size() >= 150);
    for (const Row& row : rows) {
        INFO(row.name);
        INFO(row.head.substr(0, 600));
        HttpRequest request;
        CHECK(statusOf(row.head, request) == row.status);
    }
}

TEST_CASE("The names in the table are unique", "[upgrade]") {
    std::vector<std::string> names;
    for (const Row& row : allRows()) {
        names.push_back(row.name);
    }
    std::sort(names.begin(), names.end());
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("The status does not depend on where the handshake is cut", "[upgrade]") {
    for (const Row& row : allRows()) {
        INFO(row.name);
        HttpRequest whole;
        const HttpParseResult expected = HttpRequest::parse(row.head, whole);
        const bool wellFormed = expected.status == HttpParseResult::State::complete;
        bool asExpected = true;
        for (std::size_t length = 0; length < row.head.size() && asExpected; ++length) {
            // A copy of exactly this length lets the sanitizers see a read beyond it.
            const std::unique_ptr<char[]> copy(new char[length == 0 ? 1 : length]);
            std::memcpy(copy.get(), row.head.data(), length);
            HttpRequest request;
            const HttpParseResult result = HttpRequest::parse({copy.get(), length}, request);
            if (result.status == HttpParseResult::State::invalid) {
                // Some are refused before they end, but only as the whole would be.
                asExpected = !wellFormed && result.httpStatus == expected.httpStatus &&
                             std::strcmp(result.reason, expected.reason) == 0;
            } else {
                asExpected = result.status == HttpParseResult::State::incomplete &&
                             result.consumed == 0 && request.method().empty();
            }
            INFO("cut at " << length);
            CHECK(asExpected);
        }
    }
}

TEST_CASE("The status does not depend on how many bytes come at once", "[upgrade]") {
    for (const Row& row : allRows()) {
        INFO(row.name);
        for (const std::size_t step : {1U, 2U, 3U, 7U, 64U, 1000U}) {
            INFO("bytes at once: " << step);
            HttpRequest request;
            std::size_t scanned = 0;
            int status = 0;
            while (status == 0 && scanned < row.head.size()) {
                const std::size_t length = std::min(scanned + step, row.head.size());
                status = statusOf(std::string_view(row.head).substr(0, length), request, scanned);
                scanned = length;
            }
            CHECK(status == row.status);
        }
    }
}

TEST_CASE("What follows a handshake is left alone", "[upgrade]") {
    for (const Row& row : allRows()) {
        HttpRequest request;
        if (HttpRequest::parse(row.head, request).status != HttpParseResult::State::complete) {
            continue;
        }
        INFO(row.name);
        const std::string more = row.head + "\x81\x85 a frame\r\n\r\n";
        HttpRequest withMore;
        const HttpParseResult result = HttpRequest::parse(more, withMore);
        CHECK(result.status == HttpParseResult::State::complete);
        CHECK(result.consumed == row.head.size());
        CHECK(withMore.target() == request.target());
    }
}

TEST_CASE("A request that asks for WebSocket badly still asks for it", "[upgrade]") {
    const auto asks = [](const std::string& head) {
        HttpRequest request;
        REQUIRE(HttpRequest::parse(head, request).status == HttpParseResult::State::complete);
        return protocol::isUpgradeRequest(request);
    };
    CHECK(asks(join(good())));
    CHECK(asks(chromium));
    CHECK(asks(hixie76));
    CHECK(asks(without("Sec-WebSocket-Key")));
    CHECK(asks(without("Connection")));
    CHECK(asks(with("Upgrade", "Upgrade: h2c, WebSocket")));
    CHECK_FALSE(asks(without("Upgrade")));
    CHECK_FALSE(asks(with("Upgrade", "Upgrade: websockets")));
    CHECK_FALSE(asks("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
}

TEST_CASE("A reason is there for each refusal and for nothing else", "[upgrade]") {
    for (const Row& row : allRows()) {
        INFO(row.name);
        HttpRequest request;
        const HttpParseResult result = HttpRequest::parse(row.head, request);
        const char* reason = result.status == HttpParseResult::State::complete
                                 ? protocol::checkUpgrade(request).reason
                                 : result.reason;
        CHECK((std::strlen(reason) == 0) == (row.status == 101));
    }
}

TEST_CASE("The accept key is that of RFC 6455", "[upgrade]") {
    CHECK(protocol::acceptKey("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    // Computed with OpenSSL.
    CHECK(protocol::acceptKey("AAAAAAAAAAAAAAAAAAAAAA==") == "ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
    CHECK(protocol::acceptKey("") == "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
}

TEST_CASE("The answer to a handshake has the bytes that browsers want", "[upgrade]") {
    CHECK(protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "", {}) ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "\r\n");
    CHECK(protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "chat",
                                    {{"Set-Cookie", "a=b"}, {"Set-Cookie", "c=d"}}) ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "Sec-WebSocket-Protocol: chat\r\n"
          "Set-Cookie: a=b\r\n"
          "Set-Cookie: c=d\r\n"
          "\r\n");
}

TEST_CASE("The answer to a handshake cannot be split or contradicted", "[upgrade]") {
    const std::string plain = protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "", {});
    const std::vector<std::pair<std::string, std::string>> bad = {
        {"X-A", "b\r\nSet-Cookie: admin=1"},
        {"X-A", "b\nc"},
        {"X-A", "b\rc"},
        {"X-A", nul("b", "c")},
        {"X-A\r\nX-B", "c"},
        {"X A", "b"},
        {"X-A:", "b"},
        {"", "b"},
        {"Content-Length", "5"},
        {"transfer-encoding", "chunked"},
        {"Connection", "close"},
        {"upgrade", "h2c"},
        {"Sec-WebSocket-Accept", "x"},
        {"sec-websocket-protocol", "x"},
        {"sec-websocket-extensions", "permessage-deflate"},
    };
    CHECK(protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "", bad) == plain);
    CHECK(protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "a\r\nX-B: c", {}) == plain);
    CHECK(protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "a, b", {}) == plain);
    const std::string extensions =
        protocol::upgradeResponse("dGhlIHNhbXBsZSBub25jZQ==", "", bad, "permessage-deflate");
    CHECK(extensions.find("\r\nSec-WebSocket-Extensions: permessage-deflate\r\n") !=
          std::string::npos);
}

#include <pushhub/http/forwarded.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/http/request.hpp>
#include "support/catch.hpp"

using pushhub::HttpRequest;
using pushhub::ProxyTrust;

namespace {

HttpRequest requestWith(const std::string& headers) {
    HttpRequest request;
    const auto result =
        HttpRequest::parse("GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n", request);
    REQUIRE(result.status == pushhub::HttpParseResult::State::complete);
    return request;
}

std::string xff(const std::string& value) {
    return "X-Forwarded-For: " + value + "\r\n";
}

std::string forwarded(const std::string& value) {
    return "Forwarded: " + value + "\r\n";
}

struct Row {
    const char* peer;
    std::string headers;
    const char* client;
};

void check(const ProxyTrust& trust, const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        INFO(row.peer << "\n" << row.headers);
        CHECK(trust.clientAddress(row.peer, requestWith(row.headers)) == row.client);
    }
}

const ProxyTrust& ourProxies() {
    static const ProxyTrust trust({"10.0.0.0/8", "192.0.2.7", "::1", "fd00:1234::/32"});
    return trust;
}

}  // namespace

TEST_CASE("X-Forwarded-For counts from trusted proxies", "[forwarded]") {
    const std::vector<Row> rows = {
        // From others it does not.
        {"203.0.113.5:4000", "", "203.0.113.5:4000"},
        {"203.0.113.5:4000", xff("198.51.100.1"), "203.0.113.5:4000"},
        {"192.0.2.8:4000", xff("198.51.100.1"), "192.0.2.8:4000"},
        {"11.0.0.1:4000", xff("198.51.100.1"), "11.0.0.1:4000"},
        {"9.255.255.255:4000", xff("198.51.100.1"), "9.255.255.255:4000"},
        {"[::2]:4000", xff("198.51.100.1"), "[::2]:4000"},
        {"[fd00:1235::1]:4000", xff("198.51.100.1"), "[fd00:1235::1]:4000"},
        // Without a header a proxy speaks for itself.
        {"10.1.2.3:4000", "", "10.1.2.3:4000"},
        {"10.1.2.3:4000", "X-Real-IP: 198.51.100.1\r\n", "10.1.2.3:4000"},
        // One hop.
        {"10.1.2.3:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"10.255.255.255:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"192.0.2.7:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"192.0.2.7", xff("198.51.100.1"), "198.51.100.1"},
        {"[::1]:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"::1", xff("198.51.100.1"), "198.51.100.1"},
        {"[fd00:1234:ffff::9]:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", "x-forwarded-for:198.51.100.1\r\n", "198.51.100.1"},
        // Dual-stack sockets.
        {"[::ffff:10.1.2.3]:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"[::ffff:a01:203]:4000", xff("198.51.100.1"), "198.51.100.1"},
        {"[::ffff:11.1.2.3]:4000", xff("198.51.100.1"), "[::ffff:11.1.2.3]:4000"},
        {"[::10.1.2.3]:4000", xff("198.51.100.1"), "[::10.1.2.3]:4000"},
        // With ports and brackets.
        {"10.1.2.3:4000", xff("198.51.100.1:7"), "198.51.100.1:7"},
        {"10.1.2.3:4000", xff("198.51.100.1:65535"), "198.51.100.1:65535"},
        {"10.1.2.3:4000", xff("198.51.100.1:0"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("2001:db8::7"), "2001:db8::7"},
        {"10.1.2.3:4000", xff("[2001:db8::7]"), "2001:db8::7"},
        {"10.1.2.3:4000", xff("[2001:db8::7]:443"), "[2001:db8::7]:443"},
        {"10.1.2.3:4000", xff("2001:0DB8:0:0:0:0:0:7"), "2001:db8::7"},
        {"10.1.2.3:4000", xff("::ffff:198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("fe80::1%eth0"), "fe80::1"},
        // Several hops: from the right, trusted ones skipped.
        {"10.1.2.3:4000", xff("198.51.100.1, 10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("198.51.100.1,10.0.0.2,192.0.2.7,::1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("6.6.6.6, 198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("6.6.6.6, 198.51.100.1, 10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("10.0.0.3, 198.51.100.1, 10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("198.51.100.1 ,\t10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("6.6.6.6") + xff("198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("198.51.100.1") + xff("10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("6.6.6.6, 198.51.100.1") + xff("10.0.0.2, 10.0.0.3"), "198.51.100.1"},
        // All trusted: the farthest one.
        {"10.1.2.3:4000", xff("10.0.0.2"), "10.0.0.2"},
        {"10.1.2.3:4000", xff("10.0.0.1, 10.0.0.2"), "10.0.0.1"},
        {"10.1.2.3:4000", xff("10.0.0.1:99") + xff("10.0.0.2"), "10.0.0.1:99"},
        // Malformed: the one before counts.
        {"10.1.2.3:4000", xff("unknown"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff(""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("6.6.6.6, unknown"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("6.6.6.6, unknown, 10.0.0.2"), "10.0.0.2"},
        {"10.1.2.3:4000", xff("6.6.6.6, , 10.0.0.2"), "10.0.0.2"},
        {"10.1.2.3:4000", xff("6.6.6.6,"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("6.6.6.6") + xff(""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("unknown, 198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("\", 198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", xff("198.51.100.1\""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.1.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.256"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.01"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.0x1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("3325256705"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.1:"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.1:65536"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.1:-1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("198.51.100.1:_x"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("[198.51.100.1]:80"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("[2001:db8::7"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("[2001:db8::7]80"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("for=198.51.100.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", xff("app.example.com"), "10.1.2.3:4000"},
        // A peer that is no address.
        {"loopback:1", xff("198.51.100.1"), "loopback:1"},
        {"", xff("198.51.100.1"), ""},
    };
    REQUIRE(rows.size() > 60);
    check(ourProxies(), rows);
}

TEST_CASE("Forwarded counts from trusted proxies", "[forwarded]") {
    const std::vector<Row> rows = {
        {"203.0.113.5:4000", forwarded("for=198.51.100.1"), "203.0.113.5:4000"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("For=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1\""), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1:7\""), "198.51.100.1:7"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1:7"), "198.51.100.1:7"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1:_port\""), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=\"[2001:db8:cafe::17]\""), "2001:db8:cafe::17"},
        {"10.1.2.3:4000", forwarded("for=\"[2001:db8:cafe::17]:4711\""),
         "[2001:db8:cafe::17]:4711"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1;proto=https;by=10.0.0.9"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("proto=https; for=198.51.100.1 ; host=\"a;b,c\""),
         "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("host=\"a\\\"b, for=6.6.6.6\";for=198.51.100.1"),
         "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("host=\"a, for=6.6.6.6\\\"b\";for=198.51.100.1"),
         "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6, host=\"a\\\\\";for=198.51.100.1"),
         "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1;"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6, for=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1, for=10.0.0.2"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1,for=\"[::1]\";by=x,for=10.0.0.2"),
         "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6") + forwarded("for=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=10.0.0.1, for=10.0.0.2"), "10.0.0.1"},
        // What a client makes up cannot hide what the proxy appends.
        {"10.1.2.3:4000", forwarded("for=\"6.6.6.6, for=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=\"6.6.6.6\\, for=198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("x=\"\"\"\", for=198.51.100.1;host=\"h\""), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("\\\", for=198.51.100.1"), "198.51.100.1"},
        // No address, or malformed.
        {"10.1.2.3:4000", forwarded("for=unknown"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=_hidden"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=\"_hidden:80\""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6, for=_hidden, for=10.0.0.2"), "10.0.0.2"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6, proto=https"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1;for=6.6.6.6"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1;for=unknown"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for="), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("=198.51.100.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=198.51.100.1\""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1\"x"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1\\"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("f or=198.51.100.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("198.51.100.1"), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded("for=\"198.51.100.1:_\""), "10.1.2.3:4000"},
        {"10.1.2.3:4000", forwarded(""), "10.1.2.3:4000"},
        // Both headers: X-Forwarded-For, even if it says nothing.
        {"10.1.2.3:4000", forwarded("for=6.6.6.6") + xff("198.51.100.1"), "198.51.100.1"},
        {"10.1.2.3:4000", forwarded("for=6.6.6.6") + xff("unknown"), "10.1.2.3:4000"},
    };
    check(ourProxies(), rows);
}

TEST_CASE("No list, no trust", "[forwarded]") {
    const ProxyTrust nobody({});
    CHECK(nobody.empty());
    CHECK_FALSE(ourProxies().empty());
    check(nobody, {{"127.0.0.1:1", xff("198.51.100.1"), "127.0.0.1:1"},
                   {"[::1]:1", forwarded("for=198.51.100.1"), "[::1]:1"}});
}

TEST_CASE("Networks hold what they say and no more", "[forwarded]") {
    struct NetworkRow {
        const char* network;
        const char* in;
        const char* out;
    };
    const std::vector<NetworkRow> rows = {
        {"0.0.0.0/0", "203.0.113.5", "2001:db8::1"},
        {"::/0", "2001:db8::1", "203.0.113.5"},
        {"::/0", "::1", "::ffff:203.0.113.5"},
        {"::ffff:0:0/96", "203.0.113.5", "2001:db8::1"},
        {"::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
        {"192.0.2.4/30", "192.0.2.7", "192.0.2.8"},
        {"192.0.2.4/32", "192.0.2.4", "192.0.2.5"},
        {"172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
        {"128.0.0.0/1", "255.255.255.255", "127.255.255.255"},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
        {"2001:db8::1/128", "2001:db8::1", "2001:db8::2"},
        {"2001:db8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::10"},
        {"fe80::/10", "fe80::1%eth0", "fec0::1"},
    };
    const HttpRequest request = requestWith(xff("198.51.100.1"));
    for (const NetworkRow& row : rows) {
        INFO(row.network);
        const ProxyTrust trust({row.network});
        CHECK(trust.clientAddress(row.in, request) == "198.51.100.1");
        CHECK(trust.clientAddress(row.out, request) == row.out);
    }
}

TEST_CASE("A wrong network is an error that names it", "[forwarded]") {
    for (const std::string entry : {"",
                                    "/8",
                                    "10.0.0.0/",
                                    "10.0.0.0/33",
                                    "10.0.0.0/-1",
                                    "10.0.0.0/08",
                                    "10.0.0.0/8 ",
                                    " 10.0.0.0/8",
                                    "10.0.0.0/8/8",
                                    "10.0.0.1/8",
                                    "10.0.0/24",
                                    "10.0.0.256",
                                    "010.0.0.1",
                                    "::1/129",
                                    "::1/127",
                                    "2001:db8::/28",
                                    "1::2::3",
                                    ":::",
                                    ":1",
                                    "1:",
                                    "1:2:3:4:5:6:7",
                                    "1:2:3:4:5:6:7:8:9",
                                    "12345::",
                                    "g::",
                                    "[::1]",
                                    "fe80::1%eth0",
                                    "::1.2.3",
                                    "1.2.3.4::",
                                    "::1.2.3.4:5",
                                    "1:2:3:4:5:6:7:1.2.3.4",
                                    "localhost",
                                    "proxy.example.com",
                                    "*"}) {
        INFO(entry);
        try {
            ProxyTrust({"10.0.0.0/8", entry});
            FAIL("it was taken");
        } catch (const std::invalid_argument& error) {
            const std::string what = error.what();
            CHECK(what.find("trustedProxies has \"" + entry + "\"") != std::string::npos);
        }
    }
}

TEST_CASE("IPv6 addresses are written the way of RFC 5952", "[forwarded]") {
    struct Form {
        const char* given;
        const char* written;
    };
    const std::vector<Form> rows = {
        {"::", "::"},
        {"::2", "::2"},
        {"1::", "1::"},
        {"0:0:0:0:0:0:0:0", "::"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:0:3:0:5:0:7:0", "1:0:3:0:5:0:7:0"},
        {"1:0:0:4:0:0:7:8", "1::4:0:0:7:8"},
        {"1:0:0:4:0:0:0:8", "1:0:0:4::8"},
        {"00aB:0c0:00d::", "ab:c0:d::"},
        {"2001:db8::192.0.2.33", "2001:db8::c000:221"},
        {"1:2:3:4:5:6:192.0.2.33", "1:2:3:4:5:6:c000:221"},
        {"::ffff:192.0.2.33", "192.0.2.33"},
        {"::FFFF:c000:221", "192.0.2.33"},
        {"::fffe:192.0.2.33", "::fffe:c000:221"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (const Form& row : rows) {
        INFO(row.given);
        CHECK(ourProxies().clientAddress("10.0.0.1:1", requestWith(xff(row.given))) == row.written);
        const std::string withPort = std::string("[") + row.given + "]:8";
        const bool v4 = std::string_view(row.written).find(':') == std::string_view::npos;
        CHECK(ourProxies().clientAddress("10.0.0.1:1", requestWith(xff(withPort))) ==
              (v4 ? std::string(row.written) + ":8" : std::string("[") + row.written + "]:8"));
    }
}

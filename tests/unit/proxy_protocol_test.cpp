#include <pushhub/http/proxy_protocol.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/proxy_header.hpp"

using pushhub::detail::maxProxyHeader;
using pushhub::detail::parseProxyHeader;
using pushhub::detail::ProxyHeader;
using pushhub::test::proxyV2;
using Status = ProxyHeader::State;

namespace {

// "invalid", "-" for one without a client, or the client's address.
std::string outcome(const ProxyHeader& header) {
    switch (header.status) {
        case Status::incomplete:
            return "incomplete";
        case Status::invalid:
            return std::string_view(header.reason).empty() ? "invalid without a reason" : "invalid";
        case Status::complete:
            break;
    }
    return header.client ? pushhub::detail::toString(*header.client) : "-";
}

// The outcome of a header and what follows, which must not depend on where it is cut.
std::string parsed(const std::string& header, std::string_view rest) {
    const std::string bytes = header + std::string(rest);
    const std::string whole = outcome(parseProxyHeader(bytes));
    bool known = false;
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        const ProxyHeader part = parseProxyHeader(std::string_view(bytes).substr(0, size));
        if (part.status == Status::incomplete) {
            CHECK_FALSE(known);
            continue;
        }
        known = true;
        CHECK(outcome(part) == whole);
        if (part.status == Status::complete) {
            CHECK(part.consumed == header.size());
            CHECK(size >= header.size());
        }
    }
    return whole;
}

std::string v2(unsigned command, unsigned family, const std::string& addresses) {
    return proxyV2(command, family, addresses);
}

const std::string four("\xc0\x00\x02\x01\x0a\x00\x00\x09\xc8\x22\x01\xbb", 12);

}  // namespace

TEST_CASE("PROXY headers of version 1", "[proxy]") {
    const std::string most =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535";
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234 443", "192.0.2.1:51234"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255:65535"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 0 443", "192.0.2.1"},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 51234 443", "[2001:db8::1]:51234"},
        {"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 51234 443", "[2001:db8::1]:51234"},
        {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.9 51234 443", "192.0.2.1:51234"},
        {most, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"PROXY UNKNOWN", "-"},
        {"PROXY UNKNOWN ", "-"},
        {"PROXY UNKNOWN whatever it says", "-"},
        {"PROXY UNKNOWN" + most.substr(10), "-"},
        {"PROXY UNKNOWN " + std::string(91, 'x'), "-"},  // 107 bytes, the most
        {"PROXY UNKNOWN " + std::string(92, 'x'), "invalid"},
        {"PROXY UNKNOWNX", "invalid"},
        {"PROXY  TCP4 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4  192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234 443 ", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234 443 1", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234 ", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9", "invalid"},
        {"PROXY TCP4 192.0.2.1", "invalid"},
        {"PROXY TCP4", "invalid"},
        {"PROXY ", "invalid"},
        {"PROXY tcp4 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY UDP4 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"proxy TCP4 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY\tTCP4 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2.01 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2.256 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 client 51234 443", "invalid"},
        {"PROXY TCP4 2001:db8::1 2001:db8::2 51234 443", "invalid"},
        {"PROXY TCP6 192.0.2.1 10.0.0.9 51234 443", "invalid"},
        {"PROXY TCP6 [2001:db8::1] 2001:db8::2 51234 443", "invalid"},
        {"PROXY TCP6 fe80::1%eth0 fe80::2 51234 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 65536 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 051234 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 -1 443", "invalid"},
        {"PROXY TCP4 192.0.2.1 10.0.0.9 51234 4430000", "invalid"},
        {"PROXY UNKNOWN a\rb", "invalid"},
        {"GET / HTTP/1.1", "invalid"},
        {"\x16\x03\x01\x02", "invalid"},
    };
    for (const auto& [line, expected] : rows) {
        INFO(line);
        CHECK(parsed(line + "\r\n", "") == expected);
        CHECK(parsed(line + "\r\n", "GET / HTTP/1.1\r\n\r\n") == expected);
        CHECK(parsed(line + "\n", "GET / HTTP/1.1\r\n\r\n") == "invalid");
        CHECK(parsed(line + "\r", "GET / HTTP/1.1\r\n\r\n") == "invalid");
    }
    CHECK(outcome(parseProxyHeader("")) == "incomplete");
    CHECK(outcome(parseProxyHeader("P")) == "incomplete");
    CHECK(outcome(parseProxyHeader("PR0")) == "invalid");
    CHECK(outcome(parseProxyHeader("PROXY " + std::string(200'000, 'x'))) == "invalid");
}

TEST_CASE("PROXY headers of version 2", "[proxy]") {
    std::string six(36, '\0');
    six.replace(0, 4, "\x20\x01\x0d\xb8", 4);
    six[15] = 1;
    six[32] = '\xc8';
    six[33] = '\x22';
    std::string mapped = six;
    mapped.replace(0, 16, std::string(10, '\0') + "\xff\xff" + four.substr(0, 4));
    const std::string tlv("\x04\x00\x03xyz\xea\x00\x01\x01", 10);
    const std::string unix(216, 'x');
    struct Row {
        unsigned command;
        unsigned family;
        std::string addresses;
        const char* expected;
    };
    const std::vector<Row> rows = {
        {0x21, 0x11, four, "192.0.2.1:51234"},
        {0x21, 0x11, four + tlv, "192.0.2.1:51234"},
        {0x21, 0x11, four + std::string(maxProxyHeader - 28, 'x'), "192.0.2.1:51234"},
        {0x21, 0x11, four + std::string(maxProxyHeader - 27, 'x'), "invalid"},
        {0x21, 0x21, six, "[2001:db8::1]:51234"},
        {0x21, 0x21, six + tlv, "[2001:db8::1]:51234"},
        {0x21, 0x21, mapped, "192.0.2.1:51234"},
        {0x21, 0x31, unix, "-"},
        {0x21, 0x31, unix + tlv, "-"},
        {0x21, 0x00, "", "-"},
        {0x21, 0x00, tlv, "-"},
        {0x20, 0x00, "", "-"},
        {0x20, 0x11, four, "-"},
        {0x20, 0x00, tlv, "-"},
        {0x20, 0xff, "", "-"},  // of LOCAL nothing else counts
        {0x21, 0x11, four.substr(0, 11), "invalid"},
        {0x21, 0x11, "", "invalid"},
        {0x21, 0x21, six.substr(0, 35), "invalid"},
        {0x21, 0x21, four, "invalid"},
        {0x21, 0x31, unix.substr(1), "invalid"},
        {0x21, 0x12, four, "invalid"},  // UDP
        {0x21, 0x22, six, "invalid"},
        {0x21, 0x10, four, "invalid"},
        {0x21, 0x01, four, "invalid"},
        {0x21, 0x41, four, "invalid"},
        {0x22, 0x11, four, "invalid"},
        {0x2f, 0x11, four, "invalid"},
        {0x11, 0x11, four, "invalid"},
        {0x31, 0x11, four, "invalid"},
        {0x01, 0x11, four, "invalid"},
    };
    for (const Row& row : rows) {
        const std::string header = v2(row.command, row.family, row.addresses);
        INFO(row.command << " " << row.family << " " << row.addresses.size());
        CHECK(parsed(header, "") == row.expected);
        CHECK(parsed(header, "GET / HTTP/1.1\r\n\r\n") == row.expected);
    }
    const std::string good = v2(0x21, 0x11, four);
    for (std::size_t i = 0; i < 12; ++i) {
        std::string wrong = good;
        wrong[i] = 'x';
        CHECK(parsed(wrong, "") == "invalid");
    }
    CHECK(parsed(good, good) == "192.0.2.1:51234");  // the second one is the client's word
}

// Feeds arbitrary bytes to the parser of PROXY headers, at once and in pieces.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <pushhub/http/proxy_protocol.hpp>

#include "cuts.hpp"

using pushhub::detail::maxProxyHeader;
using pushhub::detail::parseProxyHeader;
using pushhub::detail::ProxyHeader;
using pushhub::test::require;
using Status = ProxyHeader::State;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const ProxyHeader whole = parseProxyHeader(bytes);
    require(whole.consumed <= bytes.size() && whole.consumed <= maxProxyHeader);
    require((whole.status == Status::complete) == (whole.consumed > 0));
    require(whole.status != Status::incomplete || bytes.size() < maxProxyHeader);
    require((whole.status == Status::invalid) == !std::string_view(whole.reason).empty());
    if (whole.client) {
        // What it says can be read again, as an address and as a header.
        const std::string text = pushhub::detail::toString(*whole.client);
        const auto again = pushhub::detail::parseIpEndpoint(text);
        require(again && again->address.bytes == whole.client->address.bytes &&
                again->port == whole.client->port);
        const std::string address = pushhub::detail::toString(whole.client->address);
        const std::string family = whole.client->address.isV4() ? "TCP4 " : "TCP6 ";
        const ProxyHeader line =
            parseProxyHeader("PROXY " + family + address + " " + address + " " +
                             std::to_string(whole.client->port) + " 1\r\n");
        require(line.client && line.client->address.bytes == whole.client->address.bytes);
    }
    pushhub::test::Cuts cuts(static_cast<unsigned>(size), 40);
    for (std::size_t end = 0; end < bytes.size(); end += cuts.next()) {
        const ProxyHeader part = parseProxyHeader(bytes.substr(0, end));
        require(part.status == Status::incomplete ||
                (part.status == whole.status && part.consumed == whole.consumed));
    }
    return 0;
}

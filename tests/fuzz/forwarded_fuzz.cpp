// Feeds arbitrary text to what reads X-Forwarded-For, Forwarded and Origin. The input is split at
// line feeds: peer, origin, host, and the rest is the value of the forwarding header.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <pushhub/http/forwarded.hpp>
#include <pushhub/http/origin.hpp>
#include <pushhub/http/request.hpp>

namespace {

using pushhub::HttpRequest;
using pushhub::OriginPolicy;
using pushhub::ProxyTrust;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

std::optional<HttpRequest> requestWith(std::string_view name, const std::string& value) {
    if (value.find_first_of("\r\n") != std::string::npos) {
        return std::nullopt;  // it would be several headers
    }
    HttpRequest request;
    const auto result = HttpRequest::parse(
        "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(name) + ": " + value + "\r\n\r\n", request);
    if (result.status != pushhub::HttpParseResult::State::complete) {
        return std::nullopt;
    }
    return request;
}

void checkForwarded(const std::string& peer, const std::string& value) {
    static const ProxyTrust everybody({"0.0.0.0/0", "::/0"});
    static const ProxyTrust proxies({"10.0.0.0/8", "::1"});
    for (const bool plain : {true, false}) {
        const std::string_view name = plain ? "X-Forwarded-For" : "Forwarded";
        const auto request = requestWith(name, value);
        if (!request) {
            continue;
        }
        for (const ProxyTrust* trust : {&everybody, &proxies}) {
            const std::string client = trust->clientAddress(peer, *request);
            if (client != peer) {
                const auto endpoint = pushhub::detail::parseIpEndpoint(client);
                require(endpoint && pushhub::detail::toString(*endpoint) == client);
            }
        }
        // Whatever stands before it cannot hide what the nearest proxy says.
        const auto appended =
            requestWith(name, value + (plain ? ", 198.51.100.1" : ", for=198.51.100.1"));
        require(appended && proxies.clientAddress("10.0.0.1:1", *appended) == "198.51.100.1");
        require(proxies.clientAddress("10.1.1.1", *appended) == "198.51.100.1");
        require(proxies.clientAddress("11.0.0.1:1", *appended) == "11.0.0.1:1");
    }
}

void checkOrigin(const std::string& origin, const std::string& host) {
    static const OriginPolicy any({"*"});
    static const OriginPolicy some({"https://app.example.com", "https://*.example.org:8443"});
    const auto verdict = any.judge(origin);
    require((verdict == OriginPolicy::Verdict::absent) == origin.empty());
    require(origin != "null" || verdict == OriginPolicy::Verdict::refused);
    if (some.judge(origin) == OriginPolicy::Verdict::allowed) {
        require(verdict == OriginPolicy::Verdict::allowed);
    }
    if (verdict == OriginPolicy::Verdict::allowed) {
        require(OriginPolicy({origin}).judge(origin) == OriginPolicy::Verdict::allowed);
    }
    if (pushhub::isSameOrigin(origin, host)) {
        require(verdict != OriginPolicy::Verdict::refused);
        require(origin.empty() ||
                OriginPolicy({"http://" + host, "https://" + host}).judge(origin) ==
                    OriginPolicy::Verdict::allowed);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::array<std::string, 3> parts;
    for (std::string& part : parts) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        part.assign(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    checkForwarded(parts[0], std::string(rest));
    checkOrigin(parts[1], parts[2]);
    return 0;
}

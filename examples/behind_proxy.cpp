// A hub behind nginx (nginx.conf) or HAProxy (haproxy.cfg): the proxy is trusted to report the
// client's address, and pings keep the connection open, because proxies close silent connections.

#include <pushhub/pushhub.hpp>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
    pushhub::Options options;
    options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
    // X-Forwarded-For is trusted only from these addresses.
    options.trustedProxies = {"127.0.0.1", "::1"};
    // HAProxy's send-proxy and AWS NLB name the client before its first byte.
    options.proxyProtocol = argc > 3 && std::string_view(argv[3]) == "proxy-protocol";
    // Well below the proxy's timeout for a silent connection.
    options.pingInterval = std::chrono::milliseconds(argc > 2 ? std::stol(argv[2]) : 30'000);

    pushhub::PushHub<> hub{options};
    hub.onOpen(
        [](pushhub::SessionPtr session) { session->send("you are " + session->remoteAddress()); });
    hub.onMessage([&](pushhub::SessionPtr, std::string_view text) { hub.sendAll(text); });
    hub.start();
    std::cout << "listening on ws://127.0.0.1:" << hub.port() << "/websocket/{userId}" << std::endl;
    hub.run();
}

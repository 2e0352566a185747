#pragma once

#include <string>
#include <string_view>

namespace pushhub::test {

inline std::string handshakeRequest(std::string_view target, std::string_view headers = {}) {
    std::string request = "GET ";
    request.append(target).append(
        " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n");
    return request.append(headers).append("\r\n");
}

}  // namespace pushhub::test

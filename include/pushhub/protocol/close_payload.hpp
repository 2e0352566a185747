#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <pushhub/close_code.hpp>

namespace pushhub::protocol {

/// Payload of a close frame, RFC 6455 section 5.5.1: the code in network order, then the reason;
/// nothing at all for `noStatus`.
inline std::string closePayload(CloseCode code, std::string_view reason) {
    std::string payload;
    if (code != CloseCode::noStatus) {
        const auto number = static_cast<std::uint16_t>(code);
        payload = {static_cast<char>(number >> 8), static_cast<char>(number & 0xFF)};
        payload.append(reason);
    }
    return payload;
}

/// Splits such a payload: its code, and `payload` becomes the reason. `noStatus` for one that is
/// too short to have a code.
inline CloseCode takeCloseCode(std::string_view& payload) noexcept {
    if (payload.size() < 2) {
        return CloseCode::noStatus;
    }
    const auto byteAt = [payload](std::size_t i) {
        return static_cast<unsigned>(static_cast<unsigned char>(payload[i]));
    };
    const auto code = static_cast<CloseCode>(byteAt(0) << 8 | byteAt(1));
    payload.remove_prefix(2);
    return code;
}

}  // namespace pushhub::protocol

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <pushhub/close_code.hpp>
#include <pushhub/protocol/frame_header.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub::protocol {

/// `text` as the reason of a close: bytes that are no UTF-8 are replaced by U+FFFD, and what is
/// longer than 123 bytes is cut at a character.
inline std::string closeReason(std::string_view text) {
    constexpr std::string_view replacement = "\xef\xbf\xbd";
    std::string reason;
    while (!text.empty()) {
        std::size_t length = 1;  // of the next character
        while (length < std::min<std::size_t>(text.size(), 4) &&
               !isValidUtf8(text.substr(0, length))) {
            ++length;
        }
        const bool valid = isValidUtf8(text.substr(0, length));
        length = valid ? length : 1;
        const std::string_view next = valid ? text.substr(0, length) : replacement;
        if (reason.size() + next.size() > maxCloseReason) {
            break;
        }
        reason.append(next);
        text.remove_prefix(length);
    }
    return reason;
}

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

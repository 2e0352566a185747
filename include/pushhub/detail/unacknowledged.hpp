#pragma once

#include <cstdint>
#include <optional>

#if defined(__linux__)
#include <linux/sockios.h>
#include <sys/ioctl.h>
#elif defined(__APPLE__)
#include <sys/socket.h>
#endif

namespace pushhub::detail {

/// Bytes that a TCP socket has taken and the peer's system has not acknowledged. Nothing where the
/// operating system does not tell.
template <class Handle>
std::optional<std::uint32_t> unacknowledged([[maybe_unused]] Handle socket) noexcept {
#if defined(__linux__)
    int bytes = 0;
    if (::ioctl(socket, SIOCOUTQ, &bytes) == 0) {
        return static_cast<std::uint32_t>(bytes);
    }
#elif defined(__APPLE__)
    int bytes = 0;
    socklen_t size = sizeof(bytes);
    if (::getsockopt(socket, SOL_SOCKET, SO_NWRITE, &bytes, &size) == 0) {
        return static_cast<std::uint32_t>(bytes);
    }
#endif
    return std::nullopt;
}

}  // namespace pushhub::detail

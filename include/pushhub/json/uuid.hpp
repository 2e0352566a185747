#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <random>
#include <string>
#include <system_error>

#if defined(__linux__)
#include <sys/random.h>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
#include <stdlib.h>
#define PUSHHUB_HAS_ARC4RANDOM 1
#endif

namespace pushhub::json {
namespace detail {

/// Fills `bytes` from the system's random source. Throws std::system_error if it has none.
inline void fillRandom(std::array<unsigned char, 16>& bytes) {
#if defined(__linux__)
    // Up to 256 bytes come whole or not at all: a signal may interrupt only before the first byte.
    for (;;) {
        const auto got = ::getrandom(bytes.data(), bytes.size(), 0);
        if (got >= 0) {
            return;
        }
        if (errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "getrandom");
        }
    }
#elif defined(PUSHHUB_HAS_ARC4RANDOM)
    ::arc4random_buf(bytes.data(), bytes.size());
#else
    std::random_device device;
    for (unsigned char& byte : bytes) {
        byte = static_cast<unsigned char>(device() & 0xffU);
    }
#endif
}

}  // namespace detail

/// A random UUID, version 4 (RFC 9562, section 5.4), in lower case:
/// "0f8fad5b-d9cb-469f-a165-70867728950e". 122 bits come from the system's random source at each
/// call, well under a microsecond; nothing is kept between calls, so any thread may call it and a
/// forked process shares nothing with its parent. Throws std::system_error if the system has no
/// random source.
inline std::string uuidV4() {
    std::array<unsigned char, 16> bytes{};
    detail::fillRandom(bytes);
    bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x40U);  // version 4
    bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);  // variant of RFC 9562

    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text += '-';
        }
        text += digits[bytes[i] >> 4U];
        text += digits[bytes[i] & 0x0fU];
    }
    return text;
}

}  // namespace pushhub::json

#undef PUSHHUB_HAS_ARC4RANDOM

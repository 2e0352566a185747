#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <system_error>

#include <pushhub/detail/ascii.hpp>

#if defined(__linux__)
#include <pthread.h>
#include <sys/random.h>
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__)
#include <stdlib.h>
#define PUSHHUB_HAS_ARC4RANDOM 1
#endif

namespace pushhub::json {
namespace detail {

#if defined(__linux__)

// What a thread keeps ready, fork() copies: parent and child would go on to hand out the same
// UUIDs. So a child counts this up, the only state shared between threads.
inline std::atomic<unsigned> forkCount{0};

/// Random bytes for one thread, fetched for 16 UUIDs at a time: most of the price of a small
/// getrandom is the call.
class RandomBuffer {
public:
    /// Throws std::system_error if the system has no random source.
    void take(std::array<unsigned char, 16>& bytes) {
        static const int error = ::pthread_atfork(nullptr, nullptr, [] { forkCount.fetch_add(1); });
        if (error != 0) {
            throw std::system_error(error, std::generic_category(), "pthread_atfork");
        }
        const unsigned forks = forkCount.load(std::memory_order_relaxed);
        if (used_ == buffer_.size() || forks != forks_) {
            fill();
            forks_ = forks;
        }
        std::memcpy(bytes.data(), buffer_.data() + used_, bytes.size());
        used_ += bytes.size();
    }

private:
    void fill() {
        used_ = buffer_.size();
        // Up to 256 bytes come whole or not at all: a signal may only interrupt before the first.
        while (::getrandom(buffer_.data(), buffer_.size(), 0) < 0) {
            if (errno != EINTR) {
                throw std::system_error(errno, std::generic_category(), "getrandom");
            }
        }
        used_ = 0;
    }

    std::array<unsigned char, 256> buffer_{};
    std::size_t used_ = buffer_.size();
    unsigned forks_ = 0;
};

#endif

inline void fillRandom(std::array<unsigned char, 16>& bytes) {
#if defined(__linux__)
    thread_local RandomBuffer buffer;
    buffer.take(bytes);
#elif defined(PUSHHUB_HAS_ARC4RANDOM)
    ::arc4random_buf(bytes.data(), bytes.size());
#else
    std::random_device device;
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint32_t)) {
        const std::uint32_t random = device();
        std::memcpy(bytes.data() + i, &random, sizeof random);
    }
#endif
}

}  // namespace detail

/// A random UUID, version 4 (RFC 9562, section 5.4), in lower case:
/// "0f8fad5b-d9cb-469f-a165-70867728950e". Its 122 bits come from the system's random source, of
/// which each thread keeps a few bytes ready. Any thread; a child after fork() continues with
/// bytes of its own. Throws std::system_error if the system has no random source.
inline std::string uuidV4() {
    std::array<unsigned char, 16> bytes{};
    detail::fillRandom(bytes);
    bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x40U);  // version 4
    bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);  // variant of RFC 9562

    constexpr std::string_view digits = pushhub::detail::hexDigits;
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

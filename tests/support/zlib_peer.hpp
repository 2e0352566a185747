#pragma once

// The other end of permessage-deflate, with zlib and without the library's help.

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pushhub::test {

inline Bytef* zlibBytes(std::string_view text) {
    return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

/// A message as a client compresses it: flushed, without the 00 00 ff ff at its end. `cuts` says
/// after how many bytes it is flushed in between, which makes another block.
inline std::string deflated(std::string_view payload, int windowBits = 15, int level = 6,
                            std::size_t cuts = std::string::npos) {
    z_stream stream{};
    if (::deflateInit2(&stream, level, Z_DEFLATED, -windowBits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return {};
    }
    std::string out;
    do {
        const std::string_view part = payload.substr(0, cuts);
        payload.remove_prefix(part.size());
        stream.next_in = zlibBytes(part);
        stream.avail_in = static_cast<uInt>(part.size());
        do {
            char buffer[4096];
            stream.next_out = reinterpret_cast<Bytef*>(buffer);
            stream.avail_out = sizeof buffer;
            ::deflate(&stream, Z_SYNC_FLUSH);
            out.append(buffer, sizeof buffer - stream.avail_out);
        } while (stream.avail_out == 0);
    } while (!payload.empty());
    ::deflateEnd(&stream);
    out.resize(out.size() - 4);
    return out;
}

/// What a client reads that has a window of that many bits and no more; nothing if it cannot.
inline std::optional<std::string> inflated(std::string_view message, int windowBits = 15) {
    z_stream stream{};
    if (::inflateInit2(&stream, -windowBits) != Z_OK) {
        return std::nullopt;
    }
    std::string in(message);
    in.append("\x00\x00\xff\xff", 4);
    stream.next_in = zlibBytes(in);
    stream.avail_in = static_cast<uInt>(in.size());
    std::string out;
    int result = Z_OK;
    do {
        // Pieces much smaller than the window: otherwise zlib looks into the output, not into it.
        char buffer[64];
        stream.next_out = reinterpret_cast<Bytef*>(buffer);
        stream.avail_out = sizeof buffer;
        result = ::inflate(&stream, Z_SYNC_FLUSH);
        out.append(buffer, sizeof buffer - stream.avail_out);
    } while (result == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0));
    ::inflateEnd(&stream);
    return result == Z_OK || result == Z_BUF_ERROR ? std::optional(out) : std::nullopt;
}

/// "f2 48" as bytes.
inline std::string hex(std::string_view text) {
    std::string bytes;
    for (std::size_t at = 0; at + 1 < text.size(); at += 3) {
        bytes += static_cast<char>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16));
    }
    return bytes;
}

/// Text that gets smaller, but not absurdly so.
inline std::string someText(std::size_t size) {
    std::string text;
    for (unsigned i = 0; text.size() < size; ++i) {
        text += "{\"symbol\":\"S" + std::to_string(i * 7919U % 1000U) +
                "\",\"price\":" + std::to_string(i * 31U % 10007U) + "}";
    }
    text.resize(size);
    return text;
}

/// Bytes that do not get smaller.
inline std::string noise(std::size_t size) {
    std::string bytes;
    std::uint32_t state = 12345;
    while (bytes.size() < size) {
        state = state * 1664525U + 1013904223U;
        bytes += static_cast<char>(state >> 24);
    }
    return bytes;
}

}  // namespace pushhub::test

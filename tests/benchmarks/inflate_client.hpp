// Inflating for the load client: one message at a time, without a context from earlier ones.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#ifdef PUSHHUB_BENCH_DEFLATE

#include <zlib.h>

class Inflater {
public:
    Inflater() {
        if (::inflateInit2(&stream_, -MAX_WBITS) != Z_OK) {
            throw std::runtime_error("no memory for zlib");
        }
    }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() { ::inflateEnd(&stream_); }

    /// Inflates the payload of a message as permessage-deflate has it. Throws if that is none.
    std::string inflate(std::string message) {
        message.append("\0\0\xFF\xFF", 4);
        ::inflateReset(&stream_);
        stream_.next_in = reinterpret_cast<Bytef*>(message.data());
        stream_.avail_in = static_cast<uInt>(message.size());
        std::string out;
        char piece[16 * 1024];
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(piece);
            stream_.avail_out = sizeof piece;
            const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
            if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
                throw std::runtime_error("a message does not inflate");
            }
            out.append(piece, sizeof piece - stream_.avail_out);
        } while (stream_.avail_out == 0);
        return out;
    }

private:
    z_stream stream_{};
};

#else

class Inflater {
public:
    Inflater() { throw std::runtime_error("built without zlib"); }
    std::string inflate(std::string message) { return message; }
};

#endif

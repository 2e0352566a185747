// How long a piece of work takes, and what zlib takes by itself.

#pragma once

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <string>
#include <string_view>

#ifdef PUSHHUB_BENCH_DEFLATE
#include <zlib.h>
#endif

namespace bench {

/// Microseconds that this thread has had a core.
inline double cpuTime() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

/// Microseconds per call, the best of some rounds: what it costs where nothing disturbs.
template <class Function>
double cost(Function function, int calls) {
    double best = 1e9;
    for (int round = 0; round < 15; ++round) {
        const double start = cpuTime();
        for (int i = 0; i < calls; ++i) {
            function();
        }
        best = std::min(best, (cpuTime() - start) / calls);
    }
    return best;
}

#ifdef PUSHHUB_BENCH_DEFLATE

/// Microseconds for one message, with the settings of permessageDeflate() and one stream for all.
inline double deflateCost(std::string_view text) {
    z_stream stream{};
    if (::deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error("no memory for zlib");
    }
    std::string out(text.size() + 100, '\0');
    const double us = cost(
        [&] {
            ::deflateReset(&stream);
            stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
            stream.avail_in = static_cast<uInt>(text.size());
            stream.next_out = reinterpret_cast<Bytef*>(out.data());
            stream.avail_out = static_cast<uInt>(out.size());
            ::deflate(&stream, Z_SYNC_FLUSH);
        },
        300);
    ::deflateEnd(&stream);
    return us;
}

#endif

}  // namespace bench

#pragma once

// What fuzzers of frames share.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace pushhub::test {

/// Ends the process, which is a finding, unless that holds.
inline void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

/// Where to cut: a small generator, so that the input steers it and runs repeat.
class Cuts {
public:
    Cuts(unsigned seed, std::size_t most) : state_(seed * 2654435761U + 1), most_(most) {}
    std::size_t next() {
        state_ = state_ * 1664525U + 1013904223U;
        return 1 + (state_ >> 8) % most_;
    }

private:
    std::uint32_t state_;
    std::size_t most_;
};

}  // namespace pushhub::test

#pragma once

#include <pushhub/options.hpp>

namespace pushhub::test {

/// Two loops, and a port that is free.
inline Options anyPort() {
    Options options;
    options.port = 0;
    options.loops = 2;
    return options;
}

}  // namespace pushhub::test

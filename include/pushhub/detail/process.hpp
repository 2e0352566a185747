#pragma once

#ifndef _WIN32
#include <unistd.h>
#endif

namespace pushhub::detail {

/// Tells a process from its parent; the same for all where there is no fork.
inline long currentProcess() noexcept {
#ifdef _WIN32
    return 1;
#else
    return ::getpid();
#endif
}

}  // namespace pushhub::detail

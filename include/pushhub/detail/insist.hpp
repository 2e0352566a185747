#pragma once

#include <chrono>
#include <new>
#include <thread>

namespace pushhub::detail {

/// Calls `function` until there is memory for it: for what must happen, such as the end of a hub.
/// A call that throws must have done nothing.
template <class Function>
auto insist(Function function) {
    for (;;) {
        try {
            return function();
        } catch (const std::bad_alloc&) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
}

}  // namespace pushhub::detail

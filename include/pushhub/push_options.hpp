#pragma once

#include <string>

#include <pushhub/options.hpp>

namespace pushhub {

/// Settings of one push that differ from the hub's options.
struct PushOptions {
    /// The subject of the message, such as "EURUSD". If an older push with the same key waits in a
    /// session's queue, this one replaces it there. "": no key.
    std::string key{};

    /// Overrides `Options::whenQueueFull`. By default a push with a key uses `conflate`.
    OverflowPolicy whenQueueFull = OverflowPolicy::inherit;

    /// Whether the message may be compressed, see `Options::compression`. Set it to false for data
    /// that is already compressed, and if the length must not reveal a secret.
    bool compress = true;
};

}  // namespace pushhub

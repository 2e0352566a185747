#pragma once

#include <string>

#include <pushhub/options.hpp>

namespace pushhub {

/// How one push differs from what the hub's options say.
struct PushOptions {
    /// What the message is about, such as "EURUSD": while an older push with the same key waits in
    /// a session's queue, this one takes its place there. "" is no key.
    std::string key{};

    /// Instead of `Options::whenQueueFull`. A push with a key conflates if nothing is said here.
    OverflowPolicy whenQueueFull = OverflowPolicy::inherit;

    /// Whether it may be compressed, see `Options::compression`. False for what is compressed
    /// already, and where the length of a secret must not show.
    bool compress = true;
};

}  // namespace pushhub

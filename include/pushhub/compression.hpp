#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pushhub {

/// Reads the compressed messages of one connection at a time (RFC 7692 section 7.2.2). It must read
/// any data that a client may send after `client_no_context_takeover` was agreed on, so that one
/// reader can serve many connections in turn. Not thread-safe.
class MessageInflater {
public:
    enum class Outcome : std::uint8_t { good, tooBig, broken, noMemory };

    virtual ~MessageInflater() = default;

    /// Starts a new message and discards all earlier state.
    virtual void reset() noexcept = 0;

    /// Inflates `piece` of the compressed message and appends the result to `out`. `out` grows to
    /// at most `most` bytes; if that is not enough, the result is `tooBig`.
    virtual Outcome inflate(std::string_view piece, std::string& out,
                            std::size_t most) noexcept = 0;

    /// True where the message may end: between two blocks.
    virtual bool complete() const noexcept = 0;
};

/// The extension permessage-deflate (RFC 7692), see `Options::compression`. `permessageDeflate` in
/// deflate.hpp creates one with zlib. Neither side keeps its context from one message to the next
/// (`no_context_takeover`). Any thread.
class MessageCompression {
public:
    struct Agreement {
        std::string answer;   ///< Value of Sec-WebSocket-Extensions in the 101.
        unsigned window = 0;  ///< Window bits for messages to this client, 8 to 15.
    };

    virtual ~MessageCompression() = default;

    /// Chooses one of the `offers`, which are all values of a request's Sec-WebSocket-Extensions
    /// joined with commas. Empty if none is acceptable.
    virtual std::optional<Agreement> negotiate(std::string_view offers) const = 0;

    /// A message compressed with a window of that many bits, without the trailing 00 00 ff ff; ""
    /// if it is better sent uncompressed.
    virtual std::string compress(std::string_view payload, unsigned window) const noexcept = 0;

    /// Null if out of memory.
    virtual std::unique_ptr<MessageInflater> makeInflater() const noexcept = 0;
};

}  // namespace pushhub

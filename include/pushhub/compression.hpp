#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pushhub {

/// Reads the compressed messages of one connection at a time (RFC 7692 section 7.2.2). It has to
/// understand whatever a client may send that was told `client_no_context_takeover`, so that one
/// reader serves connection after connection. Not thread-safe.
class MessageInflater {
public:
    enum class Outcome : std::uint8_t { good, tooBig, broken, noMemory };

    virtual ~MessageInflater() = default;

    /// Forgets what came before: a message begins.
    virtual void reset() noexcept = 0;

    /// Appends to `out` what `piece` of the compressed message stands for. `out` grows to `most`
    /// bytes and no further: beyond it, `tooBig`.
    virtual Outcome inflate(std::string_view piece, std::string& out,
                            std::size_t most) noexcept = 0;

    /// True where the message may end: between two blocks.
    virtual bool complete() const noexcept = 0;
};

/// The extension permessage-deflate (RFC 7692) as a hub needs it, see `Options::compression`.
/// `permessageDeflate` in deflate.hpp makes one with zlib. Neither side keeps its context from one
/// message to the next (`no_context_takeover`). Any thread.
class MessageCompression {
public:
    struct Agreement {
        std::string answer;   ///< Value of Sec-WebSocket-Extensions in the 101.
        unsigned window = 0;  ///< Bits of the window for messages to this client, 8 to 15.
    };

    virtual ~MessageCompression() = default;

    /// Picks one of the `offers`, which are all values of a request's Sec-WebSocket-Extensions
    /// joined with commas. Nothing if none can be accepted.
    virtual std::optional<Agreement> negotiate(std::string_view offers) const = 0;

    /// A message compressed with a window of that many bits, without the 00 00 ff ff at the end;
    /// "" if it is better sent as it is.
    virtual std::string compress(std::string_view payload, unsigned window) const noexcept = 0;

    /// Null if memory is short.
    virtual std::unique_ptr<MessageInflater> makeInflater() const noexcept = 0;
};

}  // namespace pushhub

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <pushhub/compression.hpp>
#include <pushhub/error.hpp>

namespace pushhub::protocol {

/// Inflates the compressed messages of one client after the other (RFC 7692 section 7.2.2), and
/// bounds both what they become and what they are made of. Its inflater is made for the first.
class Inflation {
public:
    /// Null: the client may not compress. Between messages.
    void use(const MessageCompression* compression) noexcept { compression_ = compression; }
    bool agreed() const noexcept { return compression_ != nullptr; }

    /// Most compressed bytes that a message of `most` bytes can need in one piece: what does not
    /// get smaller gets a little larger.
    static constexpr std::uint64_t maxCompressed(std::uint64_t most) noexcept {
        return most + most / 16 + 64;
    }

    /// A message begins that may have `most` bytes when it is inflated.
    std::error_code start(std::size_t most) noexcept {
        most_ = most;
        compressedLeft_ = maxFragmentation * maxCompressed(most);
        if (inflater_) {
            inflater_->reset();
        } else {
            inflater_ = compression_->makeInflater();
        }
        return inflater_ ? std::error_code() : std::make_error_code(std::errc::not_enough_memory);
    }

    /// Appends what a piece of the message stands for.
    std::error_code inflate(std::string_view piece, std::string& out) {
        if (piece.size() > compressedLeft_) {
            return Errc::inboundTooBig;
        }
        compressedLeft_ -= piece.size();
        switch (inflater_->inflate(piece, out, most_)) {
            case MessageInflater::Outcome::good:
                break;
            case MessageInflater::Outcome::tooBig:
                return Errc::inboundTooBig;
            case MessageInflater::Outcome::broken:
                return Errc::brokenCompression;
            case MessageInflater::Outcome::noMemory:
                return std::make_error_code(std::errc::not_enough_memory);
        }
        return {};
    }

    /// The end of the message. It must end between two blocks, be it before or behind the
    /// 00 00 ff ff that its sender left out, which must add nothing to it.
    std::error_code finish(std::string& out) {
        const bool between = inflater_->complete();
        const std::size_t before = out.size();
        if (const std::error_code error = inflate({"\0\0\xff\xff", 4}, out)) {
            return error;
        }
        const bool whole = out.size() == before && (between || inflater_->complete());
        return whole ? std::error_code() : Errc::brokenCompression;
    }

private:
    // A message that is compressed byte by byte needs seven bytes for each.
    static constexpr std::uint64_t maxFragmentation = 8;

    const MessageCompression* compression_ = nullptr;
    std::unique_ptr<MessageInflater> inflater_;
    std::size_t most_ = 0;
    std::uint64_t compressedLeft_ = 0;
};

}  // namespace pushhub::protocol

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

#include <pushhub/compression.hpp>
#include <pushhub/protocol/extensions.hpp>

namespace pushhub {

/// Settings of `permessageDeflate`.
struct DeflateOptions {
    /// zlib's compression level: 1 (fastest) to 9.
    int level = 6;

    /// Smaller messages, in bytes, are sent uncompressed.
    std::size_t minimumSize = 256;

    /// Maximum window for messages to clients, 9 to 15 bits; a client may request a smaller one. A
    /// smaller window uses less memory while a message is compressed, and compresses less.
    int windowBits = 15;

    /// Memory that zlib uses for its lookup tables, 1 to 9.
    int memLevel = 8;

    /// Throws std::invalid_argument for the first option that is out of range.
    void validate() const {
        const auto checkOption = [](const char* option, int value, int least, int most) {
            if (value < least || value > most) {
                throw std::invalid_argument(
                    "pushhub: option DeflateOptions::" + std::string(option) + " is " +
                    std::to_string(value) + ", expected from " + std::to_string(least) + " to " +
                    std::to_string(most));
            }
        };
        checkOption("level", level, 1, 9);
        checkOption("windowBits", windowBits, 9, 15);
        checkOption("memLevel", memLevel, 1, 9);
    }
};

namespace detail {

/// zlib's compressor for one message at a time.
class Deflater {
public:
    Deflater(const DeflateOptions& options, unsigned window) noexcept
        : ready_(::deflateInit2(&stream_, options.level, Z_DEFLATED, -static_cast<int>(window),
                                options.memLevel, Z_DEFAULT_STRATEGY) == Z_OK) {}
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;
    ~Deflater() { ::deflateEnd(&stream_); }

    /// See `MessageCompression::compress`, but throws std::bad_alloc.
    std::string compress(std::string_view payload) {
        if (!ready_ || ::deflateReset(&stream_) != Z_OK) {
            return {};
        }
        // Room for what is smaller by a byte, the tail that is cut off, and a byte to see the end.
        std::string out(payload.size() + tail, '\0');
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
        stream_.avail_in = static_cast<uInt>(payload.size());
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        if (::deflate(&stream_, Z_SYNC_FLUSH) != Z_OK || stream_.avail_out == 0) {
            return {};
        }
        out.resize(out.size() - stream_.avail_out - tail);
        return out;
    }

private:
    static constexpr std::size_t tail = 4;  // 00 00 ff ff, RFC 7692 section 7.2.1

    z_stream stream_{};
    const bool ready_;
};

/// zlib's reader of one connection's messages.
class Inflater final : public MessageInflater {
public:
    /// Null if out of memory.
    static std::unique_ptr<Inflater> make() noexcept {
        try {
            std::unique_ptr<Inflater> inflater(new Inflater());
            return inflater->ready_ ? std::move(inflater) : nullptr;
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() override { ::inflateEnd(&stream_); }

    void reset() noexcept override {
        ::inflateReset(&stream_);
        stream_.data_type = betweenBlocks;
    }

    bool complete() const noexcept override { return (stream_.data_type & betweenBlocks) != 0; }

    Outcome inflate(std::string_view piece, std::string& out, std::size_t most) noexcept override {
        std::array<char, 16 * 1024> buffer;
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
        stream_.avail_in = static_cast<uInt>(piece.size());
        bool full = false;  // there may be more to put out
        while (stream_.avail_in > 0 || full) {
            // One byte beyond the limit tells that the message is too large.
            const std::size_t room = (std::min)(buffer.size(), most - out.size() + 1);
            stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
            stream_.avail_out = static_cast<uInt>(room);
            const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
            const std::size_t size = room - stream_.avail_out;
            full = stream_.avail_out == 0 && result != Z_STREAM_END;
            if (size > most - out.size()) {
                return Outcome::tooBig;
            }
            if (result == Z_MEM_ERROR || !append(out, {buffer.data(), size}, most)) {
                return Outcome::noMemory;
            }
            if (result == Z_STREAM_END) {
                // A final block (RFC 7692 section 7.2.3.4): others may follow, at the next byte,
                // and refer to what was before.
                ::inflateResetKeep(&stream_);
                stream_.data_type = betweenBlocks;
            } else if (result != Z_OK && result != Z_BUF_ERROR) {
                return Outcome::broken;
            }
        }
        return Outcome::good;
    }

private:
    // As `inflate` says it in data_type, when it was not asked to stop there.
    static constexpr int betweenBlocks = 128;

    Inflater() noexcept : ready_(::inflateInit2(&stream_, -MAX_WBITS) == Z_OK) {
        stream_.data_type = betweenBlocks;
    }

    // A string that grows by itself doubles, beyond the limit too: so in steps that end there.
    static bool append(std::string& out, std::string_view bytes, std::size_t most) noexcept {
        const std::size_t needed = out.size() + bytes.size();
        try {
            if (needed > out.capacity()) {
                std::size_t step = most;
                while (step / 2 >= needed) {
                    step /= 2;
                }
                out.reserve(step);
            }
            out.append(bytes);
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    z_stream stream_{};
    const bool ready_;
};

class PermessageDeflate final : public MessageCompression {
public:
    explicit PermessageDeflate(const DeflateOptions& options) : options_(options) {
        options.validate();
    }

    std::optional<Agreement> negotiate(std::string_view offers) const override {
        std::optional<Agreement> agreed;
        Offer offer;
        const auto accept = [&] {
            if (offer.good && !agreed) {
                agreed = answer(offer);
            }
        };
        const bool wellFormed = protocol::readExtensions(
            offers,
            [&](std::string_view extension) {
                accept();
                offer = Offer();
                offer.good = extension == "permessage-deflate";
            },
            [&](std::string_view name, const std::optional<std::string>& value) {
                offer.good = offer.good && offer.take(name, value);
            });
        accept();
        return wellFormed ? agreed : std::nullopt;
    }

    std::string compress(std::string_view payload, unsigned window) const noexcept override {
        if (payload.empty() || payload.size() < options_.minimumSize) {
            return {};
        }
        try {
            std::unique_ptr<Deflater> deflater = take(window);
            std::string compressed = deflater->compress(payload);
            give(window, std::move(deflater));
            return compressed;
        } catch (const std::bad_alloc&) {
            return {};
        }
    }

    std::unique_ptr<MessageInflater> makeInflater() const noexcept override {
        return Inflater::make();
    }

private:
    // RFC 7692 section 7.1.
    struct Offer {
        // False if the offer must be declined.
        bool take(std::string_view name, const std::optional<std::string>& value) {
            unsigned parameter = 0;
            while (parameter < names.size() && names[parameter] != name) {
                ++parameter;
            }
            if (parameter == names.size() || (seen >> parameter & 1U) != 0) {
                return false;
            }
            seen |= 1U << parameter;
            const unsigned bits = value ? windowBits(*value) : 0;
            switch (parameter) {
                case 0:  // zlib's compressor has no window of 8 bits
                    serverWindow = bits;
                    return bits > 8;
                case 1:  // its other side reads every window
                    return !value || bits != 0;
                default:
                    return !value;
            }
        }

        // A number from 8 to 15 without leading zeros; 0 if it is none.
        static unsigned windowBits(std::string_view text) {
            const bool one = text.size() == 1 && (text == "8" || text == "9");
            const bool two = text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5';
            return one   ? static_cast<unsigned>(text[0] - '0')
                   : two ? static_cast<unsigned>(10 + text[1] - '0')
                         : 0;
        }

        static constexpr std::array<std::string_view, 4> names{
            "server_max_window_bits", "client_max_window_bits", "server_no_context_takeover",
            "client_no_context_takeover"};

        bool good = false;
        unsigned serverWindow = 0;  // 0: any
        unsigned seen = 0;          // a bit for each of the names
    };

    Agreement answer(const Offer& offer) const {
        Agreement agreed{
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            static_cast<unsigned>(options_.windowBits)};
        if (offer.serverWindow != 0) {
            agreed.window = (std::min)(agreed.window, offer.serverWindow);
            agreed.answer += "; server_max_window_bits=" + std::to_string(agreed.window);
        }
        return agreed;
    }

    // Threads that push at the same time need a compressor each; more than a few are not kept.
    static constexpr std::size_t maxSpare = 4;

    std::unique_ptr<Deflater> take(unsigned window) const {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            auto& spare = spare_[window];
            if (!spare.empty()) {
                auto deflater = std::move(spare.back());
                spare.pop_back();
                return deflater;
            }
        }
        return std::make_unique<Deflater>(options_, window);
    }

    void give(unsigned window, std::unique_ptr<Deflater> deflater) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto& spare = spare_[window];
        if (spare.size() < maxSpare) {
            spare.push_back(std::move(deflater));
        }
    }

    const DeflateOptions options_;
    mutable std::mutex mutex_;
    mutable std::array<std::vector<std::unique_ptr<Deflater>>, MAX_WBITS + 1> spare_;
};

}  // namespace detail

/// permessage-deflate (RFC 7692) with zlib, for `Options::compression`. Hubs may share one. Throws
/// std::invalid_argument naming the option and its value.
inline std::shared_ptr<const MessageCompression> permessageDeflate(
    const DeflateOptions& options = {}) {
    return std::make_shared<const detail::PermessageDeflate>(options);
}

}  // namespace pushhub

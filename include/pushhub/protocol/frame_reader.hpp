#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/compression.hpp>
#include <pushhub/config.hpp>
#include <pushhub/error.hpp>

#include <websocketpp/processors/hybi13.hpp>

namespace pushhub::protocol::detail {

// WebSocket++'s frame reader is a template over everything around it. Of that a server that reads
// frames needs only a place for the payload; the rest are stubs that its virtual functions name.

struct NoHttp {
    const std::string& get_header(const std::string&) const { return none; }
    std::string raw() const { return none; }

    std::string none;
};

struct NoRequest : NoHttp {};
struct NoResponse : NoHttp {};

struct NoRandom {
    std::uint32_t operator()() { return 0; }  // a server masks nothing
};

// Where the reader asks for inflated bytes. Negotiation and compression are done elsewhere.
class Inflation {
public:
    // Null: the client may not send compressed messages.
    void use(const MessageCompression* compression) noexcept { compression_ = compression; }

    // Most compressed bytes that a message of `most` bytes can need in one piece: what does not
    // get smaller gets a little larger.
    static constexpr std::size_t maxCompressed(std::size_t most) noexcept {
        return most + most / 16 + 64;
    }

    // A compressed message begins, of at most `most` bytes when it is inflated.
    void start(std::size_t most) noexcept {
        most_ = most;
        compressedLeft_ = maxFragmentation * maxCompressed(most);
        if (inflater_) {
            inflater_->reset();
        }
    }

    // At the end of a message: whether it was a whole one. It must end between two blocks, be it
    // before or behind the 00 00 ff ff that its sender left out, which must add nothing to it.
    bool complete() const noexcept { return complete_; }

    bool is_implemented() const { return false; }
    bool is_enabled() const { return compression_ != nullptr; }

    // For each piece of a compressed message, and at its end for 00 00 ff ff.
    std::error_code decompress(const std::uint8_t* data, std::size_t size, std::string& out) {
        if (size > compressedLeft_) {
            return Errc::inboundTooBig;
        }
        compressedLeft_ -= size;
        if (!inflater_) {
            inflater_ = compression_->makeInflater();
            if (!inflater_) {
                return std::make_error_code(std::errc::not_enough_memory);
            }
        }
        const bool between = inflater_->complete();
        const std::size_t before = out.size();
        switch (inflater_->inflate({reinterpret_cast<const char*>(data), size}, out, most_)) {
            case MessageInflater::Outcome::good:
                break;
            case MessageInflater::Outcome::tooBig:
                return Errc::inboundTooBig;
            case MessageInflater::Outcome::broken:
                return Errc::brokenCompression;
            case MessageInflater::Outcome::noMemory:
                return std::make_error_code(std::errc::not_enough_memory);
        }
        complete_ = out.size() == before && (between || inflater_->complete());
        return {};
    }

private:
    // A message that is compressed byte by byte needs seven bytes for each.
    static constexpr std::size_t maxFragmentation = 8;

    const MessageCompression* compression_ = nullptr;
    std::unique_ptr<MessageInflater> inflater_;  // from the first compressed message on
    std::size_t most_ = 0;
    std::size_t compressedLeft_ = 0;
    bool complete_ = false;
};

// A message as the frame reader fills it. Its storage is kept for the next one: see `Inbox`.
class InboundMessage {
public:
    // The reader resets and copies its pointer to a message, and owns it through that. Here the
    // engine owns both messages there can be at a time, so the pointer is a plain one.
    class ptr {
    public:
        ptr() = default;
        explicit ptr(InboundMessage* message) : message_(message) {}
        void reset() { message_ = nullptr; }
        InboundMessage* operator->() const { return message_; }
        explicit operator bool() const { return message_ != nullptr; }

    private:
        InboundMessage* message_ = nullptr;
    };

    using Opcode = websocketpp::frame::opcode::value;

    void start(Opcode opcode) {
        opcode_ = opcode;
        compressed_ = false;
        payload_.clear();
    }

    std::string& get_raw_payload() { return payload_; }
    Opcode get_opcode() const { return opcode_; }
    bool get_compressed() const { return compressed_; }
    void set_compressed(bool compressed) { compressed_ = compressed; }
    bool get_fin() const { return true; }
    void set_header(const std::string&) {}
    void set_opcode(Opcode opcode) { opcode_ = opcode; }
    void set_prepared(bool) {}

private:
    std::string payload_;
    Opcode opcode_ = websocketpp::frame::opcode::text;
    bool compressed_ = false;
};

// The two messages that can be under way: a control frame may stand between the fragments of a
// data message. No room is made on the word of a frame's header: memory grows as bytes arrive.
class Inbox {
public:
    using ptr = Inbox*;

    InboundMessage::ptr get_message(InboundMessage::Opcode opcode, std::size_t) {
        InboundMessage& message = websocketpp::frame::opcode::is_control(opcode) ? control_ : data_;
        message.start(opcode);
        return InboundMessage::ptr(&message);
    }

    void releaseMemory() {
        std::string().swap(data_.get_raw_payload());  // an assignment may keep the old storage
    }
    std::size_t capacity() { return data_.get_raw_payload().capacity(); }

private:
    InboundMessage data_;
    InboundMessage control_;
};

struct EngineConfig {
    using request_type = NoRequest;
    using response_type = NoResponse;
    using message_type = InboundMessage;
    using con_msg_manager_type = Inbox;
    using rng_type = NoRandom;
    using permessage_deflate_type = Inflation;
    static constexpr bool enable_extensions = false;
    static constexpr std::size_t max_message_size = 64 * 1024;
};

using FrameReader = websocketpp::processor::hybi13<EngineConfig>;

// Constructed before the reader that refers to them.
struct EngineParts {
    Inbox inbox;
    NoRandom random;
};

}  // namespace pushhub::protocol::detail

/// \cond
// What of the reader is not used. All of it is virtual, so it would be compiled with the rest; a
// member that is specialized is not.
namespace websocketpp::processor {

using PushhubConfig = pushhub::protocol::detail::EngineConfig;

template <>
inline lib::error_code hybi13<PushhubConfig>::validate_handshake(request_type const&) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::process_handshake(request_type const&,
                                                                std::string const&,
                                                                response_type&) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::client_handshake_request(
    request_type&, uri_ptr, std::vector<std::string> const&) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::validate_server_handshake_response(
    request_type const&, response_type&) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::extract_subprotocols(request_type const&,
                                                                   std::vector<std::string>&) {
    return {};
}
template <>
inline uri_ptr hybi13<PushhubConfig>::get_uri(request_type const&) const {
    return {};
}
template <>
inline std::pair<lib::error_code, std::string> hybi13<PushhubConfig>::negotiate_extensions(
    request_type const&) {
    return {};
}
template <>
inline std::pair<lib::error_code, std::string> hybi13<PushhubConfig>::negotiate_extensions(
    response_type const&) {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::prepare_data_frame(message_ptr, message_ptr) {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::prepare_ping(std::string const&, message_ptr) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::prepare_pong(std::string const&, message_ptr) const {
    return {};
}
template <>
inline lib::error_code hybi13<PushhubConfig>::prepare_close(close::status::value,
                                                            std::string const&, message_ptr) const {
    return {};
}

}  // namespace websocketpp::processor
/// \endcond

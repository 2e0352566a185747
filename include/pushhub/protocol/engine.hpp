#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pushhub/close_code.hpp>
#include <pushhub/compression.hpp>
#include <pushhub/config.hpp>
#include <pushhub/error.hpp>
#include <pushhub/frame.hpp>
#include <pushhub/protocol/close_payload.hpp>
#include <pushhub/protocol/frame_header.hpp>
#include <pushhub/protocol/utf8.hpp>

#include <websocketpp/processors/hybi13.hpp>

namespace pushhub::protocol {

/// What `Engine::read` came upon.
enum class EngineEvent : std::uint8_t {
    needMore,  ///< All bytes are used up, no message is complete.
    message,   ///< A text or binary message.
    ping,
    pong,
    close,     ///< A well-formed close frame.
    violation  ///< The connection must be closed: see `Engine::violation`.
};

/// How a client broke the protocol, and the close code that RFC 6455 wants for it.
struct Violation {
    CloseCode closeCode = CloseCode::protocolError;
    std::error_code error;
    std::string reason;
};

namespace detail {

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

}  // namespace detail
}  // namespace pushhub::protocol

// What of the reader is not used. All of it is virtual, so it would be compiled with the rest; a
// member that is specialized is not.
namespace websocketpp::processor {

using PushhubConfig = pushhub::protocol::detail::EngineConfig;
using PushhubHttp = pushhub::protocol::detail::NoHttp;
using PushhubMessage = pushhub::protocol::detail::InboundMessage::ptr;

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

namespace pushhub::protocol {

/// Reads a client's frames: WebSocket++'s RFC 6455 frame reader, with its gaps closed (each has a
/// test in engine_test.cpp). It knows of no socket. An engine that is `idle` holds nothing of its
/// connection, so idle connections share the engines of their loop. Not thread-safe.
class Engine final : private detail::EngineParts, private detail::FrameReader {
public:
    Engine() : detail::FrameReader(false, true, &inbox, random) {}
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Largest data message that is taken, in bytes; of a compressed one, inflated. Between
    /// messages.
    void setMaxMessageSize(std::size_t bytes) {
        maxMessageSize_ = bytes;
        set_max_message_size(bytes);
    }

    /// Most frames that one message may come in. Between messages.
    void setMaxFragments(std::size_t count) noexcept { maxFragments_ = count; }

    /// What was agreed with the client; null: it may not compress. Between messages.
    void setCompression(const MessageCompression* compression) noexcept {
        m_permessage_deflate.use(compression);
    }

    /// Reads from `data`, and unmasks there, up to the end of the first whole message or control
    /// frame. Sets `used` to the number of bytes read. Linear in `used`. After a violation every
    /// byte is part of it, until `reset`.
    EngineEvent read(char* data, std::size_t size, std::size_t& used) {
        payload_ = {};
        if (failed_) {
            used = size;  // the reader must not be asked again: it has lost its place
            return EngineEvent::violation;
        }
        std::error_code error;
        used = consume(reinterpret_cast<std::uint8_t*>(data), size, error);
        if (m_state == APPLICATION) {
            // The reader adds up the sizes of fragments without a look at overflow, and has no
            // objection to a length whose top bit is set (RFC 6455 section 5.2).
            if (std::uint64_t{m_bytes_needed} >> 63 != 0) {
                return fail(CloseCode::protocolError, Errc::protocolViolation,
                            "length of a frame has its top bit set");
            }
            if (m_bytes_needed > std::max(get_max_message_size(), maxControlPayload)) {
                return fail(
                    websocketpp::processor::error::make_error_code(WsError::message_too_big));
            }
        }
        if (error) {
            return fail(error);
        }
        if (!ready()) {
            return EngineEvent::needMore;
        }
        if (m_current_msg->msg_ptr->get_compressed() && !m_permessage_deflate.complete()) {
            return fail(Errc::brokenCompression);
        }
        // The reader checks the end of a text by the opcode of its last frame, which is
        // `continuation` if the text was fragmented (RFC 6455 section 8.1).
        const bool truncated = m_current_msg->msg_ptr->get_opcode() == WsOpcode::text &&
                               !m_current_msg->validator.complete();
        if (truncated) {
            return fail(CloseCode::invalidPayload, Errc::invalidPayload,
                        "text ends inside a character");
        }
        const auto message = get_message();
        payload_ = message->get_raw_payload();
        switch (message->get_opcode()) {
            case WsOpcode::ping:
                return EngineEvent::ping;
            case WsOpcode::pong:
                return EngineEvent::pong;
            case WsOpcode::close:
                return readClose();
            case WsOpcode::binary:
                type_ = MessageType::binary;
                return EngineEvent::message;
            default:
                type_ = MessageType::text;
                return EngineEvent::message;
        }
    }

    /// Payload of what `read` returned last; valid until the next call.
    std::string_view payload() const noexcept { return payload_; }
    MessageType type() const noexcept { return type_; }

    /// Code and reason of a close frame; `noStatus` if it had none.
    CloseCode closeCode() const noexcept { return closeCode_; }
    std::string_view closeReason() const noexcept { return payload_; }

    const Violation& violation() const noexcept { return violation_; }

    /// True between messages, when no byte of a frame has been read.
    bool idle() const noexcept {
        return !failed_ && m_state == HEADER_BASIC &&
               m_bytes_needed == websocketpp::frame::BASIC_HEADER_LENGTH && !m_data_msg.msg_ptr;
    }

    /// Back to the state of a new engine; large buffers are given back.
    void reset() {
        m_data_msg.msg_ptr.reset();
        m_control_msg.msg_ptr.reset();
        reset_headers();
        m_state = HEADER_BASIC;
        failed_ = false;
        payload_ = {};
        trim();
    }

    /// Gives back a buffer that has grown large. Call while `idle`.
    void trim() {
        constexpr std::size_t keep = 16 * 1024;
        if (inbox.capacity() > keep) {
            payload_ = {};
            inbox.releaseMemory();
        }
    }

private:
    using WsOpcode = websocketpp::frame::opcode::value;
    using WsError = websocketpp::processor::error::processor_errors;

    // Of a message in several frames, and with compression, the reader gets no further than one
    // header at a time: it does not count fragments, takes RSV1 on a continuation (RFC 7692 section
    // 6), and knows one limit for what is on the wire and what is inflated.
    std::size_t consume(std::uint8_t* bytes, std::size_t size, std::error_code& error) override {
        const bool stepwise = fragmented(*bytes) || m_permessage_deflate.is_enabled();
        std::size_t used = 0;
        do {
            std::size_t step = size;
            if (stepwise) {
                error = checkHeader();
                if (error) {
                    break;
                }
                step = std::min(size - used, m_bytes_needed);
            }
            const bool betweenFrames = m_state == HEADER_BASIC;
            used += detail::FrameReader::consume(bytes + used, step, error);
            if (betweenFrames && m_state == HEADER_EXTENDED && !error) {
                countFragment(error);
            }
        } while (stepwise && !error && !ready() && used < size);
        return used;
    }

    // True if the bytes belong to a message that is under way, or begin one that has more frames.
    bool fragmented(std::uint8_t first) noexcept {
        constexpr std::uint8_t fin = 0x80;
        if (m_data_msg.msg_ptr) {
            return true;
        }
        const bool fresh =
            m_state == HEADER_BASIC && m_bytes_needed == websocketpp::frame::BASIC_HEADER_LENGTH;
        if (fresh) {
            fragments_ = 0;
        }
        return ((fresh ? first : m_basic_header.b0) & fin) == 0;
    }

    void countFragment(std::error_code& error) {
        const auto opcode = websocketpp::frame::get_opcode(m_basic_header);
        if (!websocketpp::frame::opcode::is_control(opcode) && ++fragments_ > maxFragments_) {
            error = Errc::tooManyFragments;
        }
    }

    std::error_code checkHeader() {
        const auto opcode = websocketpp::frame::get_opcode(m_basic_header);
        if (m_state != HEADER_EXTENDED || websocketpp::frame::opcode::is_control(opcode)) {
            return {};
        }
        const bool compressed = websocketpp::frame::get_rsv1(m_basic_header);
        if (opcode == WsOpcode::continuation) {
            return compressed
                       ? websocketpp::processor::error::make_error_code(WsError::invalid_rsv_bit)
                       : std::error_code();
        }
        set_max_message_size(compressed ? detail::Inflation::maxCompressed(maxMessageSize_)
                                        : maxMessageSize_);
        if (compressed) {
            m_permessage_deflate.start(maxMessageSize_);
        }
        return {};
    }

    EngineEvent fail(CloseCode code, Errc error, std::string reason) {
        failed_ = true;
        violation_ = {code, error, std::move(reason)};
        return EngineEvent::violation;
    }

    EngineEvent fail(const std::error_code& error) {
        if (error == Errc::inboundTooBig ||
            error == websocketpp::processor::error::make_error_code(WsError::message_too_big)) {
            return fail(CloseCode::messageTooBig, Errc::inboundTooBig,
                        "message is larger than " + std::to_string(maxMessageSize_) + " bytes");
        }
        if (error == Errc::tooManyFragments) {
            return fail(CloseCode::policyViolation, Errc::tooManyFragments,
                        "message comes in more than " + std::to_string(maxFragments_) + " frames");
        }
        if (error == Errc::brokenCompression) {
            return fail(CloseCode::invalidPayload, Errc::brokenCompression,
                        "compressed data is broken");
        }
        if (error == std::errc::not_enough_memory) {
            return fail(CloseCode::internalError, Errc::internalError, "memory is short");
        }
        if (error == websocketpp::processor::error::make_error_code(WsError::invalid_utf8)) {
            return fail(CloseCode::invalidPayload, Errc::invalidPayload, "text is not valid UTF-8");
        }
        return fail(CloseCode::protocolError, Errc::protocolViolation, error.message());
    }

    // RFC 6455 section 5.5.1: nothing, or a code and a reason in UTF-8.
    EngineEvent readClose() {
        closeCode_ = CloseCode::noStatus;
        if (payload_.empty()) {
            return EngineEvent::close;
        }
        if (payload_.size() == 1) {
            return fail(CloseCode::protocolError, Errc::protocolViolation,
                        "close frame of one byte");
        }
        const CloseCode code = takeCloseCode(payload_);
        const auto number = static_cast<std::uint16_t>(code);
        if (!isSendableCloseCode(number)) {
            return fail(CloseCode::protocolError, Errc::protocolViolation,
                        "close code " + std::to_string(number) + " may not be sent");
        }
        if (!isValidUtf8(payload_)) {
            return fail(CloseCode::invalidPayload, Errc::invalidPayload,
                        "close reason is not valid UTF-8");
        }
        closeCode_ = code;
        return EngineEvent::close;
    }

    std::string_view payload_;
    MessageType type_ = MessageType::text;
    CloseCode closeCode_ = CloseCode::noStatus;
    std::size_t maxFragments_ = 1024;
    std::size_t fragments_ = 0;  // of the message that is under way
    Violation violation_;
    std::size_t maxMessageSize_ = detail::EngineConfig::max_message_size;
    bool failed_ = false;
};

}  // namespace pushhub::protocol

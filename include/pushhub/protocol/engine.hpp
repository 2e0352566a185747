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
#include <pushhub/protocol/frame_reader.hpp>
#include <pushhub/protocol/utf8.hpp>

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

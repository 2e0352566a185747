#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pushhub/close_code.hpp>
#include <pushhub/compression.hpp>
#include <pushhub/error.hpp>
#include <pushhub/frame.hpp>
#include <pushhub/protocol/close_payload.hpp>
#include <pushhub/protocol/frame_header.hpp>
#include <pushhub/protocol/inflation.hpp>
#include <pushhub/protocol/masking.hpp>
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

/// Reads a client's frames (RFC 6455 section 5, RFC 7692 section 6). It knows of no socket. An
/// engine that is `idle` holds nothing of its connection, so idle connections share the engines of
/// their loop. Not thread-safe.
class Engine {
public:
    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Largest data message that is taken, in bytes; of a compressed one, inflated. Between
    /// messages.
    void setMaxMessageSize(std::size_t bytes) noexcept { maxMessageSize_ = bytes; }

    /// Most frames that one message may come in. Between messages.
    void setMaxFragments(std::size_t count) noexcept { maxFragments_ = count; }

    /// What was agreed with the client; null: it may not compress. Between messages.
    void setCompression(const MessageCompression* compression) noexcept {
        inflation_.use(compression);
    }

    /// Reads from `data`, and unmasks there, up to the end of the first whole message or control
    /// frame. Sets `used` to the number of bytes read. Linear in `used`. After a violation every
    /// byte is part of it, until `reset`.
    EngineEvent read(char* data, std::size_t size, std::size_t& used) {
        payload_ = {};
        used = size;
        if (failed_) {
            return EngineEvent::violation;
        }
        Bytes bytes{data, data + size};
        EngineEvent event = EngineEvent::needMore;
        do {
            if (!inPayload_) {
                event = readHeader(bytes);
            }
            if (inPayload_) {
                event = readPayload(bytes);
            }
        } while (event == EngineEvent::needMore && bytes.next != bytes.end);
        used = static_cast<std::size_t>(bytes.next - data);
        return event;
    }

    /// Payload of what `read` returned last; valid until the next call, or until `data` of that one
    /// changes.
    std::string_view payload() const noexcept { return payload_; }
    MessageType type() const noexcept {
        return message_.opcode == Opcode::binary ? MessageType::binary : MessageType::text;
    }

    /// Code and reason of a close frame; `noStatus` if it had none.
    CloseCode closeCode() const noexcept { return closeCode_; }
    std::string_view closeReason() const noexcept { return payload_; }

    const Violation& violation() const noexcept { return violation_; }

    /// True between messages, when no byte of a frame has been read.
    bool idle() const noexcept {
        return !failed_ && !inPayload_ && headerSize_ == 0 && !message_.underWay;
    }

    /// Back to the state of a new engine; a buffer that has grown large is given back.
    void reset() noexcept {
        constexpr std::size_t keep = 16 * 1024;
        failed_ = false;
        inPayload_ = false;
        headerSize_ = 0;
        message_.underWay = false;
        payload_ = {};
        if (message_.bytes.capacity() > keep) {
            std::string().swap(message_.bytes);  // an assignment may keep the old storage
        }
    }

private:
    struct Bytes {
        char* next;
        char* end;
    };

    // The frame whose header is complete.
    struct FrameState {
        Opcode opcode = Opcode::continuation;
        bool final = true;
        MaskingKey key{};
        std::uint64_t length = 0;
        std::uint64_t left = 0;  // of its payload
    };

    // The data message that is under way, whose fragments control frames may stand between.
    struct MessageState {
        bool underWay = false;
        bool compressed = false;
        Opcode opcode = Opcode::text;
        std::size_t fragments = 0;
        std::string bytes;  // unless it comes as a whole; grows as they come
        Utf8Stream text;
    };

    static constexpr std::size_t startSize = 2;  // of a header: what tells how long it is
    static constexpr std::size_t maxHeaderSize = startSize + 8 + MaskingKey().size();

    static bool isControl(Opcode opcode) noexcept {
        return (static_cast<unsigned>(opcode) & 0x8U) != 0;
    }

    unsigned headerByte(std::size_t i) const noexcept {
        return static_cast<unsigned char>(header_[i]);
    }
    // 126 and 127 stand for 2 and 8 bytes that tell the length.
    unsigned shortLength() const noexcept { return headerByte(1) & 0x7FU; }
    std::size_t lengthBytes() const noexcept {
        return shortLength() < 126 ? 0 : shortLength() == 126 ? 2 : 8;
    }

    EngineEvent readHeader(Bytes& bytes) {
        while (bytes.next != bytes.end) {
            header_[headerSize_++] = *bytes.next++;
            if (headerSize_ == startSize) {
                if (const char* wrong = checkStart()) {
                    return fail(CloseCode::protocolError, Errc::protocolViolation, wrong);
                }
            }
            if (headerSize_ > startSize &&
                headerSize_ == startSize + lengthBytes() + MaskingKey().size()) {
                headerSize_ = 0;
                return beginPayload();
            }
        }
        return EngineEvent::needMore;
    }

    // What is wrong with the first two bytes of a header; null if nothing is.
    const char* checkStart() noexcept {
        constexpr unsigned fin = 0x80;
        constexpr unsigned rsv1 = 0x40;
        constexpr unsigned rsv = 0x70;
        constexpr unsigned masked = 0x80;
        frame_.opcode = static_cast<Opcode>(headerByte(0) & 0x0FU);
        frame_.final = (headerByte(0) & fin) != 0;
        unsigned reserved = headerByte(0) & rsv;
        if ((headerByte(1) & masked) == 0) {
            return "frame is not masked";
        }
        switch (frame_.opcode) {
            case Opcode::text:
            case Opcode::binary:
                if (message_.underWay) {
                    return "message begins inside a fragmented one";
                }
                message_.compressed = inflation_.agreed() && (reserved & rsv1) != 0;
                reserved &= message_.compressed ? ~rsv1 : ~0U;
                break;
            case Opcode::continuation:
                if (!message_.underWay) {
                    return "unexpected continuation frame";
                }
                break;
            case Opcode::close:
            case Opcode::ping:
            case Opcode::pong:
                if (!frame_.final) {
                    return "control frame is fragmented";
                }
                if (shortLength() > maxControlPayload) {
                    return "control frame has more than 125 bytes";
                }
                break;
            default:
                return "reserved opcode";
        }
        return reserved == 0 ? nullptr : "unexpected RSV bit";
    }

    EngineEvent beginPayload() {
        frame_.length = lengthBytes() == 0 ? shortLength() : 0;
        for (std::size_t i = 0; i < lengthBytes(); ++i) {
            frame_.length = frame_.length << 8 | headerByte(startSize + i);
        }
        if (frame_.length >> 63 != 0) {
            return fail(CloseCode::protocolError, Errc::protocolViolation,
                        "length of a frame has its top bit set");
        }
        if (frameHeaderSize(frame_.length) != startSize + lengthBytes()) {
            return fail(CloseCode::protocolError, Errc::protocolViolation,
                        "non-minimal payload length");
        }
        std::copy_n(header_.data() + startSize + lengthBytes(), frame_.key.size(),
                    frame_.key.data());
        frame_.left = frame_.length;
        inPayload_ = true;
        return isControl(frame_.opcode) ? EngineEvent::needMore : beginFragment();
    }

    EngineEvent beginFragment() {
        if (!message_.underWay) {
            message_.underWay = true;
            message_.opcode = frame_.opcode;
            message_.fragments = 0;
            message_.bytes.clear();
            message_.text = {};
            if (message_.compressed) {
                if (const std::error_code error = inflation_.start(maxMessageSize_)) {
                    return fail(error);
                }
            }
        }
        if (++message_.fragments > maxFragments_) {
            return fail(CloseCode::policyViolation, Errc::tooManyFragments,
                        "message comes in more than " + std::to_string(maxFragments_) + " frames");
        }
        const std::uint64_t most = message_.compressed ? Inflation::maxCompressed(maxMessageSize_)
                                                       : maxMessageSize_ - message_.bytes.size();
        return frame_.length > most ? fail(Errc::inboundTooBig) : EngineEvent::needMore;
    }

    EngineEvent readPayload(Bytes& bytes) {
        const auto available = static_cast<std::uint64_t>(bytes.end - bytes.next);
        const auto size = static_cast<std::size_t>((std::min)(frame_.left, available));
        mask(bytes.next, size, frame_.key, frame_.length - frame_.left);
        const std::string_view piece(bytes.next, size);
        bytes.next += size;
        frame_.left -= size;
        inPayload_ = frame_.left > 0;
        return isControl(frame_.opcode) ? readControl(piece) : readData(piece);
    }

    EngineEvent readControl(std::string_view piece) {
        if (piece.size() < frame_.length) {
            const auto at = static_cast<unsigned>(frame_.length - frame_.left - piece.size());
            piece.copy(control_.data() + at, piece.size());
            piece = {control_.data(), at + piece.size()};
        }
        if (inPayload_) {
            return EngineEvent::needMore;
        }
        payload_ = piece;
        return frame_.opcode == Opcode::ping   ? EngineEvent::ping
               : frame_.opcode == Opcode::pong ? EngineEvent::pong
                                               : readClose();
    }

    EngineEvent readData(std::string_view piece) {
        const bool last = frame_.final && !inPayload_;
        message_.underWay = !last;
        if (last && message_.fragments == 1 && piece.size() == frame_.length &&
            !message_.compressed) {
            payload_ = piece;  // as it mostly is: nothing is copied
            return message_.opcode == Opcode::text && !isValidUtf8(piece) ? failText()
                                                                          : EngineEvent::message;
        }
        const std::size_t before = message_.bytes.size();
        if (!message_.compressed) {
            message_.bytes.append(piece);
        } else if (const std::error_code error = inflation_.inflate(piece, message_.bytes)) {
            return fail(error);
        }
        if (message_.opcode == Opcode::text &&
            !message_.text.read(std::string_view(message_.bytes).substr(before))) {
            return failText();
        }
        if (!last) {
            return EngineEvent::needMore;
        }
        if (message_.compressed) {
            if (const std::error_code error = inflation_.finish(message_.bytes)) {
                return fail(error);
            }
        }
        payload_ = message_.bytes;
        return message_.text.complete() ? EngineEvent::message : failText();
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

    EngineEvent fail(CloseCode code, Errc error, std::string reason) {
        failed_ = true;
        inPayload_ = false;
        violation_ = {code, error, std::move(reason)};
        return EngineEvent::violation;
    }

    EngineEvent failText() {
        return fail(CloseCode::invalidPayload, Errc::invalidPayload, "text is not valid UTF-8");
    }

    EngineEvent fail(const std::error_code& error) {
        if (error == Errc::inboundTooBig) {
            return fail(CloseCode::messageTooBig, Errc::inboundTooBig,
                        "message is larger than " + std::to_string(maxMessageSize_) + " bytes");
        }
        if (error == Errc::brokenCompression) {
            return fail(CloseCode::invalidPayload, Errc::brokenCompression,
                        "compressed data is broken");
        }
        return fail(CloseCode::internalError, Errc::internalError, "out of memory");
    }

    std::size_t maxMessageSize_ = 64 * 1024;
    std::size_t maxFragments_ = 1024;
    Inflation inflation_;

    bool failed_ = false;
    bool inPayload_ = false;  // of frame_; otherwise in its header, or between two frames
    std::size_t headerSize_ = 0;
    std::array<char, maxHeaderSize> header_;
    FrameState frame_;
    MessageState message_;
    std::array<char, maxControlPayload> control_;  // of a frame that does not come as a whole

    std::string_view payload_;
    CloseCode closeCode_ = CloseCode::noStatus;
    Violation violation_;
};

}  // namespace pushhub::protocol

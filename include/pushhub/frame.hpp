#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>
#include <utility>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/protocol/frame_header.hpp>

namespace pushhub {

/// Kind of a data message, RFC 6455 section 5.6.
enum class MessageType : std::uint8_t { text = 1, binary = 2 };

/// A message from a client. The bytes are valid during the hook only; text is valid UTF-8.
struct Message {
    std::string_view data;
    MessageType type = MessageType::text;
};

/// Bytes as sent on the wire, shared by all recipients and immutable once shared. Usually one
/// WebSocket frame; an event loop joins small ones into larger blocks. One allocation holds the
/// reference count, the sizes and the bytes.
class Frame final : public detail::RefCounted<Frame> {
public:
    /// Maximum payload of one frame; on 32 bit with room for header and key.
    static constexpr std::size_t maxPayload =
        (std::min<std::uint64_t>)((std::numeric_limits<std::uint32_t>::max)(), PTRDIFF_MAX) - 16;

    /// Allocates room for `capacity` bytes, initially unused, and stores a key with them. Throws
    /// std::bad_alloc.
    static detail::RefPtr<Frame> allocate(std::size_t capacity, std::string_view key = {}) {
        void* memory = ::operator new(sizeof(Frame) + capacity + key.size());
        return detail::RefPtr<Frame>(new (memory) Frame(static_cast<std::uint32_t>(capacity), key));
    }

    /// A whole frame around `payload`, which is not checked: at most `maxPayload` bytes.
    static detail::RefPtr<Frame> make(protocol::Opcode opcode, std::string_view payload,
                                      std::string_view key = {}) {
        auto frame = allocate(protocol::frameHeaderSize(payload.size()) + payload.size(), key);
        frame->append(opcode, payload);
        return frame;
    }

    /// The same around a compressed message, for sessions with that window.
    static detail::RefPtr<Frame> makeCompressed(protocol::Opcode opcode, std::string_view payload,
                                                unsigned window, std::string_view key = {}) {
        auto frame = allocate(protocol::frameHeaderSize(payload.size()) + payload.size(), key);
        frame->window_ = static_cast<std::uint8_t>(window);
        frame->size_ = static_cast<std::uint32_t>(
            protocol::writeFrameHeader(frame->begin(), opcode, payload.size(), true));
        frame->append(payload);
        return frame;
    }

    /// Bytes other than a WebSocket frame: the response to a handshake.
    static detail::RefPtr<Frame> raw(std::string_view bytes) {
        auto frame = allocate(bytes.size());
        frame->append(bytes);
        return frame;
    }

    const char* data() const noexcept { return reinterpret_cast<const char*>(this + 1); }
    std::uint32_t size() const noexcept { return size_; }
    std::uint32_t room() const noexcept { return capacity_ - size_; }

    /// See `PushOptions::key`.
    std::string_view key() const noexcept { return {data() + capacity_, keySize_}; }

    void append(std::string_view bytes) noexcept {
        if (!bytes.empty()) {
            std::memcpy(begin() + size_, bytes.data(), bytes.size());
        }
        size_ += static_cast<std::uint32_t>(bytes.size());
    }

    void append(protocol::Opcode opcode, std::string_view payload) noexcept {
        size_ += static_cast<std::uint32_t>(
            protocol::writeFrameHeader(begin() + size_, opcode, payload.size()));
        append(payload);
    }

    void clear() noexcept { size_ = 0; }

    /// Adds the same message in another form, from `makeCompressed`, before the frame is shared.
    void addForm(detail::RefPtr<Frame> form) noexcept {
        form->next_ = std::move(next_);
        next_ = std::move(form);
    }
    bool hasForms() const noexcept { return next_ != nullptr; }

    /// The form for sessions with that window: this one if no other exists.
    Frame& form(unsigned window) noexcept {
        Frame* form = next_.get();
        while (form && form->window_ != window) {
            form = form->next_.get();
        }
        return form ? *form : *this;
    }

    static void destroy(const Frame* frame) noexcept {
        frame->~Frame();
        ::operator delete(const_cast<Frame*>(frame));
    }

private:
    Frame(std::uint32_t capacity, std::string_view key) noexcept
        : capacity_(capacity), keySize_(static_cast<std::uint32_t>(key.size())) {
        if (!key.empty()) {
            std::memcpy(begin() + capacity, key.data(), key.size());
        }
    }
    ~Frame() = default;
    friend class detail::RefCounted<Frame>;

    char* begin() noexcept { return reinterpret_cast<char*>(this + 1); }

    std::uint32_t size_ = 0;
    const std::uint32_t capacity_;
    const std::uint32_t keySize_;
    std::uint8_t window_ = 0;  // in bits, of a compressed message
    detail::RefPtr<Frame> next_;
};

using FramePtr = detail::RefPtr<Frame>;

}  // namespace pushhub

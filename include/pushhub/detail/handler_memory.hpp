#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace pushhub::detail {

/// Room for one asynchronous operation of Asio inside the object it belongs to, so that waiting
/// for a socket allocates nothing. Falls back to the heap when the room is taken or too small.
class HandlerMemory {
public:
    HandlerMemory() = default;
    HandlerMemory(const HandlerMemory&) = delete;
    HandlerMemory& operator=(const HandlerMemory&) = delete;

    void* allocate(std::size_t size) {
        if (size <= sizeof(room_) && !std::exchange(taken_, true)) {
            return room_;
        }
        return ::operator new(size);
    }

    void deallocate(void* memory) noexcept {
        if (memory == room_) {
            taken_ = false;
        } else {
            ::operator delete(memory);
        }
    }

private:
    alignas(std::max_align_t) unsigned char room_[128];
    bool taken_ = false;
};

/// Allocator over a `HandlerMemory`, or over the heap if there is none; as Asio finds it through a
/// handler's `get_allocator`.
template <class T>
class HandlerAllocator {
public:
    using value_type = T;

    explicit HandlerAllocator(HandlerMemory* memory) noexcept : memory_(memory) {}
    template <class U>
    HandlerAllocator(const HandlerAllocator<U>& other) noexcept : memory_(other.memory_) {}

    T* allocate(std::size_t count) {
        const std::size_t size = count * sizeof(T);
        return static_cast<T*>(memory_ ? memory_->allocate(size) : ::operator new(size));
    }
    void deallocate(T* memory, std::size_t) noexcept {
        if (memory_) {
            memory_->deallocate(memory);
        } else {
            ::operator delete(memory);
        }
    }

    friend bool operator==(const HandlerAllocator& a, const HandlerAllocator& b) noexcept {
        return a.memory_ == b.memory_;
    }
    friend bool operator!=(const HandlerAllocator& a, const HandlerAllocator& b) noexcept {
        return !(a == b);
    }

private:
    template <class U>
    friend class HandlerAllocator;

    HandlerMemory* memory_;
};

}  // namespace pushhub::detail

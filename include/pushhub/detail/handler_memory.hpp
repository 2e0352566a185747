#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace pushhub::detail {

/// Room for one asynchronous operation of Asio inside the object it belongs to, so that waiting
/// for a socket allocates nothing. Falls back to the heap when the room is taken or too small.
template <std::size_t Size>
class HandlerMemory {
public:
    HandlerMemory() = default;
    HandlerMemory(const HandlerMemory&) = delete;
    HandlerMemory& operator=(const HandlerMemory&) = delete;

    void* allocate(std::size_t size) {
        if (size <= Size && !std::exchange(taken_, true)) {
            return &room_;
        }
        return ::operator new(size);
    }

    void deallocate(void* memory) noexcept {
        if (memory == &room_) {
            taken_ = false;
        } else {
            ::operator delete(memory);
        }
    }

private:
    std::aligned_storage_t<Size> room_;
    bool taken_ = false;
};

/// Allocator over a `HandlerMemory`, as Asio finds it through a handler's `get_allocator`.
template <class T, std::size_t Size>
class HandlerAllocator {
public:
    using value_type = T;
    template <class U>
    struct rebind {
        using other = HandlerAllocator<U, Size>;
    };

    explicit HandlerAllocator(HandlerMemory<Size>& memory) noexcept : memory_(&memory) {}
    template <class U>
    HandlerAllocator(const HandlerAllocator<U, Size>& other) noexcept : memory_(other.memory_) {}

    T* allocate(std::size_t count) { return static_cast<T*>(memory_->allocate(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t) noexcept { memory_->deallocate(memory); }

    friend bool operator==(const HandlerAllocator& a, const HandlerAllocator& b) noexcept {
        return a.memory_ == b.memory_;
    }
    friend bool operator!=(const HandlerAllocator& a, const HandlerAllocator& b) noexcept {
        return !(a == b);
    }

private:
    template <class U, std::size_t OtherSize>
    friend class HandlerAllocator;

    HandlerMemory<Size>* memory_;
};

/// A completion handler whose operation lives in `memory`.
template <std::size_t Size, class Function>
class HandlerInMemory {
public:
    using allocator_type = HandlerAllocator<char, Size>;

    HandlerInMemory(HandlerMemory<Size>& memory, Function function)
        : memory_(&memory), function_(std::move(function)) {}

    allocator_type get_allocator() const noexcept { return allocator_type(*memory_); }

    template <class... Args>
    void operator()(Args&&... args) {
        function_(std::forward<Args>(args)...);
    }

private:
    HandlerMemory<Size>* memory_;
    Function function_;
};

template <std::size_t Size, class Function>
HandlerInMemory<Size, Function> inMemory(HandlerMemory<Size>& memory, Function function) {
    return {memory, std::move(function)};
}

}  // namespace pushhub::detail

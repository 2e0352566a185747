#pragma once

// The global operators new and delete, for a test that counts or fails allocations. One file of a
// program includes it, and defines the two functions that they come down to.

#include <cstddef>
#include <new>

namespace pushhub::test {

/// Null: the allocation fails.
void* allocate(std::size_t size) noexcept;
/// `memory` may be null.
void release(void* memory) noexcept;

}  // namespace pushhub::test

// All forms, since a sanitizer has each of its own. Not inline, or g++ takes them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return pushhub::test::allocate(size);
}
void* operator new(std::size_t size) {
    if (void* const memory = operator new(size, std::nothrow)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    pushhub::test::release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    operator delete(memory);
}

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace pushhub::detail {

/// Base of objects that count their owners themselves: 4 bytes where std::shared_ptr needs a
/// control block, and one pointer per reference. `T` is deleted by `T::destroy` if it has one.
template <class T>
class RefCounted {
public:
    RefCounted(const RefCounted&) = delete;
    RefCounted& operator=(const RefCounted&) = delete;

    void retain() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }

    void release() const noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            T::destroy(static_cast<const T*>(this));
        }
    }

    /// True if the caller holds the only reference, so nobody else can see a change.
    bool unique() const noexcept { return references_.load(std::memory_order_acquire) == 1; }

    static void destroy(const T* object) noexcept { delete object; }

protected:
    RefCounted() = default;
    ~RefCounted() = default;

private:
    mutable std::atomic<std::uint32_t> references_{0};
};

/// Owning pointer to a `RefCounted` object.
template <class T>
class RefPtr {
public:
    RefPtr() noexcept = default;
    RefPtr(std::nullptr_t) noexcept {}
    explicit RefPtr(T* object) noexcept : object_(object) {
        if (object_) {
            object_->retain();
        }
    }
    RefPtr(const RefPtr& other) noexcept : RefPtr(other.object_) {}
    RefPtr(RefPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    template <class U>
    RefPtr(RefPtr<U> other) noexcept : object_(other.detach()) {}
    RefPtr& operator=(RefPtr other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~RefPtr() {
        if (object_) {
            object_->release();
        }
    }

    T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    friend bool operator!=(const RefPtr& a, std::nullptr_t) noexcept {
        return a.object_ != nullptr;
    }
    friend bool operator==(const RefPtr& a, std::nullptr_t) noexcept {
        return a.object_ == nullptr;
    }

    /// Gives up the reference without releasing it.
    T* detach() noexcept { return std::exchange(object_, nullptr); }

    friend bool operator==(const RefPtr& a, const RefPtr& b) noexcept {
        return a.object_ == b.object_;
    }
    friend bool operator!=(const RefPtr& a, const RefPtr& b) noexcept { return !(a == b); }

private:
    T* object_ = nullptr;
};

template <class T, class... Args>
RefPtr<T> makeRef(Args&&... args) {
    return RefPtr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace pushhub::detail

#pragma once

#include <any>
#include <type_traits>
#include <utility>

#include <pushhub/detail/ref_ptr.hpp>

namespace pushhub {

/// A value of any type that the application stores with a session. The type need not be copyable,
/// nor movable if `emplace` constructs it. Copies of a SessionData refer to the same value.
class SessionData {
public:
    SessionData() = default;

    /// Moves or copies `value` into it. Throws any exception of that move or copy, and
    /// std::bad_alloc.
    template <class T, std::enable_if_t<!std::is_same_v<std::decay_t<T>, SessionData>, int> = 0>
    SessionData(T&& value) {
        static_assert(!std::is_same_v<std::decay_t<T>, std::any>,
                      "pushhub: SessionData takes the value itself, not a std::any");
        emplace<std::decay_t<T>>(std::forward<T>(value));
    }

    /// Replaces the value by a new `T`.
    template <class T, class... Args>
    T& emplace(Args&&... args) {
        auto box = detail::makeRef<Box<std::decay_t<T>>>(std::forward<Args>(args)...);
        return box_.emplace<detail::RefPtr<Box<std::decay_t<T>>>>(std::move(box))->value;
    }

    /// Null if the value is not a `T`.
    template <class T>
    T* get() noexcept {
        const auto* box = std::any_cast<detail::RefPtr<Box<std::decay_t<T>>>>(&box_);
        return box ? &(*box)->value : nullptr;
    }

    bool empty() const noexcept { return !box_.has_value(); }

private:
    template <class T>
    struct Box : detail::RefCounted<Box<T>> {
        template <class... Args>
        explicit Box(Args&&... args) : value(std::forward<Args>(args)...) {}

        T value;
    };

    // Of a counted pointer, which std::any can copy, whatever the type of the value.
    std::any box_;
};

}  // namespace pushhub

#pragma once

#include <cstddef>
#include <functional>
#include <new>
#include <type_traits>
#include <utility>

namespace pushhub::detail {

template <class Function, class = void>
inline constexpr bool hasNullState =
    std::is_pointer_v<Function> || std::is_member_pointer_v<Function>;
// std::function and its like. A lambda without captures compares with null too, as the pointer that
// it converts to, but has no such operator.
template <class Function>
inline constexpr bool
    hasNullState<Function, std::void_t<decltype(&Function::operator bool),
                                       decltype(std::declval<const Function&>() == nullptr)>> =
        true;

/// True for a null pointer and for a wrapper such as `std::function` that holds nothing.
template <class Function>
bool isNull(const Function& function) noexcept {
    if constexpr (hasNullState<Function>) {
        return function == nullptr;
    } else {
        return false;
    }
}

template <class Signature>
class UniqueFunction;

/// A function of the application. Unlike `std::function` it may hold what cannot be copied, and
/// cannot be copied itself. Null if made from nothing, from nullptr or from what is null; then it
/// must not be called. A callable of up to three pointers needs no memory. A call is const, as that
/// of `std::function`, whatever the callable does.
template <class Result, class... Arguments>
class UniqueFunction<Result(Arguments...)> {
public:
    UniqueFunction() noexcept = default;
    UniqueFunction(std::nullptr_t) noexcept {}

    /// Throws std::bad_alloc, and what copying or moving the callable throws.
    template <
        class Function, class Stored = std::decay_t<Function>,
        std::enable_if_t<std::conjunction_v<std::negation<std::is_same<Stored, UniqueFunction>>,
                                            std::is_constructible<Stored, Function>,
                                            std::is_invocable_r<Result, Stored&, Arguments...>>,
                         int> = 0>
    UniqueFunction(Function&& function) {
        if (isNull<Stored>(function)) {
            return;
        }
        if constexpr (fits<Stored>) {
            ::new (static_cast<void*>(&room_)) Stored(std::forward<Function>(function));
            manage_ = &moveStored<Stored>;
        } else {
            room_.pointer = new Stored(std::forward<Function>(function));
            manage_ = &movePointer<Stored>;
        }
        call_ = &callStored<Stored>;
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~UniqueFunction() { reset(); }

    Result operator()(Arguments... arguments) const {
        return call_(room_, std::forward<Arguments>(arguments)...);
    }

    explicit operator bool() const noexcept { return call_ != nullptr; }
    friend bool operator==(const UniqueFunction& function, std::nullptr_t) noexcept {
        return !function;
    }
    friend bool operator!=(const UniqueFunction& function, std::nullptr_t) noexcept {
        return static_cast<bool>(function);
    }

private:
    union Room {
        void* pointer = nullptr;
        unsigned char bytes[3 * sizeof(void*)];
    };

    template <class Stored>
    static constexpr bool fits =
        sizeof(Stored) <= sizeof(Room) &&  // NOLINT(misc-redundant-expression)
        alignof(Stored) <= alignof(Room) && std::is_nothrow_move_constructible_v<Stored>;

    template <class Stored>
    static Stored& stored(Room& room) noexcept {
        if constexpr (fits<Stored>) {
            return *std::launder(reinterpret_cast<Stored*>(&room));
        } else {
            return *static_cast<Stored*>(room.pointer);
        }
    }

    template <class Stored>
    static Result callStored(Room& room, Arguments... arguments) {
        if constexpr (std::is_void_v<Result>) {
            std::invoke(stored<Stored>(room), std::forward<Arguments>(arguments)...);
        } else {
            return std::invoke(stored<Stored>(room), std::forward<Arguments>(arguments)...);
        }
    }

    // These move to another room, or destroy if there is none.
    template <class Stored>
    static void moveStored(Room& from, Room* to) noexcept {
        Stored& function = stored<Stored>(from);
        if (to) {
            ::new (static_cast<void*>(to)) Stored(std::move(function));
        }
        function.~Stored();  // NOLINT(bugprone-use-after-move)
    }
    template <class Stored>
    static void movePointer(Room& from, Room* to) noexcept {
        if (to) {
            to->pointer = from.pointer;
        } else {
            delete static_cast<Stored*>(from.pointer);
        }
    }

    void take(UniqueFunction& other) noexcept {
        if (other.call_) {
            other.manage_(other.room_, &room_);
            manage_ = other.manage_;
            call_ = std::exchange(other.call_, nullptr);
        }
    }
    void reset() noexcept {
        if (std::exchange(call_, nullptr)) {
            manage_(room_, nullptr);
        }
    }

    mutable Room room_;
    Result (*call_)(Room&, Arguments...) = nullptr;
    void (*manage_)(Room&, Room*) noexcept = nullptr;
};

}  // namespace pushhub::detail

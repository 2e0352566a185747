#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>

namespace pushhub {

/// Id of one connection for its lifetime. Unique within a transport and never reused.
class SessionId {
public:
    constexpr SessionId() noexcept = default;
    constexpr explicit SessionId(std::uint64_t value) noexcept : value_(value) {}

    constexpr std::uint64_t value() const noexcept { return value_; }

    friend constexpr bool operator==(SessionId a, SessionId b) noexcept {
        return a.value_ == b.value_;
    }
    friend constexpr bool operator!=(SessionId a, SessionId b) noexcept { return !(a == b); }
    friend constexpr bool operator<(SessionId a, SessionId b) noexcept {
        return a.value_ < b.value_;
    }
    template <class Char, class Traits>
    friend std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out,
                                                        SessionId id) {
        return out << id.value_;
    }

private:
    std::uint64_t value_ = 0;
};

}  // namespace pushhub

/// @cond
template <>
struct std::hash<pushhub::SessionId> {
    std::size_t operator()(pushhub::SessionId id) const noexcept {
        return std::hash<std::uint64_t>()(id.value());
    }
};
/// @endcond

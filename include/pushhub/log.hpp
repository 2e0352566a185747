#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pushhub {

/// Importance of a `LogRecord`.
enum class LogLevel : std::uint8_t {
    debug,    ///< What happens all the time: sessions that open and close.
    info,     ///< What happens now and then: start, stop, a handshake that was refused.
    warning,  ///< What somebody should look at: clients that were too slow or broke a rule.
    error     ///< What is wrong with the service: a hook that threw, no descriptors left.
};

/// "debug", "info", "warning" or "error".
constexpr std::string_view toString(LogLevel level) noexcept {
    return level == LogLevel::debug     ? "debug"
           : level == LogLevel::info    ? "info"
           : level == LogLevel::warning ? "warning"
                                        : "error";
}

/// A detail of an event.
struct LogField {
    std::string_view name;   ///< Such as "user".
    std::string_view value;  ///< Text as it is: escape it as the sink's format demands.
};

/// An event of a hub, see `PushHub::onLog`. Everything in it is valid during the call only.
struct LogRecord {
    LogLevel level;
    std::string_view event;  ///< A constant name, such as "session closed".
    const LogField* fields;
    std::size_t fieldCount;

    const LogField* begin() const noexcept { return fields; }
    const LogField* end() const noexcept { return fields + fieldCount; }
};

}  // namespace pushhub

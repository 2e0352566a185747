#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pushhub {

/// Importance of a `LogRecord`.
enum class LogLevel : std::uint8_t {
    debug,    ///< Frequent events: sessions that open and close.
    info,     ///< Occasional events: start, stop, a refused handshake.
    warning,  ///< Events to look at: clients that were too slow or violated a rule.
    error     ///< Faults of the service: a hook that threw, no descriptors left.
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
    std::string_view value;  ///< Unescaped text: escape it as the sink's format requires.
};

/// An event of a hub, see `PushHub::onLog`. Its contents are valid during the call only.
struct LogRecord {
    LogLevel level;
    std::string_view event;  ///< A constant name, such as "session closed".
    const LogField* fields;
    std::size_t fieldCount;

    const LogField* begin() const noexcept { return fields; }
    const LogField* end() const noexcept { return fields + fieldCount; }
};

}  // namespace pushhub

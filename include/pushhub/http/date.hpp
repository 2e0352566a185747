#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pushhub {

/// The value of the header Date (RFC 9110 section 5.6.7), such as "Sun, 06 Nov 1994 08:49:37 GMT".
/// For the years 0 to 9999. Without locale, and cheap: no need to keep it.
inline std::string httpDate(std::chrono::system_clock::time_point time) {
    constexpr std::int64_t secondsPerDay = 24 * 60 * 60;
    const std::int64_t since1970 =
        std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": days since 0000-03-01, in eras
    // of 400 years.
    const std::int64_t second = (since1970 % secondsPerDay + secondsPerDay) % secondsPerDay;
    const std::int64_t days = (since1970 - second) / secondsPerDay + 719468;
    const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const std::int64_t dayOfEra = days - era * 146097;
    const std::int64_t yearOfEra =
        (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365;
    const std::int64_t dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
    const std::int64_t month = (5 * dayOfYear + 2) / 153;  // from March on
    const std::int64_t day = dayOfYear - (153 * month + 2) / 5 + 1;
    const std::int64_t year = yearOfEra + era * 400 + (month >= 10 ? 1 : 0);
    const std::int64_t weekday = ((days + 3) % 7 + 7) % 7;  // 0: Sunday

    constexpr const char* weekdays = "SunMonTueWedThuFriSat";
    constexpr const char* months = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    const auto digits = [](std::int64_t number, std::int64_t place) {
        return static_cast<char>('0' + number / place % 10);
    };
    std::string out;
    out.reserve(29);
    const auto two = [&](std::int64_t number) { out += {digits(number, 10), digits(number, 1)}; };
    out.append(weekdays + weekday * 3, 3).append(", ");
    two(day);
    out.append(" ").append(months + month * 3, 3).append(" ");
    two(year / 100);
    two(year % 100);
    out.append(" ");
    two(second / 3600);
    out.append(":");
    two(second / 60 % 60);
    out.append(":");
    two(second % 60);
    return out.append(" GMT");
}

}  // namespace pushhub

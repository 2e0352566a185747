#pragma once

#include <array>
#include <charconv>
#include <clocale>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include <pushhub/json/detail/scan.hpp>

namespace pushhub::json::detail {

// RapidJSON converts doubles approximately in both directions: its parser is off by one unit in the
// last place for one number in ten, its writer does not always find the shortest digits. So the
// standard library converts them, here.

/// `nearestDouble` by strtod, which exists everywhere. strtod expects the decimal point of the
/// locale.
inline double nearestDoubleByStrtod(std::string_view number) {
    std::string text(number);
    if (const std::size_t point = text.find('.'); point != std::string::npos) {
        text.replace(point, 1, std::localeconv()->decimal_point);
    }
    return std::strtod(text.c_str(), nullptr);
}

/// The double nearest to `number`, which follows the grammar of JSON: an infinity above the range
/// of double, a zero below it. Independent of the locale. Linear.
inline double nearestDouble(std::string_view number) {
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
    double value = 0;
    const char* const end = number.data() + number.size();
    if (std::from_chars(number.data(), end, value).ec == std::errc()) {
        return value;
    }
    // Out of range, which does not say on which side.
#endif
    return nearestDoubleByStrtod(number);
}

/// The decimal form of a positive double: `0.d1d2d3…` times ten to the power of `point`.
struct Decimal {
    std::array<char, 17> digits;
    int count = 0;  ///< Digits without trailing zeros: 1 to 17.
    int point = 0;
};

/// Reads `d.ddde±XX`, whatever the decimal point is.
inline Decimal toDecimal(std::string_view scientific) noexcept {
    Decimal decimal{};
    const std::size_t e = scientific.rfind('e');
    for (const char c : scientific.substr(0, e)) {
        if (isDigit(c)) {
            decimal.digits[static_cast<std::size_t>(decimal.count++)] = c;
        }
    }
    while (decimal.count > 1 &&
           decimal.digits[static_cast<std::size_t>(decimal.count - 1)] == '0') {
        --decimal.count;
    }
    for (const char c : scientific.substr(e + 2)) {
        decimal.point = decimal.point * 10 + (c - '0');
    }
    decimal.point = (scientific[e + 1] == '-' ? -decimal.point : decimal.point) + 1;
    return decimal;
}

/// The next decimal above that has up to `count` digits.
inline Decimal nextAbove(Decimal decimal, int count) noexcept {
    while (decimal.count < count) {
        decimal.digits[static_cast<std::size_t>(decimal.count++)] = '0';
    }
    while (decimal.count > 0 &&
           decimal.digits[static_cast<std::size_t>(decimal.count - 1)] == '9') {
        --decimal.count;
    }
    if (decimal.count == 0) {
        return {{'1'}, 1, decimal.point + 1};
    }
    ++decimal.digits[static_cast<std::size_t>(decimal.count - 1)];
    return decimal;
}

/// `shortestDecimal` by printf, which exists everywhere.
inline Decimal shortestDecimalByPrintf(double positive) {
    const auto comesBack = [&](const Decimal& decimal) {
        const std::string text(decimal.digits.data(), static_cast<std::size_t>(decimal.count));
        return nearestDoubleByStrtod(text + 'e' + std::to_string(decimal.point - decimal.count)) ==
               positive;
    };
    std::array<char, 64> buffer{};
    // Fewer digits are enough for some normal doubles, and 15 find them.
    const int fewest = positive < (std::numeric_limits<double>::min)() ? 1 : 15;
    for (int digits = fewest;; ++digits) {
        const int length =
            std::snprintf(buffer.data(), buffer.size(), "%.*e", digits - 1, positive);
        const Decimal nearest = toDecimal({buffer.data(), static_cast<std::size_t>(length)});
        if (digits == 17 || comesBack(nearest)) {
            return nearest;
        }
        // The doubles below a power of two are closer than those above.
        const Decimal above = nextAbove(nearest, digits);
        if (comesBack(above)) {
            return above;
        }
    }
}

/// The fewest digits from which `nearestDouble` makes `positive` again.
inline Decimal shortestDecimal(double positive) {
#if defined(__cpp_lib_to_chars) && __cpp_lib_to_chars >= 201611L
    std::array<char, 32> buffer;
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), positive,
                                      std::chars_format::scientific);
    return toDecimal({buffer.data(), static_cast<std::size_t>(result.ptr - buffer.data())});
#else
    return shortestDecimalByPrintf(positive);
#endif
}

/// A finite double as JSON. Where JavaScript writes an exponent, so does this; a whole number ends
/// in `.0`, which makes readers that have integers take it for a double.
class DoubleText {
public:
    explicit DoubleText(double value) {
        if (std::signbit(value)) {
            put('-');
        }
        if (value == 0) {
            put("0.0");
        } else {
            write(shortestDecimal(std::fabs(value)));
        }
    }

    std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
    void write(const Decimal& decimal) noexcept {
        constexpr int mostWholeDigits = 21;
        constexpr int mostLeadingZeros = 5;
        const std::string_view digits(decimal.digits.data(),
                                      static_cast<std::size_t>(decimal.count));
        const int point = decimal.point;
        if (point > mostWholeDigits || point < -mostLeadingZeros) {
            put(digits[0]);
            if (digits.size() > 1) {
                put('.');
                put(digits.substr(1));
            }
            put('e');
            const auto result =
                std::to_chars(text_.data() + size_, text_.data() + text_.size(), point - 1);
            size_ = static_cast<std::size_t>(result.ptr - text_.data());
        } else if (point <= 0) {
            put("0.");
            fill(-point);
            put(digits);
        } else if (point >= decimal.count) {
            put(digits);
            fill(point - decimal.count);
            put(".0");
        } else {
            put(digits.substr(0, static_cast<std::size_t>(point)));
            put('.');
            put(digits.substr(static_cast<std::size_t>(point)));
        }
    }

    void put(char c) noexcept { text_[size_++] = c; }

    void put(std::string_view text) noexcept {
        std::memcpy(text_.data() + size_, text.data(), text.size());
        size_ += text.size();
    }

    void fill(int zeros) noexcept {
        for (int i = 0; i < zeros; ++i) {
            put('0');
        }
    }

    std::array<char, 32> text_;  // 25 at most: -0.00000 and 17 digits
    std::size_t size_ = 0;
};

}  // namespace pushhub::json::detail

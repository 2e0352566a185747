// Numbers: every double and every 64-bit integer goes out and comes in as the same number.

#include <pushhub/json/json.hpp>

#include <clocale>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using namespace pushhub::json;
using pushhub::SessionPtr;

namespace {

using Limits = std::numeric_limits<double>;

// Bits, not values: the two zeros are equal, but not the same.
std::uint64_t bitsOf(double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

double doubleOf(std::uint64_t bits) {
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// What the handler of a Router sees of `{"type":"n","n":NUMBER}`.
class Reader {
public:
    Reader() {
        router_
            .on("n",
                [this](const SessionPtr&, const rapidjson::Value& object) {
                    number_.CopyFrom(object["n"], number_.GetAllocator());
                })
            .onError([this](const SessionPtr&, const RouteError& error) { error_ = error.code; });
    }

    const rapidjson::Value& operator()(std::string_view number) {
        number_.SetNull();
        error_.clear();
        router_({}, R"({"type":"n","n":)" + std::string(number) + "}");
        return number_;
    }

    std::error_code error() const { return error_; }

private:
    Router router_;
    rapidjson::Document number_;
    std::error_code error_;
};

// Doubles of every kind: all exponents, few digits, whole numbers, denormals, powers of two and of
// ten, and the neighbours of these.
std::vector<double> samples() {
    std::vector<double> values = {0.0,
                                  Limits::max(),
                                  Limits::min(),
                                  Limits::denorm_min(),
                                  Limits::epsilon(),
                                  9007199254740991.0,
                                  9007199254740993.0,
                                  18446744073709551616.0,
                                  9223372036854775808.0,
                                  5e-324};
    for (int e = -1074; e <= 1023; ++e) {
        values.push_back(std::ldexp(1.0, e));
    }
    for (int e = -323; e <= 308; ++e) {
        values.push_back(std::strtod(("1e" + std::to_string(e)).c_str(), nullptr));
    }
    const std::size_t count = values.size();
    for (std::size_t i = 0; i < count; ++i) {
        values.push_back(std::nextafter(values[i], 0.0));
        if (values[i] < Limits::max()) {
            values.push_back(std::nextafter(values[i], Limits::max()));
        }
    }
    std::mt19937_64 random(20240229);
    for (int i = 0; i < 4000; ++i) {
        const std::uint64_t bits = random() >> 1U;  // positive
        if (std::isfinite(doubleOf(bits))) {
            values.push_back(doubleOf(bits));
        }
        values.push_back(doubleOf(bits >> 12U));                                  // denormal
        values.push_back(static_cast<double>(bits >> 11U) / 9007199254740992.0);  // Math.random()
        values.push_back(static_cast<double>(bits % 100'000'000) / 100.0);        // a price
        values.push_back(static_cast<double>(bits));
    }
    return values;
}

// Runs `check` with a decimal comma. Machines without such a locale make one where they can.
template <class Check>
void withDecimalComma(Check check) {
    const std::string before = std::setlocale(LC_NUMERIC, nullptr);
    if (std::setlocale(LC_NUMERIC, "de_DE.UTF-8") == nullptr) {
#ifdef __linux__
        char directory[] = "/tmp/pushhub_locale_XXXXXX";
        REQUIRE(::mkdtemp(directory) != nullptr);
        const std::string path = directory;
        // An emulator's localedef is its host's, of which the order of bytes may be another.
        const std::string order =
            __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "--big-endian" : "--little-endian";
        const std::string make =
            "localedef " + order + " -i de_DE -f UTF-8 " + path + "/de_DE.UTF-8 >/dev/null 2>&1";
        const bool made = std::system(make.c_str()) == 0;
        ::setenv("LOCPATH", directory, 1);
        std::setlocale(LC_NUMERIC, "de_DE.UTF-8");
        ::unsetenv("LOCPATH");
        CHECK(std::system(("rm -rf " + path).c_str()) == 0);
        if (made) {
            CHECK(std::string(std::localeconv()->decimal_point) == ",");
        }
#endif
    }
    if (std::string(std::localeconv()->decimal_point) != ",") {
        WARN("no locale with a decimal comma");
    }
    check();
    std::setlocale(LC_NUMERIC, before.c_str());
}

}  // namespace

TEST_CASE("every double comes back as the same double") {
    Reader read;
    std::size_t wrong = 0;
    const auto check = [&](double value) {
        const std::string text = Fragment(value).str();
        const std::string ofValue = Fragment(rapidjson::Value(value)).str();
        const auto& number = read(text);
        if (text != ofValue || !number.IsDouble() || bitsOf(number.GetDouble()) != bitsOf(value)) {
            ++wrong;
            CAPTURE(text, ofValue);
            CHECK(number.IsDouble());
        }
    };
    for (const double value : samples()) {
        check(value);
        check(-value);
    }
    CHECK(wrong == 0);
}

TEST_CASE("digits of any number give the nearest double") {
    Reader read;
    std::size_t wrong = 0;
    const auto check = [&](const std::string& text) {
        const auto& number = read(text);
        if (!number.IsDouble() ||
            bitsOf(number.GetDouble()) != bitsOf(std::strtod(text.c_str(), nullptr))) {
            ++wrong;
            CAPTURE(text);
            CHECK(number.IsDouble());
        }
    };
    char buffer[1200];
    const auto print = [&](const char* format, int precision, double value) {
        std::snprintf(buffer, sizeof buffer, format, precision, value);
        return std::string(buffer);
    };
    std::mt19937_64 random(7);
    for (int i = 0; i < 3000; ++i) {
        const double value = doubleOf(random() & ~(std::uint64_t{1} << 63U));
        if (std::isfinite(value)) {
            // JavaScript's 17 digits and fewer, and all digits that a double has.
            for (const int precision : {0, 5, 14, 15, 16, 17, 18, 19, 20, 30, 100, 800}) {
                check(print("%.*e", precision, value));
            }
        }
    }
    // Halfway between two doubles, a little less and a little more.
    for (int i = 0; i < 2000; ++i) {
        const std::uint64_t odd = (random() >> 10U) | (std::uint64_t{1} << 53U) | 1U;
        const int exponent = static_cast<int>(random() % 900) - 500;
        // An odd number of 54 bits, in decimal: no double holds it.
        std::string half = print("%.*f", 0, static_cast<double>(odd - 1));
        half.back() = static_cast<char>(half.back() + 1);
        check(half + ".0");
        check(half + ".0000000000000000000000000000000000000000000000000000001");
        std::string below = half;
        below.back() = static_cast<char>(below.back() - 1);
        check(below + ".99999999999999999999999999999999999999999999999999");
        check(half + "e" + std::to_string(exponent % 280));
    }
    for (const char* const text : {"0.1000000000000000055511151231257827021181583404541015625",
                                   "2.2250738585072011e-308",
                                   "2.2250738585072012e-308",
                                   "2.4703282292062327e-324",
                                   "2.4703282292062328e-324",
                                   "1.7976931348623158e308",
                                   "1e23",
                                   "8.41e21",
                                   "9.5e-3",
                                   "-0.0",
                                   "-0e5",
                                   "0e-5",
                                   "0.000e99",
                                   "1e-400",
                                   "-1e-999",
                                   "1e0000000000000000000000000001",
                                   "123456789012345678901234567890",
                                   "18446744073709551616",
                                   "-9223372036854775809",
                                   "36893488147419103232",
                                   "100000000000000000000000.0",
                                   "1E+2",
                                   "1e+02",
                                   "12E-1"}) {
        check(text);
    }
    check("0." + std::string(400, '0') + "123e400");
    // What looks too large where only digits or only the exponent are looked at.
    check("0e400");
    check("-0.00e999");
    check(std::string(400, '7') + "e-100");
    check("1" + std::string(700, '0') + "e-700");
    check("0." + std::string(999, '0') + "1e999");
    char most[400];
    std::snprintf(most, sizeof most, "%.0f", Limits::max());
    check(most);
    check(std::string("-") + most + ".0");
    check(std::string(300, '9') + "." + std::string(800, '9'));
    check("1." + std::string(10000, '0') + "1");
    CHECK(wrong == 0);
}

TEST_CASE("numbers above the range of a double are refused, not infinite") {
    Reader read;
    for (const char* const text : {"1e309", "-1e309", "1.7976931348623159e308",
                                   "1797693134862315808e290", "17976.931348623159e304"}) {
        INFO(text);
        CHECK(read(text).IsNull());
        CHECK(read.error() == Errc::numberOutOfRange);
        CHECK_THROWS_AS(raw(text), std::system_error);
    }
    for (const char* const text :
         {"1.7976931348623157e308", "1.7976931348623158e308", "-17976931348623157.0e292"}) {
        INFO(text);
        CHECK(std::abs(read(text).GetDouble()) == Limits::max());
        CHECK_NOTHROW(raw(text));
    }
}

TEST_CASE("a number that looks too large changes nothing about the rest of a message") {
    const std::string rest =
        R"("e":[1e5,-2.5E-3,[1e300]],"s":"1e400 \"1e400","-1e400":"\\","i":7,"d":0.1,"x":1e400})";
    const std::string zero = R"({"type":"n","n":0e400,)";
    rapidjson::Document object;
    std::size_t errorAt = 0;
    Router router;
    router
        .on("n",
            [&](const SessionPtr&, const rapidjson::Value& message) {
                object.CopyFrom(message, object.GetAllocator());
            })
        .onError([&](const SessionPtr&, const RouteError& error) {
            CHECK(error.code == Errc::numberOutOfRange);
            errorAt = error.offset;
        });
    router({}, zero + rest);
    CHECK(errorAt == (zero + rest).size() - 6);
    router({}, zero + rest.substr(0, rest.size() - 6) + "1}");
    REQUIRE(object.IsObject());
    CHECK(Fragment(object).str() ==
          R"({"type":"n","n":0.0,"e":[100000.0,-0.0025,[1e300]],"s":"1e400 \"1e400",)"
          R"("-1e400":"\\","i":7,"d":0.1,"x":1})");
    // What is malformed stays so.
    for (const char* const wrong : {"[0e400,01e5]", "[0e400,1e]", "[0e400,-]", "[0e400,1.e5]",
                                    "[0e400,--1e5]", "[0e400,1e5e5]", "[0e400,\"1e5]"}) {
        INFO(wrong);
        try {
            raw(wrong);
            FAIL_CHECK("was not refused");
        } catch (const std::system_error& error) {
            CHECK(error.code() == Errc::malformed);
        }
    }
    CHECK(raw("[0e400,1]").str() == "[0e400,1]");
}

TEST_CASE("integers of 64 bits come back as the same integers") {
    Reader read;
    const auto check = [&](auto value) {
        const std::string text = Fragment(value).str();
        INFO(text);
        CHECK(text == std::to_string(value));
        CHECK(Fragment(rapidjson::Value(value)).str() == text);
        const auto& number = read(text);
        CHECK_FALSE(number.IsDouble());
        if constexpr (std::is_signed_v<decltype(value)>) {
            REQUIRE(number.IsInt64());
            CHECK(number.GetInt64() == value);
        } else {
            REQUIRE(number.IsUint64());
            CHECK(number.GetUint64() == value);
        }
    };
    for (unsigned shift = 0; shift < 64; ++shift) {
        const std::uint64_t power = std::uint64_t{1} << shift;
        for (const std::uint64_t value : {power - 1, power, power + 1}) {
            check(value);
            check(static_cast<std::int64_t>(value));
            check(static_cast<std::int64_t>(~value + 1));
        }
    }
    std::mt19937_64 random(64);
    for (int i = 0; i < 2000; ++i) {
        const std::uint64_t value = random();
        check(value >> (value % 64));
        check(static_cast<std::int64_t>(value));
    }
    check(std::numeric_limits<std::int64_t>::min());
    check(std::numeric_limits<std::int64_t>::max());
    check(std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("an integer is a number without fraction and exponent that 64 bits hold") {
    Reader read;
    CHECK(read("1").IsInt());
    CHECK(read("0").IsInt());
    CHECK(read("1.0").IsDouble());
    CHECK(read("1e3").IsDouble());
    CHECK(read("18446744073709551615").IsUint64());
    CHECK(read("18446744073709551616").IsDouble());
    CHECK(read("-9223372036854775808").IsInt64());
    CHECK(read("-9223372036854775809").IsDouble());
    CHECK(read("-1").IsInt());
    // Only a double has this zero.
    CHECK(read("-0").IsDouble());
    CHECK(std::signbit(read("-0").GetDouble()));
}

TEST_CASE("doubles are written as JavaScript writes them, whole ones with .0") {
    const auto text = [](double value) { return Fragment(value).str(); };
    CHECK(text(0.0) == "0.0");
    CHECK(text(-0.0) == "-0.0");
    CHECK(text(1.0) == "1.0");
    CHECK(text(-100.0) == "-100.0");
    CHECK(text(0.1) == "0.1");
    CHECK(text(1.0 / 3.0) == "0.3333333333333333");
    CHECK(text(123456.789) == "123456.789");
    CHECK(text(0.000001) == "0.000001");
    CHECK(text(0.0000012345) == "0.0000012345");
    CHECK(text(0.0000001) == "1e-7");
    CHECK(text(-1.5e-10) == "-1.5e-10");
    CHECK(text(1e20) == "100000000000000000000.0");
    CHECK(text(123456789012345680000.0) == "123456789012345680000.0");
    CHECK(text(1e21) == "1e21");
    CHECK(text(-1.2345e100) == "-1.2345e100");
    CHECK(text(Limits::max()) == "1.7976931348623157e308");
    CHECK(text(Limits::denorm_min()) == "5e-324");
    CHECK(text(-1.2345678901234568e-300) == "-1.2345678901234568e-300");
    CHECK(text(-0.0000012345678901234567) == "-0.0000012345678901234567");
}

TEST_CASE("doubles have the fewest digits") {
    CHECK(Fragment(5.684341886080802e-14).str() == "5.684341886080802e-14");
    CHECK(Fragment(9007199254740994.0).str() == "9007199254740994.0");
    CHECK(Fragment(2e-44).str() == "2e-44");
    CHECK(Fragment(5.8339553793802237e+23).str() == "5.8339553793802237e23");
    CHECK(Fragment(rapidjson::Value(9.5e-3)).str() == "0.0095");
    // With the one digit less that is nearest, and with its neighbours, it is another double.
    std::size_t wrong = 0;
    for (const double value : samples()) {
        const detail::Decimal decimal = detail::shortestDecimal(value == 0 ? 1.0 : value);
        if (decimal.count > 1) {
            const std::string digits(decimal.digits.data(),
                                     static_cast<std::size_t>(decimal.count - 1));
            const std::uint64_t shorter = std::stoull(digits);
            for (const std::uint64_t near : {shorter - 1, shorter, shorter + 1, shorter + 2}) {
                const std::string text =
                    std::to_string(near) + "e" + std::to_string(decimal.point - decimal.count + 1);
                wrong += detail::nearestDouble(text) == value ? 1U : 0U;
            }
        }
    }
    CHECK(wrong == 0);
}

#ifndef __MINGW32__  // which has both, and a strtod that rounds differently
TEST_CASE("without std::from_chars and std::to_chars numbers are the same") {
    std::size_t wrong = 0;
    const auto check = [&](double value) {
        const std::string text(detail::DoubleText(value).view());
        if (bitsOf(detail::nearestDoubleByStrtod(text)) != bitsOf(value)) {
            ++wrong;
        }
        const detail::Decimal decimal = detail::shortestDecimalByPrintf(value);
        const std::string digits(decimal.digits.data(), static_cast<std::size_t>(decimal.count));
        const std::string again = "0." + digits + "e" + std::to_string(decimal.point);
        if (bitsOf(detail::nearestDouble(again)) != bitsOf(value) ||
            decimal.count != detail::shortestDecimal(value).count) {
            ++wrong;
        }
    };
    withDecimalComma([&] {
        for (const double value : samples()) {
            if (value != 0) {
                check(value);
            }
        }
    });
    CHECK(wrong == 0);
    CHECK(detail::nearestDoubleByStrtod("1e999") == Limits::infinity());
    CHECK(detail::nearestDoubleByStrtod("-1e-999") == 0.0);
}
#endif

TEST_CASE("the locale has no say in numbers") {
    withDecimalComma([] {
        Reader read;
        CHECK(read("1.5").GetDouble() == 1.5);
        CHECK(read("1.5e-400").GetDouble() == 0.0);
        CHECK(read("1.5e309").IsNull());
        CHECK(Fragment(1.5).str() == "1.5");
        CHECK(Fragment(rapidjson::Value(1.5)).str() == "1.5");
        CHECK(Fragment(12345678).str() == "12345678");
    });
}

#include <pushhub/protocol/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using pushhub::protocol::isValidUtf8;
using pushhub::protocol::utf8PrefixLength;

namespace {

std::string encode(std::uint32_t c) {
    const auto byte = [](std::uint32_t value) {
        return static_cast<char>(static_cast<unsigned char>(value));
    };
    std::string text;
    if (c < 0x80) {
        text += byte(c);
    } else if (c < 0x800) {
        text += byte(0xc0 | (c >> 6));
        text += byte(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        text += byte(0xe0 | (c >> 12));
        text += byte(0x80 | ((c >> 6) & 0x3f));
        text += byte(0x80 | (c & 0x3f));
    } else {
        text += byte(0xf0 | (c >> 18));
        text += byte(0x80 | ((c >> 12) & 0x3f));
        text += byte(0x80 | ((c >> 6) & 0x3f));
        text += byte(0x80 | (c & 0x3f));
    }
    return text;
}

}  // namespace

TEST_CASE("Exactly the characters of Unicode are valid, each in its one form", "[utf8]") {
    std::size_t wrong = 0;
    for (std::uint32_t c = 0; c < 0x200000; ++c) {
        const bool expected = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        wrong += isValidUtf8(encode(c)) == expected ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("Every string of two bytes and every one of three from a lead byte is judged right",
          "[utf8]") {
    // What is valid is known from the encoder; all else must be refused.
    std::vector<bool> valid2(0x10000);
    std::vector<bool> valid3(0x1000000);
    for (std::uint32_t c = 0; c < 0x10000; ++c) {
        if (c >= 0xd800 && c <= 0xdfff) {
            continue;
        }
        const std::string text = encode(c);
        std::uint32_t number = 0;
        for (const char b : text) {
            number = number << 8 | static_cast<unsigned char>(b);
        }
        if (text.size() == 2) {
            valid2[number] = true;
        } else if (text.size() == 3) {
            valid3[number] = true;
        }
    }
    std::size_t wrong = 0;
    for (std::uint32_t n = 0x8000; n < 0x10000; ++n) {
        const char text[] = {static_cast<char>(n >> 8), static_cast<char>(n & 0xff)};
        wrong += isValidUtf8({text, 2}) == valid2[n] ? 0 : 1;
    }
    CHECK(wrong == 0);
    for (std::uint32_t n = 0xe00000; n < 0x1000000; ++n) {
        const char text[] = {static_cast<char>(n >> 16), static_cast<char>((n >> 8) & 0xff),
                             static_cast<char>(n & 0xff)};
        wrong += isValidUtf8({text, 3}) == valid3[n] ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("Known bad sequences are refused", "[utf8]") {
    for (const char* const text : {"\x80",
                                   "\xbf",
                                   "\xc0\x80",
                                   "\xc0\xaf",
                                   "\xc1\xbf",
                                   "\xc2",
                                   "\xc2\x41",
                                   "\xe0\x80\xaf",
                                   "\xe0\x9f\xbf",
                                   "\xe2\x82",
                                   "\xe2\x28\xa1",
                                   "\xed\xa0\x80",
                                   "\xed\xbf\xbf",
                                   "\xed\xa0\xbd\xed\xb8\x80",
                                   "\xf0\x80\x80\xaf",
                                   "\xf0\x8f\xbf\xbf",
                                   "\xf0\x9f\x98",
                                   "\xf0\x9f\x28\x80",
                                   "\xf4\x90\x80\x80",
                                   "\xf5\x80\x80\x80",
                                   "\xf8\x88\x80\x80\x80",
                                   "\xfc\x84\x80\x80\x80\x80",
                                   "\xfe",
                                   "\xff",
                                   "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce"}) {
        INFO(text);
        CHECK_FALSE(isValidUtf8(text));
    }
    CHECK(isValidUtf8(""));
    CHECK(isValidUtf8(std::string_view("a\0b", 3)));
    CHECK(isValidUtf8("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"));
}

TEST_CASE("A fault is seen wherever it stands and whatever surrounds it", "[utf8]") {
    const std::vector<std::string> fillings = {"a", "\xc3\xbc", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    const std::vector<std::string> faults = {"\xff", "\x80", "\xc0\x80", "\xed\xa0\x80",
                                             "\xf4\x90\x80\x80"};
    for (const std::string& filling : fillings) {
        for (const std::string& fault : faults) {
            for (std::size_t at = 0; at < 40; ++at) {
                std::string text;
                for (std::size_t i = 0; i < 40; ++i) {
                    text += i == at ? fault : filling;
                }
                if (isValidUtf8(text)) {
                    FAIL_CHECK("not seen at " << at << " among " << filling);
                }
            }
        }
    }
}

TEST_CASE("A text cut inside a character is refused, at a boundary not", "[utf8]") {
    const std::string text =
        "ab\xc3\xbc\xe4\xb8\xad"
        "0123456789abcdefg\xf0\x9f\x98\x80z\xc3\xa9";
    for (std::size_t length = 0; length <= text.size(); ++length) {
        // A copy of exactly this length lets the sanitizers see a read beyond it.
        const std::unique_ptr<char[]> copy(new char[length == 0 ? 1 : length]);
        std::memcpy(copy.get(), text.data(), length);
        const bool boundary =
            length == text.size() || (static_cast<unsigned char>(text[length]) & 0xc0) != 0x80;
        INFO(length);
        CHECK(isValidUtf8({copy.get(), length}) == boundary);
        CHECK(utf8PrefixLength(text, length) <= length);
        CHECK((utf8PrefixLength(text, length) == length) == boundary);
        CHECK(isValidUtf8(std::string_view(text).substr(0, utf8PrefixLength(text, length))));
    }
}

TEST_CASE("A prefix is cut as late as possible", "[utf8]") {
    CHECK(utf8PrefixLength("", 0) == 0);
    CHECK(utf8PrefixLength("abc", 3) == 3);
    CHECK(utf8PrefixLength("abc", 100) == 3);
    CHECK(utf8PrefixLength("abc", 2) == 2);
    CHECK(utf8PrefixLength("abc", 0) == 0);
    CHECK(utf8PrefixLength("\xc3\xbc", 1) == 0);
    CHECK(utf8PrefixLength("a\xc3\xbc", 2) == 1);
    CHECK(utf8PrefixLength("a\xe4\xb8\xad", 3) == 1);
    CHECK(utf8PrefixLength("\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 7) == 4);
    CHECK(utf8PrefixLength("\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 4) == 4);
    CHECK(utf8PrefixLength("\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 3) == 0);
    CHECK(utf8PrefixLength(std::string(200, 'a') + "\xc3\xbc", 123) == 123);
    CHECK(utf8PrefixLength(std::string(122, 'a') + "\xc3\xbc", 123) == 122);
}

TEST_CASE("A prefix of what is no UTF-8 is still short enough", "[utf8]") {
    const std::string tails(50, '\x80');
    for (std::size_t most = 0; most <= 50; ++most) {
        CHECK(utf8PrefixLength(tails, most) <= most);
    }
    CHECK(utf8PrefixLength(tails, 20) == 20);
}

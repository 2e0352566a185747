#include <pushhub/json/message.hpp>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include "support/catch.hpp"

namespace json = pushhub::json;
using json::Array;
using json::Errc;
using json::Fragment;
using json::Message;
using json::Object;

namespace {

template <class Function>
std::error_code codeOf(Function function) {
    try {
        function();
    } catch (const std::system_error& error) {
        return error.code();
    }
    return {};
}

template <class T>
std::string jsonOf(const T& value) {
    return Fragment(value).str();
}

rapidjson::Document parsed(const std::string& text) {
    rapidjson::Document document;
    document.Parse<rapidjson::kParseValidateEncodingFlag>(text.data(), text.size());
    INFO(text);
    REQUIRE_FALSE(document.HasParseError());
    return document;
}

std::string textOf(const rapidjson::Value& value) {
    REQUIRE(value.IsString());
    return {value.GetString(), value.GetStringLength()};
}

}  // namespace

TEST_CASE("a message has cmd, msgId and msgTxt in this order") {
    CHECK(Message("topic").msgId("7").msgTxt("hello").str() ==
          R"({"cmd":"topic","msgId":"7","msgTxt":"hello"})");
    CHECK(Message("topic", 42).msgId("7").str() == R"({"cmd":"topic","msgId":"7","msgTxt":42})");
    CHECK(Message("topic").msgId("7").str() == R"({"cmd":"topic","msgId":"7","msgTxt":null})");
}

TEST_CASE("a message has a fresh UUID, which a copy and str() keep") {
    const Message first("topic");
    const Message second("topic");
    CHECK(first.msgId().size() == 36);
    CHECK(first.msgId()[14] == '4');
    CHECK(first.msgId() != second.msgId());
    const Message copy = first;
    CHECK(copy.msgId() == first.msgId());
    CHECK(copy.str() == first.str());
    CHECK(textOf(parsed(first.str())["msgId"]) == first.msgId());
}

TEST_CASE("setting msgTxt again replaces it, and a refused value leaves it alone") {
    Message message("topic");
    message.msgId("1").msgTxt(1).msgTxt("two");
    CHECK(codeOf([&] { message.msgTxt("\xff"); }) == Errc::invalidUtf8);
    CHECK(codeOf([&] { message.msgId("\xff"); }) == Errc::invalidUtf8);
    CHECK(message.str() == R"({"cmd":"topic","msgId":"1","msgTxt":"two"})");
}

TEST_CASE("cmd and msgId are escaped like any text") {
    const Message message = Message("to\"pic\n").msgId("a\\b\x01");
    CHECK(message.msgId() == "a\\b\x01");
    const std::string text = message.str();
    CHECK(text == R"({"cmd":"to\"pic\n","msgId":"a\\b\u0001","msgTxt":null})");
    CHECK(textOf(parsed(text)["cmd"]) == "to\"pic\n");
}

TEST_CASE("scalars become JSON") {
    CHECK(jsonOf(nullptr) == "null");
    CHECK(jsonOf(true) == "true");
    CHECK(jsonOf(false) == "false");
    CHECK(jsonOf(0) == "0");
    CHECK(jsonOf(-17L) == "-17");
    CHECK(jsonOf(std::int8_t{-5}) == "-5");
    CHECK(jsonOf(std::uint8_t{200}) == "200");
    CHECK(jsonOf(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
    CHECK(jsonOf(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
    CHECK(jsonOf(1.5) == "1.5");
    CHECK(jsonOf(0.1) == "0.1");
    CHECK(jsonOf(-2.5F) == "-2.5");
    CHECK(jsonOf(1e300) == "1e300");
    CHECK(jsonOf("text") == R"("text")");
    CHECK(jsonOf("") == R"("")");
    CHECK(jsonOf(std::string("text")) == R"("text")");
    CHECK(jsonOf(std::string_view("text")) == R"("text")");
    CHECK(jsonOf(std::string_view()) == R"("")");
    const char* const pointer = "text";
    CHECK(jsonOf(pointer) == R"("text")");
}

TEST_CASE("what is no JSON value does not convert") {
    CHECK_FALSE(std::is_constructible_v<Fragment, char>);
    CHECK_FALSE(std::is_constructible_v<Fragment, wchar_t>);
    CHECK_FALSE(std::is_constructible_v<Fragment, char16_t>);
    CHECK_FALSE(std::is_constructible_v<Fragment, char32_t>);
    CHECK_FALSE(std::is_constructible_v<Fragment, int*>);
    CHECK_FALSE(std::is_constructible_v<Fragment, const void*>);
    CHECK_FALSE(std::is_default_constructible_v<Fragment>);
#ifdef __cpp_char8_t
    CHECK_FALSE(std::is_constructible_v<Fragment, char8_t>);
#endif
}

TEST_CASE("an infinity and NaN are refused") {
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(codeOf([&] { jsonOf(infinity); }) == Errc::numberOutOfRange);
    CHECK(codeOf([&] { jsonOf(-infinity); }) == Errc::numberOutOfRange);
    CHECK(codeOf([] { jsonOf(std::numeric_limits<double>::quiet_NaN()); }) ==
          Errc::numberOutOfRange);
    CHECK(codeOf([] { jsonOf(std::numeric_limits<float>::infinity()); }) == Errc::numberOutOfRange);
    CHECK(codeOf([&] { jsonOf(rapidjson::Value(infinity)); }) == Errc::numberOutOfRange);
}

TEST_CASE("every character of text survives") {
    std::string ascii;
    for (char c = 0; c < 127; ++c) {
        ascii += c;
    }
    const std::string all = ascii + "\x7f é € \xf0\x9f\x98\x80 \xef\xbf\xbf \xf4\x8f\xbf\xbf";
    const std::string text = Message("topic", all).str();
    CHECK(textOf(parsed(text)["msgTxt"]) == all);
    CHECK(text.find('\0') == std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(jsonOf("\xf0\x9f\x98\x80") == "\"\xf0\x9f\x98\x80\"");
    CHECK(jsonOf(std::string_view("a\0b", 3)) == R"("a\u0000b")");
    CHECK(jsonOf("\"\\\b\f\n\r\t\x1f/") == R"("\"\\\b\f\n\r\t\u001F/")");
}

TEST_CASE("text that is not UTF-8 is refused wherever it stands") {
    const std::string_view bad[] = {
        "\xff",
        "\x80",
        "ab\xc3",            // cut short
        "\xe2\x82",          // cut short
        "\xf0\x9f\x98",      // cut short
        "\xc0\xaf",          // overlong
        "\xe0\x80\xaf",      // overlong
        "\xed\xa0\x80",      // surrogate
        "\xf4\x90\x80\x80",  // above U+10FFFF
        "\xe2(\xa1",
    };
    for (const std::string_view text : bad) {
        CHECK(codeOf([&] { Fragment{text}; }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { Message{text}; }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { Message{"topic", text}; }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { Object().add(text, 1); }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { Object().add("key", text); }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { Array().add(text); }) == Errc::invalidUtf8);
        CHECK(codeOf([&] { json::raw('"' + std::string(text) + '"'); }) == Errc::invalidUtf8);

        const rapidjson::Value value(
            rapidjson::StringRef(text.data(), static_cast<rapidjson::SizeType>(text.size())));
        CHECK(codeOf([&] { Fragment{value}; }) == Errc::invalidUtf8);
    }
}

TEST_CASE("a view cut inside a character is refused, whatever follows it in memory") {
    const std::string_view euro = "\xe2\x82\xac";
    CHECK(jsonOf(euro) == "\"\xe2\x82\xac\"");
    CHECK(codeOf([&] { jsonOf(euro.substr(0, 2)); }) == Errc::invalidUtf8);
    const rapidjson::Value value(rapidjson::StringRef(euro.data(), 2));
    CHECK(codeOf([&] { jsonOf(value); }) == Errc::invalidUtf8);
}

TEST_CASE("objects and arrays nest") {
    CHECK(jsonOf(Object()) == "{}");
    CHECK(jsonOf(Array()) == "[]");
    CHECK(jsonOf(Object().add("a", 1)) == R"({"a":1})");
    CHECK(jsonOf(Array().add(1).add("x").add(nullptr)) == R"([1,"x",null])");
    const Message message("price",
                          Object()
                              .add("symbol", "A\"C")
                              .add("levels", Array().add(Array()).add(Object().add("bid", 1.5)))
                              .add("", false));
    const std::string text = message.str();
    CHECK(text.substr(text.find("\"msgTxt\"")) ==
          R"("msgTxt":{"symbol":"A\"C","levels":[[],{"bid":1.5}],"":false}})");
    parsed(text);
}

TEST_CASE("a builder can go on after it was used") {
    Array array;
    array.add(1);
    const Fragment before = array;
    array.add(2);
    CHECK(before.str() == "[1]");
    CHECK(jsonOf(array) == "[1,2]");
    Object object;
    object.add("a", 1);
    CHECK(codeOf([&] { object.add("\xff", 2); }) == Errc::invalidUtf8);
    CHECK(jsonOf(object.add("b", 2)) == R"({"a":1,"b":2})");
}

TEST_CASE("RapidJSON values become JSON") {
    const std::string text =
        R"({"a":[1,-2,3000000000,-3000000000,18446744073709551615,1.25],"b":{"":null},"c":true})";
    const rapidjson::Document document = parsed(text);
    CHECK(jsonOf(document) == text);
    CHECK(jsonOf(document["a"]) == text.substr(5, text.find(']') - 4));
    CHECK(Message("topic", document["c"]).msgId("1").str() ==
          R"({"cmd":"topic","msgId":"1","msgTxt":true})");

    rapidjson::GenericDocument<rapidjson::UTF8<>, rapidjson::CrtAllocator> otherAllocator;
    otherAllocator.Parse("[1,{\"x\":[]}]");
    CHECK(jsonOf(otherAllocator) == "[1,{\"x\":[]}]");
}

TEST_CASE("a bad key or value deep in a RapidJSON document is refused") {
    rapidjson::Document document(rapidjson::kArrayType);
    auto& allocator = document.GetAllocator();
    rapidjson::Value object(rapidjson::kObjectType);
    object.AddMember("\xc3(", 1, allocator);
    document.PushBack(object, allocator);
    CHECK(codeOf([&] { Fragment{document}; }) == Errc::invalidUtf8);
}

TEST_CASE("raw JSON is kept byte for byte") {
    for (const char* const text :
         {"null", "1", " [1, 2]\n", R"({"a":{"b":[]}})", R"("\ud83d\ude00")", "1e308", "-0.0",
          R"("\\\"[[[")", "123456789012345678901234567890", "1E-999"}) {
        INFO(text);
        CHECK(json::raw(text).str() == text);
    }
    CHECK(Message("t").msgId("1").msgTxt(json::raw("{\"a\":1}")).str() ==
          R"({"cmd":"t","msgId":"1","msgTxt":{"a":1}})");
    const std::string deep = std::string(1000, '[') + std::string(1000, ']');
    CHECK(json::raw(deep).str() == deep);
}

TEST_CASE("raw JSON that is not one valid value is refused, with the position") {
    const auto check = [](const std::string& text, Errc code, const std::string& position) {
        INFO(text.substr(0, 60));
        try {
            json::raw(text);
            FAIL_CHECK("was not refused");
        } catch (const std::system_error& error) {
            CHECK(error.code() == code);
            CHECK(std::string(error.what()).find("at byte " + position + ": ") == 0);
        }
    };
    check("", Errc::malformed, "0");
    check("{", Errc::malformed, "1");
    check("1,2", Errc::malformed, "1");
    check("{} {}", Errc::malformed, "3");
    check("1}", Errc::malformed, "1");
    check("nul", Errc::malformed, "3");
    check("'a'", Errc::malformed, "0");
    check("[1,]", Errc::malformed, "3");
    check("NaN", Errc::malformed, "0");
    check("/**/1", Errc::malformed, "0");
    check(std::string("1\0", 2), Errc::malformed, "1");
    check(std::string("1\0,\"cmd\":2", 10), Errc::malformed, "1");
    check("\"a\nb\"", Errc::malformed, "2");
    check(R"(["\udc00"])", Errc::malformed, "2");
    check("1e309", Errc::numberOutOfRange, "0");
    check("[99e308]", Errc::numberOutOfRange, "1");
    check("1e-99999999999", Errc::numberOutOfRange, "1");
    check(std::string(1001, '['), Errc::tooDeep, "1000");
}

TEST_CASE("milliseconds since the epoch are the clock's") {
    const std::int64_t before = static_cast<std::int64_t>(std::time(nullptr)) * 1000;
    const std::int64_t now = json::millisecondsSinceEpoch();
    const std::int64_t after = (static_cast<std::int64_t>(std::time(nullptr)) + 1) * 1000;
    // std::time may lag by a tick of the kernel.
    CHECK(now >= before);
    CHECK(now <= after + 1000);
    CHECK(jsonOf(now) == std::to_string(now));
}

TEST_CASE("the category has a name and a text for each error") {
    CHECK(std::string(json::jsonCategory().name()) == "pushhub.json");
    for (int value = static_cast<int>(Errc::malformed);
         value <= static_cast<int>(Errc::unknownType); ++value) {
        const std::string text = json::jsonCategory().message(value);
        CHECK_FALSE(text.empty());
        CHECK(text.find("unknown error") == std::string::npos);
    }
    CHECK(json::jsonCategory().message(99) == "unknown error 99");
}

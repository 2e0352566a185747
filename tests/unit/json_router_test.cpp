#include <pushhub/json/router.hpp>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace json = pushhub::json;
using json::Errc;
using json::RouteError;
using json::Router;
using json::RouterOptions;
using json::stringField;
using pushhub::SessionPtr;

static_assert(std::is_invocable_v<const Router&, const SessionPtr&, std::string_view>);
static_assert(std::is_convertible_v<Router, std::function<void(SessionPtr, std::string_view)>>);

namespace {

// The router only hands a session on, so an address does for one.
SessionPtr someSession() {
    static int place = 0;
    return {std::shared_ptr<int>(), reinterpret_cast<pushhub::Session*>(&place)};
}

// Routes one message that is expected to fail, and returns the error.
RouteError errorOf(std::string_view text, RouterOptions options = {}) {
    std::vector<RouteError> errors;
    bool handled = false;
    Router router(std::move(options));
    router.on("add", [&](const SessionPtr&, const rapidjson::Value&) { handled = true; });
    router.onError([&](const SessionPtr&, const RouteError& error) { errors.push_back(error); });
    router(someSession(), text);
    INFO("message: " << text.substr(0, 60));
    CHECK_FALSE(handled);
    REQUIRE(errors.size() == 1);
    return errors[0];
}

void checkError(std::string_view text, Errc code, std::size_t offset,
                std::string_view reasonPart = "") {
    INFO("message: " << text.substr(0, 60));
    const RouteError error = errorOf(text);
    INFO("reason: " << error.reason);
    CHECK(error.code == code);
    CHECK(error.offset == offset);
    CHECK_FALSE(error.reason.empty());
    CHECK(error.reason.find(reasonPart) != std::string::npos);
}

// Routes one message that is expected to arrive, and returns its "msg" as JSON type and text.
rapidjson::Document received(std::string_view text, RouterOptions options = {}) {
    rapidjson::Document copy;
    int count = 0;
    Router router(std::move(options));
    router.on("add", [&](const SessionPtr&, const rapidjson::Value& object) {
        ++count;
        copy.CopyFrom(object, copy.GetAllocator());
    });
    INFO("message: " << text.substr(0, 60));
    router(someSession(), text);
    REQUIRE(count == 1);
    return copy;
}

bool isAbout(const rapidjson::Value& value, double expected) {
    return value.IsDouble() && std::abs(value.GetDouble() / expected - 1.0) < 1e-12;
}

}  // namespace

TEST_CASE("a message goes to the handler its type names, with its session") {
    std::string log;
    const SessionPtr session = someSession();
    Router router;
    router
        .on("add",
            [&](const SessionPtr& from, const rapidjson::Value& object) {
                CHECK(from == session);
                log += "add " + std::string(stringField(object, "msg").value_or("?")) + ";";
            })
        .on("del", [&](const SessionPtr&, const rapidjson::Value&) { log += "del;"; })
        .on("", [&](const SessionPtr&, const rapidjson::Value&) { log += "empty;"; });
    router(session, R"({"msg":"hello","type":"add"})");
    router(session, R"( {"type" : "del"} )");
    router(session, R"({"type":""})");
    router(session, R"({"type":"\u0061dd"})");
    CHECK(log == "add hello;del;empty;add ?;");
}

TEST_CASE("types are compared byte for byte, NUL included") {
    CHECK(errorOf(R"({"type":"Add"})").code == Errc::unknownType);
    CHECK(errorOf(R"({"type":"add "})").code == Errc::unknownType);
    CHECK(errorOf(R"({"type":"ad"})").code == Errc::unknownType);
    CHECK(errorOf(R"({"type":"add\u0000"})").code == Errc::unknownType);
    CHECK(errorOf(R"({"type\u0000":"add"})").code == Errc::missingField);
}

TEST_CASE("the default handler gets what no other wants") {
    std::string log;
    Router router;
    router.on("add", [&](const SessionPtr&, const rapidjson::Value&) { log += "add;"; })
        .onDefault([&](const SessionPtr&, const rapidjson::Value& object) {
            log += "default " + std::string(*stringField(object, "type")) + ";";
        })
        .onError([&](const SessionPtr&, const RouteError& error) {
            log += "error " + error.code.message() + ";";
        });
    router({}, R"({"type":"add"})");
    router({}, R"({"type":"other"})");
    router({}, R"({"kind":"other"})");
    CHECK(log == "add;default other;error " + make_error_code(Errc::missingField).message() + ";");
}

TEST_CASE("another field can choose the handler") {
    RouterOptions options;
    options.field = "cmd";
    CHECK(received(R"({"type":"x","cmd":"add"})", options).IsObject());
    CHECK(errorOf(R"({"type":"add"})", options).code == Errc::missingField);
}

TEST_CASE("the session goes to the error handler") {
    const SessionPtr session = someSession();
    SessionPtr got;
    Router router;
    router.onError([&](const SessionPtr& from, const RouteError&) { got = from; });
    router(session, "x");
    CHECK(got == session);
}

TEST_CASE("malformed messages are refused with position and reason") {
    checkError("", Errc::malformed, 0, "empty");
    checkError("   ", Errc::malformed, 3, "empty");
    checkError("hello", Errc::malformed, 0, "Invalid value");
    checkError(R"({"type":"add")", Errc::malformed, 13, "comma");
    checkError(R"({"type" "add"})", Errc::malformed, 8, "colon");
    checkError(R"({"type":"add",})", Errc::malformed, 14, "name");
    checkError(R"({'type':"add"})", Errc::malformed, 1, "name");
    checkError(R"({type:"add"})", Errc::malformed, 1, "name");
    checkError(R"({"type":"add)", Errc::malformed, 12, "quotation mark");
    checkError(R"({"type":"add","n":01})", Errc::malformed, 19);
    checkError(R"({"type":"add","n":+1})", Errc::malformed, 18);
    checkError(R"({"type":"add","n":1.})", Errc::malformed, 20);
    checkError(R"({"type":"add","n":1e})", Errc::malformed, 20);
    checkError(R"({"type":"add","n":NaN})", Errc::malformed, 18);
    checkError(R"({"type":"add","n":Infinity})", Errc::malformed, 18);
    checkError(R"({"type":"add","n":tru})", Errc::malformed, 21);
    checkError(R"({"type":"add","s":"\x"})", Errc::malformed, 19);
    checkError(R"({"type":"add","s":"\u12g4"})", Errc::malformed, 19);
    checkError(R"({"type":"add" /* */})", Errc::malformed, 14);
    checkError("{\"type\":\"add\",\"s\":\"a\nb\"}", Errc::malformed, 20, "control");
    checkError("{\"type\":\"add\",\"a\x1f\":1}", Errc::malformed, 16, "control");
    checkError("]]]", Errc::malformed, 0);
}

TEST_CASE("one message is one value: nothing may follow it") {
    checkError(R"({"type":"add"} x)", Errc::malformed, 15, "root");
    checkError(R"({"type":"add"}{"type":"add"})", Errc::malformed, 14, "root");
    checkError(R"({"type":"add"}})", Errc::malformed, 14);
    CHECK(received("\t{\"type\":\"add\"}\r\n ").IsObject());
}

TEST_CASE("a byte order mark is refused") {
    checkError("\xef\xbb\xbf{\"type\":\"add\"}", Errc::malformed, 0);
}

TEST_CASE("NUL bytes are refused, and hide nothing behind them") {
    using namespace std::string_view_literals;
    checkError("{\"type\":\"add\"}\0"sv, Errc::malformed, 14, "NUL");
    checkError("{\"type\":\"add\"}\0[[[ garbage"sv, Errc::malformed, 14, "NUL");
    checkError("{\"type\":\"a\0dd\"}"sv, Errc::malformed, 10, "NUL");
    checkError("{\"type\":\"a\\\0dd\"}"sv, Errc::malformed, 11, "NUL");
    checkError("\0"sv, Errc::malformed, 0, "NUL");
    const auto object = received(R"({"type":"add","s":"a\u0000b"})");
    CHECK(*stringField(object, "s") == "a\0b"sv);
}

TEST_CASE("text that is not UTF-8 is refused") {
    checkError("{\"type\":\"add\",\"s\":\"\xff\"}", Errc::invalidUtf8, 19);
    checkError("{\"type\":\"add\",\"s\":\"\xc0\xaf\"}", Errc::invalidUtf8, 19);
    checkError("{\"type\":\"add\",\"s\":\"\xed\xa0\x80\"}", Errc::invalidUtf8, 19);
    checkError("{\"type\":\"add\",\"s\":\"ab\xe2\x82", Errc::invalidUtf8, 21);
    checkError("{\"type\":\"add\",\"\xf5\":1}", Errc::invalidUtf8, 15);
    checkError("{\"type\":\"add\",\xff}", Errc::malformed, 14);
}

TEST_CASE("surrogates come in pairs or not at all") {
    CHECK(*stringField(received(R"({"type":"add","s":"\ud83d\uDE00!"})"), "s") ==
          "\xf0\x9f\x98\x80!");
    CHECK(*stringField(received(R"({"type":"add","s":"\ud7ff\ue000"})"), "s") ==
          "\xed\x9f\xbf\xee\x80\x80");
    // An escaped backslash starts no escape of its own.
    CHECK(*stringField(received(R"({"type":"add","s":"\\udc00"})"), "s") == "\\udc00");
    checkError(R"({"type":"add","s":"\ud83d"})", Errc::malformed, 19, "surrogate");
    checkError(R"({"type":"add","s":"\ud83dx"})", Errc::malformed, 19, "surrogate");
    checkError(R"({"type":"add","s":"\ud83d\n"})", Errc::malformed, 19, "surrogate");
    checkError(R"({"type":"add","s":"\ud83d\ud83d"})", Errc::malformed, 19, "surrogate");
    checkError(R"({"type":"add","s":"\ude00"})", Errc::malformed, 19, "surrogate");
    checkError(R"({"type":"add","s":"\ud83d\ude00\ude00"})", Errc::malformed, 31, "surrogate");
    checkError(R"({"type":"add","\udfff":1})", Errc::malformed, 15, "surrogate");
}

TEST_CASE("nesting is limited before anything is built") {
    const auto nested = [](std::size_t levels) {
        return R"({"type":"add","a":)" + std::string(levels - 1, '[') +
               std::string(levels - 1, ']') + "}";
    };
    CHECK(received(nested(32)).IsObject());
    checkError(nested(33), Errc::tooDeep, 18 + 31);
    RouterOptions flat;
    flat.maxDepth = 1;
    CHECK(received(R"({"type":"add"})", flat).IsObject());
    CHECK(errorOf(R"({"type":"add","a":[]})", flat).code == Errc::tooDeep);
    RouterOptions deep;
    deep.maxDepth = 1000;
    CHECK(received(nested(1000), deep).IsObject());
    CHECK(errorOf(nested(1001), deep).code == Errc::tooDeep);

    // Brackets side by side or in text are no nesting.
    std::string wide = R"({"type":"add","a":[)";
    for (int i = 0; i < 100; ++i) {
        wide += "[],{},";
    }
    CHECK(received(wide + R"("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[{"]})").IsObject());
}

TEST_CASE("a hundred thousand brackets are just an error") {
    RouterOptions options;
    options.maxSize = 1 << 20;
    for (const char* const unit : {"[", "{", "{\"a\":", "[[", "[{\"a\":"}) {
        std::string text;
        for (int i = 0; i < 100000; ++i) {
            text += unit;
        }
        CHECK(errorOf(text, options).code == Errc::tooDeep);
    }
    CHECK(errorOf(std::string(100000, ']'), options).code == Errc::malformed);
    // Closing first does not buy depth.
    checkError(std::string(1000, '}') + std::string(33, '['), Errc::tooDeep, 1000 + 32);
}

TEST_CASE("size is limited before anything is read") {
    const std::string text = R"({"type":"add"})";
    RouterOptions options;
    options.maxSize = text.size();
    CHECK(received(text, options).IsObject());
    const RouteError error = errorOf(text + " ", options);
    CHECK(error.code == Errc::tooLarge);
    CHECK(error.offset == text.size());
    CHECK(error.reason == "The message has 15 bytes, the limit is 14.");

    const std::string filler(64 * 1024 - 20, 'x');
    CHECK(received(R"({"type":"add","":")" + filler + "\"}").IsObject());
    CHECK(errorOf(R"({"type":"add","":")" + filler + "x\"}").code == Errc::tooLarge);
}

TEST_CASE("numbers arrive as numbers") {
    const auto object =
        received(R"({"type":"add","i":-5,"u":18446744073709551615,"d":1.25,"e":1e3,"E":12E-1,)"
                 R"("big":1.7976931348623157e308,"small":-5e-324,"zero":0e99,"z":1e0000000001,)"
                 R"("none":1e-999,"long":123456789012345678901234567890})");
    CHECK(object["i"].GetInt() == -5);
    CHECK(object["u"].GetUint64() == 18446744073709551615U);
    CHECK(object["d"].GetDouble() == 1.25);
    CHECK(object["e"].GetDouble() == 1000.0);
    CHECK(isAbout(object["E"], 1.2));
    CHECK(isAbout(object["big"], 1.7976931348623157e308));
    CHECK(object["small"].GetDouble() <= 0.0);
    CHECK(object["z"].GetDouble() == 10.0);
    CHECK(object["none"].GetDouble() == 0.0);
    CHECK(isAbout(object["long"], 1.2345678901234568e29));
}

TEST_CASE("numbers no double holds are refused") {
    checkError(R"({"type":"add","n":1e309})", Errc::numberOutOfRange, 18);
    checkError(R"({"type":"add","n":99e308})", Errc::numberOutOfRange, 18);
    checkError(R"({"type":"add","n":-12345e305})", Errc::numberOutOfRange, 18);
    checkError(R"({"type":"add","n":)" + std::string(400, '9') + "}", Errc::numberOutOfRange, 18);
}

TEST_CASE("exponents that would overflow the converter are refused") {
    const std::string start = R"({"type":"add","n":)";
    for (const char* const number :
         {"1e1000", "1e-1000", "1E+99999", "0.0e-2147483648", "1e-2147483639",
          "0.00000000001e-2147483630", "1.5e-99999999999999999999", "0e9999999999",
          "1e00000000000000002147483648"}) {
        INFO(number);
        const RouteError error = errorOf(start + number + "}");
        CHECK(error.code == Errc::numberOutOfRange);
        CHECK(error.offset == start.size() + std::string_view(number).find_first_of("eE"));
        CHECK(error.reason.find("exponent") != std::string::npos);
    }
    // Not a number, so not an exponent.
    CHECK(received(R"({"type":"add","true":true,"s":"1e99999","e9999":false})").IsObject());
    // A long fraction counts against the exponent in the converter.
    const std::string zeros(60000, '0');
    CHECK(received(start + "0." + zeros + "1e-999}")["n"].GetDouble() == 0.0);
    CHECK(received(start + "0." + zeros + "1e999}")["n"].GetDouble() == 0.0);
}

TEST_CASE("what is not an object is refused") {
    checkError("[]", Errc::notAnObject, 0);
    checkError("  [1,{\"type\":\"add\"}]", Errc::notAnObject, 2);
    checkError("\"add\"", Errc::notAnObject, 0);
    checkError("17", Errc::notAnObject, 0);
    checkError("\nnull", Errc::notAnObject, 1);
    checkError("true", Errc::notAnObject, 0);
}

TEST_CASE("the field must be there, once, as a string") {
    checkError("{}", Errc::missingField, 0, "'type'");
    checkError(R"(  {"typ":"add","types":"add"})", Errc::missingField, 2, "'type'");
    checkError(R"({"a":{"type":"add"}})", Errc::missingField, 0);
    checkError(R"({"type":1})", Errc::fieldNotString, 0, "'type'");
    checkError(R"({"type":null})", Errc::fieldNotString, 0);
    checkError(R"({"type":["add"]})", Errc::fieldNotString, 0);
    checkError(R"({"type":"add","type":"del"})", Errc::repeatedField, 0, "'type'");
    checkError(R"({"type":"add","a":1,"type":"add"})", Errc::repeatedField, 0);
    checkError(R"({"type":"add","\u0074ype":1})", Errc::repeatedField, 0);
}

TEST_CASE("other keys may repeat: the first one counts") {
    const auto object = received(R"({"msg":"one","type":"add","msg":"two"})");
    CHECK(*stringField(object, "msg") == "one");
}

TEST_CASE("a peer's type cannot forge or flood a log") {
    checkError(R"({"type":"other"})", Errc::unknownType, 0, "'other'");
    const RouteError error =
        errorOf("{\"type\":\"a\\r\\n\xc3\xa9\\u0000" + std::string(5000, 'x') + "\"}");
    CHECK(error.code == Errc::unknownType);
    CHECK(error.reason.size() < 100);
    CHECK(error.reason.find("'a?????xxx") != std::string::npos);
    CHECK(error.reason.find("...'") != std::string::npos);
}

TEST_CASE("without an error handler the router throws code, position and reason") {
    Router router;
    router.on("add", [](const SessionPtr&, const rapidjson::Value&) {});
    const auto check = [&](std::string_view text, Errc code, const std::string& what) {
        try {
            router({}, text);
            FAIL_CHECK("nothing was thrown");
        } catch (const std::system_error& error) {
            CHECK(error.code() == code);
            CHECK(std::string(error.what()).find(what) == 0);
        }
    };
    check(R"({"type" "add"})", Errc::malformed, "at byte 8: Missing a colon");
    check("[]", Errc::notAnObject, "at byte 0: ");
    check("{}", Errc::missingField, "at byte 0: ");
    check(R"({"type":"x"})", Errc::unknownType, "at byte 0: No handler for 'x'.");
    check(std::string(33, '['), Errc::tooDeep, "at byte 32: ");
    CHECK_NOTHROW(router({}, R"({"type":"add"})"));
}

TEST_CASE("what a handler throws passes through, and the router goes on") {
    int calls = 0;
    int errors = 0;
    Router router;
    router
        .on("add",
            [&](const SessionPtr&, const rapidjson::Value&) {
                if (++calls == 1) {
                    throw std::runtime_error("host");
                }
            })
        .onError([&](const SessionPtr&, const RouteError&) {
            ++errors;
            throw std::logic_error("host");
        });
    CHECK_THROWS_AS(router({}, R"({"type":"add"})"), std::runtime_error);
    CHECK_THROWS_AS(router({}, "x"), std::logic_error);
    CHECK_NOTHROW(router({}, R"({"type":"add"})"));
    CHECK(calls == 2);
    CHECK(errors == 1);
}

TEST_CASE("setting a router up wrongly names what is wrong") {
    const auto noop = [](const SessionPtr&, const rapidjson::Value&) {};
    Router router;
    router.on("add", noop);
    CHECK_THROWS_WITH(router.on("add", noop), "Router.on: the type 'add' has a handler already");
    CHECK_THROWS_WITH(router.on("\xff", noop), "Router.on: the type '?' is not UTF-8");
    CHECK_THROWS_WITH(router.on("del", nullptr), "Router.on: the handler is empty");
    CHECK_THROWS_WITH(router.onDefault(nullptr), "Router.onDefault: the handler is empty");
    CHECK_THROWS_WITH(router.onError(nullptr), "Router.onError: the handler is empty");
    CHECK_THROWS_AS(router.on("add", noop), std::invalid_argument);

    const auto with = [](auto member, auto value) {
        RouterOptions options;
        options.*member = value;
        return Router(options);
    };
    CHECK_THROWS_AS(with(&RouterOptions::field, ""), std::invalid_argument);
    CHECK_THROWS_AS(with(&RouterOptions::field, "\xff"), std::invalid_argument);
    CHECK_THROWS_WITH(with(&RouterOptions::maxSize, 0U),
                      "RouterOptions.maxSize is 0, not from 1 to 1073741824");
    CHECK_THROWS_AS(with(&RouterOptions::maxSize, (std::size_t{1} << 30U) + 1),
                    std::invalid_argument);
    CHECK_THROWS_WITH(with(&RouterOptions::maxDepth, 0U),
                      "RouterOptions.maxDepth is 0, not from 1 to 1000");
    CHECK_THROWS_AS(with(&RouterOptions::maxDepth, 1001U), std::invalid_argument);
    CHECK_NOTHROW(with(&RouterOptions::maxSize, std::size_t{1} << 30U));
}

TEST_CASE("onDefault and onError replace what was set before") {
    std::string log;
    Router router;
    router.onDefault([&](const SessionPtr&, const rapidjson::Value&) { log += "old;"; })
        .onDefault([&](const SessionPtr&, const rapidjson::Value&) { log += "new;"; })
        .onError([&](const SessionPtr&, const RouteError&) { log += "old error;"; })
        .onError([&](const SessionPtr&, const RouteError&) { log += "new error;"; });
    router({}, R"({"type":"x"})");
    router({}, "x");
    CHECK(log == "new;new error;");
}

TEST_CASE("a router is a hook, by copy and by reference") {
    using Hook = std::function<void(const SessionPtr&, std::string_view)>;
    int count = 0;
    Router router;
    router.on("add", [&](const SessionPtr&, const rapidjson::Value&) { ++count; });
    const Hook copied = router;
    const Hook referred = std::ref(router);
    router.on("late", [&](const SessionPtr&, const rapidjson::Value&) { count += 10; });
    copied({}, R"({"type":"add"})");
    referred({}, R"({"type":"add"})");
    referred({}, R"({"type":"late"})");
    CHECK(count == 12);
    CHECK_THROWS_AS(copied({}, R"({"type":"late"})"), std::system_error);
}

TEST_CASE("a handler may route again") {
    std::string log;
    Router router;
    router
        .on("outer",
            [&](const SessionPtr& session, const rapidjson::Value& object) {
                router(session, R"({"type":"inner"})");
                log += std::string(*stringField(object, "type")) + ";";
            })
        .on("inner", [&](const SessionPtr&, const rapidjson::Value&) { log += "inner;"; });
    router({}, R"({"type":"outer"})");
    CHECK(log == "inner;outer;");
}

TEST_CASE("several threads may route at once") {
    std::atomic<int> handled{0};
    std::atomic<int> failed{0};
    Router router;
    router
        .on("add",
            [&](const SessionPtr&, const rapidjson::Value& object) {
                handled += object.FindMember("n")->value.GetInt();
            })
        .onError([&](const SessionPtr&, const RouteError& error) {
            failed += error.code == Errc::malformed ? 1 : 100000;
        });
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) {
                router({}, R"({"type":"add","n":3})");
                router({}, R"({"type":"add","n":})");
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(handled == 4 * 500 * 3);
    CHECK(failed == 4 * 500);
}

TEST_CASE("a message larger than the buffer on the stack arrives whole") {
    std::string text = R"({"type":"add","a":[)";
    for (int i = 0; i < 10000; ++i) {
        text += std::to_string(i) + ",";
    }
    text += R"("end"]})";
    const auto object = received(text);
    const auto& array = object["a"];
    REQUIRE(array.Size() == 10001);
    CHECK(array[9999].GetInt() == 9999);
    CHECK(array[10000] == "end");
}

TEST_CASE("stringField takes a member only if it is text") {
    rapidjson::Document object;
    object.Parse(R"({"s":"text","n":1,"e":"","":"nameless","n":"second"})");
    CHECK(stringField(object, "s") == std::string_view("text"));
    CHECK(stringField(object, "e") == std::string_view(""));
    CHECK(stringField(object, "") == std::string_view("nameless"));
    CHECK(stringField(object, {}) == std::string_view("nameless"));
    CHECK_FALSE(stringField(object, "n"));
    CHECK_FALSE(stringField(object, "x"));
    CHECK_FALSE(stringField(object["n"], "s"));
}

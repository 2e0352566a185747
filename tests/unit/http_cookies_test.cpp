#include <pushhub/http/cookies.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::findCookie;
using pushhub::forEachCookie;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs cookiesOf(std::string_view header) {
    Pairs cookies;
    forEachCookie(header, [&](std::string_view name, std::string_view value) {
        cookies.emplace_back(name, value);
    });
    return cookies;
}

}  // namespace

TEST_CASE("Cookies are told apart", "[http][cookies]") {
    struct Row {
        const char* header;
        Pairs cookies;
    };
    const std::vector<Row> rows = {
        {"", {}},
        {"a=b", {{"a", "b"}}},
        {"a=b; c=d", {{"a", "b"}, {"c", "d"}}},
        {"a=b;c=d", {{"a", "b"}, {"c", "d"}}},
        {"a=b;  \tc=d ;", {{"a", "b"}, {"c", "d"}}},
        {"a=b; a=c", {{"a", "b"}, {"a", "c"}}},
        {" a = b ", {{"a", "b"}}},
        {"a=", {{"a", ""}}},
        {"a=b=c==", {{"a", "b=c=="}}},
        {"a=\"b\"", {{"a", "b"}}},
        {"a=\"\"", {{"a", ""}}},
        {"a=\"", {{"a", "\""}}},
        {"a=\"b", {{"a", "\"b"}}},
        {"a=b\"", {{"a", "b\""}}},
        {"a=\"b\"\"c\"", {{"a", "b\"\"c"}}},
        {"a=%20+", {{"a", "%20+"}}},
        {"a=b c", {{"a", "b c"}}},
        {"a=b,c=d", {{"a", "b,c=d"}}},
        {"a=\xc3\xbc", {{"a", "\xc3\xbc"}}},
        {"a", {}},
        {"=b", {}},
        {" =b", {}},
        {";;; ;", {}},
        {"junk; a=b; =; more", {{"a", "b"}}},
        {"$Version=1; a=b; $Path=/", {{"$Version", "1"}, {"a", "b"}, {"$Path", "/"}}},
        {"__Host-sid=x; __Secure-t=y", {{"__Host-sid", "x"}, {"__Secure-t", "y"}}},
    };
    for (const Row& row : rows) {
        INFO(row.header);
        CHECK(cookiesOf(row.header) == row.cookies);
    }
}

TEST_CASE("A semicolon in quotes ends a cookie all the same", "[http][cookies]") {
    // RFC 6265 splits at every semicolon, and browsers never send one inside a value.
    CHECK(cookiesOf("a=\"b;c=d\"") == Pairs{{"a", "\"b"}, {"c", "d\""}});
}

TEST_CASE("The first cookie of a name is found", "[http][cookies]") {
    CHECK(findCookie("a=b; c=d", "c") == std::string_view("d"));
    CHECK(findCookie("a=1; a=2", "a") == std::string_view("1"));
    CHECK(findCookie("a=", "a") == std::string_view(""));
    CHECK_FALSE(findCookie("a=b", "A").has_value());
    CHECK_FALSE(findCookie("ab=c", "a").has_value());
    CHECK_FALSE(findCookie("x=a=b", "a").has_value());
    CHECK_FALSE(findCookie("a", "a").has_value());
    CHECK_FALSE(findCookie("=b", "").has_value());
    CHECK_FALSE(findCookie("", "a").has_value());
}

#include <pushhub/http/url.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::findQueryParam;
using pushhub::forEachQueryParam;
using pushhub::percentDecode;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Params {
    Pairs pairs;
    bool allDecodable;
};

Params paramsOf(std::string_view query) {
    Params params;
    params.allDecodable = forEachQueryParam(query, [&](std::string name, std::string value) {
        params.pairs.emplace_back(std::move(name), std::move(value));
    });
    return params;
}

}  // namespace

TEST_CASE("Percent escapes are decoded", "[http][url]") {
    CHECK(percentDecode("") == std::string());
    CHECK(percentDecode("plain") == std::string("plain"));
    CHECK(percentDecode("a%20b") == std::string("a b"));
    CHECK(percentDecode("%41%5a%5A") == std::string("AZZ"));
    CHECK(percentDecode("%c3%BC") == std::string("\xc3\xbc"));
    CHECK(percentDecode("%2F%2f%25") == std::string("//%"));
    CHECK(percentDecode("%00") == std::string(1, '\0'));
    CHECK(percentDecode("%ff") == std::string("\xff"));
    CHECK(percentDecode("%2541") == std::string("%41"));
}

TEST_CASE("A plus is a space only where forms are decoded", "[http][url]") {
    CHECK(percentDecode("a+b") == std::string("a+b"));
    CHECK(percentDecode("a+b", true) == std::string("a b"));
    CHECK(percentDecode("a%2Bb+", true) == std::string("a+b "));
}

TEST_CASE("Malformed escapes are refused", "[http][url]") {
    for (const char* const text : {"%", "%4", "a%", "a%4", "%%", "%%41", "%4g", "%g4", "%zz", "% 4",
                                   "%4 ", "%-1", "%+1", "%0x", "%u0041", "ok%41%", "%\xc3"}) {
        INFO(text);
        CHECK_FALSE(percentDecode(text).has_value());
        CHECK_FALSE(percentDecode(text, true).has_value());
    }
    CHECK_FALSE(percentDecode(std::string_view("%\0001", 3)).has_value());
    // A view that ends inside an escape must not be read beyond.
    CHECK_FALSE(percentDecode(std::string_view("%41", 2)).has_value());
}

TEST_CASE("Query parameters come in order, repeated ones too", "[http][url]") {
    CHECK(paramsOf("").pairs.empty());
    CHECK(paramsOf("a=b").pairs == Pairs{{"a", "b"}});
    CHECK(paramsOf("a=b&c=d&a=e").pairs == Pairs{{"a", "b"}, {"c", "d"}, {"a", "e"}});
    CHECK(paramsOf("a").pairs == Pairs{{"a", ""}});
    CHECK(paramsOf("a=").pairs == Pairs{{"a", ""}});
    CHECK(paramsOf("=b").pairs == Pairs{{"", "b"}});
    CHECK(paramsOf("=").pairs == Pairs{{"", ""}});
    CHECK(paramsOf("a=b=c").pairs == Pairs{{"a", "b=c"}});
    CHECK(paramsOf("&&a=b&&").pairs == Pairs{{"a", "b"}});
    CHECK(paramsOf("a;b=c").pairs == Pairs{{"a;b", "c"}});
    CHECK(paramsOf("a+b=c+d").pairs == Pairs{{"a b", "c d"}});
    CHECK(paramsOf("%61%3D=%26").pairs == Pairs{{"a=", "&"}});
    CHECK(paramsOf("n=J%C3%BCrgen").pairs == Pairs{{"n", "J\xc3\xbcrgen"}});
    CHECK(paramsOf("a=b?c/d").pairs == Pairs{{"a", "b?c/d"}});
    CHECK(paramsOf("a=b").allDecodable);
}

TEST_CASE("Query parameters that cannot be decoded are left out and reported", "[http][url]") {
    const Params bad = paramsOf("a=%zz&b=c&%=d&e=%ff&f=%c0%80&g=h");
    CHECK(bad.pairs == Pairs{{"b", "c"}, {"g", "h"}});
    CHECK_FALSE(bad.allDecodable);
}

TEST_CASE("The first parameter of a name decides", "[http][url]") {
    CHECK(findQueryParam("a=1&a=2", "a") == std::string("1"));
    CHECK(findQueryParam("b=1&a=2", "a") == std::string("2"));
    CHECK(findQueryParam("%61=1&a=2", "a") == std::string("1"));
    CHECK(findQueryParam("a+b=1", "a b") == std::string("1"));
    CHECK(findQueryParam("a", "a") == std::string());
    CHECK(findQueryParam("token=a%2Fb+c%2B", "token") == std::string("a/b c+"));
    CHECK(findQueryParam("=x", "") == std::string("x"));
    CHECK_FALSE(findQueryParam("", "a").has_value());
    CHECK_FALSE(findQueryParam("A=1", "a").has_value());
    CHECK_FALSE(findQueryParam("ab=1", "a").has_value());
    CHECK_FALSE(findQueryParam("a%=1", "a%").has_value());
}

TEST_CASE("A first parameter that cannot be decoded hides the later ones", "[http][url]") {
    // Otherwise two readers of one query could see different values.
    CHECK_FALSE(findQueryParam("a=%zz&a=2", "a").has_value());
    CHECK_FALSE(findQueryParam("a=%ff&a=2", "a").has_value());
    CHECK_FALSE(findQueryParam("a=%ed%a0%80&a=2", "a").has_value());
    CHECK(findQueryParam("%zz=1&a=2", "a") == std::string("2"));
}

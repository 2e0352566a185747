#include <pushhub/path_template.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

using pushhub::PathTemplate;

namespace {

using Values = std::vector<std::string>;

std::string complaint(const std::string& pattern) {
    try {
        const PathTemplate path(pattern);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("Paths that fit give their parameters", "[path_template]") {
    struct Row {
        const char* pattern;
        const char* path;
        Values values;
    };
    const std::vector<Row> rows = {
        {"/websocket/{userId}", "/websocket/0002", {"0002"}},
        {"/websocket/{userId}", "//websocket/0002", {"0002"}},
        {"/websocket/{userId}", "///websocket////0002", {"0002"}},
        {"/websocket/{userId}", "/websocket/0002/", {"0002"}},
        {"/websocket/{userId}", "/websocket/0002///", {"0002"}},
        {"/websocket/{userId}/", "/websocket/0002", {"0002"}},
        {"/websocket/{userId}", "/websocket/J%C3%BCrgen", {"J\xc3\xbcrgen"}},
        {"/websocket/{userId}",
         "/websocket/%E4%B8%AD%F0%9F%98%80",
         {"\xe4\xb8\xad\xf0\x9f\x98\x80"}},
        {"/websocket/{userId}", "/websocket/a%2Fb", {"a/b"}},
        {"/websocket/{userId}", "/websocket/%2F", {"/"}},
        {"/websocket/{userId}", "/websocket/a%20b", {"a b"}},
        {"/websocket/{userId}", "/websocket/a+b", {"a+b"}},
        {"/websocket/{userId}", "/websocket/a%2541", {"a%41"}},
        {"/websocket/{userId}", "/websocket/a%3Fb%23c", {"a?b#c"}},
        {"/websocket/{userId}", "/websocket/user@example.com", {"user@example.com"}},
        {"/websocket/{userId}", "/websocket/{userId}", {"{userId}"}},
        {"/websocket/{userId}", "/websocket/...", {"..."}},
        {"/websocket/{userId}", "/websocket/.hidden", {".hidden"}},
        {"/websocket/{userId}", "/%77ebsocket/1", {"1"}},
        {"/websocket/{userId}", "/web%73ocket/1", {"1"}},
        {"/prices/{symbol}/{userId}", "/prices/BTC-EUR/7", {"BTC-EUR", "7"}},
        {"/prices/{symbol}/{userId}", "/prices//BTC-EUR//7/", {"BTC-EUR", "7"}},
        {"/{a}/{b}/{c}", "/1/2/3", {"1", "2", "3"}},
        {"/{a}/x/{b}", "/1/x/2", {"1", "2"}},
        {"/{a_1}", "/v", {"v"}},
        {"/", "/", {}},
        {"/", "///", {}},
        {"/live", "/live", {}},
        {"/live/", "/live", {}},
        {"/a/b", "//a//b//", {}},
        {"/\xc3\xbc", "/%C3%BC", {}},
        {"/\xc3\xbc", "/%c3%bc", {}},
        {"/a b/{x}", "/a%20b/y", {"y"}},
        {"/a+b", "/a+b", {}},
        {"/a+b", "/a%2Bb", {}},
    };
    for (const Row& row : rows) {
        INFO(row.pattern << " and " << row.path);
        Values values = {"left", "over", "from", "before"};
        CHECK(PathTemplate(row.pattern).match(row.path, values));
        CHECK(values == row.values);
    }
}

TEST_CASE("Paths that do not fit give nothing", "[path_template]") {
    struct Row {
        const char* pattern;
        const char* path;
    };
    const std::vector<Row> rows = {
        {"/websocket/{userId}", ""},
        {"/websocket/{userId}", "*"},
        {"/websocket/{userId}", "/"},
        {"/websocket/{userId}", "/websocket"},
        {"/websocket/{userId}", "/websocket/"},
        {"/websocket/{userId}", "/websocket//"},
        {"/websocket/{userId}", "websocket/0002"},
        {"/websocket/{userId}", "/websocket/0002/more"},
        {"/websocket/{userId}", "/other/0002"},
        {"/websocket/{userId}", "/websocketx/0002"},
        {"/websocket/{userId}", "/xwebsocket/0002"},
        {"/websocket/{userId}", "/WebSocket/0002"},
        {"/websocket/{userId}", "/x/websocket/0002"},
        {"/websocket/{userId}", "/websocket%2F0002"},
        {"/websocket/{userId}", "/websocket/%"},
        {"/websocket/{userId}", "/websocket/%4"},
        {"/websocket/{userId}", "/websocket/%zz"},
        {"/websocket/{userId}", "/websocket/ok%"},
        {"/websocket/{userId}", "/websocket/%u0041"},
        {"/websocket/{userId}", "/websocket/%FF"},
        {"/websocket/{userId}", "/websocket/%C3"},
        {"/websocket/{userId}", "/websocket/%C0%80"},
        {"/websocket/{userId}", "/websocket/%C0%AF"},
        {"/websocket/{userId}", "/websocket/%ED%A0%80"},
        {"/websocket/{userId}", "/websocket/%F4%90%80%80"},
        {"/websocket/{userId}", "/websocket/%E2%82"},
        {"/websocket/{userId}", "/websocket/%00"},
        {"/websocket/{userId}", "/websocket/a%00b"},
        {"/websocket/{userId}", "/websocket/a%0Ab"},
        {"/websocket/{userId}", "/websocket/a%0D%0Ab"},
        {"/websocket/{userId}", "/websocket/%1F"},
        {"/websocket/{userId}", "/websocket/%7F"},
        {"/websocket/{userId}", "/websocket/%09"},
        {"/websocket/{userId}", "/websocket/."},
        {"/websocket/{userId}", "/websocket/.."},
        {"/websocket/{userId}", "/websocket/%2e%2E"},
        {"/websocket/{userId}", "/websocket/%2E"},
        {"/websocket/{userId}", "/a/../websocket/0002"},
        {"/websocket/{userId}", "/./websocket/0002"},
        {"/websocket/{userId}", "/websocket/./0002"},
        {"/websocket/{userId}", "/websocket/0002/."},
        {"/websocket/{userId}", "/websocket/0002/.."},
        {"/websocket/{userId}", "/websocke%74%/0002"},
        {"/prices/{symbol}/{userId}", "/prices/BTC"},
        {"/prices/{symbol}/{userId}", "/prices//BTC/"},
        {"/prices/{symbol}/{userId}", "/prices/a/b/c"},
        {"/", "/a"},
        {"/", ""},
        {"/live", "/"},
        {"/live", "/liv"},
        {"/live", "/lives"},
        {"/live", "/live/x"},
        {"/live", "/%6Cive%00"},
        {"/a b", "/a+b"},
    };
    for (const Row& row : rows) {
        INFO(row.pattern << " and " << row.path);
        Values values = {"left", "over"};
        CHECK_FALSE(PathTemplate(row.pattern).match(row.path, values));
        CHECK(values.empty());
    }
}

TEST_CASE("A NUL in the path itself does not fit", "[path_template]") {
    Values values;
    CHECK_FALSE(PathTemplate("/a/{b}").match(std::string_view("/a/b\0c", 6), values));
    CHECK_FALSE(PathTemplate("/a").match(std::string_view("/a\0", 3), values));
}

TEST_CASE("A match reuses the room of the values", "[path_template]") {
    const PathTemplate path("/a/{x}");
    const std::string longValue(200, 'v');
    Values values;
    REQUIRE(path.match("/a/" + longValue, values));
    const char* const room = values[0].data();
    REQUIRE(path.match("/a/" + std::string(100, 'w'), values));
    CHECK(values[0] == std::string(100, 'w'));
    CHECK(values[0].data() == room);
}

TEST_CASE("Parameters are known by name", "[path_template]") {
    const PathTemplate path("/prices/{symbol}/of/{user_Id2}/");
    CHECK(path.pattern() == "/prices/{symbol}/of/{user_Id2}/");
    CHECK(path.parameters() == Values{"symbol", "user_Id2"});
    CHECK(path.indexOf("symbol") == 0);
    CHECK(path.indexOf("user_Id2") == 1);
    CHECK(path.indexOf("prices") == PathTemplate::npos);
    CHECK(path.indexOf("Symbol") == PathTemplate::npos);
    CHECK(path.indexOf("") == PathTemplate::npos);
    CHECK(PathTemplate("/").parameters().empty());
}

TEST_CASE("A bad pattern is refused by name and reason", "[path_template]") {
    struct Row {
        std::string pattern;
        const char* reason;
    };
    const std::vector<Row> rows = {
        {"", "does not start with '/'"},
        {"websocket/{userId}", "does not start with '/'"},
        {"{userId}", "does not start with '/'"},
        {"ws://host/websocket", "does not start with '/'"},
        {"//websocket", "has an empty segment"},
        {"/websocket//{userId}", "has an empty segment"},
        {"/websocket//", "has an empty segment"},
        {"/{}", "has a parameter without a name"},
        {"/a/{}/b", "has a parameter without a name"},
        {"/{user id}", "parameter name \"user id\""},
        {"/{user-id}", "parameter name \"user-id\""},
        {"/{user:[0-9]+}", "parameter name \"user:[0-9]+\""},
        {"/{*}", "parameter name \"*\""},
        {"/{{a}}", "parameter name \"{a}\""},
        {"/{a}{b}", "parameter name \"a}{b\""},
        {"/{\xc3\xbc}", "parameter name \"\xc3\xbc\""},
        {"/{a}/{a}", "parameter \"a\" stands twice"},
        {"/{a}/{b}/x/{a}", "parameter \"a\" stands twice"},
        {"/x{a}", "segment \"x{a}\" is neither literal nor one {parameter}"},
        {"/{a}x", "segment \"{a}x\" is neither"},
        {"/{a", "segment \"{a\" is neither"},
        {"/a}", "segment \"a}\" is neither"},
        {"/{", "segment \"{\" is neither"},
        {"/}", "segment \"}\" is neither"},
        {"/}{", "segment \"}{\" is neither"},
        {"/{a/b}", "segment \"{a\" is neither"},
        {"/a?b={c}", "is neither"},
        {"/a?b", "has a '?', '#' or '%'"},
        {"/a#b", "has a '?', '#' or '%'"},
        {"/a%20b", "has a '?', '#' or '%'"},
        {"/a/./b", "segment \".\" can never match"},
        {"/a/../b", "segment \"..\" can never match"},
        {"/\xff", "is not UTF-8 text without control characters"},
    };
    for (const Row& row : rows) {
        INFO(row.pattern);
        const std::string what = complaint(row.pattern);
        INFO(what);
        CHECK(what.find("path template \"" + row.pattern + "\"") == 0);
        CHECK(what.find(row.reason) != std::string::npos);
    }
}

TEST_CASE("A bad pattern is readable in the complaint about it", "[path_template]") {
    const std::string reason = "is not UTF-8 text without control characters";
    CHECK(complaint("/a\nb") == "path template \"/a\\x0ab\": " + reason);
    CHECK(complaint(std::string("/a\0b", 4)) == "path template \"/a\\x00b\": " + reason);
    CHECK(complaint("/\x7f") == "path template \"/\\x7f\": " + reason);
}

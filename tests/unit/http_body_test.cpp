#include <pushhub/http/body.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using pushhub::HttpBodyReader;
using pushhub::HttpParseResult;
using pushhub::HttpRequest;
using Status = HttpParseResult::State;

namespace {

HttpRequest head(const std::string& framing) {
    HttpRequest request;
    const std::string bytes = "POST / HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n";
    REQUIRE(HttpRequest::parse(bytes, request).status == Status::complete);
    return request;
}

const char* const chunked = "Transfer-Encoding: Chunked";

struct Read {
    int status = 0;  // 0: incomplete, 200: complete, otherwise refused
    std::string body;
    std::size_t consumed = 0;
};

Read read(const std::string& framing, const std::string& bytes, std::size_t limit = 1000,
          std::size_t step = 100000) {
    HttpBodyReader reader(head(framing), limit);
    Read out;
    for (std::size_t at = 0;; at += step) {
        const std::string_view rest = std::string_view(bytes).substr(std::min(at, bytes.size()));
        const HttpParseResult result = reader.read(rest.substr(0, step));
        out.consumed += result.consumed;
        if (result.status != Status::incomplete) {
            out.status = result.status == Status::complete ? 200 : result.httpStatus;
            break;
        }
        if (rest.size() <= step) {
            break;
        }
    }
    out.body = reader.body();
    return out;
}

}  // namespace

TEST_CASE("A body is as long as Content-Length says", "[http][body]") {
    const Read all = read("Content-Length: 4", "bodyGET /");
    CHECK(all.status == 200);
    CHECK(all.body == "body");
    CHECK(all.consumed == 4);
    CHECK(read("Content-Length: 4", "bod").status == 0);
    CHECK(read("Content-Length: 004", "body").status == 200);
    CHECK(read("Content-Length: 4", "body", 4).status == 200);
    CHECK(read("Content-Length: 4", "", 3).status == 413);
    CHECK(read("Content-Length: 1", "", 0).status == 413);
    for (const char* const huge :
         {"18446744073709551615", "18446744073709551616", "99999999999999999999999999999"}) {
        CHECK(read("Content-Length: " + std::string(huge), "").status == 413);
    }
}

TEST_CASE("A chunked body is the same however it is cut", "[http][body]") {
    struct Row {
        std::string bytes;
        int status;
        std::string body;
    };
    const std::vector<Row> rows = {
        {"4\r\nbody\r\n0\r\n\r\n", 200, "body"},
        {"1\r\nb\r\n3\r\nody\r\n0\r\n\r\n", 200, "body"},
        {"0\r\n\r\n", 200, ""},
        {"000\r\n\r\n", 200, ""},
        {"A\r\n0123456789\r\n00a\r\n0123456789\r\n0\r\n\r\n", 200, "01234567890123456789"},
        {"4;a=b\r\nbody\r\n0 ; x=\"y\"\r\n\r\n", 200, "body"},
        {"4\r\nbody\r\n0\r\nX-A: b\r\nX-B:\r\n\r\n", 200, "body"},
        {"4\r\nb\r\n\0\r\n0\r\n\r\n", 0, ""},
        {"", 0, ""},
        {"4\r\nbod", 0, "bod"},
        {"4\r\nbody\r\n0\r\n", 0, "body"},
        {"4\r\nbodyX\r\n", 400, ""},
        {"4\r\nbody0\r\n\r\n", 400, ""},
        {"4\r\nbody\n0\r\n\r\n", 400, ""},
        {"4\nbody\r\n0\r\n\r\n", 400, ""},
        {"\r\n", 400, ""},
        {"x\r\n", 400, ""},
        {"0x4\r\nbody\r\n", 400, ""},
        {"+4\r\nbody\r\n", 400, ""},
        {"-4\r\nbody\r\n", 400, ""},
        {" 4\r\nbody\r\n", 400, ""},
        {"4 4\r\nbody\r\n", 400, ""},
        {"4;a\rb\r\nbody\r\n", 400, ""},
        {"4;a\x01\r\nbody\r\n", 400, ""},
        {"fffffffffffffff\r\n", 413, ""},
        {"ffffffffffffffff\r\n", 400, ""},
        {"10000000000000004\r\nbody\r\n", 400, ""},
        {"3e9\r\n", 413, ""},
        {"4;" + std::string(2000, 'x'), 400, ""},
        {"0\r\nX A: b\r\n", 400, ""},
        {"0\r\nX-A\r\n", 400, ""},
        {"0\r\n X-A: b\r\n", 400, ""},
        {"0\r\nX-A: b\x7f\r\n", 400, ""},
    };
    for (const Row& row : rows) {
        for (const std::size_t step : {1U, 2U, 3U, 7U, 100000U}) {
            INFO(row.bytes << " in pieces of " << step);
            const Read result = read(chunked, row.bytes, 1000, step);
            CHECK(result.status == row.status);
            if (row.status == 200) {
                CHECK(result.body == row.body);
                CHECK(result.consumed == row.bytes.size());
            }
        }
    }
    CHECK(read(chunked, "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", 4).status == 200);
    CHECK(read(chunked, "2\r\nbo\r\n3\r\n", 4).status == 413);
    CHECK(read(chunked, "0\r\n\r\n", 0).status == 200);
    CHECK(read(chunked, "0\r\n\r\nGET /").consumed == 5);
    std::string trailers = "0\r\n";
    for (int i = 0; i < 101; ++i) {
        trailers += "a:b\r\n";
    }
    CHECK(read(chunked, trailers).status == 400);
}

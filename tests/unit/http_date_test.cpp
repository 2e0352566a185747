#include <pushhub/http/date.hpp>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>

#include "support/catch.hpp"

namespace {

std::string at(std::int64_t seconds) {
    return pushhub::httpDate(std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
}

}  // namespace

TEST_CASE("A date has the form of RFC 9110", "[http][date]") {
    CHECK(at(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
    CHECK(at(-1) == "Wed, 31 Dec 1969 23:59:59 GMT");
    CHECK(at(951782400) == "Tue, 29 Feb 2000 00:00:00 GMT");
    CHECK(at(4107542400) == "Mon, 01 Mar 2100 00:00:00 GMT");
    CHECK(pushhub::httpDate(std::chrono::system_clock::time_point(std::chrono::milliseconds(-1))) ==
          "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST_CASE("Dates are those of the C library", "[http][date]") {
#ifdef _WIN32
    const std::int64_t first = 0;  // gmtime knows nothing before
#else
    const std::int64_t first = -10000;
#endif
    for (std::int64_t day = first; day < 60000; day += 7) {
        const std::time_t seconds = static_cast<std::time_t>(day * 86400 + day % 86400);
        const std::tm* const parts = std::gmtime(&seconds);
        char text[64];
        std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", parts);
        REQUIRE(at(seconds) == text);
    }
}

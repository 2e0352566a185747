#include <pushhub/http/origin.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using pushhub::isSameOrigin;
using pushhub::OriginPolicy;

namespace {

using Verdict = OriginPolicy::Verdict;

}  // namespace

TEST_CASE("An origin is judged by an exact list", "[origin]") {
    const OriginPolicy policy({
        "https://app.example.com",
        "https://explicit.example.com:443",
        "https://other.example.com:8443",
        "http://localhost:3000",
        "http://plain.example.com",
        "HTTPS://Shouting.Example.COM",
        "https://*.pages.example.org",
        "http://*.dev.example.org:8080",
        "https://[2001:db8::1]:9443",
        "https://192.0.2.1",
        "https://xn--bcher-kva.example",
        "chrome-extension://abcdefghijklmnop",
        "capacitor://localhost",
        "https://dot.example.com.",
    });
    struct Row {
        const char* origin;
        Verdict verdict;
    };
    constexpr Verdict yes = Verdict::allowed;
    constexpr Verdict no = Verdict::refused;
    const std::vector<Row> rows = {
        {"", Verdict::absent},
        // Scheme, host and port, all three.
        {"https://app.example.com", yes},
        {"https://app.example.com:443", yes},
        {"https://explicit.example.com", yes},
        {"https://explicit.example.com:443", yes},
        {"https://APP.example.COM", yes},
        {"HTTPS://app.example.com", yes},
        {"https://shouting.example.com", yes},
        {"http://app.example.com", no},
        {"http://app.example.com:443", no},
        {"wss://app.example.com", no},
        {"https://app.example.com:8443", no},
        {"https://app.example.com:80", no},
        {"https://other.example.com:8443", yes},
        {"https://other.example.com", no},
        {"https://other.example.com:443", no},
        {"http://localhost:3000", yes},
        {"http://localhost", no},
        {"http://localhost:3001", no},
        {"http://localhost:30000", no},
        {"http://127.0.0.1:3000", no},
        {"http://plain.example.com", yes},
        {"http://plain.example.com:80", yes},
        {"http://plain.example.com:8080", no},
        // Names that look alike.
        {"https://example.com", no},
        {"https://xapp.example.com", no},
        {"https://app.example.comx", no},
        {"https://app.example.com.evil.example", no},
        {"https://app-example.com", no},
        {"https://evil.example/https://app.example.com", no},
        {"https://app.example.com@evil.example", no},
        {"https://user@app.example.com", no},
        {"https://app.example.com.", no},
        {"https://dot.example.com.", yes},
        {"https://dot.example.com", no},
        // Subdomains.
        {"https://a.pages.example.org", yes},
        {"https://a.b.c.pages.example.org", yes},
        {"https://A.Pages.Example.Org:443", yes},
        {"https://pages.example.org", no},
        {"https://.pages.example.org", no},
        {"https://a..pages.example.org", no},
        {"https://xpages.example.org", no},
        {"https://a.pages.example.org.evil.example", no},
        {"http://a.pages.example.org", no},
        {"https://a.pages.example.org:8443", no},
        {"http://a.dev.example.org:8080", yes},
        {"http://a.dev.example.org", no},
        {"https://*.pages.example.org", no},
        {"https://evil.example/.pages.example.org", no},
        {"https://evil.example#.pages.example.org", no},
        {"https://evil.example\\.pages.example.org", no},
        // Addresses, other alphabets, other schemes.
        {"https://[2001:db8::1]:9443", yes},
        {"https://[2001:DB8::1]:9443", yes},
        {"https://[2001:db8::1]", no},
        {"https://[2001:db8::2]:9443", no},
        {"https://192.0.2.1", yes},
        {"https://192.0.2.10", no},
        {"https://xn--bcher-kva.example", yes},
        {"https://b\xc3\xbc"
         "cher.example",
         no},
        {"chrome-extension://abcdefghijklmnop", yes},
        {"chrome-extension://abcdefghijklmnoq", no},
        {"capacitor://localhost", yes},
        {"http://abcdefghijklmnop", no},
        // Not an origin.
        {"null", no},
        {"NULL", no},
        {"*", no},
        {"https://", no},
        {"https:", no},
        {"https", no},
        {"://app.example.com", no},
        {"//app.example.com", no},
        {"app.example.com", no},
        {"https:app.example.com", no},
        {"https:/app.example.com", no},
        {"https:///app.example.com", no},
        {"https://app.example.com/", no},
        {"https://app.example.com/path", no},
        {"https://app.example.com?", no},
        {"https://app.example.com#", no},
        {"https://app.example.com:", no},
        {"https://app.example.com:0443", no},
        {"https://app.example.com:+443", no},
        {"https://app.example.com:443443", no},
        {"https://app.example.com:65979", no},  // 443 + 65536
        {"https://app.example.com:443:443", no},
        {"https://app.example.com https://app.example.com", no},
        {"https://app.example.com,https://app.example.com", no},
        {" https://app.example.com", no},
        {"https://app.example.com ", no},
        {"https://app.example.com\t", no},
        {"1https://app.example.com", no},
        {"ht tps://app.example.com", no},
        {"https://[2001:db8::1:9443", no},
        {"https://2001:db8::1]:9443", no},
        {"https://[]:9443", no},
    };
    REQUIRE(rows.size() > 60);
    for (const Row& row : rows) {
        INFO(row.origin);
        CHECK(policy.judge(row.origin) == row.verdict);
    }
    const std::string withNul("https://app.example.com\0", 24);
    CHECK(policy.judge(withNul) == no);
    CHECK_FALSE(policy.any());
    CHECK_FALSE(policy.empty());
}

TEST_CASE("Any origin is one that is said explicitly, and still has to be one", "[origin]") {
    const OriginPolicy any({"*"});
    CHECK(any.any());
    CHECK_FALSE(any.empty());
    CHECK(any.judge("https://evil.example") == Verdict::allowed);
    CHECK(any.judge("") == Verdict::absent);
    for (const char* origin : {"null", "evil.example", "https://evil.example/", "https://a b"}) {
        INFO(origin);
        CHECK(any.judge(origin) == Verdict::refused);
    }
    const OriginPolicy both({"https://app.example.com", "*"});
    CHECK(both.any());
    CHECK(both.judge("https://evil.example") == Verdict::allowed);
}

TEST_CASE("An empty list refuses every origin", "[origin]") {
    const OriginPolicy none({});
    CHECK(none.empty());
    CHECK(none.judge("https://app.example.com") == Verdict::refused);
    CHECK(none.judge("") == Verdict::absent);
}

TEST_CASE("A wrong entry is an error that names it", "[origin]") {
    for (const std::string entry : {"",
                                    "null",
                                    "app.example.com",
                                    "https://",
                                    "https://app.example.com/",
                                    "https://*",
                                    "https://*.",
                                    "https://**.example.com",
                                    "https://a.*.example.com",
                                    "https://*example.com",
                                    "*.example.com",
                                    "https://*.*.example.com",
                                    "https://app.example.com:0",
                                    "https://app.example.com:99999",
                                    "https://app.example.com:*",
                                    "*://app.example.com",
                                    "https://user@app.example.com",
                                    "https://b\xc3\xbc"
                                    "cher.example",
                                    " *",
                                    "https://app.example.com https://b.example",
                                    "https://*.[::1]",
                                    "https://app..example"}) {
        INFO(entry);
        try {
            OriginPolicy({"https://good.example", entry});
            FAIL("it was taken");
        } catch (const std::invalid_argument& error) {
            const std::string what = error.what();
            CHECK(what.find("allowedOrigins has \"" + entry + "\"") != std::string::npos);
        }
    }
}

TEST_CASE("A page of the same host and port is told from others", "[origin]") {
    struct Row {
        const char* origin;
        const char* host;
        bool same;
    };
    const std::vector<Row> rows = {
        {"", "app.example.com", true},
        {"https://app.example.com", "app.example.com", true},
        {"http://app.example.com", "app.example.com", true},
        {"https://app.example.com", "APP.example.com", true},
        {"https://app.example.com", "app.example.com:443", true},
        {"http://app.example.com", "app.example.com:80", true},
        {"https://app.example.com:443", "app.example.com", true},
        {"http://127.0.0.1:8081", "127.0.0.1:8081", true},
        {"http://[::1]:8081", "[::1]:8081", true},
        {"http://[::1]", "[::1]", true},
        {"http://app.example.com", "app.example.com:443", false},
        {"http://127.0.0.1:8082", "127.0.0.1:8081", false},
        {"http://127.0.0.1", "127.0.0.1:8081", false},
        {"http://127.0.0.1:8081", "127.0.0.1", false},
        {"http://localhost:8081", "127.0.0.1:8081", false},
        {"https://example.com", "app.example.com", false},
        {"https://app.example.com.evil.example", "app.example.com", false},
        {"https://app.example.com@evil.example", "evil.example", false},
        {"null", "null", false},
        {"null", "app.example.com", false},
        {"app.example.com", "app.example.com", false},
        {"chrome-extension://app", "app", false},
        {"https://app.example.com", "", false},
        {"https://app.example.com", "app.example.com:", false},
        {"https://app.example.com", "app.example.com:x", false},
        {"https://app.example.com", "user@app.example.com", false},
    };
    for (const Row& row : rows) {
        INFO(row.origin << " at " << row.host);
        CHECK(isSameOrigin(row.origin, row.host) == row.same);
    }
}

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
    CHECK(any.judge("http://[::1]:3000") == Verdict::allowed);
    for (const char* origin :
         {"null", "evil.example", "https://evil.example/", "https://a b", "file://", "file:///",
          "capacitor://localhost", "chrome-extension://abcdefghijklmnop", "app://-"}) {
        INFO(origin);
        CHECK(any.judge(origin) == Verdict::refused);
    }
    const OriginPolicy both({"https://app.example.com", "*"});
    CHECK(both.any());
    CHECK(both.judge("https://evil.example") == Verdict::allowed);
}

TEST_CASE("The origin of an app is allowed if it is named", "[origin]") {
    const std::vector<std::string> origins = {
        "null",
        "file://",
        "app://-",
        "app://obsidian.md",
        "capacitor://localhost",
        "capacitor://localhost:8080",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "content://com.example.app_files~1",
        "ionic://localhost",
        "moz-extension://0b8e4e43-ab0a-4e3a-8a3c-0f6f3a2d9a11",
        "ms-appx-web://Contoso.App_8wekyb3d8bbwe",
        "obsidian://",
        "qrc://",
        "resource://pdf.js",
        "safari-web-extension://E7C2A1D4-95D4-4B1B-9C07-0A6C0C1B9D11",
        "tauri://localhost",
        "vscode-webview://0a1b2c",
        "x+y.z-1://a..b%20c;(d)",
        "x://[::1]:3000",
    };
    for (const std::string& entry : origins) {
        for (const std::string& end : {std::string(), std::string(entry == "null" ? "" : "/")}) {
            INFO(entry << end);
            const OriginPolicy policy({"https://app.example.com", entry + end});
            for (const std::string& origin : origins) {
                INFO(origin);
                CHECK((policy.judge(origin) == Verdict::allowed) == (origin == entry));
            }
            CHECK_FALSE(policy.empty());
            CHECK_FALSE(policy.any());
            CHECK(policy.judge("https://localhost") == Verdict::refused);
            CHECK(policy.judge("http://app.example.com") == Verdict::refused);
        }
        CHECK_FALSE(OriginPolicy({entry}).empty());
        CHECK(OriginPolicy({"*"}).judge(entry) == Verdict::refused);
        CHECK(OriginPolicy({"https://*.example.com"}).judge(entry) == Verdict::refused);
        CHECK_FALSE(isSameOrigin(entry, "localhost"));
        CHECK_FALSE(isSameOrigin(entry, ""));
    }
}

TEST_CASE("Hosts of an app that are not known beforehand are allowed by its scheme", "[origin]") {
    const OriginPolicy policy({"moz-extension://*", "file:///"});
    CHECK(policy.judge("moz-extension://0b8e4e43-ab0a-4e3a-8a3c-0f6f3a2d9a11") == Verdict::allowed);
    CHECK(policy.judge("MOZ-extension://a") == Verdict::allowed);
    for (const char* origin :
         {"null", "https://0b8e4e43-ab0a-4e3a-8a3c-0f6f3a2d9a11", "moz-extensionx://a",
          "moz-extension://a/", "moz-extension://*", "moz-extension://a b", "moz-extension:/a",
          "moz-extension://a\x7f", "moz-extension://a\xc3\xbc", "moz-extension://a,b://c"}) {
        INFO(origin);
        CHECK(policy.judge(origin) == Verdict::refused);
    }
    // A file has no host. Its origin is "file://" in some browsers, "file:///" in others, and
    // "null" in most, which is another.
    CHECK(policy.judge("file://") == Verdict::allowed);
    CHECK(policy.judge("file:///") == Verdict::allowed);
    CHECK(policy.judge("FILE://") == Verdict::allowed);
    CHECK(policy.judge("file:////") == Verdict::refused);
    CHECK(policy.judge("file:///etc") == Verdict::refused);
    CHECK(policy.judge("file://server") == Verdict::refused);
}

TEST_CASE("An entry may end in a slash, as the address bar shows it", "[origin]") {
    const OriginPolicy policy({"https://app.example.com/", "http://localhost:3000/",
                               "https://*.example.org/", "http://tool.intranet./",
                               "https://*.intranet.", "http://[::1]:8080/"});
    for (const char* origin :
         {"https://app.example.com", "http://localhost:3000", "https://a.example.org",
          "http://tool.intranet.", "https://a.intranet.", "http://[::1]:8080"}) {
        INFO(origin);
        CHECK(policy.judge(origin) == Verdict::allowed);
    }
    CHECK(policy.judge("https://app.example.com/") == Verdict::refused);
    CHECK(policy.judge("http://tool.intranet") == Verdict::refused);
    CHECK(policy.judge("https://a.intranet") == Verdict::refused);
    CHECK(policy.judge("https://example.org") == Verdict::refused);
}

TEST_CASE("An empty list refuses every origin", "[origin]") {
    const OriginPolicy none({});
    CHECK(none.empty());
    CHECK(none.judge("https://app.example.com") == Verdict::refused);
    CHECK(none.judge("") == Verdict::absent);
}

TEST_CASE("A wrong entry is an error that names it", "[origin]") {
    for (const std::string entry : {"",
                                    "/",
                                    "NULL",
                                    "null/",
                                    "*/",
                                    "app.example.com",
                                    "https://",
                                    "https:///",
                                    "https://app.example.com//",
                                    "https://app.example.com/path",
                                    "https://app.example.com/path/",
                                    "https://app.example.com?",
                                    "file:////",
                                    "file:///index.html",
                                    "capacitor://localhost/index.html",
                                    "capacitor:localhost",
                                    "moz-extension://*:80",
                                    "moz-extension://a*",
                                    "moz-extension://**",
                                    "moz-extension://*.",
                                    "://*",
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
            CHECK(what.find("allowedOrigins has \"" + entry + "\", expected ") !=
                  std::string::npos);
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

// libFuzzer target: any bytes into a Router and into raw(). Stops on a crash, a sanitizer's report,
// an exception that should not be, or one of the promises below broken.

#include <pushhub/json/json.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

namespace {

namespace json = pushhub::json;
using pushhub::SessionPtr;

constexpr std::size_t maxDepth = 8;
constexpr std::size_t maxSize = 16 * 1024;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void checkValue(const rapidjson::Value& value, std::size_t depth) {
    if (value.IsString()) {
        require(pushhub::protocol::isValidUtf8({value.GetString(), value.GetStringLength()}));
    } else if (value.IsDouble()) {
        require(std::isfinite(value.GetDouble()));
    } else if (value.IsArray()) {
        require(depth <= maxDepth);
        for (const auto& element : value.GetArray()) {
            checkValue(element, depth + 1);
        }
    } else if (value.IsObject()) {
        require(depth <= maxDepth);
        for (const auto& member : value.GetObject()) {
            checkValue(member.name, depth + 1);
            checkValue(member.value, depth + 1);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of just this size, so that the sanitizer sees a read beyond it.
    const std::string copy(reinterpret_cast<const char*>(data), size);
    const std::string_view text = copy;

    json::RouterOptions options;
    options.maxDepth = maxDepth;
    options.maxSize = maxSize;
    json::Router router(options);
    int handled = 0;
    int failed = 0;
    const auto handle = [&](const SessionPtr&, const rapidjson::Value& object) {
        ++handled;
        require(object.IsObject());
        checkValue(object, 1);
        // What came in can go out again, is still JSON, and comes back the same.
        const std::string out = json::Message("echo", object).str();
        json::raw(out);
        json::RouterOptions more;
        more.field = "cmd";
        more.maxDepth = maxDepth + 1;
        more.maxSize = std::size_t{1} << 20U;  // written text may be longer: \u0001, 1e20
        json::Router back(more);
        bool same = false;
        back.on("echo", [&](const SessionPtr&, const rapidjson::Value& message) {
            same = json::Fragment(message["msgTxt"]).str() == json::Fragment(object).str();
        });
        back(nullptr, out);
        require(same);
    };
    router.on("add", handle)
        .onDefault(handle)
        .onError([&](const SessionPtr&, const json::RouteError& error) {
            ++failed;
            require(error.code.category() == json::jsonCategory());
            require(error.offset <= size);
            require(!error.reason.empty() && error.reason.size() < 200);
        });
    router(nullptr, text);
    require(handled + failed == 1);

    try {
        json::raw(copy);
    } catch (const std::system_error& error) {
        require(error.code().category() == json::jsonCategory());
        require(handled == 0);
    }
    try {
        json::raw(json::Message(text, text).msgId(copy).str());
    } catch (const std::system_error& error) {
        require(error.code() == json::Errc::invalidUtf8);
        require(!pushhub::protocol::isValidUtf8(text));
    }
    return 0;
}

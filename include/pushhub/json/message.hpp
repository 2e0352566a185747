#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <rapidjson/document.h>

#include <pushhub/json/detail/number.hpp>
#include <pushhub/json/detail/parse.hpp>
#include <pushhub/json/detail/writer.hpp>
#include <pushhub/json/error.hpp>
#include <pushhub/json/uuid.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub::json {
namespace detail {

template <class T, class... Others>
constexpr bool isOneOf = (std::is_same_v<T, Others> || ...);

/// Characters and bool count as integers for the language: taken for numbers they are mistakes.
template <class T>
constexpr bool isInteger = std::is_integral_v<T> &&
#ifdef __cpp_char8_t
                           !std::is_same_v<T, char8_t> &&
#endif
                           !isOneOf<T, bool, char, wchar_t, char16_t, char32_t>;

}  // namespace detail

/// Milliseconds since 1970-01-01T00:00:00Z, as for JavaScript's Date. Any thread, no throw.
inline std::int64_t millisecondsSinceEpoch() noexcept {
    const auto sinceEpoch = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(sinceEpoch).count();
}

/// One JSON value, serialised on construction. All supported types convert to it: null, bool,
/// numbers, text, rapidjson::Value and Document, `Object`, `Array`, `raw`.
///
/// The conversions throw std::system_error with a `json::Errc`: `invalidUtf8` for text that is not
/// UTF-8, `numberOutOfRange` for an infinity or NaN. So a fragment is always valid JSON in valid
/// UTF-8. One object belongs to one thread at a time. Linear in the size of the value.
class Fragment {
public:
    Fragment(std::nullptr_t) : json_("null") {}

    template <class T, std::enable_if_t<std::is_same_v<T, bool>, int> = 0>
    Fragment(T value) : json_(value ? "true" : "false") {}

    /// Any integer except character types. Note that JavaScript keeps only 53 bits.
    template <class T, std::enable_if_t<detail::isInteger<T>, long> = 0>
    Fragment(T value) : json_(std::to_string(value)) {}

    /// The shortest text that converts back to the same double. A whole number ends in `.0`, one of
    /// more than 21 digits has an exponent: `1.0`, `1e21`. A float is widened first.
    Fragment(double value) {
        if (!std::isfinite(value)) {
            throw std::system_error(Errc::numberOutOfRange);
        }
        json_ = detail::DoubleText(value).view();
    }
    Fragment(float value) : Fragment(static_cast<double>(value)) {}

    /// Text: a literal, std::string, std::string_view; a `const char*` must not be null.
    template <class T,
              std::enable_if_t<std::is_convertible_v<const T&, std::string_view>, char> = 0>
    Fragment(const T& text) {
        detail::appendString(json_, text);
    }

    /// RapidJSON's values and documents, in UTF-8, with any allocator. Recurses once per level.
    template <class Allocator>
    Fragment(const rapidjson::GenericValue<rapidjson::UTF8<>, Allocator>& value) {
        detail::appendJson(json_, [&value](auto& writer) { return value.Accept(writer); });
    }

    /// JSON that is serialised already, kept byte for byte. Throws std::system_error (also
    /// `malformed`, `tooDeep` beyond 1000 levels) with the byte offset if it is not one JSON value.
    static Fragment raw(std::string json) {
        constexpr std::size_t maxDepth = 1000;
        auto problem = detail::scan(json, maxDepth);
        if (!problem) {
            problem = detail::validate(json);
        }
        if (problem) {
            throw std::system_error(problem->code, "at byte " + std::to_string(problem->offset) +
                                                       ": " + std::string(problem->reason));
        }
        Fragment fragment;
        fragment.json_ = std::move(json);
        return fragment;
    }

    /// The JSON text. Valid as long as the fragment exists.
    const std::string& str() const noexcept { return json_; }

private:
    friend class Object;
    friend class Array;
    Fragment() = default;

    std::string json_;
};

/// `Fragment::raw`, for use inside a builder expression.
inline Fragment raw(std::string json) {
    return Fragment::raw(std::move(json));
}

/// Builds a JSON object member by member:
/// `Object().add("symbol", "ABC").add("levels", Array().add(1.5).add(nullptr))`.
/// Members keep the order of the calls; a key that is added twice is written twice. Throws as
/// `Fragment` does, and is unchanged then.
class Object {
public:
    Object& add(std::string_view key, const Fragment& value) {
        std::string name;
        detail::appendString(name, key);
        if (json_.size() > 1) {
            json_ += ',';
        }
        json_ += name;
        json_ += ':';
        json_ += value.str();
        return *this;
    }

    operator Fragment() const {
        Fragment fragment;
        fragment.json_ = json_ + '}';
        return fragment;
    }

private:
    std::string json_ = "{";
};

/// Builds a JSON array element by element; else like `Object`.
class Array {
public:
    Array& add(const Fragment& value) {
        if (json_.size() > 1) {
            json_ += ',';
        }
        json_ += value.str();
        return *this;
    }

    operator Fragment() const {
        Fragment fragment;
        fragment.json_ = json_ + ']';
        return fragment;
    }

private:
    std::string json_ = "[";
};

/// The outbound business message `{"cmd":"topic","msgId":"<UUID>","msgTxt":…}`:
/// `hub.sendAll(json::Message("price").msgTxt(json::Object().add("bid", 1.5)).str())`.
///
/// Each has a fresh UUID (version 4) as msgId; a copy keeps it. Values are checked and serialised
/// when they are given, so these calls throw as `Fragment` does and `str()` is always valid. One
/// object belongs to one thread at a time.
class Message {
public:
    /// `cmd` is the topic.
    explicit Message(std::string_view cmd, Fragment msgTxt = nullptr)
        : msgId_(uuidV4()), msgTxt_(std::move(msgTxt)) {
        detail::appendString(cmdJson_, cmd);
    }

    /// The id that the receiver sees, to match its answer to this message.
    const std::string& msgId() const noexcept { return msgId_; }

    /// Sets the caller's own id instead of the UUID, to repeat or to answer a message.
    Message& msgId(std::string id) {
        if (!protocol::isValidUtf8(id)) {
            throw std::system_error(Errc::invalidUtf8);
        }
        msgId_ = std::move(id);
        return *this;
    }

    /// Sets the payload, replacing the previous one.
    Message& msgTxt(Fragment value) {
        msgTxt_ = std::move(value);
        return *this;
    }

    /// The message as JSON text in UTF-8, without white space. Linear in its size.
    std::string str() const {
        std::string text;
        text.reserve(cmdJson_.size() + msgId_.size() + msgTxt_.str().size() + 32);
        text += R"({"cmd":)";
        text += cmdJson_;
        text += R"(,"msgId":)";
        detail::appendString(text, msgId_);
        text += R"(,"msgTxt":)";
        text += msgTxt_.str();
        text += '}';
        return text;
    }

private:
    std::string cmdJson_;
    std::string msgId_;
    Fragment msgTxt_;
};

}  // namespace pushhub::json

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <pushhub/json/detail/scan.hpp>
#include <pushhub/json/error.hpp>

namespace pushhub::json::detail {

// Iterative: the parser's depth never costs call stack. Named in full, so that a host's
// RAPIDJSON_PARSE_DEFAULT_FLAGS has no say; full precision stays out, it reads out of bounds.
constexpr unsigned parseFlags =
    rapidjson::kParseValidateEncodingFlag | rapidjson::kParseIterativeFlag;

inline Errc toErrc(rapidjson::ParseErrorCode code) noexcept {
    switch (code) {
        case rapidjson::kParseErrorNumberTooBig:
        // Our handlers end a parse for one reason only, a number that is not finite.
        case rapidjson::kParseErrorTermination:
            return Errc::numberOutOfRange;
        case rapidjson::kParseErrorStringInvalidEncoding:
            return Errc::invalidUtf8;
        default:
            return Errc::malformed;
    }
}

/// Parses `text` into the events of `handler`, which must refuse a Double that is not finite
/// (1.1.0 makes an infinity of `99e308`) and nothing else. `text` has passed `scan`. Linear.
template <class Handler>
std::optional<Problem> parse(std::string_view text, Handler& handler) {
    rapidjson::MemoryStream stream(text.data(), text.size());
    rapidjson::Reader reader;
    const rapidjson::ParseResult result = reader.Parse<parseFlags>(stream, handler);
    if (!result.IsError()) {
        return std::nullopt;
    }
    const Errc code = toErrc(result.Code());
    const std::string_view reason = code == Errc::numberOutOfRange
                                        ? "Number too big to be stored in double."
                                        : rapidjson::GetParseError_En(result.Code());
    return Problem{code, result.Offset(), reason};
}

/// Takes any JSON text and keeps nothing of it.
struct ValidatingHandler : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, ValidatingHandler> {
    bool Double(double number) const noexcept { return std::isfinite(number); }
};

// A name of RapidJSON's handlers that Xlib.h makes a macro.
#pragma push_macro("Bool")
#undef Bool

/// Builds `target`, which is a rapidjson::Document, from a parser's events.
template <class Document>
class DocumentHandler {
public:
    explicit DocumentHandler(Document& target) noexcept : target_(target) {}

    // RapidJSON's names. NOLINTBEGIN(readability-identifier-naming)
    bool Null() { return target_.Null(); }
    bool Bool(bool value) { return target_.Bool(value); }
    bool Int(int value) { return target_.Int(value); }
    bool Uint(unsigned value) { return target_.Uint(value); }
    bool Int64(std::int64_t value) { return target_.Int64(value); }
    bool Uint64(std::uint64_t value) { return target_.Uint64(value); }
    bool Double(double value) { return std::isfinite(value) && target_.Double(value); }
    bool RawNumber(const char* text, rapidjson::SizeType length, bool copy) {
        return target_.RawNumber(text, length, copy);
    }
    bool String(const char* text, rapidjson::SizeType length, bool copy) {
        return target_.String(text, length, copy);
    }
    bool StartObject() { return target_.StartObject(); }
    bool Key(const char* text, rapidjson::SizeType length, bool copy) {
        return target_.Key(text, length, copy);
    }
    bool EndObject(rapidjson::SizeType members) { return target_.EndObject(members); }
    bool StartArray() { return target_.StartArray(); }
    bool EndArray(rapidjson::SizeType elements) { return target_.EndArray(elements); }
    // NOLINTEND(readability-identifier-naming)

private:
    Document& target_;
};

#pragma pop_macro("Bool")

}  // namespace pushhub::json::detail

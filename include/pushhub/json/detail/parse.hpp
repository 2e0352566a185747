#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <pushhub/json/detail/number.hpp>
#include <pushhub/json/detail/scan.hpp>
#include <pushhub/json/error.hpp>

namespace pushhub::json::detail {

// Iterative: the parser's depth never costs call stack. Named in full, so that a host's
// RAPIDJSON_PARSE_DEFAULT_FLAGS has no say; full precision stays out, it reads out of bounds, so
// `Handler` converts doubles.
constexpr unsigned parseFlags =
    rapidjson::kParseValidateEncodingFlag | rapidjson::kParseIterativeFlag;

inline Errc toErrc(rapidjson::ParseErrorCode code) noexcept {
    switch (code) {
        case rapidjson::kParseErrorNumberTooBig:
        // `Handler` ends a parse for one reason only, a number that is not finite.
        case rapidjson::kParseErrorTermination:
            return Errc::numberOutOfRange;
        case rapidjson::kParseErrorStringInvalidEncoding:
            return Errc::invalidUtf8;
        default:
            return Errc::malformed;
    }
}

/// Passes a parser's events on to `Target`, with each double read again from the text.
template <class Target>
class Handler {
public:
    Handler(Target& target, std::string_view text, const rapidjson::MemoryStream& stream) noexcept
        : target_(target), text_(text), stream_(stream) {}

    // RapidJSON's names. NOLINTBEGIN(readability-identifier-naming)
    bool Null() { return target_.Null(); }
    bool Bool(bool value) { return target_.Bool(value); }
    // Not negative is unsigned: this zero is the text -0, which only a double has.
    bool Int(int value) { return value == 0 ? target_.Double(-0.0) : target_.Int(value); }
    bool Uint(unsigned value) { return target_.Uint(value); }
    bool Int64(std::int64_t value) { return target_.Int64(value); }
    bool Uint64(std::uint64_t value) { return target_.Uint64(value); }
    bool Double(double approximation) {
        const std::string_view number = lastNumber();
        const double value = isShortDecimal(number) ? approximation : nearestDouble(number);
        return std::isfinite(value) && target_.Double(value);
    }
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
    /// The number that the parser stands behind: what may precede a number is no part of one.
    std::string_view lastNumber() const noexcept {
        const std::size_t end = stream_.Tell();
        std::size_t begin = end;
        while (begin > 0 && isOfNumber(text_[begin - 1])) {
            --begin;
        }
        return text_.substr(begin, end - begin);
    }

    static bool isOfNumber(char c) noexcept {
        return isDigit(c) || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
    }

    /// Of up to 15 digits without an exponent the parser makes one exact division, unless the
    /// processor computes with more than 53 bits: then it is no approximation.
    static bool isShortDecimal(std::string_view number) noexcept {
        constexpr std::size_t digitsAndPoint = 16;
        return FLT_EVAL_METHOD == 0 && number.size() <= digitsAndPoint &&
               number.find('e') == std::string_view::npos &&
               number.find('E') == std::string_view::npos;
    }

    Target& target_;
    std::string_view text_;
    const rapidjson::MemoryStream& stream_;
};

/// Parses `text`, which has passed `scan`, into the events of `target`: a rapidjson::Document, or
/// `Nothing`. Doubles are the nearest ones and finite. Linear.
template <class Target>
std::optional<Problem> parse(std::string_view text, Target& target) {
    rapidjson::MemoryStream stream(text.data(), text.size());
    Handler<Target> handler(target, text, stream);
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
struct Nothing : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Nothing> {};

}  // namespace pushhub::json::detail

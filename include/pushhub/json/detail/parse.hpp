#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <rapidjson/document.h>
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

inline bool isOfNumber(char c) noexcept {
    return isDigit(c) || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

// A name of RapidJSON's handlers that Xlib.h makes a macro.
#pragma push_macro("Bool")
#undef Bool

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

/// Takes any JSON text and keeps nothing of it.
struct Nothing : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Nothing> {};

/// Parses `syntax`, which has the numbers of `text` in the same places, into the events of
/// `target`.
template <class Target>
std::optional<Problem> parseOnce(std::string_view syntax, std::string_view text, Target& target) {
    rapidjson::MemoryStream stream(syntax.data(), syntax.size());
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

/// Is `token` a number, by the grammar of RFC 8259, section 6?
inline bool isNumber(std::string_view token) noexcept {
    const auto take = [&](std::string_view oneOf) {
        const bool found = !token.empty() && oneOf.find(token.front()) != std::string_view::npos;
        token.remove_prefix(found ? 1 : 0);
        return found;
    };
    const auto takeDigits = [&] {
        const std::size_t before = token.size();
        while (!token.empty() && isDigit(token.front())) {
            token.remove_prefix(1);
        }
        return token.size() != before;
    };
    take("-");
    if (!take("0") && !takeDigits()) {
        return false;
    }
    if (take(".") && !takeDigits()) {
        return false;
    }
    if (take("eE")) {
        take("+-");
        if (!takeDigits()) {
            return false;
        }
    }
    return token.empty();
}

/// A copy of `text` with `0.00…` in the place of each number that has an exponent or that is long.
inline std::string hideNumbers(std::string_view text) {
    constexpr std::size_t isLong = 300;
    std::string syntax(text);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"') {
            for (++i; i < text.size() && text[i] != '"'; ++i) {
                i += text[i] == '\\' ? 1U : 0U;
            }
        } else if (isDigit(text[i]) || text[i] == '-') {
            std::size_t end = i;
            while (end < text.size() && isOfNumber(text[end])) {
                ++end;
            }
            const std::string_view token = text.substr(i, end - i);
            if (isNumber(token) &&
                (token.size() >= isLong || token.find_first_of("eE") != std::string_view::npos)) {
                syntax.replace(i, token.size(), token.size(), '0');
                syntax[i + 1] = '.';
            }
            i = end - 1;
        }
    }
    return syntax;
}

/// `attempt(text)`, and once more without the numbers that RapidJSON could take for too large: it
/// looks at digits and exponent apart (`0e400`), and its approximation may be above the largest
/// double where the number is not.
template <class Attempt>
std::optional<Problem> parseTwice(std::string_view text, Attempt attempt) {
    const std::optional<Problem> problem = attempt(text);
    if (problem && problem->code == Errc::numberOutOfRange) {
        return attempt(hideNumbers(text));
    }
    return problem;
}

/// Is `text`, which has passed `scan`, one JSON value with numbers that a double holds? Linear.
inline std::optional<Problem> validate(std::string_view text) {
    return parseTwice(text, [&](std::string_view syntax) {
        Nothing nothing;
        return parseOnce(syntax, text, nothing);
    });
}

/// Parses `text`, which has passed `scan`, into `document`. Doubles are the nearest ones. Linear.
inline std::optional<Problem> parse(std::string_view text, rapidjson::Document& document) {
    return parseTwice(text, [&](std::string_view syntax) {
        std::optional<Problem> problem;
        auto generate = [&](rapidjson::Document& target) {
            problem = parseOnce(syntax, text, target);
            return !problem;
        };
        document.Populate(generate);
        if (problem) {
            document.GetAllocator().Clear();
        }
        return problem;
    });
}

#pragma pop_macro("Bool")

}  // namespace pushhub::json::detail

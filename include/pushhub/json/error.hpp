#pragma once

#include <string>
#include <system_error>

/// Messages in JSON.
namespace pushhub::json {

/// What can be wrong with JSON that comes in or is to go out.
enum class Errc {
    malformed = 1,
    invalidUtf8,
    numberOutOfRange,
    tooDeep,
    tooLarge,
    notAnObject,
    missingField,
    repeatedField,
    fieldNotString,
    unknownType
};

/// The category of `json::Errc`, named "pushhub.json".
inline const std::error_category& jsonCategory() noexcept {
    class Category final : public std::error_category {
    public:
        const char* name() const noexcept override { return "pushhub.json"; }
        std::string message(int value) const override {
            switch (static_cast<Errc>(value)) {
                case Errc::malformed:
                    return "malformed JSON";
                case Errc::invalidUtf8:
                    return "text is not valid UTF-8";
                case Errc::numberOutOfRange:
                    return "number is not finite or too large for a double";
                case Errc::tooDeep:
                    return "JSON is nested too deeply";
                case Errc::tooLarge:
                    return "JSON text is too large";
                case Errc::notAnObject:
                    return "JSON is not an object";
                case Errc::missingField:
                    return "object lacks the field that names its type";
                case Errc::repeatedField:
                    return "object has the field that names its type twice";
                case Errc::fieldNotString:
                    return "field that names the type is not a string";
                case Errc::unknownType:
                    return "no handler for messages of this type";
            }
            return "unknown error " + std::to_string(value);
        }
    };
    static const Category category;
    return category;
}

inline std::error_code make_error_code(Errc code) noexcept {
    return {static_cast<int>(code), jsonCategory()};
}

}  // namespace pushhub::json

/// @cond
template <>
struct std::is_error_code_enum<pushhub::json::Errc> : std::true_type {};
/// @endcond

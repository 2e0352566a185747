#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include <rapidjson/writer.h>

#include <pushhub/json/detail/number.hpp>
#include <pushhub/json/error.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub::json::detail {

/// A RapidJSON output stream that appends to a string.
struct StringSink {
    using Ch = char;
    // RapidJSON's names. NOLINTNEXTLINE(readability-identifier-naming)
    void Put(char c) { out.push_back(c); }
    void Flush() const noexcept {}  // NOLINT(readability-identifier-naming)
    std::string& out;
};

/// RapidJSON's writer, with the encoding of strings checked before it sees them, since its own
/// check (kWriteValidateEncodingFlag) reads past the end of a string that is cut inside a
/// character, and with the shortest doubles.
class CheckedWriter : public rapidjson::Writer<StringSink> {
    using Base = rapidjson::Writer<StringSink>;

public:
    explicit CheckedWriter(StringSink& sink) : Base(sink) {}

    bool String(const char* text, rapidjson::SizeType length, bool copy = false) {
        return isText(text, length) && Base::String(text, length, copy);
    }

    bool Key(const char* text, rapidjson::SizeType length, bool copy = false) {
        return isText(text, length) && Base::Key(text, length, copy);
    }

    bool Double(double value) {
        if (!std::isfinite(value)) {
            return false;
        }
        const DoubleText text(value);
        return RawValue(text.view().data(), text.view().size(), rapidjson::kNumberType);
    }

    /// Why a call returned false: nothing else is refused but infinities and NaN.
    Errc error() const noexcept { return badText_ ? Errc::invalidUtf8 : Errc::numberOutOfRange; }

private:
    bool isText(const char* text, rapidjson::SizeType length) noexcept {
        badText_ = !protocol::isValidUtf8({text, length});
        return !badText_;
    }

    bool badText_ = false;
};

/// Appends what `write(CheckedWriter&)` writes. Throws std::system_error if it returns false.
template <class Write>
void appendJson(std::string& out, Write write) {
    StringSink sink{out};
    CheckedWriter writer(sink);
    if (!write(writer)) {
        throw std::system_error(writer.error());
    }
}

inline void appendString(std::string& out, std::string_view text) {
    if (text.size() > (std::numeric_limits<rapidjson::SizeType>::max)()) {
        throw std::system_error(Errc::tooLarge);
    }
    appendJson(out, [text](CheckedWriter& writer) {
        // RapidJSON asserts that the pointer is not null, an empty string_view's may be.
        return writer.String(text.empty() ? "" : text.data(),
                             static_cast<rapidjson::SizeType>(text.size()));
    });
}

}  // namespace pushhub::json::detail

#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/detail/ascii.hpp>
#include <pushhub/http/url.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub {

/// The path of an endpoint with named parameters, such as "/prices/{symbol}/{userId}".
///
/// The pattern starts with '/'. A segment is either literal text, written decoded, or one parameter
/// `{name}` with a unique name of letters, digits and '_'. A trailing slash is ignored. Immutable,
/// so any thread may use it.
class PathTemplate {
public:
    /// Returned by `indexOf` for an unknown name.
    static constexpr std::size_t npos = static_cast<std::size_t>(-1);

    /// Throws std::invalid_argument naming the pattern and the fault.
    explicit PathTemplate(std::string_view pattern);

    /// True if an undecoded path (without query) matches; `values` then has one entry per
    /// parameter, in the order of the pattern, and is empty otherwise.
    ///
    /// The path is first split at '/'; runs of slashes count as one, trailing slashes are ignored.
    /// Then each segment is percent-decoded, so "%2F" is part of a value. A path does not match if
    /// a segment has a malformed escape, is not UTF-8, is "." or "..", or has a control character
    /// (including NUL). A '+' is not decoded. Linear; allocates only for values that exceed the
    /// existing capacity of `values`.
    bool match(std::string_view rawPath, std::vector<std::string>& values) const;

    /// The names of the parameters, in order.
    const std::vector<std::string>& parameters() const { return parameters_; }

    /// The index of a parameter in `parameters()` and in the values, or `npos`.
    std::size_t indexOf(std::string_view name) const {
        const auto found = std::find(parameters_.begin(), parameters_.end(), name);
        return found == parameters_.end() ? npos
                                          : static_cast<std::size_t>(found - parameters_.begin());
    }

    /// True if this template takes precedence when both match a path: at the first segment in which
    /// they differ in kind, this one has literal text and the other one a parameter. A strict weak
    /// order.
    bool isMoreSpecificThan(const PathTemplate& other) const noexcept {
        return std::lexicographical_compare(
            segments_.begin(), segments_.end(), other.segments_.begin(), other.segments_.end(),
            [](const Segment& a, const Segment& b) { return !a.isParameter && b.isParameter; });
    }

    /// True if both match the same paths, regardless of parameter names.
    bool matchesSamePathsAs(const PathTemplate& other) const noexcept {
        return std::equal(segments_.begin(), segments_.end(), other.segments_.begin(),
                          other.segments_.end(), [](const Segment& a, const Segment& b) {
                              return a.isParameter == b.isParameter && a.literal == b.literal;
                          });
    }

    /// The original pattern.
    const std::string& pattern() const { return pattern_; }

private:
    struct Segment {
        std::string literal;
        bool isParameter;
    };

    /// Cuts the next segment off `path`, which starts with '/' or is empty; "" at the end.
    static std::string_view nextSegment(std::string_view& path) {
        path.remove_prefix((std::min)(path.find_first_not_of('/'), path.size()));
        const std::string_view segment = path.substr(0, path.find('/'));
        path.remove_prefix(segment.size());
        return segment;
    }
    static bool hasControlCharacter(std::string_view text) {
        return std::any_of(text.begin(), text.end(), [](char c) {
            return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        });
    }
    static bool decodeSegment(std::string_view raw, std::string& text) {
        text.clear();
        return percentDecodeTo(raw, text) && protocol::isValidUtf8(text) && text != "." &&
               text != ".." && !hasControlCharacter(text);
    }
    /// In quotes, control characters as \xNN: a NUL would end the message of the exception.
    static std::string quote(std::string_view text) {
        std::string quoted = "\"";
        for (const char c : text) {
            if (hasControlCharacter({&c, 1})) {
                quoted += "\\x";
                quoted += detail::hexDigits[static_cast<unsigned char>(c) / 16];
                quoted += detail::hexDigits[static_cast<unsigned char>(c) % 16];
            } else {
                quoted += c;
            }
        }
        return quoted + "\"";
    }
    [[noreturn]] void fail(const std::string& what) const {
        throw std::invalid_argument("path template " + quote(pattern_) + ": " + what);
    }
    void addSegment(std::string_view segment);
    void addParameter(std::string_view name);
    bool matchSegments(std::string_view rawPath, std::vector<std::string>& values) const;

    std::string pattern_;
    std::vector<Segment> segments_;
    std::vector<std::string> parameters_;
};

inline PathTemplate::PathTemplate(std::string_view pattern) : pattern_(pattern) {
    if (pattern.empty() || pattern.front() != '/') {
        fail("does not start with '/'");
    }
    if (pattern.find("//") != std::string_view::npos) {
        fail("has an empty segment");
    }
    if (!protocol::isValidUtf8(pattern) || hasControlCharacter(pattern)) {
        fail("is not UTF-8 text without control characters");
    }
    std::string_view rest = pattern;
    for (std::string_view segment = nextSegment(rest); !segment.empty();
         segment = nextSegment(rest)) {
        addSegment(segment);
    }
}

inline void PathTemplate::addSegment(std::string_view segment) {
    const std::string quoted = quote(segment);
    if (segment.front() == '{' && segment.back() == '}') {
        addParameter(segment.substr(1, segment.size() - 2));
        return;
    }
    if (segment.find_first_of("{}") != std::string_view::npos) {
        fail("segment " + quoted + " is neither literal nor one {parameter}");
    }
    if (segment.find_first_of("?#%") != std::string_view::npos) {
        fail("segment " + quoted + " has a '?', '#' or '%'; literals are written decoded");
    }
    if (segment == "." || segment == "..") {
        fail("segment " + quoted + " can never match");
    }
    segments_.push_back({std::string(segment), false});
}

inline void PathTemplate::addParameter(std::string_view name) {
    const std::string quoted = quote(name);
    const auto isNameChar = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || detail::isDigit(c) || c == '_';
    };
    if (name.empty()) {
        fail("has a parameter without a name");
    }
    if (!std::all_of(name.begin(), name.end(), isNameChar)) {
        fail("parameter name " + quoted + " has other characters than letters, digits and '_'");
    }
    if (indexOf(name) != npos) {
        fail("parameter " + quoted + " stands twice");
    }
    parameters_.emplace_back(name);
    segments_.push_back({std::string(), true});
}

inline bool PathTemplate::match(std::string_view rawPath, std::vector<std::string>& values) const {
    values.resize(parameters_.size());
    if (!matchSegments(rawPath, values)) {
        values.clear();
        return false;
    }
    return true;
}

inline bool PathTemplate::matchSegments(std::string_view rawPath,
                                        std::vector<std::string>& values) const {
    if (rawPath.empty() || rawPath.front() != '/') {
        return false;
    }
    std::size_t parameter = 0;
    std::string decoded;
    for (const Segment& expected : segments_) {
        const std::string_view raw = nextSegment(rawPath);
        if (raw.empty()) {
            return false;
        }
        if (expected.isParameter) {
            if (!decodeSegment(raw, values[parameter])) {
                return false;
            }
            ++parameter;
        } else if (raw != expected.literal) {
            if (raw.find('%') == std::string_view::npos || !decodeSegment(raw, decoded) ||
                decoded != expected.literal) {
                return false;
            }
        }
    }
    return nextSegment(rawPath).empty();
}

}  // namespace pushhub

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <pushhub/http/request.hpp>
#include <pushhub/http/syntax.hpp>

namespace pushhub {

/// Reads the body that the head of a request declares (RFC 9112 section 6), by Content-Length or in
/// chunks. Bytes come in pieces, and the result does not depend on how they are split. Chunk
/// extensions and trailers are checked and discarded.
class HttpBodyReader {
public:
    /// Uses only the declarations in `head`. A body of more than `maxBytes` is refused with 413, by
    /// the first `read` if Content-Length declares its size.
    HttpBodyReader(const HttpRequest& head, std::size_t maxBytes) : maxBytes_(maxBytes) {
        if (head.headerCount("Transfer-Encoding") != 0) {
            state_ = State::size;
            return;
        }
        for (const char digit : head.header("Content-Length")) {
            left_ = (std::min)(left_, mostLeft) * 10 + static_cast<std::size_t>(digit - '0');
        }
    }

    /// Reads the next bytes. `consumed` is the number of `bytes` that belong to the body, unless
    /// the body is invalid. Must not be called again once the result is not `incomplete`. Throws
    /// only std::bad_alloc; linear.
    HttpParseResult read(std::string_view bytes) {
        const std::size_t size = bytes.size();
        while (state_ != State::complete) {
            if (state_ == State::data) {
                if (left_ > maxBytes_ - body_.size()) {
                    return invalid(413, "the request body is too large");
                }
                const std::string_view part = bytes.substr(0, left_);
                body_.append(part);
                bytes.remove_prefix(part.size());
                left_ -= part.size();
                if (left_ > 0) {
                    break;
                }
                state_ = chunked_ ? State::dataEnd : State::complete;
                continue;
            }
            const std::size_t lineEnd = bytes.find('\n');
            const std::size_t taken = (std::min)(lineEnd, bytes.size() - 1) + 1;
            if (line_.size() + taken > maxLine) {
                return invalid(400, "a line of a chunked body is too long");
            }
            line_.append(bytes.substr(0, taken));
            bytes.remove_prefix(taken);
            if (lineEnd == std::string_view::npos) {
                break;
            }
            if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
                return invalid(400, "a line of a chunked body ends without CR LF");
            }
            if (const char* const wrong = endLine({line_.data(), line_.size() - 2})) {
                return invalid(400, wrong);
            }
            line_.clear();
        }
        HttpParseResult result;
        result.consumed = size - bytes.size();
        if (state_ == State::complete) {
            result.status = HttpParseResult::State::complete;
        }
        return result;
    }

    /// The body read so far.
    const std::string& body() const noexcept { return body_; }

private:
    enum class State : std::uint8_t { data, size, dataEnd, trailers, complete };

    static constexpr std::size_t mostLeft = SIZE_MAX / 16 - 1;  // more is too large anyway
    static constexpr std::size_t maxLine = 1024;
    static constexpr std::size_t maxTrailers = 100;

    static HttpParseResult invalid(int httpStatus, const char* reason) {
        return {HttpParseResult::State::invalid, 0, httpStatus, reason};
    }

    // A line without its end. The reason if it is wrong.
    const char* endLine(std::string_view line) {
        switch (state_) {
            case State::size:
                return readSize(line);
            case State::dataEnd:
                state_ = State::size;
                return line.empty() ? nullptr : "a chunk is longer than its size";
            case State::trailers:
                return readTrailer(line);
            case State::data:
            case State::complete:
                break;
        }
        return nullptr;
    }

    const char* readSize(std::string_view line) {
        constexpr std::size_t maxDigits = 15;  // leading zeros included; no overflow
        std::size_t digits = 0;
        left_ = 0;
        for (; digits < line.size() && detail::hexValue(line[digits]) >= 0; ++digits) {
            if (digits == maxDigits) {
                return "the size of a chunk is malformed";
            }
            left_ = (std::min)(left_, mostLeft) * 16 +
                    static_cast<std::size_t>(detail::hexValue(line[digits]));
        }
        const std::string_view extension = detail::trim(line.substr(digits));
        const bool clean =
            digits == line.size() ||
            (!extension.empty() && extension.front() == ';' && detail::isFieldValue(extension));
        if (digits == 0 || !clean) {
            return "the size of a chunk is malformed";
        }
        chunked_ = true;
        state_ = left_ == 0 ? State::trailers : State::data;
        return nullptr;
    }

    const char* readTrailer(std::string_view line) {
        if (line.empty()) {
            state_ = State::complete;
            return nullptr;
        }
        const std::size_t colon = line.find(':');
        const bool good = colon != std::string_view::npos &&
                          detail::isToken(line.substr(0, colon)) &&
                          detail::isFieldValue(line.substr(colon + 1));
        if (!good) {
            return "a trailer is not of the form name:value";
        }
        return ++trailers_ > maxTrailers ? "the request has too many trailers" : nullptr;
    }

    const std::size_t maxBytes_;
    std::string body_;
    std::string line_;      // an incomplete one
    std::size_t left_ = 0;  // of the body, or of the chunk
    std::size_t trailers_ = 0;
    State state_ = State::data;
    bool chunked_ = false;
};

}  // namespace pushhub

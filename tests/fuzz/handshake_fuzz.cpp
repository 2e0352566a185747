// Feeds arbitrary bytes to the request parser, the reader of bodies and the handshake check, whole
// and in pieces, and checks what both promise. The first byte decides how the bytes are cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/http/body.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/protocol/upgrade.hpp>

namespace {

using pushhub::HttpLimits;
using pushhub::HttpParseResult;
using pushhub::HttpRequest;
using Status = HttpParseResult::State;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

std::string written(const HttpRequest& request) {
    std::string text;
    text.append(request.method()).append(" ").append(request.target()).append(" ");
    text.append(request.version()).append("\r\n");
    request.forEachHeader([&](std::string_view name, std::string_view value) {
        text.append(name).append(": ").append(value).append("\r\n");
    });
    return text + "\r\n";
}

void checkResult(const HttpParseResult& result, std::size_t size) {
    if (result.status == Status::complete) {
        require(result.consumed > 0 && result.consumed <= size && result.httpStatus == 0);
        return;
    }
    require(result.consumed == 0);
    const int status = result.httpStatus;
    const bool known = status == 400 || status == 413 || status == 414 || status == 431 ||
                       status == 501 || status == 505;
    require(result.status == Status::invalid ? known : status == 0);
}

void checkRequest(const HttpRequest& request, std::size_t consumed) {
    require(request.memoryUsage() <= sizeof request + consumed);
    require(!request.method().empty() && request.version().substr(0, 7) == "HTTP/1.");
    require(request.version().size() == 8 && pushhub::detail::isDigit(request.version()[7]));
    require(!request.path().empty() && (request.path()[0] == '/' || request.path() == "*"));
    require(request.path().find('?') == std::string_view::npos);
    const bool old = request.version() == "HTTP/1.0";
    require(request.headerCount("host") == 1 ? !request.header("HOST").empty()
                                             : old && request.headerCount("host") == 0);
    request.forEachHeader([&](std::string_view name, std::string_view value) {
        require(pushhub::isValidHeader(name, value));
        require(pushhub::detail::trim(value) == value);
        require(request.headerCount(name) == request.headerValues(name).size());
        require(request.headerValues(name)[0] == request.header(name));
    });
    static_cast<void>(request.query("token"));
    static_cast<void>(request.cookie("sid"));
    static_cast<void>(request.origin());
    for (const std::string_view name : request.subprotocols()) {
        require(request.hasToken("Sec-WebSocket-Protocol", name));
    }
}

void checkUpgrade(const HttpRequest& request) {
    const pushhub::protocol::UpgradeCheck check = pushhub::protocol::checkUpgrade(request);
    const int status = check.status;
    require(status == 101 || status == 400 || status == 405 || status == 426);
    if (status == 101) {
        require(request.method() == "GET" && !request.hasBody());
        require(request.version() != "HTTP/1.0");
        require(pushhub::protocol::isUpgradeRequest(request));
        require(request.headerCount("Sec-WebSocket-Key") == 1);
    }
    // Whatever the host hands back of what the peer sent, the answer stays one answer.
    std::vector<std::pair<std::string, std::string>> headers;
    request.forEachHeader([&](std::string_view name, std::string_view value) {
        headers.emplace_back(name, std::string(value) + "\r\nX-Split: 1");
        headers.emplace_back(std::string(name) + "\r\n", value);
        headers.emplace_back(name, value);
    });
    const std::string answer = pushhub::protocol::upgradeResponse(
        request.header("Sec-WebSocket-Key"), request.header("Sec-WebSocket-Protocol"), headers);
    require(answer.find("\r\n\r\n") == answer.size() - 4);
    require(std::count(answer.begin(), answer.end(), '\n') <=
            static_cast<std::ptrdiff_t>(6 + headers.size() / 3));
}

// The outcome of reading a body in pieces of `step` bytes.
struct BodyRead {
    HttpParseResult result;
    std::size_t consumed = 0;
    std::string body;
};

BodyRead readBody(const HttpRequest& head, std::string_view bytes, std::size_t step) {
    constexpr std::size_t limit = 200;
    pushhub::HttpBodyReader reader(head, limit);
    BodyRead out;
    do {
        const std::size_t length = std::min(step, bytes.size());
        const std::unique_ptr<char[]> copy(new char[length]);
        std::copy_n(bytes.data(), length, copy.get());
        out.result = reader.read({copy.get(), length});
        require(out.result.consumed <= length);
        require(out.result.status != Status::incomplete || out.result.consumed == length);
        out.consumed += out.result.consumed;
        bytes.remove_prefix(length);
    } while (out.result.status == Status::incomplete && !bytes.empty());
    out.body = reader.body();
    require(out.body.size() <= limit);
    return out;
}

void checkBody(HttpRequest& head, std::string_view bytes, std::size_t step) {
    const BodyRead whole = readBody(head, bytes, std::max<std::size_t>(bytes.size(), 1));
    const BodyRead inPieces = readBody(head, bytes, step);
    require(whole.result.status == inPieces.result.status);
    require(whole.result.httpStatus == inPieces.result.httpStatus);
    if (whole.result.status == Status::invalid) {
        require(whole.result.httpStatus == 400 || whole.result.httpStatus == 413);
        return;
    }
    require(whole.body == inPieces.body && whole.consumed == inPieces.consumed);
    if (whole.result.status == Status::complete) {
        const std::string before = written(head);
        head.setBody(whole.body);
        require(head.body() == whole.body && written(head) == before);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::uint8_t cut = data[0];
    const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    HttpLimits limits;
    if (cut >= 128) {
        limits.maxHeadBytes = 300;
        limits.maxHeaders = 5;
        limits.maxTargetBytes = 30;
    }

    HttpRequest whole;
    const HttpParseResult expected = HttpRequest::parse(bytes, whole, limits);
    checkResult(expected, bytes.size());

    const std::size_t step = cut % 16 == 0 ? 1 : cut % 128;
    HttpRequest inPieces;
    HttpParseResult result;
    std::size_t scanned = 0;
    while (result.status == Status::incomplete && scanned < bytes.size()) {
        const std::size_t length = std::min(scanned + step, bytes.size());
        // A copy of exactly this length lets the sanitizers see a read beyond it.
        const std::unique_ptr<char[]> copy(new char[length]);
        std::memcpy(copy.get(), bytes.data(), length);
        result = HttpRequest::parse({copy.get(), length}, inPieces, limits, scanned);
        scanned = length;
    }
    require(result.status == expected.status && result.consumed == expected.consumed);
    require(result.httpStatus == expected.httpStatus &&
            std::strcmp(result.reason, expected.reason) == 0);
    if (expected.status != Status::complete) {
        return 0;
    }

    checkRequest(whole, expected.consumed);
    checkUpgrade(whole);
    require(written(inPieces) == written(whole));

    // What was understood, written down plainly, is understood the same way.
    const std::string text = written(whole);
    HttpRequest again;
    HttpLimits generous;
    generous.maxHeadBytes = 65535;
    const HttpParseResult second = HttpRequest::parse(text, again, generous);
    require(second.status == Status::complete && second.consumed == text.size());
    require(written(again) == text);
    if (whole.hasBody()) {
        checkBody(whole, bytes.substr(expected.consumed), std::max<std::size_t>(step, 1));
    }
    return 0;
}

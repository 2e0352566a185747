#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/auth/base64url.hpp>
#include <pushhub/detail/shared_function.hpp>
#include <pushhub/http/cookies.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/syntax.hpp>
#include <pushhub/http/url.hpp>
#include <pushhub/protocol/utf8.hpp>

namespace pushhub::auth {

/// A client's credential: never empty, UTF-8, no control characters.
struct Token {
    std::string value;
    /// The browser sent it automatically, regardless of the page that opened the connection.
    bool fromCookie = false;
};

/// The result of searching a request.
struct TokenSearch {
    std::optional<Token> token{};
    /// The subprotocol that the client expects in the response, whichever token decides; or "".
    std::string subprotocol{};
    /// The reason, if a token is present but malformed or ambiguous. It is sent to the client, so
    /// it should not contain any part of the token.
    std::string malformed{};
};

/// Looks for a token in one place of a request: any callable `TokenSearch(const HttpRequest&)`.
/// Called from any thread, several at once; copies call the same one.
using TokenSource = pushhub::detail::SharedFunction<TokenSearch(const HttpRequest&)>;

namespace detail {

inline bool isTokenText(std::string_view text) {
    const bool controls = std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    return !text.empty() && !controls && protocol::isValidUtf8(text);
}

inline TokenSearch malformed(const char* why) {
    TokenSearch search;
    search.malformed = why;
    return search;
}

inline TokenSearch found(std::string value, bool fromCookie) {
    TokenSearch search;
    search.token = Token{std::move(value), fromCookie};
    return search;
}

/// b64token of RFC 6750, section 2.1.
inline bool isB64Token(std::string_view text) {
    const std::size_t end = text.find('=');
    for (const char c : text.substr(0, end)) {
        const char lower = pushhub::detail::toLowerAscii(c);
        const bool good = (lower >= 'a' && lower <= 'z') || pushhub::detail::isDigit(c) ||
                          std::string_view("-._~+/").find(c) != std::string_view::npos;
        if (!good) {
            return false;
        }
    }
    return end != 0 && !text.empty() &&
           (end == std::string_view::npos ||
            text.find_first_not_of('=', end) == std::string_view::npos);
}

inline void checkName(bool good, const char* source, const std::string& name) {
    if (!good) {
        throw std::invalid_argument(std::string("pushhub: ") + source + " cannot look for \"" +
                                    name + "\"");
    }
}

}  // namespace detail

/// `Authorization: Bearer <token>` (RFC 6750, section 2.1), for clients other than browsers, which
/// cannot set the header. Other schemes are ignored; several Authorization headers are malformed.
inline TokenSource bearerHeader() {
    return [](const HttpRequest& request) -> TokenSearch {
        const std::size_t count = request.headerCount("Authorization");
        if (count > 1) {
            return detail::malformed("several Authorization headers");
        }
        constexpr std::string_view scheme = "Bearer";
        const std::string_view value = request.header("Authorization");
        const std::size_t end = (std::min)(value.find(' '), value.size());
        if (!pushhub::detail::equalsIgnoreCase(value.substr(0, end), scheme)) {
            return {};
        }
        const std::string_view token =
            value.substr((std::min)(value.find_first_not_of(' ', end), value.size()));
        if (!detail::isB64Token(token)) {
            return detail::malformed("the bearer token is malformed");
        }
        return detail::found(std::string(token), false);
    };
}

/// A query parameter, decoded. Works in browsers, but the token appears in logs: best for tickets
/// that are worthless afterwards, see `TicketOffice`. An empty value is not a token; a repeated
/// parameter is malformed. A '+' in a token must be sent as %2B.
inline TokenSource queryToken(std::string name) {
    detail::checkName(!name.empty(), "queryToken", name);
    return [name = std::move(name)](const HttpRequest& request) -> TokenSearch {
        std::size_t count = 0;
        std::optional<std::string> value;
        pushhub::detail::anyRawQueryParam(
            request.rawQuery(), [&](std::string_view rawName, std::string_view rawValue) {
                if (pushhub::detail::decodeQueryText(rawName) == name) {
                    ++count;
                    value = pushhub::detail::decodeQueryText(rawValue);
                }
                return false;
            });
        if (count > 1) {
            return detail::malformed("several tokens in the query");
        }
        if (count == 0 || value == "") {
            return {};
        }
        if (!value || !detail::isTokenText(*value)) {
            return detail::malformed("the token in the query is malformed");
        }
        return detail::found(std::move(*value), false);
    };
}

/// A cookie. Browsers send it automatically, whatever page opens the connection: only the Origin
/// check protects it, see `Authenticator`. An empty value is not a token. Two cookies of this name
/// with different values are malformed: one of them may have been planted by another subdomain,
/// which the name prefix `__Host-` prevents.
inline TokenSource cookieToken(std::string name) {
    detail::checkName(pushhub::detail::isToken(name), "cookieToken", name);
    return [name = std::move(name)](const HttpRequest& request) -> TokenSearch {
        std::optional<std::string> token;
        bool ambiguous = false;
        request.forEachHeader([&](std::string_view header, std::string_view cookies) {
            if (!pushhub::detail::equalsIgnoreCase(header, "Cookie")) {
                return;
            }
            forEachCookie(cookies, [&](std::string_view cookie, std::string_view value) {
                if (cookie == name && !value.empty()) {
                    ambiguous = ambiguous || (token && *token != value);
                    token.emplace(value);
                }
            });
        });
        if (ambiguous) {
            return detail::malformed("several cookies with different tokens");
        }
        if (!token) {
            return {};
        }
        if (!detail::isTokenText(*token)) {
            return detail::malformed("the token in the cookie is malformed");
        }
        return detail::found(std::move(*token), true);
    };
}

/// A subprotocol that carries a token: `new WebSocket(url, ["pushhub", "bearer." + token])` with
/// the token in base64url without padding. Works in browsers and keeps the token out of the URL.
/// The response names `realSubprotocol`, here "pushhub", and never the token; the client must offer
/// it, because Chromium gives up if none of its offered subprotocols is chosen.
inline TokenSource subprotocolToken(std::string realSubprotocol) {
    constexpr std::string_view prefix = "bearer.";
    detail::checkName(pushhub::detail::isToken(realSubprotocol) &&
                          std::string_view(realSubprotocol).substr(0, prefix.size()) != prefix,
                      "subprotocolToken", realSubprotocol);
    return [real = std::move(realSubprotocol), prefix](const HttpRequest& request) -> TokenSearch {
        TokenSearch search;
        std::size_t count = 0;
        std::string_view encoded;
        for (const std::string_view offered : request.subprotocols()) {
            if (offered == real) {
                search.subprotocol = real;
            } else if (offered.substr(0, prefix.size()) == prefix) {
                ++count;
                encoded = offered.substr(prefix.size());
            }
        }
        if (count == 0) {
            return search;
        }
        if (count > 1) {
            return detail::malformed("several tokens among the subprotocols");
        }
        if (search.subprotocol.empty()) {
            return detail::malformed(
                "a token among the subprotocols, but not the subprotocol itself");
        }
        std::optional<std::string> token = base64UrlDecode(encoded);
        if (!token || !detail::isTokenText(*token)) {
            return detail::malformed("the token among the subprotocols is malformed");
        }
        search.token = Token{std::move(*token), false};
        return search;
    };
}

}  // namespace pushhub::auth

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <pushhub/auth/token_sources.hpp>
#include <pushhub/detail/shared_function.hpp>
#include <pushhub/error.hpp>
#include <pushhub/handshake.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/session_data.hpp>

namespace pushhub::auth {

/// The identity that a token stands for.
struct Identity {
    /// Must not be empty: a token without a user is refused.
    std::string userId;
    /// Time at which the token expires, and the session with it.
    std::optional<std::chrono::system_clock::time_point> expires{};
    /// Becomes the session's data, see `Session::data`.
    SessionData data{};
};

namespace detail {

/// The value of WWW-Authenticate (RFC 6750, section 3).
inline std::string challenge(const std::string& realm, const char* error) {
    std::string out = "Bearer";
    if (!realm.empty()) {
        out += " realm=\"" + realm + "\"";
    }
    if (error) {
        out += std::string(realm.empty() ? "" : ",") + " error=\"" + error + "\"";
    }
    return out;
}

inline HttpResponse malformedToken(const std::string& realm, std::string why) {
    HttpResponse response{400, std::move(why) + "\n"};
    response.headers = {{"WWW-Authenticate", challenge(realm, "invalid_request")}};
    return response;
}

inline HttpResponse unauthorized(const std::string& realm, const char* error) {
    HttpResponse response{401, error ? "the token is not valid\n" : "a token is needed\n"};
    response.headers = {{"WWW-Authenticate", challenge(realm, error)}};
    return response;
}

}  // namespace detail

/// The decision about a token, to be made once: immediately, or later from any thread. Copies share
/// the decision; only the first call has an effect.
class Decision {
public:
    /// Constructed by the authenticator.
    Decision(HandshakePtr handshake, std::string subprotocol, std::string realm)
        : state_(std::make_shared<State>(std::move(handshake), std::move(subprotocol),
                                         std::move(realm))) {}

    /// Accepts the client as that user, or refuses it with 401 if there is none. Returns
    /// `Errc::handshakeAnswered` if it was already decided, the client has gone, or the time is
    /// over.
    std::error_code operator()(std::optional<Identity> identity) const {
        if (state_->decided.exchange(true)) {
            return Errc::handshakeAnswered;
        }
        const HandshakePtr handshake = std::move(state_->handshake);
        if (!identity || identity->userId.empty()) {
            return handshake->reject(detail::unauthorized(state_->realm, "invalid_token"));
        }
        Acceptance acceptance;
        acceptance.userId = std::move(identity->userId);
        acceptance.subprotocol = std::move(state_->subprotocol);
        acceptance.expires = identity->expires;
        acceptance.data = std::move(identity->data);
        return handshake->accept(std::move(acceptance));
    }

private:
    struct State {
        State(HandshakePtr h, std::string s, std::string r)
            : handshake(std::move(h)), subprotocol(std::move(s)), realm(std::move(r)) {}

        std::atomic<bool> decided{false};
        HandshakePtr handshake;  // as all below: of the one who decides
        std::string subprotocol;
        const std::string realm;
    };

    std::shared_ptr<State> state_;
};

namespace detail {

using Check = pushhub::detail::SharedFunction<void(std::string token, Decision decide)>;

/// The application's check of a token, of either kind.
template <class HostCheck>
Check makeCheck(HostCheck hostCheck) {
    if (pushhub::detail::isNull(hostCheck)) {
        throw std::invalid_argument("pushhub: the check of a token is null");
    }
    if constexpr (std::is_invocable_v<HostCheck&, std::string, Decision>) {
        return Check(std::move(hostCheck));
    } else {
        static_assert(
            std::is_invocable_r_v<std::optional<Identity>, HostCheck&, const std::string&>,
            "pushhub: the check of a token is std::optional<Identity>(const std::string& token) or "
            "void(std::string token, auth::Decision decide)");
        return [hostCheck = std::move(hostCheck)](const std::string& token,
                                                  const Decision& decide) mutable {
            decide(std::invoke(hostCheck, token));
        };
    }
}

}  // namespace detail

/// A hook for `PushHub::onHandshake` that accepts clients with a valid token:
/// `hub.onHandshake(auth::Authenticator({auth::bearerHeader(), auth::cookieToken("session")},
/// check))`.
///
/// The first source that finds a token decides. All sources are searched, though: two different
/// tokens, or a malformed one, get 400, because the identity would be ambiguous. No token gets 401.
/// A token found only in a cookie gets 403 if the request has no Origin, because then it is unknown
/// which page made the browser send it; `Options::allowedOrigins` sets the allowed origins.
///
/// The application supplies the check, either `std::optional<Identity>(const std::string& token)`,
/// which must not block, or `void(std::string token, auth::Decision decide)`, which may keep
/// `decide` and call it later from any thread. No identity gets 401; a user other than the one in
/// the path gets 403 (from the hub); an exception from the check counts as a failed hook, 500. Both
/// are called on the hub's loops, possibly on several at a time. Tokens never appear in responses
/// or errors.
class Authenticator {
public:
    /// Throws std::invalid_argument if there is no source or no check, and for a `realm` (of
    /// WWW-Authenticate) that contains control characters, quotes or backslashes.
    template <class HostCheck>
    Authenticator(std::vector<TokenSource> sources, HostCheck hostCheck, std::string realm = {})
        : sources_(std::move(sources)),
          check_(detail::makeCheck(std::move(hostCheck))),
          realm_(std::move(realm)) {
        if (sources_.empty() || !std::all_of(sources_.begin(), sources_.end(),
                                             [](const TokenSource& s) { return s != nullptr; })) {
            throw std::invalid_argument("pushhub: an Authenticator without a TokenSource");
        }
        if (!pushhub::detail::isFieldValue(realm_) ||
            realm_.find_first_of("\"\\\t") != std::string::npos) {
            throw std::invalid_argument("pushhub: the realm \"" + realm_ +
                                        "\" of an Authenticator cannot be quoted");
        }
    }

    void operator()(const HandshakePtr& handshake) const {
        const HttpRequest& request = handshake->request();
        std::optional<Token> token;
        std::string subprotocol;
        for (const TokenSource& source : sources_) {
            TokenSearch search = source(request);
            if (!search.malformed.empty()) {
                handshake->reject(detail::malformedToken(realm_, std::move(search.malformed)));
                return;
            }
            if (subprotocol.empty()) {
                subprotocol = std::move(search.subprotocol);
            }
            if (!search.token) {
                continue;
            }
            if (token && token->value != search.token->value) {
                handshake->reject(detail::malformedToken(realm_, "several different tokens"));
                return;
            }
            const bool onlyCookies = search.token->fromCookie && (!token || token->fromCookie);
            token = std::move(search.token);
            token->fromCookie = onlyCookies;
        }
        if (!token) {
            handshake->reject(detail::unauthorized(realm_, nullptr));
        } else if (token->fromCookie && request.origin().empty()) {
            handshake->reject(403, "a cookie without an Origin\n");
        } else {
            check_(std::move(token->value), Decision(handshake, std::move(subprotocol), realm_));
        }
    }

private:
    std::vector<TokenSource> sources_;
    detail::Check check_;
    std::string realm_;
};

/// A hook for `PushHub::onFirstMessage` that takes the whole first message as the token. The check
/// is the same as for `Authenticator`; a message that cannot be a token (empty, with control
/// characters) is refused without calling it. A refused client is closed with 4401.
template <class HostCheck>
auto firstMessage(HostCheck hostCheck) {
    return [checkToken = detail::makeCheck(std::move(hostCheck))](const HandshakePtr& handshake,
                                                                  std::string_view text) {
        const Decision decide(handshake, {}, {});
        if (detail::isTokenText(text)) {
            checkToken(std::string(text), decide);
        } else {
            decide(std::nullopt);
        }
    };
}

}  // namespace pushhub::auth

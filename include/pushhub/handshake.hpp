#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/error.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/path_template.hpp>
#include <pushhub/session_data.hpp>
#include <pushhub/transport/connection.hpp>

namespace pushhub {

/// How the application accepts a handshake.
struct Acceptance {
    /// The authenticated user. Empty: not authenticated, and the path is trusted. If the path names
    /// a different user, the client is refused with 403.
    std::string userId;

    /// One of the subprotocols that the client offers, or empty. Browsers and some other clients
    /// drop the connection if they offer subprotocols and none is chosen.
    std::string subprotocol{};

    /// Added to the 101 response, except those that are part of the handshake itself. Not used once
    /// the connection is open (first message).
    std::vector<std::pair<std::string, std::string>> headers{};

    /// Time at which the session is closed with 4401.
    std::optional<std::chrono::system_clock::time_point> expires{};

    /// Becomes the session's data, see `Session::data`. Copies of an Acceptance share it.
    SessionData data{};

    /// False: no compression for this client, whatever it offers; for clients with a broken
    /// implementation. Not used once the connection is open. See `Options::compression`.
    bool compress = true;
};

/// A client's request for a session, before the session exists. The hook decides immediately, or
/// keeps the handshake and decides later from any thread, within `Options::decisionTimeout`. The
/// effects of the decision, such as onOpen, happen after the hook has returned, or on the loop.
///
/// Queries are valid before the decision only, from one thread at a time.
class Handshake : public std::enable_shared_from_this<Handshake> {
public:
    /// Carries out a decision, on the connection's loop. Implemented by the hub.
    class Decider {
    public:
        virtual void admit(Handshake& handshake, Acceptance acceptance) = 0;

        /// Reports that the application's decision cannot be carried out; `what` is the reason.
        virtual void reportMisuse(const std::string& what) noexcept = 0;

    protected:
        ~Decider() = default;
    };

    /// Constructed by the hub.
    Handshake(Decider& decider, detail::RefPtr<PendingHandshake> pending, std::string userId,
              std::string remoteAddress, std::shared_ptr<const PathTemplate> path,
              std::vector<std::string> params)
        : decider_(decider),
          pending_(std::move(pending)),
          userId_(std::move(userId)),
          remoteAddress_(std::move(remoteAddress)),
          path_(std::move(path)),
          params_(std::move(params)) {
        for (const std::string_view name : request().subprotocols()) {
            subprotocols_.emplace_back(name);
        }
    }

    /// The whole request: method, target, headers (including repeated ones), subprotocols, origin.
    const HttpRequest& request() const noexcept { return pending_->request(); }

    /// The user named in the path, "" if none. This is only a claim, not authenticated.
    const std::string& userId() const noexcept { return userId_; }

    /// A path parameter, decoded; "" if the template has no parameter of that name.
    std::string_view param(std::string_view name) const noexcept {
        const std::size_t index = path_->indexOf(name);
        return index < params_.size() ? std::string_view(params_[index]) : std::string_view();
    }

    std::string_view header(std::string_view name) const { return request().header(name); }
    std::optional<std::string> query(std::string_view name) const { return request().query(name); }
    std::optional<std::string> cookie(std::string_view name) const {
        return request().cookie(name);
    }

    /// "address:port" of the client; behind a trusted proxy, as the proxy reports it.
    const std::string& remoteAddress() const noexcept { return remoteAddress_; }

    /// Subject of the client's TLS certificate in the form of RFC 2253, such as
    /// "CN=device-7,O=Example", after the chain has been verified; "" without a certificate. See
    /// `TlsOptions::clientCertificates`. Only as trustworthy as the signers under those
    /// authorities.
    std::string peerSubject() const { return pending_->connection().peerSubject(); }

    /// Opens the session. Returns `Errc::handshakeAnswered` if the handshake was already decided,
    /// the client has gone, or the time is over. Returns std::errc::invalid_argument for a
    /// subprotocol that the client did not offer or an invalid header: then the client gets 500,
    /// and onError is called. Any thread.
    std::error_code accept(Acceptance acceptance = {}) {
        if (pending_->decided()) {
            return Errc::handshakeAnswered;
        }
        if (std::string wrong = whyNotAnswerable(acceptance); !wrong.empty()) {
            return fail("accept: " + std::move(wrong));
        }
        const bool gone = pending_->clientEnded();
        const std::error_code refused = pending_->decideLater(
            [self = shared_from_this(), acceptance = std::move(acceptance)]() mutable {
                if (!self->stillWaits()) {
                    return;
                }
                Connection& connection = self->pending_->connection();
                if (connection.clientEnded()) {
                    connection.abort(Errc::connectionLost);
                } else {
                    self->decider_.admit(*self, std::move(acceptance));
                }
            });
        return gone ? Errc::handshakeAnswered : refused;
    }

    /// Refuses the handshake with an HTTP status from 400 to 599. A connection that is already open
    /// is closed with `closeCodeFor(status)` and the body as the reason, see `Session::close`. Any
    /// other status returns std::errc::invalid_argument: then the client gets 500, and onError is
    /// called. onError is also called for headers that cannot be sent, which are left out. A 401
    /// without WWW-Authenticate gets the one for "Bearer". Otherwise like `accept`.
    std::error_code reject(HttpResponse response) {
        if (pending_->decided()) {
            return Errc::handshakeAnswered;
        }
        if (!isRefusalStatus(response.status)) {
            return fail("reject: the status is " + std::to_string(response.status) +
                        ", expected from 400 to 599");
        }
        return pending_->decideLater(
            [self = shared_from_this(), response = std::move(response)]() mutable {
                if (self->stillWaits()) {
                    if (const std::string wrong = whyNotSendable(response); !wrong.empty()) {
                        self->decider_.reportMisuse("reject: " + wrong);
                    }
                    self->pending_->connection().rejectHandshake(std::move(response));
                }
            });
    }
    std::error_code reject(int status, std::string body = {}) {
        return reject(HttpResponse{status, std::move(body)});
    }

    // For the hub.
    PendingHandshake& pending() const noexcept { return *pending_; }
    std::vector<std::string> takeParams() noexcept { return std::move(params_); }
    const std::shared_ptr<const PathTemplate>& path() const noexcept { return path_; }

private:
    // "" if it can be answered.
    std::string whyNotAnswerable(const Acceptance& acceptance) const {
        const bool known = acceptance.subprotocol.empty() ||
                           std::find(subprotocols_.begin(), subprotocols_.end(),
                                     acceptance.subprotocol) != subprotocols_.end();
        if (!known) {
            std::string offered;
            for (const std::string& name : subprotocols_) {
                offered.append(offered.empty() ? "" : ", ").append(name);
            }
            return "the subprotocol is \"" + acceptance.subprotocol + "\", expected " +
                   (offered.empty() ? "none, since the client offers none"
                                    : "one that the client offers: " + offered);
        }
        return whyNotSendable({200, {}, {}, acceptance.headers});
    }

    // This still counts as a decision: the caller may ignore the result, and a client must not wait
    // until the time for the decision is over.
    std::error_code fail(std::string what) {
        const std::error_code refused =
            pending_->decideLater([self = shared_from_this(), what = std::move(what)] {
                if (self->stillWaits()) {
                    self->decider_.reportMisuse(what);
                    self->pending_->connection().rejectHandshake({500, "internal error\n"});
                }
            });
        return refused ? refused : std::make_error_code(std::errc::invalid_argument);
    }

    // The hub may have stopped and refused the client while the decision was on its way.
    bool stillWaits() const noexcept {
        const Connection& connection = pending_->connection();
        return connection.pendingHandshake() == pending_.get() && connection.channel()->handler;
    }

    Decider& decider_;
    const detail::RefPtr<PendingHandshake> pending_;
    const std::string userId_;
    const std::string remoteAddress_;
    const std::shared_ptr<const PathTemplate> path_;
    std::vector<std::string> params_;
    std::vector<std::string> subprotocols_;  // of their own: `accept` may race with the decision
};

using HandshakePtr = std::shared_ptr<Handshake>;

}  // namespace pushhub

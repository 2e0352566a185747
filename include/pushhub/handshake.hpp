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
    /// The user as proven. Empty: nothing was proven, and the path is believed. Where the path
    /// names a user too, and another one, the client is refused with 403.
    std::string userId;

    /// One of the subprotocols that the client offers, or none. Browsers, and some other clients,
    /// drop the connection if they offer some and none is chosen.
    std::string subprotocol{};

    /// Added to the 101 answer, except those that are part of the handshake itself. Not once the
    /// connection is open (first message).
    std::vector<std::pair<std::string, std::string>> headers{};

    /// The session is closed with 4401 then.
    std::optional<std::chrono::system_clock::time_point> expires{};

    /// Becomes the session's data, see `Session::data`. Copies of an Acceptance share it.
    SessionData data{};

    /// False: no compression for this client, whatever it offers, for clients whose implementation
    /// is broken. Not once the connection is open. See `Options::compression`.
    bool compress = true;
};

/// A client that asks for a session, before there is one. The hook that gets it decides at once,
/// or keeps it and decides later from any thread, within `Options::decisionTimeout`. What follows
/// from the decision, such as onOpen, happens once the hook has returned, or on the loop.
///
/// Queries belong to the time before the decision, to one thread at a time.
class Handshake : public std::enable_shared_from_this<Handshake> {
public:
    /// Who carries out a decision, on the connection's loop: the hub.
    class Decider {
    public:
        virtual void admit(Handshake& handshake, Acceptance acceptance) = 0;

        /// The application's decision cannot be carried out: `what` says why.
        virtual void reportMisuse(const std::string& what) noexcept = 0;

    protected:
        ~Decider() = default;
    };

    /// Made by the hub.
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

    /// All of the request: method, target, headers (repeated ones too), subprotocols, origin.
    const HttpRequest& request() const noexcept { return pending_->request(); }

    /// The user that the path claims, "" if it names none. A claim is no proof.
    const std::string& userId() const noexcept { return userId_; }

    /// A parameter of the path, decoded; "" if the template has none of that name.
    std::string_view param(std::string_view name) const noexcept {
        const std::size_t index = path_->indexOf(name);
        return index < params_.size() ? std::string_view(params_[index]) : std::string_view();
    }

    std::string_view header(std::string_view name) const { return request().header(name); }
    std::optional<std::string> query(std::string_view name) const { return request().query(name); }
    std::optional<std::string> cookie(std::string_view name) const {
        return request().cookie(name);
    }

    /// "address:port" of the client; behind a trusted proxy, what that says.
    const std::string& remoteAddress() const noexcept { return remoteAddress_; }

    /// Subject of the client's TLS certificate in the form of RFC 2253, such as
    /// "CN=device-7,O=Example", once the chain has been verified; "" without a certificate. See
    /// `TlsOptions::clientCertificates`. Only as good as who signs under those authorities.
    std::string peerSubject() const { return pending_->connection().peerSubject(); }

    /// Opens the session. `Errc::handshakeAnswered` if it was decided before, or its client has
    /// gone, or it is too late. std::errc::invalid_argument for a subprotocol that the client did
    /// not offer or a header that is none: then the client gets 500, and onError is told. Any
    /// thread.
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

    /// Refuses, with an HTTP status from 400 to 599; a connection that is open already is closed
    /// with `closeCodeFor(status)`, and the body as the reason, see `Session::close`. Another
    /// status is std::errc::invalid_argument: then the client gets 500, and onError is told. So it
    /// is of headers that cannot be sent, which are left out. A 401 without WWW-Authenticate gets
    /// that of "Bearer". Otherwise like `accept`.
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

    // The decision is made all the same: nobody may look at the result, and a client must not wait
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

    // The hub may have stopped, and have refused the client, since the decision was on its way.
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

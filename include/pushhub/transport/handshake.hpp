#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <pushhub/detail/ref_ptr.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>

namespace pushhub {

/// How a handshake is accepted.
struct HandshakeAcceptance {
    std::shared_ptr<void> attachment;  ///< What the handler wants back with each event.
    std::string subprotocol;           ///< One of those the client asked for, or none.
    std::vector<std::pair<std::string, std::string>> headers;  ///< Added to the 101 answer.
};

/// A client's request to open a session, answered once: at once, or later from any thread.
class PendingHandshake final : public detail::RefCounted<PendingHandshake> {
public:
    PendingHandshake(detail::RefPtr<Connection> connection, HttpRequest request)
        : connection_(std::move(connection)), request_(std::move(request)) {}

    const HttpRequest& request() const noexcept { return request_; }
    Connection& connection() const noexcept { return *connection_; }

    /// Opens the session. `Errc::handshakeAnswered` if there was an answer before, or the client
    /// has gone. Any thread.
    std::error_code accept(HandshakeAcceptance acceptance);

    /// Refuses with an HTTP answer and closes the connection. Otherwise like `accept`.
    std::error_code reject(HttpResponse response);

    /// The connection has gone: from now on an answer is too late.
    void abandon() noexcept { answered_.store(true); }

private:
    template <class Answer>
    std::error_code answer(Answer give);

    detail::RefPtr<Connection> connection_;
    HttpRequest request_;
    std::atomic<bool> answered_{false};
};

}  // namespace pushhub

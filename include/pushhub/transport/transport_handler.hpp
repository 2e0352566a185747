#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include <pushhub/close_code.hpp>
#include <pushhub/frame.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/options.hpp>
#include <pushhub/transport/handshake.hpp>

namespace pushhub {

/// Who gets the events of a transport: a hub. Of one connection the events come one at a time, on
/// the loop of that connection: once it is admitted, onOpen, then onMessage and onDropped, then
/// onClose exactly once.
/// No function may throw, and none is called after `Transport::stop` has returned.
class TransportHandler {
public:
    virtual ~TransportHandler() = default;

    /// Limits and time-outs of this handler's sessions.
    virtual const Options& options() const noexcept = 0;

    /// Offers a well-formed WebSocket handshake. False if the path is not this handler's; then
    /// the next one is asked, and at last the client gets 404. Otherwise the handshake is
    /// answered now or later.
    virtual bool onHandshake(PendingHandshake& handshake) noexcept = 0;

    /// Offers a GET or HEAD request that is no handshake. Nothing if this handler has no answer.
    virtual std::optional<HttpResponse> onHttp(const HttpRequest& request) noexcept = 0;

    /// The connection was admitted as a session.
    virtual void onOpen(Connection& connection) noexcept = 0;

    /// The first message of a connection that is open and not admitted. Until it is, or is
    /// refused, what follows is held back.
    virtual void onFirstMessage(Connection& connection, const Message& message) noexcept = 0;
    virtual void onMessage(Connection& connection, const Message& message) noexcept = 0;

    /// A broadcast of `bytes` found the session's queue full and was dropped for it.
    virtual void onDropped(Connection& connection, std::uint64_t bytes) noexcept = 0;
    virtual void onClose(Connection& connection, const CloseInfo& info) noexcept = 0;

    /// Something went wrong; `connection` is null if it concerns no open session.
    virtual void onError(Connection* connection, std::error_code error,
                         std::string_view what) noexcept = 0;
};

}  // namespace pushhub

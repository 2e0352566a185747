#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <pushhub/close_code.hpp>
#include <pushhub/frame.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/http/request.hpp>
#include <pushhub/http/response.hpp>
#include <pushhub/hub_stats.hpp>
#include <pushhub/options.hpp>
#include <pushhub/path_template.hpp>
#include <pushhub/transport/handshake.hpp>

namespace pushhub {

/// Messages dropped because a session's queue was full.
struct Dropped {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;  ///< Frame headers included.
    /// The reason: `Errc::queueBytesFull`, `Errc::queueMessagesFull`, or `Errc::conflated`.
    std::error_code reason{};
};

/// A client that was refused before it had a session.
struct Refusal {
    /// HTTP status of the response, or the status of the close code; 0 if there was no response.
    int status = 0;
    std::string_view reason;               ///< Why; UTF-8.
    std::string_view address;              ///< "address:port" of the peer.
    const HttpRequest* request = nullptr;  ///< Null if it was not complete.
};

/// Receives the events of a transport; implemented by a hub. The events of one connection come one
/// at a time, on the loop of that connection: after it is admitted, onOpen, then onMessage,
/// onDropped and onDrain, then onClose exactly once. No function is called after `Transport::stop`
/// has returned. Functions that are not noexcept may throw only std::bad_alloc; then the connection
/// is aborted.
class TransportHandler {
public:
    virtual ~TransportHandler() = default;

    /// Limits and timeouts of this handler's sessions.
    virtual const Options& options() const noexcept = 0;

    /// Determines which handshakes are offered to this handler first: see
    /// `PathTemplate::isMoreSpecificThan`.
    virtual const PathTemplate& path() const noexcept = 0;

    /// Kept until no function of this handler is running, even if the handler is destroyed while
    /// one runs.
    virtual std::shared_ptr<const void> hooks() const noexcept = 0;

    /// Counters to which the loops add.
    virtual std::shared_ptr<detail::HubCounters> counters() const noexcept = 0;

    /// Offers a well-formed WebSocket handshake. Returns false, without any other effect, if the
    /// path is not this handler's; then the next handler is asked, and if none takes it the client
    /// gets 404. Otherwise the handshake is answered now or later.
    virtual bool onHandshake(PendingHandshake& handshake) = 0;

    /// False if `onHttp` never has a response: then no body is read for it.
    virtual bool takesHttp() const noexcept = 0;

    /// Offers a request that is not a handshake. Nothing if this handler has no response.
    virtual std::optional<HttpResponse> onHttp(const HttpRequest& request) = 0;

    /// Called when a client of this handler, or of no handler, is refused.
    virtual void onRefused(const Refusal& refusal) noexcept = 0;

    /// Called when a connection ended before there was a request: `event` names the failure in the
    /// log, and `reason` gives the reason.
    virtual void onConnectionFailed(const Connection& connection, std::string_view event,
                                    std::string_view reason) noexcept = 0;

    /// Called when the connection was admitted as a session.
    virtual void onOpen(Connection& connection) noexcept = 0;

    /// Called with the first message of a connection that is open and not admitted. Until it is
    /// admitted or refused, further data is held back.
    virtual void onFirstMessage(Connection& connection, const Message& message) = 0;
    virtual void onMessage(Connection& connection, const Message& message) noexcept = 0;

    /// Called when the session's queue was full, and messages that count as accepted were dropped.
    virtual void onDropped(Connection& connection, const Dropped& dropped) noexcept = 0;

    /// Called when the session's queue was full, and is now half empty.
    virtual void onDrain(Connection& connection) noexcept = 0;
    virtual void onClose(Connection& connection, const CloseInfo& info) noexcept = 0;

    /// Called on errors; `connection` is null if the error concerns no open session.
    virtual void onError(Connection* connection, std::error_code error,
                         std::string_view what) noexcept = 0;
};

namespace detail {

/// Throws std::logic_error if `added` could never be reached, because `started` has its paths.
inline void refuseSamePaths(const TransportHandler& started, const TransportHandler& added) {
    if (added.path().matchesSamePathsAs(started.path())) {
        throw std::logic_error("pushhub: start() of a hub with the path \"" +
                               added.path().pattern() + "\", expected one that differs from \"" +
                               started.path().pattern() + "\" of a started hub on this listener");
    }
}

}  // namespace detail

}  // namespace pushhub

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

/// Messages that a session's queue had no room for.
struct Dropped {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;  ///< Frame headers included.
    /// Why: `Errc::queueBytesFull`, `Errc::queueMessagesFull`, or `Errc::conflated`.
    std::error_code reason{};
};

/// A client that was refused before it had a session.
struct Refusal {
    /// HTTP status of the answer, or that the close code stands for; 0 if there was no answer.
    int status = 0;
    std::string_view reason;               ///< Why; UTF-8.
    std::string_view address;              ///< "address:port" of the other end of the connection.
    const HttpRequest* request = nullptr;  ///< Null if it was not complete.
};

/// Who gets the events of a transport: a hub. Of one connection the events come one at a time, on
/// the loop of that connection: once it is admitted, onOpen, then onMessage, onDropped and onDrain,
/// then onClose exactly once.
/// No function is called after `Transport::stop` has returned. Those that are not noexcept may
/// throw std::bad_alloc and nothing else; then the connection is cut.
class TransportHandler {
public:
    virtual ~TransportHandler() = default;

    /// Limits and time-outs of this handler's sessions.
    virtual const Options& options() const noexcept = 0;

    /// Which handshakes this handler is asked about first: see `PathTemplate::isMoreSpecificThan`.
    virtual const PathTemplate& path() const noexcept = 0;

    /// Lives until no function of this handler runs any more, also if the handler goes while one
    /// does.
    virtual std::shared_ptr<const void> hooks() const noexcept = 0;

    /// Where the loops add up their figures.
    virtual std::shared_ptr<detail::HubCounters> counters() const noexcept = 0;

    /// Offers a well-formed WebSocket handshake. False, and nothing else, if the path is not this
    /// handler's; then the next one is asked, and at last the client gets 404. Otherwise the
    /// handshake is answered now or later.
    virtual bool onHandshake(PendingHandshake& handshake) = 0;

    /// False if `onHttp` never has an answer: then no body is read for it.
    virtual bool takesHttp() const noexcept = 0;

    /// Offers a request that is no handshake. Nothing if this handler has no answer.
    virtual std::optional<HttpResponse> onHttp(const HttpRequest& request) = 0;

    /// A client is refused that this handler owns, or that no handler owns.
    virtual void onRefused(const Refusal& refusal) noexcept = 0;

    /// A connection ended before there was a request: `event` names what failed in the log, and
    /// `reason` says why.
    virtual void onConnectionFailed(const Connection& connection, std::string_view event,
                                    std::string_view reason) noexcept = 0;

    /// The connection was admitted as a session.
    virtual void onOpen(Connection& connection) noexcept = 0;

    /// The first message of a connection that is open and not admitted. Until it is, or is
    /// refused, what follows is held back.
    virtual void onFirstMessage(Connection& connection, const Message& message) = 0;
    virtual void onMessage(Connection& connection, const Message& message) noexcept = 0;

    /// The session's queue was full, and messages that count as accepted were dropped.
    virtual void onDropped(Connection& connection, const Dropped& dropped) noexcept = 0;

    /// The session's queue was full, and is half empty now.
    virtual void onDrain(Connection& connection) noexcept = 0;
    virtual void onClose(Connection& connection, const CloseInfo& info) noexcept = 0;

    /// Something went wrong; `connection` is null if it concerns no open session.
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

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include <pushhub/frame.hpp>
#include <pushhub/fwd.hpp>
#include <pushhub/options.hpp>
#include <pushhub/transport/broadcast_log.hpp>
#include <pushhub/transport/transport_handler.hpp>

namespace pushhub {

/// @file
/// Requirements on a Transport. It moves WebSocket messages and knows nothing about users: it
/// listens, offers handshakes to its handlers, reports their events, and sends frames. `T` is a
/// Transport, `t` an object of it, `h` a `TransportHandler&`.
///
/// | expression                  | result          | meaning, and from which thread              |
/// |-----------------------------|-----------------|---------------------------------------------|
/// | `T(options)`                |                 | Keeps values it needs of `const Options&`.  |
/// |                             |                 | Throws std::invalid_argument.               |
/// | `t.start(h)`                | `void`          | Offers handshakes to `h` from now on; the   |
/// |                             |                 | first handler opens the listener. Throws    |
/// |                             |                 | std::system_error. Any thread, in turn.     |
/// | `t.stop(h, milliseconds)`   | `void`          | Ends the sessions of `h` within that time,  |
/// |                             |                 | makes no call to `h` after it has returned. |
/// |                             |                 | Where `onLoop` is true it ends them at once |
/// |                             |                 | (`EventLoop::leave`), also while another    |
/// |                             |                 | thread is in this function. Any thread.     |
/// | `t.sendAll(h, frame, list,` | `void`          | Queues a `const FramePtr&` for the sessions |
/// | `          whenFull)`       |                 | of `h` except those in a                    |
/// |                             |                 | `const RefPtr<ExceptList>&`, which may be   |
/// |                             |                 | null; the `OverflowPolicy` applies to full  |
/// |                             |                 | queues. Any thread.                         |
/// | `t.address()`               | `std::string`   | The listen address. Any thread.             |
/// | `t.port()`                  | `std::uint16_t` | The listen port. Any thread.                |
/// | `t.onLoop()`                | `bool`          | Whether `stop` waits for this thread, for   |
/// |                             |                 | example because it is in a hook.            |
/// | `t.later(function)`         | `void`          | Calls a `std::function<void()>` once, on a  |
/// |                             |                 | thread for which `onLoop` is false.         |
///
/// The hub can rely on this: the events of one connection never overlap, onClose comes exactly once
/// per onOpen, and `Connection::send` and `close` work from any thread. The transport can rely on
/// this: the hub holds no lock while it calls the transport, a handler's functions return quickly
/// and do not throw, and `start` and `stop` of one handler alternate.
///
/// Connections derive from `Connection`, loops from `EventLoop`: a transport only has to supply the
/// socket, the wake-up and the time.
///
/// Models: `AsioTransport`, `LoopbackTransport`.
namespace detail {

template <class Void, template <class> class Expression, class T>
struct IsValid : std::false_type {};
template <template <class> class Expression, class T>
struct IsValid<std::void_t<Expression<T>>, Expression, T> : std::true_type {};

template <class T>
using StartExpression = decltype(std::declval<T&>().start(std::declval<TransportHandler&>()));
template <class T>
using StopExpression = decltype(std::declval<T&>().stop(std::declval<TransportHandler&>(),
                                                        std::chrono::milliseconds()));
template <class T>
using SendAllExpression = decltype(std::declval<T&>().sendAll(
    std::declval<TransportHandler&>(), std::declval<const FramePtr&>(),
    std::declval<const RefPtr<ExceptList>&>(), OverflowPolicy()));
template <class T>
using AddressExpression = std::enable_if_t<
    std::is_convertible_v<decltype(std::declval<const T&>().address()), std::string>>;
template <class T>
using PortExpression = std::enable_if_t<
    std::is_convertible_v<decltype(std::declval<const T&>().port()), std::uint16_t>>;
template <class T>
using OnLoopExpression =
    std::enable_if_t<std::is_convertible_v<decltype(std::declval<const T&>().onLoop()), bool>>;

template <class T>
using LaterExpression = decltype(std::declval<T&>().later(std::function<void()>()));

template <template <class> class Expression, class T>
inline constexpr bool has = IsValid<void, Expression, T>::value;

}  // namespace detail

/// True if `T` meets the requirements above, as far as a compiler can tell.
template <class T>
inline constexpr bool isTransport = detail::has<detail::StartExpression, T>&&
    detail::has<detail::StopExpression, T>&& detail::has<detail::SendAllExpression, T>&&
        detail::has<detail::AddressExpression, T>&& detail::has<detail::PortExpression, T>&&
            detail::has<detail::OnLoopExpression, T>&& detail::has<detail::LaterExpression, T>;

#if defined(__cpp_concepts) && __cpp_concepts >= 201907L
/// `isTransport` for constraints.
template <class T>
concept TransportConcept = isTransport<T>;
#endif

namespace detail {

// The first missing requirement, for one readable error instead of a page from inside the hub.
enum class Missing { nothing, start, stop, sendAll, address, port, onLoop, later };

template <class T>
inline constexpr Missing missing = !has<StartExpression, T>     ? Missing::start
                                   : !has<StopExpression, T>    ? Missing::stop
                                   : !has<SendAllExpression, T> ? Missing::sendAll
                                   : !has<AddressExpression, T> ? Missing::address
                                   : !has<PortExpression, T>    ? Missing::port
                                   : !has<OnLoopExpression, T>  ? Missing::onLoop
                                   : !has<LaterExpression, T>   ? Missing::later
                                                                : Missing::nothing;

}  // namespace detail

}  // namespace pushhub

// Every component in one translation unit, and each kind of a hub as a whole.

#include <pushhub/auth/auth.hpp>
#include <pushhub/deflate.hpp>
#include <pushhub/json/json.hpp>
#include <pushhub/metrics/prometheus.hpp>
#include <pushhub/pushhub.hpp>
#include <pushhub/transport/asio_tls_transport.hpp>
#include <pushhub/transport/loopback_transport.hpp>

template class pushhub::PushHub<pushhub::AsioTransport>;
template class pushhub::PushHub<pushhub::AsioTlsTransport>;
template class pushhub::PushHub<pushhub::LoopbackTransport>;

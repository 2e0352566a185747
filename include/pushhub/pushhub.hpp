#pragma once

/// A hub over TCP. Beside it: auth/auth.hpp, metrics/prometheus.hpp, json/json.hpp, deflate.hpp,
/// transport/asio_tls_transport.hpp and, for tests, transport/loopback_transport.hpp.

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>
#include <pushhub/version.hpp>

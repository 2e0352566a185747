#pragma once

/// Everything but what needs further libraries: JSON is in json/json.hpp.

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>
#include <pushhub/version.hpp>

#pragma once

// What stands before the fragments of C++ in the documentation, see CONTRIBUTING.md.

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>

#include <pushhub/json/json.hpp>
#include <pushhub/pushhub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

// What statements may refer to.
#define DOCS_PARAMETERS \
    pushhub::PushHub<>& hub, const pushhub::SessionPtr& session, asio::io_context& context

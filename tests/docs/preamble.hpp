#pragma once

// What stands before the fragments of C++ in the documentation, see CONTRIBUTING.md.

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

#include <asio/io_context.hpp>

#include <pushhub/auth/auth.hpp>
#include <pushhub/deflate.hpp>
#include <pushhub/json/json.hpp>
#include <pushhub/metrics/prometheus.hpp>
#include <pushhub/pushhub.hpp>
#include <pushhub/tls_options.hpp>
#include <pushhub/transport/loopback_transport.hpp>

// What the application brings.
struct Database {
    template <class Done>
    void findToken(const std::string&, Done done) {
        done(std::optional<pushhub::auth::Identity>());
    }
};
inline std::optional<pushhub::auth::Identity> lookUp(const std::string&) {
    return {};
}
inline std::optional<pushhub::auth::Identity> check(const std::string&) {
    return {};
}

// As far as the documentation uses it; the library itself need not be there.
namespace spdlog {
namespace level {
enum level_enum { trace, debug, info, warn, err };
}
struct logger {
    template <class... Values>
    void log(level::level_enum, std::string_view, const Values&...) {}
};
inline std::shared_ptr<logger> default_logger() {
    return std::make_shared<logger>();
}
}  // namespace spdlog

// What statements may refer to.
#define DOCS_PARAMETERS                                                                           \
    [[maybe_unused]] pushhub::PushHub<>&hub, [[maybe_unused]] const pushhub::SessionPtr &session, \
        [[maybe_unused]] asio::io_context &context, [[maybe_unused]] Database &database

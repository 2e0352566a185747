#pragma once

#include <cstddef>
#include <system_error>

#include <pushhub/json/json.hpp>
#include <pushhub/pushhub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

namespace odr {

struct Facts {
    const std::error_category* category;
    const std::error_category* jsonCategory;
    const char* const* version;
    std::size_t hubSize;
};

// What this translation unit sees.
static Facts facts() {
    const pushhub::PushHub<pushhub::LoopbackTransport> hub{pushhub::Options()};
    return {&pushhub::pushhubCategory(), &pushhub::json::jsonCategory(), &pushhub::version,
            sizeof(hub)};
}

namespace second {

// What the second one sees.
Facts facts();

}  // namespace second
}  // namespace odr

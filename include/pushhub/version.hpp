#pragma once

/// The version of pushhub. Here and nowhere else: the build and the packages read it from this
/// file.

#define PUSHHUB_VERSION_MAJOR 0
#define PUSHHUB_VERSION_MINOR 1
#define PUSHHUB_VERSION_PATCH 0

#define PUSHHUB_DETAIL_QUOTED(x) #x
#define PUSHHUB_DETAIL_DOTTED(major, minor, patch) \
    PUSHHUB_DETAIL_QUOTED(major) "." PUSHHUB_DETAIL_QUOTED(minor) "." PUSHHUB_DETAIL_QUOTED(patch)

namespace pushhub {

/// The version as text, such as "1.2.3".
inline constexpr const char* version =
    PUSHHUB_DETAIL_DOTTED(PUSHHUB_VERSION_MAJOR, PUSHHUB_VERSION_MINOR, PUSHHUB_VERSION_PATCH);

}  // namespace pushhub

#undef PUSHHUB_DETAIL_DOTTED
#undef PUSHHUB_DETAIL_QUOTED

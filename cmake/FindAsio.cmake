# Standalone Asio as the target Asio::Asio. Takes a package that brings its own CMake files (vcpkg,
# Conan) or else the headers (Debian). Sets Asio_FOUND and Asio_VERSION.

if(NOT TARGET Asio::Asio)
    find_package(asio CONFIG QUIET)
    if(TARGET asio::asio)
        set(_pushhub_target asio::asio)
        get_target_property(_pushhub_dirs asio::asio INTERFACE_INCLUDE_DIRECTORIES)
    endif()
endif()
find_path(Asio_INCLUDE_DIR asio.hpp HINTS ${_pushhub_dirs} DOC "Where asio.hpp lies")
mark_as_advanced(Asio_INCLUDE_DIR)

if(EXISTS "${Asio_INCLUDE_DIR}/asio/version.hpp")
    file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" _pushhub_line
         REGEX "^#define ASIO_VERSION [0-9]+")
    if(_pushhub_line MATCHES "ASIO_VERSION ([0-9]+)")
        math(EXPR _pushhub_major "${CMAKE_MATCH_1} / 100000")
        math(EXPR _pushhub_minor "${CMAKE_MATCH_1} / 100 % 1000")
        math(EXPR _pushhub_patch "${CMAKE_MATCH_1} % 100")
        set(Asio_VERSION ${_pushhub_major}.${_pushhub_minor}.${_pushhub_patch})
    endif()
elseif(_pushhub_target)
    # Conan's include folder can hide behind a generator expression; its version does not.
    set(Asio_VERSION ${asio_VERSION})
    set(Asio_INCLUDE_DIR "from ${_pushhub_target}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio
    REQUIRED_VARS Asio_INCLUDE_DIR
    VERSION_VAR Asio_VERSION
    REASON_FAILURE_MESSAGE "Debian and Ubuntu: libasio-dev, vcpkg and Conan: asio")

if(Asio_FOUND AND NOT TARGET Asio::Asio)
    add_library(Asio::Asio INTERFACE IMPORTED)
    if(_pushhub_target)
        set_target_properties(Asio::Asio PROPERTIES INTERFACE_LINK_LIBRARIES ${_pushhub_target})
    else()
        set_target_properties(Asio::Asio PROPERTIES
            INTERFACE_INCLUDE_DIRECTORIES "${Asio_INCLUDE_DIR}")
    endif()
endif()
unset(_pushhub_target)
unset(_pushhub_dirs)

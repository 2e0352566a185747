# WebSocket++ as the target WebSocketPP::WebSocketPP. Takes a package that brings its own CMake files
# (Debian, Conan, our port for vcpkg) or else the headers. Sets WebSocketPP_FOUND and
# WebSocketPP_VERSION. Ask for no version of the package itself: its version file accepts only the
# very same one.

if(NOT TARGET WebSocketPP::WebSocketPP)
    find_package(websocketpp CONFIG QUIET)
    if(TARGET websocketpp::websocketpp)
        set(_pushhub_target websocketpp::websocketpp)
        get_target_property(_pushhub_dirs websocketpp::websocketpp INTERFACE_INCLUDE_DIRECTORIES)
    endif()
endif()
find_path(WebSocketPP_INCLUDE_DIR websocketpp/utf8_validator.hpp HINTS ${_pushhub_dirs}
          DOC "Where the folder websocketpp lies")
mark_as_advanced(WebSocketPP_INCLUDE_DIR)

if(EXISTS "${WebSocketPP_INCLUDE_DIR}/websocketpp/version.hpp")
    file(READ "${WebSocketPP_INCLUDE_DIR}/websocketpp/version.hpp" _pushhub_text)
    set(WebSocketPP_VERSION)
    foreach(_pushhub_part major minor patch)
        if(_pushhub_text MATCHES "${_pushhub_part}_version = ([0-9]+)")
            list(APPEND WebSocketPP_VERSION ${CMAKE_MATCH_1})
        endif()
    endforeach()
    list(JOIN WebSocketPP_VERSION "." WebSocketPP_VERSION)
elseif(_pushhub_target)
    set(WebSocketPP_VERSION ${websocketpp_VERSION})
    set(WebSocketPP_INCLUDE_DIR "from ${_pushhub_target}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(WebSocketPP
    REQUIRED_VARS WebSocketPP_INCLUDE_DIR
    VERSION_VAR WebSocketPP_VERSION
    REASON_FAILURE_MESSAGE "Debian and Ubuntu: libwebsocketpp-dev, Conan: websocketpp, vcpkg: the port in cmake/vcpkg-ports")

if(WebSocketPP_FOUND AND NOT TARGET WebSocketPP::WebSocketPP)
    add_library(WebSocketPP::WebSocketPP INTERFACE IMPORTED)
    if(_pushhub_target)
        set_target_properties(WebSocketPP::WebSocketPP PROPERTIES
            INTERFACE_LINK_LIBRARIES ${_pushhub_target})
    else()
        set_target_properties(WebSocketPP::WebSocketPP PROPERTIES
            INTERFACE_INCLUDE_DIRECTORIES "${WebSocketPP_INCLUDE_DIR}")
    endif()
endif()
unset(_pushhub_target)
unset(_pushhub_dirs)
unset(_pushhub_text)

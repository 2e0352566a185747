# RapidJSON as the target RapidJSON::RapidJSON. Takes a package that brings a target (vcpkg, Conan)
# or else the headers (Debian, whose package files set variables only). Sets RapidJSON_FOUND and
# RapidJSON_VERSION.

if(NOT TARGET RapidJSON::RapidJSON)
    find_package(RapidJSON CONFIG QUIET)
    foreach(_pushhub_name rapidjson RapidJSON)
        if(TARGET ${_pushhub_name} AND NOT _pushhub_target)
            set(_pushhub_target ${_pushhub_name})
            get_target_property(_pushhub_dirs ${_pushhub_name} INTERFACE_INCLUDE_DIRECTORIES)
        endif()
    endforeach()
endif()
find_path(RapidJSON_INCLUDE_DIR rapidjson/document.h HINTS ${_pushhub_dirs}
          DOC "Where the folder rapidjson lies")
mark_as_advanced(RapidJSON_INCLUDE_DIR)

if(EXISTS "${RapidJSON_INCLUDE_DIR}/rapidjson/rapidjson.h")
    file(READ "${RapidJSON_INCLUDE_DIR}/rapidjson/rapidjson.h" _pushhub_text)
    set(RapidJSON_VERSION)
    foreach(_pushhub_part MAJOR MINOR PATCH)
        if(_pushhub_text MATCHES "#define RAPIDJSON_${_pushhub_part}_VERSION ([0-9]+)")
            list(APPEND RapidJSON_VERSION ${CMAKE_MATCH_1})
        endif()
    endforeach()
    list(JOIN RapidJSON_VERSION "." RapidJSON_VERSION)
elseif(_pushhub_target)
    set(RapidJSON_INCLUDE_DIR "from ${_pushhub_target}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RapidJSON
    REQUIRED_VARS RapidJSON_INCLUDE_DIR
    VERSION_VAR RapidJSON_VERSION
    REASON_FAILURE_MESSAGE "Debian and Ubuntu: rapidjson-dev, vcpkg and Conan: rapidjson")

if(RapidJSON_FOUND AND NOT TARGET RapidJSON::RapidJSON)
    add_library(RapidJSON::RapidJSON INTERFACE IMPORTED)
    if(_pushhub_target)
        set_target_properties(RapidJSON::RapidJSON PROPERTIES
            INTERFACE_LINK_LIBRARIES ${_pushhub_target})
    else()
        set_target_properties(RapidJSON::RapidJSON PROPERTIES
            INTERFACE_INCLUDE_DIRECTORIES "${RapidJSON_INCLUDE_DIR}")
    endif()
endif()
unset(_pushhub_target)
unset(_pushhub_dirs)
unset(_pushhub_text)

# How our own programs are built: where they end, warnings, sanitizers, ccache. Nothing of this
# reaches who uses pushhub.

if(PROJECT_IS_TOP_LEVEL)
    set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
    if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
        set(CMAKE_BUILD_TYPE Release)
    endif()
endif()
set(CMAKE_CXX_EXTENSIONS OFF)

find_program(PUSHHUB_CCACHE ccache DOC "ccache, to build again quickly")
mark_as_advanced(PUSHHUB_CCACHE)
if(PUSHHUB_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${PUSHHUB_CCACHE})
endif()

set(PUSHHUB_WARNINGS)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    set(PUSHHUB_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
endif()

add_library(pushhub_development INTERFACE)
target_compile_options(pushhub_development INTERFACE
    ${PUSHHUB_WARNINGS} $<$<BOOL:${PUSHHUB_WERROR}>:-Werror>)
# Our sources are UTF-8, and tests have more sections than an object file has by default.
if(MSVC)
    target_compile_options(pushhub_development INTERFACE /utf-8 /bigobj)
elseif(MINGW)
    target_compile_options(pushhub_development INTERFACE -Wa,-mbig-obj)
endif()
if(WIN32)
    # Windows 7, as Asio assumes with a warning.
    target_compile_definitions(pushhub_development INTERFACE _WIN32_WINNT=0x0601)
endif()
if(PUSHHUB_SANITIZE)
    set(flags -fsanitize=${PUSHHUB_SANITIZE} -fno-omit-frame-pointer)
    if(PUSHHUB_SANITIZE MATCHES "undefined")
        list(APPEND flags -fno-sanitize-recover=undefined)
    endif()
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
        list(APPEND flags
            -fsanitize-ignorelist=${CMAKE_CURRENT_LIST_DIR}/../tests/fuzz/ubsan_ignorelist.txt)
    endif()
    target_compile_options(pushhub_development INTERFACE ${flags})
    target_link_options(pushhub_development INTERFACE ${flags})
endif()

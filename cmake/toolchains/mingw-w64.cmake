# Windows on x86-64, by Debian's g++-mingw-w64-x86-64-posix; what is built runs under its wine64.

set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
# So that no program has to find DLLs of the compiler's.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

# Wine's own files in the build folder; programs that need no window need no display.
set(CMAKE_CROSSCOMPILING_EMULATOR
    ${CMAKE_COMMAND} -E env WINEPREFIX=${CMAKE_BINARY_DIR}/wine WINEDEBUG=-all
    /usr/lib/wine/wine64)

# The header-only packages of this machine, and nothing else of it: in /usr/include are the headers
# of its C library, too.
set(hostPackages ${CMAKE_BINARY_DIR}/host_packages)
if(NOT EXISTS ${hostPackages})
    file(MAKE_DIRECTORY ${hostPackages}/include)
    foreach(name asio asio.hpp catch2 rapidjson websocketpp)
        if(EXISTS /usr/include/${name})
            file(CREATE_LINK /usr/include/${name} ${hostPackages}/include/${name} SYMBOLIC)
        endif()
    endforeach()
    # Not Catch2Targets-none.cmake, which names a library of this machine's.
    file(GLOB catch2 /usr/lib/cmake/Catch2/Catch2*[a-z].cmake)
    list(FILTER catch2 EXCLUDE REGEX -none)
    file(COPY ${catch2} DESTINATION ${hostPackages}/lib/cmake/Catch2)
endif()
set(CMAKE_FIND_ROOT_PATH ${hostPackages})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Debian's cross compiler for PUSHHUB_CROSS_TRIPLET, such as arm-linux-gnueabihf (package
# g++-arm-linux-gnueabihf), whose programs run under qemu-user.

set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PUSHHUB_CROSS_TRIPLET)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${PUSHHUB_CROSS_TRIPLET}")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_CXX_COMPILER ${PUSHHUB_CROSS_TRIPLET}-g++)
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)  # what g++ passed otherwise before version 7
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-${CMAKE_SYSTEM_PROCESSOR} -L /usr/${PUSHHUB_CROSS_TRIPLET})

# Headers that need no library are the host's. A library is the target's or none: that of OpenSSL or
# zlib in /usr/lib is for another processor.
set(CMAKE_FIND_ROOT_PATH /usr/${PUSHHUB_CROSS_TRIPLET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)

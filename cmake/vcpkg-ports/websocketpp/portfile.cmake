# WebSocket++ 0.8.2. vcpkg's registry removed its port in March 2025, because WebSocket++'s own Asio
# transport does not compile with newer Asio; pushhub uses only the protocol headers, which do. Headers
# that C++20 compilers refuse (endpoint.hpp, logger/basic.hpp, roles/server_endpoint.hpp) are left as
# they are for the same reason.
#
# REF is the commit of the tag 0.8.2. SHA512 is that of the registry's last version of the port; what
# `git archive --format=tar --prefix=websocketpp-REF/ REF | gzip -n` gives has the same.

set(VCPKG_BUILD_TYPE release) # headers only

vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO zaphoyd/websocketpp
    REF 56123c87598f8b1dd471be83ca841ceae07f95ba
    SHA512 f185a66e5a7c783254352a6ef87e2e559f681032b7368765d08393ed12bcae76825abed7dcaea73de09df644320409dad46279701f5f469520542a2c9b6a6163
    HEAD_REF master
)

file(INSTALL "${SOURCE_PATH}/websocketpp" DESTINATION "${CURRENT_PACKAGES_DIR}/include"
    FILES_MATCHING PATTERN "*.hpp")
file(INSTALL
    "${CMAKE_CURRENT_LIST_DIR}/websocketpp-config.cmake"
    "${CMAKE_CURRENT_LIST_DIR}/websocketpp-config-version.cmake"
    DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/COPYING")

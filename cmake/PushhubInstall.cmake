# What is installed, and the package for Debian.

include(CMakePackageConfigHelpers)
# Headers only: nothing here depends on the architecture.
set(packageDir ${CMAKE_INSTALL_DATADIR}/cmake/pushhub)
set(pkgconfigDir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
set(generatedDir ${PROJECT_BINARY_DIR}/package)

install(DIRECTORY include/pushhub DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")

# ---- CMake ---------------------------------------------------------------------------------------

install(TARGETS pushhub EXPORT pushhubTargets)
install(EXPORT pushhubTargets NAMESPACE pushhub:: DESTINATION ${packageDir})

configure_package_config_file(cmake/pushhubConfig.cmake.in ${generatedDir}/pushhubConfig.cmake
    INSTALL_DESTINATION ${packageDir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${generatedDir}/pushhubConfigVersion.cmake
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
    ${generatedDir}/pushhubConfig.cmake
    ${generatedDir}/pushhubConfigVersion.cmake
    cmake/FindAsio.cmake
    cmake/FindWebSocketPP.cmake
    cmake/FindRapidJSON.cmake
    DESTINATION ${packageDir})

# ---- pkg-config ----------------------------------------------------------------------------------

# The prefix as seen from the .pc file, so that the tree can be moved.
file(RELATIVE_PATH pcPrefix /prefix/${pkgconfigDir} /prefix)
string(REGEX REPLACE "/$" "" pcPrefix "${pcPrefix}")
set(pcThreads " -pthread")
set(pcSockets)
if(WIN32)  # where threads need no flag
    set(pcThreads)
    set(pcSockets " -lws2_32 -lmswsock")
endif()
configure_file(cmake/pushhub.pc.in ${generatedDir}/pushhub.pc @ONLY)
install(FILES ${generatedDir}/pushhub.pc DESTINATION ${pkgconfigDir})

# ---- components ----------------------------------------------------------------------------------

# pushhub_install_component(name pcRequires): an export of its own, which the package's configuration
# reads only when it is asked for; and pushhub-NAME.pc.
function(pushhub_install_component name pcRequires)
    install(TARGETS pushhub_${name} EXPORT pushhub_${name})
    install(EXPORT pushhub_${name} NAMESPACE pushhub:: DESTINATION ${packageDir})
    configure_file(cmake/pushhub-component.pc.in ${generatedDir}/pushhub-${name}.pc @ONLY)
    install(FILES ${generatedDir}/pushhub-${name}.pc DESTINATION ${pkgconfigDir})
endfunction()
pushhub_install_component(tls "openssl >= ${PUSHHUB_OPENSSL_MINIMUM}")
pushhub_install_component(deflate zlib)
pushhub_install_component(json RapidJSON)

# ---- Debian --------------------------------------------------------------------------------------

# cpack -G DEB, in the build folder.
if(NOT PROJECT_IS_TOP_LEVEL)
    return()
endif()
# Nothing that is built is installed, so packing needs not build it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "pushhub")
# Who packs it answers for it: as Debian's tools do, cpack takes the name from the environment.
set(CPACK_PACKAGE_CONTACT "\$ENV{DEBFULLNAME} <\$ENV{DEBEMAIL}>")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Gives a service a WebSocket endpoint and lets any thread of it push messages
to its connected users: to all, to one, to several. TLS, compression and JSON
need the suggested packages.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)

set(CPACK_DEBIAN_PACKAGE_NAME libpushhub-dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS
    "libasio-dev (>= 1:${PUSHHUB_ASIO_MINIMUM}), libwebsocketpp-dev (>= 0.8.2)")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libssl-dev, zlib1g-dev, rapidjson-dev")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/PushhubDebian.cmake)
include(CPack)

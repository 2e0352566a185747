# Packages the source tree that this port lies in, so that a checkout is all it takes. vcpkg does not
# see changes of that tree: after one, install with --no-binarycaching.

set(VCPKG_BUILD_TYPE release) # headers only
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT EXISTS "${SOURCE_PATH}/include/pushhub/version.hpp")
    message(FATAL_ERROR
        "The port of pushhub packages the sources that it lies in, but there are none in "
        "${SOURCE_PATH}. Do not copy the port: let overlay-ports name the folder cmake/vcpkg-ports "
        "in a copy of pushhub's sources.")
endif()

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DPUSHHUB_TESTS=OFF
        -DPUSHHUB_EXAMPLES=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/pushhub)

# It has libraries to link, so vcpkg wants it in lib/.
file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/lib")
file(RENAME "${CURRENT_PACKAGES_DIR}/share/pkgconfig" "${CURRENT_PACKAGES_DIR}/lib/pkgconfig")

# A .pc file must not require what its feature would have brought.
foreach(feature IN ITEMS tls deflate json)
    if(NOT feature IN_LIST FEATURES)
        file(REMOVE "${CURRENT_PACKAGES_DIR}/lib/pkgconfig/pushhub-${feature}.pc")
    endif()
endforeach()
vcpkg_fixup_pkgconfig()

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")

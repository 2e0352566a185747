# As much of vcpkg as our ports use, done by hand: the port's files end in CURRENT_PACKAGES_DIR, with
# what vcpkg would change in them.

function(vcpkg_from_github)
    # No network: the headers that are installed here, and any text as the licence.
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUT_SOURCE_PATH;REPO;REF;SHA512;HEAD_REF" "")
    if(NOT arg_REF MATCHES "^[0-9a-f]+$" OR NOT arg_SHA512 MATCHES "^[0-9a-f]+$")
        message(FATAL_ERROR "vcpkg_from_github: REF or SHA512 is missing")
    endif()
    set(tree ${WORK_DIR}/from_github)
    file(COPY ${WEBSOCKETPP_DIR}/websocketpp DESTINATION ${tree})
    file(WRITE ${tree}/COPYING "a licence\n")
    set(${arg_OUT_SOURCE_PATH} ${tree} PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
    run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${WORK_DIR}/port_build -G ${GENERATOR}
        -DCMAKE_CXX_COMPILER=${COMPILER}
        -DCMAKE_PREFIX_PATH=${CURRENT_PACKAGES_DIR}
        -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR}
        -DCMAKE_BUILD_TYPE=Release
        ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
    run(${CMAKE_COMMAND} --build ${WORK_DIR}/port_build --target install)
endfunction()

# Moves the package's CMake files to share/PORT, one level up, and mends how they find the prefix.
function(vcpkg_cmake_config_fixup)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
    file(RENAME ${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH} ${CURRENT_PACKAGES_DIR}/share/${PORT})
    file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/share/cmake)
    file(GLOB files ${CURRENT_PACKAGES_DIR}/share/${PORT}/*.cmake)
    set(up "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\n")
    foreach(file IN LISTS files)
        file(READ ${file} text)
        string(REPLACE "${up}${up}${up}" "${up}${up}" text "${text}")
        string(REPLACE "/../../../" "/../../" text "${text}")
        file(WRITE ${file} "${text}")
    endforeach()
endfunction()

# Every .pc file has to have what it requires; here the system has what vcpkg would have installed.
function(vcpkg_fixup_pkgconfig)
    file(GLOB files ${CURRENT_PACKAGES_DIR}/lib/pkgconfig/*.pc)
    find_program(pkgConfig pkg-config)
    foreach(file IN LISTS files)
        get_filename_component(name ${file} NAME_WE)
        if(pkgConfig)
            run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${CURRENT_PACKAGES_DIR}/lib/pkgconfig
                ${pkgConfig} --print-errors --exists ${name})
        endif()
    endforeach()
endfunction()

function(vcpkg_install_copyright)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
    file(INSTALL ${arg_FILE_LIST} DESTINATION ${CURRENT_PACKAGES_DIR}/share/${PORT} RENAME copyright)
endfunction()

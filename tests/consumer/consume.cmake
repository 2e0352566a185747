# Builds and runs project/ in one way; called by ctest with the variables that CMakeLists.txt sets.

cmake_minimum_required(VERSION 3.22)
set(project ${CMAKE_CURRENT_LIST_DIR}/project)
file(REMOVE_RECURSE ${WORK_DIR})
file(MAKE_DIRECTORY ${WORK_DIR})

function(run)
    list(JOIN ARGN " " command)
    message("$ ${command}")
    execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK_DIR} RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "failed: ${result}")
    endif()
endfunction()

set(configure ${CMAKE_COMMAND} -S ${project} -B ${WORK_DIR}/build -G ${GENERATOR}
    -DCMAKE_BUILD_TYPE=Debug
    -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})

# build_project(way components argument…): components with commas between them.
function(build_project way components)
    file(REMOVE_RECURSE ${WORK_DIR}/build)
    run(${configure} -DWAY=${way} -DCOMPONENTS=${components} ${ARGN})
    run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
    string(REPLACE "," ";" components "${components}")
    list(TRANSFORM components PREPEND consumer_)
    foreach(program consumer ${components})
        run(${WORK_DIR}/build/${program})
    endforeach()
endfunction()

# refused(text argument…): configuring has to fail, and to say this.
function(refused text)
    file(REMOVE_RECURSE ${WORK_DIR}/build)
    execute_process(COMMAND ${configure} -DWAY=find_package ${ARGN}
                    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    # CMake breaks lines where it likes.
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    string(FIND "${output}" "${text}" position)
    if(result EQUAL 0 OR position EQUAL -1)
        message(FATAL_ERROR "with ${ARGN} expected a refusal with «${text}», got ${result}:\n${output}")
    endif()
    message("refused as it should be: ${text}")
endfunction()

# A tree as a package has it: no place of this machine in any file, no empty folders.
function(check_tree tree)
    file(GLOB_RECURSE found LIST_DIRECTORIES true ${tree}/*)
    set(configurations ${found})
    list(FILTER configurations INCLUDE REGEX "/pushhubConfig.cmake$")
    list(LENGTH configurations count)
    if(NOT count EQUAL 1)
        message(FATAL_ERROR "${count} package configurations in ${tree}")
    endif()
    foreach(path IN LISTS found)
        if(IS_DIRECTORY ${path})
            file(GLOB inside ${path}/*)
            if(NOT inside)
                message(FATAL_ERROR "${path} is empty")
            endif()
            continue()
        endif()
        file(READ ${path} text)
        set(places ${SOURCE_DIR} ${BINARY_DIR} ${WORK_DIR})
        if(path MATCHES "\\.(cmake|pc)$")
            list(APPEND places /usr/ /opt/ /home/)
        endif()
        foreach(place IN LISTS places)
            string(FIND "${text}" "${place}" position)
            if(NOT position EQUAL -1)
                message(FATAL_ERROR "${path} names the absolute path ${place}")
            endif()
        endforeach()
    endforeach()
endfunction()

# Installs into WORK_DIR/staged, for a prefix that does not exist.
function(install_staged)
    run(${CMAKE_COMMAND} -E env DESTDIR=${WORK_DIR}/destdir
        ${CMAKE_COMMAND} --install ${BINARY_DIR} --prefix /opt/pushhub)
    file(RENAME ${WORK_DIR}/destdir/opt/pushhub ${WORK_DIR}/staged)
    check_tree(${WORK_DIR}/staged)
endfunction()

if(WAY STREQUAL "find_package")
    install_staged()
    build_project(find_package ${COMPONENTS}
        -DCMAKE_PREFIX_PATH=${WORK_DIR}/staged -DPUSHHUB_VERSION_WANTED=${VERSION})
    # The tree can be moved.
    file(RENAME ${WORK_DIR}/staged ${WORK_DIR}/moved)
    build_project(find_package "" -DCMAKE_PREFIX_PATH=${WORK_DIR}/moved)
elseif(WAY STREQUAL "find_package_refuses")
    install_staged()
    set(here -DCMAKE_PREFIX_PATH=${WORK_DIR}/staged)
    refused("component 'nonsense' does not exist; there are tls, deflate, json"
        ${here} -DCOMPONENTS=nonsense)
    refused("component 'tls' needs OpenSSL 1.1.1 or newer (Debian: libssl-dev)"
        ${here} -DCOMPONENTS=tls -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON)
    refused("component 'deflate' needs zlib (Debian: zlib1g-dev)"
        ${here} -DCOMPONENTS=deflate -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON)
    refused("component 'json' needs RapidJSON (Debian: rapidjson-dev)"
        ${here} -DCOMPONENTS=json -DCMAKE_DISABLE_FIND_PACKAGE_RapidJSON=ON)
    # Before 1.0.0 another minor version is another interface.
    string(REGEX MATCH "^([0-9]+)\\.([0-9]+)" unused ${VERSION})
    math(EXPR nextMinor "${CMAKE_MATCH_2} + 1")
    math(EXPR nextMajor "${CMAKE_MATCH_1} + 1")
    foreach(other ${CMAKE_MATCH_1}.${nextMinor} ${nextMajor}.0 ${VERSION}.1)
        refused("compatible with requested version \"${other}\"" ${here} -DPUSHHUB_VERSION_WANTED=${other})
    endforeach()
elseif(WAY STREQUAL "subdirectory")
    build_project(subdirectory ${COMPONENTS} -DPUSHHUB_SOURCE_DIR=${SOURCE_DIR})
elseif(WAY STREQUAL "fetch_content")
    build_project(fetch_content ${COMPONENTS} -DFETCHCONTENT_SOURCE_DIR_PUSHHUB=${SOURCE_DIR})
elseif(WAY STREQUAL "pkg_config")
    install_staged()
    set(ENV{PKG_CONFIG_PATH} ${WORK_DIR}/staged/share/pkgconfig)
    string(REPLACE "," ";pushhub-" packages "pushhub,${COMPONENTS}")
    foreach(package IN LISTS packages)
        string(REPLACE "pushhub-" "consumer_" program ${package})
        string(REPLACE "pushhub" "consumer" program ${program})
        run(pkg-config --exact-version=${VERSION} ${package})
        execute_process(COMMAND pkg-config --cflags --libs ${package} OUTPUT_VARIABLE flags
                        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
        separate_arguments(flags UNIX_COMMAND "${flags}")
        run(${LAUNCHER} ${COMPILER} -std=c++17 ${project}/${program}.cpp -c -o ${program}.o ${flags})
        run(${COMPILER} ${program}.o -o ${program} ${flags})
        run(${WORK_DIR}/${program})
    endforeach()
elseif(WAY STREQUAL "deb")
    run(cpack -G DEB --config ${BINARY_DIR}/CPackConfig.cmake -B ${WORK_DIR}/deb)
    set(deb ${WORK_DIR}/deb/libpushhub-dev_${VERSION}_all.deb)
    foreach(field
            "Package=libpushhub-dev"
            "Version=${VERSION}"
            "Architecture=all"
            "Section=libdevel"
            "Depends=libasio-dev (>= 1:1.18), libwebsocketpp-dev (>= 0.8.2)"
            "Suggests=libssl-dev, zlib1g-dev, rapidjson-dev")
        string(REGEX MATCH "^([^=]*)=(.*)$" unused "${field}")
        set(expected "${CMAKE_MATCH_2}")
        execute_process(COMMAND dpkg-deb -f ${deb} ${CMAKE_MATCH_1} OUTPUT_VARIABLE value
                        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
        if(NOT value STREQUAL expected)
            message(FATAL_ERROR "${CMAKE_MATCH_1} is «${value}», not «${expected}»")
        endif()
    endforeach()
    run(dpkg-deb -x ${deb} ${WORK_DIR}/root)
    check_tree(${WORK_DIR}/root)
    file(GLOB inUsr RELATIVE ${WORK_DIR}/root ${WORK_DIR}/root/* ${WORK_DIR}/root/usr/*)
    if(NOT inUsr STREQUAL "usr;usr/include;usr/share"
       OR NOT EXISTS ${WORK_DIR}/root/usr/share/doc/libpushhub-dev/copyright)
        message(FATAL_ERROR "there is too much or too little in the package: ${inUsr}")
    endif()
    build_project(find_package ${COMPONENTS} -DCMAKE_PREFIX_PATH=${WORK_DIR}/root/usr)
elseif(WAY STREQUAL "vcpkg")
    include(${CMAKE_CURRENT_LIST_DIR}/vcpkg_functions.cmake)
    set(CURRENT_PACKAGES_DIR ${WORK_DIR}/installed)
    set(FEATURES core json)
    foreach(PORT websocketpp pushhub)
        include(${SOURCE_DIR}/cmake/vcpkg-ports/${PORT}/portfile.cmake)
    endforeach()
    check_tree(${CURRENT_PACKAGES_DIR})
    file(GLOB pkgConfigFiles RELATIVE ${CURRENT_PACKAGES_DIR}/share/pkgconfig
         ${CURRENT_PACKAGES_DIR}/share/pkgconfig/*)
    if(NOT pkgConfigFiles STREQUAL "pushhub-json.pc;pushhub.pc")
        message(FATAL_ERROR "the port installed ${pkgConfigFiles}")
    endif()
    file(RENAME ${CURRENT_PACKAGES_DIR} ${WORK_DIR}/moved)
    build_project(find_package json -DCMAKE_PREFIX_PATH=${WORK_DIR}/moved)
    # WebSocket++ is that of the port.
    file(STRINGS ${WORK_DIR}/build/CMakeCache.txt found REGEX "^WebSocketPP_INCLUDE_DIR:")
    if(NOT found MATCHES "=${WORK_DIR}/moved/include$")
        message(FATAL_ERROR "WebSocket++ came from elsewhere: ${found}")
    endif()
elseif(WAY STREQUAL "include_path")
    # Nothing but folders on the command line, no macro.
    list(TRANSFORM INCLUDE_DIRS PREPEND -idirafter)
    run(${LAUNCHER} ${COMPILER} -std=c++17 -I${SOURCE_DIR}/include ${INCLUDE_DIRS}
        ${project}/consumer.cpp -c -o consumer.o)
    run(${COMPILER} consumer.o -o consumer -pthread)
    run(${WORK_DIR}/consumer)
    # Without RTTI. This program includes Asio first, so the macro has to come from outside.
    run(${LAUNCHER} ${COMPILER} -std=c++17 -fno-rtti -DASIO_NO_TYPEID -I${SOURCE_DIR}/include
        ${INCLUDE_DIRS} ${project}/consumer.cpp -c -o consumer_no_rtti.o)
    run(${COMPILER} consumer_no_rtti.o -o consumer_no_rtti -pthread)
    run(${WORK_DIR}/consumer_no_rtti)
else()
    message(FATAL_ERROR "unknown way: ${WAY}")
endif()

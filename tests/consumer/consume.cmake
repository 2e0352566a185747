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
    -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
# One program for each of the components.
string(REPLACE "," ";" componentPrograms "${COMPONENTS}")
list(TRANSFORM componentPrograms PREPEND consumer_)

# build_project(way programs argument…): of the project, which uses all components, these programs.
function(build_project way programs)
    run(${configure} -DWAY=${way} -DCOMPONENTS=${COMPONENTS} ${ARGN})
    run(${CMAKE_COMMAND} --build ${WORK_DIR}/build --target ${programs})
    foreach(program IN LISTS programs)
        run(${WORK_DIR}/build/${program})
    endforeach()
endfunction()

# The files of a tree with their checksums.
function(content_of tree result)
    file(GLOB_RECURSE files RELATIVE ${tree} ${tree}/*)
    set(content)
    foreach(file IN LISTS files)
        file(SHA256 ${tree}/${file} checksum)
        list(APPEND content "${file} ${checksum}")
    endforeach()
    set(${result} ${content} PARENT_SCOPE)
endfunction()

# Two trees with the same files.
function(expect_same first second)
    content_of(${first} content)
    content_of(${second} other)
    if(NOT content OR NOT content STREQUAL other)
        set(more ${other})
        list(REMOVE_ITEM more ${content})
        list(REMOVE_ITEM content ${other})
        list(JOIN content "\n  " content)
        list(JOIN more "\n  " more)
        message(FATAL_ERROR "only ${first} has\n  ${content}\nonly ${second} has\n  ${more}")
    endif()
endfunction()

# fails(text command…): it has to fail, and to say this.
function(fails text)
    execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK_DIR}
                    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
    # CMake breaks lines where it likes.
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    string(FIND "${output}" "${text}" position)
    if(result EQUAL 0 OR position EQUAL -1)
        message(FATAL_ERROR "of ${ARGN} expected a failure with «${text}», got ${result}:\n${output}")
    endif()
    message("fails as it should: ${text}")
endfunction()

# refused(text argument…): configuring has to fail, and to say this.
function(refused text)
    file(REMOVE_RECURSE ${WORK_DIR}/build)
    fails("${text}" ${configure} -DWAY=find_package ${ARGN})
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
    # The tree has been moved from where it was installed.
    install_staged()
    build_project(find_package "consumer;${componentPrograms}"
        -DCMAKE_PREFIX_PATH=${WORK_DIR}/staged -DPUSHHUB_VERSION_WANTED=${VERSION})
    # What Conan would build, with our own package instead of Conan's.
    run(${configure} -S ${SOURCE_DIR}/packaging/conan-center/all/test_package
        -B ${WORK_DIR}/test_package -DCMAKE_PREFIX_PATH=${WORK_DIR}/staged)
    run(${CMAKE_COMMAND} --build ${WORK_DIR}/test_package)
    run(${WORK_DIR}/test_package/test_package)
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
    build_project(subdirectory consumer -DPUSHHUB_SOURCE_DIR=${SOURCE_DIR})
elseif(WAY STREQUAL "fetch_content")
    # What follows the fetching is add_subdirectory, so each of the two builds half of the programs.
    build_project(fetch_content "${componentPrograms}" -DFETCHCONTENT_SOURCE_DIR_PUSHHUB=${SOURCE_DIR})
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
    set(pack cpack -G DEB --config ${BINARY_DIR}/CPackConfig.cmake -B ${WORK_DIR}/deb)
    unset(ENV{DEBEMAIL})
    fails("Set DEBFULLNAME and DEBEMAIL" ${pack})
    set(ENV{DEBFULLNAME} "A Maintainer")
    set(ENV{DEBEMAIL} maintainer@example.org)
    run(${pack})
    set(deb ${WORK_DIR}/deb/libpushhub-dev_${VERSION}_all.deb)
    foreach(field
            "Package=libpushhub-dev"
            "Version=${VERSION}"
            "Architecture=all"
            "Section=libdevel"
            "Maintainer=A Maintainer <maintainer@example.org>"
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
    if(LINTIAN)
        run(${LINTIAN} --profile debian --allow-root --fail-on error,warning ${deb})
    endif()
    # But for the documents it is what find_package is tested with.
    run(dpkg-deb -x ${deb} ${WORK_DIR}/root)
    check_tree(${WORK_DIR}/root)
    foreach(document changelog.gz copyright)
        file(REMOVE ${WORK_DIR}/root/usr/share/doc/libpushhub-dev/${document})
    endforeach()
    install_staged()
    file(MAKE_DIRECTORY ${WORK_DIR}/expected)
    file(RENAME ${WORK_DIR}/staged ${WORK_DIR}/expected/usr)
    expect_same(${WORK_DIR}/root ${WORK_DIR}/expected)
elseif(WAY STREQUAL "vcpkg")
    include(${CMAKE_CURRENT_LIST_DIR}/vcpkg_functions.cmake)
    set(CURRENT_PACKAGES_DIR ${WORK_DIR}/installed)
    set(FEATURES core json)
    foreach(PORT websocketpp pushhub)
        include(${SOURCE_DIR}/cmake/vcpkg-ports/${PORT}/portfile.cmake)
    endforeach()
    check_tree(${CURRENT_PACKAGES_DIR})
    file(GLOB_RECURSE pkgConfigFiles RELATIVE ${CURRENT_PACKAGES_DIR} ${CURRENT_PACKAGES_DIR}/*.pc)
    if(NOT pkgConfigFiles STREQUAL "lib/pkgconfig/pushhub-json.pc;lib/pkgconfig/pushhub.pc")
        message(FATAL_ERROR "the port installed ${pkgConfigFiles}")
    endif()
    file(RENAME ${CURRENT_PACKAGES_DIR} ${WORK_DIR}/moved)
    expect_same(${WORK_DIR}/moved/include/pushhub ${SOURCE_DIR}/include/pushhub)
    build_project(find_package consumer_json
        -DCOMPONENTS=json -DCMAKE_PREFIX_PATH=${WORK_DIR}/moved)
    # WebSocket++ is that of the port.
    file(STRINGS ${WORK_DIR}/build/CMakeCache.txt found REGEX "^WebSocketPP_INCLUDE_DIR:")
    if(NOT found MATCHES "=${WORK_DIR}/moved/include$")
        message(FATAL_ERROR "WebSocket++ came from elsewhere: ${found}")
    endif()
    # A port that was copied away from the sources.
    file(COPY ${SOURCE_DIR}/cmake/vcpkg-ports/pushhub DESTINATION ${WORK_DIR}/some/where/else)
    fails("Do not copy the port" ${CMAKE_COMMAND} -P ${WORK_DIR}/some/where/else/pushhub/portfile.cmake)
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

# Builds and runs project/ in one way; called by ctest with the variables that CMakeLists.txt sets.

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

# Like a package: installed in one place, then moved to another.
function(install_and_move)
    run(${CMAKE_COMMAND} --install ${BINARY_DIR} --prefix ${WORK_DIR}/staged)
    file(RENAME ${WORK_DIR}/staged ${WORK_DIR}/moved)
    file(GLOB_RECURSE exported ${WORK_DIR}/moved/*.cmake ${WORK_DIR}/moved/*.pc)
    if(NOT exported)
        message(FATAL_ERROR "no package files were installed")
    endif()
    foreach(file IN LISTS exported)
        file(READ ${file} text)
        foreach(place ${SOURCE_DIR} ${BINARY_DIR} ${WORK_DIR} /usr/include)
            string(FIND "${text}" "${place}" position)
            if(NOT position EQUAL -1)
                message(FATAL_ERROR "${file} names the absolute path ${place}")
            endif()
        endforeach()
    endforeach()
endfunction()

function(build_project)
    run(${CMAKE_COMMAND} -S ${project} -B ${WORK_DIR}/build -G ${GENERATOR}
        -DWAY=${WAY}
        -DCMAKE_BUILD_TYPE=Debug
        -DCMAKE_CXX_COMPILER=${COMPILER}
        -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
        ${ARGN})
    run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
    run(${WORK_DIR}/build/consumer)
    run(${WORK_DIR}/build/consumer_json)
endfunction()

if(WAY STREQUAL "find_package")
    install_and_move()
    build_project(-DCMAKE_PREFIX_PATH=${WORK_DIR}/moved -DPUSHHUB_VERSION_WANTED=${VERSION})
elseif(WAY STREQUAL "subdirectory")
    build_project(-DPUSHHUB_SOURCE_DIR=${SOURCE_DIR})
elseif(WAY STREQUAL "fetch_content")
    build_project(-DFETCHCONTENT_SOURCE_DIR_PUSHHUB=${SOURCE_DIR})
elseif(WAY STREQUAL "pkg_config")
    install_and_move()
    set(ENV{PKG_CONFIG_PATH} ${WORK_DIR}/moved/share/pkgconfig)
    execute_process(COMMAND pkg-config --cflags --libs pushhub
                    OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    separate_arguments(flags UNIX_COMMAND "${flags}")
    run(${LAUNCHER} ${COMPILER} -std=c++17 ${project}/consumer.cpp -c -o consumer.o ${flags})
    run(${COMPILER} consumer.o -o consumer ${flags})
    run(${WORK_DIR}/consumer)
elseif(WAY STREQUAL "include_path")
    # Nothing but folders on the command line, no macro.
    list(TRANSFORM INCLUDE_DIRS PREPEND -idirafter)
    run(${LAUNCHER} ${COMPILER} -std=c++17 -I${SOURCE_DIR}/include ${INCLUDE_DIRS}
        ${project}/consumer.cpp -c -o consumer.o)
    run(${COMPILER} consumer.o -o consumer -pthread)
    run(${WORK_DIR}/consumer)
else()
    message(FATAL_ERROR "unknown way: ${WAY}")
endif()

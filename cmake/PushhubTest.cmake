# What tests/CMakeLists.txt is written with.

option(PUSHHUB_TESTS_REQUIRE_ALL
       "An error, not a message, when a tool is missing that some tests need" OFF)

# A cross build names those that can differ on its platform. qemu-user runs the others as well, in
# minutes: what they are about, threads and system calls, is the host's.
set(PUSHHUB_TESTS_ONLY "" CACHE STRING "Names of the test programs to build, all if empty")

option(PUSHHUB_TESTS_ALL
       "Also the tests that take minutes or need many tools: conformance, soak, examples, compilers,\
 packages, documentation, lint" ON)
# What the tests need of the build: not all examples.
add_custom_target(pushhub_test_programs)

set(testsDir ${PROJECT_SOURCE_DIR}/tests)
set(binDir ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
if(NOT binDir)
    set(binDir ${CMAKE_CURRENT_BINARY_DIR})
endif()

# A tool is missing: leave its tests out, and say so.
function(pushhub_left_out what)
    if(CMAKE_CROSSCOMPILING)
        return()  # what only this platform shows needs no tools
    endif()
    if(PUSHHUB_TESTS_REQUIRE_ALL)
        message(FATAL_ERROR "tests: ${what}; PUSHHUB_TESTS_REQUIRE_ALL is on")
    endif()
    message(WARNING "tests: ${what}, what needs it is left out")
endfunction()

# A sanitizer stops at its first finding, and the exit code shows it.
set(sanitizerEnvironment)
if(PUSHHUB_SANITIZE)
    set(sanitizerEnvironment
        "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
        "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
        "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
endif()

if(PUSHHUB_TESTS)
    find_package(Catch2 QUIET)
    if(NOT Catch2_FOUND)
        message(FATAL_ERROR "The tests need Catch2, 2.13 or 3 (Debian: catch2); "
                            "without them: -DPUSHHUB_TESTS=OFF")
    endif()
    if(NOT RapidJSON_FOUND)
        message(FATAL_ERROR "The tests need RapidJSON (Debian: rapidjson-dev); "
                            "without them: -DPUSHHUB_TESTS=OFF")
    endif()
    find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)
    message(STATUS "tests: Catch2 ${Catch2_VERSION}")
    # Catch2 3 takes it for one without being told.
    set(noTestsIsAnError)
    if(Catch2_VERSION VERSION_LESS 3)
        set(noTestsIsAnError --warn NoTests)
    endif()

    # main() once, for all test programs.
    add_library(pushhub_test_main OBJECT ${testsDir}/support/catch_main.cpp)
    target_include_directories(pushhub_test_main PUBLIC ${testsDir})
    target_link_libraries(pushhub_test_main PUBLIC pushhub_development pushhub Catch2::Catch2)
    if(PUSHHUB_SANITIZE)
        # The sanitizer's report of a signal says more.
        target_compile_definitions(pushhub_test_main PUBLIC CATCH_CONFIG_NO_POSIX_SIGNALS)
    endif()
endif()

# Wine's server stays while tests run: programs that start while it starts or ends do not find it.
set(emulatorFixture)
if(WIN32 AND CMAKE_CROSSCOMPILING AND PUSHHUB_TESTS)
    set(emulatorFixture wine)
    set(server /usr/lib/wine/wineserver64)
    list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " wine)
    add_test(NAME wine_starts COMMAND sh -c
        "(mkdir -p $WINEPREFIX && ${server} -p && ${wine} cmd /c exit) >wine.log 2>&1 </dev/null ||
         { cat wine.log && false; }")  # the server keeps what it writes to open
    add_test(NAME wine_ends COMMAND ${server} -k)
    set_tests_properties(wine_starts PROPERTIES FIXTURES_SETUP wine)
    set_tests_properties(wine_ends PROPERTIES FIXTURES_CLEANUP wine)
    set_tests_properties(wine_starts wine_ends PROPERTIES LABELS cross TIMEOUT 120
        ENVIRONMENT WINEPREFIX=${CMAKE_BINARY_DIR}/wine)
endif()

# Properties that all tests have. TIMEOUT in seconds; under an emulator it is longer.
function(pushhub_test_properties name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "RUN_SERIAL" "TIMEOUT" "LABELS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(CMAKE_CROSSCOMPILING)
        list(APPEND arg_LABELS cross)
        math(EXPR arg_TIMEOUT "3 * ${arg_TIMEOUT}")
    endif()
    set_tests_properties(${name} PROPERTIES
        TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" RUN_SERIAL ${arg_RUN_SERIAL}
        FIXTURES_REQUIRED "${emulatorFixture}")
endfunction()

# pushhub_tests(program SOURCES file… LABELS label… [LIBS target…] [TIMEOUT seconds] [RUN_SERIAL]
#               [ONE_THREAD] [TOGETHER count])
# A program of Catch2 test cases. Each file DIRECTORY/NAME_test.cpp is the test NAME.
# ONE_THREAD: there is nothing in it that ThreadSanitizer could find, or it cannot run with it.
# TOGETHER: so many files at a time are compiled as one. What takes the time is the library's own
# code, which each of them would compile again.
function(pushhub_tests program)
    cmake_parse_arguments(PARSE_ARGV 1 arg "RUN_SERIAL;ONE_THREAD" "TIMEOUT;TOGETHER"
        "SOURCES;LABELS;LIBS")
    set_property(GLOBAL APPEND PROPERTY PUSHHUB_LISTED ${arg_SOURCES})
    if(arg_ONE_THREAD AND PUSHHUB_SANITIZE MATCHES thread)
        return()
    endif()
    set(names)
    set(sources)
    foreach(source IN LISTS arg_SOURCES)
        string(REGEX REPLACE ".*/(.*)_test\\.cpp$" "\\1" name ${source})
        if(NOT PUSHHUB_TESTS_ONLY OR name IN_LIST PUSHHUB_TESTS_ONLY)
            list(APPEND names ${name})
            list(APPEND sources ${source})
        endif()
    endforeach()
    if(NOT sources)
        return()
    endif()
    pushhub_program(${program} ${sources} LIBS pushhub_test_main ${arg_LIBS})
    if(arg_TOGETHER)
        set_target_properties(${program} PROPERTIES
            UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${arg_TOGETHER})
    endif()
    set(serial)
    if(arg_RUN_SERIAL)
        set(serial RUN_SERIAL)
    endif()
    foreach(name IN LISTS names)
        add_test(NAME ${name} COMMAND ${program} --filenames-as-tags ${noTestsIsAnError}
                                      "[#${name}_test]")
        pushhub_test_properties(${name} LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT} ${serial})
        set_tests_properties(${name} PROPERTIES ENVIRONMENT "${sanitizerEnvironment}")
    endforeach()
endfunction()

# pushhub_program(name file… [LIBS target…]): a program that is a test, or that one starts.
function(pushhub_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS")
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE pushhub_development pushhub ${arg_LIBS})
    add_dependencies(pushhub_test_programs ${name})
endfunction()

# pushhub_check_listed(pattern…): files that match but that no test above names are an error.
function(pushhub_check_listed)
    get_property(listed GLOBAL PROPERTY PUSHHUB_LISTED)
    file(GLOB found RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS ${ARGN})
    foreach(file IN LISTS found)
        if(NOT file IN_LIST listed)
            file(RELATIVE_PATH directory ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
            message(SEND_ERROR "Forgotten test: ${directory}/${file} is in no list; "
                               "name it in ${directory}/CMakeLists.txt")
        endif()
    endforeach()
endfunction()

# ---- fuzzing -------------------------------------------------------------------------------------

# pushhub_fuzzer(name library…): the fuzzer NAME_fuzz, to be run by hand:
# NAME_fuzz tests/fuzz/corpus/NAME
function(pushhub_fuzzer name)
    if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "PUSHHUB_FUZZERS needs clang: -DCMAKE_CXX_COMPILER=clang++")
    endif()
    add_executable(${name}_fuzz fuzz/${name}_fuzz.cpp)
    target_link_libraries(${name}_fuzz PRIVATE pushhub_development pushhub::json ${ARGN})
    target_compile_options(${name}_fuzz PRIVATE -g -O1 -fsanitize=fuzzer,address,undefined
        -fno-sanitize-recover=undefined
        -fsanitize-ignorelist=${testsDir}/fuzz/ubsan_ignorelist.txt)
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
endfunction()

# pushhub_fuzz_replay(name library…): the test fuzz_NAME runs the corpus and
# all its beginnings without libFuzzer.
function(pushhub_fuzz_replay name)
    set_property(GLOBAL APPEND PROPERTY PUSHHUB_LISTED fuzz/${name}_fuzz.cpp)
    if(PUSHHUB_SANITIZE MATCHES thread OR CMAKE_CROSSCOMPILING)
        return()
    endif()
    pushhub_program(${name}_replay fuzz/${name}_fuzz.cpp fuzz/replay_main.cpp
        LIBS pushhub::json ${ARGN})
    add_test(NAME fuzz_${name} COMMAND ${name}_replay ${testsDir}/fuzz/corpus/${name})
    pushhub_test_properties(fuzz_${name} LABELS unit)
    set_tests_properties(fuzz_${name} PROPERTIES ENVIRONMENT "${sanitizerEnvironment}")
endfunction()

# ---- clients -------------------------------------------------------------------------------------

function(pushhub_client_test name file)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "COMMAND;LABELS")
    add_test(NAME ${name} COMMAND ${arg_COMMAND} ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    # One after the other: their deadlines are for a machine that has nothing else to do.
    pushhub_test_properties(${name} LABELS ${arg_LABELS} TIMEOUT 300 RUN_SERIAL)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "PUSHHUB_BIN_DIR=${binDir}")
endfunction()

# pushhub_node_test(name file LABELS label…): tests written with node:test.
function(pushhub_node_test name file)
    set_property(GLOBAL APPEND PROPERTY PUSHHUB_LISTED ${file})
    find_program(PUSHHUB_NODE NAMES node nodejs DOC "Node.js 18 or newer")
    if(NOT PUSHHUB_NODE)
        pushhub_left_out("there is no Node.js for ${file}")
        return()
    endif()
    pushhub_client_test(${name} ${file} COMMAND ${PUSHHUB_NODE} ${ARGN})
endfunction()

# pushhub_python_test(name file LABELS label…): tests written with unittest, with the package
# websockets at hand; Debian has it for its own Python only, which need not be the first one.
function(pushhub_python_test name file)
    set_property(GLOBAL APPEND PROPERTY PUSHHUB_LISTED ${file})
    if(NOT PUSHHUB_PYTHON_WITH_WEBSOCKETS)
        foreach(candidate ${Python3_EXECUTABLE} /usr/bin/python3)
            execute_process(COMMAND ${candidate} -c "import websockets"
                            RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
            if(NOT failed)
                set(PUSHHUB_PYTHON_WITH_WEBSOCKETS ${candidate} CACHE FILEPATH
                    "Python 3.11 or newer that has the package websockets")
                break()
            endif()
        endforeach()
    endif()
    if(NOT PUSHHUB_PYTHON_WITH_WEBSOCKETS)
        pushhub_left_out("there is no Python with the package websockets for ${file}")
        return()
    endif()
    pushhub_client_test(${name} ${file} COMMAND ${PUSHHUB_PYTHON_WITH_WEBSOCKETS} ${ARGN})
endfunction()

#!/usr/bin/env bash
# Installs what is missing, builds the tests and runs them through ctest.
#
#   tests/run.sh                   does it work here? Unit and socket tests, clients, a browser
#   tests/run.sh --all             every test, also with sanitizers and for other platforms
#   tests/run.sh --preset NAME     every test of that preset (may be given again)
#   tests/run.sh -- ARGUMENT...    what follows goes to ctest, such as -R hub or -L unit
#
# PUSHHUB_JOBS: how many compilers and tests at a time (one per core).
# PUSHHUB_CHURN_SECONDS: how long the churn test takes: 5, with --all 30.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/packages.sh

everything=(dev asan-ubsan tsan cross-armhf cross-aarch64 cross-s390x cross-mingw)
presets=()
while [ $# -gt 0 ]; do
    case $1 in
    --all) presets=("${everything[@]}") ;;
    --preset)
        presets+=("${2:?--preset needs a name}")
        shift
        ;;
    --)
        shift
        break
        ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
    *) die "unknown argument: $1 (see --help)" ;;
    esac
    shift
done
all=ON
if [ ${#presets[@]} -eq 0 ]; then
    presets=(dev)
    all=OFF
fi
jobs=${PUSHHUB_JOBS:-$(nproc)}

# A C++ compiler first: the others are looked for with it.
need g++
packages=(cmake ninja-build ccache libasio-dev libwebsocketpp-dev rapidjson-dev catch2 python3)
for preset in "${presets[@]}"; do
    case $preset in
    asan-ubsan | tsan) packages+=(clang libclang-rt-dev llvm libssl-dev openssl zlib1g-dev) ;;
    cross-armhf) packages+=(g++-arm-linux-gnueabihf qemu-user) ;;
    cross-aarch64) packages+=(g++-aarch64-linux-gnu qemu-user) ;;
    cross-s390x) packages+=(g++-s390x-linux-gnu qemu-user) ;;
    cross-mingw) packages+=(g++-mingw-w64-x86-64-posix wine64) ;;
    dev)
        packages+=(libssl-dev openssl zlib1g-dev nodejs npm chromium python3-websockets)
        if [ "$all" = ON ]; then
            packages+=(clang clang-format clang-tidy doxygen haproxy libboost-dev lintian locales
                nginx pkg-config prometheus python3-yaml valgrind)
        fi
        ;;
    *) die "unknown preset: $preset (one of ${everything[*]})" ;;
    esac
done
need "${packages[@]}"

# The JavaScript packages of the client tests, when they are not those of the lock file.
if has_command npm; then
    clients=tests/clients
    if ! cmp -s "$clients/package-lock.json" "$clients/node_modules/.installed-lock.json"; then
        step "npm packages of the client tests"
        # Browsers are not downloaded: the tests use the system's Chromium.
        logged build/npm.log env PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 \
            npm ci --prefix "$clients" --no-audit --no-fund
        cp "$clients/package-lock.json" "$clients/node_modules/.installed-lock.json"
    fi
fi

# ThreadSanitizer of these compilers cannot start where addresses are spread over more bits than it
# knows of; without the spreading it can. A container may forbid that, and may not need it.
spread_less=()
if has_command setarch && setarch "$(uname -m)" -R true 2>/dev/null; then
    spread_less=(setarch "$(uname -m)" -R)
fi

declare -A closing
failed=()
run_preset() {
    local preset=$1 launch=() target=pushhub_test_programs at_a_time=(-j "$jobs")
    shift
    if [ "$preset" = tsan ]; then
        launch=("${spread_less[@]}")
    elif [ "${preset%%-*}" = cross ]; then
        at_a_time=()  # the preset knows
    elif [ "$preset" = dev ] && [ "$all" = ON ]; then
        target=all
    fi
    step "$preset: configuring"
    logged "build/$preset-configure.log" cmake --preset "$preset" -DPUSHHUB_WERROR=ON \
        -DPUSHHUB_TESTS_REQUIRE_ALL=ON -DPUSHHUB_TESTS_ALL=$all || return 1
    grep -A 3 'CMake Warning' "build/$preset-configure.log" || true
    step "$preset: building"
    # All errors at once, not only the first.
    cmake --build --preset "$preset" --target "$target" -j "$jobs" -- -k 0 | with_time_left ||
        return 1
    step "$preset: testing"
    local status=0
    "${launch[@]}" ctest --preset "$preset" "${at_a_time[@]}" "$@" 2>&1 | with_time_left |
        tee "build/$preset-ctest.log" || status=$?
    closing[$preset]=$(grep -E '^[0-9]+% tests passed' "build/$preset-ctest.log" || true)
    return "$status"
}

if [ "$all" = ON ]; then
    export PUSHHUB_CHURN_SECONDS=${PUSHHUB_CHURN_SECONDS:-30}
fi

for preset in "${presets[@]}"; do
    run_preset "$preset" "$@" || failed+=("$preset")
done

step "Done"
for preset in "${presets[@]}"; do
    printf '%s:\n%s\n' "$preset" "${closing[$preset]:-did not get as far as testing}"
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[*]}"
    exit 1
fi

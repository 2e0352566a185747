#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test through ctest.
#
#   tests/run.sh                   presets dev, asan-ubsan and tsan
#   tests/run.sh --quick           preset dev only
#   tests/run.sh --preset NAME     this one (may be given again)
#   tests/run.sh -- ARGUMENT...    what follows goes to ctest, such as -R hub or -L unit
#
# PUSHHUB_JOBS: how many compilers and tests at a time (one per core).
# PUSHHUB_CHURN_SECONDS: how long the churn test takes, 30 by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/packages.sh

presets=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) presets+=(dev) ;;
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
[ ${#presets[@]} -gt 0 ] || presets=(dev asan-ubsan tsan)
jobs=${PUSHHUB_JOBS:-$(nproc)}

# A C++ compiler first: the others are looked for with it.
need g++
need clang cmake ninja-build ccache pkg-config \
    libasio-dev libwebsocketpp-dev rapidjson-dev catch2 libssl-dev openssl zlib1g-dev libboost-dev \
    libclang-rt-dev llvm valgrind clang-format clang-tidy doxygen \
    nodejs npm chromium nginx haproxy python3 python3-websockets python3-yaml locales prometheus

# The JavaScript packages of the client tests, when they are not those of the lock file.
packages=tests/clients
if ! cmp -s "$packages/package-lock.json" "$packages/node_modules/.installed-lock.json"; then
    step "npm packages of the client tests"
    # Browsers are not downloaded: the tests use the system's Chromium.
    logged build/npm.log env PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 \
        npm ci --prefix "$packages" --no-audit --no-fund
    cp "$packages/package-lock.json" "$packages/node_modules/.installed-lock.json"
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
    local preset=$1 launch=()
    shift
    if [ "$preset" = tsan ]; then
        launch=("${spread_less[@]}")
    fi
    step "$preset: configuring"
    logged "build/$preset-configure.log" \
        cmake --preset "$preset" -DPUSHHUB_WERROR=ON -DPUSHHUB_TESTS_REQUIRE_ALL=ON || return 1
    grep -A 3 'CMake Warning' "build/$preset-configure.log" || true
    step "$preset: building"
    # All errors at once, not only the first.
    cmake --build --preset "$preset" -j "$jobs" -- -k 0 || return 1
    step "$preset: testing"
    local status=0
    "${launch[@]}" ctest --preset "$preset" -j "$jobs" "$@" 2>&1 |
        tee "build/$preset-ctest.log" || status=$?
    closing[$preset]=$(grep -E '^[0-9]+% tests passed' "build/$preset-ctest.log" || true)
    return "$status"
}

export PUSHHUB_CHURN_SECONDS=${PUSHHUB_CHURN_SECONDS:-30}

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

#!/usr/bin/env bash
# The regression guard: instructions per delivered message and per handshake of a fixed small
# scenario, counted by callgrind and compared with the figures in callgrind.json. They depend on
# compiler and libraries, not on the machine's load; but how the kernel cuts up what it delivers does
# change them now and then, so the lowest of up to three runs counts.
#
#   callgrind.sh            fails when a figure is more than 5 % above the recorded one; ends with 77
#                           where the figures were recorded with another compiler
#   callgrind.sh --record   writes the figures instead
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${PUSHHUB_BENCH_BUILD:-$here/../../build/benchmarks}
program=${PUSHHUB_BENCH_SCENARIO:-$build/bin/callgrind_scenario}

command -v valgrind >/dev/null || { echo "callgrind.sh: valgrind is not installed"; exit 1; }
mkdir -p "$build"
if [ -z "${PUSHHUB_BENCH_SCENARIO:-}" ]; then
    export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}  # make need not be there
    cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$build/configure.log" 2>&1 ||
        { cat "$build/configure.log"; exit 1; }
    cmake --build "$build" --target callgrind_scenario >"$build/callgrind-build.log" 2>&1 ||
        { cat "$build/callgrind-build.log"; exit 1; }
fi

# The C library's copying in the same way on every processor.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM

figures=$build/callgrind.figures
: >"$figures"
measure() {
    local out=$build/callgrind.$scenario.out printed instructions
    printed=$(timeout 120 valgrind --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
        '--toggle-collect=collected*' "$program" "$scenario" 2>"$build/callgrind.$scenario.log") ||
        { cat "$build/callgrind.$scenario.log"; exit 1; }
    instructions=$(awk '/^(summary|totals):/ { print $2; exit }' "$out")
    echo "$scenario $instructions ${printed#units }" >>"$figures"
}
for run in 1 2 3; do
    for scenario in handshake paced burst one inbound; do
        measure
    done
    status=0
    python3 "$here/callgrind.py" "$figures" "$here/callgrind.json" "${1:-}" || status=$?
    [ "$status" -eq 1 ] || exit "$status"
done
exit 1

#!/usr/bin/env bash
# Clients of every kind against hubs over TCP and TLS, all at once, with the accounts of each session
# checked: builds and runs tests/soak. Ends with a report; the exit code says whether all was well.
#
#   tests/soak.sh MINUTES                    in the preset dev
#   tests/soak.sh MINUTES --preset NAME      such as asan-ubsan, tsan
#   tests/soak.sh MINUTES --seed N           what clients and pushers do; the time is the default
#   tests/soak.sh MINUTES --clients N        most at a time (240)
#   tests/soak.sh MINUTES --latency MS       longest that a well-behaved client may wait (5000)
#
# PUSHHUB_JOBS: how many compilers at a time (one per core).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}
minutes=
preset=dev
settings=(--seed "$(($(date +%s) % 100000))")
while [ $# -gt 0 ]; do
    case $1 in
    --preset)
        preset=${2:?--preset needs a name}
        shift
        ;;
    --seed | --clients | --latency)
        settings+=("$1" "${2:?$1 needs a number}")
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        minutes=$1
        [[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || {
            usage >&2
            exit 2
        }
        ;;
    esac
    shift
done
if [ -z "$minutes" ]; then
    usage >&2
    exit 2
fi
seconds=$(awk "BEGIN { print $minutes * 60 }")

cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --target soak -j "${PUSHHUB_JOBS:-$(nproc)}"

export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# What is freed is kept only for a while, or memory could not be flat.
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:quarantine_size_mb=16
launch=()
if [ "$preset" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then
    launch=(setarch "$(uname -m)" -R)  # see tests/run.sh
fi
# A hang is a failure too. Between its rounds, of a minute each, the program waits for quiet.
exec timeout "$(awk "BEGIN { print int($seconds * 1.5) + 180 }")" \
    "${launch[@]}" "build/$preset/bin/soak" --seconds "$seconds" "${settings[@]}"

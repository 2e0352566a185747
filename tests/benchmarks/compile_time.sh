#!/usr/bin/env bash
# What including the library costs a host, as ratios to <asio.hpp> with the same compiler: the
# median CPU time of several interleaved compilations.
#
#   compile_time.sh [RUNS]      CXX and CXXFLAGS are respected
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
runs=${1:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

add() { printf '%b' "$2" >"$work/$1.cpp"; }
add asio '#include <asio.hpp>\n'
add pushhub '#include <pushhub/pushhub.hpp>\n'
loopback='#include <pushhub/push_hub.hpp>\n#include <pushhub/transport/loopback_transport.hpp>\n'
add loopback "$loopback"
add members "${loopback}template class pushhub::PushHub<pushhub::LoopbackTransport>;\n"
add websocketpp '#include <websocketpp/config/asio_no_tls.hpp>\n#include <websocketpp/server.hpp>\n'

TIMEFORMAT='%U %S'
for ((run = 0; run < runs; ++run)); do
    for name in asio pushhub loopback members websocketpp; do
        # CCACHE_DISABLE: a cached answer would measure nothing.
        seconds=$({ time CCACHE_DISABLE=1 ${CXX:-c++} -std=c++17 ${CXXFLAGS:-} -fsyntax-only \
            -I"$root/include" -DASIO_STANDALONE \
            "$work/$name.cpp" 2>"$work/errors"; } 2>&1) ||
            { echo "$name does not compile:"; head -20 "$work/errors"; exit 1; }
        echo "$name $seconds" >>"$work/times"
    done
done

awk '{ n[$1]++; t[$1, n[$1]] = $2 + $3 }
function median(name,    i, j, swap, m) {
    m = n[name]
    for (i = 1; i <= m; i++) for (j = i + 1; j <= m; j++)
        if (t[name, j] < t[name, i]) { swap = t[name, i]; t[name, i] = t[name, j]; t[name, j] = swap }
    return t[name, int((m + 1) / 2)]
}
END {
    base = median("asio")
    printf "%-34s %6s %6s   %s\n", "", "s", "ratio", "wanted"
    printf "%-34s %6.2f %6.2f\n", "<asio.hpp>", base, 1
    printf "%-34s %6.2f %6.2f   at most 1.50\n", "<pushhub/pushhub.hpp>", median("pushhub"), median("pushhub") / base
    printf "%-34s %6.2f %6.2f   at most 1 s\n", "push_hub.hpp, LoopbackTransport", median("loopback"), median("loopback") / base
    printf "%-34s %6.2f %6.2f\n", "the same, each member of a hub", median("members"), median("members") / base
    printf "%-34s %6.2f %6.2f\n", "WebSocket++ server", median("websocketpp"), median("websocketpp") / base
}' "$work/times"

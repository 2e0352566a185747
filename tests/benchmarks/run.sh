#!/usr/bin/env bash
# Builds the benchmarks and runs them; see README.md beside this file. Arguments go to run.py.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${PUSHHUB_BENCH_BUILD:-$here/../../build/benchmarks}
jobs=${PUSHHUB_BENCH_JOBS:-2}

mkdir -p "$build"
export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}  # make need not be there
cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$build/configure.log" 2>&1 ||
    { cat "$build/configure.log"; exit 1; }
grep -- '-- benchmarks:' "$build/configure.log" || true
cmake --build "$build" -j"$jobs" ${PUSHHUB_BENCH_TARGETS:+--target $PUSHHUB_BENCH_TARGETS}

# The peers that are no C++; what cannot be had is reported by run.py.
if command -v npm >/dev/null && [ ! -d "$build/npm/node_modules" ]; then
    mkdir -p "$build/npm"
    cp "$here/package.json" "$build/npm/"
    npm install --prefix "$build/npm" --no-audit --no-fund >"$build/npm.log" 2>&1 ||
        echo "run.sh: npm could not install the peers, see $build/npm.log"
fi
jars=
for jar in tomcat10-embed-core tomcat10-embed-websocket jakarta-annotation-api; do
    [ -f "/usr/share/java/$jar.jar" ] || { jars=; break; }
    jars=$jars:/usr/share/java/$jar.jar
done
if command -v javac >/dev/null && [ -n "$jars" ]; then
    mkdir -p "$build/java"
    if [ "$here/servers/TomcatServer.java" -nt "$build/java/TomcatServer.class" ]; then
        javac -nowarn -cp "$jars" -d "$build/java" "$here/servers/TomcatServer.java" 2>&1 |
            grep -v '^Note:' || true
    fi
fi

exec python3 "$here/run.py" --build "$build" --jars "$jars" "$@"

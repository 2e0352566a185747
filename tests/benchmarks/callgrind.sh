#!/usr/bin/env bash
# The regression guard: instructions per delivered message and per handshake of a fixed small
# scenario, counted by callgrind and compared with the figures in callgrind.json. They depend on
# compiler and libraries, not on the machine's load.
#
#   callgrind.sh            fails when a figure is more than 5 % above the recorded one
#   callgrind.sh --record   writes the figures instead
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=${PUSHHUB_BENCH_BUILD:-$here/../../build/benchmarks}
program=${PUSHHUB_BENCH_SCENARIO:-$build/bin/callgrind_scenario}

command -v valgrind >/dev/null || { echo "callgrind.sh: valgrind is not installed"; exit 1; }
mkdir -p "$build"
if [ -z "${PUSHHUB_BENCH_SCENARIO:-}" ]; then
    cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$build/configure.log"
    cmake --build "$build" --target callgrind_scenario >"$build/callgrind-build.log" 2>&1 ||
        { cat "$build/callgrind-build.log"; exit 1; }
fi

figures=$build/callgrind.figures
: >"$figures"
for scenario in handshake paced burst one inbound; do
    out=$build/callgrind.$scenario.out
    printed=$(timeout 120 valgrind --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
        '--toggle-collect=collected*' "$program" "$scenario" 2>"$build/callgrind.$scenario.log") ||
        { cat "$build/callgrind.$scenario.log"; exit 1; }
    instructions=$(awk '/^(summary|totals):/ { print $2; exit }' "$out")
    echo "$scenario $instructions ${printed#units }" >>"$figures"
done

exec python3 - "$figures" "$here/callgrind.json" "${1:-}" <<'PYTHON'
import json
import os
import platform
import subprocess
import sys

figures_path, recorded_path, mode = sys.argv[1:4]
LIMIT = 1.05
figures = {}
for line in open(figures_path, encoding="utf-8"):
    scenario, instructions, units = line.split()
    figures[scenario] = round(int(instructions) / int(units), 1)
    if figures[scenario] <= 0:
        sys.exit(f"callgrind.sh: nothing was counted for {scenario}")
compiler = subprocess.run([os.environ.get("CXX", "c++"), "-dumpfullversion"],
                          capture_output=True, text=True, check=False).stdout.strip()
about = f"{platform.machine()}, compiler {compiler}"
if mode == "--record":
    with open(recorded_path, "w", encoding="utf-8") as file:
        json.dump({"about": about, "instructions": figures}, file, indent=2)
        file.write("\n")
recorded = json.load(open(recorded_path, encoding="utf-8"))
if not recorded["instructions"]:
    print("callgrind.sh: no figures are recorded yet; callgrind.sh --record writes them")
if recorded["about"] != about:
    print(f"callgrind.sh: recorded with {recorded['about']}, this is {about}")
failed = 0
print(f"{'scenario':10} {'instructions':>12} {'recorded':>10} {'ratio':>6}   each")
for scenario, value in figures.items():
    before = recorded["instructions"].get(scenario)
    ratio = value / before if before else float("nan")
    worse = before is not None and ratio > LIMIT
    failed += worse
    unit = "handshake" if scenario == "handshake" else "message"
    print(f"{scenario:10} {value:12.1f} {before or '-':>10} {ratio:6.3f}   {unit}"
          + ("   MORE THAN 5 % ABOVE" if worse else ""))
passed = len(figures) - failed
print(f"callgrind: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
PYTHON

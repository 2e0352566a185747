#!/usr/bin/env python3
"""Compares the counts that callgrind.sh has made with the recorded ones."""

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
    value = round(int(instructions) / int(units), 1)
    figures[scenario] = min(value, figures.get(scenario, value))
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
    print(f"callgrind.sh: recorded with {recorded['about']}, this is {about}: not compared")
    sys.exit(77)
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

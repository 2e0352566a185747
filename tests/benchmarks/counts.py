#!/usr/bin/env python3
"""Counts what a delivered message costs in allocations and in system calls.

Each figure is a slope: the same server and sessions once with COUNT and once with twice as much, so
that start, handshakes and the command itself cancel out. Allocations are counted by a hook linked
into the *_counting servers (no preloaded library), system calls by strace, which slows a server
down: what a burst costs then shows larger batches than usual.

Run run.sh once before, it builds the servers.
"""

import argparse
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# name: (sessions, command with a {} for the count, the count, pushes for each count)
SCENARIOS = {
    "broadcast, paced": (100, "pace 20 {} 128", 3, 20),
    "broadcast, burst": (200, "burst {} 128", 500, 1),
    "sendOne, as fast as it goes": (200, "one {} 128", 20000, 1),
    "sendOne, 500/s": (100, "paceone 500 {} 128", 3, 500),
    "sendMore to 50 of 200": (200, "more {} 128 50", 1000, 1),
}

SERVERS = {
    "pushhub": ["load_server"],
    "floor": ["floor_server", "--mode", "send"],
    "floor-join": ["floor_server", "--mode", "join"],
    "websocketpp": ["websocketpp_server"],
    "beast": ["beast_server"],
}


def start(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    ready = select.select([process.stdout], [], [], 30)[0]
    words = process.stdout.readline().split() if ready else []
    if len(words) != 3 or words[0] != b"ready":
        process.kill()
        process.wait()
        raise RuntimeError("the server did not get ready")
    return process, int(words[1]), int(words[2])


def client(build, port, pid, sessions, command, *extra):
    warmup = re.sub(r"^(burst|one|more) \d+", r"\1 200", command)
    warmup = re.sub(r"^(pace|paceone) (\d+) \d+", r"\1 \2 1", warmup)
    done = subprocess.run(
        [os.path.join(build, "bin", "load_client"), "--port", str(port), "--pid", str(pid),
         "--sessions", str(sessions), "--warmup", warmup, "--command", command, "--timeout", "60",
         *extra], capture_output=True, text=True, timeout=90, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def allocations(build, server, sessions, command):
    program = os.path.join(build, "bin", server[0] + "_counting")
    if not os.path.exists(program):
        return None
    process, port, pid = start([program, *server[1:], "--port", "0", "--threads", "1"])
    try:
        result = client(build, port, pid, sessions, command, "--allocations")
    finally:
        process.kill()
        process.wait()
    return result["allocations"], result["delivered"]


def system_calls(build, server, sessions, command):
    program = os.path.join(build, "bin", server[0])
    with tempfile.NamedTemporaryFile(mode="r") as report:
        process, port, pid = start(["strace", "-f", "-c", "-o", report.name, program, *server[1:],
                                    "--port", "0", "--threads", "1"])
        try:
            result = client(build, port, pid, sessions, command)
        finally:
            time.sleep(0.1)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended by itself, or with an interrupted run
            process.wait(30)
        calls = {}
        for line in report:
            words = line.split()
            if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
                calls[words[-1]] = calls.get(words[-1], 0) + int(words[3])
    return calls, result["delivered"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "../../build/benchmarks"))
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--no-strace", action="store_true")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM",
                        help="another server; allocations need PROGRAM_counting beside it")
    arguments = parser.parse_args()
    for peer in arguments.peer:
        name, _, program = peer.partition("=")
        SERVERS[name] = [os.path.abspath(program)]
        arguments.servers += "," + name
    build = os.path.abspath(arguments.build)
    strace = shutil.which("strace") and not arguments.no_strace
    if not strace and not arguments.no_strace:
        print("strace is not installed: system calls are not counted")
    rows = []
    for name, (sessions, template, count, pushes) in SCENARIOS.items():
        print(f"\n{name}, {sessions} sessions: for each delivered message")
        for server in arguments.servers.split(","):
            program = SERVERS[server]
            if not os.path.exists(os.path.join(build, "bin", program[0])):
                print(f"  {server:12} was not built")
                continue
            commands = [template.format(count), template.format(2 * count)]
            row = {"scenario": name, "server": server}
            text = f"  {server:12}"
            first, second = (allocations(build, program, sessions, c) for c in commands)
            if first and second:
                more = second[0] - first[0]
                row["allocations"] = more / (second[1] - first[1])
                row["allocationsEachPush"] = more / (count * pushes)
                text += (f" {row['allocations']:8.4f} allocations "
                         f"({row['allocationsEachPush']:.2f} each push)")
            if strace:
                (c1, d1), (c2, d2) = (system_calls(build, program, sessions, c) for c in commands)
                each = {call: (c2.get(call, 0) - c1.get(call, 0)) / (d2 - d1) for call in c2}
                row["systemCalls"] = sum(each.values())
                row["systemCallsByName"] = {k: round(v, 5) for k, v in each.items() if v > 0.0005}
                top = sorted(each.items(), key=lambda item: -item[1])[:4]
                text += (f"  {row['systemCalls']:8.4f} system calls ("
                         + ", ".join(f"{k} {v:.3g}" for k, v in top if v > 0.0005) + ")")
            rows.append(row)
            print(text)
            sys.stdout.flush()
    with open(os.path.join(build, "counts.json"), "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    print(f"\nwritten: {build}/counts.json")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs the benchmark workloads against every server that can be had, interleaved, and prints the
medians as a table. Results go to results.json and results.svg in the build folder.

Called by run.sh, which builds first. Python's standard library only.
"""

import argparse
import json
import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# name: (title, sessions, commands, warm-up, loops). Rates and counts are cut by --quick.
WORKLOADS = {
    "A": ("burst of 200 x 128 B", 1000, ["burst 200 128"], "burst 50 128", 1),
    "B": ("50 pushes/s x 128 B", 1000, ["pace 50 5 128"], "pace 50 1 128", 1),
    "C": ("100,000 sendOne as fast as they go", 1000, ["one 100000 128"], "one 20000 128", 1),
    "C2": ("20,000 sendOne/s", 1000, ["paceone 20000 5 128"], "paceone 20000 1 128", 1),
    "D": ("burst of 2,000 x 128 B", 100, ["burst 2000 128"], "burst 200 128", 1),
    "E": ("burst of 100 x 16 KiB", 200, ["burst 100 16384"], "burst 10 16384", 1),
    "F": ("5 pushes/s, idle cost", 8000, ["pace 5 5 128"], "", 1),
    "G": ("500 sendMore to 100 of 10,000", 10000, ["more 500 128 100"], "more 50 128 100", 1),
    "H": ("inbound, 100 messages/s each", 1000, "inbound 100 5 16", "", 1),
    "I1": ("4 business threads, 1 loop", 1000, ["multi 4 200000 128"], "multi 4 40000 128", 1),
    "I2": ("4 business threads, 2 loops", 1000, ["multi 4 200000 128"], "multi 4 40000 128", 2),
    "J": ("sendOne while 8,000 get broadcasts", 8000,
          ["pace 10 3 256", "paceone 1000 3 100"], "", 1),
    "K1": ("burst of 1,500 x 6,000 B, 1 loop", 200, ["burst 1500 6000"], "burst 100 6000", 1),
    "K2": ("burst of 1,500 x 6,000 B, 2 loops", 200, ["burst 1500 6000"], "burst 100 6000", 2),
    "A-1k": ("burst of 200 x 1,000 B", 1000, ["burst 200 1000"], "burst 50 1000", 1),
    "B-1k": ("50 pushes/s x 1,000 B", 1000, ["pace 50 5 1000"], "pace 50 1 1000", 1),
}

# Workloads with a feature: what they are without it. bare_cost.cpp says what the feature costs by
# itself, which is added to the plain row for the goals.
VARIANTS = {
    **{f"{name}-tls": (name, "tls") for name in ("A", "B", "C", "E", "F", "K1", "K2")},
    "A-deflate": ("A-1k", "deflate"),
    "B-deflate": ("B-1k", "deflate"),
    "E-deflate": ("E", "deflate"),
}
FEATURES = {"tls": "TLS", "deflate": "permessage-deflate"}
for _name, (_plain, _feature) in VARIANTS.items():
    WORKLOADS[_name] = (f"{WORKLOADS[_plain][0]}, {FEATURES[_feature]}", *WORKLOADS[_plain][1:])

# The client has the kernel throw away what arrives, so that loops have the cores to themselves.
DRAINED = {"K1", "K2", "K1-tls", "K2-tls"}

# Servers with one event loop by nature; a second one means nothing to them.
SINGLE_LOOP = {"ws", "bun", "uwebsockets"}

# Their pushes come from the thread that does the sending, so that the latency of a sendOne which a
# broadcast delays is never seen.
OWN_TIMERS = {"ws", "bun"}

# What is asked of pushhub, as ratios to uWebSockets: (workload, figure, limit).
GOALS = [
    ("A", "cpuUs", 0.35), ("B", "cpuUs", 1.00), ("B", "userUs", 1.00), ("B", "p99Us", 1.00),
    ("C", "cpuUs", 0.30), ("C2", "cpuUs", 1.05), ("D", "cpuUs", 0.35), ("E", "cpuUs", 0.60),
    ("F", "handshakeUs", 1.10),
]

# And what it may cost with a feature: a multiple of the plain row and the bare cost together.
FEATURE_GOAL = 1.05

# The throughput of two loops to that of one, in the row where loops are what is short.
LOOPS_GOALS = {"K-tls": 1.6}


def servers(arguments):
    """name -> (command without --port and --threads, environment), and name -> why not."""
    found, missing = {}, {}
    binaries = os.path.join(arguments.build, "bin")

    def add(name, command, need, why, environment=None):
        if all(need):
            found[name] = (command, environment or {})
        else:
            missing[name] = why

    def binary(name, *extra):
        path = os.path.join(binaries, name)
        return [path, *extra], [os.path.exists(path)]

    for name, (command, need) in {
        "pushhub": binary("load_server"),
        "floor": binary("floor_server", "--mode", "send"),
        "floor-join": binary("floor_server", "--mode", "join"),
        "websocketpp": binary("websocketpp_server"),
        "beast": binary("beast_server"),
    }.items():
        add(name, command, need, f"{os.path.basename(command[0])} was not built")
    modules = os.path.join(arguments.build, "npm", "node_modules")
    node = shutil.which("node")
    add("ws", [node, os.path.join(HERE, "servers", "ws_server.mjs")],
        [node, os.path.isdir(os.path.join(modules, "ws"))],
        "Node.js or the npm package ws is not installed", {"NODE_MODULES": modules})
    bun = next((path for path in (os.path.join(modules, "bun", "bin", file)
                                  for file in ("bun.exe", "bun"))
                if os.path.exists(path)), None)
    add("bun", [bun, os.path.join(HERE, "servers", "bun_server.mjs")], [bun],
        "the npm package bun is not installed")
    java = shutil.which("java")
    classes = os.path.join(arguments.build, "java")
    add("tomcat",
        [java, "-Xmx4g", "-cp", arguments.jars.strip(":") + ":" + classes, "TomcatServer"],
        [java, arguments.jars, os.path.exists(os.path.join(classes, "TomcatServer.class"))],
        "needs Debian's libtomcat10-embed-java, libjakarta-annotation-api-java and a JDK")
    for peer in arguments.peer:
        name, _, command = peer.partition("=")
        add(name, command.split(), [command and os.path.exists(command.split()[0])],
            f"'{command}' is not there")
    return found, missing


def realtime():
    """Puts a child ahead of everything else that the machine does."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class NotAvailable(RuntimeError):
    """The server ended with status 2: it does not know a flag, or was built without it."""


class Server:
    """A server process, from its ready line to its end."""

    def __init__(self, command, environment, loops, flags, before_start):
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--threads", str(loops), *flags], stdout=subprocess.PIPE,
            stderr=self.said, env={**os.environ, **environment},
            preexec_fn=before_start)
        deadline = time.monotonic() + 30
        line = b""
        while not line.startswith(b"ready ") or not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            byte = os.read(self.process.stdout.fileno(), 1) if ready else b""
            if not byte:
                raise self.why_not()
            line = byte if line.endswith(b"\n") else line + byte
        _, port, pid = line.split()
        self.port, self.pid = int(port), int(pid)

    def why_not(self):
        """The error of a server that did not get ready."""
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            status = None
        if status == 2:
            self.said.seek(0)
            said = self.said.read().decode(errors="replace").strip()
            self.said.truncate(0)
            self.stop()
            return NotAvailable(said.removeprefix("not available: ") or "it ended with status 2")
        self.stop()
        return RuntimeError("the server did not get ready")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.said.seek(0)
        sys.stderr.write(self.said.read().decode(errors="replace"))
        self.said.close()


def quicker(command):
    """A fifth of the work: shorter times and smaller counts."""
    words = command.split()
    if words[0] in ("pace", "paceone", "inbound"):
        words[2] = str(max(1, int(words[2]) // 2))
    elif words[0] in ("one", "multi"):
        words[-2] = str(int(words[-2]) // 5)
    return " ".join(words)


def certificate(build):
    """Certificate and key that all servers with TLS use: made here, for nothing else."""
    paths = os.path.join(build, "certificate.pem"), os.path.join(build, "key.pem")
    if not all(os.path.exists(path) for path in paths):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "3650", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-out", paths[0], "-keyout", paths[1]],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return paths


def bare_cost(arguments):
    """See bare_cost.cpp; {} without a key or the program."""
    try:
        done = subprocess.run(
            [os.path.join(arguments.build, "bin", "bare_cost"), *certificate(arguments.build)],
            stdout=subprocess.PIPE, text=True, timeout=60, check=True,
            preexec_fn=arguments.before_start)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"run.py: what encrypting and compressing cost by themselves is not known: {error}")
        return {}


def run_client(arguments, server, workload, extra=()):
    _, sessions, commands, warmup, _ = workload
    call = [os.path.join(arguments.build, "bin", "load_client"), "--port", str(server.port),
            "--pid", str(server.pid), "--sessions", str(sessions), "--timeout", "90", *extra]
    if warmup:
        call += ["--warmup", warmup]
    if isinstance(commands, str):
        call += ["--inbound", *(quicker(commands) if arguments.quick else commands).split()[1:]]
    else:
        for command in commands:
            call += ["--command", quicker(command) if arguments.quick else command]
    done = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120, check=False, preexec_fn=arguments.before_start)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"load_client ended with {done.returncode}")
    return json.loads(done.stdout)


def summarize(runs):
    """The median of each figure; what is sampled coarsely is summed over the runs instead."""
    result = {"runs": len(runs)}
    for key in runs[0]:
        values = [run[key] for run in runs if key in run]
        if isinstance(values[0], bool):
            result[key] = any(values)
        elif key == "lost":
            result[key] = max(values)
        else:
            result[key] = statistics.median(values)
    result["cpuUsAll"] = [round(run["cpuUs"], 4) for run in runs]
    ticks = sum(run["tickSeconds"] for run in runs)
    if ticks > 0:
        share = sum(run["userTickSeconds"] for run in runs) / ticks
        result["userUs"] = share * result["cpuUs"]
        result["lostShare"] = result["lost"] / max(1, result["expected"])
    return result


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def reference_of(results):
    return "uwebsockets" if "uwebsockets" in results else "floor"


def print_table(name, results):
    title, sessions = WORKLOADS[name][:2]
    reference = reference_of(results)
    base = results.get(reference, {}).get("cpuUs")
    print(f"\n{name}: {sessions:,} sessions, {title} (ratios to {reference})")
    idle = name.split("-")[0] == "F"
    wire = name in VARIANTS and name not in DRAINED
    head = ["server", "CPU us/msg", "ratio", "user us", "loop us", "msg/s", "p50 ms", "p99 ms",
            "p99.9 ms", "lost", "client"]
    if idle:
        head += ["idle B", "handshake us"]
    if wire:
        head += ["wire B/msg", "records/msg" if VARIANTS[name][1] == "tls" else "compressed"]
    rows = [head]
    for server, r in sorted(results.items(), key=lambda item: item[1]["cpuUs"]):
        ms = [number(r[key] / 1000) if key in r else "" for key in ("p50Us", "p99Us", "p999Us")]
        lost = "0" if r["lost"] == 0 else f"{100 * r.get('lostShare', 1):.1f} %"
        row = [server, number(r["cpuUs"]), number(r["cpuUs"] / base) if base else "",
               number(r.get("userUs")), number(r["loopUs"]), number(r["perSecond"]), *ms, lost,
               f"{100 * r['clientCpuShare']:.0f} %" + ("!" if r["clientBound"] else "")]
        if idle:
            row += [number(r["idleBytes"]), number(r["handshakeUs"])]
        if wire:
            row += [number(r["wireBytes"]), number(r["records"])
                    if VARIANTS[name][1] == "tls" else f"{100 * r['compressed']:.0f} %"]
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def print_goals(results):
    lines = []
    for name, figure, limit in GOALS:
        ours = results.get(name, {}).get("pushhub", {}).get(figure)
        theirs = results.get(name, {}).get("uwebsockets", {}).get(figure)
        if ours and theirs:
            ratio = ours / theirs
            lines.append(f"  {name:3} {figure:12} {ratio:5.2f} of {limit:.2f}  "
                         f"{'reached' if ratio <= limit else 'MISSED'}")
    if lines:
        print("\nGoals, pushhub : uWebSockets\n" + "\n".join(lines))
    for kind in "I{}", "K{}", "K{}-tls":
        one, two = (results.get(kind.format(loops), {}).get("pushhub") for loops in (1, 2))
        if one and two:
            print_loops(kind.format(""), one, two)


def print_loops(kind, one, two):
    """What a second loop brings, and what it had to share the cores with."""
    ratio = two["perSecond"] / one["perSecond"]
    goal = ""
    if kind in LOOPS_GOALS:
        limit = LOOPS_GOALS[kind]
        goal = f" of {limit:.2f}  {'reached' if ratio >= limit else 'MISSED'}"
    print(f"\n{kind}: two loops deliver {ratio:.2f} x one loop{goal} ({os.cpu_count()} cores)")
    for loops, r in (1, one), (2, two):
        busy = r["loopUs"] * r["perSecond"] / 1e6
        other = (r["cpuUs"] - r["loopUs"]) * r["perSecond"] / 1e6
        print(f"  {loops} loop{'s' if loops > 1 else ' '}: cores of loops {busy:.2f}, of business "
              f"threads {other:.2f}, of the client {r['clientCpuShare']:.2f}; CPU us/msg "
              f"{number(r['cpuUs'])}, loop us/msg {number(r['loopUs'])}, messages per second of a "
              f"busy loop {number(1e6 / r['loopUs'])}")


def print_features(results, bare):
    """The rows of pushhub with a feature beside the plain row and what the feature has to cost."""
    lines = []
    for name, (plain_name, feature) in VARIANTS.items():
        row = results.get(name, {}).get("pushhub")
        plain = results.get(plain_name, {}).get("pushhub")
        known = bare.get("tlsByteUs" if feature == "tls" else "deflateUs")
        if name in DRAINED or not row or not plain or not known:
            continue
        if feature == "tls":
            bytes_ = row["wireBytes"] * bare["tlsByteUs"]
            cost = row["records"] * bare["tlsRecordUs"] + bytes_
            hot = row["records"] * bare["tlsHotRecordUs"] + bytes_
        else:
            size = WORKLOADS[name][2][0].split()[-1]
            hot = cost = bare["deflateUs"][size] / WORKLOADS[name][1]
        ratio = row["cpuUs"] / (plain["cpuUs"] + cost)
        lines.append(f"  {name:10} {row['cpuUs']:8.3f} us, plain {plain['cpuUs']:7.3f} + bare "
                     f"{cost:6.3f}: {ratio:5.2f} of {FEATURE_GOAL:.2f}  "
                     f"{'reached' if ratio <= FEATURE_GOAL else 'MISSED'}" +
                     (f" ({row['cpuUs'] / (plain['cpuUs'] + hot):.2f} with hot caches)"
                      if feature == "tls" else ""))
    if lines:
        print("\nGoals, pushhub with a feature : plain and the feature by itself\n" +
              "\n".join(lines))


def svg(results, path):
    """A panel for each workload, bars of CPU time per message on a logarithmic scale."""
    import math
    width, bar, gap, left = 560, 16, 46, 110
    colours = {"pushhub": "#1f6f43", "floor": "#8a8a8a", "floor-join": "#8a8a8a"}
    shapes, y = [], 40
    for name, servers_ in results.items():
        title, sessions = WORKLOADS[name][:2]
        shapes.append(f'<text x="10" y="{y}" class="h">{name}: {sessions:,} sessions, '
                      f'{title}</text>')
        y += 8
        ordered = sorted(servers_.items(), key=lambda item: item[1]["cpuUs"])
        values = [max(r["cpuUs"], 1e-4) for _, r in ordered]
        low = math.log10(min(values)) - 0.15
        span = max(0.3, math.log10(max(values)) - low)
        base = servers_.get(reference_of(servers_), {}).get("cpuUs")
        for server, r in ordered:
            length = (math.log10(max(r["cpuUs"], 1e-4)) - low) / span * (width - left - 190)
            label = f'{number(r["cpuUs"])} µs'
            if base:
                label += f' ({number(r["cpuUs"] / base)}×)'
            if r["lost"]:
                label += f', {100 * r.get("lostShare", 1):.0f} % lost'
            shapes.append(
                f'<text x="{left - 6}" y="{y + bar - 4}" text-anchor="end">{server}</text>'
                f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 3}" '
                f'fill="{colours.get(server, "#6b8fb5")}"/>'
                f'<text x="{left + length + 5:.1f}" y="{y + bar - 4}">{label}</text>')
            y += bar
        y += gap - 8
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" '
            f'viewBox="0 0 {width} {y}">'
            '<style>text{font:11px sans-serif;fill:#222}.h{font-weight:bold;font-size:12px}'
            '</style><rect width="100%" height="100%" fill="#fff"/>'
            '<text x="10" y="20">Server CPU per delivered message, log scale, median; '
            'less is better</text>' + "".join(shapes) + "</svg>\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(HERE, "../../build/benchmarks"))
    parser.add_argument("--jars", default="", help="class path of the Tomcat peer")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="workloads, e.g. A,B,C2")
    parser.add_argument("--servers", default="", help="e.g. pushhub,floor")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another server that speaks the commands; also PUSHHUB_BENCH_PEERS, "
                        "separated by ';'")
    parser.add_argument("--quick", action="store_true", help="less work and two runs: a look only")
    parser.add_argument("--realtime", action="store_true", help="servers and client run before "
                        "everything else (needs root): for a machine that has other work")
    parser.add_argument("--output", default="", help="where results.json and results.svg go")
    arguments = parser.parse_args()
    arguments.before_start = realtime if arguments.realtime else None
    arguments.build = os.path.abspath(arguments.build)
    arguments.peer += [p for p in os.environ.get("PUSHHUB_BENCH_PEERS", "").split(";") if p]
    if arguments.quick:
        arguments.runs = min(arguments.runs, 2)
    return arguments


def raise_file_limit():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < 20000:
        print(f"run.py: only {hard} files may be open; F and G need 20,000 (ulimit -Hn)")


def run_once(arguments, how, name, server, runs, failed, missing):
    loops = WORKLOADS[name][4]
    feature = VARIANTS.get(name, ("", ""))[1]
    flags = {"": [], "tls": ["--tls", *arguments.certificate], "deflate": ["--deflate"]}[feature]
    extra = (["--" + feature] if feature else []) + (["--drain"] if name in DRAINED else [])
    if (name, server) in failed or f"{server} {feature}" in missing or (
            loops > 1 and server in SINGLE_LOOP) or (name == "J" and server in OWN_TIMERS):
        return
    process = None
    try:
        process = Server(*how, loops, flags, arguments.before_start)
        runs[name][server].append(run_client(arguments, process, WORKLOADS[name], extra))
    except NotAvailable as error:
        missing[f"{server} {feature}"] = str(error)
        print(f"skipped: {server} with {FEATURES.get(feature, 'its flags')}: {error}")
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        failed[name, server] = str(error)
        print(f"failed: {name} {server}: {error}")
    finally:
        if process:
            process.stop()


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    arguments = parse_arguments()
    raise_file_limit()
    signal.signal(signal.SIGTERM, interrupt)
    found, missing = servers(arguments)
    chosen = [s for s in arguments.servers.split(",") if s] or list(found)
    for name, why in missing.items():
        if not arguments.servers or name in chosen:
            print(f"skipped: {name}: {why}")
    chosen = [name for name in chosen if name in found]
    names = [w for w in arguments.only.split(",") if w] or list(WORKLOADS)
    runs = {name: {server: [] for server in chosen} for name in names}
    failed = {}
    features = {VARIANTS[name][1] for name in names if name in VARIANTS}
    bare = bare_cost(arguments) if features or DRAINED.intersection(names) else {}
    arguments.certificate = certificate(arguments.build) if "tls" in features else ()
    try:
        for round_ in range(arguments.runs):
            for name in names:
                for server in chosen:
                    run_once(arguments, found[server], name, server, runs, failed, missing)
            print(f"run {round_ + 1} of {arguments.runs} done", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: these are the runs that were done", file=sys.stderr)
    results = {name: {server: summarize(list_) for server, list_ in by.items() if list_}
               for name, by in runs.items()}
    results = {name: by for name, by in results.items() if by}
    for name, by in results.items():
        print_table(name, by)
    print_goals(results)
    print_features(results, bare)
    if DRAINED.intersection(results) and "scalingOfCopies" in bare:
        print("\nTwo threads of this machine get done what one does: "
              f"{bare.get('scalingOfTls', 0):.2f} x at encrypting, "
              f"{bare['scalingOfCopies']:.2f} x at copying memory")
    if any(r["clientBound"] for by in results.values() for r in by.values()):
        print("\n'!' marks rows where the load client was the bottleneck: read no msg/s there.")
    folder = arguments.output or arguments.build
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        json.dump({"cores": os.cpu_count(), "machine": platform.machine(),
                   "kernel": platform.release(), "runs": arguments.runs, "quick": arguments.quick,
                   "workloads": {name: WORKLOADS[name][0] for name in results},
                   "bareCost": bare, "results": results, "skipped": missing,
                   "failed": {f"{n} {s}": why for (n, s), why in failed.items()}}, file, indent=1)
        file.write("\n")
    svg(results, os.path.join(folder, "results.svg"))
    print(f"\nwritten: {folder}/results.json and results.svg")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Compiles each header alone, twice in one file, warnings as errors.

usage: headers.py INCLUDE_DIRECTORY [--without PART_OF_NAME] -- COMPILER FLAG...
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    split = sys.argv.index("--")
    include, *without = sys.argv[1:split]
    command = sys.argv[split + 1 :]
    headers = sorted(p.relative_to(include).as_posix() for p in pathlib.Path(include).rglob("*.hpp"))
    if without:
        headers = [header for header in headers if without[1] not in header]
    if not headers:
        sys.exit(f"no headers in {include}")

    def compiled(header, directory):
        name = header.replace("/", "_")
        source = pathlib.Path(directory, name + ".cpp")
        source.write_text(f"#include <{header}>\n#include <{header}>\n")
        # Into an object file, not -fsyntax-only: that is what ccache can remember. And with a
        # relative name, which is the same next time.
        return subprocess.run(
            [*command, "-Werror", "-O0", "-c", source.name, "-o", name + ".o"],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    failed = []
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(
        os.cpu_count()
    ) as pool:
        for header, result in zip(headers, pool.map(compiled, headers, [directory] * len(headers))):
            print("ok    " if result.returncode == 0 else "FAILED", header, flush=True)
            if result.returncode != 0:
                print(result.stdout)
                failed.append(header)
    if failed:
        sys.exit(f"{len(failed)} of {len(headers)} headers do not compile alone: " + " ".join(failed))
    print(f"{len(headers)} headers compile alone")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compiles all headers behind the macros of other libraries, in macros.hpp beside this file.

The headers of others that pushhub includes come first: some of them do not compile behind these
macros themselves.

usage: macros.py INCLUDE_DIRECTORY [PART_OF_NAME_LEFT_OUT...] -- COMPILER FLAG...
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def main():
    split = sys.argv.index("--")
    include, *left_out = sys.argv[1:split]
    command = sys.argv[split + 1 :]
    root = pathlib.Path(include)
    headers = sorted(root.rglob("*.hpp"))
    headers = [h for h in headers if not any(part in h.as_posix() for part in left_out)]
    if not headers:
        sys.exit(f"no headers in {include}")
    foreign = set()
    for header in headers:
        foreign.update(re.findall(r"^\s*#\s*include\s*<([^>]+)>", header.read_text(encoding="utf-8"),
                                  re.MULTILINE))
    foreign = sorted(f for f in foreign if not f.startswith(("pushhub/", "boost/")))

    lines = ["#include <pushhub/config.hpp>"]
    for name in foreign:
        lines += [f"#if __has_include(<{name}>)", f"#include <{name}>", "#endif"]
    lines.append(f'#include "{pathlib.Path(__file__).with_name("macros.hpp").as_posix()}"')
    lines += [f"#include <{h.relative_to(root).as_posix()}>" for h in headers]
    lines += [f"template class pushhub::PushHub<pushhub::{transport}>;"
              for transport in ("AsioTransport", "LoopbackTransport")]
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory, "behind_macros.cpp")
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        result = subprocess.run([*command, "-Werror", "-O0", "-c", source.name, "-o", "object.o"],
                                cwd=directory, check=False)
    if result.returncode != 0:
        sys.exit("a header does not compile behind the macros of others")
    print(f"{len(headers)} headers compile behind the macros of others")


if __name__ == "__main__":
    main()

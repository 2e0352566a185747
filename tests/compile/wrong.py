#!/usr/bin/env python3
"""Compiles a program that is right, and wrong in ways that must give one readable error each.

The source names the ways and a regular expression for the compiler's one error:

    // wrong MACRO: EXPRESSION

As it is, it must compile; with MACRO defined it must not.

usage: wrong.py SOURCE -- COMPILER FLAG...
"""

import re
import subprocess
import sys


def main():
    split = sys.argv.index("--")
    (source,) = sys.argv[1:split]
    command = sys.argv[split + 1 :]
    with open(source, encoding="utf-8") as file:
        ways = re.findall(r"^// wrong (\w+): (.+)$", file.read(), re.MULTILINE)
    if not ways:
        sys.exit(f"{source} names nothing that is wrong")

    def compiled(*flags):
        return subprocess.run(
            [*command, "-Werror", "-fsyntax-only", *flags, source],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    result = compiled()
    if result.returncode != 0:
        sys.exit(f"{source} has to compile as it is:\n{result.stdout}")

    failed = 0
    for macro, expression in ways:
        result = compiled(f"-D{macro}")
        errors = [line for line in result.stdout.splitlines() if re.search(r"\berror: ", line)]
        if result.returncode == 0:
            why = "it compiles"
        elif len(errors) != 1:
            why = f"{len(errors)} errors instead of one"
        elif not re.search(expression, errors[0]):
            why = f"the error does not match: {expression}"
        else:
            print(f"ok     {macro}: {errors[0]}")
            continue
        print(f"FAILED {macro}: {why}\n{result.stdout}")
        failed += 1
    if failed:
        sys.exit(f"{failed} of {len(ways)} wrong programs were not refused as they should")


if __name__ == "__main__":
    main()

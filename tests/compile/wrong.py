#!/usr/bin/env python3
"""Compiles a program that is right, and wrong in ways that must give one readable error each.

The source names the ways, macros or flags of the compiler, and a regular expression for the
compiler's one error:

    // wrong MACRO: EXPRESSION
    // wrong -FLAG…: EXPRESSION

As it is, it must compile; with MACRO defined or with the flags it must not. With the flags of a line

    // right -FLAG…

it must compile as well.

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
        text = file.read()
    ways = re.findall(r"^// wrong (\w+|-[^:]+): (.+)$", text, re.MULTILINE)
    right = re.findall(r"^// right (-.+)$", text, re.MULTILINE)
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

    for flags in ["", *right]:
        result = compiled(*flags.split())
        if result.returncode != 0:
            sys.exit(f"{source} has to compile with {flags or 'no more flags'}:\n{result.stdout}")
        print(f"ok     {flags or 'as it is'}")

    failed = 0
    for way, expression in ways:
        result = compiled(*(way.split() if way.startswith("-") else [f"-D{way}"]))
        errors = [line for line in result.stdout.splitlines() if re.search(r"\berror: ", line)]
        if result.returncode == 0:
            why = "it compiles"
        elif len(errors) != 1:
            why = f"{len(errors)} errors instead of one"
        elif not re.search(expression, errors[0]):
            why = f"the error does not match: {expression}"
        else:
            print(f"ok     {way}: {errors[0]}")
            continue
        print(f"FAILED {way}: {why}\n{result.stdout}")
        failed += 1
    if failed:
        sys.exit(f"{failed} of {len(ways)} wrong programs were not refused as they should")


if __name__ == "__main__":
    main()

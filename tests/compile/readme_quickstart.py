#!/usr/bin/env python3
"""The first C++ program in the README is the same, to the letter, as the example.

usage: readme_quickstart.py README.md quickstart.cpp
"""

import difflib
import re
import sys


def main():
    readme, example = (open(name, encoding="utf-8").read() for name in sys.argv[1:3])
    blocks = re.findall(r"^```(?:cpp|c\+\+)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    programs = [block for block in blocks if "int main(" in block]
    if not programs:
        sys.exit(f"{sys.argv[1]} shows no program")
    if programs[0].strip() != example.strip():
        difference = difflib.unified_diff(
            programs[0].strip().splitlines(),
            example.strip().splitlines(),
            *sys.argv[1:3],
            lineterm="",
        )
        sys.exit("\n".join(difference))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Checks the documentation against what it speaks of.

- The first program of the README is examples/quickstart.cpp, to the letter.
- Links and pictures lead to files that are there, and their anchors to headings.
- Scripts that a block of shell commands starts with ./ are there and executable.
- Every option of the structs in OPTIONS stands in docs/limits.md with its default, and no other.
- Every block of C++ compiles. How a block is wrapped is said in CONTRIBUTING.md.

usage: docs.py PROJECT -- COMPILER FLAG...
       docs.py --self-test -- COMPILER FLAG...
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

OPTIONS = [
    ("include/pushhub/options.hpp", "Options"),
    ("include/pushhub/json/router.hpp", "RouterOptions"),
    ("include/pushhub/deflate.hpp", "DeflateOptions"),
]

FENCE = re.compile(r"^(?P<mode><!-- code: *(\w+) *-->\n)?(?P<indent> *)```(?P<language>[^\n]*)\n"
                   r"(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


class Block:
    def __init__(self, file, page, match):
        self.file = file
        self.language = match["language"]
        self.text = match["text"]
        self.mode = match[2]
        self.line = page.count("\n", 0, match.start("text")) + 1

    def is_program(self):
        return "int main(" in self.text


def read_pages(project):
    files = [*project.glob("*.md"), *project.glob("docs/**/*.md")]
    return {
        file.relative_to(project).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(files)
    }


def find_blocks(pages):
    return [Block(file, page, match) for file, page in pages.items()
            for match in FENCE.finditer(page)]


# ---- the quickstart ------------------------------------------------------------------------------


def check_quickstart(project, blocks):
    programs = [b for b in blocks if b.file == "README.md" and b.language == "cpp" and b.is_program()]
    if not programs:
        return ["README.md: shows no program"]
    example = (project / "examples/quickstart.cpp").read_text(encoding="utf-8")
    if programs[0].text != example:
        return [f"README.md:{programs[0].line}: the program is not that of examples/quickstart.cpp"]
    return []


# ---- links ---------------------------------------------------------------------------------------


def prose(page):
    """The page without its code, line by line the same."""
    without = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page)
    return re.sub(r"`[^`\n]*`", "", without)


def anchors(page):
    """What a forge makes of the headings."""
    without_blocks = FENCE.sub("", page)
    headings = re.findall(r"^#+ +(.+?) *$", without_blocks, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(project, pages):
    faults = []
    for file, page in pages.items():
        for number, line in enumerate(prose(page).splitlines(), 1):
            for target in re.findall(r"\]\(([^)\s]*)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                found = (project / file).parent / path if path else project / file
                if not found.exists():
                    faults.append(f"{file}:{number}: there is no {target}")
                elif anchor and anchor not in anchors(found.read_text(encoding="utf-8")):
                    faults.append(f"{file}:{number}: {path or file} has no heading #{anchor}")
    return faults


def check_scripts(project, blocks):
    faults = []
    for block in blocks:
        if block.language == "sh":
            for script in re.findall(r"^ *\./(\S+)", block.text, re.MULTILINE):
                if not os.access(project / script, os.X_OK):
                    faults.append(f"{block.file}:{block.line}: ./{script} cannot be executed")
    return faults


# ---- options -------------------------------------------------------------------------------------


def find_options(source, struct):
    """Name and default, as they are written."""
    body = re.search(rf"^struct {struct} {{\n(.*?)^}};$", source, re.MULTILINE | re.DOTALL)
    if not body:
        return {}
    members = re.findall(r"^    (?! )[\w:<>, ]+ (\w+)(?: = ([^;]+)|\{([^;]*)\})?;", body[1], re.MULTILINE)
    return {name: assigned or braced for name, assigned, braced in members}


def spellings(default):
    """The ways in which the page may write a default."""
    if not default:
        return {"none"}
    if default.startswith('"'):
        return {default.strip('"') or "none"}
    time = re.fullmatch(r"std::chrono::(\w+)\((\d+)\)", default)
    if time:
        unit = {"milliseconds": "ms", "seconds": "s", "minutes": "min", "hours": "h"}[time[1]]
        return {f"{time[2]} {unit}"}
    product = re.sub(r"std::(?:size_t|uint64_t)\{(\d+)\}", r"\1", default)
    if re.fullmatch(r"[\d' *]+", product):
        number = 1
        for factor in product.replace("'", "").split("*"):
            number *= int(factor)
        return {str(number), f"{number:,}"} | {
            f"{number // size} {unit}"
            for unit, size in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30))
            if number and number % size == 0
        }
    return {default}


def check_options(project, pages):
    page = pages.get("docs/limits.md", "")
    tables = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    rows = {}
    for section in tables:
        if section.startswith("## Options"):
            rows.update(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", section, re.MULTILINE))

    faults = []
    options = {}
    for header, struct in OPTIONS:
        found = find_options((project / header).read_text(encoding="utf-8"), struct)
        if not found:
            faults.append(f"{header}: has no options in {struct}")
        options.update(found)
    for name, default in options.items():
        if name not in rows:
            faults.append(f"docs/limits.md: does not name the option {name}")
        elif rows[name].strip("`") not in spellings(default):
            faults.append(f"docs/limits.md: the default of {name} is {default}, not {rows[name]}")
    faults += [f"docs/limits.md: there is no option {name}" for name in rows if name not in options]
    return faults


# ---- code ----------------------------------------------------------------------------------------


def fragments_source(blocks):
    """One file for all fragments, each where it can define what it likes."""
    preamble = pathlib.Path(__file__).resolve().parent / "preamble.hpp"
    source = f'#include "{preamble}"\n'
    for number, block in enumerate(blocks):
        before, after = f"namespace block{number} {{\n", "}\n"
        if block.mode is None:
            before += "void statements(DOCS_PARAMETERS);\nvoid statements(DOCS_PARAMETERS) {\n"
            after += "}\n"
        source += f'{before}#line {block.line} "{block.file}"\n{block.text}{after}'
    return source


def check_code(project, blocks, command):
    faults = []
    blocks = [block for block in blocks if block.language in ("cpp", "c++")]
    example = (project / "examples/quickstart.cpp").read_text(encoding="utf-8")
    fragments, sources = [], {}
    for block in blocks:
        where = f"{block.file}:{block.line}"
        if block.mode not in (None, "declarations"):
            faults.append(f"{where}: unknown kind of code: {block.mode}")
        elif not block.is_program():
            fragments.append(block)
        elif block.text != example:  # which the build compiles
            sources[where] = f'#line {block.line} "{block.file}"\n{block.text}'
    if fragments:
        sources[f"{len(fragments)} fragments"] = fragments_source(fragments)

    with tempfile.TemporaryDirectory() as directory:
        source_file = pathlib.Path(directory, "block.cpp")
        for where, source in sources.items():
            source_file.write_text(source, encoding="utf-8")
            result = subprocess.run(
                # What documentation shows is not used any further, and it reuses names.
                [*command, "-Werror", "-Wno-unused", "-Wno-unused-parameter", "-Wno-shadow",
                 "-fsyntax-only", source_file],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            print("ok    " if result.returncode == 0 else "FAILED", "code:", where, flush=True)
            if result.returncode != 0:
                print(result.stdout)
                faults.append(f"{where}: does not compile")
    return faults


def check(project, command):
    pages = read_pages(project)
    blocks = find_blocks(pages)
    faults = []
    for what, found in (
        ("quickstart", check_quickstart(project, blocks)),
        ("links", check_links(project, pages)),
        ("scripts", check_scripts(project, blocks)),
        ("options", check_options(project, pages)),
    ):
        print("FAILED" if found else "ok    ", what)
        faults += found
    return faults + check_code(project, blocks, command)


# ---- does it find what it should? ----------------------------------------------------------------

FAULTY = {
    "examples/quickstart.cpp": "int main() {}\n",
    "include/pushhub/options.hpp": """struct Options {
    std::size_t size = 2 * 1024;
    std::chrono::milliseconds time = std::chrono::seconds(3);
    std::size_t wrong = std::size_t{7} * 1'000;
    std::vector<std::string> list{};
    bool missing = true;
};
""",
    "include/pushhub/json/router.hpp": 'struct RouterOptions {\n    std::string field = "type";\n};\n',
    "include/pushhub/deflate.hpp": "struct DeflateOptions {\n    int level = 6;\n};\n",
    "docs/good.md": "# A heading, with signs\n\n`[no](link)`\n\n```sh\n# comment\n```\n",
    "docs/limits.md": """## Options
| `size` | 2 KiB |
| `time` | 3 s |
| `wrong` | 8,000 |
| `list` | none |
| `field` | `type` |
| `level` | 6 |
| `extra` | 1 |
""",
    "README.md": """[a](docs/good.md) [b](docs/good.md#a-heading-with-signs) [c](https://example.com)
[d](docs/none.md)
![e](docs/none.png)
[f](docs/good.md#no-such-heading)

```sh
./none.sh
```

```cpp
int main() { return 0; }
```

```cpp
const int number = 1;
```

```cpp
noSuchFunction();
```

<!-- code: declarations -->
```cpp
int numberOf();
```

<!-- code: nonsense -->
```cpp
```
""",
}

FOUND = """README.md:11: the program is not that of examples/quickstart.cpp
README.md:2: there is no docs/none.md
README.md:3: there is no docs/none.png
README.md:4: docs/good.md has no heading #no-such-heading
README.md:7: ./none.sh cannot be executed
docs/limits.md: the default of wrong is std::size_t{7} * 1'000, not 8,000
docs/limits.md: does not name the option missing
docs/limits.md: there is no option extra
README.md:29: unknown kind of code: nonsense
3 fragments: does not compile""".splitlines()


def self_test(command):
    with tempfile.TemporaryDirectory() as directory:
        for name, text in FAULTY.items():
            path = pathlib.Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        found = check(pathlib.Path(directory), command)
    if sorted(found) != sorted(FOUND):
        sys.exit("found:\n  " + "\n  ".join(found) + "\nexpected:\n  " + "\n  ".join(FOUND))
    print(f"{len(FOUND)} faults, all found")


def main():
    split = sys.argv.index("--")
    (project,) = sys.argv[1:split]
    command = sys.argv[split + 1 :]
    if project == "--self-test":
        self_test(command)
        return
    faults = check(pathlib.Path(project), command)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()

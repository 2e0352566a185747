#!/usr/bin/env python3
"""Fills in conan-center/ for a release, so that it can be submitted to ConanCenter:

    packaging/conan_center.py ARCHIVE URL HOMEPAGE FOLDER

ARCHIVE is the release's .tar.gz as it is served at URL; FOLDER becomes recipes/pushhub of a copy of
conan-center-index and must not exist."""

import hashlib
import pathlib
import re
import shutil
import sys
import tarfile

TEMPLATE = pathlib.Path(__file__).resolve().parent / "conan-center"


def version_of(archive):
    """The version of the sources in the archive, which lie in one folder as ConanCenter wants it."""
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if name != "pax_global_header"]
        roots = {name.split("/")[0] for name in names}
        if len(roots) != 1:
            sys.exit(f"{archive}: not everything is in one folder: {', '.join(sorted(roots))}")
        root = roots.pop()
        for needed in ("LICENSE", "include/pushhub/version.hpp"):
            if f"{root}/{needed}" not in names:
                sys.exit(f"{archive}: there is no {root}/{needed}")
        text = tar.extractfile(f"{root}/include/pushhub/version.hpp").read().decode()
    return ".".join(re.findall(r"#define PUSHHUB_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    archive, url, homepage, folder = sys.argv[1:]
    version = version_of(archive)
    if f'"{version}":' not in (TEMPLATE / "config.yml").read_text(encoding="utf-8"):
        sys.exit(f"{archive} has version {version}, {TEMPLATE}/config.yml has another")
    values = {"URL": url, "HOMEPAGE": homepage,
              "SHA256": hashlib.sha256(pathlib.Path(archive).read_bytes()).hexdigest()}
    shutil.copytree(TEMPLATE, folder)
    for path in pathlib.Path(folder).glob("all/conan*"):
        text = path.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

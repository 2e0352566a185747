#!/usr/bin/env python3
"""Checks who includes whom: no cycles, layers point one way, dependencies stay in their folder.

usage: include_graph.py INCLUDE_DIRECTORY
       include_graph.py --self-test
"""

import fnmatch
import pathlib
import re
import sys
import tempfile

# From the bottom up. A header includes its own layer and those below. The first pattern that
# matches counts; a header that none matches is an error, so that somebody decides where it belongs.
LAYERS = [
    ("base", ["version.hpp", "config.hpp", "fwd.hpp", "options.hpp", "push_options.hpp",
              "tls_options.hpp", "compression.hpp", "error.hpp", "close_code.hpp",
              "send_result.hpp", "hub_stats.hpp", "log.hpp", "session_id.hpp", "session_data.hpp",
              "detail/*",
              "protocol/utf8.hpp", "protocol/frame_header.hpp", "protocol/masking.hpp",
              "protocol/client_frame.hpp",
              "protocol/close_payload.hpp"]),
    ("frame", ["frame.hpp"]),
    ("http and protocol", ["http/*", "protocol/*", "path_template.hpp"]),
    ("transport", ["transport/*"]),
    ("sessions", ["session.hpp", "registry.hpp", "handshake.hpp"]),
    ("hub", ["push_hub.hpp"]),
    ("umbrella", ["pushhub.hpp"]),
    ("opt-in", ["auth/*", "deflate.hpp", "json/*", "metrics/*"]),
]

# Below the layers' rule: these may include that much and no more.
CEILINGS = {"auth/*": "sessions", "deflate.hpp": "http and protocol", "json/*": "frame",
            "metrics/*": "base"}

# The hub knows Transports by their requirements; one is picked in the umbrella only.
INCLUDED_ONLY_BY = {
    "transport/asio_*": ["pushhub.hpp", "transport/asio_*"],
    "transport/loopback_*": ["pushhub.hpp", "transport/loopback_*"],
}

# Headers of others, and where they may be included.
FOREIGN = {
    r"websocketpp/": ["protocol/*"],
    r"(boost/)?asio(/|\.hpp)": ["transport/asio_*"],
    r"rapidjson/": ["json/*"],
    r"openssl/": ["transport/asio_tls_*"],
    r"zlib\.h": ["deflate.hpp"],
    r"boost/": [],
}


def matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def read(root):
    """Of each header: the pushhub headers and the foreign ones that it includes."""
    graph, foreign = {}, {}
    for path in sorted((root / "pushhub").rglob("*.hpp")):
        name = path.relative_to(root / "pushhub").as_posix()
        included = re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]',
                              path.read_text(encoding="utf-8"), re.MULTILINE)
        graph[name] = [i.removeprefix("pushhub/") for _, i in included if i.startswith("pushhub/")]
        foreign[name] = [(quote, i) for quote, i in included if not i.startswith("pushhub/")]
    return graph, foreign


def cycle(graph):
    """Some cycle as a list of names, or None."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return None
        path.append(name)
        for included in graph.get(name, []):
            if found := visit(included):
                return found
        done.add(path.pop())
        return None

    for name in graph:
        if found := visit(name):
            return found
    return None


def faults(root):
    graph, foreign = read(root)
    names = [name for name, _ in LAYERS]

    def layer(header):
        for level, (_, patterns) in enumerate(LAYERS):
            if matches(header, patterns):
                return level
        return None

    if not graph:
        yield "there are no headers"
    for header, includes in graph.items():
        level = layer(header)
        if level is None:
            yield f"{header} is in no layer: name it in include_graph.py"
            continue
        for included in includes:
            if included not in graph:
                yield f"{header} includes {included}, which does not exist"
                continue
            below = layer(included)
            if below is not None and below > level:
                yield f"{header} ({names[level]}) includes {included} ({names[below]})"
            for pattern, ceiling in CEILINGS.items():
                if (matches(header, [pattern]) and not matches(included, [pattern])
                        and below is not None and below > names.index(ceiling)):
                    yield f"{header} includes {included}: above {ceiling}"
            for pattern, includers in INCLUDED_ONLY_BY.items():
                if matches(included, [pattern]) and not matches(header, includers):
                    yield f"{header} includes {included}: only {', '.join(includers)} may"
        for quote, name in foreign[header]:
            if quote == '"':
                yield f'{header} includes "{name}": write pushhub/... in full'
            for pattern, folders in FOREIGN.items():
                if re.match(pattern, name):
                    if not matches(header, folders):
                        yield f"{header} includes <{name}>: only {', '.join(folders) or 'nobody'} may"
                    break
    if found := cycle(graph):
        yield "cycle: " + " -> ".join(found)


def self_test():
    good = {
        "fwd.hpp": "",
        "protocol/engine.hpp": "#include <pushhub/fwd.hpp>\n#include <websocketpp/sha1/sha1.hpp>",
        "transport/transport.hpp": "#include <pushhub/protocol/engine.hpp>",
        "transport/asio_transport.hpp": "#include <asio/post.hpp>\n"
                                        "#include <pushhub/transport/transport.hpp>",
        "push_hub.hpp": "#include <pushhub/transport/transport.hpp>",
        "pushhub.hpp": "#include <pushhub/push_hub.hpp>\n"
                       "#include <pushhub/transport/asio_transport.hpp>",
        "json/message.hpp": '#include <pushhub/fwd.hpp>\n#include <rapidjson/document.h>',
    }
    bad = [
        ("cycle: ", {"fwd.hpp": "#include <pushhub/error.hpp>",
                     "error.hpp": '  # include "pushhub/fwd.hpp"'}),
        ("cycle: fwd.hpp -> fwd.hpp", {"fwd.hpp": "#include <pushhub/fwd.hpp>"}),
        ("fwd.hpp (base) includes push_hub.hpp (hub)",
         {"fwd.hpp": "#include <pushhub/push_hub.hpp>"}),
        ("includes json/message.hpp", {"pushhub.hpp": "#include <pushhub/json/message.hpp>"}),
        ("above frame", {"json/message.hpp": "#include <pushhub/push_hub.hpp>"}),
        ("only pushhub.hpp", {"push_hub.hpp": "#include <pushhub/transport/asio_transport.hpp>"}),
        ("<websocketpp/frame.hpp>", {"fwd.hpp": "#include <websocketpp/frame.hpp>"}),
        ("<asio.hpp>", {"transport/transport.hpp": "#include <asio.hpp>"}),
        ("<boost/asio/post.hpp>", {"push_hub.hpp": "#include <boost/asio/post.hpp>"}),
        ("<boost/any.hpp>", {"push_hub.hpp": "#include <boost/any.hpp>"}),
        ("<rapidjson/document.h>", {"push_hub.hpp": "#include <rapidjson/document.h>"}),
        ("does not exist", {"fwd.hpp": "#include <pushhub/gone.hpp>"}),
        ("in no layer", {"surprise.hpp": ""}),
        ("in full", {"fwd.hpp": '#include "error.hpp"'}),
    ]

    def found(headers):
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            for name, text in headers.items():
                path = root / "pushhub" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text + "\n", encoding="utf-8")
            return list(faults(root))

    assert found(good) == [], found(good)
    assert found({}) == ["there are no headers"], found({})
    for expected, change in bad:
        seen = found({**good, **change})
        assert any(expected in fault for fault in seen), (expected, seen)
    print(f"{len(bad)} faults found, as they should be")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    (root,) = sys.argv[1:]
    graph, _ = read(pathlib.Path(root))
    found = list(faults(pathlib.Path(root)))
    for fault in found:
        print(fault)
    if found:
        sys.exit(f"{len(found)} faults in the include graph")
    print(f"{len(graph)} headers, {sum(map(len, graph.values()))} includes, no cycle")


if __name__ == "__main__":
    main()

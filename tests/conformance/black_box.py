"""The echo program as a black box, against RFC 6455 and RFC 7692: what any client may send it, and
what has to come back, frame by frame. Prints every failure and a summary.

    PUSHHUB_BIN_DIR=build/dev/bin python3 tests/conformance/black_box.py [--list] [--over plain]
        [--over deflate] [--over tls] [--full] [PATTERN...]

A PATTERN (regular expression) picks cases by their name, which starts with the section of the RFC;
those of RFC 7692 with 7692. Each case is run over TCP, with compression agreed on, and over TLS; of
the long ones only a part, unless --full is given, which takes a quarter of an hour.
"""

import argparse
import asyncio
import functools
import random
import re
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

sys.dont_write_bytecode = True

from wire import (ACCEPT, BINARY, CLOSE, CONT, DEFLATE, OVER, PING, PONG, REQUEST, RSV1, TARGET,
                  TEXT, Reader, Server, Wrong, close, deflated, fragments, frame, header, mask,
                  offering, squeezed)

DEADLINE = 30.0  # of a case, seconds; ten times that with --full
PARALLEL = 24
LIMIT = 16 * 1024 * 1024
MIB = 1024 * 1024


@dataclass
class Case:
    name: str
    sends: list  # bytes, one write each; or a number: so many frames must have come before the next
    expects: list = field(default_factory=list)  # (opcode, payload) in order
    # How it ends. None: the client closes with 1000, and gets that back. Otherwise the codes that
    # the server's close frame may have; NO_CODE is one without.
    closes: tuple = None
    reason: bytes = None  # and its reason, if that matters
    cut: int = 0  # writes of that many bytes; 0: as `sends` says
    unordered: bool = False  # pongs may overtake messages (5.5.2 wants them "as soon as practical")
    heavy: bool = False  # over TCP only, unless all is wanted
    over: tuple = OVER
    offer: str = DEFLATE  # with compression
    compressed: bool = False  # at least one echo must be
    build: object = None  # fills `sends` and `expects`, when it is the case's turn
    count: int = 1000  # messages of those


NO_CODE = -1
FAILS = (1002,)  # the server fails the connection: 7.1.7
cases = []


def add(name, sends, expects=(), **more):
    cases.append(Case(name, list(sends), list(expects), **more))


def each_way(name, sends, expects=(), **more):
    """In one write, a write per frame, and byte by byte."""
    sends = list(sends)
    add(f"{name} [together]", [b"".join(s for s in sends if isinstance(s, bytes))], expects, **more)
    if len(sends) > 1:
        add(f"{name} [apart]", sends, expects, **more)
    add(f"{name} [bytes]", sends, expects, cut=1, **more)


# ---- 5.2, 5.6: sizes -------------------------------------------------------------------------


def pattern(opcode, size):
    if opcode == TEXT:
        return (b"Rose: \xe2\x9a\x98 " * (size // 10 + 1))[: size - size % 10] + b"x" * (size % 10)
    return (bytes(range(251)) * (size // 251 + 1))[:size]


for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
    for size in (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 129, 255, 256, 65534, 65535, 65536,
                 65537, 70000):
        data = pattern(opcode, size)
        add(f"5.6 {kind} of {size} bytes", [frame(opcode, data)], [(opcode, data)])
    for size, cut in ((0, 1), (125, 1), (126, 1), (127, 1), (128, 1), (65535, 997), (65536, 997),
                      (65536, 4093)):
        data = pattern(opcode, size)
        add(f"5.6 {kind} of {size} bytes, written {cut} at a time", [frame(opcode, data)],
            [(opcode, data)], cut=cut)
    for count in (2, 10, 100):
        data = pattern(opcode, 100)
        add(f"5.6 {count} {kind} messages at once", [frame(opcode, data) * count],
            [(opcode, data)] * count)

for form, length in ((2, 0), (2, 1), (2, 125), (8, 0), (8, 125), (8, 126), (8, 65535)):
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        add(f"5.2 {kind} of {length} bytes with a length of {form} bytes is not minimal",
            [frame(opcode, b"x" * length, form=form)], closes=FAILS)
add("5.2 ping with a length of 2 bytes is not minimal", [frame(PING, b"x" * 125, form=2)],
    closes=FAILS)
for length in (1 << 63, (1 << 64) - 1, (1 << 63) + 5):
    add(f"5.2 the length {length:#x} has its top bit set", [header(BINARY, length)],
        closes=(1002, 1009))
for length in ((1 << 63) - 1, 1 << 62, 1 << 32, (1 << 31) + 1, LIMIT + 1):
    add(f"7.4.1 a length of {length:#x} is too big", [header(BINARY, length)], closes=(1009,))
half = LIMIT // 2 + 1
add("7.4.1 fragments that are too big together",
    [frame(BINARY, b"x" * half, fin=False), header(CONT, half)], closes=(1009,), heavy=True)
add("7.4.1 fragments whose lengths overflow together",
    [frame(BINARY, b"x", fin=False), header(CONT, (1 << 63) - 1)], closes=(1009,))

# ---- 5.1, 5.3: masks -------------------------------------------------------------------------

for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
    for payload in (b"", b"\x03\xe8"):
        add(f"5.1 opcode {opcode} of {len(payload)} bytes without a mask",
            [frame(opcode, payload, masked=False)], closes=FAILS)
add("5.1 a second message without a mask", [frame(TEXT, b"one"), frame(TEXT, b"two", masked=False)],
    [(TEXT, b"one")], closes=FAILS)
add("5.1 a second fragment without a mask",
    [frame(TEXT, b"one", fin=False), frame(CONT, b"two", masked=False)], closes=FAILS)
for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"abcd"):
    for size in range(10):
        data = b"0123456789"[:size]
        raw = bytes([0x81, 0x80 | size]) + key + mask(data, key)
        add(f"5.3 key {key.hex()} over {size} bytes", [raw], [(TEXT, data)])

# ---- 5.2: reserved bits and opcodes ----------------------------------------------------------

for rsv in range(1, 8):
    # With compression RSV1 alone says that a message is compressed.
    over = ("plain", "tls") if rsv == RSV1 else OVER
    for opcode, payload in ((TEXT, b"hello"), (BINARY, b"hello"), (PING, b"hello"),
                            (PONG, b"hello"), (CLOSE, b"\x03\xe8"), (TEXT, b"")):
        add(f"5.2 RSV {rsv} on opcode {opcode}, {len(payload)} bytes",
            [frame(opcode, payload, rsv=rsv)], closes=FAILS,
            over=over if opcode in (TEXT, BINARY) else OVER)
    each_way(f"5.2 RSV {rsv} behind a good message",
             [frame(TEXT, b"good"), frame(TEXT, b"bad", rsv=rsv), frame(PING)], [(TEXT, b"good")],
             closes=FAILS, over=over)
    add(f"5.2 RSV {rsv} on a continuation",
        [frame(TEXT, b"a", fin=False), frame(CONT, b"b", rsv=rsv)], closes=FAILS)
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    for payload in (b"", b"hello"):
        add(f"5.2 reserved opcode {opcode}, {len(payload)} bytes", [frame(opcode, payload)],
            closes=FAILS)
    each_way(f"5.2 reserved opcode {opcode} behind a good message",
             [frame(TEXT, b"good"), frame(opcode, b"bad"), frame(PING)], [(TEXT, b"good")],
             closes=FAILS)
    add(f"5.2 reserved opcode {opcode} between fragments",
        [frame(TEXT, b"a", fin=False), frame(opcode), frame(CONT, b"b")], closes=FAILS)

# ---- 5.5.2, 5.5.3: pings and pongs -----------------------------------------------------------

for payload in (b"", b"hello", b"\0\xff\xfe\xfd\xfc\xfb\0\xff", b"x" * 124, b"\xfe" * 125):
    add(f"5.5.2 ping of {len(payload)} bytes", [frame(PING, payload)], [(PONG, payload)])
    add(f"5.5.2 ping of {len(payload)} bytes, byte by byte", [frame(PING, payload)],
        [(PONG, payload)], cut=1)
    add(f"5.5.3 pong of {len(payload)} bytes nobody asked for", [frame(PONG, payload)])
for opcode in (PING, PONG, CLOSE):
    for size in (126, 127, 1000, 65536):
        add(f"5.5 opcode {opcode} of {size} bytes is too long", [header(opcode, size)],
            closes=FAILS)
    add(f"5.5 opcode {opcode} must not be fragmented",
        [frame(opcode, b"\x03\xe8", fin=False), frame(CONT, b"")], closes=FAILS)
    add(f"5.5 opcode {opcode}, empty, must not be fragmented", [frame(opcode, fin=False)],
        closes=FAILS)
each_way("5.5.3 a pong, then a ping", [frame(PONG, b"unasked"), frame(PING, b"asked")],
         [(PONG, b"asked")])
pings = [frame(PING, b"ping %d" % i) for i in range(10)]
each_way("5.5.2 ten pings in a row", pings, [(PONG, b"ping %d" % i) for i in range(10)])
each_way("5.5.2 pings between messages",
         [frame(TEXT, b"a"), frame(PING, b"1"), frame(TEXT, b"b"), frame(PING, b"2")],
         [(TEXT, b"a"), (TEXT, b"b"), (PONG, b"1"), (PONG, b"2")], unordered=True)

# ---- 5.4: fragments --------------------------------------------------------------------------

for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
    each_way(f"5.4 {kind} in two", fragments(opcode, b"fragment", 4), [(opcode, b"fragment")])
    each_way(f"5.4 {kind} in single bytes", fragments(opcode, b"fragment", 1),
             [(opcode, b"fragment")])
    each_way(f"5.4 {kind} with empty fragments",
             [frame(opcode, fin=False), frame(CONT, b"middle", fin=False), frame(CONT, fin=False),
              frame(CONT)], [(opcode, b"middle")])
    each_way(f"5.4 {kind} of empty fragments only",
             [frame(opcode, fin=False), frame(CONT, fin=False), frame(CONT)], [(opcode, b"")])
    each_way(f"5.4 {kind} with a ping between its fragments",
             [frame(opcode, b"one", fin=False), frame(PING, b"ping"), frame(CONT, b"two")],
             [(PONG, b"ping"), (opcode, b"onetwo")])
    each_way(f"5.4 {kind} with pongs between its fragments",
             [frame(opcode, b"1", fin=False), frame(PONG), frame(CONT, b"2", fin=False),
              frame(PONG, b"x" * 125), frame(CONT, b"3")], [(opcode, b"123")])
    each_way(f"5.4 {kind} with two pings between its five fragments",
             [frame(opcode, b"1", fin=False), frame(CONT, b"2", fin=False), frame(PING, b"a"),
              frame(CONT, b"3", fin=False), frame(CONT, b"4", fin=False), frame(PING, b"b"),
              frame(CONT, b"5")], [(PONG, b"a"), (PONG, b"b"), (opcode, b"12345")])
    each_way(f"5.4 a new message before the {kind} has ended",
             [frame(opcode, b"1", fin=False), frame(opcode, b"2")], closes=FAILS)
    each_way(f"5.4 a new fragmented message before the {kind} has ended",
             [frame(opcode, b"1", fin=False), frame(TEXT, b"2", fin=False), frame(CONT, b"3")],
             closes=FAILS)
    add(f"5.4 {kind} in 2000 fragments", [b"".join(fragments(opcode, b"x" * 2000, 1))],
        [(opcode, b"x" * 2000)])
    for size in (1, 125, 126, 1300, 65535):
        data = pattern(opcode, 65536)
        add(f"5.4 {kind} of 65536 bytes in fragments of {size}",
            [b"".join(fragments(opcode, data, size))], [(opcode, data)])
for fin in (True, False):
    for payload in (b"", b"hello"):
        each_way(f"5.4 a continuation of nothing, FIN {fin:d}, {len(payload)} bytes",
                 [frame(CONT, payload, fin=fin), frame(TEXT, b"more")], closes=FAILS)
    each_way(f"5.4 a continuation behind a whole message, FIN {fin:d}",
             fragments(TEXT, b"good", 2) + [frame(CONT, b"bad", fin=fin), frame(TEXT, b"more")],
             [(TEXT, b"good")], closes=FAILS)

# ---- 8.1: UTF-8 ------------------------------------------------------------------------------

GOOD_TEXT = {
    "greek": "κόσμε".encode(),
    "mixed": "Hello-µ@ßöäüàá-UTF-8!!".encode(),
    "smallest of 1": b"\x00", "smallest of 2": b"\xc2\x80", "smallest of 3": b"\xe0\xa0\x80",
    "smallest of 4": b"\xf0\x90\x80\x80",
    "largest of 1": b"\x7f", "largest of 2": b"\xdf\xbf", "largest of 3": b"\xef\xbf\xbf",
    "largest of 4": b"\xf4\x8f\xbf\xbf",
    "below the surrogates": b"\xed\x9f\xbf", "above the surrogates": b"\xee\x80\x80",
    "replacement character": b"\xef\xbf\xbd", "U+FFFE": b"\xef\xbf\xbe",
    "U+FDD0": b"\xef\xb7\x90", "byte order mark": b"\xef\xbb\xbf",
    **{f"U+{plane:X}FFFE": chr(plane << 16 | 0xFFFE).encode() for plane in range(1, 17)},
    **{f"U+{plane:X}FFFF": chr(plane << 16 | 0xFFFF).encode() for plane in range(1, 17)},
}
BAD_TEXT = {
    **{f"lone tail {byte:02x}": bytes([byte]) for byte in (0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF)},
    **{f"tails {n}": b"\x80\xbf" * n for n in (1, 2, 3)},
    "all tails": bytes(range(0x80, 0xC0)),
    **{f"never a byte {byte:02x}": bytes([byte]) + b"\x80\x80\x80"
       for byte in (0xC0, 0xC1, 0xF5, 0xF6, 0xF7, 0xF8, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF)},
    **{f"lead {byte:02x} and a blank": bytes([byte]) + b" "
       for byte in (0xC2, 0xD0, 0xDF, 0xE0, 0xE8, 0xEF, 0xF0, 0xF2, 0xF4)},
    "two of three": b"\xe0\xa0 ", "two of four": b"\xf0\x90 ", "three of four": b"\xf0\x90\x80 ",
    "overlong slash of 2": b"\xc0\xaf", "overlong slash of 3": b"\xe0\x80\xaf",
    "overlong slash of 4": b"\xf0\x80\x80\xaf", "overlong slash of 5": b"\xf8\x80\x80\x80\xaf",
    "overlong slash of 6": b"\xfc\x80\x80\x80\x80\xaf",
    "largest overlong of 2": b"\xc1\xbf", "largest overlong of 3": b"\xe0\x9f\xbf",
    "largest overlong of 4": b"\xf0\x8f\xbf\xbf", "overlong zero of 2": b"\xc0\x80",
    "overlong zero of 3": b"\xe0\x80\x80", "overlong zero of 4": b"\xf0\x80\x80\x80",
    **{f"surrogate {name}": text for name, text in (
        ("d800", b"\xed\xa0\x80"), ("db7f", b"\xed\xad\xbf"), ("db80", b"\xed\xae\x80"),
        ("dbff", b"\xed\xaf\xbf"), ("dc00", b"\xed\xb0\x80"), ("df80", b"\xed\xbe\x80"),
        ("dfff", b"\xed\xbf\xbf"), ("pair d800 dc00", b"\xed\xa0\x80\xed\xb0\x80"),
        ("pair dbff dfff", b"\xed\xaf\xbf\xed\xbf\xbf"))},
    "above U+10FFFF": b"\xf4\x90\x80\x80", "U+1FFFFF": b"\xf7\xbf\xbf\xbf",
    "five bytes": b"\xf8\x88\x80\x80\x80", "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "surrogate in a word": "κόσμε".encode() + b"\xed\xa0\x80" + b"edited",
    "too large in a word": "κόσμε".encode() + b"\xf4\x90\x80\x80" + b"edited",
}
CUT_SHORT = {"1 of 2": b"\xce", "1 of 3": b"\xe2", "2 of 3": b"\xe2\x9a", "1 of 4": b"\xf0",
             "2 of 4": b"\xf0\x9f", "3 of 4": b"\xf0\x9f\x91", "a word less a byte":
             "κόσμε".encode()[:-1]}

for name, text in GOOD_TEXT.items():
    add(f"8.1 text is UTF-8: {name}", [frame(TEXT, text)], [(TEXT, text)])
    add(f"8.1 text is UTF-8, a fragment per byte: {name}", fragments(TEXT, text, 1), [(TEXT, text)])
for name, text in BAD_TEXT.items():
    add(f"8.1 not UTF-8: {name}", [frame(TEXT, text)], closes=(1007,))
    add(f"8.1 not UTF-8, a fragment per byte: {name}", [b"".join(fragments(TEXT, text, 1))],
        closes=(1007,))
    # Fails as soon as it can be known, with the rest of frame and message still to come.
    add(f"8.1 not UTF-8, and known before the frame has ended: {name}",
        [header(TEXT, len(text) + 100) + mask(b"ab.." + text)], closes=(1007,))
    add(f"8.1 not UTF-8 in a binary message is nobody's business: {name}", [frame(BINARY, text)],
        [(BINARY, text)])
for name, text in CUT_SHORT.items():
    add(f"8.1 ends in a character: {name}", [frame(TEXT, text)], closes=(1007,))
    each_way(f"8.1 ends in a character, in fragments: {name}",
             [frame(TEXT, b"ab", fin=False), frame(CONT, text)], closes=(1007,))
    each_way(f"8.1 ends in a character, with an empty last fragment: {name}",
             [frame(TEXT, text, fin=False), frame(CONT)], closes=(1007,))
    add(f"8.1 a fragment may end in a character: {name}", [frame(TEXT, text, fin=False),
        frame(PING, b"alive")], [(PONG, b"alive")])
split = "κόσμε👍".encode()
for at in range(1, len(split)):
    each_way(f"8.1 fragments cut at {at}",
             [frame(TEXT, split[:at], fin=False), frame(CONT, split[at:])], [(TEXT, split)])
    add(f"8.1 fragments cut at {at} with a ping in the middle",
        [frame(TEXT, split[:at], fin=False), frame(PING), frame(CONT, split[at:])],
        [(PONG, b""), (TEXT, split)])
add("8.1 the state of one message does not leak into the next",
    fragments(TEXT, split, 3) + [frame(BINARY, b"\xf0\x9f")] + fragments(TEXT, split, 2),
    [(TEXT, split), (BINARY, b"\xf0\x9f"), (TEXT, split)])

# ---- 5.5.1, 7: closing -----------------------------------------------------------------------

for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
             4000, 4999):
    each_way(f"7.4 close with {code}", [close(code)], closes=(code,))
    add(f"7.4 close with {code} and a reason", [close(code, "grüß".encode())], closes=(code,))
for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 1999, 2000, 2999, 5000, 10000,
             65535):
    each_way(f"7.4 close with {code} is a violation", [close(code)], closes=FAILS)
    add(f"7.4 close with {code} and a reason is a violation", [close(code, b"why")], closes=FAILS)
each_way("5.5.1 close without a code", [frame(CLOSE)], closes=(NO_CODE,))
each_way("5.5.1 close of one byte", [frame(CLOSE, b"\x03")], closes=FAILS)
for reason in (b"", b"x", b"x" * 122, b"x" * 123, "€".encode() * 40):
    add(f"5.5.1 a reason of {len(reason)} bytes", [close(1000, reason)], closes=(1000,))
for reason in (b"x" * 124, b"x" * 200):
    each_way(f"5.5.1 a reason of {len(reason)} bytes is too long", [close(1000, reason)],
             closes=FAILS)
for name, text in list(BAD_TEXT.items()) + list(CUT_SHORT.items()):
    if len(text) <= 123:
        add(f"5.5.1 a reason that is not UTF-8: {name}", [close(1000, text)], closes=(1007,))
each_way("5.5.1 a message, then close", [frame(TEXT, b"last words"), close()],
         [(TEXT, b"last words")], closes=(1000,))
each_way("5.5.1 ten messages, then close", [frame(TEXT, b"%d" % i) for i in range(10)] + [close()],
         [(TEXT, b"%d" % i) for i in range(10)], closes=(1000,))
each_way("5.5.1 a ping, then close", [frame(PING, b"ping"), close()], [(PONG, b"ping")],
         closes=(1000,))
for name, after in (("a close", close(1001)), ("a ping", frame(PING)),
                    ("a text", frame(TEXT, b"x")), ("a violation", frame(3)),
                    ("garbage", b"\xff" * 50)):
    each_way(f"5.5.1 {name} behind close", [close(), after], closes=(1000,))
each_way("5.5.1 close in the middle of a message",
         [frame(TEXT, b"frag", fin=False), close(), frame(CONT, b"ment")], closes=(1000,))
each_way("5.5.1 close between the bytes of a character",
         [frame(TEXT, b"\xe2\x9a", fin=False), close(4000)], closes=(4000,))
for name, after in (("", b""), (", then a ping", frame(PING))):
    add(f"5.5.1 256 KiB, then close{name}", [frame(TEXT, b"x" * 262144), close(), after],
        [(TEXT, b"x" * 262144)], closes=(1000,))
for name, bad in (("opcode", frame(3)), ("mask", frame(TEXT, b"x", masked=False)),
                  ("UTF-8", frame(TEXT, b"\xff"))):
    each_way(f"7.1.7 a wrong {name} behind messages",
             [frame(TEXT, b"one"), frame(PING, b"p"), frame(TEXT, b"two"), bad, frame(TEXT, b"no")],
             [(TEXT, b"one"), (PONG, b"p"), (TEXT, b"two")], unordered=True,
             closes=(1007 if name == "UTF-8" else 1002,))

# ---- 5, 6: sizes and numbers of work ---------------------------------------------------------

for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
    for size in (65536, 262144, MIB, 4 * MIB, 8 * MIB, 16 * MIB):
        data = pattern(opcode, size)
        add(f"6 {kind} of {size} bytes", [frame(opcode, data)], [(opcode, data)], heavy=True)
    for size in (64, 256, 1024, 4096, 16384, 65536, 262144, MIB, 4 * MIB):
        data = pattern(opcode, 4 * MIB)
        add(f"6 {kind} of 4 MiB in fragments of {size}", [b"".join(fragments(opcode, data, size))],
            [(opcode, data)], heavy=True)
    data = pattern(opcode, 16 * MIB)
    add(f"6 {kind} of 16 MiB in fragments of 64 KiB", [b"".join(fragments(opcode, data, 65536))],
        [(opcode, data)], heavy=True)
    for cut in (64, 128, 256, 512, 1024, 2048):
        data = pattern(opcode, MIB)
        add(f"6 {kind} of 1 MiB written {cut} at a time", [frame(opcode, data)], [(opcode, data)],
            cut=cut, heavy=True)
    for size in (0, 16, 64, 256, 1024, 4096):
        data = pattern(opcode, size)
        add(f"6 1000 {kind} messages of {size} bytes", [frame(opcode, data)] * 1000,
            [(opcode, data)] * 1000, heavy=True)
        add(f"6 100 {kind} messages of {size} bytes, one after the other's echo",
            [part for i in range(100) for part in (frame(opcode, data), i + 1)],
            [(opcode, data)] * 100)

# ---- conversations that were thought up by chance --------------------------------------------

VIOLATIONS = (
    (frame(3), 1002), (frame(11, b"x"), 1002), (frame(TEXT, b"x", masked=False), 1002),
    (frame(TEXT, b"x", rsv=1), 1002), (frame(PING, fin=False), 1002), (header(PING, 126), 1002),
    (frame(CLOSE, b"\x03"), 1002), (close(1005), 1002), (close(1000, b"\xff"), 1007),
    (frame(BINARY, b"x", form=8), 1002), (header(BINARY, LIMIT + 1), 1009), (close(4999), 4999),
)


def chance(seed):
    """Messages in any number of fragments with control frames between them, a violation or a close
    at the end of most, and writes that end anywhere."""
    dice = random.Random(seed)
    data, expects = b"", []
    bad = dice.choice((None, *VIOLATIONS))
    for number in range(dice.randrange(1, 12)):
        opcode = dice.choice((TEXT, BINARY))
        text = "".join(dice.choice("ab €ü👍\0") for _ in range(dice.choice((0, 1, 20, 130, 3000))))
        payload = text.encode() if opcode == TEXT else dice.randbytes(len(text))
        pieces = [0, len(payload)]
        pieces += (dice.randrange(len(payload) + 1) for _ in range(dice.choice((0, 0, 1, 5))))
        pieces.sort()
        for i in range(len(pieces) - 1):
            if i and dice.random() < 0.3:
                control = dice.randbytes(dice.randrange(126))
                kind = dice.choice((PING, PONG))
                data += frame(kind, control)
                expects += [(PONG, control)] if kind == PING else []
            data += frame(CONT if i else opcode, payload[pieces[i] : pieces[i + 1]],
                          fin=i == len(pieces) - 2)
        expects.append((opcode, payload))
    if bad:
        data += bad[0] + dice.randbytes(dice.randrange(40))
    cuts = sorted(dice.randrange(len(data)) for _ in range(dice.choice((0, 3, 50))))
    writes = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
    add(f"5 a conversation by chance, {seed}", writes, expects, unordered=True,
        closes=(bad[1],) if bad else None)


for seed in range(80):
    chance(seed)

# ---- RFC 7692: compressed messages -----------------------------------------------------------

HELLO = bytes.fromhex("f248cdc9c90700")


def deflate(name, sends, expects=(), **more):
    """Over a session that has agreed on compression."""
    each_way(f"7692 {name}", sends, expects, over=("deflate",), **more)


for name, data, text in (
        ("7.2.3.1 one block", HELLO, b"Hello"),
        ("7.2.3.3 a block without compression", bytes.fromhex("000500faff48656c6c6f00"), b"Hello"),
        ("7.2.3.4 BFINAL", bytes.fromhex("f348cdc9c9070000"), b"Hello"),
        ("7.2.3.5 two blocks", bytes.fromhex("f24805000000ffffcac9c90700"), b"Hello"),
        ("7.2.3.6 an empty message", b"\0", b""), ("7.2.2 no byte at all", b"", b"")):
    for opcode in (TEXT, BINARY):
        deflate(f"{name}, opcode {opcode}", squeezed(opcode, data), [(opcode, text)])
        deflate(f"{name}, opcode {opcode}, a fragment per byte", squeezed(opcode, data, 1),
                [(opcode, text)])
first, rest = squeezed(TEXT, HELLO, 4)
deflate("6 empty fragments", [frame(TEXT, fin=False, rsv=RSV1), frame(CONT, fin=False),
                              frame(CONT, HELLO, fin=False), frame(CONT)], [(TEXT, b"Hello")])
deflate("6 control frames between fragments", [first, frame(PING, b"p"), frame(PONG), rest],
        [(PONG, b"p"), (TEXT, b"Hello")])
deflate("6 not compressed, compressed, not compressed",
        [frame(BINARY, HELLO), *squeezed(BINARY, HELLO), frame(TEXT, b"plain")],
        [(BINARY, HELLO), (BINARY, b"Hello"), (TEXT, b"plain")])
deflate("6 a message between the fragments", [first, frame(TEXT, b"x"), rest], closes=FAILS)
deflate("6 a compressed message between the fragments", [first, *squeezed(TEXT, HELLO), rest],
        closes=FAILS)
deflate("6 close between the fragments", [first, close(4000), rest], closes=(4000,))
for rsv in (1, 2, RSV1, 5, 6, 7):
    deflate(f"6.1 RSV {rsv} on a later fragment", [first, frame(CONT, HELLO[4:], rsv=rsv)],
            closes=FAILS)
    deflate(f"6.1 RSV {rsv} on a later fragment of what is not compressed",
            [frame(TEXT, b"a", fin=False), frame(CONT, HELLO, rsv=rsv)], closes=FAILS)
    for opcode, payload in ((PING, b""), (PONG, b"x"), (CLOSE, b"\x03\xe8"), (CONT, HELLO)):
        deflate(f"6.1 RSV {rsv} on opcode {opcode}", [frame(opcode, payload, rsv=rsv)],
                closes=FAILS)
        deflate(f"6.1 RSV {rsv} on opcode {opcode}, between the fragments",
                [first, frame(opcode, payload, rsv=rsv), rest], closes=FAILS)
deflate("7.2.3.2 a message refers to the one before", squeezed(TEXT, HELLO)
        + squeezed(TEXT, bytes.fromhex("f200110000")), [(TEXT, b"Hello")], closes=(1007,))
for name, data in (("kind of block", b"\x06"), ("length of a block", b"\0\5\0\0\0"),
                   ("distance", bytes.fromhex("f2001100")), ("table of codes", b"\xfc" + b"\xff" * 9),
                   ("byte behind BFINAL", bytes.fromhex("f348cdc9c9070006"))):
    deflate(f"7.2.2 a wrong {name}", squeezed(BINARY, data), closes=(1007,))
    deflate(f"7.2.2 a wrong {name}, known at once", [frame(BINARY, data, fin=False, rsv=RSV1)],
            closes=(1007,))
    if name != "distance":  # which reaches back to the "Hello" then
        deflate(f"7.2.2 a wrong {name} in the middle",
                squeezed(BINARY, HELLO + b"\0\0\xff\xff" + data), closes=(1007,))
for size in range(1, 6):
    deflate(f"7.2.2 a message that is cut after {size} bytes", squeezed(TEXT, HELLO[:size]),
            closes=(1007,))
for name, text in GOOD_TEXT.items():
    deflate(f"8.1 text is UTF-8: {name}", squeezed(TEXT, deflated(text)), [(TEXT, text)])
for name, text in BAD_TEXT.items():
    deflate(f"8.1 not UTF-8: {name}", squeezed(TEXT, deflated(text)), closes=(1007,))
    deflate(f"8.1 not UTF-8, known before the message has ended: {name}",
            [frame(TEXT, deflated(text) + b"\0\0\xff\xff", fin=False, rsv=RSV1)], closes=(1007,))
for name, text in CUT_SHORT.items():
    deflate(f"8.1 ends in a character: {name}", squeezed(TEXT, deflated(text)), closes=(1007,))
    deflate(f"8.1 ends in a character, with an empty last fragment: {name}",
            [frame(TEXT, deflated(text), fin=False, rsv=RSV1), frame(CONT)], closes=(1007,))
zeros = bytes(LIMIT)
bomb = deflated(zeros * 4)
for name, size in (("", None), (" in fragments", 1000)):
    add(f"7692 8 the largest message{name}", squeezed(BINARY, deflated(zeros), size),
        [(BINARY, zeros)], over=("deflate",), compressed=True)
    add(f"7692 8 a byte more than the largest message{name}",
        squeezed(BINARY, deflated(zeros + b"x"), size), closes=(1009,), over=("deflate",))
    add(f"7692 8 a bomb of 64 MiB{name}", squeezed(BINARY, bomb, size),
        closes=(1009,), over=("deflate",))

# Data of several kinds and sizes, as it is found: a round trip for each message.
SIZES = [(16, 0), (64, 0), (256, 0), (1024, 0), (4096, 0), (8192, 0), (16384, 0), (32768, 0),
         (65536, 0), (131072, 0), (8192, 256), (16384, 256), (32768, 256), (65536, 256),
         (131072, 256), (131072, 1024), (131072, 4096), (131072, 32768)]
WORDS = "habe nun ach philosophie juristerei und medizin durchaus studiert mit heißem bemühn".split()
DATA_SIZE = 400_000


KINDS = ("prose", "JSON", "HTML", "picture", "noise")


@functools.lru_cache(maxsize=None)
def corpus(kind):
    dice = random.Random(7692)
    number = dice.randrange
    if kind == "picture":
        return bytes(100 + i % 512 // 5 + i // 10240 + number(4) for i in range(DATA_SIZE))
    make = {
        "prose": lambda: dice.choice(WORDS).encode() + b" ",
        "JSON": lambda: b'{"id":%d,"user":"%04d","tags":["a","b"],"on":true},' % (
            number(10**6), number(100)),
        "HTML": lambda: b'<li class="item"><a href="/item/%d">%d &amp; more</a></li>\n' % (
            number(1000), number(1000)),
        "noise": lambda: dice.randbytes(1000),
    }[kind]
    data = bytearray()
    while len(data) < DATA_SIZE:
        data += make()
    return bytes(data)


@functools.lru_cache(maxsize=64)
def messages(kind, size, bits):
    """A few of them, with their compressed form."""
    data = corpus(kind)
    starts = range(0, min(20 * size, DATA_SIZE - size + 1), size)
    return [(data[at : at + size], deflated(data[at : at + size], bits=bits)) for at in starts]


def exchange(name, kind, size, fragment, offer=DEFLATE, bits=15, compressed=True):
    def build(case):
        # Prose has characters of two bytes, which a message may cut.
        opcode = TEXT if kind in ("JSON", "HTML") else BINARY
        chosen = messages(kind, size, bits)
        for i in range(case.count):
            payload, data = chosen[i % len(chosen)]
            frames = squeezed(opcode, data, fragment) if compressed else [frame(opcode, payload)]
            case.sends += [b"".join(frames), i + 1]
            case.expects.append((opcode, payload))
    cases.append(Case(f"7692 {name}, {kind}, {size} bytes, fragments of {fragment or 'any size'}",
                      [], [], over=("deflate",), offer=offer, build=build,
                      compressed=compressed and kind != "noise" and size >= 256))


for kind in KINDS:
    for size, fragment in SIZES:
        exchange("12 messages", kind, size, fragment)
BITS = "server_max_window_bits"
NO_TAKEOVER = f"{DEFLATE}; server_no_context_takeover"
OFFERS = (
    DEFLATE, NO_TAKEOVER, f"{DEFLATE}; {BITS}=9; client_max_window_bits",
    f"{DEFLATE}; {BITS}=12; client_max_window_bits=9", f"{DEFLATE}; {BITS}=15",
    f"{NO_TAKEOVER}; {BITS}=9; client_no_context_takeover", f"{NO_TAKEOVER}; {BITS}=15",
    f"{DEFLATE}; {BITS}=8, {NO_TAKEOVER}; {BITS}=8, {NO_TAKEOVER}, {DEFLATE}",
)
for offer in OFFERS:
    window = re.search(r"client_max_window_bits=(\d+)", offer)
    for size, fragment in SIZES:
        exchange(f"13 {offer}", "JSON", size, fragment, offer,
                 int(window.group(1)) if window else 15)
# What cannot be accepted leaves a session without compression.
for offer in (f"{DEFLATE}; {BITS}=8", f"{DEFLATE}; {BITS}", f"{DEFLATE}; unknown",
              "permessage-bzip2"):
    exchange(f"13 {offer}", "JSON", 4096, 0, offer, compressed=False)
    add(f"7692 5 RSV1 after {offer}", squeezed(TEXT, HELLO), closes=FAILS, offer=offer,
        over=("deflate",))

# ---- 4: the opening handshake ----------------------------------------------------------------


@dataclass
class Handshake:
    name: str
    request: bytes
    statuses: tuple
    holds: tuple = ()  # what the head of the answer must have, lower case
    lacks: tuple = ()
    cut: int = 0
    heavy: bool = False
    over: tuple = OVER


GOOD = {
    "Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ANSWER = (b"upgrade: websocket", b"connection: upgrade", b"sec-websocket-accept: " + ACCEPT.lower())


def request(changes=(), line=f"GET {TARGET} HTTP/1.1", extra=()):
    """The good request, with headers changed (None: left out) and lines behind them."""
    headers = {**GOOD, **dict(changes)}
    lines = [line] + [f"{n}: {v}" for n, v in headers.items() if v is not None] + list(extra)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def opens(name, *arguments, **more):
    # 4.2.2: nothing is accepted that was not asked for, or that nobody chose.
    cases.append(Handshake(name, request(*arguments, **more), (101,), ANSWER,
                           (b"sec-websocket-extensions", b"sec-websocket-protocol")))


def refused(name, status, *arguments, holds=(), **more):
    statuses = status if isinstance(status, tuple) else (status,)
    cases.append(Handshake(name, request(*arguments, **more), statuses, holds))


opens("4.2.2 the handshake")
for cut in (1, 2, 7, 64):
    cases.append(Handshake(f"4.2.2 the handshake, {cut} bytes at a time", REQUEST, (101,), ANSWER,
                           cut=cut))
cases.append(Handshake("9112 2.2 an empty line before the request", b"\r\n" + REQUEST, (101,)))
for name in GOOD:
    for shape in (name.lower(), name.upper()):
        opens(f"4.2.1 {shape} in that case", {name: None, shape: GOOD[name]})
    opens(f"4.2.1 {name} with blanks around its value", {name: f" \t {GOOD[name]}\t "})
opens("4.2.1 the headers in another order", {"Host": None}, extra=["Host: localhost"])
for value in ("WebSocket", "WEBSOCKET", "h2c, websocket", "websocket,h2c", ", websocket ,"):
    opens(f"4.2.1 Upgrade: {value}", {"Upgrade": value})
for value in ("upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,keep-alive", "a,b , upgrade"):
    opens(f"4.2.1 Connection: {value}", {"Connection": value})
opens("4.2.1 Connection in two lines", {"Connection": "keep-alive"}, extra=["Connection: Upgrade"])
opens("4.2.1 Upgrade in two lines", {"Upgrade": "h2c"}, extra=["Upgrade: websocket"])
for host in ("example.com", "example.com:8081", "127.0.0.1", "[::1]", "[::1]:80", "EXAMPLE"):
    opens(f"4.2.1 Host: {host}", {"Host": host})
opens("4.2.1 absolute target", line=f"GET http://localhost{TARGET} HTTP/1.1")
opens("4.2.1 absolute target of ws", line=f"GET ws://localhost{TARGET} HTTP/1.1")
opens("4.2.1 a query", line=f"GET {TARGET}?a=b&c=%20 HTTP/1.1")
opens("4.2.1 a percent-encoded user", line="GET /websocket/%c3%bc HTTP/1.1")
opens("4.2.1 unknown headers", extra=["X-Unknown: y", "Cookie: a=b; c=d", "Accept: */*"])
opens("4.2.1 an Origin of the same host", {"Origin": "http://localhost"})
opens("9.1 an unknown extension is not accepted", {"Sec-WebSocket-Extensions": "x-unknown; a=1"})
refused("1.9 subprotocols, none of which is spoken", 400,
        {"Sec-WebSocket-Protocol": "chat, superchat"})
opens("4.2.1 Content-Length: 0", {"Content-Length": "0"})
for offer, lacks in (
        (DEFLATE, b"window_bits"), (f"{DEFLATE}; {BITS}=10", b"client_max"),
        (f"{DEFLATE}; client_max_window_bits", b"window_bits"),
        (f"x-unknown; a=1, {DEFLATE}; unknown, {DEFLATE}", b"unknown"),
        (f"{DEFLATE}; {BITS}=8, {DEFLATE}", b"window_bits")):
    agreed = b"sec-websocket-extensions: permessage-deflate; server_no_context_takeover"
    cases.append(Handshake(f"7692 5.1 {offer}", offering(offer), (101,), ANSWER + (agreed,),
                           (lacks,), over=("deflate",)))
    cases.append(Handshake(f"7692 5.1 {offer}, which the server does not have", offering(offer),
                           (101,), ANSWER, (b"sec-websocket-extensions",), over=("plain", "tls")))
for side in ("server", "client"):
    for parameter in ("no_context_takeover=1", "no_context_takeover; {0}_no_context_takeover",
                      "max_window_bits=7", "max_window_bits=16", "max_window_bits=010",
                      "max_window_bits=x", "max_window_bits=9; {0}_max_window_bits=9"):
        offer = f"{DEFLATE}; {side}_{parameter.format(side)}"
        cases.append(Handshake(f"7692 7.1 {offer}", offering(offer), (101,), ANSWER,
                               (b"sec-websocket-extensions",)))
for name in ("Host", "Connection", "Sec-WebSocket-Key"):
    refused(f"4.2.1 without {name}", 400, {name: None})
refused("4.2.1 without Upgrade", 426, {"Upgrade": None})
refused("4.2.1 without Sec-WebSocket-Version", 426, {"Sec-WebSocket-Version": None},
        holds=(b"sec-websocket-version: 13",))
for value in ("", "0", "7", "8", "12", "14", "130", "1", "13, 8", "8, 13", "013", "+13", "13.0",
              "-13", "x", "99999999999999999999"):
    refused(f"4.4 Sec-WebSocket-Version: {value}", 426, {"Sec-WebSocket-Version": value},
            holds=(b"sec-websocket-version: 13",))
for name in ("Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"):
    refused(f"4.2.1 {name} twice", 400, extra=[f"{name}: {GOOD[name]}"])
refused("4.2.1 Origin twice", 400, extra=["Origin: http://localhost"] * 2)
for key in ("", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "AAAAAAAAAAAAAAAAAAAA",
            "dGhlIHNhbXBsZSBub25jZXM=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "dGhlIHNhbXBsZSBub25jZ!==", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
            "=" * 24,
            "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBs ZSBub25jZQ=="):
    refused(f"4.2.1 Sec-WebSocket-Key: {key!r}", 400, {"Sec-WebSocket-Key": key})
for value in ("keep-alive", "close", "Upgrades", "Up grade", ""):
    refused(f"4.2.1 Connection: {value}", 400, {"Connection": value})
for value in ("web-socket", "websocket2", "h2c", ""):
    refused(f"4.2.1 Upgrade: {value}", (400, 426), {"Upgrade": value})
for version, status in (("1.0", 426), ("0.9", 505), ("2.0", 505), ("3.0", 505),
                        ("x", 400), ("1.10", 400), ("1", 400)):
    refused(f"4.1 HTTP/{version}", status, line=f"GET {TARGET} HTTP/{version}")
for method, status in (("POST", 405), ("PUT", 405), ("HEAD", 405), ("OPTIONS", 405),
                       ("DELETE", 405), ("get", 405), ("CONNECT", (400, 405)), ("G T", 400)):
    refused(f"4.1 the method {method}", status, line=f"{method} {TARGET} HTTP/1.1")
for target, status in (("/", 404), ("/websocket", 404), ("/websocket/", 404), ("/other/x", 404),
                       ("/websocket/a/b", 404), ("websocket/x", 400), ("*", 400), ("", 400),
                       ("/websocket/a#b", 400), ("/websocket/%zz", 404)):
    refused(f"4.1 the target {target!r}", status, line=f"GET {target} HTTP/1.1")
for origin in ("http://elsewhere.example", "null", "garbage", "http://localhost.elsewhere.example"):
    refused(f"4.2.2 Origin: {origin}", 403, {"Origin": origin})
for value in ("a b", "a,a", "chat;x", "(", "a,\x01"):
    refused(f"4.1 Sec-WebSocket-Protocol: {value!r}", 400, {"Sec-WebSocket-Protocol": value})
for line in ("NoColon", "Space : x", ": empty", "X-Nul: a\0b", "X-Cr: a\rb", "X-Esc: \x1b",
             "(Name): x", "Transfer-Encoding: chunked", "Content-Length: x", "Content-Length: -1",
             "Content-Length: 1, 1"):
    refused(f"9112 {line!r}", 400, extra=[line])
refused("9112 a body", 413, {"Content-Length": "5"})
cases.append(Handshake("9112 lines that end with LF", REQUEST.replace(b"\r\n", b"\n"), (400,)))

# ---- running ---------------------------------------------------------------------------------


class Connection:
    def __init__(self, stream, writer):
        self.stream, self.writer = stream, writer
        self.reader = Reader()
        self.progress = asyncio.Event()
        self.ended = False

    async def read(self):
        """False at the end of the connection."""
        try:
            data = await self.stream.read(1 << 20)
        except ConnectionResetError as error:
            raise Wrong("the connection was reset") from error
        if data:
            self.reader.feed(data)
        return bool(data)

    async def until(self, count):
        """While `receive` runs: waits for so many frames, or for the end."""
        while len(self.reader.events) < count and not self.ended:
            self.progress.clear()
            await self.progress.wait()


def shown(events):
    some = [f"{opcode}:{payload[:20]!r}({len(payload)})" for opcode, payload in events[:6]]
    return f"[{', '.join(some)}{', …' if len(events) > 6 else ''}]"


async def send(connection, case):
    writer = connection.writer
    for part in case.sends:
        if isinstance(part, int):
            await connection.until(part)
            continue
        for at in range(0, len(part), case.cut or len(part) or 1):
            try:
                writer.write(part[at : at + case.cut] if case.cut else part)
                await writer.drain()
            except ConnectionError:
                return  # what came back decides
            if case.cut or len(case.sends) > 1:
                await asyncio.sleep(0)


async def receive(connection):
    try:
        while not connection.reader.closed and await connection.read():
            connection.progress.set()
    finally:
        connection.ended = True
        connection.progress.set()


def judge(case, events):
    expects = list(case.expects)
    if case.unordered:
        by_kind = lambda event: event[0] == PONG
        events, expects = sorted(events, key=by_kind), sorted(expects, key=by_kind)
    if events != expects:
        raise Wrong(f"got {shown(events)}, expected {shown(expects)}")


async def connect(server):
    return await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 21, ssl=server.tls,
                                         server_hostname="localhost" if server.tls else None)


async def run(case, server):
    if case.build:
        case.build(case)
    stream, writer = await connect(server)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(stream, writer)
    try:
        writer.write(offering(case.offer) if server.over == "deflate" else REQUEST)
        while connection.reader.head is None:
            if not await connection.read():
                raise Wrong("no answer to the handshake")
        head = connection.reader.head
        if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head:
            raise Wrong(f"answer to the handshake: {head!r}")
        receiving = asyncio.create_task(receive(connection))
        try:
            await send(connection, case)
            if case.closes is None:
                await connection.until(len(case.expects))
                writer.write(close(1000))
            await receiving
        finally:
            receiving.cancel()
        events = connection.reader.events
        if not events or events[-1][0] != CLOSE:
            raise Wrong(f"ended without a close frame, after {shown(events)}")
        judge(case, events[:-1])
        if case.compressed and not connection.reader.inflations:
            raise Wrong("nothing was compressed")
        payload = events[-1][1]
        code = struct.unpack(">H", payload[:2])[0] if payload else NO_CODE
        wanted = (1000,) if case.closes is None else case.closes
        if code not in wanted:
            raise Wrong(f"closed with {code} {payload[2:]!r}, expected {wanted}")
        # 7.1.1: it is the server that closes the connection.
        if await connection.read():
            raise Wrong("bytes behind the close frame")
    finally:
        if case.build:
            case.sends, case.expects = [], []
        writer.transport.abort()


async def shake(case, server):
    stream, writer = await connect(server)
    try:
        cut = case.cut or len(case.request)
        for at in range(0, len(case.request), cut):
            writer.write(case.request[at : at + cut])
            await writer.drain()
            await asyncio.sleep(0)
        head = (await stream.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if not head.startswith(b"http/1.1 ") or status not in case.statuses:
            raise Wrong(f"answered with {head[:60]!r}, expected {case.statuses}")
        for line in case.holds:
            if line not in head:
                raise Wrong(f"{line!r} is not in {head!r}")
        for line in case.lacks:
            if line in head:
                raise Wrong(f"{line!r} is in {head!r}")
        if status == 101:
            writer.write(frame(TEXT, b"works") + close())
            if await stream.read() != b"\x81\x05works\x88\x02\x03\xe8":
                raise Wrong("opened, and does not work")
            return
        length = re.search(rb"content-length: (\d+)", head)
        body = await stream.read()  # to the end: a refused connection is closed
        if length and len(body) != int(length.group(1)) and b"HEAD " not in case.request:
            raise Wrong("Content-Length is not that of the body")
        if re.search(rb"[^\x20-\x7e\r\n]", head):
            raise Wrong(f"strange characters in the answer: {head!r}")
    except asyncio.IncompleteReadError as error:
        raise Wrong(f"ended after {error.partial!r}") from error
    finally:
        writer.transport.abort()


async def attempt(case, server, many, few, deadline):
    async with (few if case.heavy else many):
        try:
            go = shake if isinstance(case, Handshake) else run
            await asyncio.wait_for(go(case, server), deadline)
            return None
        except asyncio.TimeoutError:
            return "nothing more came in time"
        except (Wrong, UnicodeDecodeError, OSError) as error:
            return str(error) or repr(error)


async def run_all(chosen, server, deadline):
    many, few = asyncio.Semaphore(PARALLEL), asyncio.Semaphore(2)
    return await asyncio.gather(*(attempt(case, server, many, few, deadline) for case in chosen))


def sample(chosen, over, full):
    """What is run: all of it, or in reasonable time."""
    for case in chosen:
        if over in case.over and (full or over == "plain" or not case.heavy):
            if getattr(case, "build", None):
                case.heavy, case.count = full, 1000 if full else 5
            yield case


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="*")
    parser.add_argument("--list", action="store_true", help="the names of the cases")
    parser.add_argument("--over", choices=OVER, action="append", help="only so; may be repeated")
    parser.add_argument("--full", action="store_true", help="the long cases too, everywhere")
    arguments = parser.parse_args()
    chosen = [case for case in cases
              if all(re.search(pattern, case.name) for pattern in arguments.pattern)]
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return 0
    count, bad = 0, 0
    for over in arguments.over or OVER:
        started = time.monotonic()
        deadline = DEADLINE * (10 if arguments.full else 1)
        these = list(sample(chosen, over, arguments.full))
        with Server("--threads", "2", "--max-message", str(LIMIT), over=over) as server:
            results = asyncio.run(run_all(these, server, deadline))
            crashed = server.process.poll() is not None
            ended = not crashed and server.stop() == 0
        failed = [(case, why) for case, why in zip(these, results) if why]
        for case, why in failed:
            print(f"FAILED over {over}: {case.name}\n       {why}")
        print(f"{over}: {len(these)} cases, {len(failed)} failed, "
              f"{time.monotonic() - started:.1f} s{', THE SERVER CRASHED' if crashed else ''}"
              f"{'' if ended or crashed else ', THE SERVER DID NOT END WELL'}", flush=True)
        count += len(these)
        bad += len(failed) + (not ended)
    if not count:
        print("no case has that name")
    return 1 if bad or not count else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the suites in this folder share: frames as a client sends them, right and wrong, a strict
reader of what a server sends back, and the program under test."""

import os
import re
import ssl
import struct
import subprocess
import tempfile
import zlib

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"
TARGET = "/websocket/conformance"
REQUEST = (
    f"GET {TARGET} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the answer to that key, RFC 6455 section 1.3
DEFLATE = "permessage-deflate"
RSV1 = 4
BIN_DIR = os.environ.get("PUSHHUB_BIN_DIR", "")
# How the program is reached; without OpenSSL there is no TLS.
OVER = ("plain", "deflate") + (
    ("tls",) if os.path.exists(os.path.join(BIN_DIR, "make_certificates")) else ())


def offering(*offers):
    """The request with values of Sec-WebSocket-Extensions, one a line."""
    lines = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
    return REQUEST[:-2] + lines.encode() + b"\r\n"


def mask(payload, key=KEY):
    if not payload:
        return b""
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return number.to_bytes(len(payload), "big")


def header(opcode, length, fin=True, rsv=0, masked=True, form=None):
    """`form`: bytes of extended length, 0, 2 or 8; the shortest that fits by default."""
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    code = {0: length, 2: 126, 8: 127}[form]
    extended = length.to_bytes(form, "big") if form else b""
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | code]) + extended
    return head + (KEY if masked else b"")


def frame(opcode, payload=b"", **bits):
    masked = bits.get("masked", True)
    return header(opcode, len(payload), **bits) + (mask(payload) if masked else payload)


def close(code=1000, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def fragments(opcode, payload, size):
    """The frames of a message in pieces of `size`."""
    pieces = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    last = len(pieces) - 1
    return [
        frame(opcode if i == 0 else CONT, piece, fin=i == last) for i, piece in enumerate(pieces)
    ]


def deflated(payload, level=6, bits=15):
    """A message as RFC 7692 section 7.2.1 has it."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def squeezed(opcode, data, size=None):
    """The frames of a compressed message, of `size` bytes of `data` each."""
    size = size or len(data) or 1
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    last = len(pieces) - 1
    return [
        frame(CONT if i else opcode, piece, fin=i == last, rsv=0 if i else RSV1)
        for i, piece in enumerate(pieces)
    ]


def may_be_sent(code):
    """RFC 6455 section 7.4 and the registry of IANA."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


class Wrong(Exception):
    """What the server did is not what the RFC, or the case, wants."""


class Reader:
    """Takes what a server sends apart, and tolerates nothing. `feed` bytes, then see `events`: a
    tuple per message or control frame, (opcode, payload). `head` is that of the answer, and decides
    whether messages may be compressed."""

    def __init__(self, opened=False):
        self.bytes = bytearray()
        self.at = 0
        self.events = []
        self.head = b"" if opened else None
        self.closed = False
        self.opcode = None  # of the message whose fragments are coming
        self.parts = []
        self.window = 0  # bits, if compression was agreed on
        self.compressed = False  # the message that is coming
        self.inflations = 0

    def feed(self, data):
        self.bytes += data
        if self.head is None:
            end = self.bytes.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = bytes(self.bytes[: end + 4])
            self.at = end + 4
            self._agree()
        while self._frame():
            pass
        del self.bytes[: self.at]
        self.at = 0

    def _agree(self):
        answers = re.findall(rb"\r\nSec-WebSocket-Extensions: ([^\r]*)", self.head)
        if not answers:
            return
        name, *parameters = answers[0].decode().split("; ")
        if len(answers) > 1 or name != DEFLATE or "server_no_context_takeover" not in parameters:
            raise Wrong(f"answered with the extensions {answers}")
        bits = [p[23:] for p in parameters if p.startswith("server_max_window_bits=")]
        self.window = int(bits[0]) if bits else 15

    def _frame(self):
        left = len(self.bytes) - self.at
        if left and self.closed:
            raise Wrong("bytes behind the close frame")
        if left < 2:
            return False
        first, second = self.bytes[self.at], self.bytes[self.at + 1]
        size, start = second & 0x7F, 2
        if second & 0x80:
            raise Wrong("masked frame (5.1)")
        rsv = first >> 4 & 7
        if rsv and (rsv != RSV1 or not self.window or first & 0x0F not in (TEXT, BINARY)):
            raise Wrong("reserved bit set (5.2)")
        if size >= 126:
            width = 2 if size == 126 else 8
            if left < 2 + width:
                return False
            size = int.from_bytes(self.bytes[self.at + 2 : self.at + 2 + width], "big")
            start += width
            if size < (126 if width == 2 else 65536) or size >> 63:
                raise Wrong("length not in its shortest form (5.2)")
        if left < start + size:
            return False
        payload = bytes(self.bytes[self.at + start : self.at + start + size])
        self.at += start + size
        if first & 0x0F in (TEXT, BINARY):
            self.compressed = rsv == RSV1
        self._take(first & 0x0F, bool(first & 0x80), payload)
        return True

    def _inflate(self, data):
        stream = zlib.decompressobj(-self.window)
        try:
            whole = stream.decompress(data + b"\0\0\xff\xff")
        except zlib.error as error:
            raise Wrong(f"a message that cannot be inflated: {error}") from error
        self.inflations += 1
        return whole

    def _take(self, opcode, fin, payload):
        if opcode >= 8:
            if not fin or len(payload) > 125:
                raise Wrong("control frame fragmented or too long (5.5)")
            if opcode == CLOSE:
                self._take_close(payload)
            elif opcode not in (PING, PONG):
                raise Wrong(f"opcode {opcode} (5.2)")
            self.events.append((opcode, payload))
            return
        if opcode not in (CONT, TEXT, BINARY) or (opcode == CONT) != (self.opcode is not None):
            raise Wrong(f"opcode {opcode} out of place (5.4)")
        self.opcode = opcode or self.opcode
        self.parts.append(payload)
        if fin:
            whole = b"".join(self.parts)
            if self.compressed:
                whole = self._inflate(whole)
            if self.opcode == TEXT:
                whole.decode("utf-8")
            self.events.append((self.opcode, whole))
            self.opcode, self.parts = None, []

    def _take_close(self, payload):
        self.closed = True
        if len(payload) == 1:
            raise Wrong("close frame of one byte (5.5.1)")
        if payload:
            code = struct.unpack(">H", payload[:2])[0]
            if not may_be_sent(code):
                raise Wrong(f"close code {code} may not be sent (7.4)")
            payload[2:].decode("utf-8")


class Server:
    """The echo program, on a free port; `over` is "plain", "deflate" or "tls". `tls` is what a
    client needs for that, or None."""

    def __init__(self, *flags, over="plain"):
        if not BIN_DIR:
            raise SystemExit("PUSHHUB_BIN_DIR must name the directory of the built programs")
        self.over, self.tls = over, None
        if over == "deflate":
            flags += ("--deflate",)
        elif over == "tls":
            self.files = tempfile.TemporaryDirectory()
            path = lambda name: os.path.join(self.files.name, name)
            subprocess.run([os.path.join(BIN_DIR, "make_certificates"), path("")], check=True)
            flags += ("--tls", path("good.pem"), path("good.key"))
            self.tls = ssl.create_default_context(cafile=path("ca.pem"))
        self.process = subprocess.Popen(
            [os.path.join(BIN_DIR, "echo_server"), "--port", "0", *flags],
            stdout=subprocess.PIPE,
        )
        line = self.process.stdout.readline().decode()
        match = re.search(r":(\d+)/", line)
        if not match:
            raise SystemExit("echo_server did not start")
        self.port = int(match.group(1))
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)

    def stop(self):
        """Ends it as an operator would; its exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def rss(self):
        """Resident memory, in MiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

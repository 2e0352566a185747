"""Clients that lie, flood, sleep and vanish, against the echo program, while its memory, its use of
the processor and the latency that a well-behaved client sees are watched.

    PUSHHUB_BIN_DIR=build/dev/bin python3 tests/conformance/abuse.py [--list] [--over plain]
        [--over deflate] [--over tls] [PATTERN...]

Most cases are for a server over TCP, others for one that compresses, or has TLS. After each case:
its own expectation, the program alive, every connection gone, the processor idle, memory bounded,
and the control client served in time.
"""

import argparse
import concurrent.futures
import functools
import multiprocessing
import random
import re
import resource
import select
import socket
import ssl
import struct
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True

from wire import (BINARY, CLOSE, CONT, DEFLATE, OVER, PING, PONG, REQUEST, RSV1, TARGET, TEXT,
                  Reader, Server, Wrong, close, deflated, frame, header, mask, offering, squeezed)

SECONDS = 15  # that a connection may take to end
LATENCY = 0.25  # p99 of the control client, seconds
GROWTH = 64  # MiB over the start, at any time
REMAINS = 32  # and when all is over
IDLE = 0.05  # of a processor, when a case is over
MESSAGE = 65536  # the program's limit

# ---- clients ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Client:
    """A blocking socket. `receive_buffer` small: the peer is blocked early. `over`: with TLS, or an
    offer to compress."""

    def __init__(self, port, handshake=True, receive_buffer=None, behind=b"", over="plain"):
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader()
        if over == "tls":
            self.socket = tls_context().wrap_socket(self.socket)
        if handshake:
            self.send((offering(DEFLATE) if over == "deflate" else REQUEST) + behind)
            while self.reader.head is None:
                self.read()
            if not self.reader.head.startswith(b"HTTP/1.1 101 "):
                raise Wrong(f"handshake answered with {self.reader.head[:40]!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Wrong("the connection ended")
        self.reader.feed(data)

    def flood(self, data, seconds=1.0, most=1 << 30):
        """Sends again and again without a look at what comes back, until time is over, enough has
        been sent, the server ends the connection, or it takes no more. True while it is there."""
        self.socket.setblocking(False)
        end, sent = time.monotonic() + seconds, 0
        view = memoryview(data)
        at = 0
        try:
            while time.monotonic() < end and sent < most:
                try:
                    count = self.socket.send(view[at:])
                except BlockingIOError:
                    select.select([], [self.socket], [], 0.05)
                    continue
                sent += count
                at = (at + count) % len(data)
            return True
        except ConnectionError:
            return False
        finally:
            self.left = data[at:] if at else b""  # of the last one
            self.socket.settimeout(SECONDS)

    def echo(self, text=b"still here"):
        """Sends a text and waits for it, past whatever comes before."""
        self.send(frame(TEXT, text))
        while (TEXT, text) not in self.reader.events:
            self.reader.events.clear()
            self.read()
        self.reader.events.clear()

    def rest(self):
        """Everything up to the end of the connection, which must come in time."""
        data = b""
        while True:
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionError:
                return data
            if not more:
                return data
            data = (data + more)[-(1 << 20):]

    def ends(self, *codes):
        """The server closes with one of these codes, and ends the connection."""
        while True:
            try:
                more = self.socket.recv(1 << 18)
            except ConnectionError:
                break
            if not more:
                break
            self.reader.feed(more)
            del self.reader.events[:-1]
        events = self.reader.events
        if not events or events[-1][0] != CLOSE:
            raise Wrong("ended without a close frame")
        payload = events[-1][1]
        code = struct.unpack(">H", payload[:2])[0] if payload else None
        if code not in codes:
            raise Wrong(f"closed with {code}, expected {codes}")

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def control(port, pipe, over):
    """In a process of its own: a round trip every few milliseconds; tells how long they took."""
    client = Client(port, over=over)
    times, number, running = [], 0, False
    while True:
        if pipe.poll(0 if running else None):
            order = pipe.recv()
            running = order == "start"
            if order == "stop":
                pipe.send(times)
                times = []
            elif order == "end":
                return
            continue
        number += 1
        started = time.monotonic()
        client.echo(b"control %d" % number)
        times.append(time.monotonic() - started)
        pipe.poll(0.004)


# ---- the cases -------------------------------------------------------------------------------

cases = []  # (name, function(port), slow, over)


def case(name, slow=False, over="plain"):
    def take(function):
        cases.append((name, function, slow, over))
        return function
    return take


def speaks(name, data, *statuses):
    """Bytes instead of a handshake: an answer with one of these statuses (None: any end will do),
    and the end of the connection."""
    @case(f"handshake: {name}")
    def run(port):
        with Client(port, handshake=False) as client:
            try:
                client.send(data)
            except ConnectionError:
                pass
            answer = client.rest()
            if statuses and not (answer[:9] == b"HTTP/1.1 " and int(answer[9:12]) in statuses):
                raise Wrong(f"answered with {answer[:60]!r}, expected {statuses}")
            if answer and not answer.startswith(b"HTTP/1.1 "):
                raise Wrong(f"answered with {answer[:60]!r}")


def head(*lines, start=f"GET {TARGET} HTTP/1.1"):
    good = REQUEST.decode().split("\r\n")[1:-2]
    return "\r\n".join([start, *good, *lines]).encode("latin-1") + b"\r\n\r\n"


# Other protocols on this port.
speaks("a TLS ClientHello", bytes.fromhex("16030100c8010000c40303") + bytes(190), 400)
speaks("an SSLv2 ClientHello", bytes.fromhex("802e0100020015000000100100800700c0") + bytes(32), 400)
speaks("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400, 505)
speaks("HTTP/0.9", b"GET /websocket/x\r\n\r\n", 400)
speaks("HTTP/1.0", head(start=f"GET {TARGET} HTTP/1.0"), 426)
speaks("an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400)
speaks("SMTP", b"EHLO example.com\r\n\r\n", 400)
speaks("SOCKS 5", b"\x05\x01\x00", 400)
speaks("Redis", b"*1\r\n$4\r\nPING\r\n\r\n", 400)
speaks("a PROXY line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + REQUEST, 400)
speaks("RTSP", b"OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", 400)
speaks("SIP", b"INVITE sip:x@y SIP/2.0\r\n\r\n", 400)
speaks("WebSocket frames without a handshake", frame(TEXT, b"hello") * 10, 400)
speaks("NULs", bytes(1000), 400)
speaks("0xff", b"\xff" * 1000, 400)
speaks("empty lines", b"\r\n" * 5000, 400)
speaks("blanks", b" " * 5000, 400)
speaks("one megabyte of letters", b"A" * (1 << 20), 501, 431)
speaks("HTTP/2 by Upgrade", head("HTTP2-Settings: AAMAAABk").replace(b"websocket", b"h2c", 1), 400,
       404, 426)
speaks("a CONNECT", b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", 400, 405)
speaks("a body that is announced, and waited for", head("Content-Length: 5",
       "Expect: 100-continue"), 413, 417)
speaks("a body in chunks", head("Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", 400)
speaks("a body that says nothing of itself", head(start="GET / HTTP/1.1") + b"hello" * 1000, 404)
speaks("1000 requests at once", head(start="GET / HTTP/1.1") * 1000, 404)
for seed in range(8):
    speaks(f"random bytes {seed}", b"\0" + random.Random(seed).randbytes(4000), 400)

# Too much of something.
speaks("a header of 60 KiB", head("X: " + "y" * 60000), 431)
speaks("a header that never ends", head("X: " + "y" * (1 << 20)), 431)
speaks("a header name of 300 bytes", head("N" * 300 + ": x"), 431)
speaks("a header name of 10 KiB", head("N" * 10240 + ": x"), 431)
speaks("101 headers", head(*(f"X-{i}: y" for i in range(97))), 431)
speaks("1000 headers", head(*(f"X-{i}: y" for i in range(1000))), 431)
speaks("10000 headers of two letters", head(*["a:b"] * 10000), 431)
speaks("one header 200 times", head(*["Cookie: a=b"] * 200), 431)
speaks("500 cookies, and too long",
       head("Cookie: " + "; ".join(f"c{i}={'v' * 40}" for i in range(500))), 431)
speaks("a target of 9 KiB", head(start=f"GET /websocket/{'x' * 9000} HTTP/1.1"), 414)
speaks("a target without an end", b"GET /" + b"x" * (1 << 20), 414)
speaks("a query of 9 KiB", head(start=f"GET {TARGET}?{'a=b&' * 2400} HTTP/1.1"), 414)
speaks("a method of 60 KiB", b"G" * 60000 + b" / HTTP/1.1\r\n\r\n", 501)
speaks("65 subprotocols",
       head("Sec-WebSocket-Protocol: " + ",".join(f"p{i}" for i in range(65))), 400)
speaks("2000 subprotocols",
       head("Sec-WebSocket-Protocol: " + ",".join(f"p{i}" for i in range(2000))), 400)
speaks("1000 folded lines", head("X: a", *[" b"] * 5000), 431)

# Paths.
for name, target, status in (
        ("%00", "/websocket/%00", 404), ("%", "/websocket/%", 404), ("%zz", "/websocket/%zz", 404),
        ("%u0041", "/websocket/%u0041", 404), ("invalid UTF-8", "/websocket/%ff%fe", 404),
        ("overlong UTF-8", "/websocket/%c0%af", 404), ("a surrogate", "/websocket/%ed%a0%80", 404),
        ("dots", "/websocket/../../etc/passwd", 404), ("encoded dots", "/websocket/%2e%2e", 404),
        ("a newline", "/websocket/%0d%0aX:%20y", 404), ("2000 slashes", "/" * 2000, 404),
        ("4000 dots", "/." * 2000, 404), ("a backslash", "/\\websocket\\x", 404),
        ("raw UTF-8", "/websocket/\xc3\xbc", 400), ("a fragment", "/websocket/x#y", 400),
        ("no path", "x", 400), ("user and password", "http://u:p@localhost/websocket/x", 400)):
    speaks(f"path: {name}", head(start=f"GET {target} HTTP/1.1"), status)

# One request for us, another one for a proxy.
speaks("smuggling: Content-Length", head("Content-Length: 10") + b"GET / HTTP/", 413)
speaks("smuggling: Transfer-Encoding", head("Transfer-Encoding: chunked") + b"0\r\n\r\n", 400)
speaks("smuggling: both", head("Content-Length: 5", "Transfer-Encoding: chunked"), 400)
speaks("smuggling: two lengths", head("Content-Length: 0", "Content-Length: 5"), 400)
speaks("smuggling: +0", head("Content-Length: +0"), 400)
speaks("smuggling: a blank before the colon", head("Content-Length : 0"), 400)
speaks("smuggling: bare CR", head("X: a\rContent-Length: 5"), 400)
speaks("smuggling: bare LF", head("X: a\nContent-Length: 5"), 400)
speaks("smuggling: NUL", head("X: a\0b"), 400)
speaks("smuggling: a tab before the name", REQUEST.replace(b"Host", b"\tHost"), 400)
speaks("smuggling: vertical tab", head("Transfer-Encoding:\x0bchunked"), 400)
speaks("smuggling: two Hosts", head("Host: evil.example"), 400)
speaks("smuggling: a second request behind a refused one", head(start="GET / HTTP/1.1") * 2, 404)
speaks("smuggling: POST with a body",
       b"POST /websocket/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET / HTT", 405)
speaks("two keys", head("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400)
speaks("two versions", head("Sec-WebSocket-Version: 8"), 400)
speaks("Hixie 76", b"GET /websocket/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
       b"Upgrade: WebSocket\r\nSec-WebSocket-Key1: 1 2\r\nSec-WebSocket-Key2: 3 4\r\n\r\n12345678",
       426, 400)


def frames(name, data, *codes):
    """Frames at once; the session is closed with one of the codes. None: it goes on."""
    @case(f"frames: {name}")
    def run(port):
        with Client(port) as client:
            client.send(data)
            if codes:
                client.ends(*codes)
            else:
                client.echo()


for length in ((1 << 64) - 1, 1 << 63, (1 << 63) - 1, 1 << 40, 1 << 32, 1 << 31, MESSAGE + 1):
    frames(f"a length of {length:#x} and no payload", header(BINARY, length, form=8),
           *((1002, 1009) if length >> 63 else (1009,)))
frames("a fragment that makes it too big",
       frame(BINARY, bytes(MESSAGE), fin=False) + header(CONT, 1), 1009)
frames("fragments whose sum overflows", frame(BINARY, b"x", fin=False)
       + header(CONT, (1 << 63) - 1), 1009)
frames("a ping of 64 KiB", header(PING, MESSAGE), 1002)
frames("100 close frames", close() * 100, 1000)
frames("5000 pongs", frame(PONG, b"x" * 125) * 5000)
frames("10000 empty texts at once", frame(TEXT) * 10000)
frames("two megabytes behind a close", close() + bytes(2 << 20), 1000)
frames("64 KiB of text that end inside a character",
       frame(TEXT, "👍".encode() * 16000 + b"\xf0"), 1007)
for seed in range(12):
    noise = random.Random(100 + seed).randbytes(20000)

    @case(f"frames: random bytes {seed}")
    def run(port, noise=noise):
        with Client(port) as client:
            try:
                client.send(noise)
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            client.rest()


def floods(name, data, codes=(), reads=False, start=b"", seconds=0.7):
    """Sends that without end. `codes`: how the session ends, otherwise it goes on."""
    @case(f"flood: {name}")
    def run(port):
        with Client(port, receive_buffer=None if reads else 4096) as client:
            client.send(start)
            if reads:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    client.send(data)
                    client.socket.settimeout(0.0)
                    try:
                        while True:
                            client.read()
                            client.reader.events.clear()
                    except BlockingIOError:
                        pass
                    client.socket.settimeout(SECONDS)
                left = b""
            else:
                client.flood(data, seconds)
                left = client.left
            if codes:
                client.ends(*codes)
                return
            client.socket.settimeout(SECONDS)
            # What was being sent has to be ended before the last message.
            sender = threading.Thread(target=client.send, args=(left,))
            sender.start()
            while sender.is_alive():
                if select.select([client.socket], [], [], 0.01)[0]:
                    client.read()
                    client.reader.events.clear()
            sender.join()
            if start:
                client.send(frame(CONT, b"end"))
            client.echo()


floods("pings, and nothing is read", frame(PING, b"x" * 125) * 100)
floods("empty pings, and nothing is read", frame(PING) * 1000)
floods("pings, and pongs are read", frame(PING, b"x" * 125) * 50, reads=True)
floods("pongs", frame(PONG, b"x" * 125) * 500)
floods("empty pongs", frame(PONG) * 5000)
floods("empty fragments", frame(CONT, fin=False) * 5000, (1008,), start=frame(TEXT, b"x", fin=False))
floods("fragments of one byte", frame(CONT, b"x", fin=False) * 5000, (1008,),
       start=frame(TEXT, b"x", fin=False))
floods("pings between fragments", (frame(CONT, fin=False) + frame(PING, b"p")) * 500, (1008,),
       start=frame(TEXT, b"x", fin=False))
floods("pongs between fragments", (frame(CONT, fin=False) + frame(PONG)) * 2000, (1008,),
       start=frame(BINARY, b"x", fin=False))
floods("small texts, echoes are read", frame(TEXT, b"hello") * 200, reads=True)
floods("empty texts, echoes are read", frame(TEXT) * 200, reads=True)
floods("texts of 64 KiB, echoes are read", frame(TEXT, b"x" * MESSAGE), reads=True)
floods("close frames", close() * 1000, (1000,))
floods("unmasked frames", frame(TEXT, b"x", masked=False) * 1000, (1002,))
floods("reserved opcodes", frame(5) * 1000, (1002,))
floods("frames with RSV bits", frame(TEXT, b"x", rsv=7) * 1000, (1002,))
floods("messages that are too big", frame(BINARY, bytes(MESSAGE + 1)), (1009,))
floods("text that is not UTF-8", frame(TEXT, b"\xff" * 1000), (1007,))
floods("bytes behind a close", bytes(65536), (1000,), start=close())
floods("bytes behind a violation", b"\xaa" * 65536, (1002,), start=frame(3))


floods("echoes of 64 KiB, and nothing is read", frame(BINARY, bytes(MESSAGE)), seconds=2)
floods("small echoes, and nothing is read", frame(BINARY, b"x" * 100) * 100, seconds=2)
floods("empty echoes, and nothing is read", frame(TEXT) * 1000, seconds=2)


def crowd_floods(count, name, data, seconds=1.0):
    @case(f"flood: {count} clients send {name}, and read nothing")
    def run(port):
        clients = [Client(port, receive_buffer=4096) for _ in range(count)]
        threads = [threading.Thread(target=c.flood, args=(data, seconds)) for c in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.reset()


crowd_floods(8, "pings", frame(PING, b"x" * 125) * 100)
crowd_floods(4, "empty pings", frame(PING) * 1000)
crowd_floods(20, "messages of 64 KiB", frame(BINARY, bytes(MESSAGE)), 2.0)
crowd_floods(20, "small messages", frame(BINARY, b"x" * 100) * 100)
crowd_floods(8, "fragments of nothing", frame(TEXT, fin=False) + frame(CONT, fin=False) * 1000)


@case("trickle: a message byte by byte")
def trickle_message(port):
    with Client(port) as client:
        for byte in frame(TEXT, b"x" * 3000):
            client.send(bytes([byte]))
        while (TEXT, b"x" * 3000) not in client.reader.events:
            client.read()


@case("trickle: ten thousand frames byte by byte, twenty clients")
def trickle_many(port):
    clients = [Client(port) for _ in range(20)]
    for byte in frame(PING) * 80:
        for client in clients:
            client.send(bytes([byte]))
    for client in clients:
        client.echo()
        client.reset()


@case("trickle: echoes are read one byte at a time")
def trickle_reading(port):
    with Client(port, receive_buffer=2048) as client:
        client.send(frame(BINARY, bytes(MESSAGE)) * 4)
        for _ in range(3000):
            client.reader.feed(client.socket.recv(1))
        client.echo()


@case("pipelined: 1000 messages behind the handshake")
def pipelined(port):
    with Client(port, behind=b"".join(frame(TEXT, b"%d" % i) for i in range(1000))) as client:
        while len(client.reader.events) < 1000:
            client.read()
        if client.reader.events != [(TEXT, b"%d" % i) for i in range(1000)]:
            raise Wrong("echoes in another order")


@case("pipelined: a close behind the handshake")
def pipelined_close(port):
    with Client(port, behind=close(4000)) as client:
        client.ends(4000)


@case("pipelined: a violation behind the handshake")
def pipelined_violation(port):
    with Client(port, behind=frame(3)) as client:
        client.ends(1002)


@case("pipelined: a second handshake behind the first")
def pipelined_handshake(port):
    with Client(port, behind=REQUEST) as client:
        client.ends(1002)


@case("memory: 300 clients promise 64 KiB and send nothing of it")
def promises(port):
    clients = [Client(port) for _ in range(300)]
    for client in clients:
        client.send(header(BINARY, MESSAGE))
    for client in clients:
        client.reset()


@case("memory: 300 clients in the middle of a message of 64 KiB")
def unfinished(port):
    clients = [Client(port) for _ in range(300)]
    for client in clients:
        client.send(header(BINARY, MESSAGE) + bytes(MESSAGE - 1))
    clients[0].send(b"\0")
    while not clients[0].reader.events:
        clients[0].read()
    for client in clients:
        client.reset()


@case("memory: 300 requests of almost 16 KiB that do not end")
def unfinished_requests(port):
    clients = [Client(port, handshake=False) for _ in range(300)]
    for client in clients:
        client.send(REQUEST[:-2] + b"X: " + b"y" * 15000)
    for client in clients:
        client.reset()


def storm(name, count, act, batch=50):
    @case(f"storm: {count} {name}")
    def run(port):
        for _ in range(count // batch):
            clients = [Client(port, handshake=False) for _ in range(batch)]
            for client in clients:
                act(client)
                client.socket.close()


def half_close(client):
    client.socket.shutdown(socket.SHUT_WR)
    client.rest()


storm("connections that close at once", 2000, lambda client: None)
storm("connections that reset at once", 2000, Client.reset)
storm("half closes", 500, half_close)
storm("half requests and a reset", 1000, lambda c: (c.send(REQUEST[:60]), c.reset()))
storm("requests and a reset before the answer", 1000, lambda c: (c.send(REQUEST), c.reset()))
storm("sessions and a reset with an echo under way", 1000,
      lambda c: (c.send(REQUEST + frame(BINARY, bytes(MESSAGE))), c.reset()))
storm("sessions that send and close without a close frame", 1000,
      lambda c: c.send(REQUEST + frame(TEXT, b"x") * 10))
storm("sessions with a closing handshake", 1000, lambda c: (c.send(REQUEST + close()), c.rest()))
storm("resets in the middle of a frame", 1000,
      lambda c: (c.send(REQUEST + header(BINARY, 1000) + b"x"), c.reset()))
storm("refused handshakes", 1000, lambda c: (c.send(head(start="GET / HTTP/1.1")), c.rest()))
storm("violations", 500, lambda c: (c.send(REQUEST + frame(3)), c.rest()))


@case("crowd: 1000 idle connections without a handshake")
def idle_connections(port):
    clients = [Client(port, handshake=False) for _ in range(1000)]
    clients[-1].send(REQUEST)
    while clients[-1].reader.head is None:
        clients[-1].read()
    clients[-1].echo()
    for client in clients:
        client.reset()


@case("crowd: 1000 idle sessions")
def idle_sessions(port):
    clients = [Client(port) for _ in range(1000)]
    for client in clients[::50]:
        client.echo()
    for client in clients:
        client.reset()


@case("crowd: 1000 sessions that all close at once")
def close_together(port):
    clients = [Client(port) for _ in range(1000)]
    for client in clients:
        client.send(close(1001))
    for client in clients:
        client.ends(1001)
        client.socket.close()


@case("crowd: 500 sessions, each breaks the protocol")
def break_together(port):
    clients = [Client(port) for _ in range(500)]
    for client in clients:
        client.send(frame(7))
    for client in clients:
        client.ends(1002)
        client.socket.close()


@case("half open: the client ends its direction, the echo may still come")
def half_open(port):
    with Client(port) as client:
        client.send(frame(TEXT, b"x"))
        client.socket.shutdown(socket.SHUT_WR)
        client.rest()


@case("half open: ends in the middle of a frame")
def half_open_frame(port):
    with Client(port) as client:
        client.send(header(TEXT, 100) + b"x")
        client.socket.shutdown(socket.SHUT_WR)
        client.rest()


@case("half open: ends its direction behind a close frame")
def half_open_close(port):
    with Client(port) as client:
        client.send(close())
        client.socket.shutdown(socket.SHUT_WR)
        client.ends(1000)


@case("half open: ends its direction in the middle of the request")
def half_open_request(port):
    with Client(port, handshake=False) as client:
        client.send(REQUEST[:100])
        client.socket.shutdown(socket.SHUT_WR)
        client.rest()


# Sockets as they can be, too.


@case("socket: urgent data in the middle of a frame")
def urgent(port):
    with Client(port) as client:
        data = frame(PING, b"x" * 100)
        client.send(data[:50])
        client.socket.send(b"!", socket.MSG_OOB)  # no part of the stream
        client.send(data[50:])
        client.echo()


@case("socket: 2000 segments of one byte on 50 connections, then a reset")
def segments(port):
    clients = [Client(port, handshake=False) for _ in range(50)]
    for byte in REQUEST[:40]:
        for client in clients:
            client.send(bytes([byte]))
    for client in clients:
        client.reset()


@case("socket: frames while the client lets nobody send to it")
def deaf(port):
    with Client(port) as client:
        client.socket.shutdown(socket.SHUT_RD)
        client.flood(frame(TEXT, b"x" * 1000) * 10, 0.7)


@case("socket: a port scanner's visits")
def scanner(port):
    for probe in (b"", b"\n", b"\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"HELP\r\n", b"\0" * 4,
                  b"\x03\0\0\x0b\x06\xe0\0\0\0\0\0", b"\x16\x03\0\0S\x01\0\0O\x03\0"):
        for act in (Client.reset, half_close):
            for _ in range(20):
                with Client(port, handshake=False) as client:
                    try:
                        client.send(probe)
                        act(client)
                    except OSError:
                        pass


# ---- with compression ------------------------------------------------------------------------

ZEROS = bytes(MESSAGE)
BOMB = deflated(bytes(256 << 20), 9)
BLOCK = b"\0\0\0\xff\xff"  # nothing, compressed


def compressed(name, data, codes=(), clients=1):
    """Frames at once, from that many clients; each is closed with one of the codes, or goes on."""
    @case(f"deflate: {name}", over="deflate")
    def run(port):
        all_of_them = [Client(port, over="deflate") for _ in range(clients)]
        def play(client):
            try:
                client.send(data)
            except ConnectionError:
                pass  # what came back decides
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(play, all_of_them))
        for client in all_of_them:
            client.ends(*codes) if codes else client.echo()
            client.socket.close()


whole = lambda *arguments: b"".join(squeezed(*arguments))
compressed("256 MiB in a message", whole(BINARY, BOMB), (1009,))
compressed("256 MiB in a message of fragments", whole(BINARY, BOMB, 300), (1009,))
compressed("256 MiB in a message, 50 times", whole(BINARY, BOMB), (1009,), clients=50)
compressed("256 MiB of text", whole(TEXT, deflated(b"x" * (256 << 20), 1)), (1009,))
compressed("a byte more than is allowed", whole(BINARY, deflated(ZEROS + b"x")), (1009,))
compressed("the header of 1 GiB", header(BINARY, 1 << 30, rsv=RSV1), (1009,))
compressed("a bomb in a bomb", whole(BINARY, deflated(BOMB[:MESSAGE])))
compressed("a bomb behind messages", whole(TEXT, deflated(b"x")) * 50 + whole(BINARY, BOMB),
           (1009,))
compressed("a megabyte of empty blocks", whole(BINARY, BLOCK * 200_000), (1009,))
compressed("a megabyte of empty blocks in fragments", whole(BINARY, BLOCK * 200_000, 200),
           (1008, 1009))
compressed("broken messages from 50 clients", whole(TEXT, b"\x06" * 1000), (1007,), clients=50)
compressed("stored blocks of one byte", whole(BINARY, b"\0\1\0\xfe\xffx" * 5000 + b"\0"))
compressed("a table of codes for each message",
           whole(BINARY, deflated(bytes(range(250)) * 4 + b"e" * 900, 9)) * 200)
for seed in range(12):
    compressed(f"random bytes {seed}",
               whole(BINARY, random.Random(200 + seed).randbytes(5000)), (1007, 1009))


def compressed_flood(name, data, reads, seconds=1.0, clients=1):
    @case(f"deflate: {name}, {'echoes are read' if reads else 'and nothing is read'}",
          over="deflate")
    def run(port):
        def play(client):
            if not reads:
                client.flood(data, seconds)
                client.reset()
                return
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                client.send(data)
                client.read()
                client.reader.events.clear()
            client.echo()
            client.socket.close()
        all_of_them = [Client(port, receive_buffer=None if reads else 4096, over="deflate")
                       for _ in range(clients)]
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(play, all_of_them))


for reads in (True, False):
    compressed_flood("64 KiB in eighty bytes", whole(BINARY, deflated(ZEROS, 9)), reads)
    compressed_flood("noise", whole(BINARY, deflated(random.Random(1).randbytes(60000))), reads)
    compressed_flood("small texts", whole(TEXT, deflated(b"hello" * 5)) * 20, reads)
    compressed_flood("20 clients with 64 KiB in eighty bytes", whole(BINARY, deflated(ZEROS, 9)),
                     reads, clients=20)


@case("deflate: 300 clients in the middle of a message", over="deflate")
def unfinished_compressed(port):
    clients = [Client(port, over="deflate") for _ in range(300)]
    data = deflated(ZEROS[:-1], 1)
    for client in clients:
        client.send(frame(BINARY, data + b"\0\0\xff\xff", fin=False, rsv=RSV1))
    clients[0].send(frame(PING))
    while not clients[0].reader.events:
        clients[0].read()
    for client in clients:
        client.reset()


@case("deflate: 300 resets in the middle of a message", over="deflate")
def reset_compressed(port):
    for _ in range(300):
        with Client(port, over="deflate") as client:
            client.send(frame(BINARY, deflated(ZEROS)[:40], fin=False, rsv=RSV1))
            client.reset()


@case("deflate: seven kilobytes of offers", over="deflate")
def many_offers(port):
    for offers in ((f"{DEFLATE}; x=y, " * 240)[:-2], "a," * 3500 + "a", f"{DEFLATE}" + "; x" * 2000,
                   'a; b="' + "\\c" * 3000 + '"'):
        with Client(port, handshake=False) as client:
            client.send(offering(offers))
            while client.reader.head is None:
                client.read()
            if not client.reader.head.startswith(b"HTTP/1.1 101 ") or client.reader.window:
                raise Wrong(f"answered with {client.reader.head!r}")
            client.echo()


# ---- TLS -------------------------------------------------------------------------------------


def client_hello():
    taken, given = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        tls_context().wrap_bio(taken, given).do_handshake()
    except ssl.SSLWantReadError:
        return given.read()


HELLO = client_hello()
record = lambda kind, data, version=0x303: struct.pack(">BHH", kind, version, len(data)) + data


def tls_speaks(name, data, ends=True, http=False):
    """Bytes instead of TLS: the connection ends, if need be because the client goes. Only a request
    of HTTP gets an answer of HTTP."""
    @case(f"tls: {name}", over="tls")
    def run(port):
        with Client(port, handshake=False) as client:
            try:
                client.send(data)
                if not ends:
                    client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answer = client.rest()
            if http and not answer.startswith(b"HTTP/1.1 400 "):
                raise Wrong(f"expected 400, got {answer[:100]}")
            if not http and b"HTTP/" in answer:
                raise Wrong("HTTP without TLS")


tls_speaks("a request without TLS", REQUEST, http=True)
tls_speaks("text that is no request", b"SSH-2.0-x\r\n")
tls_speaks("NULs", bytes(1000))
tls_speaks("0xff", b"\xff" * 1000)
for seed in range(6):
    tls_speaks(f"random bytes {seed}", random.Random(300 + seed).randbytes(3000), ends=False)
    tls_speaks(f"a record of random bytes {seed}",
               record(22, random.Random(400 + seed).randbytes(500)), ends=False)
    broken = bytearray(HELLO)
    for _ in range(5):
        broken[random.Random(seed).randrange(9, len(broken))] ^= 0xFF
    tls_speaks(f"a ClientHello with wrong bytes {seed}", bytes(broken), ends=False)
tls_speaks("a record of 65535 bytes", struct.pack(">BHH", 22, 0x303, 65535) + bytes(65535))
tls_speaks("a ClientHello of 16 MiB", record(22, b"\1\xff\xff\xff" + bytes(16000)) * 40)
tls_speaks("a megabyte of empty records", record(22, b"") * 200_000)
tls_speaks("data before the handshake", record(23, REQUEST))
tls_speaks("10000 alerts", record(21, b"\1\0") * 10_000)
tls_speaks("10000 warnings", record(21, b"\1\x5a") * 10_000)
tls_speaks("10000 ChangeCipherSpecs", record(20, b"\1") * 10_000)
tls_speaks("a heartbeat", record(24, b"\1\x40\0" + bytes(16)))
tls_speaks("SSL 2", bytes.fromhex("802e0100020015000000100100800700c0") + bytes(32))
tls_speaks("SSL 3", record(22, HELLO[5:9] + b"\3\0" + HELLO[11:], 0x300), ends=False)
tls_speaks("two ClientHellos", HELLO * 2)
tls_speaks("a ClientHello and data that is not encrypted", HELLO + record(23, REQUEST) * 100)
for size in (1, 5, 6, 50, len(HELLO) - 1):
    tls_speaks(f"{size} bytes of a ClientHello, and no more", HELLO[:size], ends=False)
tls_speaks("a ClientHello in records of one byte",
           b"".join(record(22, HELLO[i : i + 1], 0x301) for i in range(5, len(HELLO))), ends=False)


@case("tls: 300 ClientHellos and nothing more", over="tls")
def hellos(port):
    clients = [Client(port, handshake=False) for _ in range(300)]
    for client in clients:
        client.send(HELLO)
    for client in clients:
        if not client.socket.recv(1 << 16):
            raise Wrong("no ServerHello")
    for client in clients:
        client.reset()


def tls_storm(name, count, act, handshake=True):
    @case(f"tls: {count} {name}", over="tls")
    def run(port):
        for _ in range(count):
            with Client(port, over="tls") if handshake else Client(port, False) as client:
                act(client)


tls_storm("ClientHellos and a reset", 500, lambda c: (c.send(HELLO), c.reset()), False)
tls_storm("half ClientHellos and a reset", 500, lambda c: (c.send(HELLO[:99]), c.reset()), False)
tls_storm("connections that close at once", 500, lambda c: None, False)
tls_storm("sessions and a reset", 100, lambda c: (c.send(frame(BINARY, ZEROS)), c.reset()))
tls_storm("sessions that end without a word", 100, lambda c: c.send(frame(TEXT, b"x")))
tls_storm("violations", 100, lambda c: (c.send(frame(3)), c.ends(1002)))


@case("tls: a frame in records of one byte", over="tls")
def tiny_records(port):
    with Client(port, over="tls") as client:
        for byte in frame(TEXT, b"x" * 3000):
            client.send(bytes([byte]))
        while (TEXT, b"x" * 3000) not in client.reader.events:
            client.read()


@case("tls: the end of TLS in the middle of a frame", over="tls")
def early_end(port):
    with Client(port, over="tls") as client:
        client.send(header(TEXT, 100) + b"x")
        try:
            client.socket.unwrap()
        except (OSError, ssl.SSLError):
            pass


@case("tls: rubbish in the middle of a session", over="tls")
def rubbish_inside(port):
    for rubbish in (b"\0" * 100, record(23, bytes(100)), record(22, bytes(100)), REQUEST):
        with Client(port, over="tls") as client:
            client.echo()
            with socket.socket(fileno=client.socket.detach()) as plain:
                plain.settimeout(SECONDS)
                plain.sendall(rubbish)
                try:
                    while plain.recv(1 << 16):
                        pass
                except ConnectionError:
                    pass


def tls_flood(name, data, clients=1):
    @case(f"tls: {clients} clients send {name}, and read nothing", over="tls")
    def run(port):
        all_of_them = [Client(port, receive_buffer=4096, over="tls") for _ in range(clients)]
        def play(client):
            client.socket.settimeout(0.3)
            end = time.monotonic() + 1
            try:
                while time.monotonic() < end:
                    client.socket.sendall(data)
            except OSError:  # it takes no more
                pass
            client.reset()
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(play, all_of_them))


for clients in (1, 20):
    tls_flood("64 KiB", frame(BINARY, ZEROS), clients)
    tls_flood("pings", frame(PING, b"x" * 125) * 100, clients)
    tls_flood("empty texts", frame(TEXT) * 1000, clients)


# These wait for the program's own deadlines, and run at the same time.


def times_out(name, first, piece=b"", every=0.1, status=408, over="plain", tls=False):
    @case(f"slow: {name}", slow=True, over=over)
    def run(port):
        with Client(port, handshake=False, over="tls" if tls else "plain") as client:
            started = time.monotonic()
            client.send(first)
            answer, seen = b"", 0
            while time.monotonic() - started < SECONDS + 5:
                if select.select([client.socket], [], [], every)[0]:
                    answer += client.socket.recv(1 << 16) if status is None else client.rest()
                    if status is None and len(answer) != seen:  # the server's side of TLS
                        seen = len(answer)
                        continue
                    break
                try:
                    client.send(piece)
                except ConnectionError:
                    break
            took = time.monotonic() - started
            if not 8 < took < 14:
                raise Wrong(f"ended after {took:.1f} s")
            if answer and status and not answer.startswith(b"HTTP/1.1 %d " % status):
                raise Wrong(f"answered with {answer[:40]!r}")


times_out("a connection that says nothing", b"")
times_out("a request byte by byte", b"", b"G", 0.3, 408)
times_out("a header line every 200 ms", REQUEST[:-2], b"X: y\r\n", 0.2)
times_out("a request that lacks its last byte", REQUEST[:-1])
times_out("half a request line", b"GET /webso")
times_out("one empty line", b"\r\n")
times_out("a connection that says nothing instead of TLS", b"", over="tls")
times_out("half a ClientHello", HELLO[:50], over="tls")
times_out("a ClientHello, and nothing more", HELLO, over="tls", status=None)
times_out("a ClientHello byte by byte", HELLO[:9], b"\0", 0.3, over="tls")
times_out("TLS, and no request", b"", over="tls", tls=True)
times_out("TLS, and a request byte by byte", b"", b"G", 0.3, over="tls", tls=True)
times_out("a folded line every 200 ms", REQUEST[:-2] + b"X: y\r\n", b" z\r\n", 0.2)


@case("slow: 200 connections of slowloris", slow=True)
def slowloris(port):
    clients = [Client(port, handshake=False) for _ in range(200)]
    started = time.monotonic()
    for client in clients:
        client.send(REQUEST[:-2])
    open_ones = clients
    while open_ones and time.monotonic() - started < SECONDS + 5:
        time.sleep(0.5)
        still = []
        for client in open_ones:
            try:
                client.send(b"X: y\r\n")
                if not select.select([client.socket], [], [], 0)[0]:
                    still.append(client)
            except ConnectionError:
                pass
        open_ones = still
    if open_ones:
        raise Wrong(f"{len(open_ones)} connections are still there")
    for client in clients:
        client.socket.close()


def lingers(name, data, most=4.0):
    """The session is over, and the client does not hang up: the server does."""
    @case(f"slow: {name}", slow=True)
    def run(port):
        with Client(port) as client:
            client.send(data)
            while not client.reader.closed:
                client.read()
            started = time.monotonic()
            # The socket is gone when what is sent to it comes back as a reset.
            while time.monotonic() - started < SECONDS:
                time.sleep(0.1)
                try:
                    client.send(b"\0")
                except ConnectionError:
                    break
            if time.monotonic() - started > most:
                raise Wrong(f"the connection was there for {time.monotonic() - started:.1f} s")


lingers("a client that has closed and does not hang up", close())
lingers("a client that broke the protocol and does not hang up", frame(3))
lingers("a client that sends on behind its close", close() + frame(TEXT, b"x"))
lingers("a client that sends on behind a violation", frame(TEXT, b"\xff") + bytes(1000))


@case("slow: a refused client that does not hang up", slow=True)
def refused_lingers(port):
    with Client(port, handshake=False) as client:
        client.send(head(start="GET / HTTP/1.1"))
        client.rest()
        started = time.monotonic()
        while time.monotonic() - started < SECONDS:
            time.sleep(0.1)
            try:
                client.send(b"\0")
            except ConnectionError:
                break
        if time.monotonic() - started > 4:
            raise Wrong("the connection is still there")


@case("slow: a close that is not read for want of a window", slow=True)
def close_unread(port):
    with Client(port, receive_buffer=2048) as client:
        # Less than what makes the server stop reading, or it would not see the close.
        client.send(frame(BINARY, bytes(MESSAGE)) * 6 + close())
        started = time.monotonic()
        while time.monotonic() - started < SECONDS:
            time.sleep(0.1)
            try:
                client.send(b"\0")
            except OSError:
                break
        if time.monotonic() - started > 10:
            raise Wrong("the connection is still there")


# ---- watching --------------------------------------------------------------------------------


class Watch(threading.Thread):
    """The most memory that the server had."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.peak, self.over = server, 0.0, threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                self.peak = max(self.peak, self.server.rss())
            except (OSError, AttributeError):
                return
            self.over.wait(0.01)


def percentile(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] if times else 0.0


class Suite:
    def __init__(self, server):
        self.server = server
        self.pipe, end = multiprocessing.Pipe()
        self.client = multiprocessing.Process(target=control, daemon=True,
                                              args=(server.port, end, server.over))
        self.client.start()
        self.pipe.send("start")
        time.sleep(0.2)
        self.latencies()
        self.start_memory = server.rss()
        self.start_descriptors = server.descriptors()
        self.worst = {"latency": (0, ""), "memory": (0, ""), "processor": (0, "")}

    def latencies(self):
        self.pipe.send("stop")
        if not self.pipe.poll(SECONDS):
            raise Wrong("the control client gets no answer")
        return self.pipe.recv()

    def note(self, what, value, name):
        self.worst[what] = max(self.worst[what], (value, name))

    def run(self, name, function):
        """The faults of a case, as strings."""
        faults = []
        watch = Watch(self.server)
        watch.start()
        self.pipe.send("start")
        try:
            function(self.server.port)
        except (Wrong, OSError, UnicodeDecodeError) as error:
            faults.append(f"{type(error).__name__}: {error}")
        except Exception:
            faults.append(traceback.format_exc())
        times = self.latencies()
        if self.server.process.poll() is not None:
            return faults + ["THE SERVER CRASHED"]
        # Every connection of the case goes: at the latest with a deadline of the server's. Those
        # that wait to be accepted come before this one.
        try:
            Client(self.server.port, over=self.server.over).reset()
        except (Wrong, OSError) as error:
            faults.append(f"a client that comes afterwards: {type(error).__name__}: {error}")
        end = time.monotonic() + SECONDS
        while self.server.descriptors() > self.start_descriptors and time.monotonic() < end:
            time.sleep(0.02)
        left = self.server.descriptors() - self.start_descriptors
        if left > 0:
            faults.append(f"{left} connections are still there")
        watch.over.set()
        watch.join()
        for seconds in (0.1, 0.5):  # a look, and a longer one if it was not idle
            before, started = self.server.cpu(), time.monotonic()
            time.sleep(seconds)
            busy = (self.server.cpu() - before) / (time.monotonic() - started)
            if busy < IDLE:
                break
        p99, growth = percentile(times, 0.99), watch.peak - self.start_memory
        self.note("latency", p99, name)
        self.note("memory", growth, name)
        self.note("processor", busy, name)
        if p99 > LATENCY:
            faults.append(f"control client: p99 {p99 * 1000:.0f} ms of {len(times)}")
        if growth > GROWTH:
            faults.append(f"memory grew by {growth:.0f} MiB")
        if busy >= IDLE:
            faults.append(f"the processor is {busy * 100:.0f} % busy afterwards")
        return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="*")
    parser.add_argument("--list", action="store_true", help="the names of the cases")
    parser.add_argument("--over", choices=OVER, action="append", help="only so; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="each case as it ends")
    arguments = parser.parse_args()
    chosen = [c for c in cases if all(re.search(p, c[0]) for p in arguments.pattern)]
    if arguments.list:
        print("\n".join(name for name, *_ in chosen))
        return 0
    # Room for a thousand connections, here and in the program, which inherits it.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    bad = 0
    for over in arguments.over or OVER:
        these = [c for c in chosen if c[3] == over]
        if these:
            bad += play(over, these, arguments.verbose)
    return 1 if bad or not chosen else 0


def play(over, chosen, verbose):
    """The number of cases that failed."""
    started = time.monotonic()
    failed = {}
    with Server("--max-message", str(MESSAGE), over=over) as server:
        suite = Suite(server)

        def fail(name, faults):
            if faults:
                failed.setdefault(name, []).extend(faults)

        slow = [(name, function) for name, function, is_slow, _ in chosen if is_slow]
        if slow:
            with concurrent.futures.ThreadPoolExecutor(len(slow)) as pool:
                def all_at_once(port):
                    running = {pool.submit(function, port): name for name, function in slow}
                    for future in concurrent.futures.as_completed(running):
                        try:
                            future.result()
                        except Exception as error:
                            fail(running[future], [f"{type(error).__name__}: {error}"])
                fail("slow: all together", suite.run("slow: all together", all_at_once))
        for name, function, is_slow, _ in chosen:
            if is_slow:
                continue
            begun = time.monotonic()
            fail(name, suite.run(name, function))
            if verbose:
                took = time.monotonic() - begun
                print(f"{took:5.1f} s, {server.rss():5.0f} MiB  {name}", flush=True)
            if server.process.poll() is not None:
                break
        crashed = server.process.poll() is not None
        if not crashed:
            suite.pipe.send("end")
            suite.client.join(5)
            remains = server.rss() - suite.start_memory
            if remains > REMAINS:
                fail("in the end", [f"{remains:.0f} MiB more than at the start"])
            if server.stop() != 0:
                fail("in the end", ["the program did not end well"])
    for name, faults in failed.items():
        print(f"FAILED {name}")
        for fault in faults:
            print(f"       {fault}")
    units = {"latency": (1000, "ms p99"), "memory": (1, "MiB more"),
             "processor": (100, "% afterwards")}
    for what, (value, name) in suite.worst.items():
        factor, unit = units[what]
        print(f"worst {what}: {value * factor:.0f} {unit}, {name}")
    print(f"{over}: {len(chosen)} cases, {len(failed)} failed, {time.monotonic() - started:.0f} s",
          flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

"""The echo program with the Python package `websockets` as its client."""

import asyncio
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))

import websockets
from server_process import DEADLINE, ServerProcess
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

LIMIT = 64 * 1024


class EchoServerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server = await self.enterAsyncContext(ServerProcess(
            "echo_server", "--port", "0", "--max-message", str(LIMIT)))
        self.client = await self.connect()

    async def connect(self, **options):
        client = await websockets.connect(
            self.server.base + "/websocket/echo", open_timeout=DEADLINE, **options
        )
        self.addAsyncCleanup(client.close)
        return client

    async def echo(self, message):
        await self.client.send(message)
        return await asyncio.wait_for(self.client.recv(), DEADLINE)

    async def closed(self, client):
        await asyncio.wait_for(client.wait_closed(), DEADLINE)
        return client.close_code

    async def test_text_and_binary(self):
        for message in ("hello", "ü 你好 👋\0", "", b"\x00\xff", b"", bytearray(b"bytes")):
            self.assertEqual(await self.echo(message), message)

    async def test_fragmented(self):
        self.assertEqual(await self.echo(["frag", "men", "ted", ""]), "fragmented")
        self.assertEqual(await self.echo([b"\x01"] * 300), b"\x01" * 300)

    async def test_sizes(self):
        for size in (1, 125, 126, 127, 65535, LIMIT):
            self.assertEqual(await self.echo("x" * size), "x" * size)
            data = bytes(number % 251 for number in range(size))
            self.assertEqual(await self.echo(data), data)

    async def test_too_big(self):
        await self.client.send(b"x" * (LIMIT + 1))
        self.assertEqual(await self.closed(self.client), 1009)
        other = await self.connect()
        await other.send([b"x" * LIMIT, b"x"])
        self.assertEqual(await self.closed(other), 1009)

    async def test_burst_in_order(self):
        for number in range(500):
            await self.client.send(str(number))
        for number in range(500):
            self.assertEqual(await asyncio.wait_for(self.client.recv(), DEADLINE), str(number))

    async def test_ping(self):
        for payload in (b"", b"x" * 125):
            pong = await self.client.ping(payload)
            await asyncio.wait_for(pong, DEADLINE)

    async def test_without_an_offer_of_compression(self):
        plain = await self.connect(compression=None)
        await plain.send("hello")
        self.assertEqual(await asyncio.wait_for(plain.recv(), DEADLINE), "hello")

    async def test_close(self):
        await self.client.close(4321, "bye ü")
        self.assertEqual((self.client.close_code, self.client.close_reason), (4321, "bye ü"))


class DeflateTest(unittest.IsolatedAsyncioTestCase):
    async def test_each_offer(self):
        server = await self.enterAsyncContext(
            ServerProcess("echo_server", "--port", "0", "--deflate")
        )
        text = '{"symbol":"ü","price":1}' * 2000
        offers = [
            {},
            {"client_max_window_bits": True},
            {"server_max_window_bits": 9, "client_max_window_bits": 9},
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
        ]
        for offer in offers:
            with self.subTest(offer):
                client = await websockets.connect(
                    server.base + "/websocket/echo",
                    open_timeout=DEADLINE,
                    compression=None,
                    extensions=[ClientPerMessageDeflateFactory(**offer)],
                )
                self.addAsyncCleanup(client.close)
                # Newer versions of the package keep them elsewhere.
                holder = client if hasattr(client, "extensions") else client.protocol
                (agreed,) = holder.extensions
                self.assertEqual(agreed.name, "permessage-deflate")
                self.assertTrue(agreed.remote_no_context_takeover)
                self.assertTrue(agreed.local_no_context_takeover)
                self.assertEqual(
                    agreed.remote_max_window_bits, offer.get("server_max_window_bits", 15)
                )
                for message in (text, text.encode(), "", b"", "x", [text[:500]] * 20, text):
                    await client.send(message)
                    expected = "".join(message) if isinstance(message, list) else message
                    self.assertEqual(await asyncio.wait_for(client.recv(), DEADLINE), expected)


if __name__ == "__main__":
    unittest.main(verbosity=2)

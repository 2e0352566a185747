"""The demo program with the Python package `websockets` as its clients."""

import asyncio
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))

import websockets
from server_process import DEADLINE, ServerProcess


def push_server():
    return ServerProcess("push_server", "--port", "0", "--threads", "2")


def sent(accepted=0, refused=0, closing=0, offline=0):
    return f"sent accepted={accepted} refused={refused} closing={closing} offline={offline}"


async def up_to(client, last):
    """All messages up to and with this one."""
    received = []
    while not received or received[-1] != last:
        received.append(await asyncio.wait_for(client.recv(), DEADLINE))
    return received


class PushServerTest(unittest.IsolatedAsyncioTestCase):
    async def join(self, server, path):
        client = await websockets.connect(server.base + path, open_timeout=DEADLINE)
        self.addAsyncCleanup(client.close)
        client.told = await server.event("open ")
        return client

    async def test_two_users_with_three_sessions(self):
        async with push_server() as server:
            first = await self.join(server, "/websocket/0001")
            second = await self.join(server, "/websocket/0002")
            third = await self.join(server, "//websocket/0002")
            self.assertRegex(third.told, r"^open user=0002 session=\d+ sessions=3$")

            self.assertEqual(await server.command("all hello"), sent(accepted=3))
            self.assertEqual(await server.command("one 0002 you"), sent(accepted=2))
            self.assertEqual(
                await server.command("more 0001,0003,0001 some"), sent(accepted=1, offline=1)
            )
            self.assertEqual(await server.command("all last"), sent(accepted=3))
            self.assertEqual(await up_to(first, "last"), ["hello", "some", "last"])
            for client in (second, third):
                self.assertEqual(await up_to(client, "last"), ["hello", "you", "last"])

    async def test_closing_one_session_keeps_the_other_pushed_to(self):
        async with push_server() as server:
            older = await self.join(server, "/websocket/0002")
            newer = await self.join(server, "/websocket/0002")
            await older.close(4001, "enough")
            self.assertEqual((older.close_code, older.close_reason), (4001, "enough"))
            self.assertRegex(await server.event("close user=0002 "), r"code=4001 sessions=1 ")
            self.assertEqual(await server.command("one 0002 there?"), sent(accepted=1))
            self.assertEqual(await asyncio.wait_for(newer.recv(), DEADLINE), "there?")

    async def test_messages_of_all_kinds_are_told(self):
        async with push_server() as server:
            client = await self.join(server, "/websocket/0001")
            text = '{"msg":"ü 你好","type":"add"}'
            await client.send(text)
            line = await server.event("message user=0001 ")
            self.assertTrue(line.endswith(f" type=text bytes=32 text={text}"), line)
            await client.send(b"\x00\xff")
            self.assertRegex(await server.event("message "), r" type=binary bytes=2$")
            await client.send(["frag", "men", "ted"])
            line = await server.event("message ")
            self.assertRegex(line, r" type=text bytes=10 text=fragmented$")
            await client.send("")
            self.assertRegex(await server.event("message "), r" type=text bytes=0 text=$")

    async def test_another_path_gets_404(self):
        async with push_server() as server:
            with self.assertRaises(websockets.InvalidStatusCode) as refused:
                await websockets.connect(server.base + "/elsewhere", open_timeout=DEADLINE)
            self.assertEqual(refused.exception.status_code, 404)

    async def test_sigterm_closes_with_1001(self):
        async with push_server() as server:
            clients = [await self.join(server, f"/websocket/{user}") for user in ("a", "b", "b")]
            self.assertEqual(await server.stop(), 0)
            for client in clients:
                await asyncio.wait_for(client.wait_closed(), DEADLINE)
                self.assertEqual(client.close_code, 1001)

    async def test_end_of_input_does_not_stop_it(self):
        async with push_server() as server:
            server.process.stdin.close()
            await server.event("input closed")
            client = await self.join(server, "/websocket/0001")
            await client.send("still read")
            await server.event("message user=0001 ")
            self.assertEqual(await server.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

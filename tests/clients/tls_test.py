"""TLS with the Python package `websockets` as its client."""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))

import websockets
from server_process import DEADLINE, ServerProcess


class TlsTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        program = os.path.join(os.environ["PUSHHUB_BIN_DIR"], "make_certificates")
        subprocess.run([program, cls.directory], check=True, timeout=DEADLINE)

    def path(self, file):
        return os.path.join(self.directory, file)

    def context(self):
        return ssl.create_default_context(cafile=self.path("ca.pem"))

    async def start(self, certificate, *args):
        return await self.enterAsyncContext(
            ServerProcess("echo_server", "--port", "0", "--tls", self.path(certificate + ".pem"),
                          self.path(certificate + ".key"), *args)
        )

    async def connect(self, server, context):
        client = await websockets.connect(
            server.base + "/websocket/echo", ssl=context, open_timeout=DEADLINE
        )
        self.addAsyncCleanup(client.close)
        return client

    async def check_echo(self, client):
        for message in ("hello", b"x" * 65536, ""):
            await client.send(message)
            self.assertEqual(await asyncio.wait_for(client.recv(), DEADLINE), message)

    async def test_messages(self):
        server = await self.start("good")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context()
            context.minimum_version = context.maximum_version = version
            client = await self.connect(server, context)
            await self.check_echo(client)
            await client.close(4321, "bye")
            self.assertEqual((client.close_code, client.close_reason), (4321, "bye"))

    async def test_what_a_client_refuses(self):
        for certificate, reason in (
            ("expired", "certificate has expired"),
            ("elsewhere", "IP address mismatch"),
            ("unknown", "unable to get local issuer certificate"),
        ):
            server = await self.start(certificate)
            with self.assertRaises(ssl.SSLCertVerificationError) as raised:
                await self.connect(server, self.context())
            self.assertIn(reason, raised.exception.verify_message)

    async def test_client_certificate(self):
        server = await self.start("good", "--client-ca", self.path("ca.pem"))
        context = self.context()
        context.load_cert_chain(self.path("device.pem"), self.path("device.key"))
        await self.check_echo(await self.connect(server, context))
        with self.assertRaises((ssl.SSLError, OSError, websockets.exceptions.WebSocketException)):
            await self.connect(server, self.context())


if __name__ == "__main__":
    unittest.main(verbosity=2)

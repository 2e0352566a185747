"""Starts a program under test and reads what it prints, with deadlines instead of sleeps."""

import asyncio
import os
import re
import signal

DEADLINE = 20.0

ANSWER = re.compile(r"(sent|online|unknown) ")


class ServerProcess:
    """`async with ServerProcess("push_server", ...)`: the program is gone when the block ends."""

    def __init__(self, name, *args):
        self.name = name
        self.args = args
        self.printed = []
        self.events = asyncio.Queue()
        self.answers = asyncio.Queue()

    async def __aenter__(self):
        directory = os.environ.get("PUSHHUB_BIN_DIR")
        if not directory:
            raise RuntimeError("PUSHHUB_BIN_DIR must name the directory of the built programs")
        self.process = await asyncio.create_subprocess_exec(
            os.path.join(directory, self.name),
            *self.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.reader = asyncio.create_task(self._read())
        try:
            first = await self.event("listening on ")
            self.base = re.fullmatch(r"listening on (wss?://\S+:\d+)/\S*", first).group(1)
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(self, *_):
        await self._kill()

    async def _kill(self):
        if self.process.returncode is None:
            self.process.kill()
        await asyncio.wait_for(self.process.wait(), DEADLINE)
        await asyncio.wait_for(self.reader, DEADLINE)

    async def _read(self):
        while line := await self.process.stdout.readline():
            text = line.decode().rstrip("\n")
            self.printed.append(text)
            if ANSWER.match(text):
                self.answers.put_nowait(text)
            elif not text.startswith("page on "):
                self.events.put_nowait(text)

    async def event(self, start):
        """The next event, which has to begin with `start`."""
        line = await asyncio.wait_for(self.events.get(), DEADLINE)
        if not line.startswith(start):
            raise AssertionError(f"wanted '{start}…', got '{line}'")
        return line

    async def command(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        return await asyncio.wait_for(self.answers.get(), DEADLINE)

    async def stop(self, number=signal.SIGTERM):
        """Ends the program as an operator would; its exit code."""
        self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), DEADLINE)
        await asyncio.wait_for(self.reader, DEADLINE)
        return code

"""Processes of their own for workloads that ask what one role costs: a child opens a role and answers questions.

A role is a class whose instances are asynchronous context managers; its public coroutine methods are the questions. One
JSON line per question and answer, on the child's standard input and output.
"""

import asyncio
import gc
import importlib
import json
import sys
import time
from types import TracebackType
from typing import Any

from bench.harness import resident_bytes

LONGEST_LINE = 2**26


class Child:
    """A role in a process of its own: `async with Child("bench.cpu:Worker", url=...) as worker:`."""

    def __init__(self, role: str, **options: Any) -> None:
        self._command = [sys.executable, "-m", "bench.processes", role, json.dumps(options)]
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> "Child":
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LONGEST_LINE
        )
        await self._answer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def ask(self, question: str, **arguments: Any) -> Any:
        """What the role's method of that name returns; every child knows `cpu` (seconds), `memory` (bytes) and
        `blocks` (what the interpreter has allocated)."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([question, arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._command[3]} ended before it answered; its error is above")
        return json.loads(line)


async def _serve(role: str, options: dict[str, Any]) -> None:
    module, _, name = role.partition(":")
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with getattr(importlib.import_module(module), name)(**options) as asked:
        print("null", flush=True)
        while line := await reader.readline():
            question, arguments = json.loads(line)
            if question == "cpu":
                answer: Any = time.process_time()
            elif question == "memory":
                answer = resident_bytes()
            elif question == "blocks":
                gc.collect()
                answer = sys.getallocatedblocks()
            else:
                answer = await getattr(asked, question)(**arguments)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], json.loads(sys.argv[2])))

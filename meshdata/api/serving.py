"""Serve an ASGI app by uvicorn on a socket that is bound already, until a signal says stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from meshdata.errors import InvalidOptions


class _Server(uvicorn.Server):
    """A server that says when it is ready, and whose process ends well after a signal."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own raises the signal again once it is done, and the command would end as if killed.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # the second time it waits for nobody
        self.should_exit = True


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; port 0 takes a free one.

    Raises:
        InvalidOptions: the address is not to be had.
    """
    bare = host.strip("[]")
    try:
        listener = socket.create_server((bare, port), family=socket.AF_INET6 if ":" in bare else socket.AF_INET)
    except OSError as problem:
        said = problem.strerror or problem
        raise InvalidOptions(f"cannot listen on {host}:{port}: {said}", argument="port") from problem
    with listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    """Where it can be asked: http://127.0.0.1:3010."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve the app until SIGTERM or SIGINT; requests under way are answered first. Its mesh is open already."""
    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=10)
    await _Server(config, ready).serve(sockets=[listener])

"""`meshdata redis`: the embedded Redis in the foreground, for trying things from several terminals without Docker."""

import signal
import threading
from types import FrameType

from rich.console import Console

from meshdata.cli.output import Place, run, show
from meshdata.store.embedded import EmbeddedServer

LOOK_S = 0.5
"""How often the server is asked whether it still lives."""


def serve_redis(place: Place, path: str | None) -> int:
    """Run a Redis with search until Ctrl-C or SIGTERM. With a path its data is kept there, without one nowhere."""

    def body() -> None:
        stop = threading.Event()

        def told(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, told)
        with EmbeddedServer(path) as server:
            _say_ready(place, server)
            # Waiting in slices: a wait without an end would keep Python from seeing the signal on some platforms.
            while not stop.wait(LOOK_S):
                pass
        if not place.as_json:
            Console(stderr=True).print("stopped", style="dim")

    return run(place, body)


def _say_ready(place: Place, server: EmbeddedServer) -> None:
    if place.as_json:
        show(place, {"url": server.url, "path": None if server.path is None else str(server.path)})
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    kept = f"data is kept in {server.path}" if server.path else "its data goes when it stops"
    console.print(f"Redis with search is running; {kept}; Ctrl-C stops it. In another terminal:", style="green")
    print(f"export MESHDATA_URL={server.url}", flush=True)

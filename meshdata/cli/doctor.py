"""`meshdata doctor`: look at the server and the namespace, say what is well, what is risky and what to do about it."""

import time
from dataclasses import asdict, dataclass

from rich.console import Console

from meshdata.cli.output import FAILED, OK, Place, show, with_mesh
from meshdata.errors import MeshError
from meshdata.mesh import MeshData
from meshdata.store.keys import FORMAT
from meshdata.store.store import Store

PINGS = 20
SLOW_MS = 5.0
"""A round trip that makes a durable call, which is one, feel slow."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. level: "ok", "risk" (works, but may hurt later) or "fault" (something will not work)."""

    level: str
    what: str
    found: str
    advice: str = ""


async def examine(mesh: MeshData) -> list[Finding]:
    """Everything the doctor looks at, the server first."""
    store = mesh.store
    info = await _info(store)
    return [
        _server(store, info),
        await _round_trip(store),
        _search(store),
        *await _namespace(mesh),
        *await _persistence(store, info),
        *await _memory(store, info),
    ]


def _server(store: Store, info: dict[str, str]) -> Finding:
    features = store.connections.features
    name = f"{features.product or 'unknown'} {features.version}".strip()
    if info.get("role") not in (None, "master"):
        return Finding(
            "fault", "server", f"{name}, a {info['role']}", "Connect to the master: a replica takes no writes."
        )
    return Finding("ok", "server", name)


async def _round_trip(store: Store) -> Finding:
    times = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await store.command(0, "PING")
        times.append((time.perf_counter() - began) * 1000)
    middle = sorted(times)[PINGS // 2]
    if middle > SLOW_MS:
        return Finding(
            "risk", "round trip", f"{middle:.1f} ms", "Each durable call costs one; move nearer to the Redis."
        )
    return Finding("ok", "round trip", f"{middle:.2f} ms")


def _search(store: Store) -> Finding:
    if store.has_search:
        return Finding("ok", "search", "FT.* commands are there")
    advice = "Everything but search works. Use redis-stack-server, Redis 8, or `meshdata redis` to have it."
    return Finding("risk", "search", "no search module", advice)


async def _namespace(mesh: MeshData) -> list[Finding]:
    store = mesh.store
    stored = await store.command(0, "HGETALL", store.keys.meta)
    meta = {name.decode(): value.decode() for name, value in stored.items()}
    parts = meta.get("partitions", "?")
    form = meta.get("format", "?")
    words = f"{mesh.namespace}: {parts} partition{'' if parts == '1' else 's'}, format {form}"
    findings = [Finding("ok" if form == FORMAT else "fault", "namespace", words)]
    waiting = sum([await store.command(p, "XLEN", store.keys.dead(p)) for p in range(store.partitions)])
    if waiting:
        advice = "Runs that brought down every process that took them; their jobs have failed."
        findings.append(Finding("risk", "dead letters", str(waiting), advice))
    return findings


async def _persistence(store: Store, info: dict[str, str]) -> list[Finding]:
    if info.get("loading") == "1":
        return [Finding("risk", "persistence", "still loading its data")]
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return [
                Finding("fault", "persistence", "the append-only file cannot be written", "Free space on its disk.")
            ]
        every = await _setting(store, "appendfsync")
        return [Finding("ok", "persistence", f"append-only file{f', fsync {every}' if every else ''}")]
    snapshots = await _setting(store, "save")
    found = f"snapshots only ({snapshots})" if snapshots else "nothing is written to disk"
    if snapshots is None:
        found = "no append-only file; whether there are snapshots is not told to this user"
    advice = "A restart loses jobs. Set `appendonly yes` and `appendfsync everysec`."
    return [Finding("risk", "persistence", found, advice)]


async def _memory(store: Store, info: dict[str, str]) -> list[Finding]:
    used = info.get("used_memory_human", "?")
    policy = info.get("maxmemory_policy") or await _setting(store, "maxmemory-policy")
    limit = info.get("maxmemory", "0")
    bound = f"{used} used" + (f" of {info.get('maxmemory_human', limit)}" if limit != "0" else ", no limit")
    if policy not in (None, "noeviction") and limit != "0":
        advice = "Redis may throw away jobs when memory runs short. Set `maxmemory-policy noeviction`."
        return [Finding("fault", "memory", f"{bound}, {policy}", advice)]
    return [Finding("ok", "memory", f"{bound}{f', {policy}' if policy else ''}")]


async def _info(store: Store) -> dict[str, str]:
    try:
        reply = await store.command(0, "INFO")
    except MeshError:  # an ACL may forbid it; then those lines say what they do not know
        return {}
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


async def _setting(store: Store, name: str) -> str | None:
    """A server setting; None where the server does not tell it (a hosted Redis, an ACL)."""
    try:
        reply = await store.command(0, "CONFIG", "GET", name)
    except MeshError:
        return None
    value = reply.get(name.encode()) if isinstance(reply, dict) else None
    return None if value is None else value.decode()


_MARKS = {"ok": "[green]ok   [/]", "risk": "[yellow]risk [/]", "fault": "[red]fault[/]"}


def doctor(place: Place) -> int:
    """Print the findings; 1 if one of them is a fault."""

    async def body(mesh: MeshData) -> int:
        findings = await examine(mesh)
        if place.as_json:
            show(place, [asdict(one) for one in findings])
        else:
            console = Console(highlight=False, soft_wrap=True)
            for one in findings:
                console.print(f"{_MARKS[one.level]}  {one.what:<12} {one.found}")
                if one.advice:
                    console.print(f"       {'':<12} [dim]{one.advice}[/]")
        return FAILED if any(one.level == "fault" for one in findings) else OK

    return with_mesh(place, body)

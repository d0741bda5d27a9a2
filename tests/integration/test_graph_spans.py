"""How a job is seen by OpenTelemetry: names, attributes, what stands below what; by a tracer that only notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from meshdata import HotMesh, telemetry
from meshdata.errors import JobFailed
from meshdata.hotmesh import StreamData
from tests.integration.conftest import OpenMesh

MODEL = """app:
  id: seen
  version: '1'
  graphs:
    - subscribes: run
      activities:
        t1: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        w1:
          type: worker
          topic: work
          input: {maps: {fails: '{t1.output.data.fails}'}}
          telemetry: {n: '{$job.metadata.jid}', nested: {a: 1}}
        h1: {type: hook}
      transitions:
        t1: [{to: w1}]
        w1: [{to: h1, conditions: {code: 200}}]
"""


class Span(NamedTuple):
    """One span, noted."""

    name: str
    attributes: dict[str, Any]
    trace: str | None
    parent: str | None
    id: int
    failures: list[str]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    found: list[Span] = []

    @contextmanager
    def start(name: str, attributes: Any, trace: str | None, parent: str | None) -> Iterator[Span]:
        found.append(Span(name, dict(attributes), trace, parent, len(found) + 1, []))
        yield found[-1]

    monkeypatch.setattr(telemetry, "_start_remote_span", start)
    monkeypatch.setattr("meshdata.graph.spans.span_ids", lambda span: (span.trace or "f" * 32, f"{span.id:016x}"))
    monkeypatch.setattr("meshdata.graph.host.mark_failed", lambda span, message: span.failures.append(message))
    return found


async def work(asked: StreamData) -> dict[str, Any]:
    if asked.data.get("fails"):
        raise ValueError("no")
    return {}


@pytest.fixture
async def hot(open_mesh: OpenMesh, no_leaks: set[str]) -> Any:
    no_leaks |= {"app:seen"}
    async with await HotMesh.init("seen", await open_mesh(), workers=[("work", work)]) as found:
        await found.deploy(MODEL)
        await found.activate("1")
        yield found


async def test_a_job_its_legs_and_its_work_stand_below_the_callers_span(hot: HotMesh, seen: list[Span]) -> None:
    context = {"trc": "a" * 32, "spn": "b" * 16}
    await hot.pubsub("run", {"id": "j"}, context=context, timeout=10)
    assert sorted(span.name for span in seen) == [
        "EXECUTE/seen/w1/work", "HOOK/seen/h1/1", "JOB/seen/run/1", "WORKER/seen/w1/1", "WORKER/seen/w1/2",
    ]  # fmt: skip
    by_name = {span.name: span for span in seen}
    job = by_name["JOB/seen/run/1"]
    assert (job.trace, job.parent, job.attributes["app.job.jid"]) == ("a" * 32, "b" * 16, "j")
    assert {span.trace for span in seen} == {"a" * 32}
    assert {span.parent for span in seen if span is not job} == {f"{job.id:016x}"}
    leg = by_name["WORKER/seen/w1/2"].attributes
    assert (leg["app.activity.leg"], leg["app.activity.aid"], leg["app.job.jss"]) == (2, "w1", 0)
    assert leg["app.activity.data.n"] == "j" and "app.activity.data.nested" not in leg
    assert by_name["EXECUTE/seen/w1/work"].attributes["app.stream.jid"] == "j"


async def test_a_worker_that_fails_is_seen_as_failed(hot: HotMesh, seen: list[Span]) -> None:
    with pytest.raises(JobFailed):
        await hot.pubsub("run", {"id": "j", "fails": True}, timeout=10)
    [execute] = [span for span in seen if span.name.startswith("EXECUTE")]
    assert execute.failures == ["Function Status Code 500"]


async def test_without_opentelemetry_a_job_has_no_trace(hot: HotMesh) -> None:
    output = await hot.pubsub("run", {"id": "j"}, timeout=10)
    assert "trc" not in output.metadata and "spn" not in output.metadata

"""Loggers and spans: facts ride beside a constant phrase, and nothing is needed to run."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Any

import pytest

from meshdata import telemetry


def test_facts_ride_in_the_record_and_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="meshdata"):
        telemetry.get_logger("meshdata.x").info(
            "job started", extra=telemetry.facts(job_id="user:1", leg=1, entity=None)
        )
    record = caplog.records[0]
    assert (record.getMessage(), record.__dict__["job_id"], record.__dict__["leg"]) == ("job started", "user:1", 1)
    assert "entity" not in record.__dict__


def test_a_fact_named_like_one_of_loggings_own_does_not_raise(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="meshdata"):
        telemetry.get_logger("meshdata.x").info("called", extra=telemetry.facts(name="greet", args=[1]))
    assert caplog.records[0].__dict__["mesh_name"] == "greet"


def test_without_opentelemetry_a_span_is_an_empty_block_that_nests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_start_span", None)
    with telemetry.span("mesh.exec", entity="user"), telemetry.span("store.start_job"):
        pass


def test_with_a_tracer_a_span_carries_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    @contextmanager
    def start(name: str, attributes: Any) -> Any:
        seen.append((name, dict(attributes)))
        yield

    monkeypatch.setattr(telemetry, "_start_span", start)
    with telemetry.span("mesh.exec", entity="user"):
        assert seen == [("mesh.exec", {"meshdata.entity": "user"})]


def test_a_span_of_elsewhere_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    @contextmanager
    def start(*told: Any) -> Any:
        seen.append(told)
        yield "span"

    monkeypatch.setattr(telemetry, "_start_remote_span", start)
    with telemetry.remote_span("JOB/shop/order/1", {"app.job.jid": "j"}, trace="ab", parent="cd") as span:
        assert span == "span"
    assert seen == [("JOB/shop/order/1", {"app.job.jid": "j"}, "ab", "cd")]


def test_without_opentelemetry_there_is_nothing_to_go_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_start_remote_span", None)
    with telemetry.remote_span("JOB/shop/order/1", {}) as span:
        assert span is None and telemetry.span_ids(span) is None
        telemetry.mark_failed(span, "it failed")

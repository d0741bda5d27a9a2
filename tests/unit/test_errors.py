"""Errors keep their facts, read as sentences, and survive the way through Redis."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata import errors
from meshdata.errors import (
    ActivityFailed,
    ChildFailed,
    CorruptRecord,
    EntityNotFound,
    Fatal,
    FatalFailure,
    IndexNotFound,
    IndexOutdated,
    InvalidOptions,
    JobCancelled,
    JobExists,
    JobExpired,
    JobFailed,
    JobInterrupted,
    JobNotFound,
    MeshError,
    MeshTimeout,
    ModelError,
    ModelProblem,
    NotInWorkflow,
    QueryInvalid,
    QuorumNotReached,
    RecordNotFound,
    ReplayError,
    RetriesExhausted,
    RevisionConflict,
    ScriptFailed,
    SearchUnavailable,
    StoreUnavailable,
    Suspended,
    TimedOut,
    VersionNotFound,
    failure_from_payload,
    failure_payload,
)

JOB = "user:jsmith"
SAMPLES: list[tuple[MeshError, dict[str, Any]]] = [
    (EntityNotFound("user"), {"entity": "user", "code": 404}),
    (InvalidOptions("is negative", argument="ttl"), {"argument": "ttl", "message": "is negative", "code": 400}),
    (ModelError("is needed", graph="order.placed", line=3), {"graph": "order.placed", "line": 3, "activity": None}),
    (NotInWorkflow("sleep_for"), {"verb": "sleep_for"}),
    (JobNotFound(job_id=JOB), {"job_id": JOB, "code": 404}),
    (JobExists(job_id=JOB), {"job_id": JOB, "code": 409}),
    (JobInterrupted(job_id=JOB, reason="moved", code=411), {"job_id": JOB, "reason": "moved", "code": 411}),
    (JobCancelled(job_id=JOB, reason="moved"), {"job_id": JOB, "reason": "moved", "code": 410}),
    (JobExpired(job_id=JOB), {"job_id": JOB}),
    (
        JobFailed("no card", job_id=JOB, type="ValueError", attempts=3, remote_traceback="line 1"),
        {"message": "no card", "type": "ValueError", "code": 500, "attempts": 3, "remote_traceback": "line 1"},
    ),
    (ActivityFailed("x", job_id=JOB, code=598), {"code": 598}),
    (RetriesExhausted("x", job_id=JOB), {"code": 597}),
    (TimedOut("x", job_id=JOB), {"code": 596}),
    (FatalFailure("x", job_id=JOB), {"code": 598}),
    (failure_from_payload({"code": 597}, ActivityFailed, JOB), {"code": 597}),
    (failure_from_payload({"code": 596}, ChildFailed, JOB), {"code": 596}),
    (ChildFailed("x", job_id="child:1"), {"job_id": "child:1"}),
    (RecordNotFound("user", "jsmith"), {"entity": "user", "id": "jsmith", "code": 404}),
    (RevisionConflict("user", "jsmith", 3, 4), {"expected": 3, "found": 4, "code": 409}),
    (VersionNotFound("Version 2 does not exist for app x", app="x", version="2"), {"version": "2", "code": 404}),
    (QuorumNotReached("Quorum not reached.", app="x", version="2", missing=["p"]), {"missing": ("p",), "code": 503}),
    (ReplayError("activity greet", "sleep_for", ",0/0/2"), {"expected": "activity greet", "position": ",0/0/2"}),
    (StoreUnavailable("Redis did not answer."), {"code": 503}),
    (ScriptFailed("ERR no", script="step.lua"), {"script": "step.lua", "message": "ERR no"}),
    (CorruptRecord("no JSON", key="mesh:{x}:r:user:1"), {"key": "mesh:{x}:r:user:1"}),
    (IndexNotFound("There is no index."), {"code": 404}),
    (IndexOutdated("It was made by newer code.", missing=["plan"]), {"missing": ["plan"]}),
    (QueryInvalid("Syntax error."), {"code": 400}),
    (SearchUnavailable(), {}),
    (MeshTimeout(job_id=JOB, timeout_s=1.5), {"job_id": JOB, "timeout_s": 1.5, "code": 504}),
]
EACH = pytest.mark.parametrize(("error", "facts"), SAMPLES, ids=[type(error).__name__ for error, _ in SAMPLES])


def the_same(left: BaseException, right: BaseException) -> bool:
    return type(left) is type(right) and left.args == right.args and left.__dict__ == right.__dict__


@EACH
def test_facts_are_attributes(error: MeshError, facts: dict[str, Any]) -> None:
    assert {name: getattr(error, name) for name in facts} == facts


@EACH
def test_facts_survive_pickle_and_copy(error: MeshError, facts: dict[str, Any]) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert the_same(twin, error)
        assert str(twin) == str(error)


@EACH
def test_text_is_a_sentence(error: MeshError, facts: dict[str, Any]) -> None:
    text = str(error)
    assert text and "\n" not in text and "None" not in text and "''" not in text


def test_a_model_error_lists_its_problems_and_tells_the_first() -> None:
    problems = (
        ModelProblem("is needed", graph="order.placed", activity="w1", field="topic", line=7, file="order.yaml"),
        ModelProblem("is no text", line=3),
    )
    error = pickle.loads(pickle.dumps(ModelError(problems=problems)))
    assert error.problems == problems
    assert (error.message, error.graph, error.activity) == ("is needed", "order.placed", "w1")
    assert (error.field, error.line, error.file) == ("topic", 7, "order.yaml")
    assert str(error).splitlines() == [
        "The model has 2 problems:",
        "  order.yaml:7, graph order.placed, activity w1, field topic: is needed",
        "  line 3: is no text",
    ]


def test_a_job_error_names_its_job() -> None:
    assert all(error.job_id in str(error) for error, _ in SAMPLES if isinstance(error, errors.JobError))


def test_a_timeout_is_caught_as_the_builtin_one() -> None:
    with pytest.raises(TimeoutError, match="gave no result in 2 s"):
        raise MeshTimeout(job_id=JOB, timeout_s=2)


def test_except_exception_does_not_catch_a_suspension() -> None:
    assert not issubclass(Suspended, Exception)


def test_fatal_is_an_ordinary_exception_and_none_of_ours() -> None:
    assert issubclass(Fatal, Exception) and not issubclass(Fatal, MeshError)


# --- across Redis -----------------------------------------------------------------------------------------------------


def raised(error: BaseException) -> BaseException:
    """The error with a traceback, as a worker has it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_failure_crosses_as_plain_values_and_comes_back_with_its_facts() -> None:
    payload = json.loads(json.dumps(failure_payload(raised(ValueError("no card")), attempts=2)))
    failure = failure_from_payload(payload, job_id=JOB)
    assert type(failure) is JobFailed
    assert (failure.type, failure.message, failure.code, failure.attempts) == ("ValueError", "no card", 500, 2)
    assert "in raised" in failure.remote_traceback and failure.remote_traceback.endswith("ValueError: no card\n")
    assert str(failure) == "Job 'user:jsmith' failed after 2 attempts: ValueError: no card"


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("x"), 500), (Fatal("x"), 598), (JobInterrupted(job_id=JOB), 410), (RetriesExhausted("x"), 597)],
)
def test_the_code_is_the_errors_own_unless_another_is_given(error: Exception, code: int) -> None:
    assert failure_payload(error)["code"] == code
    assert failure_payload(error, code=596)["code"] == 596


def test_a_code_attribute_of_a_foreign_exception_is_not_taken_for_ours() -> None:
    foreign = ValueError("x")
    foreign.code = 598  # type: ignore[attr-defined]
    assert failure_payload(foreign)["code"] == 500


def test_an_escaped_activity_failure_keeps_its_root() -> None:
    root = failure_payload(raised(KeyError("card")), attempts=4)
    escaped = raised(failure_from_payload(root, RetriesExhausted, JOB))
    payload = failure_payload(escaped)
    assert (payload["type"], payload["message"], payload["code"]) == ("KeyError", "'card'", 500)
    assert payload["traceback"].index("KeyError") < payload["traceback"].index("where that was awaited")


def test_the_class_asked_for_is_the_class_that_comes() -> None:
    for cls in (JobFailed, ActivityFailed, RetriesExhausted, ChildFailed):
        assert type(failure_from_payload({"type": "E", "message": "m"}, cls, JOB)) is cls
    assert failure_from_payload({}, RetriesExhausted).code == 597


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def test_an_exception_whose_text_raises_is_told_all_the_same() -> None:
    payload = failure_payload(raised(Unreadable()))
    assert payload["type"] == "Unreadable" and "RuntimeError" in payload["message"]


def test_a_failure_is_bounded_and_keeps_the_end_of_its_traceback() -> None:
    payload = failure_payload(raised(ValueError("x" * 100_000 + "end")))
    assert len(payload["message"]) == errors.MESSAGE_LIMIT
    assert len(payload["traceback"]) == errors.TRACEBACK_LIMIT
    assert payload["traceback"].endswith("end\n")


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_message_can_be_stored_as_utf8(text: str) -> None:
    payload = failure_payload(ValueError(text))
    assert payload["message"].encode("utf-8").decode("utf-8") == payload["message"]
    assert json.loads(json.dumps(payload)) == payload

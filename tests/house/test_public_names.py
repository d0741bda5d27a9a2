"""What is public is a promise: these lists change by decision, never by accident."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

import meshdata
from meshdata import errors, testing

MESHDATA = [
    "HotMesh",
    "MeshCall",
    "MeshData",
    "MeshFlow",
    "MeshOS",
    "RateLimit",
    "RetryAfter",
    "RetryPolicy",
    "activity",
    "workflow",
]

WORKFLOW = [
    "Execution",
    "Interceptor",
    "Outbound",
    "activity",
    "all_",
    "cancel",
    "child",
    "condition",
    "continue_as_new",
    "deprecate_patch",
    "emit",
    "enrich",
    "exec_child",
    "get_context",
    "hook",
    "info",
    "interrupt",
    "logger",
    "now",
    "once",
    "patched",
    "proxy",
    "proxy_activities",
    "random",
    "run",
    "saga",
    "search",
    "shield",
    "signal",
    "sleep_for",
    "start_child",
    "state",
    "timeout",
    "trace",
    "uuid",
    "wait_for",
    "wait_for_all",
    "wait_for_any",
]

ERRORS = [
    "ActivityFailed",
    "CODE_EXHAUSTED",
    "CODE_EXISTS",
    "CODE_FAILED",
    "CODE_FATAL",
    "CODE_INTERRUPTED",
    "CODE_NOT_FOUND",
    "CODE_TIMEOUT",
    "CODE_WORKFLOW_TIMEOUT",
    "ChildFailed",
    "ContinueAsNew",
    "CorruptRecord",
    "EntityNotFound",
    "FINAL_CODES",
    "Fatal",
    "FatalFailure",
    "IndexNotFound",
    "IndexOutdated",
    "InvalidOptions",
    "JobCancelled",
    "JobError",
    "JobExists",
    "JobExpired",
    "JobFailed",
    "JobInterrupted",
    "JobNotFound",
    "MESSAGE_LIMIT",
    "MeshError",
    "MeshTimeout",
    "ModelError",
    "ModelProblem",
    "NotConnected",
    "NotInWorkflow",
    "QueryInvalid",
    "QuorumNotReached",
    "RecordExists",
    "RecordInvalid",
    "RecordNotFound",
    "ReplayError",
    "RetriesExhausted",
    "RetryAfter",
    "RevisionConflict",
    "ScriptFailed",
    "SearchError",
    "SearchUnavailable",
    "StoreError",
    "StoreUnavailable",
    "Suspended",
    "TRACEBACK_LIMIT",
    "TimedOut",
    "UniqueViolation",
    "UsageError",
    "VersionNotFound",
    "end_from_payload",
    "failure_from_payload",
    "failure_payload",
]

TESTING = ["Clock", "run_until_idle"]

VALUES = [
    "DURATION_LIMIT_MS",
    "Duration",
    "ENTITY_LIMIT",
    "ID_LIMIT",
    "check_entity",
    "check_id",
    "check_key",
    "duration_ms",
    "duration_parts",
    "from_json",
    "mint_id",
    "to_json",
]


def own_names(module: ModuleType) -> list[str]:
    """The public names a module defines itself: its classes and functions, and its constants."""
    constants = re.findall(r"^([A-Z]\w*)(?:: \w+)? = ", Path(str(module.__file__)).read_text(), re.MULTILINE)
    made = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return sorted({name for name in [*made, *constants] if not name.startswith("_") and name not in ("Failure",)})


def test_the_library_exports_what_it_promises() -> None:
    assert sorted(meshdata.__all__) == MESHDATA
    assert all(hasattr(meshdata, name) for name in MESHDATA)


def test_workflow_functions_have_the_verbs_they_are_promised() -> None:
    assert sorted(meshdata.workflow.__all__) == WORKFLOW
    assert all(hasattr(meshdata.workflow, name) for name in WORKFLOW)


def test_the_testing_package_exports_what_it_promises() -> None:
    assert set(testing.__all__) >= set(TESTING)
    assert all(hasattr(testing, name) for name in testing.__all__)


@pytest.mark.parametrize(("module", "names"), [("errors", ERRORS), ("values", VALUES)])
def test_a_module_defines_what_it_promises(module: str, names: list[str]) -> None:
    assert own_names(importlib.import_module(f"meshdata.{module}")) == names


def test_every_error_is_explained() -> None:
    assert [name for name in ERRORS if name[0].isupper() and getattr(errors, name).__doc__ in (None, "")] == []


def test_the_tree_drawn_at_the_top_of_errors_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []  # (column, name), from the root to the line before
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"(?P<marks>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:\((?P<base>\w+)\))?(?=\s|$)", line)
        if found and found["name"] in ERRORS:
            column = found.start("name")
            above = [one for one in above if one[0] < column]
            drawn[found["name"]] = found["base"] or (above[-1][1] if above else "Exception")
            above.append((column, found["name"]))
    classes = {name: value for name in ERRORS if isinstance(value := getattr(errors, name), type)}
    assert drawn == {name: cls.__bases__[0].__name__ for name, cls in classes.items()}

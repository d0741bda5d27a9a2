"""Bad input: a typed error at the call, which names the argument, before anything is written."""

import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from meshdata import MeshData, RetryPolicy, workflow
from meshdata.errors import InvalidOptions, JobFailed, NotInWorkflow, UsageError
from tests.integration.conftest import OpenMesh


async def greet(name: str, *, mark: str = "!") -> str:
    return f"hello {name}{mark}"


@pytest.fixture
async def served(mesh: MeshData, keys: Callable[[], set[str]]) -> AsyncIterator[MeshData]:
    """A mesh that serves one function; fails the test if a call left a key."""
    await mesh.connect("greet", greet)
    before = keys()
    yield mesh
    assert keys() == before


@dataclasses.dataclass
class User:
    name: str
    socket: Any


def refused(caught: pytest.ExceptionInfo[InvalidOptions], argument: str) -> None:
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")


# --- names and ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entity", ["a:b", "", "two words", "tab\t", "nul\0", "{a}", "a$", "x" * 129, None, 7, b"greet"], ids=ascii
)
async def test_an_entity_that_is_no_name(served: MeshData, entity: Any) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.exec(entity=entity, args=["x"])
    refused(caught, "entity")
    with pytest.raises(InvalidOptions):
        served.connect(entity, greet)
    with pytest.raises(InvalidOptions):
        served.handle(entity, "x")
    with pytest.raises(InvalidOptions):
        served.find(entity if isinstance(entity, str) else "a:b")


BAD_IDS = ["", "x" * 513, "é" * 257, "line\nbreak", "nul\0", "tab\t", "esc\x1b", "\x7f", "\u2028", "\ud800", 7, b"x"]


@pytest.mark.parametrize("id", BAD_IDS, ids=lambda id: ascii(id)[:20])
async def test_an_id_that_is_none(served: MeshData, id: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: served.exec(entity="greet", args=["x"], id=id),
        lambda: served.exec(entity="greet", args=["x"], id=id, ttl="1 minute", wait=False),
        lambda: served.hook(entity="greet", id=id, hook_entity="greet", args=["x"]),
        lambda: served.interrupt("greet", id),
        lambda: served.flush("greet", id),
        lambda: served.info("greet", id),
        lambda: served.get("greet", id, "x"),
        lambda: served.raw("greet", id),
        lambda: served.set("greet", id, {"a": 1}),
        lambda: served.incr("greet", id, "a"),
        lambda: served.delete("greet", id, "a"),
    ]
    for call in calls:
        with pytest.raises(InvalidOptions) as caught:
            await call()
        refused(caught, "id")
    with pytest.raises(InvalidOptions):
        served.handle("greet", id)


@pytest.mark.parametrize("key", ["", "x" * 513, "a\nb", None, 7], ids=lambda key: ascii(key)[:20])
async def test_a_signal_key_that_is_none(served: MeshData, key: Any) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.signal(key, 1)
    refused(caught, "key")


# --- durations --------------------------------------------------------------------------------------------------------

BAD_DURATIONS = [
    "15 bananas", "soon", "", "15", "-1 minute", "1 minute and a bit", "1" * 200 + " s", "20000 years",
    -1, -0.5, float("nan"), timedelta(seconds=-1), True, [],
]  # fmt: skip


@pytest.mark.parametrize("ttl", [*BAD_DURATIONS, 0, "0 s"], ids=lambda ttl: ascii(ttl)[:20])
async def test_a_ttl_that_is_no_duration(served: MeshData, ttl: Any) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.exec(entity="greet", args=["x"], id="x", ttl=ttl)
    refused(caught, "ttl")
    with pytest.raises(InvalidOptions):
        served.connect("other", greet, ttl=ttl)


@pytest.mark.parametrize("limit", BAD_DURATIONS, ids=lambda limit: ascii(limit)[:20])
async def test_a_time_limit_that_is_none(served: MeshData, limit: Any) -> None:
    for wait in (True, False):
        with pytest.raises(InvalidOptions) as caught:
            await served.exec(entity="greet", args=["x"], timeout=limit, wait=wait)
        refused(caught, "timeout")
    with pytest.raises(InvalidOptions):
        await served.handle("greet", "x").result(timeout=limit)
    with pytest.raises(InvalidOptions):
        await served.interrupt("greet", "x", ttl=limit)


async def test_a_ttl_without_an_id(served: MeshData) -> None:
    with pytest.raises(InvalidOptions, match="id") as caught:
        await served.exec(entity="greet", args=["x"], ttl="1 minute")
    refused(caught, "ttl")


async def test_flush_or_retry_without_an_id(served: MeshData) -> None:
    for option in ("flush", "retry_failed"):
        with pytest.raises(InvalidOptions) as caught:
            await served.exec(entity="greet", args=["x"], **{option: True})
        refused(caught, option)


# --- arguments --------------------------------------------------------------------------------------------------------


async def test_an_argument_that_cannot_be_sent_is_named_with_its_path(served: MeshData, open_mesh: OpenMesh) -> None:
    with socket.socket() as unsendable:
        user = User("jo", unsendable)
        cases: list[tuple[dict[str, Any], str]] = [
            ({"args": [user]}, "args[0].socket"),
            ({"args": [{"user": user}]}, "args[0].user.socket"),
            ({"args": ["x", [1, {"a b": (2, unsendable)}]]}, "args[1][1]['a b'][1]"),
            ({"kwargs": {"name": "x", "mark": user}}, "kwargs.mark.socket"),
            ({"args": [b"\xff".decode("latin-1"), "\ud800"]}, "args[1]"),
        ]
        client = await open_mesh()  # it does not know the signature, so it is the value that is refused
        for options, path in cases:
            with pytest.raises(InvalidOptions) as caught:
                await client.exec(entity="greet", **options)
            refused(caught, path)


async def test_a_value_that_contains_itself_or_is_too_deep(served: MeshData) -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(InvalidOptions) as caught:
            await served.exec(entity="greet", args=[value])
        assert caught.value.argument.startswith("args")


async def test_a_payload_or_a_seed_that_cannot_be_sent(served: MeshData) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.signal("key", {"a": [object()]})
    refused(caught, "payload.a[0]")
    for seeds in ({"a": object()}, {"_status": "x"}, {"": 1}, {1: 1}, ["a"], "text"):
        with pytest.raises(InvalidOptions):
            await served.exec(entity="greet", args=["x"], id="x", ttl="1 minute", state=seeds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [
        ([], {}, "name"),
        (["a", "b"], {}, "args[1]"),
        (["a"], {"name": "b"}, "name"),
        (["a"], {"marks": "?"}, "kwargs.marks"),
        ([], {"mark": "?"}, "name"),
        ("text", {}, "args"),
        ({"name": "x"}, {}, "args"),
        (None, {}, "args"),
        (["a"], [("mark", "?")], "kwargs"),
        (["a"], {1: "?"}, "kwargs"),
    ],
    ids=["missing", "too many", "twice", "unknown", "missing too", "text", "dict", "None", "pairs", "number as name"],
)
async def test_arguments_that_do_not_fit_the_signature(served: MeshData, args: Any, kwargs: Any, argument: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.exec(entity="greet", args=args, kwargs=kwargs)
    assert caught.value.argument == argument or caught.value.argument.startswith(argument)
    with pytest.raises(InvalidOptions):
        await served.hook(entity="greet", id="x", hook_entity="greet", args=args, kwargs=kwargs)


async def test_the_typed_call_is_checked_too(served: MeshData) -> None:
    entity = served.connect("greet", greet)
    with pytest.raises(InvalidOptions):
        await entity()  # type: ignore[call-arg]
    with pytest.raises(InvalidOptions):
        await entity("a", marks="?")  # type: ignore[call-arg]


# --- options ----------------------------------------------------------------------------------------------------------


async def test_an_unknown_option_is_named_with_the_likely_one(served: MeshData) -> None:
    entity = served.connect("greet", greet)
    calls: list[Callable[[], Any]] = [
        lambda: served.exec(entity="greet", args=["x"], id="x", tll="1 minute"),  # type: ignore[call-arg]
        lambda: entity.options(id="x", tll="1 minute")("x"),
    ]
    for call in calls:
        with pytest.raises(InvalidOptions, match="ttl") as caught:
            await call()
        refused(caught, "tll")
    with pytest.raises(InvalidOptions, match="queue"):
        served.connect("other", greet, que="x")  # type: ignore[call-overload]
    with pytest.raises(InvalidOptions, match="kwargs"):
        await served.hook(entity="greet", id="x", hook_entity="greet", kwarg={})  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("expire", "ttl"), ("taskQueue", "queue"), ("workflowId", "id"), ("await_", "wait"), ("signalIn", "hookable")],
)
async def test_an_option_named_as_others_name_it_is_told_its_name_here(
    served: MeshData, theirs: str, ours: str
) -> None:
    with pytest.raises(InvalidOptions, match=f"did you mean '{ours}'") as caught:
        await served.exec(entity="greet", args=["x"], **{theirs: "x"})
    refused(caught, theirs)


@pytest.mark.parametrize("flag", ["wait", "flush", "retry_failed", "hookable"])
async def test_a_flag_that_is_no_truth_value(served: MeshData, flag: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await served.exec(entity="greet", args=["x"], id="x", **{flag: "no"})
    refused(caught, flag)


async def test_a_hook_without_its_entity_is_told_its_whole_name(mesh: MeshData) -> None:
    entity = await mesh.connect("greet", greet)
    await entity.hook("again")(greet)
    with pytest.raises(InvalidOptions, match=r"greet\.again") as caught:
        await mesh.hook("greet", "x", "again", ["x"])
    refused(caught, "hook_entity")


@pytest.mark.parametrize(
    "options", [{"queue": "a:b"}, {"queue": ""}, {"retry": 3}, {"retry": {"max_attempts": 3}}], ids=str
)
async def test_options_of_the_wrong_kind(served: MeshData, options: dict[str, Any]) -> None:
    (argument,) = options
    with pytest.raises(InvalidOptions) as caught:
        await served.exec(entity="greet", args=["x"], **options)
    refused(caught, argument)
    with pytest.raises(InvalidOptions):
        served.connect("other", greet, **options)
    with pytest.raises(InvalidOptions):
        await served.hook(entity="greet", id="x", hook_entity="greet", args=["x"], **options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0}, {"max_attempts": -1}, {"max_attempts": 1.5}, {"initial": "soon"}, {"initial": -1},
        {"coefficient": 0.5}, {"max_interval": "never"}, {"jitter": 2}, {"jitter": -0.1},
        {"coefficient": "2"}, {"coefficient": float("inf")}, {"jitter": None}, {"non_retryable": "ValueError"},
        {"non_retryable": ValueError}, {"non_retryable": (int,)}, {"non_retryable": (7,)}, {"non_retryable": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_retry_policy_that_cannot_be(options: dict[str, Any]) -> None:
    (argument,) = options
    with pytest.raises(InvalidOptions) as caught:
        RetryPolicy(**options)
    refused(caught, argument)


async def test_a_target_that_cannot_be_served(served: MeshData) -> None:
    async def numbers() -> Any:
        yield 1

    for target in (None, "greet", 7, numbers):
        with pytest.raises(InvalidOptions) as caught:
            served.connect("other", target)  # type: ignore[call-overload]
        refused(caught, "target")
    for concurrency in (0, -1, 1.5, "many", True):
        with pytest.raises(InvalidOptions) as caught:
            served.connect("other", greet, concurrency=concurrency)  # type: ignore[call-overload]
        refused(caught, "concurrency")
    with pytest.raises(InvalidOptions):
        served.connect("other", greet, model=int)


async def test_an_interrupt_that_cannot_be(served: MeshData) -> None:
    for code in ("410", 1.5, None, True):
        with pytest.raises(InvalidOptions) as caught:
            await served.interrupt("greet", "x", code=code)  # type: ignore[arg-type]
        refused(caught, "code")
    with pytest.raises(InvalidOptions) as caught:
        await served.interrupt("greet", "x", reason=object())  # type: ignore[arg-type]
    refused(caught, "reason")


@pytest.mark.parametrize(
    "options",
    [
        {"namespace": "a:b"}, {"namespace": "{a}"}, {"namespace": ""}, {"partitions": 0}, {"partitions": 1.5},
        {"partitions": 5000}, {"concurrency": 0}, {"concurrency": "many"}, {"life_sign": "soon"}, {"life_sign": 0},
        {"linger": -1}, {"resident_limit": 0}, {"name": "a b"},
    ],
    ids=str,
)  # fmt: skip
def test_a_mesh_that_cannot_be(redis_url: str, options: dict[str, Any]) -> None:
    (argument,) = options
    with pytest.raises(InvalidOptions) as caught:
        MeshData(redis_url, **options)
    refused(caught, argument)


def test_a_concurrency_in_the_environment_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHDATA_CONCURRENCY", "many")
    with pytest.raises(InvalidOptions) as caught:
        MeshData()
    refused(caught, "concurrency")


async def test_another_number_of_partitions_than_the_namespace_has(
    mesh: MeshData, redis_url: str, namespace: str, partitions: int
) -> None:
    with pytest.raises(InvalidOptions) as caught:
        await MeshData(redis_url, namespace=namespace, partitions=partitions + 1).start()
    refused(caught, "partitions")
    async with MeshData(redis_url, namespace=namespace) as same:
        assert (await same.health()).ok


# --- inside a function ------------------------------------------------------------------------------------------------


async def test_verbs_outside_a_workflow_say_so(served: MeshData) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: workflow.sleep_for(1),
        lambda: workflow.wait_for("x"),
        lambda: workflow.signal("x"),
        lambda: workflow.state.set(a=1),
        lambda: workflow.exec_child("greet", ["x"]),
        lambda: workflow.start_child("greet", ["x"]),
        lambda: workflow.hook("greet", ["x"]),
        lambda: workflow.interrupt("greet", "x"),
        lambda: workflow.once(greet, "x"),
        workflow.random,
        workflow.uuid,
        workflow.now,
        workflow.info,
    ]
    for call in calls:
        with pytest.raises(NotInWorkflow) as caught:
            await call()
        assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("verb", "argument"),
    [
        (lambda: workflow.sleep_for("soon"), "duration"),
        (lambda: workflow.sleep_for("infinity"), "duration"),
        (lambda: workflow.wait_for(""), "key"),
        (lambda: workflow.wait_for("x", timeout=-1), "timeout"),
        (lambda: workflow.signal("x", object()), "payload"),
        (lambda: workflow.exec_child("a:b"), "target"),
        (lambda: workflow.exec_child("greet", [object()]), "args[0]"),
        (lambda: workflow.exec_child("greet", ["x"], id=""), "id"),
        (lambda: workflow.exec_child("greet", ["x"], id="i", ttl="soon"), "ttl"),
        (lambda: workflow.start_child("greet", "text"), "args"),
        (lambda: workflow.hook("greet", ["x"], id="\n"), "id"),
        (lambda: workflow.state.set({"_x": 1}), "field"),
        (lambda: workflow.state.incr("x", float("nan")), "by"),
        (lambda: workflow.exec_child("greet", ["x"], retry=3), "retry"),  # type: ignore[arg-type]
        (lambda: workflow.exec_child("greet", ["x"], queue="a:b"), "queue"),
        (lambda: workflow.interrupt("greet", ""), "id"),
    ],
)
async def test_verbs_refuse_bad_input_where_they_are_called(mesh: MeshData, verb: Any, argument: str) -> None:
    seen: list[Any] = []

    async def use() -> str:
        try:
            await verb()
        except InvalidOptions as problem:
            seen.append(problem.argument)
        return "went on"

    await mesh.connect("greet", greet)
    await mesh.connect("use", use)
    assert await mesh.exec(entity="use", timeout=10) == "went on"
    assert seen == [argument]


async def test_what_is_not_caught_fails_the_job(mesh: MeshData) -> None:
    async def use() -> None:
        await workflow.sleep_for("soon")

    await mesh.connect("use", use)
    with pytest.raises(JobFailed) as caught:
        await mesh.exec(entity="use", timeout=10)
    assert caught.value.type == "InvalidOptions"

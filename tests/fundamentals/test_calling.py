"""Call a function through the mesh: from anywhere, once per id, for as long as its answer is kept."""

import asyncio

from meshdata import MeshData


async def test_connect_a_function_and_execute_it(mesh: MeshData) -> None:
    async def greet(name: str) -> str:
        return f"Hello, {name}!"

    await mesh.connect("greet", greet)

    assert await mesh.exec(entity="greet", args=["world"]) == "Hello, world!"
    assert await mesh.exec("greet", ["you"]) == "Hello, you!"


async def test_what_connect_gives_back_is_called_like_the_function(mesh: MeshData) -> None:
    @mesh.entity("add")
    def add(a: int, b: int = 1) -> int:  # a plain function does as well
        return a + b

    assert await add(1) == 2
    assert await add(1, b=41) == 42


async def test_any_process_on_the_same_redis_can_execute_it(mesh: MeshData, redis_url: str, namespace: str) -> None:
    async def greet(name: str) -> str:
        return f"Hello, {name}!"

    await mesh.connect("greet", greet)

    async with MeshData(redis_url, namespace=namespace) as elsewhere:  # it has connected nothing
        assert await elsewhere.exec(entity="greet", args=["you"]) == "Hello, you!"


async def test_an_answer_is_cached_by_its_id(mesh: MeshData) -> None:
    runs = 0

    @mesh.entity("weather")
    async def weather(city: str) -> str:
        nonlocal runs
        runs += 1
        return f"sunny in {city}"

    for _ in range(3):
        answer = await mesh.exec(entity="weather", args=["Bern"], id="bern", ttl="15 minutes")
        assert answer == "sunny in Bern"

    assert runs == 1


async def test_flush_makes_room_for_a_new_answer(mesh: MeshData) -> None:
    @mesh.entity("echo")
    async def echo(word: str) -> str:
        return word

    cached = echo.options(id="e", ttl="15 minutes")
    assert await cached("first") == "first"
    assert await cached("second") == "first"

    await mesh.flush("echo", "e")
    assert await cached("third") == "third"


async def test_callers_at_the_same_time_share_one_run(mesh: MeshData) -> None:
    runs = 0

    @mesh.entity("report")
    async def report(month: str) -> str:
        nonlocal runs
        runs += 1
        return f"report of {month}"

    await report
    answers = await asyncio.gather(
        *(mesh.exec(entity="report", args=["May"], id="may", ttl="1 hour") for _ in range(200))
    )

    assert answers == ["report of May"] * 200
    assert runs == 1


async def test_infinity_keeps_an_answer_until_it_is_flushed(mesh: MeshData) -> None:
    @mesh.entity("sign_up")
    async def sign_up(name: str) -> str:
        return f"welcome {name}"

    await mesh.exec(entity="sign_up", args=["Jo"], id="jo", ttl="infinity")

    assert (await mesh.info("sign_up", "jo")).ttl_ms is None
    assert await mesh.exec(entity="sign_up", args=["Jo"], id="jo", ttl="infinity") == "welcome Jo"
    assert await mesh.flush("sign_up", "jo") is True


async def test_a_handle_lets_you_await_the_answer_later(mesh: MeshData) -> None:
    @mesh.entity("slow")
    async def slow(n: int) -> int:
        return n * 2

    handle = await mesh.exec(entity="slow", args=[21], id="s", ttl="1 minute", wait=False)

    assert await handle == 42  # here and now, or
    assert await mesh.handle("slow", "s") == 42  # by its id, later, in another process
    assert await handle.status() == "completed"

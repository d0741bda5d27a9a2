"""The command `meshdata`: its commands and their options. What they do is in the modules beside, free of the framework.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 the store is unavailable.
"""

from typing import Annotated

import typer

from meshdata.cli.output import Place

# Each body is imported by its own command, so that `meshdata --help` does not load what it does not use.

UrlOption = Annotated[
    str | None, typer.Option("--url", help="The Redis to use. By default MESHDATA_URL, else redis://localhost:6379.")
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", help="The namespace. By default MESHDATA_NAMESPACE, else meshdata.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line; errors too.")]
DemoUrlOption = Annotated[
    str | None, typer.Option("--url", help="A Redis to use. By default MESHDATA_URL, else one of its own.")
]
DemoNamespaceOption = Annotated[str | None, typer.Option("--namespace", help="The namespace. By default demo.")]
EntityArgument = Annotated[str, typer.Argument(help="The entity, like user.", show_default=False)]
IdArgument = Annotated[str, typer.Argument(help="The job's id.", show_default=False)]
ArgsArgument = Annotated[
    list[str] | None, typer.Argument(help="""Arguments: JSON where it is JSON (3, true, '"3"'), else text.""")
]
WhereArgument = Annotated[
    list[str] | None, typer.Argument(help="Conditions: plan=pro 'age>=18' plan!=free 'bio~words'; all must hold.")
]
TimeoutOption = Annotated[str, typer.Option(help="How long to wait for the result; the job goes on after it.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result.")]

app = typer.Typer(
    name="meshdata",
    help="Functions as a durable, cached, searchable data layer on Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
demo_app = typer.Typer(help="See it work, on a Redis of its own.", no_args_is_help=True)
dead_app = typer.Typer(help="Look at dead letters, put them back, drop them.", no_args_is_help=True)
index_app = typer.Typer(help="Build, show, swap, verify and drop indexes.", no_args_is_help=True)
app.add_typer(demo_app, name="demo")
app.add_typer(index_app, name="index")
app.add_typer(dead_app, name="dead")
schedules_app = typer.Typer(help="List schedules, pause, resume, run and drop them.", no_args_is_help=True)
app.add_typer(schedules_app, name="schedules")
graph_app = typer.Typer(help="Check models of graphs, and draw them.", no_args_is_help=True)
app.add_typer(graph_app, name="graph")


def main() -> None:
    """The entry point of the console script."""
    app()


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"meshdata {version('meshdata')}")
        except PackageNotFoundError:
            typer.echo("meshdata, run from its source without being installed")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Functions as a durable, cached, searchable data layer on Redis."""


def _end(code: int) -> None:
    raise typer.Exit(code)


# --- see and serve ----------------------------------------------------------------------------------------------------


@demo_app.command("meshdata")
def demo_meshdata(
    words: Annotated[
        list[str] | None, typer.Argument(help="The ids of the records to make. By default cat dog mouse.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="With --url: leave what it made, to be looked at.")] = False,
    url: DemoUrlOption = None,
    namespace: DemoNamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Connect a function, execute it durably once per word, and find the last word's record."""
    from meshdata.cli.demo.entities import demo

    _end(demo(Place(url, namespace, as_json), words or [], keep=keep))


@demo_app.command("meshcall")
def demo_meshcall(
    url: DemoUrlOption = None, namespace: DemoNamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Call a function by topic, keep its answer, forget it, call it by a schedule."""
    from meshdata.cli.demo.calls import demo

    _end(demo(Place(url, namespace, as_json)))


@demo_app.command("meshflow")
def demo_meshflow(
    url: DemoUrlOption = None, namespace: DemoNamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Start a workflow before there is a worker, and see it sleep, fail, be tried again and answer."""
    from meshdata.cli.demo.flows import demo

    _end(demo(Place(url, namespace, as_json)))


@demo_app.command("hotmesh")
def demo_hotmesh(
    word: Annotated[str, typer.Argument(help="What the graph is given.")] = "hello",
    url: DemoUrlOption = None,
    namespace: DemoNamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy a graph, activate it, run a job of it, and look at what it left."""
    from meshdata.cli.demo.graphs import demo

    _end(demo(Place(url, namespace, as_json), word))


@app.command()
def serve(
    target: Annotated[str, typer.Argument(metavar="MODULE:OBJECT", help="A MeshData, or a function that returns one.")],
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a worker: serve what a mesh has connected, until Ctrl-C or SIGTERM.

    --url and --namespace are for a mesh whose code names none: MeshData().
    """
    from meshdata.cli.serve import serve as body

    _end(body(Place(url, namespace, as_json), target))


@app.command()
def api(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:OBJECT]", help="A MeshData whose functions to serve too; by default none."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine a token is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 3010,
    token: Annotated[
        str | None, typer.Option(help="What requests must bear. By default MESHDATA_API_TOKEN, else none.")
    ] = None,
    writes: Annotated[
        bool, typer.Option("--writes", help="Let records be changed, jobs be started and ended.")
    ] = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve entities as REST and methods as RPC over HTTP, until Ctrl-C or SIGTERM."""
    from meshdata.cli.api import serve_api as body

    _end(body(Place(url, namespace, as_json), target, host=host, port=port, token=token, writes=writes))


@app.command()
def adopt(
    target: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="A function of yours; it is not called.")],
    entity: Annotated[str | None, typer.Option(help="The entity's name. By default taken from the function's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the lines that make a function an entity, with a model made from its signature. Changes nothing."""
    from meshdata.cli.adopt import adopt as body

    _end(body(Place(as_json=as_json), target, entity=entity))


@app.command()
def check(
    target: Annotated[
        str, typer.Argument(metavar="MODULE[:OBJECT]", help="A module; or a MeshData, a worker or a function in it.")
    ],
    against: Annotated[list[str], typer.Option(help="A file or folder that `export` wrote; may be repeated.")],
    as_json: JsonOption = False,
) -> None:
    """Replay recorded jobs with today's code, without a server: 1 if one would take another way."""
    from meshdata.cli.check import check as body

    _end(body(Place(as_json=as_json), target, against))


@app.command()
def redis(
    path: Annotated[
        str | None, typer.Argument(help="A folder to keep the data in. By default nothing is kept.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", hidden=True)] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a Redis with search in the foreground, without Docker."""
    from meshdata.cli.redis import serve_redis

    _end(serve_redis(Place(url, namespace, as_json), path))


@app.command()
def doctor(url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False) -> None:
    """Look at the server and the namespace; say what is well and what is risky."""
    from meshdata.cli.doctor import doctor as body

    _end(body(Place(url, namespace, as_json)))


# --- jobs -------------------------------------------------------------------------------------------------------------


@app.command("exec")
def execute(
    entity: EntityArgument,
    args: ArgsArgument = None,
    kwarg: Annotated[list[str] | None, typer.Option(help="A named argument, name=value; may be repeated.")] = None,
    id: Annotated[str | None, typer.Option(help="What the result is known by.")] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it is kept, like '15 minutes' or infinity.")] = None,
    timeout: TimeoutOption = "30 s",
    wait: WaitOption = True,
    flush: Annotated[bool, typer.Option("--flush", help="Run it anew, whatever is there.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run it anew if it failed.")] = False,
    state: Annotated[list[str] | None, typer.Option(help="A field the record begins with, name=value.")] = None,
    queue: Annotated[str | None, typer.Option(help="Where it is served, if not under its own name.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Execute an entity's function in whatever worker serves it, and print what it returned."""
    from meshdata.cli.jobs import execute as body

    code = body(
        Place(url, namespace, as_json), entity, args or [], kwargs=kwarg or [], id=id, ttl=ttl, timeout=timeout,
        wait=wait, flush=flush, retry_failed=retry_failed, state=state or [], queue=queue,
    )  # fmt: skip
    _end(code)


@app.command("show")
def show_job(
    entity: EntityArgument,
    id: IdArgument,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a job stands, and its record."""
    from meshdata.cli.jobs import show_job as body

    _end(body(Place(url, namespace, as_json), entity, id))


@app.command()
def why(
    entity: EntityArgument,
    id: IdArgument,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in words what a job waits for and why."""
    from meshdata.cli.story import why as body

    _end(body(Place(url, namespace, as_json), entity, id))


@app.command()
def export(
    entity: EntityArgument,
    id: IdArgument,
    allow: Annotated[list[str] | None, typer.Option(help="Only this section; may be repeated.")] = None,
    block: Annotated[list[str] | None, typer.Option(help="Not this section; may be repeated.")] = None,
    values: Annotated[bool, typer.Option("--values/--no-values", help="What calls returned, and the journal.")] = True,
    out: Annotated[str | None, typer.Option(help="A file, or a folder, to write to.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a job: what it keeps, every call it made and when, and its journal, as JSON."""
    from meshdata.cli.story import export as body

    place = Place(url, namespace, as_json)
    _end(body(place, entity, id, allow=allow or [], block=block or [], values=values, out=out))


@app.command("ls")
def list_records(
    entity: Annotated[str | None, typer.Argument(help="Only this entity.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the ids of records, in no order."""
    from meshdata.cli.jobs import list_records as body

    _end(body(Place(url, namespace, as_json), entity, limit=limit))


@app.command()
def signal(
    key: Annotated[str, typer.Argument(help="The key somebody waits for.", show_default=False)],
    payload: Annotated[str | None, typer.Argument(help="JSON where it is JSON, else text.")] = None,
    id: Annotated[str | None, typer.Option(help="Of signals of one key and one id only the first counts.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a signal; it is kept if nobody waits for it yet."""
    from meshdata.cli.jobs import signal as body

    _end(body(Place(url, namespace, as_json), key, payload, id=id))


@app.command()
def hook(
    entity: EntityArgument,
    id: IdArgument,
    hook_entity: Annotated[
        str, typer.Argument(metavar="HOOK", help="The hook: bill, or user.bill.", show_default=False)
    ],
    args: ArgsArgument = None,
    timeout: TimeoutOption = "30 s",
    wait: WaitOption = True,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a hook on a living job, and print what it returned."""
    from meshdata.cli.jobs import hook as body

    _end(body(Place(url, namespace, as_json), entity, id, hook_entity, args or [], timeout=timeout, wait=wait))


@app.command()
def interrupt(
    entity: EntityArgument,
    id: IdArgument,
    reason: Annotated[str | None, typer.Option(help="What those who await it are told.")] = None,
    descend: Annotated[bool, typer.Option("--descend/--no-descend", help="End its children too.")] = True,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a job now, wherever it runs."""
    from meshdata.cli.jobs import interrupt as body

    _end(body(Place(url, namespace, as_json), entity, id, reason=reason, descend=descend))


@app.command()
def cancel(
    entity: EntityArgument,
    id: IdArgument,
    reason: Annotated[str | None, typer.Option(help="What those who await it are told.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a job to end itself: its function may clean up first."""
    from meshdata.cli.jobs import cancel as body

    _end(body(Place(url, namespace, as_json), entity, id, reason=reason))


@app.command()
def flush(
    entity: EntityArgument,
    id: IdArgument,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a job, its record and its cached result."""
    from meshdata.cli.jobs import flush as body

    _end(body(Place(url, namespace, as_json), entity, id))


# --- records and indexes ----------------------------------------------------------------------------------------------


@app.command()
def search(
    entity: EntityArgument,
    where: WhereArgument = None,
    sort: Annotated[list[str] | None, typer.Option(help="A field to sort by; -field for descending.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="From this one on.")] = 0,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are.")] = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find records of an entity that has an index."""
    from meshdata.cli.search import search as body

    place = Place(url, namespace, as_json)
    _end(body(place, entity, where or [], sort=sort or [], limit=limit, offset=offset, count=count))


@app.command()
def aggregate(
    entity: EntityArgument,
    where: WhereArgument = None,
    by: Annotated[list[str] | None, typer.Option(help="A field to group by.")] = None,
    reduce: Annotated[
        list[str] | None, typer.Option(help="A figure: n=count (the default), mean=avg:age, p95=quantile:age:0.95.")
    ] = None,
    sort: Annotated[list[str] | None, typer.Option(help="A column to sort by; -column for descending.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Figures over the records of an entity that has an index, grouped."""
    from meshdata.cli.live import aggregate as body

    place = Place(url, namespace, as_json)
    _end(body(place, entity, where or [], by=by or [], reduce=reduce or [], sort=sort or [], limit=limit))


@app.command()
def watch(
    entity: EntityArgument,
    where: WhereArgument = None,
    after: Annotated[str | None, typer.Option(help="Go on behind this cursor (see --json).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many changes.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what meets the conditions, then how that changes, until Ctrl-C."""
    from meshdata.cli.live import watch as body

    _end(body(Place(url, namespace, as_json), entity, where or [], after=after, most=limit))


@app.command()
def each(
    verb: Annotated[str, typer.Argument(help="signal, hook, cancel, interrupt, flush or set.", show_default=False)],
    entity: EntityArgument,
    where: WhereArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every record; in place of conditions.")] = False,
    key: Annotated[str | None, typer.Option(help="signal: its key; {id} is the record's id.")] = None,
    payload: Annotated[str | None, typer.Option(help="signal: JSON, or text.")] = None,
    hook: Annotated[str | None, typer.Option(help="hook: its entity, like user.bill.")] = None,
    arg: Annotated[list[str] | None, typer.Option(help="hook: an argument.")] = None,
    reason: Annotated[str | None, typer.Option(help="cancel, interrupt: what those who await it are told.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="set: name=value.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say to which it would be done.")] = False,
    rate: Annotated[float | None, typer.Option(help="At most so many a second.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do something to every record that meets the conditions."""
    from meshdata.cli.live import each as body

    given = {"key": key, "payload": payload, "hook": hook, "arg": arg or [], "reason": reason, "field": field or []}
    place = Place(url, namespace, as_json)
    _end(body(place, verb, entity, where or [], everything=everything, options=given, dry_run=dry_run, rate=rate))


ModelArgument = Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The model.", show_default=False)]


@index_app.command("ls")
def index_ls(url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False) -> None:
    """List the indexes of the namespace."""
    from meshdata.cli.index import list_indexes

    _end(list_indexes(Place(url, namespace, as_json)))


@index_app.command("show")
def index_show(
    entity: EntityArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Tell all of an entity's indexes: fields, records, failures, which one is in use."""
    from meshdata.cli.index import show_index

    _end(show_index(Place(url, namespace, as_json), entity))


@index_app.command("create", hidden=True)
@index_app.command("build")
def index_build(
    model: ModelArgument,
    force: Annotated[bool, typer.Option("--force", help="Even if newer code made the one in use.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Only build it; `index swap` makes queries use it.")] = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the index of a model, or change it to fit; safe to repeat."""
    from meshdata.cli.index import build_index

    _end(build_index(Place(url, namespace, as_json), model, force=force, hold=hold))


@index_app.command("swap")
def index_swap(
    model: ModelArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Make queries use the index that `index build --hold` built."""
    from meshdata.cli.index import swap_index

    _end(swap_index(Place(url, namespace, as_json), model))


@index_app.command("verify")
def index_verify(
    entity: EntityArgument,
    limit: Annotated[int, typer.Option(min=0, help="Name at most so many records.")] = 100,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count records against documents, and name the records that are not in the index."""
    from meshdata.cli.index import verify_index

    _end(verify_index(Place(url, namespace, as_json), entity, limit=limit))


@index_app.command("drop")
def index_drop(
    entity: EntityArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Remove an entity's index; its records stay."""
    from meshdata.cli.index import drop_index

    _end(drop_index(Place(url, namespace, as_json), entity))


# --- dead letters -----------------------------------------------------------------------------------------------------

NumberArgument = Annotated[str, typer.Argument(help="The letter's number, as `dead ls` shows it.", show_default=False)]


@dead_app.command("ls")
def dead_ls(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what could not be processed, oldest first."""
    from meshdata.cli.dead import list_letters

    _end(list_letters(Place(url, namespace, as_json), limit=limit))


@dead_app.command("show")
def dead_show(
    number: NumberArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Show one: what it was, its arguments, its error."""
    from meshdata.cli.dead import show_letter

    _end(show_letter(Place(url, namespace, as_json), number))


@dead_app.command("requeue")
def dead_requeue(
    number: NumberArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Run a job or a hook once more, from its beginning, and drop the letter."""
    from meshdata.cli.dead import requeue

    _end(requeue(Place(url, namespace, as_json), number))


@dead_app.command("drop")
def dead_drop(
    number: NumberArgument, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Throw one away."""
    from meshdata.cli.dead import drop

    _end(drop(Place(url, namespace, as_json), number))


# --- schedules --------------------------------------------------------------------------------------------------------

ScheduleArgument = Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.", show_default=False)]


@schedules_app.command("ls")
def schedules_ls(
    entity: Annotated[str | None, typer.Argument(help="Only of this entity.", show_default=False)] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List schedules: when they are due next, what they have done."""
    from meshdata.cli.schedules import list_schedules

    _end(list_schedules(Place(url, namespace, as_json), entity))


@schedules_app.command("pause")
def schedules_pause(
    entity: EntityArgument, id: ScheduleArgument, url: UrlOption = None, namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Start nothing more until it is resumed."""
    from meshdata.cli.schedules import pause

    _end(pause(Place(url, namespace, as_json), entity, id))


@schedules_app.command("resume")
def schedules_resume(
    entity: EntityArgument, id: ScheduleArgument, url: UrlOption = None, namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Go on with the next slot; those of the pause are not made up."""
    from meshdata.cli.schedules import resume

    _end(resume(Place(url, namespace, as_json), entity, id))


@schedules_app.command("run")
def schedules_run(
    entity: EntityArgument, id: ScheduleArgument, wait: WaitOption = True, timeout: TimeoutOption = "1 minute",
    url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Run it now, beside its slots, and print what the function returned."""
    from meshdata.cli.schedules import run

    _end(run(Place(url, namespace, as_json), entity, id, wait=wait, timeout=timeout))


@schedules_app.command("drop")
def schedules_drop(
    entity: EntityArgument, id: ScheduleArgument, url: UrlOption = None, namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """End it; a run that is under way goes on."""
    from meshdata.cli.schedules import drop

    _end(drop(Place(url, namespace, as_json), entity, id))


# --- the control plane ------------------------------------------------------------------------------------------------


@app.command("roll-call")
def roll_call(
    delay: Annotated[str, typer.Option(help="How long to wait for answers, at the most.")] = "1 second",
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the processes that serve: their topics, what waits for them, what they did, how fast they may."""
    from meshdata.cli.control import roll_call as body

    _end(body(Place(url, namespace, as_json), delay))


# -1 is a rate here, and no option.
@app.command(context_settings={"ignore_unknown_options": True})
def throttle(
    ms: Annotated[
        str | None,
        typer.Argument(help="Milliseconds between two messages of a topic; -1 or pause; 0 or resume. None: show."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic. By default all.", show_default=False)] = None,
    process: Annotated[
        str | None, typer.Option(help="Only this process, as roll-call names it.", show_default=False)
    ] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Slow down, pause or resume the taking in of messages; what has begun goes on."""
    from meshdata.cli.control import throttle as body

    _end(body(Place(url, namespace, as_json), ms, topic=topic, process=process))


# --- graphs -----------------------------------------------------------------------------------------------------------

GraphsArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's path; - reads it from standard input.", show_default=False)
]


@graph_app.command("check")
def graph_check(model: GraphsArgument, as_json: JsonOption = False) -> None:
    """Compile a model and tell everything that is wrong, each with its line: 1 if anything is."""
    from meshdata.cli.graph import check as body

    _end(body(Place(as_json=as_json), model))


@graph_app.command("show")
def graph_show(
    model: GraphsArgument,
    topic: Annotated[str | None, typer.Option(help="Only the graph that subscribes to it.")] = None,
    job: Annotated[str | None, typer.Option(help="A job's id: its path is marked.")] = None,
    to: Annotated[str | None, typer.Option("--svg", help="A file to draw it to, as SVG.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a model's graphs: as Mermaid, or with --svg as a picture."""
    from meshdata.cli.graph import draw as body

    _end(body(Place(url, namespace, as_json), model, topic=topic, job=job, to=to))

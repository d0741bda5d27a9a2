"""A job told from the command line: `export` prints its document, `why` says what it waits for."""

from pathlib import Path

from rich.console import Console

from meshdata.call.why import why as reasons
from meshdata.cli.output import Place, run, show, with_mesh
from meshdata.errors import InvalidOptions
from meshdata.mesh import MeshData
from meshdata.workflow.export import JobExport


def export(
    place: Place, entity: str, id: str, *, allow: list[str], block: list[str], values: bool, out: str | None
) -> int:
    """Print a job's document as JSON, or write it to a file, for `meshdata check` and `meshdata.testing.replay`."""

    documents: list[JobExport] = []

    async def body(mesh: MeshData) -> None:
        documents.append(await mesh.export(entity, id, allow=allow or None, block=block, values=values))

    def written() -> int:
        code = with_mesh(place, body)
        for document in documents:
            _write(place, document, out)
        return code

    return run(place, written)


def _write(place: Place, document: JobExport, out: str | None) -> None:
    text = document.to_json(indent=None if place.as_json else 2)
    if out is None:
        print(text)
        return
    path = Path(out)
    if path.is_dir():
        path = path / f"{document.entity}.{document.id.replace('/', '_')}.json"
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidOptions(f"it cannot be written: {error}", argument="--out") from error
    show(place, {"written": str(path)} if place.as_json else f"wrote {path}")


def why(place: Place, entity: str, id: str) -> int:
    """Print what a job waits for and why, a sentence a line."""

    async def body(mesh: MeshData) -> None:
        said = await reasons(mesh.store, entity, id)
        if place.as_json:
            show(place, {"job": f"{entity}:{id}", "why": said})
            return
        console = Console(highlight=False, soft_wrap=True)
        for sentence in said:
            console.print(sentence, markup=False)

    return with_mesh(place, body)

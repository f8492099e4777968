"""`opsin galleries`: how well embeddings of individuals tell them apart."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.companies import running_for
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Company, DataDir, Json, read_settings
from opsin.cli.output import new_table, print_json, print_line, results
from opsin.core.errors import InvalidInput

if TYPE_CHECKING:
    from opsin.core.collections.gallery_evaluation import (
        ClosedSetScore,
        Evaluation,
        LabelledVectors,
    )
    from opsin.core.contract import Gallery
    from opsin.core.engine import Outcome, Task
    from opsin.core.plugin_host import PluginHost
    from opsin.settings import Settings

_GALLERY, _QUERY = "gallery", "query"

app = typer.Typer(help="Galleries of individuals.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group, although it has one command only."""


@app.command("evaluate")
def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A folder for each individual; or such folders in `gallery` and in `query`.",
        ),
    ],
    operation: Annotated[
        str,
        typer.Option(
            "--operation", metavar="NAME[:key=value,...]", help="The operation that embeds."
        ),
    ],
    combine: Annotated[
        str,
        typer.Option(
            "--combine",
            metavar="max|mean",
            help="An individual's similarity: of its nearest picture, or the mean of all.",
        ),
    ] = "max",
    nearest: Annotated[
        int | None,
        typer.Option("--nearest", min=1, help="With mean: of so many of its nearest pictures."),
    ] = None,
    min_cosine: Annotated[
        float | None,
        typer.Option(
            "--min-cosine",
            min=-1,
            max=1,
            help="Less similar ones are called new.",
            show_default="the best for these pictures",
        ),
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            "--gallery",
            metavar="KEY",
            help="Look for the pictures in this collection.",
            show_default=False,
        ),
    ] = None,
    company: Company = "local",
    species: Annotated[
        Path | None,
        typer.Option(
            "--species",
            metavar="FILE",
            help="CSV with the columns individual_id and species.",
            dir_okay=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Look for pictures among those of known individuals, and count what is found.

    With folders `gallery` and `query`, the queries are looked for in the gallery, and whoever is in
    `query` alone is unknown; with --gallery likewise.  Else each picture is looked for among all
    the others.  Exits with 1 when a picture could not be embedded; it is left out.
    """
    settings = read_settings(data_dir=data_dir)  # before what takes long to import

    from opsin.assembly import discover_plugins
    from opsin.cli.picture_folders import ask, folders_in
    from opsin.core.collections.gallery_evaluation import Combine, look_for
    from opsin.core.collections.gallery_evaluation import evaluate as measure

    if combine not in tuple(Combine):
        raise InvalidInput("--combine must be max or mean")
    if nearest is not None and combine != Combine.MEAN:
        raise InvalidInput("--nearest goes with --combine mean")
    told_species = None if species is None else _species(species)
    host = discover_plugins(settings)
    task = _embedding_task(host, operation)
    parts = [_QUERY]
    if gallery is None and all((folder / part).is_dir() for part in (_GALLERY, _QUERY)):
        parts = [_GALLERY, _QUERY]
    pictures = {
        f"{part}/{name}": paths
        for part in parts
        for name, paths in folders_in(folder / part if len(parts) > 1 else folder).items()
    }
    found, failed = ask(settings, host, task, pictures)
    queries = _vectors(found, _QUERY)
    known = _vectors(found, _GALLERY) if _GALLERY in parts else None
    if gallery is not None:
        stored = event_loop.run(_stored(settings, company, gallery))
        known = _comparable(stored, found)
        if told_species is None:
            told_species = _told_species(stored)
    answers = look_for(queries, known, combine=Combine(combine), nearest=nearest)
    labels = (known or queries).labels
    evaluation = measure(
        answers,
        individuals=len(set(labels)),
        gallery_pictures=len(labels),
        threshold=min_cosine,
        species=told_species,
    )
    if as_json:
        print_json({"operation": task.operation.name, **asdict(evaluation), "failed": failed})
    else:
        _print(evaluation)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _embedding_task(host: "PluginHost", text: str) -> "Task":
    from opsin.cli.task_texts import read_task
    from opsin.core.contract import Embedding

    task = read_task(host, text)
    if not issubclass(task.operation.result, Embedding):
        raise InvalidInput(f"{task.operation.name} gives no embedding")
    return task


def _vectors(found: list[tuple[str, "Outcome"]], part: str) -> "LabelledVectors":
    """Those of one part, by the individual's folder."""
    from opsin.core.collections.gallery_evaluation import LabelledVectors
    from opsin.core.contract import Embedding

    chosen = [
        (name.partition("/")[2], outcome.result)
        for name, outcome in found
        if name.partition("/")[0] == part
    ]
    vectors = [result.vector for _, result in chosen if isinstance(result, Embedding)]
    if not vectors:
        raise InvalidInput(f"there is no picture in {part!r} that could be embedded")
    return LabelledVectors.of(vectors, [label for label, _ in chosen])


async def _stored(settings: "Settings", company: str, key: str) -> "Gallery":
    """The gallery that a company's collection gives."""
    from opsin.core.contract import Gallery, ReferenceKind, ReferenceRequest

    request = ReferenceRequest(ReferenceKind.GALLERY, key)
    async with running_for(settings, company) as (parts, principal):
        gallery = await parts.use_cases.references.find(principal.company_id, request)
    assert isinstance(gallery, Gallery)
    return gallery


def _comparable(gallery: "Gallery", found: list[tuple[str, "Outcome"]]) -> "LabelledVectors":
    """The gallery's rows, if the pictures were embedded as it was."""
    from opsin.core.collections.gallery_evaluation import LabelledVectors
    from opsin.core.contract import Embedding

    _, outcome = found[0]
    result, operation = outcome.result, outcome.task.operation.name
    assert isinstance(result, Embedding)  # the operation was seen to give embeddings
    if [one.operation for one in gallery.inputs] != [operation]:
        raise InvalidInput(f"the collection {gallery.collection!r} is not of {operation} alone")
    if gallery.fingerprints != (result.model_fingerprint,):
        raise InvalidInput(
            f"the collection {gallery.collection!r} was embedded with other weights than those "
            "that are here: enrol its pictures again"
        )
    return LabelledVectors(gallery.vectors, gallery.labels)


def _told_species(gallery: "Gallery") -> dict[str, str] | None:
    """What the gallery says itself; None when it says nothing."""
    told = {label: one.get("species") for label, one in gallery.attributes.items()}
    return {label: name for label, name in told.items() if isinstance(name, str)} or None


def _species(file: Path) -> dict[str, str]:
    columns = ("individual_id", "species")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise InvalidInput(f"{file} has no columns individual_id and species")
            return {row[columns[0]]: row[columns[1]] for row in reader}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from None


def _print(evaluation: "Evaluation") -> None:
    chosen = evaluation.chosen
    table = new_table("Measure", "Value", "Of")
    known = f"{evaluation.known} pictures of known individuals"
    everything = f"{evaluation.known + evaluation.unknown} pictures"
    unknown = f"{evaluation.unknown} pictures of unknown individuals"
    _add(table, "top-1", evaluation.closed.top_1, known)
    _add(table, "top-5", evaluation.closed.top_5, known)
    _add(table, "MAP@5 with new individuals", chosen.map_5, everything)
    _add(table, "balanced accuracy, known", chosen.known, known)
    _add(table, "balanced accuracy, unknown", chosen.unknown, unknown)
    _add(table, "geometric mean of both", chosen.both, everything)
    for name, score in evaluation.species.items():
        _add_species(table, name, score)
    results().print(table)
    if evaluation.is_given:
        why = "as given"
    elif evaluation.known and evaluation.unknown:
        why = "chosen on these pictures, which flatters the measures that depend on it"
    else:
        why = "nobody is called new: there are not both known and unknown individuals"
    print_line(f"min_cosine {chosen.threshold:.6f} ({why})")


def _add(table: Any, name: str, value: float | None, of: str) -> None:
    table.add_row(name, "" if value is None else f"{value:.4f}", of)


def _add_species(table: Any, name: str, score: "ClosedSetScore") -> None:
    of = f"{score.pictures} pictures of known individuals"
    _add(table, f"{name}: top-1", score.top_1, of)
    _add(table, f"{name}: top-5", score.top_5, of)

"""`opsin classifiers`: trained on collections, listed, and converted from scikit-learn's files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.companies import running_for
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Company, DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import minute_text, new_table, print_json, print_line, results, say
from opsin.core.errors import InvalidInput, OpsinError

if TYPE_CHECKING:
    from opsin.cli.classifier_training import Trained
    from opsin.core.records import StoredClassifier

Fingerprints = Annotated[
    list[str] | None,
    typer.Option(
        "--fingerprint",
        metavar="OPERATION=SHA256",
        help="Which weights made an operation's vectors: their fingerprint, or `here` for those on "
        "this machine.  May be given several times.",
        show_default=False,
    ),
]

app = typer.Typer(help="Classifiers of collections.", no_args_is_help=True)


@app.command("train")
def train(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Collections.", show_default="every collection"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="URL", help="Take the members from another service."),
    ] = None,
    fingerprint: Fingerprints = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Also write the kept ones there for scikit-learn, and best_models.json.",
        ),
    ] = None,
    company: Company = "local",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a classifier for each collection, and keep the ten best.

    A collection that cannot be trained on is told of and left out.  Exits with 1 when that is one
    that was named, or when none was trained.
    """
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    if fingerprint and source is None:
        raise InvalidInput("--fingerprint is for --source: our own members have theirs")

    from opsin.cli.classifier_training import described, print_trained, train_each

    async def work() -> "list[Trained]":
        async with running_for(settings, company) as (parts, principal):
            return await train_each(
                settings, parts, principal, keys or [], source, fingerprint or []
            )

    trained = event_loop.run(work())
    if folder is not None:
        from opsin.cli.classifier_files import write_files

        write_files(
            folder, [one.answer for one in trained if not isinstance(one.answer, OpsinError)]
        )
    if as_json:
        print_json({"collections": [described(one) for one in trained]})
    else:
        print_trained(trained)
    failed = [one for one in trained if isinstance(one.answer, OpsinError)]
    if len(failed) == len(trained) or (keys and failed):
        raise typer.Exit(ExitCode.FAILED)


@app.command("list")
def list_classifiers(
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Collections.", show_default="every collection"),
    ] = None,
    company: Company = "local",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List collections' classifiers, the newest first; `classify` uses the best."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    async def work() -> "list[tuple[str, list[StoredClassifier]]]":
        async with running_for(settings, company) as (parts, principal):
            collections, classifiers = parts.use_cases.collections, parts.use_cases.classifiers
            named = keys or [one.key for one in await collections.every(principal)]
            return [(key, await classifiers.of(principal, key)) for key in named]

    found = event_loop.run(work())
    if as_json:
        print_json(
            {
                "collections": [
                    {"key": key, "classifiers": [_described(one) for one in stored]}
                    for key, stored in found
                ]
            }
        )
        return
    table = new_table("Collection", "Classifier", "Trained", "Precision", "Rows", "Best")
    for key, stored in found:
        for one in stored:
            score = "" if one.score is None else f"{one.score:.4f}"
            rows = str(one.metrics.get("rows", ""))
            made = minute_text(one.created_at)
            table.add_row(key, one.digest[:12], made, score, rows, "best" if one.is_best else "")
    results().print(table)


@app.command("convert")
def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A pickle or a joblib dump.", dir_okay=False)
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            metavar="OPERATION[:key=value,...]",
            help="The embedding it was trained on; several, in their order, are joined.",
            show_default=False,
        ),
    ],
    fingerprint: Fingerprints = None,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="KEY",
            help="Keep it in this collection, made when it is not there.",
            show_default="print the document",
        ),
    ] = None,
    company: Company = "local",
    data_dir: DataDir = None,
) -> None:
    """Turn scikit-learn's LogisticRegression into a document, without ever unpickling it.

    Whatever else is in the file is refused.  An input without `target` leaves the part of the
    picture to whoever classifies.
    """
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    from opsin.cli.classifier_training import converted, keep

    async def work() -> None:
        async with running_for(settings, company) as (parts, principal):
            document = await converted(parts, file, inputs, fingerprint or [])
            if into is None:
                print_line(document.as_text())
                return
            kept = await keep(parts, principal, into, document)
            which = "the best" if kept.is_best else "not the best, which was there already"
            say(f"kept in collection {into!r}, {which}")
            print_line(kept.digest)

    event_loop.run(work())


def _described(one: "StoredClassifier") -> dict[str, Any]:
    return {
        "digest": one.digest,
        "is_best": one.is_best,
        "score": one.score,
        "metrics": one.metrics,
        "created_at": one.created_at,
    }

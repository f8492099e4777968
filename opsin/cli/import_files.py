"""`opsin import`: annotations of other tools and of Opsin's own exports, into the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.companies import running_for
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Company, DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import messages, print_json, print_line, say
from opsin.core.errors import InvalidInput

if TYPE_CHECKING:
    from opsin.core.imports.found import Refusal
    from opsin.core.imports.imports import Progress
    from opsin.core.imports.options import ImportFormat, ImportOptions
    from opsin.core.imports.report import ImportReport
    from opsin.core.imports.sources import SourcePaths
    from opsin.settings import Settings

_SHOWN = 20


def import_files(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A JSON or NDJSON file, a data.yaml, a folder, or a zip archive of these.",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset", metavar="NAME", help="By name or id; made when there is none of the name."
        ),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="coco, yolo, vista, json or ndjson.",
            show_default="recognised",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="The folder or zip archive of the pictures.",
            show_default="where SOURCE is",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="DIR",
            help="Of YOLO: label files, by the pictures' names, that are not beside them.",
        ),
    ] = None,
    described_by: Annotated[
        Path | None,
        typer.Option(
            "--described-by",
            metavar="FILE",
            help="Of COCO results: the file that has their images and categories.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="What made the annotations, for COCO and YOLO.",
            show_default="the source's name",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="TEXT", help="Its version.", show_default="the source's sha256"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; store nothing.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Store nothing unless all of it can be.")
    ] = False,
    company: Company = "local",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Take in annotations, with their pictures, from COCO, YOLO, VISTA or Opsin's exports."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    from opsin.core.imports.options import ImportOptions
    from opsin.core.imports.sources import SourcePaths

    paths = SourcePaths(source, images, labels, described_by, _read_format(form))
    options = ImportOptions(model, version, dry_run, strict)
    with _progress(silent=json) as progress:
        report = event_loop.run(_import(settings, company, paths, dataset, options, progress))
    if json:
        print_json(report.to_json())
    else:
        _tell(report)
    if report.dry_run and not dry_run:
        say("nothing was stored, because of --strict")
    if not report.is_complete:
        raise typer.Exit(ExitCode.FAILED)


async def _import(
    settings: "Settings",
    company: str,
    paths: "SourcePaths",
    dataset: str,
    options: "ImportOptions",
    progress: "Progress",
) -> "ImportReport":
    async with running_for(settings, company) as (parts, principal):
        imports = parts.use_cases.imports
        return await imports.run(principal, paths, dataset, options, progress)


def _read_format(text: str | None) -> "ImportFormat | None":
    from opsin.core.imports.options import ImportFormat

    if text is None:
        return None
    try:
        return ImportFormat(text.lower())
    except ValueError:
        raise InvalidInput(f"an import has a format of {', '.join(ImportFormat)}") from None


@contextmanager
def _progress(*, silent: bool) -> Iterator["Progress"]:
    """A bar on a terminal; nothing is drawn into files."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = messages()
    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disabled = silent or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disabled) as bar:
        task = bar.add_task("images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(report: "ImportReport") -> None:
    would = "would be " if report.dry_run else ""
    print_line(
        f"dataset {report.dataset}" + (f" ({report.dataset_id})" if report.dataset_id else "")
    )
    print_line(
        f"images: {report.images_new} {would}new, {report.images_known} known, "
        f"{report.images_missing} missing"
    )
    print_line(f"analyses: {report.analyses_new} {would}new, {report.analyses_known} known")
    types = ", ".join(f"{count} {kind}" for kind, count in sorted(report.annotation_types.items()))
    print_line(
        f"annotations: {report.annotations_new} {would}new{f' ({types})' if types else ''}, "
        f"{report.annotations_known} known, {report.findings.refusals.count} refused"
    )
    for note, count in sorted(report.findings.notes.items()):
        print_line(f"note: {note}: {count}")
    _list("missing", report.missing, report.images_missing)
    _list("refused", report.findings.refusals.first, report.findings.refusals.count)


def _list(word: str, found: "list[Refusal]", count: int) -> None:
    for one in found[:_SHOWN]:
        say(f"{word}: {one.place}: {one.reason}")
    if count > _SHOWN:
        say(f"{word}: {count - _SHOWN} more; --json tells of the first {len(found)}")

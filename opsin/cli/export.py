"""`opsin export`: a dataset, an image or an analysis as one file, straight from the database."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.companies import caller_for
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Company, DataDir, make_data_dir, read_settings
from opsin.cli.output import say, size_text
from opsin.core.errors import ConfigurationError, InvalidInput, NotFound

if TYPE_CHECKING:
    from opsin.core.access import Principal
    from opsin.core.exports.exports import Exports
    from opsin.core.exports.request import ExportFilter, ExportFormat, Target
    from opsin.settings import Settings

Write = Callable[[bytes], object]


def export(
    target: Annotated[
        str, typer.Argument(metavar="ID", help="Of a dataset, an image or an analysis.")
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="json, ndjson, csv or coco.")
    ] = "json",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Compressed when it ends in .gz.",
            show_default="stdout",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="NAME=VALUE",
            help="Only what has it: operation, model_name, model_version, status, "
            "annotation_type, class_name, confidence_from, confidence_to. May be repeated.",
        ),
    ] = None,
    company: Company = "local",
    data_dir: DataDir = None,
) -> None:
    """Write a dataset, an image or an analysis with its annotations as one file."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    from opsin.core.exports.request import ExportFilter, read_format

    chosen, wanted = read_format(form), ExportFilter.read(dict(map(_condition, where or [])))
    zipped = output is not None and output.suffix == ".gz"
    with _destination(output) as write:
        written = event_loop.run(_export(settings, company, target, chosen, wanted, zipped, write))
    if output is not None:
        say(f"{output}: {size_text(written)}")


async def _export(
    settings: "Settings",
    company: str,
    identity: str,
    form: "ExportFormat",
    wanted: "ExportFilter",
    zipped: bool,
    write: Write,
) -> int:
    """Write the export; gives how many bytes it has."""
    from opsin.core.access import Access
    from opsin.core.exports.exports import Exports
    from opsin.core.exports.gzip_stream import gzipped
    from opsin.storage.database import Database
    from opsin.storage.schema import upgrade

    await upgrade(settings.resolved_database_url)
    database = Database(settings.resolved_database_url)
    try:
        exports = Exports(database)
        principal = await caller_for(Access(database, mode=settings.auth), company)
        target = await _find(exports, principal, identity)
        chunks = exports.stream(target, form, wanted)
        written = 0
        async with contextlib.aclosing(gzipped(chunks) if zipped else chunks) as content:
            async for chunk in content:
                # On a thread, so that the database is read while the disk or a pipe takes it.
                await asyncio.to_thread(write, chunk)
                written += len(chunk)
        return written
    finally:
        await database.close()


async def _find(exports: "Exports", principal: "Principal", identity: str) -> "Target":
    from opsin.core.exports.request import TargetKind

    for kind in TargetKind:
        with contextlib.suppress(NotFound):
            return await exports.find(principal, kind, identity)
    raise NotFound(f"the company has no dataset, image or analysis {identity!r}")


def _condition(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise InvalidInput(f"--where {text!r} must be NAME=VALUE")
    return name, value


@contextlib.contextmanager
def _destination(output: Path | None) -> Iterator[Write]:
    """Where bytes go: stdout, or a file that has its name only once it is whole."""
    if output is None:
        try:
            yield sys.stdout.buffer.write
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # whoever read it, such as `head`, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.FAILED) from None
        return
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as file:
            yield file.write
        partial.replace(output)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{output} cannot be written: {reason}") from None
    finally:
        partial.unlink(missing_ok=True)

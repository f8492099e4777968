"""`opsin analyze`: operations on files and URLs, without a server and without a database."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from opsin.cli import event_loop
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, Json, read_settings
from opsin.cli.output import messages, print_json, results
from opsin.cli.task_texts import read_task
from opsin.core.errors import InvalidInput, NotFound, OperationUnavailable, OpsinError, TooLarge

if TYPE_CHECKING:
    from opsin.core.availability import Availability
    from opsin.core.engine import Analyzed, Engine, Task
    from opsin.core.fetch import Fetcher
    from opsin.core.plugin_host import PluginHost
    from opsin.settings import Settings

_IN_FLIGHT = 32
"""Pictures at once: enough for full batches; the engine bounds what of them is decoded."""
_CLOSE_SECONDS = 1.0
"""For a batch that still runs after Ctrl-C; in the end there is none."""


@dataclass(frozen=True, slots=True)
class AnalyzedImage:
    """A picture as it was named, and its outcomes or why there are none."""

    name: str
    answer: "Analyzed | OpsinError"


def analyze(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Files and http(s) URLs.", show_default=False),
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME[:key=value,...]",
            help="An operation with its params; may be given several times.",
            show_default="every operation that can be run here",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Run operations on pictures, here and now; nothing is stored.

    Exits with 1 when a picture or a task failed; a task that was skipped has not failed.
    """
    settings = read_settings(data_dir=data_dir)  # before what takes long to import

    from opsin.assembly import build_engine, discover_plugins, open_models
    from opsin.cli.analysis_report import describe, has_failed, print_table
    from opsin.core.availability import Availability

    host = discover_plugins(settings)
    store = open_models(settings, host)
    availability = Availability(host, store)
    tasks = _asked(host, availability, task) if task else _every(host, availability)
    if len(tasks) > settings.max_tasks:
        raise TooLarge(f"at most {settings.max_tasks} tasks may be asked at once")
    engine = build_engine(settings, host, store)
    analyzed = event_loop.run(run_tasks(settings, engine, images, tasks))
    if as_json:
        print_json({"images": [describe(image) for image in analyzed]})
    else:
        print_table(results(), analyzed)
    if any(has_failed(image) for image in analyzed):
        raise typer.Exit(ExitCode.FAILED)


def _asked(host: "PluginHost", availability: "Availability", texts: Sequence[str]) -> list["Task"]:
    """The tasks asked for; one that cannot be run here is refused before any picture is read."""
    tasks = [read_task(host, text) for text in texts]
    for task in tasks:
        if reason := availability.reason(task.operation, task.target):
            raise OperationUnavailable(reason)
    return tasks


def _every(host: "PluginHost", availability: "Availability") -> list["Task"]:
    """Every operation on its default target, or on the first other one that it can be run on.

    Operations that cannot do without a choice of the caller's are left out.
    """
    from opsin.core.engine import make_task

    tasks: list[Task] = []
    reason = "no plugin provides an operation"
    for name, registered in host.operations.items():
        operation = registered.operation
        if operation.params.model_json_schema().get("required"):
            continue
        for target in dict.fromkeys((operation.default_target, *operation.targets)):
            missing = availability.reason(operation, target)
            if missing is None:
                tasks.append(make_task(host, name, name, {"target": target.value}))
                break
            reason = missing
    if not tasks:
        raise OperationUnavailable(reason)
    return tasks


async def run_tasks(
    settings: "Settings",
    engine: "Engine",
    names: Sequence[str],
    tasks: Sequence["Task"],
    ended: Callable[[AnalyzedImage], None] | None = None,
) -> list[AnalyzedImage]:
    """The pictures in their order, some of them worked on at once; `ended` hears of each."""
    from rich.progress import MofNCompleteColumn, Progress

    from opsin.core.fetch import Fetcher

    fetcher = Fetcher(
        max_bytes=settings.max_upload_bytes,
        timeout=settings.fetch_seconds,
        allow=settings.fetch_allow,
    )
    done: dict[int, AnalyzedImage] = {}
    waiting = iter(enumerate(names))
    shown = messages().is_terminal and len(names) > 1
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=messages(), disable=not shown, transient=True) as progress:
        bar = progress.add_task("analysing", total=len(names))

        async def work_through() -> None:
            for index, name in waiting:
                done[index] = await _analyze(engine, fetcher, name, tasks)
            if ended is not None:
                ended(done[index])
                progress.advance(bar)

        at_once = min(_IN_FLIGHT, max(1, settings.queue_limit // len(tasks)), len(names))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(work_through())
        finally:
            await engine.close(_CLOSE_SECONDS)
            fetcher.close()
    return [done[index] for index in range(len(names))]


async def _analyze(
    engine: "Engine", fetcher: "Fetcher", name: str, tasks: Sequence["Task"]
) -> AnalyzedImage:
    """One picture; whatever is wrong with it is its own answer and nobody else's."""
    try:
        if name.lower().startswith(("http://", "https://")):
            with await fetcher.fetch(name) as fetched:
                return AnalyzedImage(name, await engine.analyze(fetched.file, tasks))
        with await asyncio.to_thread(_open, name) as file:
            return AnalyzedImage(name, await engine.analyze(file, tasks))
    except OpsinError as error:
        return AnalyzedImage(name, error)


def _open(name: str) -> BinaryIO:
    path = Path(name)
    if path.is_dir():
        raise InvalidInput("this is a directory: name the files in it")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no file's name"
        raise InvalidInput(f"the file cannot be read: {reason}") from None

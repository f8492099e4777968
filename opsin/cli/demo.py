"""`opsin demo`: a portrait analysed end to end by a server of its own, shown as it happens."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import read_settings
from opsin.cli.output import print_line, results, say
from opsin.core.errors import ConfigurationError, OperationFailed, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from opsin.cli.demo_picture import LabelledBox

_ANALYSIS_SECONDS = 300
_SHOWN = 3
"""Analyses in the answer that is printed."""
_MOST = 1000
_LINE = 88
_DRAWN = Path("opsin-demo.png")
_STYLES = {"COMPLETED": "green", "FAILED": "red", "CANCELLED": "red"}


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data directory, and say where it is.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The picture to analyse.",
            show_default="a portrait that comes with matplotlib",
        ),
    ] = None,
) -> None:
    """Analyse a portrait end to end: start a server, upload, follow, read the answer, stop.

    Writes the picture with the boxes it found to opsin-demo.png.
    """
    with _data_dir(keep=keep) as data_dir:
        if event_loop.run(event_loop.until_stopped(_demo(data_dir, picture))) is None:
            say("interrupted; the server is stopped")
            raise typer.Exit(ExitCode.INTERRUPTED)


async def _demo(data_dir: Path, given: Path | None) -> bool:
    from opsin.cli import demo_picture, demo_story
    from opsin.cli.demo_client import DemoClient
    from opsin.cli.demo_server import running_server
    from opsin.settings import environment_with

    file = given or demo_picture.portrait()
    picture = demo_picture.displayed(file)  # says what is wrong with it before a server is started
    environment = environment_with(
        data_dir=str(data_dir),
        database_url=None,
        blob_url=None,
        s3_bucket=None,
        public_url=None,
        log_level=None,
        max_tasks=str(_MOST),
        graphql_max_page=str(_MOST),
    )
    started = time.perf_counter()
    options = ["--host", "127.0.0.1", "--port", "0", "--auth", "dev", "--worker"]
    async with running_server(options, environment, data_dir / "server.log") as url:
        _rule("A server of its own")
        _tell(f"{url}  accepts requests after {time.perf_counter() - started:.1f} s")
        async with contextlib.aclosing(DemoClient(url)) as client:
            choice = await demo_story.choose_tasks(client)
            dataset, image = await demo_story.store_picture(client, file)
            _rule("A picture goes in")
            _tell(f"{image['filename']}, {image['width']} x {image['height']}: image {image['id']}")
            _rule("Every operation that can be run here, followed live")
            events = _EventPrinter()
            following = demo_story.analyze(client, dataset, image["id"], choice.tasks, events.print)
            try:
                await asyncio.wait_for(following, _ANALYSIS_SECONDS)
            except TimeoutError:
                raise OperationFailed(
                    f"the analyses did not end within {_ANALYSIS_SECONDS} s"
                ) from None
            shown = await client.ask(choice.read_query, dataset=dataset, first=_SHOWN)
            answer = await client.ask(choice.read_query, dataset=dataset, first=_MOST)
    analyses = demo_story.analyses_of(answer)
    boxes = demo_story.boxes_of(analyses)
    _rule("The answer, in one query")
    _print_exchange(choice.read_query, shown)
    if len(analyses) > _SHOWN:
        _tell(f"first: {_SHOWN} of {len(analyses)} analyses")
    _rule("The picture")
    _show_picture(picture, boxes)
    if choice.unavailable:
        _rule("Not available here")
        _print_unavailable(choice.unavailable)
    _check(choice.tasks, analyses, boxes, is_portrait=given is None)
    _rule("The server is stopped; opsin serve starts one that stays")
    return True


class _EventPrinter:
    """Prints events with the time that passed since the first."""

    def __init__(self) -> None:
        self._first: datetime | None = None

    def print(self, event: dict[str, Any]) -> None:
        occurred = datetime.fromisoformat(event["occurredAt"])
        self._first = self._first or occurred
        seconds = (occurred - self._first).total_seconds()
        status, analysis = event["status"], event["analysis"]
        # The analysis is shown as it is now, the status as it was when this happened.
        reason = analysis["errorMessage"] if status == "FAILED" else None
        _tell(
            f"+{seconds:5.2f} s  ",
            (f"{status:<10}", _STYLES.get(status, "cyan")),
            f"  {analysis['taskId']}",
            f": {reason}" if reason else "",
        )


def _print_exchange(query: str, answer: dict[str, Any]) -> None:
    from rich.syntax import Syntax

    console = results()
    for text, language in ((query, "graphql"), (_folded(answer), "json")):
        if console.is_terminal:
            console.print(Syntax(text, language, theme="ansi_dark", word_wrap=True))
        else:
            print_line(text)  # as it is: a line that is broken would not be JSON


def _folded(value: Any, indent: int = 0) -> str:
    """JSON in which whatever fits on a line is on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _LINE or not isinstance(value, dict | list):
        return line
    inner = indent + 2
    if isinstance(value, list):
        parts, opening, closing = [_folded(part, inner) for part in value], "[", "]"
    else:
        parts = [f"{json.dumps(key)}: {_folded(part, inner)}" for key, part in value.items()]
        opening, closing = "{", "}"
    between = ",\n" + " " * inner
    return f"{opening}\n{' ' * inner}{between.join(parts)}\n{' ' * indent}{closing}"


def _show_picture(picture: "Image", boxes: "list[LabelledBox]") -> None:
    from opsin.cli.demo_picture import draw, preview

    try:
        draw(picture, boxes).save(_DRAWN)
    except OSError as error:
        raise ConfigurationError(f"{_DRAWN} cannot be written here: {reason_of(error)}") from None
    if results().is_terminal and results().color_system in ("256", "truecolor"):
        results().print(preview(picture, boxes))
    for labelled in boxes:
        box = labelled.box
        _tell(f"{labelled.label}: x {box.x_min} to {box.x_max}, y {box.y_min} to {box.y_max}")
    _tell(f"drawn into {_DRAWN.resolve()}")


def _print_unavailable(unavailable: dict[str, list[str]]) -> None:
    for reason, whats in unavailable.items():
        _tell((f"{', '.join(whats)}: ", "bold"), reason)


def _check(
    tasks: list[dict[str, Any]],
    analyses: list[dict[str, Any]],
    boxes: "list[LabelledBox]",
    *,
    is_portrait: bool,
) -> None:
    """Raises OperationFailed when the answer is not what it must be."""
    from opsin.cli.demo_picture import shows_the_face

    # Skipped is an honest answer: the picture lacks what the operation looks at.
    fine = [a for a in analyses if a["status"] == "COMPLETED" or a["errorCode"] == "SKIPPED"]
    if len(fine) != len(tasks):
        raise OperationFailed(f"only {len(fine)} of {len(tasks)} analyses ended as they should")
    looked_for_face = any(
        task["operation"] == "detect_bounding_box" and "face" in task["params"]["target"]
        for task in tasks
    )
    if is_portrait and looked_for_face and not shows_the_face(boxes):
        raise OperationFailed("no box frames the face of the portrait")


@contextlib.contextmanager
def _data_dir(*, keep: bool) -> Iterator[Path]:
    """A fresh data directory, with the weights that are on this machine already."""
    models = read_settings().models_dir
    data_dir = Path(tempfile.mkdtemp(prefix="opsin-demo-"))
    try:
        if models.is_dir():
            (data_dir / models.name).symlink_to(models.resolve())
        yield data_dir
    finally:
        if keep:
            say(f"kept: opsin serve --data-dir {data_dir}")
        else:
            shutil.rmtree(data_dir, ignore_errors=True)


def _rule(title: str) -> None:
    from rich.text import Text

    results().print()
    results().rule(Text(title, "bold"), align="left", style="dim")


def _tell(*parts: Any) -> None:
    from rich.text import Text

    results().print(Text.assemble(*parts), soft_wrap=True)

"""`opsin caption-folder`: a caption for each picture of a folder, in a text file beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.analyze import AnalyzedImage, run_tasks
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, read_settings
from opsin.cli.output import print_line, say
from opsin.cli.picture_folders import is_picture
from opsin.core.errors import NotFound, OperationUnavailable, OpsinError, reason_of

if TYPE_CHECKING:
    from opsin.core.engine import Task
    from opsin.settings import Settings

_OPERATION = "describe_image"
_BEAMS = 4
"""As the image_embed API asks for captions."""


def caption_folder(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the pictures are.", show_default=False)
    ],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Write captions anew that are there.")
    ] = False,
    max_length: Annotated[
        int, typer.Option("--max-length", metavar="N", help="Most tokens of a caption, 1 to 512.")
    ] = 50,
    data_dir: DataDir = None,
) -> None:
    """Write NAME.txt for each picture NAME.jpg, .png, ... of a folder, here and now.

    Each file is written as soon as its caption is there; a picture that has one already is left
    alone.  Exits with 1 when a picture could not be described.
    """
    settings = read_settings(data_dir=data_dir)
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    wanted, skipped = _without_caption(folder, force=force)
    failed = _describe(settings, wanted, max_length) if wanted else 0
    print_line(f"{len(wanted) - failed} captions written, {skipped} skipped, {failed} failed")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _without_caption(folder: Path, *, force: bool) -> tuple[list[Path], int]:
    """The pictures to describe, and how many are left alone; of two with one name the first."""
    chosen: dict[Path, Path] = {}
    pictures = [path for path in sorted(folder.iterdir()) if is_picture(path)]
    for picture in pictures:
        caption = _caption_of(picture)
        if caption in chosen:
            say(f"{picture}: its caption would be that of {chosen[caption].name}")
        elif force or not caption.exists():
            chosen[caption] = picture
    return list(chosen.values()), len(pictures) - len(chosen)


def _caption_of(picture: Path) -> Path:
    return picture.with_suffix(".txt")


def _describe(settings: "Settings", pictures: list[Path], max_length: int) -> int:
    """Write the captions; gives how many pictures failed, which are told of."""
    from opsin.assembly import build_engine, discover_plugins, open_models
    from opsin.core.availability import Availability
    from opsin.core.engine import make_task

    host = discover_plugins(settings)
    store = open_models(settings, host)
    params = {"max_length": max_length, "num_beams": _BEAMS}
    task: Task = make_task(host, _OPERATION, _OPERATION, params)
    if reason := Availability(host, store).reason(task.operation, task.target):
        raise OperationUnavailable(reason)
    engine = build_engine(settings, host, store)
    failures: list[str] = []

    def ended(image: AnalyzedImage) -> None:
        if (problem := _written(image)) is not None:
            failures.append(image.name)
            say(f"{image.name}: {problem}")

    event_loop.run(run_tasks(settings, engine, [str(path) for path in pictures], [task], ended))
    return len(failures)


def _written(image: AnalyzedImage) -> str | None:
    """Write the caption of one picture; gives why there is none."""
    if isinstance(image.answer, OpsinError):
        return image.answer.message
    (outcome,) = image.answer.outcomes
    if outcome.error is not None:
        return outcome.error.message
    caption = _caption_of(Path(image.name))
    whole = caption.with_name(f".{caption.name}.part")
    try:
        # In one step: a caption that was cut short would be left alone the next time.
        whole.write_text(str(getattr(outcome.result, "text", "")), "utf-8")
        whole.replace(caption)
    except OSError as error:
        return f"its caption cannot be written: {reason_of(error)}"
    return None

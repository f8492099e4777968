"""Pictures in folders whose names say what they show, and what an operation finds in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsin.cli import event_loop
from opsin.cli.analyze import run_tasks
from opsin.cli.output import say
from opsin.core.errors import InvalidInput, NotFound, OperationUnavailable, OpsinError

if TYPE_CHECKING:
    from opsin.core.engine import Outcome, Task
    from opsin.core.plugin_host import PluginHost
    from opsin.settings import Settings

_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def folders_in(folder: Path) -> dict[str, list[Path]]:
    """The pictures below each folder in a folder, by the inner folder's name; both sorted."""
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}")
    found = {
        inner.name: _pictures_in(inner)
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".")
    }
    return {name: pictures for name, pictures in found.items() if pictures}


def ask(
    settings: "Settings",
    host: "PluginHost",
    task: "Task",
    pictures: Mapping[str, Sequence[Path]],
) -> tuple[list[tuple[str, "Outcome"]], int]:
    """Each picture's folder and outcome, in order, and how many failed, which are told of."""
    from opsin.assembly import build_engine, open_models
    from opsin.core.availability import Availability

    store = open_models(settings, host)
    if reason := Availability(host, store).reason(task.operation, task.target):
        raise OperationUnavailable(reason)
    named = [(name, str(path)) for name, paths in pictures.items() for path in paths]
    if not named:
        raise InvalidInput("there is no picture in these folders")
    engine = build_engine(settings, host, store)
    paths = [path for _, path in named]
    found: list[tuple[str, Outcome]] = []
    for (name, path), image in zip(
        named, event_loop.run(run_tasks(settings, engine, paths, [task])), strict=True
    ):
        answer = image.answer
        if isinstance(answer, OpsinError):
            say(f"{path}: {answer.message}")
            continue
        (outcome,) = answer.outcomes
        if outcome.error is not None:
            say(f"{path}: {outcome.error.message}")
        else:
            found.append((name, outcome))
    return found, len(named) - len(found)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_picture(path))


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture; hidden ones are nobody's pictures."""
    is_named = path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
    return is_named and path.is_file()

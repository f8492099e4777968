"""`opsin models`: which weights there are, and getting those that are missing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import messages, new_table, print_json, print_line, results, size_text
from opsin.core.errors import NotFound, OperationUnavailable

if TYPE_CHECKING:
    from opsin.core.contract import LocatedModel, ModelRequirement
    from opsin.core.model_store import ModelStore
    from opsin.settings import Settings

Name = Annotated[str, typer.Argument(help="As `models list` shows it.", show_default=False)]

app = typer.Typer(help="Model weights.", no_args_is_help=True)


@app.command("list")
def list_models(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the weights that operations and region finders need, and whether they are here."""
    settings = read_settings(data_dir=data_dir)
    store = _store(settings)
    described = [_described(store, *one) for one in _requirements(settings).values()]
    if as_json:
        print_json({"models": described})
    else:
        _print_table(described)


@app.command("pull")
def pull(name: Name, data_dir: DataDir = None) -> None:
    """Download weights and check them; a download that broke off goes on where it stopped."""
    settings = read_settings(data_dir=data_dir)
    requirement = _requirement(settings, name)
    make_data_dir(settings)
    _report(_pull(_store(settings), requirement))


@app.command("import")
def import_file(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The weights file.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Take weights that were carried here as a file, once their hash is right."""
    settings = read_settings(data_dir=data_dir)
    requirement = _requirement(settings, name)
    make_data_dir(settings)
    _report(_store(settings).install(requirement, file))


def _pull(store: "ModelStore", requirement: "ModelRequirement") -> "LocatedModel":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    name = TextColumn("{task.description}", markup=False)
    console = messages()
    with Progress(name, *columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(requirement.name, total=requirement.size_bytes, visible=False)

        def show(done: int, total: int | None) -> None:
            progress.update(bar, completed=done, total=total, visible=True)

        return store.pull(requirement, show)


def _report(located: "LocatedModel") -> None:
    print_line(f"{located.requirement.name} is here, sha256 {located.fingerprint}")


def _store(settings: "Settings") -> "ModelStore":
    from opsin.core.model_store import ModelStore

    return ModelStore(settings.models_dir, offline=settings.offline)


def _requirements(settings: "Settings") -> dict[str, tuple["ModelRequirement", list[str]]]:
    """Every model by name, with the operations and finders that need it."""
    from opsin.assembly import discover_plugins

    host = discover_plugins(settings)
    loadables = [
        *(registered.operation for registered in host.operations.values()),
        *(registered.finder for registered in host.finders.values()),
    ]
    found: dict[str, tuple[ModelRequirement, list[str]]] = {}
    for loadable in loadables:
        for requirement in loadable.models:
            found.setdefault(requirement.name, (requirement, []))[1].append(loadable.name)
    return found


def _requirement(settings: "Settings", name: str) -> "ModelRequirement":
    known = _requirements(settings)
    if name not in known:
        names = ", ".join(known) or "none"
        raise NotFound(f"no operation needs a model {name!r}; models: {names}")
    return known[name][0]


def _described(
    store: "ModelStore", requirement: "ModelRequirement", used_by: list[str]
) -> dict[str, Any]:
    from opsin.core.contract import Bundled

    fingerprint, reason = None, None
    state = "bundled" if isinstance(requirement.origin, Bundled) else "present"
    try:
        fingerprint = store.locate(requirement).fingerprint
    except OperationUnavailable as error:
        state, reason = "missing", error.message
    return {
        "name": requirement.name,
        "state": state,
        "missing_reason": reason,
        "size_bytes": requirement.size_bytes,
        "licence": requirement.licence,
        "fingerprint": fingerprint,
        "used_by": used_by,
    }


def _print_table(described: list[dict[str, Any]]) -> None:
    from rich.text import Text

    styles = {"bundled": "green", "present": "green", "missing": "red"}
    table = new_table("Model", "State", "Size", "Licence", "Fingerprint", "Used by")
    for model in described:
        table.add_row(
            Text(model["name"], "bold"),
            Text(model["state"], styles[model["state"]]),
            size_text(model["size_bytes"]),
            model["licence"],
            (model["fingerprint"] or "")[:12],
            ", ".join(model["used_by"]),
        )
    console = results()
    console.print(table)
    for model in described:
        if model["missing_reason"]:
            needed_by = ", ".join(model["used_by"])
            console.print(Text(f"{needed_by} {model['missing_reason']}"), soft_wrap=True)

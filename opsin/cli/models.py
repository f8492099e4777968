"""`opsin models`: which weights there are, getting those that are missing, and checking them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import messages, new_table, print_json, print_line, results, say, size_text
from opsin.core.errors import OperationUnavailable

if TYPE_CHECKING:
    from opsin.core.contract import LocatedModel, ModelRequirement
    from opsin.core.models.files import FileCheck
    from opsin.core.models.inventory import ModelDescription, ModelInventory
    from opsin.core.models.store import ModelStore
    from opsin.settings import Settings

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As `models list` shows it.", show_default=False)
]

app = typer.Typer(help="Model weights.", no_args_is_help=True)


@app.command("list")
def list_models(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the weights that operations and region finders need, and whether they are here."""
    _, inventory = _open(read_settings(data_dir=data_dir))
    described, leftovers = inventory.models(), inventory.leftovers()
    if as_json:
        print_json(
            {
                "models": [_as_json(model) for model in described],
                "leftovers": [
                    {"name": one.name, "size_bytes": one.size_bytes} for one in leftovers
                ],
            }
        )
        return
    _print_table(described)
    for one in leftovers:
        size = size_text(one.size_bytes)
        print_line(f"nothing needs {one.name} ({size}) any more: opsin models rm {one.name}")


@app.command("pull")
def pull(name: Name, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Download weights and check them; a download that broke off goes on where it stopped."""
    settings = read_settings(data_dir=data_dir)
    store, inventory = _open(settings)
    requirement = inventory.requirement(name)
    make_data_dir(settings)
    _report(_pull(store, requirement), as_json=as_json)


@app.command("verify")
def verify(
    name: Annotated[
        str | None,
        typer.Argument(help="As `models list` shows it.", show_default="every model that is here"),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read weights again and compare them with what they must be; exits with 1 if they are not."""
    store, inventory = _open(read_settings(data_dir=data_dir))
    checked: dict[str, tuple[FileCheck, ...]] = {}
    for model in [name] if name else inventory.names:
        try:
            checked[model] = store.verify(inventory.requirement(model))
        except OperationUnavailable:
            if name:
                raise
    if as_json:
        print_json({"models": [_checks_as_json(*one) for one in checked.items()]})
    else:
        _print_checks(checked)
    if any(check.problem for checks in checked.values() for check in checks):
        raise typer.Exit(ExitCode.FAILED)


@app.command("import")
def import_weights(
    name: Name,
    source: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="The weights: a file or folder.", show_default=False),
    ],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Take weights that were carried here as a file or folder, once they are right."""
    settings = read_settings(data_dir=data_dir)
    store, inventory = _open(settings)
    requirement = inventory.requirement(name)
    make_data_dir(settings)
    _report(store.install(requirement, source), as_json=as_json)


@app.command("rm")
def remove(name: Name, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Delete downloaded weights, with what unfinished downloads have left of them."""
    _, inventory = _open(read_settings(data_dir=data_dir))
    inventory.remove(name)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        print_line(f"{name} is not here any more")


def _open(settings: "Settings") -> tuple["ModelStore", "ModelInventory"]:
    from opsin.assembly import discover_plugins, open_models
    from opsin.core.models.inventory import ModelInventory

    host = discover_plugins(settings)
    store = open_models(settings, host)
    return store, ModelInventory(store, host)


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


def _report(located: "LocatedModel", *, as_json: bool) -> None:
    name, fingerprint = located.requirement.name, located.fingerprint
    if as_json:
        folder = located.folder
        files = [
            {
                "name": path.relative_to(folder).as_posix() if folder else path.name,
                "size_bytes": path.stat().st_size,
            }
            for path in located.paths
        ]
        print_json({"name": name, "fingerprint": fingerprint, "files": files})
    else:
        what = "fingerprint" if located.folder else "sha256"
        print_line(f"{name} is here, {what} {fingerprint}")


def _as_json(model: "ModelDescription") -> dict[str, Any]:
    return {
        "name": model.name,
        "state": model.state.value,
        "missing_reason": model.reason,
        "kind": model.kind,
        "origin": model.origin,
        "revision": model.revision,
        "commit": model.commit,
        "size_bytes": model.size_bytes,
        "licence": model.licence,
        "fingerprint": model.fingerprint,
        "used_by": list(dict.fromkeys(use.loadable for use in model.uses)),
        "roles": [f"{use.loadable}.{use.role}" for use in model.uses],
    }


def _checks_as_json(name: str, checks: tuple["FileCheck", ...]) -> dict[str, Any]:
    return {
        "name": name,
        "ok": not any(check.problem for check in checks),
        "files": [
            {
                "name": check.name,
                "size_bytes": check.size,
                "sha256": check.sha256,
                "expected_sha256": check.expected,
                "problem": check.problem,
            }
            for check in checks
        ],
    }


def _print_table(described: list["ModelDescription"]) -> None:
    from rich.text import Text

    styles = {"bundled": "green", "present": "green"}
    table = new_table("Model", "State", "Size", "Licence", "Fingerprint", "Serves")
    table.columns[0].no_wrap = True  # to be copied
    for model in described:
        table.add_row(
            Text.assemble((model.name, "bold"), "\n", (_short_origin(model), "dim")),
            Text(model.state, styles.get(model.state, "red")),
            size_text(model.size_bytes),
            Text(model.licence),
            (model.fingerprint or "")[:12],
            Text("\n".join(f"{use.loadable} as {use.role}" for use in model.uses)),
        )
    console = results()
    console.print(table)
    for model in described:
        if model.reason:
            needed_by = ", ".join(dict.fromkeys(use.loadable for use in model.uses))
            console.print(Text(f"{needed_by} {model.reason}"), soft_wrap=True)


def _short_origin(model: "ModelDescription") -> str:
    """The whole address is in the JSON document."""
    if model.kind == "download":
        return model.origin.partition("://")[2].partition("/")[0]
    if model.kind == "repository":
        repository, _, revision = model.origin.partition("@")
        return f"{repository}@{revision[:7] if len(revision) == 40 else revision}"
    return model.origin


def _print_checks(checked: dict[str, tuple["FileCheck", ...]]) -> None:
    from rich.text import Text

    if not checked:
        say("no model is here")
        return
    table = new_table("Model", "File", "Size", "sha256", "Is")
    table.columns[0].no_wrap = True
    for name, checks in checked.items():
        for check in checks:
            told = ("wrong", "red") if check.problem else ("right", "green")
            if not check.problem and not check.expected:
                told = ("readable", "")  # nothing says what it must be
            table.add_row(
                Text(name if check is checks[0] else "", "bold"),
                Text(check.name),
                size_text(check.size),
                (check.sha256 or "")[:12],
                Text(*told),
            )
    results().print(table)
    for name, checks in checked.items():
        for check in checks:
            if check.problem:
                print_line(f"{name}: {check.problem}")

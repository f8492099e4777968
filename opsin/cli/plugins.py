"""`opsin plugins`: which plugins there are, and what failed in them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Json, read_settings
from opsin.cli.output import new_table, print_json, results

if TYPE_CHECKING:
    from opsin.core.plugin_host import PluginHost

app = typer.Typer(help="Providers of operations.", no_args_is_help=True)


@app.callback()
def _plugins() -> None:
    """Keeps `list` a command of its own while it is the only one."""


@app.command("list")
def list_plugins(
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when anything failed in a plugin.")
    ] = False,
) -> None:
    """List the plugins, and what went wrong when they were imported and registered."""
    settings = read_settings()  # before what takes long to import

    from opsin.assembly import discover_plugins

    host = discover_plugins(settings)
    if as_json:
        print_json(_document(host))
    else:
        _print_tables(host)
    if strict and host.failures:
        raise typer.Exit(ExitCode.FAILED)


def _document(host: "PluginHost") -> dict[str, Any]:
    return {
        "plugins": [
            {
                "name": plugin.name,
                "version": plugin.version,
                "distribution": plugin.distribution,
                "builtin": plugin.builtin,
                "operations": list(plugin.operations),
            }
            for plugin in host.plugins
        ],
        "failures": [
            {
                "plugin": failure.plugin,
                "stage": failure.stage,
                "error_type": failure.error_type,
                "message": failure.message,
            }
            for failure in host.failures
        ],
    }


def _print_tables(host: "PluginHost") -> None:
    from rich.text import Text

    console = results()
    table = new_table("Plugin", "Version", "From", "Operations")
    for plugin in host.plugins:
        table.add_row(
            Text(plugin.name, "bold"),
            plugin.version or "",
            "built in" if plugin.builtin else plugin.distribution or plugin.module,
            Text(", ".join(plugin.operations)),
        )
    console.print(table)
    if host.failures:
        failed = new_table("Failed", "At", "Error", "Message")
        for failure in host.failures:
            failed.add_row(
                Text(failure.plugin, "bold red"),
                failure.stage,
                failure.error_type,
                Text(failure.message),
            )
        console.print(failed)

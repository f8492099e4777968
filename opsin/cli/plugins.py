"""`opsin plugins`: which there are and what failed in them, a new one, and whether one is sound."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import Json, read_settings
from opsin.cli.output import new_table, print_json, print_line, results, say

if TYPE_CHECKING:
    from opsin.core.conformance import Finding
    from opsin.core.contract import Application
    from opsin.core.plugin_host import PluginHost, PluginInfo

app = typer.Typer(help="Providers of operations.", no_args_is_help=True)


@app.command("list")
def list_plugins(
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when anything failed in a plugin.")
    ] = False,
) -> None:
    """List the plugins, their applications, and what went wrong when they were registered."""
    settings = read_settings()  # before what takes long to import

    from opsin.assembly import discover_plugins

    host = discover_plugins(settings)
    if as_json:
        print_json(_document(host))
    else:
        _print_tables(host)
    if strict and host.failures:
        raise typer.Exit(ExitCode.FAILED)


@app.command("new")
def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What it measures or finds, e.g. sharpness.")
    ],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Where its folder is made.")
    ] = Path(),
) -> None:
    """Make a new plugin: a working operation with its tests, to be changed into yours."""
    from opsin.cli.new_plugin import make_plugin

    folder = make_plugin(name, into)
    print_line(str(folder))
    say(
        f"Next:\n  pip install -e {folder} pytest pytest-asyncio\n  pytest {folder}\n"
        f"  opsin plugins check {folder.name}"
    )


@app.command("check")
def check(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN", help="The plugin's name, its distribution, or an importable module."
        ),
    ],
    params: Annotated[
        str, typer.Option("--params", metavar="JSON", help="Params for its operations.")
    ] = "{}",
    as_json: Json = False,
) -> None:
    """Try all that a plugin provides against the promises of the contract."""
    settings = read_settings()  # before what takes long to import

    import json

    from opsin.assembly import discover_plugins, open_models
    from opsin.core.conformance import Verdict, check_plugin
    from opsin.core.errors import InvalidInput
    from opsin.core.plugin_host import PluginSource

    try:
        given = json.loads(params)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInput("--params must be a JSON object")
    host = discover_plugins(settings)
    name = _plugin_name(host, plugin)
    if name is None:  # not installed: a module that is still being written
        host = discover_plugins(settings, (PluginSource(plugin, plugin),))
        name = plugin
    findings = check_plugin(host, open_models(settings, host), name, params=given)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print_findings(findings)
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _plugin_name(host: "PluginHost", text: str) -> str | None:
    """The name of the plugin that a person means: by name, distribution or module."""
    wanted = text.replace("_", "-").lower()
    for plugin in host.plugins:
        known = (plugin.name, plugin.distribution or "", plugin.module.partition(":")[0])
        # Every built-in plugin comes with the distribution opsin, which means none of them.
        if text in (plugin.name, plugin.module) or (
            not plugin.builtin and wanted in {name.replace("_", "-").lower() for name in known}
        ):
            return plugin.name
    failed = [failure.plugin for failure in host.failures]
    return text if text in failed else None


def _print_findings(findings: "Sequence[Finding]") -> None:
    from rich.text import Text

    styles = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
    table = new_table("Of", "Check", "Verdict", "")
    for finding in findings:
        verdict = Text(finding.verdict.value, styles[finding.verdict.value])
        table.add_row(Text(finding.subject, "bold"), finding.check, verdict, Text(finding.text))
    results().print(table)


def _document(host: "PluginHost") -> dict[str, Any]:
    return {
        "plugins": [
            {
                "name": plugin.name,
                "version": plugin.version,
                "distribution": plugin.distribution,
                "builtin": plugin.builtin,
                "operations": list(plugin.operations),
                "applications": [
                    {
                        "name": one.name,
                        "title": one.title,
                        "image_type": one.image_type,
                        "operations": _operations_of(one),
                    }
                    for one in _applications_of(host, plugin)
                ],
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


def _applications_of(host: "PluginHost", plugin: "PluginInfo") -> "list[Application]":
    """Those that the plugin registered."""
    registered = host.applications.values()
    return [one.application for one in registered if one.plugin.name == plugin.name]


def _operations_of(application: "Application") -> list[str]:
    """The operations of its steps, each once, in their order."""
    return list(dict.fromkeys(step.operation for step in application.steps))


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
    if host.applications:
        applications = new_table("Application", "Of", "Images", "Operations")
        for plugin in host.plugins:
            for one in _applications_of(host, plugin):
                applications.add_row(
                    Text(one.name, "bold"),
                    plugin.name,
                    one.image_type or "any",
                    Text(", ".join(_operations_of(one))),
                )
        console.print(applications)
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

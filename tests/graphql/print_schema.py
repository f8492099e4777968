"""Writes the committed schema: `python -m tests.graphql.print_schema`."""

from pathlib import Path

import opsin.graphql
from opsin.assembly import BUILTIN_PLUGINS
from opsin.core.plugin_host import PluginHost
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema

COMMAND = "python -m tests.graphql.print_schema"
COMMITTED = Path(opsin.graphql.__file__).with_name("schema.graphql")


def built_in_schema() -> OpsinSchema:
    """The schema of the built-in plugins, whatever else is installed on this machine."""
    host = PluginHost.discover(BUILTIN_PLUGINS, entry_points=False, strict=True)
    return build_schema(host, Limits(depth=16, fields=500, aliases=50, tokens=5000))


def printed_schema() -> str:
    return f"# Written by `{COMMAND}`; a test keeps it current.\n\n{built_in_schema().as_str()}\n"


if __name__ == "__main__":
    COMMITTED.write_text(printed_schema(), "utf-8")

"""`opsin db`: the database's tables, brought to the newest version."""

from typing import TYPE_CHECKING

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, make_data_dir, read_settings
from opsin.cli.output import print_line, say

if TYPE_CHECKING:
    from opsin.settings import Settings

_EMPTY = "(empty)"

app = typer.Typer(help="The database's tables.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(data_dir: DataDir = None) -> None:
    """Bring the tables to the newest revision; servers and workers do this when they start."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    from opsin.storage import schema

    before, after = event_loop.run(schema.upgrade(settings.resolved_database_url))
    print_line(f"{before or _EMPTY} -> {after}")


@app.command("current")
def current(data_dir: DataDir = None) -> None:
    """Print the revision the database is at, and the newest one when that is another."""
    settings = read_settings(data_dir=data_dir)

    from opsin.storage import schema

    revision = None
    if _may_be_there(settings):
        revision = event_loop.run(schema.current_revision(settings.resolved_database_url))
    newest = schema.newest_revision()
    print_line(revision or _EMPTY)
    if revision != newest:
        say(f"the newest revision is {newest}: opsin db upgrade")


def _may_be_there(settings: "Settings") -> bool:
    """False for a file that is not there, which connecting would make."""
    return settings.database_url is not None or (settings.data_dir / "opsin.sqlite3").is_file()

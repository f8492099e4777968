"""Options that several commands share, and the settings that come of them."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import logs
from opsin.core.errors import ConfigurationError, reason_of

if TYPE_CHECKING:
    from opsin.settings import Settings

log = logging.getLogger(__name__)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Database, blobs and models.",
        show_default="OPSIN_DATA_DIR, or ./opsin-data",
    ),
]
InheritedOption = Annotated[str | None, typer.Option("--inherited", hidden=True)]
"""What a process gets that `opsin serve --workers` has started; see `opsin.cli.child`."""
Company = Annotated[
    str, typer.Option("--company", metavar="NAME", help="The tenant whose data it is.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def read_settings(*, server: bool = False, **overrides: Any) -> "Settings":
    """The settings of the environment under the command's own options; sets up the logs.

    A `server` logs as much as the settings say, other commands only what went wrong, unless
    OPSIN_LOG_LEVEL asks for more.
    """
    from opsin.settings import load_settings, misspelt  # pydantic-settings: not for --help

    settings = load_settings(**overrides)
    if server:
        logs.show_tracebacks()
    if server or "log_level" in settings.model_fields_set:
        logs.set_level(settings.log_level)
    if server or "log_format" in settings.model_fields_set:
        logs.set_format(settings.log_format)
    for name, meant in misspelt():
        log.warning("%s is no setting: is %s meant?", name, meant)
    return settings


def make_data_dir(settings: "Settings") -> None:
    """Make the data directory, or say what is wrong with it."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the data directory {settings.data_dir} cannot be used: {reason_of(error)}"
        ) from None

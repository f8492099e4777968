"""A new plugin, made of the template that comes with Opsin."""

import keyword
import re
from pathlib import Path

from opsin.core.errors import Conflict, InvalidInput, StorageError, reason_of

_TEMPLATE_NAME = "brightness"
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_LEFT_OUT = {"__pycache__", ".pytest_cache", "dist", ".ruff_cache", ".mypy_cache"}


def make_plugin(name: str, parent: Path) -> Path:
    """Write `parent/opsin-<name>`, a plugin with one operation `measure_<name>` and its tests.

    Raises InvalidInput for a name that cannot be one, Conflict when the folder is there.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidInput(
            f"{name[:40]!r} cannot be a plugin's name: small letters and digits, words joined by - "
            "or _, such as 'sharpness' or 'fin-shape'"
        )
    words = re.split("[_-]", name)
    folder = parent / f"opsin-{'-'.join(words)}"
    if folder.exists():
        raise Conflict(f"{folder} is there already")
    camel = "".join(word.title() for word in words)
    replacements = {
        f"opsin-{_TEMPLATE_NAME}": folder.name,
        _TEMPLATE_NAME.title(): camel,
        _TEMPLATE_NAME: "_".join(words),
    }
    try:
        for source in sorted(template_folder().rglob("*")):
            relative = source.relative_to(template_folder())
            if source.is_dir() or _LEFT_OUT & set(relative.parts):
                continue
            target = folder / _renamed(relative.as_posix(), replacements)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(source.read_text("utf-8"), replacements), "utf-8")
    except OSError as error:
        raise StorageError(f"the plugin cannot be written: {reason_of(error)}") from error
    return folder


def template_folder() -> Path:
    """Where the template is: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "plugin_template"
    return installed if installed.is_dir() else package.parent / "plugin_template"


def _renamed(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    # The template's pages lie beside Opsin's; a plugin's lie anywhere.
    return text.replace("](../README.md)", "](https://pypi.org/project/opsin/)").replace(
        "[docs/plugins.md](../docs/plugins.md)", "Opsin's docs/plugins.md"
    )

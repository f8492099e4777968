"""The documentation says what the code does: every setting with its default and meaning."""

import re
from pathlib import Path

import pytest

from opsin.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"
ROWS = re.findall(
    r"^\| `(OPSIN_\w+)` \| (.+?) \| (.+) \|$", (DOCS / "settings.md").read_text(), re.M
)


def test_every_setting_is_documented_and_no_other() -> None:
    assert [name for name, _, _ in ROWS] == [f"OPSIN_{n.upper()}" for n in Settings.model_fields]


@pytest.mark.parametrize(("name", "default", "meaning"), ROWS)
def test_defaults_and_meanings_are_those_of_the_code(name: str, default: str, meaning: str) -> None:
    field = Settings.model_fields[name.removeprefix("OPSIN_").lower()]
    value = field.get_default(call_default_factory=True)
    shown = "unset" if value is None else "empty" if value in ((), {}) else f"`{value}`"
    assert default == (shown.lower() if isinstance(value, bool) else shown)
    assert meaning == field.description

"""Fonts of a report: those that show its characters, cut down to them, to be embedded."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources, util
from pathlib import Path
from typing import Any

from opsin.core.errors import OpsinError

FAMILY = "text"
MISSING = "\ufffd"
"""Stands for what no font shows."""

_ALWAYS = frozenset(map(chr, range(0x20, 0x7F))) | set("°²−×…·–™±µ" + MISSING)  # noqa: RUF001 - they look like others, and are meant
_STYLES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf", "I": "DejaVuSans-Oblique.ttf"}
_SYSTEM_FONTS = 400
"""Of the machine's fonts no more are looked at."""


@dataclass(frozen=True, slots=True)
class Font:
    """A font that shows some of the characters; `family` names it, `style` is as in fpdf2."""

    family: str
    style: str
    path: Path
    number: int = 0
    """Of its face in a collection."""


@dataclass(frozen=True, slots=True)
class Fonts:
    """The fonts of one report: three styles of the first family, then those that step in."""

    fonts: Sequence[Font]
    missing: frozenset[str]
    """Characters that none of them shows."""

    @property
    def fallbacks(self) -> list[str]:
        return [font.family for font in self.fonts if font.family != FAMILY]


def choose(characters: Iterable[str]) -> Fonts:
    """The fonts for these characters: DejaVu, Noto Sans CJK, then the machine's, by their paths."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    chosen = [Font(FAMILY, style, folder / name) for style, name in _STYLES.items()]
    left = {one for one in characters if not one.isspace()}
    left -= _shown(left, chosen[0].path, 0)
    for path, number in _further(left):
        if not left:
            break
        shown = _shown(left, path, number)
        if shown:
            chosen.append(Font(f"fallback{len(chosen)}", "", path, number))
            left -= shown
    return Fonts(chosen, frozenset(left))


def cut(font: Font, characters: Iterable[str], folder: Path) -> Path:
    """A file in `folder` with no more of the font than these characters need."""
    import uharfbuzz

    face = uharfbuzz.Face(_blob(font.path), font.number)
    wanted = uharfbuzz.SubsetInput()
    wanted.sets(uharfbuzz.SubsetInputSets.UNICODE).update(map(ord, _ALWAYS | set(characters)))
    # Every feature: letters of many scripts are put together by those that are off by default.
    wanted.sets(uharfbuzz.SubsetInputSets.LAYOUT_FEATURE_TAG).invert()
    subset = uharfbuzz.subset(face, wanted)
    if subset is None:
        raise OpsinError("A font could not be used for a report")
    data = subset.blob.data
    path = folder / f"{font.family}{font.style}{'.otf' if data[:4] == b'OTTO' else '.ttf'}"
    path.write_bytes(data)
    return path


def _shown(characters: set[str], path: Path, number: int) -> set[str]:
    code_points = covered(path, number)
    return {one for one in characters if ord(one) in code_points}


@cache
def covered(path: Path, number: int) -> Collection[int]:
    """The code points that a font's face has outlines for; none where it cannot be read."""
    import uharfbuzz

    try:
        face = uharfbuzz.Face(_blob(path), number)
        # Fonts of pictures, such as most with emoji, have no outlines to embed.
        if not {"glyf", "CFF "} & set(face.table_tags):
            return frozenset()
        # HarfBuzz's own set: a few bytes for a page of hundreds of characters.
        found: Collection[int] = face.unicodes
        return found
    except (OSError, ValueError, RuntimeError, uharfbuzz.HarfBuzzError):
        return frozenset()


@cache
def _blob(path: Path) -> Any:
    """The font's file, mapped into memory once."""
    import uharfbuzz

    return uharfbuzz.Blob.from_file_path(str(path))


def _further(characters: set[str]) -> Iterable[tuple[Path, int]]:
    """Fonts for what the first one does not show."""
    if (collection := _cjk()) is not None:
        yield collection, _language(characters)
    for path in _of_machine():
        yield path, 0


def _cjk() -> Path | None:
    """Noto Sans CJK, which comes with the extra."""
    if util.find_spec("noto_cjk_sans_otc") is None:
        return None
    with resources.as_file(resources.files("noto_cjk_sans_otc")) as folder:
        return folder / "NotoSansCJK-Regular.ttc"


def _language(characters: set[str]) -> int:
    """The face with the text's own shapes: kana are Japanese, hangul Korean, others Chinese."""
    if any("\u3040" <= one <= "\u30ff" for one in characters):
        return 0
    if any("\uac00" <= one <= "\ud7a3" for one in characters):
        return 1
    return 2


@cache
def _of_machine() -> Sequence[Path]:
    from matplotlib.font_manager import findSystemFonts

    found = sorted(Path(path) for path in findSystemFonts())
    return found[:_SYSTEM_FONTS]

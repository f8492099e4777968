"""The words of reports: names, numbers and times as they are shown, and what a report is not."""

import math
import unicodedata
from datetime import UTC, datetime

ABOUT = (
    "What programs found in one picture, each by the method that is named with it. Numbers follow "
    "the light, the camera and its processing, make-up, pose and expression: compare pictures that "
    "were taken in the same way. Scores run from 0 to 100, 100 being the best; where they begin "
    "and end is a convention of the measure and no norm of people."
)
NOT = (
    "This is no diagnosis, no medical advice and no medical device's result. It does not say "
    "whether anybody is well or ill, how old somebody is or who it is. Whoever is worried about "
    "their skin or health should see a physician."
)
HISTORY = (
    "History: earlier pictures of the same subject, taken from the same side in the same light, as "
    "far as their results are still there. Dots are single pictures; the line is the mean of the "
    "newest ten of the 14 days that end with each."
)
FILE_DELETED = "The picture's file is no longer kept."
RESULTS_DELETED = "Results of this picture were deleted, as the dataset's retention asks."
NOTHING = "There are no results yet."
NO_NUMBERS = "Nothing was measured in numbers."

_INVISIBLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # they shape letters, and emoji
_ABBREVIATIONS = {"ita": "ITA", "clip": "CLIP", "dino": "DINO", "id": "ID"}


def clean(text: str, most: int) -> str:
    """One line without what cannot be seen, `most` characters at most."""
    shown = "".join(
        character
        if character in _JOINERS
        else " "
        if character.isspace()
        else ""
        if unicodedata.category(character) in _INVISIBLE or unicodedata.category(character) == "Cf"
        else character
        for character in text[: 4 * most]
    )
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def humanized(name: str) -> str:
    """`left_cheek` as `Left cheek`."""
    words = clean(name.replace("_", " "), 80)
    words = " ".join(_ABBREVIATIONS.get(word, word) for word in words.split())
    return words[:1].upper() + words[1:]


def number_text(value: float) -> str:
    """Three digits that matter, without an exponent where people would not write one."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 2 - math.floor(math.log10(size)))
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "\u2212")


def plain_value(value: float, unit: str) -> str:
    """A number whose unit stands elsewhere; shares are percentages."""
    return number_text(100 * value if unit == "share" else value)


def unit_text(unit: str) -> str:
    """A unit as it is printed; a score has none."""
    known = {"share": "%", "degree": "°", "degrees": "°", "score": ""}
    return known.get(unit, unit.replace("^2", "²").replace("^3", "³"))


def value_text(value: float, unit: str) -> str:
    """A number with its unit."""
    shown = unit_text(unit)
    space = "" if shown == "°" else " "
    return f"{plain_value(value, unit)}{space}{shown}".rstrip()


def moment_text(moment: datetime) -> str:
    """To the minute, in UTC."""
    return moment.astimezone(UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def size_text(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"

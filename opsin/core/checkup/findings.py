"""What was found: how it is, and what to do next."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from opsin.core.errors import OpsinError


class Verdict(StrEnum):
    """How it is: well, well for now or for some uses, or not at all."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do, and is there unless all is well."""

    part: str
    """`settings`, `database`, `blobs`, ..."""
    verdict: Verdict
    text: str
    advice: str | None = None


def good(part: str, text: str) -> Finding:
    return Finding(part, Verdict.OK, text)


def poor(part: str, text: str, advice: str) -> Finding:
    """It works, but perhaps not as meant, or not for long."""
    return Finding(part, Verdict.WARNING, text, advice)


def bad(part: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(part, Verdict.FAILED, text, advice)


async def look(
    part: str, finder: Callable[[], AsyncIterator[Finding]], advice: str
) -> list[Finding]:
    """All that a look finds; where it breaks off, that is what was found last.

    The advice is for that case.
    """
    found: list[Finding] = []
    try:
        async for one in finder():
            found.append(one)
    except OpsinError as error:
        found.append(bad(part, _told(error), advice))
    except Exception as error:  # whatever is wrong, the other parts are looked at as well
        found.append(bad(part, f"{type(error).__name__}: {error}", advice))
    return found


def _told(error: OpsinError) -> str:
    """With the reason behind it, which callers of the server are not told."""
    cause = error.__cause__
    if cause is None:
        return error.message
    lines = str(getattr(cause, "orig", None) or cause).strip().splitlines()
    return f"{error.message} ({type(cause).__name__}: {lines[0][:200] if lines else ''})"

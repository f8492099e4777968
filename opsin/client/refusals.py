"""Which error an answer is, and what its reader can do about it."""

import re
from collections.abc import Callable
from typing import Any

from opsin.client.errors import (
    Busy,
    ClientError,
    ClockWrong,
    Conflict,
    Forbidden,
    InvalidFinding,
    KeyRefused,
    NotAnOpsinServer,
    NotFound,
    Refused,
    SignatureRefused,
    TooLarge,
)
from opsin.client.retries import PASSING, server_time
from opsin.client.wire import Answer

_SKEW = 290.0
"""Seconds; signatures may be off by 300, unless the operator says otherwise."""
_DOCUMENTED = re.compile(r"Invalid annotation format: (.*) \(annotation (\d+)\)", re.S)

_ADVICE = {
    "Model not allowed": "Add the model's name to ML_ALLOWED_MODELS of the server.",
    "Analysis limit reached for this image": (
        "The server's ML_MAX_ANALYSES_PER_IMAGE says how many one may have."
    ),
    "ML analysis feature disabled": "Start the server with ML_ANALYSIS_ENABLED=true.",
    "HMAC secret not configured": "Start the server with ML_CALLBACK_HMAC_SECRET.",
    "HMAC authentication not configured on server": (
        "Start the server with ML_CALLBACK_HMAC_SECRET."
    ),
    "Server configuration error": "Start the server with PROXY_SHARED_SECRET, or use an API key.",
}
_BY_STATUS: dict[int, tuple[type[Refused], str]] = {
    403: (Forbidden, "Use a key of the company whose image or analysis this is."),
    404: (NotFound, "Check the id; what another company owns is not found either."),
    409: (Conflict, "Read the analysis; what has ended stays as it is, a new run needs a new one."),
    413: (TooLarge, "Send less, or have the operator raise the limit."),
}


def refusal(
    what: str, answer: Answer, *, url: str, now: float, has_key: bool, has_secret: bool
) -> ClientError:
    """The error that tells of an answer which is none of the good ones."""
    if 300 <= answer.status < 400:
        return NotAnOpsinServer(url, f"a redirection to {answer.headers.get('location', '?')}")
    detail = _detail(answer)
    if detail is None:
        if answer.status in PASSING:
            detail = "no word of the server's own"
        else:
            return not_ours(url, answer)
    if answer.status == 401:
        return _unauthenticated(what, answer, detail, now, has_key, has_secret)
    if answer.status in PASSING:
        advice = "It was tried for as long as the client's retries allow; try again later."
        return Busy(what, answer.status, detail, advice)
    error, advice = _BY_STATUS.get(answer.status, (Refused, ""))
    return error(what, answer.status, detail, _ADVICE.get(detail, advice))


def not_ours(url: str, answer: Answer) -> NotAnOpsinServer:
    """The error for a page of something else."""
    kind = answer.headers.get("content-type", "no content type")
    return NotAnOpsinServer(url, f"{answer.status} and {kind}")


def bad_finding(answer: Answer, start: int, find: Callable[[int], Any]) -> InvalidFinding | None:
    """Which finding the server refused, counted from the first of all; None for other refusals.

    `start` is the number of the first one in the request, `find` gives one by its place in it.
    """
    body = answer.json()
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list) and detail:
        place = detail[0].get("loc", [])
        if len(place) > 2 and place[:2] == ["body", "annotations"] and isinstance(place[2], int):
            field = ".".join(str(part) for part in place[3:])
            reason = detail[0].get("msg", "invalid")
            return _invalid(start, place[2], f"{field}: {reason}" if field else reason, find)
    if isinstance(detail, str) and (found := _DOCUMENTED.fullmatch(detail)):
        return _invalid(start, int(found[2]), found[1], find)
    return None


def _invalid(start: int, index: int, reason: str, find: Callable[[int], Any]) -> InvalidFinding:
    return InvalidFinding(start + index, reason, find(index))


def _unauthenticated(
    what: str, answer: Answer, detail: str, now: float, has_key: bool, has_secret: bool
) -> Refused:
    if "signature" not in detail.lower():
        advice = (
            "The key may be mistyped or revoked; `opsin keys create NAME` makes another."
            if has_key
            else "Make a key with `opsin keys create NAME` and give it as api_key."
        )
        return KeyRefused(what, 401, detail, advice)
    ahead = now - server_time(answer).timestamp() if "date" in answer.headers else 0.0
    if abs(ahead) > _SKEW:
        return ClockWrong(what, 401, detail, ahead)
    advice = (
        "Give the value of the server's ML_CALLBACK_HMAC_SECRET as secret, as text."
        if has_secret
        else "This must be signed: give the server's ML_CALLBACK_HMAC_SECRET as secret."
    )
    return SignatureRefused(what, 401, detail, advice)


def _detail(answer: Answer) -> str | None:
    """What the server says, in one line; None where it is no server of this API."""
    body = answer.json()
    if not isinstance(body, dict):
        return None
    detail = body.get("detail")
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):  # fields that are wrong
        told = [
            f"{'.'.join(str(part) for part in one.get('loc', [])[1:])}: {one.get('msg')}"
            for one in detail[:3]
        ]
        return "; ".join(told)
    errors = body.get("errors")  # of the routes that are no API of their own
    return errors[0].get("message") if isinstance(errors, list) and errors else None

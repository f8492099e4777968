"""Weights over HTTP: one file, resumed where an earlier attempt broke off, and checked."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from opsin.core.errors import FetchFailed
from opsin.core.models.files import Progress

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
"""How long a server may say nothing."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def fetch(
    url: str,
    part: Path,
    model: str,
    progress: Progress,
    problem: Callable[[], str | None],
    headers: Mapping[str, str] = NO_HEADERS,
) -> str | None:
    """Bring `part` to its end, going on from what is there; gives what `problem` finds then.

    A beginning that does not fit is thrown away once; a whole file that is not right is not kept.
    `FetchFailed` when the connection breaks: what has arrived stays for the next attempt.
    """
    while True:  # at most twice
        with part.open("ab") as stream:
            resumed = _download(url, stream, model, progress, headers)
            os.fsync(stream.fileno())  # before anything is written that says the file is here
        found = problem()
        if found is None:
            return None
        part.unlink()
        if not resumed:
            return found


def _download(
    url: str, part: BinaryIO, model: str, progress: Progress, headers: Mapping[str, str]
) -> bool:
    """Fetch the rest of `part`; True when there was a beginning to go on from."""
    import httpx  # a third of the start-up time of `opsin --help`, and only this needs it

    offset = part.tell()
    headers = {**headers, "accept-encoding": "identity"}
    if offset:
        headers["range"] = f"bytes={offset}-"
    timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
    try:
        # httpx sends `authorization` to the first host only, not to where that one leads.
        with httpx.stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=timeout
        ) as response:
            hops = [*response.history, response]
            if url.startswith("https:") and any(hop.url.scheme != "https" for hop in hops):
                raise FetchFailed(f"the download of {model!r} was led away from https")
            if response.status_code == 416 and offset:
                return True  # nothing is left to send; the check tells whether that is right
            if response.status_code == 200 and offset:
                offset = 0  # the server does not resume
                part.truncate(0)
            elif response.status_code not in (200, 206):
                status = response.status_code
                raise FetchFailed(f"the download of {model!r} was answered with HTTP {status}")
            length = response.headers.get("content-length", "")
            total = offset + int(length) if length.isdecimal() else None
            done = offset
            progress(done, total)
            for chunk in response.iter_raw():  # as it comes: pieces of a size are lost in a break
                part.write(chunk)
                done += len(chunk)
                progress(done, total)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(
            f"the download of {model!r} broke off ({type(error).__name__}); "
            "the same command goes on from there"
        ) from error
    finally:
        part.flush()
    return bool(offset)

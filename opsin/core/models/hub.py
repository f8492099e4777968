"""A hub of model repositories in Hugging Face's layout: which files it has, what they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from opsin.core.errors import ConfigurationError, FetchFailed
from opsin.core.models.http_source import CONNECT_SECONDS, SILENT_SECONDS
from opsin.core.models.requirements import Repository

if TYPE_CHECKING:
    import httpx

HUGGING_FACE = "https://huggingface.co"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_HOPS = 5


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub says of one file; `size` in bytes, `sha256` where it knows it."""

    name: str
    url: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files that were asked for, at one commit if the hub tells commits."""

    commit: str | None
    files: tuple[HubFile, ...]


class Hub:
    """One hub; the token is sent to it alone, never to where it leads."""

    def __init__(self, url: str = HUGGING_FACE, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ConfigurationError("OPSIN_HUB_URL must be an http or https URL")
        token = (token or "").strip()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError("OPSIN_HUB_TOKEN must be a token: one word of ASCII")
        self.url = url.rstrip("/")
        self._token = token

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request to the hub carries."""
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    def listing(self, origin: Repository, model: str, commit: str | None = None) -> HubListing:
        """Ask for every file of the origin; `commit` when it is known what the revision was.

        A branch may move in the meantime: after the first file, the others are asked for at its
        commit.  `FetchFailed` says which repository, revision or file is not there or not ours.
        """
        import httpx

        told: dict[str, Mapping[str, str]] = {}
        timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
        try:
            with httpx.Client(timeout=timeout) as client:
                for name in origin.files:
                    url = self._url(origin, name, commit)
                    told[name] = self._ask(client, url, origin, name)
                    commit = commit or told[name].get("x-repo-commit")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchFailed(
                f"the hub could not be asked for {model!r} ({type(error).__name__})"
            ) from error
        return HubListing(
            commit,
            tuple(_file(name, self._url(origin, name, commit), told[name]) for name in told),
        )

    def _url(self, origin: Repository, name: str, commit: str | None) -> str:
        revision = quote(commit or origin.revision, safe="")
        return f"{self.url}/{origin.repository}/resolve/{revision}/{quote(name)}"

    def _ask(
        self, client: "httpx.Client", url: str, origin: Repository, name: str
    ) -> Mapping[str, str]:
        """The headers of the hub's own answers; not those of the host that it leads to.

        Large files lie on another host, and only the hub's redirect tells their sha256.
        """
        told: dict[str, str] = {}
        for _ in range(_MOST_HOPS):
            answer = client.head(url, headers={**self.headers, "accept-encoding": "identity"})
            told |= answer.headers
            if not answer.is_success:
                told.pop("content-length", None)  # that of the redirect
            if not answer.has_redirect_location:
                break
            target = answer.url.join(answer.headers["location"])
            if not _is_same_hub(answer.url, target):
                return told
            url = str(target)
        if not answer.is_success:
            raise FetchFailed(self._refusal(answer.status_code, told, origin, name))
        return told

    def _refusal(self, status: int, told: Mapping[str, str], origin: Repository, file: str) -> str:
        """What the hub's refusal means; it answers 401 for what does not exist, too."""
        repository = f"repository {origin.repository!r}"
        reason = told.get("x-error-code")
        if status in (401, 403) and reason == "GatedRepo":
            if self._token:
                return f"the {repository} is gated, and OPSIN_HUB_TOKEN has no access to it"
            return f"the {repository} is gated: accept its terms on the hub, set OPSIN_HUB_TOKEN"
        if status in (401, 403) or reason == "RepoNotFound":
            if self._token:
                return f"the hub has no {repository} that OPSIN_HUB_TOKEN may read"
            return f"the hub has no public {repository}; a private one needs OPSIN_HUB_TOKEN"
        if reason == "RevisionNotFound":
            return f"the {repository} has no revision {origin.revision!r}"
        if status == 404:
            return f"the {repository} has no file {file!r} at revision {origin.revision!r}"
        if status == 429:
            return "the hub has had too many requests (HTTP 429): try again later"
        return f"the hub answered with HTTP {status} when asked for {file!r} of {repository}"


def _is_same_hub(here: "httpx.URL", target: "httpx.URL") -> bool:
    """The same host; from http to https as well, which httpx also sends the token along."""
    is_upgrade = here.scheme == "http" and target.scheme == "https"
    same_scheme = here.scheme == target.scheme or is_upgrade
    return same_scheme and (here.host, here.port) == (target.host, target.port)


def _file(name: str, url: str, headers: Mapping[str, str]) -> HubFile:
    etag = headers.get("x-linked-etag") or headers.get("etag") or ""
    digest = etag.removeprefix("W/").strip('"').lower()
    size = headers.get("x-linked-size") or headers.get("content-length") or ""
    return HubFile(
        name,
        url,
        int(size) if size.isdecimal() else None,
        digest if _DIGEST.fullmatch(digest) else None,
    )

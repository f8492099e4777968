"""Files from URLs that callers name: public addresses only, within byte and time limits."""

import asyncio
import re
import ssl
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from tempfile import SpooledTemporaryFile
from typing import Final, TypeAlias

import httpcore
import httpx

from opsin.core.addresses import (
    WEB_PORTS,
    AddressPolicy,
    GuardedNetwork,
    Resolver,
    SystemResolver,
)
from opsin.core.errors import AddressNotAllowed, FetchFailed, InvalidInput, StorageError, TooLarge

_File: TypeAlias = "SpooledTemporaryFile[bytes]"

DEFAULT_MAX_BYTES: Final = 32 * 1024 * 1024
DEFAULT_SECONDS: Final = 30.0
IMAGES: Final = "image/*, */*;q=0.1"
"""What a fetcher of images accepts: whatever is not plainly something else."""

_MAX_URL_CHARACTERS = 8192
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IN_MEMORY_BYTES = 1024 * 1024
_SILENCE_SECONDS = 10.0
_MAX_FILENAME_CHARACTERS = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}

# One text for a refused connection, a timeout, an unknown name and a broken answer: told apart,
# they would turn this server into a scanner of its neighbourhood.
_FAILED = "the URL could not be fetched"

_FAILURES = (
    OSError,  # also TimeoutError
    ValueError,  # names that no host can have, from the resolver or from TLS
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
)

_NOT_AN_IMAGE = re.compile(
    r"(text|audio|video|font|message|multipart|model)/.*"
    r"|application/(json|xml|javascript|pdf|zip|gzip|wasm|x-www-form-urlencoded|.*\+(json|xml))"
)


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A fetched body, rewound; whoever gets it closes it (`with await fetcher.fetch(url) as f`).

    `url` is where the last redirect led, `size` in bytes.  `content_type` (lower case, without
    parameters) and `filename` are the other server's word and prove nothing.
    """

    file: _File
    size: int
    url: str
    content_type: str | None
    filename: str | None

    def __enter__(self) -> "FetchedFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()


class Fetcher:
    """Fetches `http` and `https` URLs; uses no proxy, no cookie and nothing of the environment.

    `allow` opens further destinations (see `AllowedDestination.parse`).  `timeout` in seconds
    holds for the whole fetch: names, connections, redirects and body.  `accept` is what servers are
    told; only a fetcher of images refuses other content types.  Without `plain_http`, hosts that
    `allow` does not name are asked by TLS alone, at every redirect.
    """

    def __init__(
        self,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout: float = DEFAULT_SECONDS,
        allow: Iterable[str] = (),
        ports: Iterable[int] = WEB_PORTS,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        accept: str = IMAGES,
        plain_http: bool = True,
    ) -> None:
        self._accept = accept
        self._plain_http = plain_http
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._resolver = resolver or SystemResolver()
        self._policy = AddressPolicy(allow, ports)
        self._network = GuardedNetwork(self._policy, self._resolver)
        self._ssl_context = ssl_context

    async def fetch(self, url: str) -> FetchedFile:
        """The body behind a URL, after at most three redirects.

        Raises `InvalidInput` for what is no plain web URL, `AddressNotAllowed`, `TooLarge`, and
        `FetchFailed` for everything else that goes wrong out there.
        """
        target = parse_url(url)
        file: _File = SpooledTemporaryFile(  # noqa: SIM115  # given to the caller open
            max_size=_IN_MEMORY_BYTES
        )
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(target, file)
        except BaseException as error:
            file.close()
            if isinstance(error, _FAILURES):
                raise FetchFailed(_FAILED) from error
            raise

    def _tls(self, scheme: str) -> ssl.SSLContext | None:
        """Made when it is needed first: reading the authorities takes tens of milliseconds."""
        if self._ssl_context is None and scheme == "https":
            self._ssl_context = httpcore.default_ssl_context()
        return self._ssl_context

    def close(self) -> None:
        """End the threads that look names up; open fetches end by themselves."""
        if isinstance(self._resolver, SystemResolver):
            self._resolver.close()

    async def _follow(self, url: httpx.URL, file: _File) -> FetchedFile:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._get(url, file)
            if isinstance(answer, FetchedFile):
                return answer
            url = answer
        raise FetchFailed("the URL redirects too often")

    async def _get(self, url: httpx.URL, file: _File) -> FetchedFile | httpx.URL:
        """The file, or where the server redirects to."""
        port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if url.scheme == "http" and not self._plain_http and not self._policy.names(url.host, port):
            raise AddressNotAllowed("plain http is only for hosts that are allowed by name")
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path
        )
        # A connection of its own for each hop: a redirect's address is always checked.
        async with (
            httpcore.AsyncHTTPConnection(
                target.origin, self._tls(url.scheme), network_backend=self._network
            ) as connection,
            connection.stream(
                "GET",
                target,
                headers={
                    "Host": url.netloc,
                    "User-Agent": "opsin",
                    "Accept": self._accept,
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                },
                extensions={
                    "timeout": dict.fromkeys(("connect", "read", "write"), _SILENCE_SECONDS)
                },
            ) as response,
        ):
            headers = {_text(name).lower(): _text(value) for name, value in response.headers}
            if response.status in _REDIRECTS:
                return _redirected(url, headers.get("location", ""))
            if response.status >= 400:
                raise FetchFailed(f"the server answered with an error ({response.status // 100}xx)")
            if response.status != 200:
                raise FetchFailed(_FAILED)
            content_type = headers.get("content-type", "").partition(";")[0].strip().lower() or None
            self._check_headers(headers, content_type)
            size = await self._receive(response, file)
            return FetchedFile(file, size, str(url), content_type, _filename(url, headers))

    def _check_headers(self, headers: dict[str, str], content_type: str | None) -> None:
        wants_image = self._accept == IMAGES
        if wants_image and content_type is not None and _NOT_AN_IMAGE.fullmatch(content_type):
            raise FetchFailed("the URL does not lead to an image")
        # Not asked for, and a few kilobytes of it could unpack to gigabytes.
        if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
            raise FetchFailed("the server sent a compressed answer, which is not accepted")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()

    async def _receive(self, response: httpcore.Response, file: _File) -> int:
        size = 0
        async for chunk in response.aiter_stream():
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            await _write(file, chunk, on_disk=size > _IN_MEMORY_BYTES)
        file.seek(0)
        return size

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the URL leads to more than {self._max_bytes} bytes")


async def _write(file: _File, chunk: bytes, *, on_disk: bool) -> None:
    if not on_disk:
        file.write(chunk)
        return
    writing = asyncio.ensure_future(asyncio.to_thread(file.write, chunk))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # The thread cannot be stopped, and the file is closed next.
        await asyncio.wait([writing])
        raise
    except OSError as error:
        raise StorageError("there is no room for the fetched file") from error


def parse_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """A plain web URL, or one that is relative to `base`; raises InvalidInput for all others."""
    if len(text) > _MAX_URL_CHARACTERS:
        raise InvalidInput("the URL is too long")
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        host = url.raw_host  # httpx lets halves of characters through, until the host is read
    except (httpx.InvalidURL, ValueError):
        raise InvalidInput("the URL is not valid") from None
    # Port 0 would be taken for "none given" further down.
    if url.scheme not in _DEFAULT_PORTS or not host or url.port == 0:
        raise InvalidInput("the URL must start with http:// or https:// and a host")
    if url.userinfo:
        raise InvalidInput("the URL must not contain a user name or password")
    return url


def _redirected(url: httpx.URL, location: str) -> httpx.URL:
    if not location:
        raise FetchFailed(_FAILED)
    try:
        return parse_url(location, url)
    except InvalidInput:
        raise FetchFailed("the URL redirects to something that cannot be fetched") from None


def _text(header: bytes) -> str:
    # Latin-1 by the letter of the standard, UTF-8 by what servers send in file names.
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _filename(url: httpx.URL, headers: dict[str, str]) -> str | None:
    """The last part of what the server, or else the URL, calls the file; safe as a name."""
    message = Message()
    message["content-disposition"] = headers.get("content-disposition", "")
    name = message.get_filename() or url.path
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    name = name.strip()[-_MAX_FILENAME_CHARACTERS:]
    return None if name in ("", ".", "..") else name

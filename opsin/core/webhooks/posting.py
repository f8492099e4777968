"""One attempt over HTTP: to public addresses only, within a time limit, nothing followed."""

import asyncio
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from opsin import __version__
from opsin.core.addresses import (
    WEB_PORTS,
    AddressPolicy,
    Resolver,
    SystemResolver,
    checked_addresses,
)
from opsin.core.errors import AddressNotAllowed, InvalidInput
from opsin.core.webhooks.connection import Connection, ConnectionFailed, connect
from opsin.core.webhooks.formats import WebhookRequest

MAX_URL_CHARACTERS: Final = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_GONE = 410
_SHOWN_CHARACTERS = 300
_ANSWER_SECONDS = 1.0
"""For the rest of an answer whose status is known."""
_PLAIN_HTTP = "a webhook's URL must start with https://"
_TLS_FAILED = "TLS failed: the certificate or the protocol is not accepted"
_LOST = "the connection was lost before there was an answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: a status, or the reason why there is none."""

    status: int | None
    error: str | None
    seconds: float
    text: str = ""
    """How the answer's body begins, when it was no success."""
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return self.error is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == _GONE


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart: where to connect, and what to say there."""

    host: str
    port: int
    is_tls: bool
    authority: str
    path: str


class Poster:
    """Opens lanes to receivers, and holds what they share: rules, names, certificates.

    `allow` opens further destinations (see `AllowedDestination.parse`).  `timeout` in seconds
    holds for an attempt up to the answer's status.  Without `plain_http`, hosts that `allow` does
    not name are sent to by TLS alone.
    """

    def __init__(
        self,
        *,
        timeout: float,
        allow: Iterable[str] = (),
        plain_http: bool = False,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.timeout = timeout
        self._plain_http = plain_http
        self._resolver = resolver or SystemResolver()
        self._policy = AddressPolicy(allow, WEB_PORTS)
        self._ssl_context = ssl_context

    async def connect(self, target: Target) -> Connection:
        """The name is looked up now, and the connection goes to an address that was checked."""
        addresses = await checked_addresses(self._policy, self._resolver, target.host, target.port)
        context = self._tls() if target.is_tls else None
        return await connect(addresses, target.host, target.port, context)

    def _tls(self) -> ssl.SSLContext:
        """Made when it is needed first: reading the authorities takes tens of milliseconds."""
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context

    def check(self, url: str) -> None:
        """Refuse what could never be sent to; names are looked up at each connection.

        Raises InvalidInput, AddressNotAllowed for a port or an address that is not allowed.
        """
        self.target(url)

    def target(self, url: str) -> Target:
        """Raises as `check` does."""
        if len(url) > MAX_URL_CHARACTERS:
            raise InvalidInput(f"a webhook's URL has at most {MAX_URL_CHARACTERS} characters")
        try:
            target = httpx.URL(url)
            host = target.raw_host  # httpx lets halves of characters through, until it is read
        except (httpx.InvalidURL, ValueError):
            raise InvalidInput("the webhook's URL is not valid") from None
        if target.scheme not in _DEFAULT_PORTS or not host or target.port == 0:
            raise InvalidInput("a webhook's URL must start with https:// and a host")
        if target.userinfo:
            raise InvalidInput("a webhook's URL must not contain a user name or password")
        port = _DEFAULT_PORTS[target.scheme] if target.port is None else target.port
        is_named = self._policy.names(target.host, port)
        if target.scheme == "http" and not (self._plain_http or is_named):
            raise AddressNotAllowed(_PLAIN_HTTP)
        self._policy.check_port(port)
        with suppress(ValueError):  # a name, not an address
            self._policy.check(target.host, port, [target.host.strip("[]")])
        return Target(
            host.decode("ascii"),
            port,
            target.scheme == "https",
            target.netloc.decode("ascii"),
            target.raw_path.decode("ascii"),
        )

    def lane(self) -> "Lane":
        return Lane(self)

    async def close(self) -> None:
        """End the threads that look names up."""
        if isinstance(self._resolver, SystemResolver):
            self._resolver.close()


class Lane:
    """The way to one webhook: its attempts share connections, which stay open for a moment."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster
        self._free: list[Connection] = []
        self._known: tuple[str, Target] | None = None

    @property
    def is_open(self) -> bool:
        return bool(self._free)

    async def post(self, url: str, request: WebhookRequest) -> Answer:
        """Send a request; whatever goes wrong out there is an answer too."""
        began = time.perf_counter()
        deadline = asyncio.get_running_loop().time() + self._poster.timeout
        try:
            return await self._post(request.url or url, request, began, deadline)
        except TimeoutError:
            error = f"no answer within {self._poster.timeout:g} s"
        except (InvalidInput, AddressNotAllowed) as refused:
            error = refused.message
        except ssl.SSLError:
            error = _TLS_FAILED
        except ConnectionFailed:
            error = _LOST
        except (OSError, ValueError):  # a name that cannot be resolved among them
            error = "no connection could be made"
        return Answer(None, error, time.perf_counter() - began)

    def rest(self) -> None:
        """Close what is open: nothing is sent for a while."""
        free, self._free = self._free, []
        for connection in free:
            connection.close()

    async def _post(
        self, url: str, request: WebhookRequest, began: float, deadline: float
    ) -> Answer:
        target = self._target(url)
        written = _written(target, request)
        while True:
            connection, is_used = self._taken(), True
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection, is_used = await self._poster.connect(target), False
            try:
                async with asyncio.timeout_at(deadline):
                    await connection.send(written)
                seconds = time.perf_counter() - began
                await connection.rest(_ANSWER_SECONDS)
                return _answer(connection, seconds)
            except ConnectionFailed:
                # A receiver may close a connection just when it is taken up again.
                if not is_used:
                    raise
            finally:
                if connection.is_free:
                    self._free.append(connection)
                else:
                    connection.close()

    def _target(self, url: str) -> Target:
        if self._known is None or self._known[0] != url:
            self.rest()  # it may lead to somebody else
            self._known = url, self._poster.target(url)
        return self._known[1]

    def _taken(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.is_free:
                return connection
        return None


def _written(target: Target, request: WebhookRequest) -> bytes:
    """The request as it goes over the wire; InvalidInput for a header that would be two."""
    headers = {
        "host": target.authority,
        "user-agent": f"opsin/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(request.body)),
        **request.headers,
    }
    lines = [f"{request.method} {target.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise InvalidInput("a header of the request has a line break in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.body


def _answer(connection: Connection, seconds: float) -> Answer:
    status = connection.status
    if 200 <= status < 300:
        return Answer(status, None, seconds)
    error = f"the answer was {status}"
    if 300 <= status < 400:
        error += "; redirects are not followed"
    text = connection.body.decode("utf-8", "replace").replace("\0", "")[:_SHOWN_CHARACTERS]
    return Answer(status, error, seconds, text, _retry_after(connection.headers))


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds, given as such or as a date; None for what is neither."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is not None:
            return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return None

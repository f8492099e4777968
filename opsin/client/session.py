"""One client's server and credentials: what every request carries, and what becomes of it."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from opsin.client.errors import (
    AnswerLost,
    ClientError,
    GraphQLRefused,
    NotAnOpsinServer,
    Unreachable,
)
from opsin.client.refusals import not_ours, refusal
from opsin.client.retries import PASSING, Retries
from opsin.client.signing import Dialect, signature_headers, with_request_id
from opsin.client.wire import Answer, Body, NoAnswer, Pause, Request, Send, Steps

_log = logging.getLogger("opsin.client")


@dataclass(slots=True)
class Session:
    """Builds requests, signs them, sends them again where that is safe, and reads refusals."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    user_email: str | None = None
    proxy_secret: str | None = field(default=None, repr=False)
    dialect: Dialect = "timestamped"
    prefix: str = "/api"
    retries: Retries = field(default_factory=Retries)
    clock: Callable[[], float] = time.time
    remembers: bool | None = None
    """Whether the server echoes `Idempotency-Key`, so that a repeat does not act twice."""
    is_proven: bool = False
    """Whether the server has taken the credentials for what a pipeline says."""

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(
                f"the address must begin with http:// or https://, which {self.url!r} does not"
            )
        if self.prefix not in ("/api", "/api-key", "/api-ml"):
            raise ValueError("the prefix is /api, /api-key or /api-ml")
        if self.dialect not in ("timestamped", "documented"):
            raise ValueError("the dialect is timestamped or documented")
        for name in ("api_key", "secret", "user_email", "proxy_secret"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"{name} is empty; leave it out, or look where it comes from")

    @property
    def is_proxied(self) -> bool:
        """Whether the caller is a proxy's user, for whom there is no GraphQL."""
        return self.user_email is not None and self.api_key is None

    def call(
        self,
        what: str,
        method: str,
        path: str,
        body: bytes | Body = b"",
        *,
        headers: Mapping[str, str] | None = None,
        signed: bool = False,
        named: bool = False,
        repeatable: bool = True,
        accept: tuple[int, ...] = (),
    ) -> Steps[Answer]:
        """The good answer to one request of the API, after as many attempts as it takes.

        A request that is not `repeatable` is sent again only when it certainly had no effect.  One
        that is `named` has an `Idempotency-Key`, or in the documented dialect its signature: then
        `repeatable` only counts until it is known whether the server remembers names.  Answers with
        a status of `accept` come back, too.
        """
        # Everything on /api-ml must be signed, also what has no body.
        signed = self.secret is not None and (signed or self.prefix == "/api-ml")
        has_name = signed and self.dialect == "documented"
        given = dict(headers or {})
        if signed and body and isinstance(body, bytes):
            body = with_request_id(body, self.dialect)
        if named and not has_name:
            given["idempotency-key"] = str(uuid.uuid4())
            repeatable = repeatable if self.remembers is None else self.remembers
        url = f"{self.url}{self.prefix}{path}"

        def attempt() -> Send:  # signed anew each time: a signature holds the time
            return Send(Request(method, url, self._headers(given, body, signed=signed), body))

        answer = yield from self._sent(what, attempt, repeatable=repeatable or has_name)
        if named and not has_name and answer.status < 300:
            self.remembers = "idempotency-key" in answer.headers
        good = self._good(what, answer, accept)
        if not good.headers.get("content-type", "").startswith("application/json"):
            raise not_ours(self.url, good)
        return good

    def ask(self, query: str, variables: Mapping[str, Any]) -> Steps[tuple[dict[str, Any], Answer]]:
        """The data of a GraphQL query, and the answer that it came in."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request("POST", f"{self.url}/graphql", self._graphql_headers(), body)
        answer = yield from self._sent("The GraphQL request", lambda: Send(request))
        if answer.status in (404, 405):  # below another address, or at another server
            raise not_ours(self.url, answer)
        return self.read_graphql(answer.json(), answer), answer

    def read_graphql(self, body: Any, answer: Answer | None = None) -> dict[str, Any]:
        """The data of one result; raises GraphQLRefused for errors."""
        errors = body.get("errors") if isinstance(body, dict) else None
        if errors:
            raise GraphQLRefused(
                errors[0].get("message", "the server refused"),
                errors[0].get("extensions", {}).get("code"),
                has_key=self.api_key is not None,
            )
        if isinstance(body, dict) and isinstance(body.get("data"), dict):
            data: dict[str, Any] = body["data"]
            return data
        if answer is not None:
            raise self.refusal("The GraphQL request", answer)
        raise NotAnOpsinServer(self.url, "no GraphQL")

    def fetch(
        self, what: str, path: str, begin: Callable[[], None], receive: Callable[[bytes], None]
    ) -> Steps[None]:
        """A body piece by piece; from its beginning again when it breaks off."""
        url = f"{self.url}{self.prefix}{path}"

        def attempt() -> Send:
            headers = self._headers({"accept": "*/*"}, b"", signed=self.prefix == "/api-ml")
            return Send(Request("GET", url, headers), begin, receive)

        self._good(what, (yield from self._sent(what, attempt)))

    def put(self, what: str, url: str, body: Body, content_type: str) -> Steps[Answer]:
        """Send a file to an address that was given for it, which needs no further rights.

        The same bytes a second time change nothing, so every failure is tried again.
        """
        headers = {"content-type": content_type, "content-length": str(body.size)}
        return (yield from self._sent(what, lambda: Send(Request("PUT", url, headers, body))))

    def following(self, query: str, variables: Mapping[str, Any]) -> Request:
        """A subscription by server-sent events."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = self._graphql_headers() | {"accept": "text/event-stream"}
        return Request("POST", f"{self.url}/graphql", headers, body)

    def refusal(self, what: str, answer: Answer) -> ClientError:
        return refusal(
            what,
            answer,
            url=self.url,
            now=self.clock(),
            has_key=self.api_key is not None,
            has_secret=self.secret is not None,
        )

    def _sent(
        self, what: str, attempt: Callable[[], Send], *, repeatable: bool = True
    ) -> Steps[Answer]:
        """The last answer of as many attempts as it takes; raises AnswerLost, Unreachable."""
        failures = 0
        while True:
            try:
                answer: Answer = yield attempt()
            except NoAnswer as lost:
                failures += 1
                trouble = f"no answer from {self.url} ({lost})"
                if lost.was_sent and not repeatable:
                    raise AnswerLost(what, str(lost)) from None
                pause = self.retries.pause(failures)
                if pause is None:
                    raise Unreachable(self.url, what, str(lost), failures) from None
            else:
                may_repeat = repeatable or _had_no_effect(answer)
                if answer.status not in PASSING or not may_repeat:
                    return answer
                failures += 1
                trouble = f"{self.url} answers with {answer.status}"
                pause = self.retries.pause(failures, answer)
                if pause is None:
                    return answer
            _log.warning("%s: %s; again in %.1f s", what, trouble, pause)
            yield Pause(pause)

    def _good(self, what: str, answer: Answer, accept: tuple[int, ...] = ()) -> Answer:
        if answer.status < 300 or answer.status in accept:
            return answer
        raise self.refusal(what, answer)

    def _headers(
        self, given: Mapping[str, str], body: bytes | Body, *, signed: bool
    ) -> dict[str, str]:
        headers = {"accept": "application/json"} | self._credentials() | dict(given)
        if not isinstance(body, bytes):
            headers["content-length"] = str(body.size)
        elif body:
            headers["content-type"] = "application/json"
        if signed and self.secret is not None:
            message = [body] if isinstance(body, bytes) else body.pieces()
            headers |= signature_headers(self.secret, message, self.clock(), self.dialect)
        return headers

    def _credentials(self) -> dict[str, str]:
        headers = {}
        if self.api_key is not None:
            headers["x-api-key"] = self.api_key
        if self.user_email is not None:
            headers["x-user-email"] = self.user_email
        if self.proxy_secret is not None:
            headers["x-proxy-secret"] = self.proxy_secret
        return headers

    def _graphql_headers(self) -> dict[str, str]:
        return {
            "accept": "application/json",
            "content-type": "application/json",
        } | self._credentials()


def _had_no_effect(answer: Answer) -> bool:
    """Whether the server itself said that it had no time, rather than a proxy in its place."""
    return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)

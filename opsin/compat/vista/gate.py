"""The gate: who may pass on which prefix, what must be signed, and what comes a second time."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.forgery import check_forgery
from opsin.compat.vista.callers import Caller, Callers
from opsin.compat.vista.options import VistaOptions
from opsin.compat.vista.signatures import Dialect, verify
from opsin.core.errors import NotFound, Unauthenticated
from opsin.core.signed_answers import SignedAnswer, SignedAnswers
from opsin.storage.ids import canonical_id

API, API_KEY, API_ML = "/api", "/api-key", "/api-ml"
PREFIXES = (API, API_KEY, API_ML)


def prefix_of(request: Request) -> str:
    """Below which of the prefixes the request came, wherever the whole server is mounted.

    The strictest of them where that cannot be told.
    """
    root: str = request.scope.get("root_path", "")
    return next((prefix for prefix in PREFIXES if root.endswith(prefix)), API_ML)


class Policy(Enum):
    """What a route asks of its callers."""

    OPEN = "anybody"
    USER = "a user"
    ANALYSES = "a user, and the feature must be on"
    STATUS = "a signature or a user"
    CALLBACK = "a signature"

    @property
    def is_of_analyses(self) -> bool:
        return self not in (Policy.OPEN, Policy.USER)


@dataclass(frozen=True, slots=True)
class Admission:
    """Somebody who has passed: a user, a pipeline that signs, or both."""

    caller: Caller | None
    dialect: Dialect | None
    digest: str | None = None
    """Names the request where its answer is remembered."""
    keep: timedelta = timedelta(0)


class Gate:
    """Lets requests pass before anything of them is looked at but headers and signature."""

    def __init__(self, callers: Callers, answers: SignedAnswers, options: VistaOptions) -> None:
        self._callers = callers
        self._answers = answers
        self._options = options

    async def admit(self, request: Request, policy: Policy) -> Admission:
        """Raises Unauthenticated, NotFound while the feature is off, HTTPException."""
        if policy is Policy.OPEN:
            return Admission(None, None)
        prefix = prefix_of(request)
        caller = await self._caller(request, prefix)
        if policy.is_of_analyses and not self._options.is_enabled and prefix != API_ML:
            if caller is None:
                self._require_caller(None)
            raise NotFound("ML analysis feature disabled")
        dialect = await self._dialect(request, prefix, policy)
        if policy.is_of_analyses and not self._options.is_enabled:
            raise NotFound("ML analysis feature disabled")
        is_signed_callback = dialect is not None and policy in (Policy.STATUS, Policy.CALLBACK)
        if not is_signed_callback or self._options.callback_needs_user:
            self._require_caller(caller)
        digest = None
        if dialect is Dialect.DOCUMENTED and request.method not in ("GET", "HEAD"):
            # Where a signature is enough, its repeat is one with and without credentials.
            digest = _digest(request, None if is_signed_callback else caller)
        return Admission(caller, dialect, digest, self._kept(request))

    async def remembered(
        self, request: Request, admission: Admission, act: Callable[[], Awaitable[Response]]
    ) -> Response:
        """What `act` answers, or what it answered when the same request was carried out.

        What was refused has done nothing, and may be tried again.  An endpoint whose answer is for
        one time only puts what a repeat is told into `request.state.told_again`.
        Raises Forbidden for a caller who does not reach what the first one was told of.
        """
        if admission.digest is None:
            return await act()
        digest, keep = admission.digest, admission.keep
        known = await self._answers.claim(digest, keep)
        if known is not None:
            if admission.caller is not None and known.company_id is not None:
                admission.caller.principal(known.company_id)
            return Response(known.body, known.status, media_type=known.content_type)
        try:
            answer = await act()
        except BaseException:
            await self._answers.release(digest)
            raise
        if answer.status_code >= 400:
            await self._answers.release(digest)
            return answer
        kept: Response = getattr(request.state, "told_again", answer)
        kind = kept.headers.get("content-type", "application/json")
        company_id = getattr(request.state, "company_id", None)
        given = SignedAnswer(kept.status_code, kind, bytes(kept.body), company_id)
        await self._answers.answer(digest, given, keep)
        return answer

    async def _caller(self, request: Request, prefix: str) -> Caller | None:
        """Credentials that are sent must be valid, also where none are needed."""
        if prefix == API:
            check_forgery(request, self._options.origins)
            return await self._callers.by_any(request.headers)
        missing = "API key required." if prefix == API_ML else "Authentication required."
        try:
            caller = await self._callers.by_key(request.headers)
        except Unauthenticated:
            raise Unauthenticated(missing) from None
        if caller is None:
            raise Unauthenticated(missing)
        return caller

    def _kept(self, request: Request) -> timedelta:
        if request.url.path.rstrip("/").endswith("/artifacts/presign"):
            # Whoever asks again when the addresses are no longer good wants others.
            return min(self._options.remembered, self._options.link_expiry)
        return self._options.remembered

    @staticmethod
    def _require_caller(caller: Caller | None) -> None:
        if caller is None:
            raise Unauthenticated("Authentication required.")

    async def _dialect(self, request: Request, prefix: str, policy: Policy) -> Dialect | None:
        """How the request is signed; None where nothing is, and nothing need be."""
        options = self._options
        if not options.requires_hmac:
            return None
        is_signed = "x-ml-signature" in request.headers
        everywhere = prefix == API_ML
        may_be = policy in (Policy.STATUS, Policy.CALLBACK)
        must_be = everywhere or policy is Policy.CALLBACK
        if not must_be and not (may_be and is_signed):
            return None
        if not options.secrets:
            text = "HMAC authentication not configured on server" if everywhere else None
            raise HTTPException(500, text or "HMAC secret not configured")
        found = verify(
            options.secrets,
            request.headers.get("x-ml-signature", ""),
            request.headers.get("x-ml-timestamp", "0"),
            await request.body(),
            now=datetime.now(UTC),
            skew=options.skew,
            documented=not options.requires_timestamped,
        )
        if found is None:
            text = "Invalid or missing HMAC signature." if everywhere else "Invalid HMAC signature"
            raise Unauthenticated(text)
        return found


def _digest(request: Request, caller: Caller | None) -> str:
    """Names a request by method, path and signature, however the path is written.

    Prefix, slash and spelling of ids are left out: by none of them may a repeat act again.  With a
    `caller` it is this user's alone: who else signs the same words asks for something else.
    """
    template = request.scope["route"].path.rstrip("/")
    named = sorted(
        (name, canonical_id(value) or value) for name, value in request.path_params.items()
    )
    signature = request.headers.get("x-ml-signature", "")
    parts = [request.method, template, named, signature]
    if caller is not None:
        parts.append(caller.identity)
    message = json.dumps(parts)
    return hashlib.sha256(message.encode()).hexdigest()

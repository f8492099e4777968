"""What a client says of its own repeats: `Idempotency-Key`, and how much answer it wants."""

import hashlib
import json
import re
from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request

from opsin.compat.vista.routing import admission
from opsin.compat.vista.signatures import Dialect
from opsin.core.once import Once
from opsin.storage.ids import canonical_id

_KEY = re.compile(r"[!-~]{1,255}")


async def once_of(request: Request, keep: timedelta) -> Once | None:
    """The request as one that may come again, if its `Idempotency-Key` says so.

    A key counts together with the caller, the path and the body: nobody gets another's answer by
    a key, and no signed request is kept from being carried out by a different one.  In the
    documented dialect, whose replays must not act either, the signature alone names a request.
    """
    key = request.headers.get("idempotency-key")
    admitted = admission(request)
    if key is None or admitted.dialect is Dialect.DOCUMENTED:
        return None
    if not _KEY.fullmatch(key):
        raise HTTPException(400, "Idempotency-Key must be 1 to 255 visible ASCII characters")
    named = sorted((name, canonical_id(v) or v) for name, v in request.path_params.items())
    body = hashlib.sha256(await request.body()).hexdigest()
    route = request.scope["route"].path.rstrip("/")
    # A pipeline without credentials is known by its signature alone.
    who = "" if admitted.caller is None else admitted.caller.identity
    parts = ["once", who, request.method, route, named, key, body]
    return Once(hashlib.sha256(json.dumps(parts).encode()).hexdigest(), keep)


def echo(request: Request, once: Once | None) -> dict[str, str]:
    """Headers that tell the client its key is remembered."""
    return {} if once is None else {"idempotency-key": request.headers["idempotency-key"]}


def wants_little(request: Request) -> bool:
    """Whether the caller has no use for the rows that were just written (RFC 7240)."""
    wishes = ",".join(request.headers.getlist("prefer")).split(",")
    return any(wish.split(";")[0].replace(" ", "").lower() == "return=minimal" for wish in wishes)

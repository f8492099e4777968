"""Who is asking, from the headers of a request."""

from collections.abc import Mapping

from opsin.core.errors import Unauthenticated


def api_key(headers: Mapping[str, str]) -> str | None:
    """The key in `Authorization: Bearer`, or in `X-API-Key`; names in lower case.

    Raises Unauthenticated for any other kind of Authorization.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The Authorization header must be: Bearer <key>")
        return token.strip()
    return headers.get("x-api-key", "").strip() or None

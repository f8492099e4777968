"""The rules of GraphQL over HTTP that need no schema: media types, forged uploads, early errors."""

from collections.abc import Collection, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from strawberry.http.websocket_origin import is_same_origin, normalize_origin
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
_JSON_TYPES = (JSON, GRAPHQL_RESPONSE)
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/form-data"

# A browser sends one of these for another site's page only by the server's leave (CORS preflight).
PREFLIGHT_HEADERS = (
    "GraphQL-Require-Preflight",
    "Apollo-Require-Preflight",
    "X-Requested-With",
    "X-API-Key",
)


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, as an Accept or Content-Type header has them."""
    media_type, *parameters = value.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.strip(), {name.strip(): text.strip(' "') for name, _, text in pairs}


def response_media_type(headers: Headers) -> str:
    """In which media type the sender of these headers is answered."""
    return accepted_media_type(headers.get("accept", ""))


def accepted_media_type(accept: str) -> str:
    """GraphQL's own media type where the client prefers it by name, else JSON."""
    if GRAPHQL_RESPONSE not in accept:
        return JSON
    weights = {JSON: 0.0, GRAPHQL_RESPONSE: 0.0, **_weights(accept)}
    preferred = weights[GRAPHQL_RESPONSE] > 0 and weights[GRAPHQL_RESPONSE] >= weights[JSON]
    return GRAPHQL_RESPONSE if preferred else JSON


def prefers_event_stream(accept: str) -> bool:
    """Whether a client wants events rather than JSON; of equals, it wants what it names first.

    Some clients accept both for whatever they send.
    """
    weights = _weights(accept.lower())
    if weights.get(EVENT_STREAM, 0.0) <= 0:
        return False
    offered = {name: weights[name] for name in weights if name in (EVENT_STREAM, *_JSON_TYPES)}
    return max(offered, key=offered.__getitem__) == EVENT_STREAM


def _weights(accept: str) -> dict[str, float]:
    """The media types of an Accept header in their order."""
    weights = {}
    for accepted in accept.split(","):
        media_type, parameters = parse_media_type(accepted)
        try:
            weights[media_type] = float(parameters.get("q", "1"))
        except ValueError:
            weights[media_type] = 0.0
    return weights


def wants_page(headers: Headers) -> bool:
    """Whether a person's browser asks, rather than a program that takes anything (`*/*`)."""
    return "text/html" in headers.get("accept", "")


def check_body_type(headers: Headers) -> None:
    """Refuse (415) a body that is neither JSON nor a form with files, or not in utf-8."""
    content_type = headers.get("content-type", "")
    media_type, parameters = parse_media_type(content_type)
    # Python's own parser, which Strawberry uses after this, breaks on some parameters with a star.
    if media_type not in (JSON, MULTIPART) or "*" in content_type:
        raise HTTPException(415, f"The Content-Type must be {JSON} or {MULTIPART}.")
    if parameters.get("charset", "utf-8").lower() != "utf-8":
        raise HTTPException(415, "The request body must be encoded in utf-8.")


def check_forgery(headers: Headers, allowed_origins: Collection[str]) -> None:
    """Refuse (403) a form that another site's page may have posted with the user's browser.

    A page may post a form, unlike JSON, without asking; a server on loopback would take it for its
    own user's.
    """
    origin = headers.get("origin")
    if origin is None or headers.get("content-type", "").startswith(JSON):
        return
    same_site = headers.get("sec-fetch-site") == "same-origin" or is_same_origin(
        origin, headers.get("host")
    )
    allowed = "*" in allowed_origins or normalize_origin(origin) in allowed_origins
    asked = any(header in headers for header in PREFLIGHT_HEADERS)
    bearer = headers.get("authorization", "").startswith(
        "Bearer "
    )  # not Basic, which a browser adds by itself
    if not (same_site or allowed or asked or bearer):
        raise HTTPException(
            403, f"An upload from another site needs the header {PREFLIGHT_HEADERS[0]}: 1."
        )


def response_members(result: ExecutionResult) -> dict[str, Any]:
    """The members of the answer in their order; no `data` where no field was begun."""
    members: dict[str, Any] = {"data": result.data}
    if result.errors:
        if _is_request_error(result):
            del members["data"]
        members["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        members["extensions"] = result.extensions
    return members


def status_of(members: Mapping[str, Any], media_type: str | None) -> int:
    """The HTTP status; plain JSON keeps 200, for the clients that read no other body."""
    return 400 if media_type == GRAPHQL_RESPONSE and "data" not in members else 200


def _is_request_error(result: ExecutionResult) -> bool:
    """Whether no field was begun, so that the specification wants no `data` in the answer."""
    if isinstance(result, PreExecutionError):
        return True
    # The executor itself refuses a variable that does not fit; only a field's error has a path.
    return result.data is None and not any(error.path for error in result.errors or ())

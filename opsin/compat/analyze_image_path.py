"""The one path that two APIs have: `/analyze_image`, where JSON is image_embed's."""

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/analyze_image"


class ByContentType:
    """Hands requests with a JSON body to one application, and all others to the other.

    PEKAT's clients send pictures, often as no type or a wrong one; only image_embed's send JSON.
    """

    def __init__(self, pictures: ASGIApp, json: ASGIApp) -> None:
        self._pictures = pictures
        self._json = json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._json if is_json(Headers(scope=scope)) else self._pictures
        await app(scope, receive, send)


def is_json(headers: Headers) -> bool:
    """Whether the body is said to be JSON."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def analyze_image_route(pictures: ASGIApp | None, json: ASGIApp | None) -> list[BaseRoute]:
    """The route of whichever of the two is served; None for one that is switched off."""
    if pictures is not None and json is not None:
        return [Route(PATH, ByContentType(pictures, json))]
    one = pictures or json
    return [] if one is None else [Route(PATH, one)]

"""The least an ASGI application can do: read a body, send a body.  The limit for small answers."""

from typing import Any

_BODY = b'{"data":{"__typename":"Query"}}'
_HEADERS = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"content-length", b"%d" % len(_BODY)),
]


async def app(_scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})

"""The client of the demo: GraphQL over HTTP, an upload, and a subscription over a WebSocket."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from opsin.core.errors import OpsinError

_PROTOCOL = Subprotocol("graphql-transport-ws")
_SECONDS = 60


class DemoClient:
    """Speaks to one server as any program would; closed by whoever made it."""

    def __init__(self, url: str) -> None:
        self._socket_url = f"{url.replace('http', 'ws', 1)}/graphql"
        # No proxy and no .netrc of the environment: the server is on loopback.
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=_SECONDS)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data that a query or mutation gives; OpsinError when the answer has errors."""
        body = {"query": query, "variables": variables}
        return await self._post(json=body)

    async def upload(self, query: str, file: Path, **variables: Any) -> Any:
        """The same with `file` as the variable `file`, by the multipart request specification."""
        operations = {"query": query, "variables": variables | {"file": None}}
        fields = {
            "operations": orjson.dumps(operations).decode(),
            "map": orjson.dumps({"0": ["variables.file"]}).decode(),
        }
        with file.open("rb") as stream:
            files = {"0": (file.name, stream)}
            return await self._post(data=fields, files=files)

    async def follow(self, query: str, **variables: Any) -> AsyncGenerator[Any]:
        """What a subscription gives, over graphql-transport-ws, until the caller has enough."""
        try:
            async with connect(
                self._socket_url, subprotocols=[_PROTOCOL], proxy=None
            ) as connection:
                await _send(connection, {"type": "connection_init"})
                payload = {"query": query, "variables": variables}
                while True:
                    message = orjson.loads(await connection.recv())
                    match message["type"]:
                        case "connection_ack":
                            await _send(
                                connection, {"id": "1", "type": "subscribe", "payload": payload}
                            )
                        case "ping":
                            await _send(connection, {"type": "pong"})
                        case "next" if not message["payload"].get("errors"):
                            yield message["payload"]["data"]
                        case "pong":
                            pass
                        case other:
                            reason = message.get("payload", other)
                            raise OpsinError(f"the subscription ended: {reason}")
        except (ConnectionClosed, OSError) as error:
            raise OpsinError(f"the subscription broke off: {error}") from None

    async def _post(self, **body: Any) -> Any:
        try:
            response = await self._http.post("/graphql", **body)
        except httpx.HTTPError as error:
            raise OpsinError(f"the server did not answer: {type(error).__name__}") from None
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise OpsinError(f"the server answered with HTTP {response.status_code}") from None
        if errors := answer.get("errors"):
            raise OpsinError(f"the server refused: {errors[0]['message']}")
        return answer["data"]


async def _send(connection: ClientConnection, message: dict[str, Any]) -> None:
    await connection.send(orjson.dumps(message).decode())

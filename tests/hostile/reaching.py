"""What a caller makes the server connect to: every way in, to every kind of place, on an island.

Run by `tests.hostile.island`; prints what came of it as JSON.
"""

import asyncio
import json
import logging
import socket
import sys
import tempfile
import urllib.parse
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql import asking
from tests.hostile.island import NAME_SERVER, PRIVATE, PRIVATE_V6, PUBLIC, PUBLIC_V6
from tests.hostile.name_server import serve_names
from tests.pictures import solid_png

PICTURE = solid_png()
PORTS = (80, 22, 8080)
Way = Callable[[LiveServer, str], Awaitable[str]]
"""Makes the server ask a URL; gives `done`, or the reason why it was not."""

NAMES = {
    "public.test": [[PUBLIC]],
    "v6.test": [[PUBLIC_V6]],
    "both.test": [[PUBLIC, PUBLIC_V6]],
    "alias.test": "public.test",
    "loop.test": [["127.0.0.1"]],
    "loop6.test": [["::1"]],
    "zero.test": [["0.0.0.0"]],
    "inner.test": [["10.0.0.5"]],
    "metadata.test": [["169.254.169.254"]],
    "inneralias.test": "inner.test",
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "6to4.test": [["2002:7f00:1::"]],
    "unique.test": [["fd00::5"]],
    "link.test": [["fe80::1"]],
    "mixed.test": [[PUBLIC, "10.0.0.5"]],
    "mixed6.test": [[PUBLIC, "::1"]],
    "rebind.test": [[PUBLIC], ["127.0.0.1"]],
    "rebind6.test": [[PUBLIC_V6], ["::1"]],
    "later.test": [[PUBLIC], ["10.0.0.5"]],
}
GOOD = ("public.test", "v6.test", "both.test", "alias.test", PUBLIC, f"[{PUBLIC_V6}]")
BAD = (
    *(name for name, answers in NAMES.items() if name not in GOOD and len(answers) != 2),
    *PRIVATE,
    *(f"[{address}]" for address in PRIVATE_V6),
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
    *("0", "0.0.0.0", "localhost", "localhost.", "127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[::1%25lo]"),
    *("public.test:22", "public.test:8080", f"{PUBLIC}:22", "public.test@127.0.0.1"),
    *("127.0.0.1\\@public.test", "127.0.0.1#@public.test", "public.test%2f@127.0.0.1", "LOOP.TEST"),
)
REDIRECTS = (
    *("http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"),
    *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://inner.test/", "//metadata.test/"),
    *("http://public.test:22/", "http://public.test:8080/", "file:///etc/passwd"),
    *("gopher://127.0.0.1/", "http://user@127.0.0.1/", "http://rebind.test@loop.test/"),
)


class Internet:
    """Web servers on every address of the island; they redirect to whatever `to` says."""

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()
        """By address and port."""

    async def serve(self) -> None:
        for port in PORTS:
            for address in ("127.0.0.1", *PRIVATE, PUBLIC):
                await asyncio.start_server(self._answer, address, port)
            for address in ("::1", *PRIVATE_V6, PUBLIC_V6):
                await asyncio.start_server(self._answer, address, port, family=socket.AF_INET6)

    @property
    def inside(self) -> int:
        """Connections to what nobody outside may reach."""
        return sum(
            count
            for place, count in self.connections.items()
            if place not in (f"{PUBLIC} 80", f"{PUBLIC_V6} 80")
        )

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        self.connections[f"{address} {port}"] += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode("latin-1")
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)
            if "to" in query:
                location = query["to"][0]
                answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                writer.write(answer.encode())
            else:
                length = f"Content-Length: {len(PICTURE)}\r\n\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n" + length.encode() + PICTURE)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def import_image(live: LiveServer, url: str) -> str:
    dataset = await asking.dataset(live)
    return _told(await live.graphql(asking.IMPORT_IMAGE, input={"datasetId": dataset, "url": url}))


async def analyze_image(live: LiveServer, url: str) -> str:
    document = """mutation($url: String!) { analyzeImage(input: {url: $url, reuse: false, tasks: [
      {operation: "perceptual_hash"}]}) { picture { width } } }"""
    return _told(await live.graphql(document, url=url))


async def image_embed(live: LiveServer, url: str) -> str:
    task = {"operation_id": "a", "type": "perceptual_hash"}
    answer = await live.client.post("/analyze_image/", json={"image_url": url, "tasks": [task]})
    assert answer.status_code < 500, answer.text
    return "done" if answer.is_success else str(answer.json()["detail"])


async def webhook(live: LiveServer, url: str) -> str:
    create = """mutation($url: String!) { createWebhook(
      input: {url: $url, events: [IMAGE_CREATED]}) { webhook { id } } }"""
    made = await live.graphql(create, url=url)
    if "errors" in made:
        return _told(made)
    identity = made["data"]["createWebhook"]["webhook"]["id"]
    test = "mutation($id: ID!) { testWebhook(id: $id) { delivered error } }"
    sent = (await live.data(test, id=identity))["testWebhook"]
    await live.data("mutation($id: ID!) { deleteWebhook(id: $id) { deletedId } }", id=identity)
    return "done" if sent["delivered"] else str(sent["error"])


WAYS: dict[str, Way] = {
    "importImage": import_image,
    "analyzeImage": analyze_image,
    "image_embed": image_embed,
    "webhook": webhook,
}


def _told(answer: dict[str, Any]) -> str:
    return "done" if "errors" not in answer else str(answer["errors"][0]["extensions"]["code"])


async def tried(way: Way, live: LiveServer, internet: Internet, url: str) -> dict[str, Any]:
    """What was answered, and how many connections went inside and outside for it."""
    before = internet.inside, internet.connections.total()
    told = await way(live, url)
    inside = internet.inside - before[0]
    return {"told": told, "inside": inside, "all": internet.connections.total() - before[1]}


async def everything(folder: Path) -> dict[str, Any]:
    internet = Internet()
    await internet.serve()
    await serve_names(NAME_SERVER, NAMES)
    settings = Settings(
        data_dir=folder,
        worker=False,
        webhooks=False,
        webhook_plain_http=True,
        compat=("image_embed",),
    )  # fmt: skip
    found: dict[str, Any] = {}
    async with serve(settings) as live:
        for name, way in WAYS.items():
            found[name] = {
                "good": {h: await tried(way, live, internet, f"http://{h}/") for h in GOOD},
                "bad": {h: await tried(way, live, internet, f"http://{h}/a.png") for h in BAD},
                "redirects": {
                    to: await tried(
                        way, live, internet, f"http://public.test/?to={urllib.parse.quote(to)}"
                    )
                    for to in REDIRECTS
                },
                "rebinding": [
                    await tried(way, live, internet, f"http://{host}/{number}.png")
                    for number in range(8)
                    for host in ("rebind.test", "rebind6.test")
                ],
                # The name is public when the first request goes there, and is not for the second.
                "later": await tried(
                    way, live, internet, "http://later.test/?to=http://later.test/a.png"
                ),
            }
    open_settings = settings.model_copy(update={
        "data_dir": folder / "open", "fetch_allow": ("loop.test",), "webhook_allow": ("loop.test",),
    })  # fmt: skip
    async with serve(open_settings) as live:
        found["allowed"] = {
            name: await tried(way, live, internet, "http://loop.test/")
            for name, way in WAYS.items()
        }
    return found


def main() -> None:
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="opsin-island-") as folder:
        json.dump(asyncio.run(everything(Path(folder))), sys.stdout)

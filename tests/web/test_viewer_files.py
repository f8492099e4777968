"""The viewer's page and files as they are served: policy, caching, weight."""

import gzip
import re

from opsin.web.viewer import VIEWER_DIR
from tests.conftest import LiveServer

LONGEST = 250  # lines of a module
HEAVIEST = 122_000  # bytes of the page with all that it loads, compressed


async def test_the_page_may_run_nothing_but_its_own_files(live: LiveServer) -> None:
    page = await live.client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"<(script|style)>|style=|\son\w+=", page.text)


async def test_everything_is_ours_light_and_kept(live: LiveServer) -> None:
    page = await live.client.get("/")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) > 20 and {a.rpartition(".")[2] for a in addresses} == {"css", "js", "svg"}
    weight = len(gzip.compress(page.content))
    for address in addresses:
        assert address.startswith("/static/viewer/")
        answer = await live.client.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        if len(answer.content) > 500:
            assert answer.headers["content-encoding"] == "gzip"
        weight += len(gzip.compress(answer.content))
    assert weight < HEAVIEST


def test_modules_are_plain_short_and_say_what_they_own() -> None:
    for path in sorted(VIEWER_DIR.rglob("*.js")):
        text = path.read_text("utf-8")
        assert text.startswith("/** "), path.name
        assert len(text.splitlines()) <= LONGEST, path.name
        assert "innerHTML" not in text and "eval(" not in text, path.name
        for imported in re.findall(r'^\s*(?:import|export) .*? from "([^"]+)"', text, re.M):
            assert imported.startswith("."), f"{path.name}: {imported}"
            assert (path.parent / imported).is_file(), f"{path.name}: {imported}"


def test_styles_load_nothing() -> None:
    for path in VIEWER_DIR.rglob("*.css"):
        assert not re.search(r"@import|url\(", path.read_text("utf-8")), path.name

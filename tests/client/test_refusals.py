"""What a server refuses, and what the client says about it: each error tells what to do."""

import asyncio
import re
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from opsin.client import (
    AsyncClient,
    Client,
    ClientError,
    ClockWrong,
    Conflict,
    Forbidden,
    GraphQLRefused,
    InvalidFinding,
    KeyRefused,
    NotAnOpsinServer,
    NotFound,
    Refused,
    SignatureRefused,
    TooLarge,
    Unreachable,
    bounding_box,
)
from tests.client.conftest import QUICK, Site
from tests.client.servers import SECRET, Handler, Proxy

DIALECTS = pytest.mark.parametrize("dialect", ["timestamped", "documented"])
NOBODY = "01890000-0000-7000-8000-000000000000"


def new_analysis(site: Site, seed: int) -> str:
    with site.client() as client:
        return client.create_analysis(site.image(seed), model="yolo_v8", version="1").id


@DIALECTS
def test_a_wrong_secret(site: Site, dialect: Any) -> None:
    with site.client(secret="another", dialect=dialect) as client:
        with pytest.raises(SignatureRefused, match="ML_CALLBACK_HMAC_SECRET as secret") as raised:
            client.set_status(new_analysis(site, 20), "processing")
        assert not isinstance(raised.value, ClockWrong)
        assert "another" not in str(raised.value) + repr(client._session)


@pytest.mark.parametrize("secret", ["another", None])
@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
def test_without_the_secret_no_analysis_is_begun(
    site: Site, secret: str | None, prefix: str
) -> None:
    image = site.image(27)
    with (
        site.client(secret=secret, prefix=prefix) as client,
        pytest.raises(SignatureRefused, match="ML_CALLBACK_HMAC_SECRET"),
        client.analysis(image, model="yolo_v8", version="1"),
    ):
        raise AssertionError("it must not come to this")
    with site.client() as client:
        assert client.analyses(image) == []


def test_no_secret(site: Site) -> None:
    with site.client(secret=None) as client:
        made = new_analysis(site, 20)
        with pytest.raises(SignatureRefused, match="must be signed: give"):
            client.add_annotations(made, [bounding_box(1, 2, 3, 4)])


@pytest.mark.parametrize("ahead", [600.0, -600.0])
def test_a_clock_that_is_ten_minutes_off(site: Site, ahead: float) -> None:
    made = new_analysis(site, 20)
    with site.client() as client:
        client._session.clock = lambda: _now() + ahead
        with pytest.raises(ClockWrong, match=r"Set the clock") as raised:
            client.set_status(made, "processing")
        assert raised.value.seconds == pytest.approx(ahead, abs=30)
        side = "ahead of" if ahead > 0 else "behind"
        assert re.search(rf"(9|10) min \d+ s {side} the server's", str(raised.value))


def _now() -> float:
    return time.time()


def test_keys_that_are_none(site: Site) -> None:
    image = site.image(21)
    with site.client(api_key="wrong") as client, pytest.raises(KeyRefused, match="opsin keys"):
        client.create_analysis(image, model="yolo_v8", version="1")
    with site.client(api_key=None) as client:
        with pytest.raises(KeyRefused, match="give it as api_key"):
            client.create_analysis(image, model="yolo_v8", version="1")
        with pytest.raises(GraphQLRefused, match="Make a key with"):
            list(client.images(site.project))
    for key in ("", " "):
        with pytest.raises(ValueError, match="api_key is empty"):
            Client(site.server.url, api_key=key)
    with site.client(api_key="two\nlines") as client, pytest.raises(ClientError):
        client.projects()


def test_another_companys_key(site: Site) -> None:
    with site.client(api_key=site.server.their_key) as client:
        with pytest.raises(Forbidden, match="key of the company"):
            client.create_analysis(site.image(21), model="yolo_v8", version="1")
        with pytest.raises(NotFound, match="Check the id"):
            list(client.images(site.project))


def test_what_is_not_there(client: Client) -> None:
    for identity in (NOBODY, "../../../health", "x/../..", "?"):
        with pytest.raises(Refused):
            client.get_analysis(identity)
        with pytest.raises(Refused):
            client.read_image(identity)
    with pytest.raises(NotFound):
        list(client.images(NOBODY))


def test_a_model_that_is_not_allowed(site: Site, client: Client) -> None:
    with pytest.raises(Refused, match="ML_ALLOWED_MODELS"):
        client.create_analysis(site.image(21), model="unheard_of", version="1")


def test_an_ended_analysis_stays_so(site: Site, client: Client) -> None:
    made = new_analysis(site, 22)
    client.finalize(made)
    assert client.finalize(made).status == "completed"
    with pytest.raises(Conflict, match="completed->failed"):
        client.finalize(made, "failed")
    with pytest.raises(ValueError, match="ends as one of"):
        client.finalize(made, "processing")


@DIALECTS
@pytest.mark.parametrize(
    ("change", "reason"),
    [({"confidence": 1.1}, "confidence"), ({"data": []}, "data"), ({"ordering": "x"}, "ordering")],
)
def test_one_bad_finding_among_thousands(
    site: Site, dialect: Any, change: dict[str, Any], reason: str
) -> None:
    good = {"annotation_type": "mark", "data": {}, "confidence": 1}
    found = [good] * 1234 + [good | change] + [good] * 800
    with site.client(dialect=dialect) as client:
        with (
            pytest.raises(InvalidFinding, match=reason) as raised,
            client.analysis(site.image(23), model="yolo_v8", version="1") as analysis,
        ):
            analysis.add_all(found)
        error = raised.value
        assert error.index == 1234
        assert error.annotation == good | change
        assert error.__notes__ == ["1000 annotations before it were stored."]
        ended = client.get_analysis(analysis.id)
        assert ended.status == "failed"
        assert (ended.error_message or "").startswith("InvalidFinding: Annotation 1234")
        assert client.count_annotations(analysis.id) == 1000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes"])
def test_findings_that_are_no_json_are_not_sent(site: Site, client: Client, value: Any) -> None:
    made = new_analysis(site, 24)
    with pytest.raises(InvalidFinding) as raised:
        client.add_annotations(made, [bounding_box(1, 2, 3, 4), bounding_box(value, 2, 3, 4)])
    assert raised.value.index == 1
    assert client.count_annotations(made) == 0
    client.finalize(made, "cancelled")


def test_a_generator_that_raises(site: Site, client: Client) -> None:
    def found() -> Iterator[Any]:
        yield from [bounding_box(1, 2, 3, 4)] * 1500
        raise OSError("the camera is gone")

    with (
        pytest.raises(OSError, match="the camera is gone") as raised,
        client.analysis(site.image(25), model="yolo_v8", version="1") as analysis,
    ):
        analysis.add_all(found())
    assert raised.value.__notes__ == ["1000 annotations before it were stored."]
    ended = client.get_analysis(analysis.id)
    assert (ended.status, ended.error_message) == ("failed", "OSError: the camera is gone")
    assert client.count_annotations(analysis.id) == 1000


def test_an_interrupt_cancels(site: Site, client: Client) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        client.analysis(site.image(25), model="yolo_v8", version="1") as analysis,
    ):
        raise KeyboardInterrupt
    assert client.get_analysis(analysis.id).status == "cancelled"


async def test_a_cancelled_task_says_so(site: Site) -> None:
    image, begun = site.image(25), asyncio.Event()
    identity = ""

    async def work(client: AsyncClient) -> None:
        nonlocal identity
        async with client.analysis(image, model="yolo_v8", version="1") as analysis:
            identity = analysis.id
            begun.set()
            await asyncio.sleep(3600)

    server = site.server
    async with AsyncClient(server.url, api_key=server.key, secret=SECRET, retries=QUICK) as client:
        task = asyncio.create_task(work(client))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get_analysis(identity)).status == "cancelled"


def test_the_programs_own_error_is_not_hidden(site: Site, proxy: Proxy) -> None:
    def away(handler: Handler) -> bool:
        handler.lose()
        return True

    with (
        site.client(url=proxy.url) as client,
        pytest.raises(ZeroDivisionError) as raised,
        client.analysis(site.image(25), model="yolo_v8", version="1"),
    ):
        proxy.faults = [away]
        raise ZeroDivisionError("one over nothing")
    (note,) = raised.value.__notes__
    assert "could not be ended as failed" in note and "no answer" in note


def test_a_file_that_is_too_large(site: Site, client: Client, tmp_path: Path) -> None:
    made = new_analysis(site, 26)
    (tmp_path / "large.bin").write_bytes(bytes(4_000_000))
    with pytest.raises(TooLarge, match=r"4000000 bytes.*OPSIN_VISTA_MAX_ARTIFACT_BYTES"):
        client.upload_artifact(made, tmp_path / "large.bin")
    with pytest.raises(TooLarge):
        client.upload_artifact(made, bytes(100_000_000), "huge.bin")
    with pytest.raises(Refused, match="artifact_name"):
        client.upload_artifact(made, b"x", "../../etc/passwd")


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://x", "http://"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match="must begin with http"):
        Client(address)


def test_something_else_answers(tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_address[1]}"
        with Client(url, retries=QUICK) as client:
            with pytest.raises(NotAnOpsinServer, match="404 and text/html"):
                client.projects()
            with pytest.raises(NotAnOpsinServer, match="`opsin serve` prints"):
                list(client.images(NOBODY))
        other.shutdown()


def test_an_address_with_a_path(site: Site) -> None:
    for path in ("/graphql", "/api"):
        with site.client(url=site.server.url + path) as client:
            with pytest.raises(NotAnOpsinServer, match="without a path"):
                client.create_project("x")
            with pytest.raises(NotAnOpsinServer, match="without a path"):
                list(client.images(site.project))


def test_pauses_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as gone:
        url = f"http://127.0.0.1:{gone.server_address[1]}"
    with Client(url, retries=QUICK) as client, pytest.raises(Unreachable):
        client.projects()
    (first, *_) = [one.getMessage() for one in caplog.records if one.name == "opsin.client"]
    assert re.fullmatch(rf"The list of projects: no answer from {url} \(.+\); again in .+ s", first)


def test_a_page_for_signing_in_is_told(site: Site, proxy: Proxy) -> None:
    def page(handler: Handler) -> bool:
        handler.answer(httpx.Response(200, html="<h1>Who are you?</h1>"))
        return True

    proxy.faults = [page]
    with site.client(url=proxy.url) as client:
        for ask in (client.projects, lambda: list(client.images(site.project))):
            with pytest.raises(NotAnOpsinServer, match="200 and text/html"):
                ask()


def test_a_redirection_is_told(site: Site, proxy: Proxy) -> None:
    def moved(handler: Handler) -> bool:
        handler.send_response(308)
        handler.send_header("location", "https://elsewhere.example/api/projects")
        handler.send_header("content-length", "0")
        handler.end_headers()
        return True

    proxy.faults = [moved]
    with site.client(url=proxy.url) as client, pytest.raises(NotAnOpsinServer, match="elsewhere"):
        client.projects()

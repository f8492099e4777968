"""Servers that go and come back, answers that are lost: nothing is lost, nothing is doubled."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from opsin.client import AnswerLost, Busy, Client, Retries, Unreachable, bounding_box
from tests.client.conftest import QUICK, Site
from tests.client.servers import Handler, Proxy, lost_answer, refused
from tests.pictures import noise_jpeg, solid_png

DIALECTS = pytest.mark.parametrize("dialect", ["timestamped", "documented"])
PATIENT = Retries(attempts=2000, first=0.05, longest=0.3)


@pytest.mark.chaos
@DIALECTS
def test_a_server_that_is_killed_in_the_middle_of_thousands(site: Site, dialect: Any) -> None:
    restarts: list[threading.Thread] = []

    def restart() -> None:
        time.sleep(0.5)
        site.server.start()

    def found() -> Iterator[dict[str, Any]]:
        for number in range(3000):
            if number == 1501:
                site.server.kill()
                restarts.append(threading.Thread(target=restart))
                restarts[-1].start()
            yield {"annotation_type": "mark", "data": {"n": number}}

    with site.client(dialect=dialect, chunk=100, retries=PATIENT) as client:
        image = site.image(10)
        with client.analysis(image, model="yolo_v8", version="1") as analysis:
            assert analysis.add_all(found()) == 3000
        stored = [one.data["n"] for one in client.annotations(analysis.id)]
    for thread in restarts:
        thread.join(90)
    assert len(restarts) == 1
    assert stored == list(range(3000))


@pytest.mark.chaos
def test_a_server_that_is_killed_while_a_request_is_in_it(site: Site) -> None:
    """At a moment that nobody chose; each time every finding is there once."""
    image = site.image(11)
    for delay in (0.0, 0.02):
        with site.client(chunk=1000, retries=PATIENT) as client:
            made = client.create_analysis(image, model="yolo_v8", version=str(delay))

            def kill_soon(delay: float = delay) -> None:
                time.sleep(delay)
                site.server.kill()
                site.server.start()

            killer = threading.Thread(target=kill_soon)
            killer.start()
            found = ({"annotation_type": "mark", "data": {"n": n}} for n in range(5000))
            assert client.add_annotations(made.id, found) == 5000
            killer.join(90)
            assert client.count_annotations(made.id) == 5000


@DIALECTS
def test_lost_answers_to_every_step(site: Site, proxy: Proxy, dialect: Any) -> None:
    image = site.image(12)
    with site.client(url=proxy.url, dialect=dialect, chunk=2) as client:
        before = len(client.analyses(image))
        proxy.faults = [
            lost_answer("/analyses", 2),
            lost_answer("/status"),
            lost_answer("/presign"),
            _lost_put(),
            lost_answer("annotations:bulk", 3),
            lost_answer("/finalize"),
        ]
        with client.analysis(image, model="yolo_v8", version="1") as analysis:
            file = analysis.upload(solid_png(), "mask.png")
            analysis.add_all([bounding_box(n, 0, 1, 1) for n in range(5)])
        assert proxy.faults == []
        assert len(client.analyses(image)) == before + 1
        places = [one.data["bbox"][0] for one in client.annotations(analysis.id)]
        assert places == [0, 1, 2, 3, 4]
        assert analysis.record.status == "completed"
        assert file.sha256


def _lost_put() -> Any:
    def fault(handler: Handler) -> bool:
        if handler.command != "PUT":
            return False
        handler.forward()
        handler.server.faults.pop(0)
        handler.lose()
        return True

    return fault


def test_an_image_whose_answer_was_lost_is_there_once(site: Site, proxy: Proxy) -> None:
    picture = noise_jpeg(50, 40, seed=99)
    with site.client(url=proxy.url) as client:
        proxy.faults = [lost_answer("/images")]
        made = client.upload_image(site.project, picture, "lost.jpg")
        same = [one for one in client.images(site.project) if one.sha256 == made.image.sha256]
    assert [one.id for one in same] == [made.image.id]


def test_a_server_that_forgets_is_sent_nothing_twice(site: Site, proxy: Proxy) -> None:
    """Other servers of this API know no Idempotency-Key: there a repeat would double findings."""

    def forgets(handler: Handler) -> bool:
        del handler.headers["idempotency-key"]
        is_bulk = handler.path.endswith("annotations:bulk")
        if is_bulk and len(handler.body) > 50:
            handler.forward()
            handler.lose()
            return True
        return False

    with site.client(url=proxy.url) as client:
        proxy.faults = [forgets]
        made = client.create_analysis(site.image(13), model="yolo_v8", version="1")
        with pytest.raises(AnswerLost, match="does not remember"):
            client.add_annotations(made.id, [bounding_box(1, 2, 3, 4)])
        proxy.faults = []
        assert client.count_annotations(made.id) == 1


def test_whoever_carries_on_an_analysis_asks_what_the_server_is(site: Site, proxy: Proxy) -> None:
    with site.client() as client:
        made = client.create_analysis(site.image(14), model="yolo_v8", version="1")
    with site.client(url=proxy.url) as another:
        proxy.faults = [lost_answer("annotations:bulk", 2)]
        assert another.add_annotations(made.id, [bounding_box(1, 2, 3, 4)]) == 1
        assert another.count_annotations(made.id) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1"},
        {"retry-after": "Sat, 21 Nov 2026 18:00:01 GMT", "date": "Sat, 21 Nov 2026 18:00:00 GMT"},
    ],
    ids=["seconds", "date"],
)
def test_a_busy_server_is_given_the_time_that_it_asks_for(
    site: Site, proxy: Proxy, status: int, headers: dict[str, str]
) -> None:
    with site.client(url=proxy.url) as client:
        made = client.create_analysis(site.image(15), model="yolo_v8", version="1")
        proxy.faults = [refused("annotations:bulk", status, headers)]
        started = time.monotonic()
        assert client.add_annotations(made.id, [bounding_box(1, 2, 3, 4)]) == 1
        assert time.monotonic() - started >= 0.95
        assert client.count_annotations(made.id) == 1


def test_a_server_that_asks_for_too_long_is_given_up_at_once(site: Site, proxy: Proxy) -> None:
    with site.client(url=proxy.url) as client:
        made = client.create_analysis(site.image(16), model="yolo_v8", version="1")
        proxy.faults = [refused("/status", 503, {"retry-after": "3600"}, times=9)]
        with pytest.raises(Busy) as raised:
            client.set_status(made.id, "processing")
    assert raised.value.status == 503
    assert sum(line.endswith("/status") for line in proxy.seen) == 1


def test_patience_ends(site: Site, proxy: Proxy) -> None:
    with site.client(url=proxy.url) as client:
        made = client.create_analysis(site.image(17), model="yolo_v8", version="1")
        proxy.faults = [refused("/status", 502, times=99)]
        with pytest.raises(Busy, match="502"):
            client.set_status(made.id, "processing")
    assert sum(line.endswith("/status") for line in proxy.seen) == QUICK.attempts


def test_nobody_is_there() -> None:
    with (
        Client("http://127.0.0.1:9", retries=QUICK) as client,
        pytest.raises(Unreachable, match=r"127.0.0.1:9 in 6 attempts.*Look whether the server"),
    ):
        client.projects()


def test_a_download_that_breaks_off_begins_again(site: Site, proxy: Proxy, tmp_path: Any) -> None:
    def half(handler: Handler) -> bool:
        found = handler.forward()
        handler.send_response(200)
        handler.send_header("content-length", str(len(found.content)))
        handler.end_headers()
        handler.wfile.write(found.content[: len(found.content) // 2])
        handler.wfile.flush()
        handler.server.faults.pop(0)
        handler.lose()
        return True

    picture = noise_jpeg(400, 300, seed=18)
    with site.client(url=proxy.url) as client:
        image = client.upload_image(site.project, picture, "large.jpg").image
        proxy.faults = [half, half]
        assert client.read_image(image) == picture
        proxy.faults = [half]
        client.download_image(image, tmp_path / "large.jpg")
        assert (tmp_path / "large.jpg").read_bytes() == picture
        proxy.faults = [half] * QUICK.attempts
        (tmp_path / "large.jpg").write_bytes(b"before")
        with pytest.raises(Unreachable, match="The download of the image"):
            client.download_image(image, tmp_path / "large.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["large.jpg"]
    assert (tmp_path / "large.jpg").read_bytes() == b"before"

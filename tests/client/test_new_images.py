"""Images to work on: listed page by page, left out when they are done, followed as they come."""

import itertools
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from opsin.client import AsyncClient, Client, GraphQLRefused, Model, Retries, Unreachable
from opsin.client import pictures as listing
from tests.client.conftest import QUICK, Site
from tests.client.servers import SECRET, Handler, Proxy
from tests.pictures import noise_jpeg

PATIENT = Retries(attempts=2000, first=0.05, longest=0.3)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)


def album(site: Site, count: int = 0) -> tuple[Site, list[str]]:
    """A project of its own with so many images."""
    with site.client() as client:
        project = client.create_project("album", group="ours")
        fresh = Site(site.server, project.id)
    return fresh, [fresh.image(seed) for seed in range(count)]


def soon(*acts: Any) -> threading.Thread:
    """Do these one after the other while the test goes on."""

    def run() -> None:
        for act in acts:
            time.sleep(0.3)
            act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_every_image_once_over_many_pages(site: Site) -> None:
    fresh, made = album(site, 5)
    with fresh.client() as client:
        found = list(client.images(fresh.project))
        assert [one.id for one in found] == made
        assert {(one.width, one.height, one.content_type) for one in found} == {
            (64, 48, "image/jpeg")
        }
        assert client.image(made[0]).filename == "0.jpg"


def test_what_a_model_has_done_is_left_out(site: Site) -> None:
    fresh, made = album(site, 4)
    with fresh.client() as client:
        for image, ending in zip(made[:3], ("completed", "failed", None), strict=True):
            analysis = client.create_analysis(image, model="yolo_v8", version="8")
            if ending is not None:
                client.finalize(analysis.id, ending)
        left = client.images(fresh.project, without=Model("yolo_v8", "8"))
        assert [one.id for one in left] == [made[1], made[3]]
        assert len(list(client.images(fresh.project, without=Model("yolo_v8", "9")))) == 4
        # Whoever began the third is taken to have died.
        left = client.images(fresh.project, without=Model("yolo_v8", "8", timedelta(0)))
        assert [one.id for one in left] == made[1:]


def test_new_images_are_heard_of_as_they_come(site: Site) -> None:
    fresh, made = album(site, 3)
    with fresh.client() as client:
        following = client.images(fresh.project, follow=True)
        assert [next(following).id for _ in range(3)] == made
        thread = soon(lambda: made.append(fresh.image(90)), lambda: made.append(fresh.image(91)))
        new = [next(following).id for _ in range(2)]
        thread.join()
        following.close()  # type: ignore[attr-defined]  # it is a generator
    assert new == made[3:]


def test_a_cursor_goes_on_behind_what_was_seen(site: Site) -> None:
    fresh, made = album(site, 3)
    with fresh.client() as client:
        first = next(client.new_images(fresh.project, after="0"))
        assert first.image.id == made[0]
        rest = itertools.islice(client.new_images(fresh.project, after=first.cursor), 2)
        assert [one.image.id for one in rest] == made[1:]


@pytest.mark.chaos
def test_a_server_that_goes_and_comes_back_loses_and_repeats_nothing(site: Site) -> None:
    fresh, made = album(site, 1)

    def restart() -> None:
        site.server.kill()
        time.sleep(0.3)
        site.server.start()

    with fresh.client(retries=PATIENT) as client:
        following = client.images(fresh.project, follow=True)
        found = [next(following).id]
        thread = soon(
            lambda: made.append(fresh.image(80)),
            restart,
            lambda: made.append(fresh.image(81)),
        )
        found += [next(following).id for _ in range(2)]
        thread.join(120)
    assert found == made


async def test_the_asynchronous_client_follows(site: Site) -> None:
    fresh, made = album(site, 3)
    server = site.server
    async with AsyncClient(server.url, api_key=server.key, secret=SECRET, retries=QUICK) as client:
        found = []
        async for image in client.images(fresh.project, follow=True):
            found.append(image.id)
            if len(found) == 3:
                thread = soon(lambda: made.append(fresh.image(70)))
            if len(found) == 4:
                break
        thread.join()
    assert found == made


def test_a_key_that_is_none_ends_it(site: Site) -> None:
    with (
        site.client(api_key="wrong") as client,
        pytest.raises(GraphQLRefused, match="opsin keys create") as raised,
    ):
        next(client.new_images(site.project, after="0"))
    assert raised.value.code == "UNAUTHENTICATED"


def test_patience_ends(site: Site, proxy: Proxy) -> None:
    def away(handler: Handler) -> bool:
        handler.lose()
        return True

    with site.client(url=proxy.url) as client:
        proxy.faults = [away]
        with pytest.raises(Unreachable, match="New images: no answer"):
            next(client.new_images(site.project, after="0"))
    assert len(proxy.seen) == QUICK.attempts


def test_pictures_come_back_as_they_were(client: Client, site: Site) -> None:
    picture = noise_jpeg(64, 48, seed=61)
    made = client.upload_image(site.project, picture, 'a "name" \u0436.jpg', metadata={"a": [1]})
    assert made.is_new
    assert made.image.metadata == {"a": [1]}
    assert "\u0436" in made.image.filename
    again = client.upload_image(site.project, picture, "other.jpg")
    assert (again.is_new, again.image.id) == (False, made.image.id)
    assert client.read_image(made.image) == picture

"""Both sockets: who may open them, what they send and when, and readers that are slow."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import event, select, update
from sqlalchemy.engine import Engine
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from opsin.compat.haut.broadcast import MOST_WAITING
from opsin.compat.haut.notifications import MOST_EARLIER
from opsin.core.access import Principal
from opsin.core.reach import KNOWN_SECONDS
from opsin.settings import Settings
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import analyses, events
from tests.compat.haut.flow import DETECTOR, REDNESS, V2, attach, id_of, results
from tests.compat.haut.world import ABSENT, Haut, Person, haut_server, haut_settings, signed_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
SOON = 0.3
"""In which nothing must come; a frame that is wrong and late would be missed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(any_module_settings: Settings) -> AsyncIterator[Haut]:
    async with haut_server(haut_settings(any_module_settings, worker=True)) as server:
        yield server


@asynccontextmanager
async def opened(
    served: Haut, path: str, headers: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{served.live.port}{path}"
    # Not compressed, as with `opsin serve`.
    async with connect(url, additional_headers=headers or {}, compression=None, **more) as client:
        yield client


def notifications(served: Haut, person: Person, **more: Any) -> Any:
    """As the documented script opens them."""
    cookie = {"Cookie": f"authorization={person.token}"}
    return opened(served, f"/notifications/?user_id={person.number}", cookie, **more)


def stream(served: Haut, person: Person, **more: Any) -> Any:
    path = f"/notifications/results/?company_id={person.company_id}"
    return opened(served, path, {"Authorization": person.token}, **more)


async def frame(client: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), SECONDS))
    return found


async def nothing(client: ClientConnection) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.recv(), SOON)


async def refused(served: Haut, path: str, headers: dict[str, str] | None = None) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(served, path, headers):
            pass
    body = json.loads(caught.value.response.body or b"{}")
    assert body["type"] == "client_error" and body["errors"][0]["detail"]
    return caught.value.response.status_code


async def somebody(served: Haut, name: str) -> Person:
    """Of a company of their own, so that nobody else's events come."""
    return await served.person(f"{name}@example.com", f"{name} company")


async def measured_image(person: Person, *numbers: int) -> str:
    """The path of an image without a face, with these results."""
    dataset = await person.dataset()
    await attach(person, dataset, enabled_algorithms=list(numbers))
    image = await person.image(await person.batch(await person.subject(dataset)))
    await results(person, image, len(numbers))
    return image


# --- handshakes -----------------------------------------------------------------------------------


async def test_pages_of_other_sites_do_not_listen(served: Haut) -> None:
    """A browser adds the cookie for any page; whoever shows a header means it."""
    person = await somebody(served, "origins")
    path = f"/notifications/?user_id={person.number}"
    cookie = {"Cookie": f"authorization={person.token}"}
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert await refused(served, path, cookie | elsewhere) == 403
    own = {"Origin": f"http://127.0.0.1:{served.live.port}"}
    async with opened(served, path, cookie | own) as client:
        await nothing(client)
    shown = {"Authorization": f"Bearer {person.token}"}
    async with opened(served, path, shown | cookie | elsewhere) as client:
        await nothing(client)


async def test_handshakes_that_are_refused(served: Haut) -> None:
    ours, theirs = served.ours, served.theirs
    token = {"Authorization": ours.token}
    for path in ("/notifications/", "/notifications/results/"):
        assert await refused(served, f"{path}?user_id={ours.number}") == 401
        for bad in ("x", f"{ours.token}x", "Basic eA=="):
            assert await refused(served, path, {"Authorization": bad}) == 401
        assert await refused(served, path, {"Cookie": "authorization=nobody"}) == 401
    for user_id in (theirs.number, "x", "", -1):
        path = f"/notifications/?user_id={user_id}"
        assert await refused(served, path, token) == 403
    assert await refused(served, "/notifications/", token) == 403
    for company_id in (theirs.company_id, ABSENT):
        path = f"/notifications/results/?company_id={company_id}"
        assert await refused(served, path, token) == 403
    assert await refused(served, "/notifications/results/", token) == 403
    assert await refused(served, "/notifications/results/?company_id=x", token) == 403


async def test_a_key_of_no_account_has_no_user(served: Haut) -> None:
    use_cases = served.parts.use_cases
    company = await use_cases.access.find_company("ours")
    assert company is not None
    _, key = await use_cases.api_keys.create(Principal(company.id, "a test"), "a key")
    path = f"/notifications/?user_id={served.ours.number}"
    assert await refused(served, path, {"Authorization": key}) == 403
    path = f"/notifications/results/?company_id={company.id}"
    async with opened(served, path, {"Authorization": key}) as client:
        await nothing(client)


@pytest.mark.parametrize("form", ["cookie", "raw", "bearer", "authentication", "query"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_form_of_token(served: Haut, form: str, slash: str) -> None:
    """With an Origin, as websocket-client sends it."""
    person = served.ours
    headers = {
        "cookie": {"Cookie": f"other=1; authorization={person.token}"},
        "raw": {"Authorization": person.token},
        "bearer": {"authorization": f"Bearer: {person.token}"},
        "authentication": {"Authentication": f"Bearer {person.token}"},
        "query": {},
    }[form]
    headers["Origin"] = f"http://127.0.0.1:{served.live.port}"
    more = f"&token={person.token}" if form == "query" else ""
    paths = (
        f"/notifications{slash}?user_id={person.number}{more}",
        f"/notifications/results{slash}?company_id={person.company_id}{more}",
    )
    for path in paths:
        async with opened(served, path, headers) as client:
            await (await client.ping())


# --- notifications --------------------------------------------------------------------------------


async def test_one_frame_when_an_application_has_finished_and_no_greeting(served: Haut) -> None:
    person = await somebody(served, "first")
    async with notifications(served, person) as client:
        await nothing(client)
        image = await measured_image(person, DETECTOR, REDNESS)
        told = await frame(client)
        await nothing(client)
    dataset, subject, batch, image_id = image.strip("/").split("/")[5::2]
    assert set(told) == {"event", "creation_time", "meta"}
    assert told["event"] == "photo_calculated_by_app"
    (run,) = await person.get(f"{person.company}/applications/{V2}/runs/")
    assert told["meta"] == {
        "company_id": person.company_id,
        "dataset_id": dataset,
        "subject_id": subject,
        "batch_id": batch,
        "image_id": image_id,
        "application_id": V2,
        "application_name": "Face Skin Metrics 2.0",
        "application_run_id": run["id"],
    }
    assert told["creation_time"].endswith("Z")


async def test_what_happened_before_comes_once(served: Haut) -> None:
    """The documented script subscribes when all is done; a socket after that is told the rest."""
    person = await somebody(served, "late")
    first = await measured_image(person, DETECTOR)
    async with notifications(served, person) as client:
        assert (await frame(client))["meta"]["image_id"] == id_of(first)
        await nothing(client)
        async with notifications(served, person) as second:
            # Two that wait at the same time are told the same.
            assert (await frame(second))["meta"]["image_id"] == id_of(first)
    other = await measured_image(person, DETECTOR)
    async with notifications(served, person) as client:
        assert (await frame(client))["meta"]["image_id"] == id_of(other)
        await nothing(client)
    async with notifications(served, person) as client:
        await nothing(client)


async def test_what_is_older_than_a_minute_does_not_come(served: Haut) -> None:
    person = await somebody(served, "old")
    await measured_image(person, DETECTOR)
    async with served.parts.use_cases.database.write() as transaction:
        of_theirs = update(events).where(events.c.company_id == person.company_id)
        moment = datetime.now(UTC) - timedelta(seconds=61)
        await transaction.connection.execute(of_theirs.values(created_at=moment))
    async with notifications(served, person) as client:
        await nothing(client)
        image = await measured_image(person, DETECTOR)
        assert (await frame(client))["meta"]["image_id"] == id_of(image)


async def test_linked_companies_are_told_of_and_others_are_not(served: Haut) -> None:
    person, linked = await somebody(served, "owner"), await somebody(served, "linked")
    await served.parts.use_cases.companies.link("owner company", "linked company")
    async with notifications(served, person) as client:
        image = await measured_image(linked, DETECTOR)
        assert (await frame(client))["meta"]["image_id"] == id_of(image)
    async with notifications(served, linked) as client:
        await frame(client)
        await measured_image(person, DETECTOR)
        await nothing(client)


async def test_a_company_that_is_linked_no_more_is_not_told_of(served: Haut) -> None:
    """The socket is closed; the next one is told of the companies that are left."""
    person, linked = await somebody(served, "parting"), await somebody(served, "parted")
    companies = served.parts.use_cases.companies
    await companies.link("parting company", "parted company")
    async with notifications(served, person) as client:
        assert await companies.unlink("parting company", "parted company")
        await asyncio.sleep(KNOWN_SECONDS)
        await measured_image(linked, DETECTOR)
        with pytest.raises(ConnectionClosed) as closed:
            await frame(client)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    async with notifications(served, person) as client:
        image = await measured_image(person, DETECTOR)
        assert (await frame(client))["meta"]["image_id"] == id_of(image)


async def test_of_very_many_before_the_newest_come(served: Haut) -> None:
    person = await somebody(served, "busy")
    many = MOST_EARLIER + 100
    data = {"run_id": ABSENT, "application_id": V2, "subject_id": ABSENT}
    async with served.parts.use_cases.database.write() as transaction:
        for number in range(many):
            told = {**data, "batch_id": str(number)}
            transaction.emit(
                NewEvent("run.completed", person.company_id, ABSENT, ABSENT, data=told)
            )
    async with notifications(served, person, max_queue=None) as client:
        for number in range(many - MOST_EARLIER, many):
            assert (await frame(client))["meta"]["batch_id"] == str(number)
        await nothing(client)


async def test_a_token_that_has_ended_is_told_nothing(served: Haut) -> None:
    person = await somebody(served, "leaving")
    access, sessions = served.parts.use_cases.access, served.parts.use_cases.sessions
    async with notifications(served, person) as client, stream(served, person) as results_client:
        dataset = await person.dataset()
        await attach(person, dataset, enabled_algorithms=[DETECTOR])
        batch = await person.batch(await person.subject(dataset))
        await sessions.logout(await access.authenticate(person.token))
        again = await signed_in(served.client, person.email)
        await again.image(batch)
        for one in (client, results_client):
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(one.recv(), SECONDS)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


# --- the results stream ---------------------------------------------------------------------------


async def test_each_result_is_streamed_as_it_ends(served: Haut) -> None:
    """The items of `results` with the ids around them; failures, too; nothing of before."""
    person = await somebody(served, "streaming")
    await measured_image(person, DETECTOR)
    async with stream(served, person) as client:
        await nothing(client)
        image = await measured_image(person, DETECTOR, REDNESS)
        told = [await frame(client) for _ in range(2)]
        await nothing(client)
    listed = {one["id"]: one for one in await person.get(f"{image}/results/")}
    dataset, subject, batch, _ = image.strip("/").split("/")[5::2]
    ids = {
        "company_id": person.company_id,
        "dataset_id": dataset,
        "subject_id": subject,
        "batch_id": batch,
    }
    assert {one["id"]: one for one in told} == {k: one | ids for k, one in listed.items()}
    assert {one["is_ok"] for one in told} == {True, False}


async def test_many_sockets_share_one_read(served: Haut) -> None:
    person = await somebody(served, "many")
    image = await measured_image(person, REDNESS)
    database = served.parts.use_cases.database
    of_it = select(analyses.c.id, analyses.c.dataset_id, analyses.c.image_id).where(
        analyses.c.image_id == id_of(image)
    )
    async with database.read() as connection:
        row = (await connection.execute(of_it)).one()
    again = NewEvent("analysis.failed", person.company_id, row.dataset_id, row.image_id, row.id, {})
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "JOIN application_runs" in statement:
            seen.append(statement)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stream(served, person)) for _ in range(40)]
        event.listen(Engine, "before_cursor_execute", note)
        try:
            async with database.write() as transaction:
                transaction.emit(again)
            texts = {await asyncio.wait_for(client.recv(), SECONDS) for client in clients}
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert len(texts) == 1
    # The result itself, and what the detector found in the same image.
    assert len(seen) == 2, seen


# --- readers that are slow ------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_is_let_go_and_nobody_else(served: Haut) -> None:
    """It has no queue without bound; who reads gets every frame, in order."""
    person = await somebody(served, "slow")
    many = 5 * MOST_WAITING
    data = {"run_id": ABSENT, "application_id": V2, "subject_id": "x" * 400}
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", served.live.port))
    small.setblocking(False)
    slow = notifications(
        served, person, sock=small, max_queue=1, ping_interval=None, close_timeout=1
    )
    async with slow as sleeping, notifications(served, person, max_queue=None) as awake:
        sleeping.transport.pause_reading()
        for _ in range(many // 1024):
            async with served.parts.use_cases.database.write() as transaction:
                for number in range(1024):
                    told = {**data, "batch_id": str(number)}
                    transaction.emit(
                        NewEvent("run.completed", person.company_id, ABSENT, ABSENT, data=told)
                    )
        for place in range(many // 1024 * 1024):
            assert (await frame(awake))["meta"]["batch_id"] == str(place % 1024)
        got = 0
        sleeping.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            while True:
                await asyncio.wait_for(sleeping.recv(), SECONDS)
                got += 1
        assert got < many - MOST_WAITING

"""Uploads: one file each, the later of two of one name, nothing of what was not finished."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Overloaded, TooLarge
from opsin.core.uploads import MAX_UPLOADS, ExpectedFile, Uploads
from opsin.storage.curation import uploads as uploads_table
from tests.core.house import add_image
from tests.core.stored import count, tell_of
from tests.storage.s3_server import pieces

PNG = "image/png"
LATER = timedelta(hours=2)


@pytest.fixture
def uploads(parts: Parts) -> Uploads:
    return parts.use_cases.uploads


@pytest.fixture
async def analysis_id(parts: Parts, principal: Principal) -> str:
    image = await add_image(parts, principal)
    new = NewExternalAnalysis(image.id, "yolo_v8", "1")
    return (await parts.use_cases.analyses.tell(principal, new)).id


async def upload_id(
    uploads: Uploads, principal: Principal, analysis_id: str, name: str = "a.png"
) -> str:
    (made,) = await uploads.presign(principal, analysis_id, [ExpectedFile(name, PNG)])
    return made.url.partition("?")[0].rpartition("/")[2]


async def content(parts: Parts, principal: Principal, analysis_id: str) -> bytes | None:
    artifacts = parts.use_cases.artifacts
    found = await artifacts.find(principal, analysis_id, "a.png")
    if found is None:
        return None
    whole = b"".join([chunk async for chunk in artifacts.stream(found)])
    assert (found.size_bytes, found.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    return whole


async def test_a_file_becomes_an_artifact_and_an_event(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    identity = await upload_id(uploads, principal, analysis_id)
    stored = await uploads.receive(identity, "Image/PNG", pieces(b"one ", b"file"))
    assert (stored.size, stored.sha256) == (8, hashlib.sha256(b"one file").hexdigest())
    assert await content(parts, principal, analysis_id) == b"one file"
    database = parts.use_cases.database
    assert await tell_of(database, analysis_id) == ["queued", "artifact_stored"]
    await uploads.receive(identity, PNG, pieces(b"one file"))
    assert await tell_of(database, analysis_id) == ["queued", "artifact_stored"]


async def test_of_two_senders_at_once_one_is_refused(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    identity = await upload_id(uploads, principal, analysis_id)
    answers = await asyncio.gather(
        *(uploads.receive(identity, PNG, pieces(text)) for text in (b"one", b"two", b"one")),
        return_exceptions=True,
    )
    kept = await content(parts, principal, analysis_id)
    for text, answer in zip((b"one", b"two", b"one"), answers, strict=True):
        assert isinstance(answer, Conflict) is (text != kept)


async def test_the_later_file_of_a_name_replaces_the_earlier(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    ids = [await upload_id(uploads, principal, analysis_id) for _ in range(6)]
    assert len(set(ids)) == 6
    await asyncio.gather(*(uploads.receive(one, PNG, pieces(one.encode())) for one in ids))
    assert (await content(parts, principal, analysis_id) or b"").decode() in ids
    await uploads.receive(await upload_id(uploads, principal, analysis_id), PNG, pieces(b"last"))
    assert await content(parts, principal, analysis_id) == b"last"


async def test_what_breaks_off_leaves_nothing(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str, tmp_path: Path
) -> None:
    identity = await upload_id(uploads, principal, analysis_id)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2**20
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await uploads.receive(identity, PNG, broken())
    with pytest.raises(TooLarge):
        await uploads.receive(identity, PNG, pieces(*[b"x" * 2**22] * 17))
    incoming = tmp_path / "data" / "blobs" / "incoming"
    assert list(incoming.iterdir()) == []
    assert await content(parts, principal, analysis_id) is None
    await uploads.receive(identity, PNG, pieces(b"whole"))
    assert await content(parts, principal, analysis_id) == b"whole"


async def test_an_analysis_that_is_deleted_meanwhile_takes_its_uploads_with_it(
    parts: Parts, uploads: Uploads, principal: Principal
) -> None:
    image = await add_image(parts, principal)
    new = NewExternalAnalysis(image.id, "yolo_v8", "1")
    analysis = await parts.use_cases.analyses.tell(principal, new)
    identity = await upload_id(uploads, principal, analysis.id)

    async def slow() -> AsyncIterator[bytes]:
        yield b"half"
        await parts.use_cases.images.delete(principal, image.id)
        yield b"whole"

    with pytest.raises(NotFound):
        await uploads.receive(identity, PNG, slow())
    assert await count(parts.use_cases.database, uploads_table) == 0
    with pytest.raises(NotFound):
        await uploads.receive(identity, PNG, pieces(b"x"))


async def test_what_was_swept_between_writing_and_naming_is_asked_for_again(
    parts: Parts,
    uploads: Uploads,
    principal: Principal,
    analysis_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = await upload_id(uploads, principal, analysis_id)
    blobs = uploads._blobs
    write = blobs.put_content

    async def write_and_lose(*args: object, **kwargs: object) -> object:
        stored = await write(*args, **kwargs)  # type: ignore[arg-type]  # handed on as given
        await parts.sweep.remove(stored.sha256)
        return stored

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "put_content", write_and_lose)
        with pytest.raises(Overloaded):
            await uploads.receive(identity, PNG, pieces(b"x"))
    assert await content(parts, principal, analysis_id) is None
    await uploads.receive(identity, PNG, pieces(b"x"))
    assert await content(parts, principal, analysis_id) == b"x"


async def test_what_nobody_finished_is_forgotten(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    never = await upload_id(uploads, principal, analysis_id, "never.png")
    identity = await upload_id(uploads, principal, analysis_id)
    await uploads.receive(identity, PNG, pieces(b"x"))
    sent = parts.use_cases.sent_files
    assert await sent.sweep() == 0
    assert await sent.sweep(datetime.now(UTC) + LATER) == 2
    assert await count(parts.use_cases.database, uploads_table) == 0
    for one in (never, identity):
        with pytest.raises(NotFound):
            await uploads.receive(one, PNG, pieces(b"x"))
    assert await content(parts, principal, analysis_id) == b"x"


async def test_what_may_be_asked_for(
    parts: Parts, uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    async def ask(*files: ExpectedFile) -> None:
        await uploads.presign(principal, analysis_id, files)

    for name in ("..", "a/b", "a..b", "", "a" * 256, "ä", "a b", "."):
        with pytest.raises(InvalidInput):
            await ask(ExpectedFile(name, PNG))
    for content_type in ("png", "", "image/png\r\nx: y"):
        with pytest.raises(InvalidInput):
            await ask(ExpectedFile("a", content_type))
    with pytest.raises(InvalidInput, match="the same name"):
        await ask(ExpectedFile("a", PNG), ExpectedFile("a", PNG))
    with pytest.raises(TooLarge):
        await ask(*(ExpectedFile(str(n), PNG) for n in range(MAX_UPLOADS + 1)))
    with pytest.raises(TooLarge):
        await ask(ExpectedFile("a", PNG, 2**40))
    await ask(ExpectedFile("." + "a" * 254, "text/plain; charset=utf-8", 0))
    with pytest.raises(NotFound):
        await uploads.presign(
            Principal(principal.company_id[:-4] + "0000", "x"),
            analysis_id,
            [ExpectedFile("a", PNG)],
        )


async def test_a_size_that_was_told_is_the_limit(
    uploads: Uploads, principal: Principal, analysis_id: str
) -> None:
    (made,) = await uploads.presign(principal, analysis_id, [ExpectedFile("a", PNG, 3)])
    identity = made.url.partition("?")[0].rpartition("/")[2]
    with pytest.raises(TooLarge, match="more than 3 bytes"):
        await uploads.receive(identity, PNG, pieces(b"four"))
    with pytest.raises(Forbidden):
        await uploads.receive(identity, "image/jpeg", pieces(b"xyz"))
    await uploads.receive(identity, PNG, pieces(b"xyz"))

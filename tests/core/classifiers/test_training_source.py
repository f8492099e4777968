"""Another service's collections over real HTTP: read strictly, mirrored, trained on."""

import asyncio
import html
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from opsin import Target
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.classifiers.mirroring import Mirror
from opsin.core.classifiers.training_source import (
    ACCEPT,
    CONTRADICTED,
    NOT_EVERYWHERE,
    REPEATED,
    SourceCollection,
    TrainingSource,
    source_inputs,
)
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.inputs import NewInput
from opsin.core.collections.member_vectors import read_members
from opsin.core.errors import (
    AddressNotAllowed,
    Conflict,
    FetchFailed,
    InvalidInput,
    TooLarge,
    UnknownOperation,
)
from opsin.core.fetch import Fetcher
from opsin.settings import Settings
from tests.core.labelled import FINGERPRINT, ColorEmbedding, labelled_house
from tests.core.loopback import Server, answer, resolving
from tests.core.loopback import server as server

WHALES = SourceCollection("8", "whales", source_inputs("embed_color", Target.WHOLE_IMAGE))
BOTH = SourceCollection("8", "whales", source_inputs("embed_color+embed_other", Target.WHOLE_IMAGE))


def as_json(value: Any) -> bytes:
    return answer(json.dumps(value).encode(), "Content-Type: application/json")


def row(label: Any, embedding: Any, photo: Any = None) -> dict[str, Any]:
    return {"label": label, "embedding": embedding} | ({} if photo is None else {"photo_id": photo})


def focus(**changes: Any) -> dict[str, Any]:
    return {
        "id": 8,
        "name": "whales",
        "collection_focus": {
            "derivative_type_name": "whole_image",
            "embedding_type_name": "embed_color",
        },
        "more": "ignored",
    } | changes


@pytest.fixture
def source(server: Server) -> TrainingSource:
    fetcher = Fetcher(allow=[f"127.0.0.1:{server.port}"], accept=ACCEPT, plain_http=False)
    return TrainingSource(server.url + "/", fetcher)


# --- the list of collections ----------------------------------------------------------------------


async def test_collections_are_read_and_others_are_told_of(
    server: Server, source: TrainingSource
) -> None:
    face = {
        "derivative_type_name": "prominent_face",
        "embedding_type_name": "embed_color + embed_other",
    }
    server.answers["/collections.json"] = as_json(
        [
            focus(),
            focus(id=9, name="faces", collection_focus=face),
            focus(id="10"),
            focus(id=True),
            focus(name=None),
            focus(name=" "),
            {"id": 1, "name": "a"},
            focus(collection_focus={"derivative_type_name": "whole_image"}),
            focus(collection_focus=face | {"derivative_type_name": "tail"}),
            focus(collection_focus=face | {"derivative_type_name": []}),
            "x",
        ]
    )
    found, refused = await source.collections()
    assert found == [
        WHALES,
        SourceCollection(
            "9",
            "faces",
            (
                NewInput("embed_color", Target.PROMINENT_FACE),
                NewInput("embed_other", Target.PROMINENT_FACE),
            ),
        ),
    ]
    assert [int(text.split()[1]) for text in refused] == list(range(2, 11))
    assert b"Accept: application/json" in server.requests[0]


# --- bodies ---------------------------------------------------------------------------------------

ROWS = [row(True, [1.5, 2], 3), row(0, [0.25, 4], "x<y&z")]
TEXT = json.dumps(ROWS)


@pytest.mark.parametrize(
    "body",
    [
        TEXT,
        f"\ufeff{TEXT}\n",
        f"<html><body><pre>{html.escape(TEXT)}</pre></body></html>",
        f"<!DOCTYPE html><head><title>[1]</title><style>a[b]{{}}</style></head>"
        f"<script>var a = [1];</script><p>\n{html.escape(TEXT)}\n</p>",
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=utf-8"])
async def test_a_body_is_json_or_a_page_that_shows_json(
    server: Server, source: TrainingSource, body: str, content_type: str
) -> None:
    path = "/collections/8/training_data.json"
    server.answers[path] = answer(body.encode(), f"Content-Type: {content_type}")
    found = await source.members(WHALES)
    assert [(one.label, one.vectors, one.source_key) for one in found.members] == [
        ("true", [[1.5, 2]], "3"),
        ("false", [[0.25, 4]], "x<y&z"),
    ]
    assert found.left_out == {}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nothing",
        f"{TEXT} {TEXT}",
        f"Here it is: {TEXT}",
        f"<p>See [1]:</p><pre>{html.escape(TEXT)}</pre>",
        '[{"label": true, "embedding": [NaN]}]',
        '[{"label": true, "embedding": [Infinity]}]',
        "[" * 100_000,
        "{}",
        '"text"',
        "null",
        b"\xff\xfe[\x00]\x00",
    ],
)
async def test_anything_else_is_refused(
    server: Server, source: TrainingSource, body: str | bytes
) -> None:
    content = body if isinstance(body, bytes) else body.encode()
    server.answers["/collections/8/training_data.json"] = answer(content)
    with pytest.raises(FetchFailed, match="JSON"):
        await source.members(WHALES)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x", "row 1 is no object"),
        (row("true", [1]), "row 1: label"),
        (row(2, [1]), "row 1: label"),
        (row(1.0, [1]), "row 1: label"),
        (row(None, [1]), "row 1: label"),
        (row([], [1]), "row 1: label"),
        (row(True, "abc"), "row 1: embedding"),
        (row(True, None), "row 1: embedding"),
        (row(True, [1], [1]), "row 1: photo_id"),
        (row(True, [1], 1.5), "row 1: photo_id"),
        (row(True, [1], True), "row 1: photo_id"),
    ],
)
async def test_a_row_that_is_not_as_documented_refuses_all(
    server: Server, source: TrainingSource, bad: Any, reason: str
) -> None:
    server.answers["/collections/8/training_data.json"] = as_json([row(True, [1]), bad])
    with pytest.raises(InvalidInput, match=reason):
        await source.members(WHALES)


async def test_several_embeddings_are_joined_on_the_photo(
    server: Server, source: TrainingSource
) -> None:
    path = "/collections/8/training_data.json?embedding_type="
    server.answers[f"{path}embed_color"] = as_json(
        [
            row(True, [1], 10),
            row(True, [2], 9),
            row(False, [3], "b"),
            row(False, [3.5], "b"),
            row(True, [4], 5),
            row(True, [6], "a"),
        ]
    )
    server.answers[f"{path}embed_other"] = as_json(
        [row(1, [10], 9), row(1, [20], 10), row(0, [30], "b"), row(0, [40], 5), row(1, [5], 7)]
    )
    found = await source.members(BOTH)
    assert [(one.source_key, one.label, one.vectors) for one in found.members] == [
        ("9", "true", [[2], [10]]),
        ("10", "true", [[1], [20]]),
        ("b", "false", [[3], [30]]),
    ]
    assert found.left_out == {REPEATED: 1, NOT_EVERYWHERE: 2, CONTRADICTED: 1}
    server.answers[f"{path}embed_other"] = as_json([row(1, [10])])
    with pytest.raises(InvalidInput, match="row 0: photo_id is missing"):
        await source.members(BOTH)


# --- the wire -------------------------------------------------------------------------------------


async def test_plain_http_is_for_hosts_that_are_allowed_by_name(server: Server) -> None:
    server.answers["/collections.json"] = as_json([])
    here = server.url
    for allow in ([], ["127.0.0.2"], ["localhost"]):
        fetcher = Fetcher(allow=allow, ports=[server.port], accept=ACCEPT, plain_http=False)
        with pytest.raises(AddressNotAllowed):
            await TrainingSource(here, fetcher).collections()
    # An allowed network is not the name of every host that leads into it.
    lying = resolving(["127.0.0.1"])
    for allow, allowed in ((["127.0.0.0/8"], False), (["source.test"], True)):
        fetcher = Fetcher(
            allow=allow, ports=[server.port], accept=ACCEPT, plain_http=False, resolver=lying
        )
        source = TrainingSource(f"http://source.test:{server.port}", fetcher)
        if allowed:
            assert await source.collections() == ([], [])
        else:
            with pytest.raises(AddressNotAllowed, match="plain http"):
                await source.collections()
    assert len(server.requests) == 1


async def test_a_redirect_is_held_to_the_same(server: Server, source: TrainingSource) -> None:
    server.answers["/collections.json"] = answer(
        b"", "Location: http://example.org/collections.json", status="302 Found"
    )
    with pytest.raises(AddressNotAllowed, match="plain http"):
        await source.collections()


async def test_size_and_time_are_limited(server: Server) -> None:
    allow = [f"127.0.0.1:{server.port}"]
    server.answers["/collections.json"] = as_json(["x" * 2000])
    small = TrainingSource(server.url, Fetcher(allow=allow, accept=ACCEPT, max_bytes=1000))
    with pytest.raises(TooLarge):
        await small.collections()

    async def silent(path: str, writer: Any) -> None:
        await asyncio.sleep(30)

    server.answers["/collections.json"] = silent
    slow = TrainingSource(server.url, Fetcher(allow=allow, accept=ACCEPT, timeout=0.2))
    with pytest.raises(FetchFailed):
        await slow.collections()


async def test_a_server_that_refuses_is_an_error(source: TrainingSource) -> None:
    with pytest.raises(FetchFailed, match="4xx"):
        await source.collections()


# --- mirrored -------------------------------------------------------------------------------------


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    other = ColorEmbedding("embed_other", fingerprint="d" * 64)
    async with labelled_house(
        settings, ColorEmbedding(), other, database_url=any_database_url
    ) as parts:
        yield parts


async def take_in(
    parts: Parts,
    principal: Principal,
    source: TrainingSource,
    collection: SourceCollection = WHALES,
    fingerprint: str = FINGERPRINT,
) -> Any:
    use_cases = parts.use_cases
    mirror = Mirror(use_cases.collections, use_cases.enrolment, use_cases.host)
    known = {"embed_color": fingerprint, "embed_other": "d" * 64}
    return await mirror.take_in(principal, source, collection, known)


async def labels_of(parts: Parts, principal: Principal) -> list[tuple[str, str | None]]:
    collection = await parts.use_cases.collections.get(principal, "8")
    async with parts.use_cases.database.read() as connection:
        found = await read_members(connection, collection.id)
    return sorted(zip(found.labels, found.source_keys, strict=True))


async def test_a_mirror_has_what_the_source_has(
    server: Server, source: TrainingSource, parts: Parts, principal: Principal
) -> None:
    path = "/collections/8/training_data.json"
    server.answers[path] = as_json([row(True, [1, 2], 1), row(False, [3, 4], 2)])
    enrolled, _ = await take_in(parts, principal, source)
    assert (enrolled.collection.name, enrolled.added) == ("whales", 2)
    server.answers[path] = as_json([row(True, [1, 2], 1), row(True, [3, 4], 2)])
    enrolled, _ = await take_in(parts, principal, source)
    assert enrolled.added == 1
    expected = [("true", "1"), ("true", "2")]
    assert await labels_of(parts, principal) == expected
    # What cannot be used leaves everything as it was.
    for body, error in (
        ([], InvalidInput),
        ([row(True, [1, 2], 1), row(True, [1], 3)], Conflict),
        ([row(True, [0, 0], 1)], InvalidInput),
        ([row(True, [1, "x"], 1)], InvalidInput),
        ([row(True, [1e39], 1)], InvalidInput),
    ):
        server.answers[path] = as_json(body)
        with pytest.raises(error):
            await take_in(parts, principal, source)
        assert await labels_of(parts, principal) == expected
    # All from other weights is fine: nobody is left to be compared with.
    server.answers[path] = as_json([row(True, [1, 2, 3], 1)])
    await take_in(parts, principal, source, fingerprint="e" * 64)
    assert await labels_of(parts, principal) == [("true", "1")]


async def test_a_mirror_keeps_to_its_inputs(
    server: Server, source: TrainingSource, parts: Parts, principal: Principal
) -> None:
    inputs = [NewInput("embed_color", Target.PROMINENT_FACE)]
    await parts.use_cases.collections.create(principal, NewCollection("8", inputs))
    with pytest.raises(Conflict, match="in another way"):
        await take_in(parts, principal, source)
    unknown = SourceCollection("8", "x", source_inputs("embed_auraface", Target.WHOLE_IMAGE))
    with pytest.raises(UnknownOperation):
        await take_in(parts, principal, source, unknown)
    use_cases = parts.use_cases
    mirror = Mirror(use_cases.collections, use_cases.enrolment, use_cases.host)
    with pytest.raises(InvalidInput, match="which weights of embed_color"):
        await mirror.take_in(principal, source, WHALES, {})
    assert server.requests == []


async def test_two_embeddings_make_one_vector(
    server: Server, source: TrainingSource, parts: Parts, principal: Principal
) -> None:
    path = "/collections/8/training_data.json?embedding_type="
    for name, first in (("embed_color", 0.0), ("embed_other", 1.0)):
        rows = [row(n % 2, [first, n + 1], n) for n in range(20)]
        server.answers[f"{path}{name}"] = as_json(rows)
    await take_in(parts, principal, source, BOTH)
    report = await parts.use_cases.classifiers.train(principal, "8")
    document = report.new.candidate.document
    assert len(document.coefficients) == 4
    assert document.fingerprints == (FINGERPRINT, "d" * 64)


async def test_a_key_stays_one_part_of_the_path(server: Server, source: TrainingSource) -> None:
    with pytest.raises(FetchFailed):
        await source.members(SourceCollection("../a b", "x", WHALES.inputs))
    assert server.requests[0].startswith(b"GET /collections/..%2Fa%20b/training_data.json ")

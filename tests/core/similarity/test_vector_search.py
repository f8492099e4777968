"""The nearest vectors: the same on every database, among the right ones, and as they are now."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import delete, text

from opsin.core.similarity.ranking import Match
from opsin.core.similarity.search import VectorSearch
from opsin.storage import vectors as stored
from opsin.storage.database import Database
from opsin.storage.tables import embeddings, images
from opsin.storage.vectors import Scope
from tests.core.stored_vectors import (
    SPACE,
    TARGET,
    Floats,
    Place,
    add_images,
    add_vectors,
    event_of,
    new_place,
)

SMALL = 1
"""A cache that has no room for anything: every search reads through the table."""
LARGE = 2**28


@pytest.fixture
async def database(any_database_url: str) -> AsyncIterator[Database]:
    made = Database(any_database_url)
    yield made
    await made.close()


@pytest.fixture(params=[LARGE, SMALL], ids=["kept", "read through"])
def search(request: pytest.FixtureRequest, database: Database) -> VectorSearch:
    return VectorSearch(database, cache_bytes=request.param)


def clustered(count: int, dimensions: int, seed: int = 0) -> Floats:
    """Vectors as models give them: in groups, of which some are nearer than others."""
    numbers = np.random.default_rng(seed)
    centres = numbers.standard_normal((max(count // 50, 1), dimensions))
    chosen = centres[numbers.integers(0, len(centres), count)]
    return (chosen + 0.7 * numbers.standard_normal((count, dimensions))).astype(np.float32)


def scope_of(place: Place, dimensions: int, **changes: str | None) -> Scope:
    return replace(Scope(place.company_id, SPACE, TARGET, dimensions), **changes)  # type: ignore[arg-type]  # only texts change


def expected(
    vectors: Floats, ids: Sequence[str], query: Floats, most: int, without: str | None = None
) -> list[str]:
    """Every cosine in float64, one after the other; ties by id."""
    found = []
    for vector, identity in zip(vectors.astype(np.float64), ids, strict=True):
        length = np.sqrt((vector * vector).sum() * (query.astype(np.float64) ** 2).sum())
        if identity != without and length:
            found.append((-float((vector * query).sum() / length), identity))
    return [identity for _, identity in sorted(found)[:most]]


def ids_of(found: Sequence[Match]) -> list[str]:
    return [match.image_id for match in found]


# --- the order ------------------------------------------------------------------------------------


async def test_2000_vectors_of_tenants_spaces_and_targets_are_ranked_exactly(
    database: Database, search: VectorSearch
) -> None:
    """On each database the list is that of the plain formula, so it is the same on both."""
    ours, theirs = await new_place(database), await new_place(database)
    second = await new_place(database, ours.company_id)
    vectors = clustered(500, 512)
    vectors[100:110] = vectors[7]  # ties
    here = await add_vectors(database, ours, vectors)
    beside = await add_vectors(database, second, clustered(500, 512, seed=1))
    await add_vectors(database, theirs, vectors)
    await add_vectors(database, ours, vectors[:250], fingerprint="another model")
    await add_vectors(database, ours, vectors[:250], target="prominent_face")
    both = np.concatenate([vectors, clustered(500, 512, seed=1)])
    scope = scope_of(ours, 512)
    for number in (0, 7, 499):
        query, without = vectors[number], here[number]
        found = await search.nearest(scope, query.tobytes(), 25, without=without)
        assert ids_of(found) == expected(both, here + beside, query, 25, without)
        assert found[0].similarity <= 1 and [f.similarity for f in found] == sorted(
            (f.similarity for f in found), reverse=True
        )
        here_only = replace(scope, dataset_ids=(ours.dataset_id,))
        found = await search.nearest(here_only, query.tobytes(), 25, without=without)
        assert ids_of(found) == expected(vectors, here, query, 25, without)
    assert len(await search.nearest(scope, vectors[0].tobytes(), 5000)) == 1000
    other_space = scope_of(ours, 512, space="0" * 64)
    assert await search.nearest(other_space, vectors[0].tobytes(), 5) == []


async def test_equal_vectors_have_similarity_1_and_opposite_ones_minus_1(
    database: Database, search: VectorSearch
) -> None:
    place = await new_place(database)
    vectors = clustered(3, 512)
    ids = await add_vectors(
        database, place, np.stack([vectors[0], -vectors[0], vectors[0] * np.float32(8)])
    )
    found = await search.nearest(scope_of(place, 512), vectors[0].tobytes(), 5)
    assert [(f.image_id, f.similarity) for f in found] == [(ids[0], 1), (ids[2], 1), (ids[1], -1)]


@pytest.mark.parametrize("dimensions", [1, 7, 384, 2048, 16_001])
async def test_vectors_of_any_length(
    database: Database, search: VectorSearch, dimensions: int
) -> None:
    """Those that no index is for, and those that pgvector cannot hold."""
    place = await new_place(database)
    vectors = clustered(12, dimensions)
    ids = await add_vectors(database, place, vectors)
    found = await search.nearest(scope_of(place, dimensions), vectors[3].tobytes(), 4)
    assert ids_of(found) == expected(vectors, ids, vectors[3], 4)


async def test_zeros_have_no_direction(database: Database, search: VectorSearch) -> None:
    place = await new_place(database)
    vectors = clustered(4, 512)
    vectors[2] = 0
    ids = await add_vectors(database, place, vectors)
    scope = scope_of(place, 512)
    found = ids_of(await search.nearest(scope, vectors[0].tobytes(), 10))
    assert sorted(found) == sorted([ids[0], ids[1], ids[3]])
    assert await search.nearest(scope, vectors[2].tobytes(), 10) == []
    assert await search.nearest(scope, vectors[0].tobytes(), 0) == []


@pytest.mark.parametrize("any_database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e37])
async def test_values_at_the_ends_of_float32(
    database: Database, search: VectorSearch, scale: float
) -> None:
    place = await new_place(database)
    vectors = (clustered(60, 16) * scale).astype(np.float32)
    ids = await add_vectors(database, place, vectors)
    found = await search.nearest(scope_of(place, 16), vectors[3].tobytes(), 9)
    assert ids_of(found) == expected(vectors, ids, vectors[3], 9)


# --- what is compared -----------------------------------------------------------------------------


async def test_only_an_images_newest_vector_counts(
    database: Database, search: VectorSearch
) -> None:
    place = await new_place(database)
    first = clustered(30, 512)
    ids = await add_vectors(database, place, first)
    scope = scope_of(place, 512)
    query = first[0].tobytes()
    assert ids_of(await search.nearest(scope, query, 1)) == [ids[0]]
    second = clustered(30, 512, seed=2)
    await add_vectors(database, place, second[:10], ids[:10])
    now = np.concatenate([second[:10], first[10:]])
    found = await search.nearest(scope, query, 30)
    assert ids_of(found) == expected(now, ids, first[0], 30)
    # Another model's vectors make none of these outdated.
    await add_vectors(database, place, second, ids, fingerprint="another model")
    assert await search.nearest(scope, query, 30) == found


async def test_what_is_kept_follows_every_change(database: Database) -> None:
    """Vectors that come, go and are replaced, each seen by the next search."""
    kept, through = VectorSearch(database, cache_bytes=LARGE), VectorSearch(database, cache_bytes=0)
    place = await new_place(database)
    scope = scope_of(place, 512)
    query = clustered(1, 512, seed=9)[0].tobytes()
    ids: list[str] = []
    for step in range(6):
        ids += await add_vectors(database, place, clustered(20, 512, seed=step))
        if step % 2:
            async with database.write() as transaction:
                await transaction.connection.execute(delete(images).where(images.c.id == ids[step]))
                transaction.emit(event_of(place, "image.deleted"))
        if step == 4:
            await add_vectors(database, place, clustered(5, 512, seed=40), ids[30:35])
        found = await kept.nearest(scope, query, 200)
        assert found == await through.nearest(scope, query, 200)
        assert len(found) == 20 * (step + 1) - (step + 1) // 2
        assert await kept.nearest(scope, query, 200) == found


@pytest.mark.parametrize("any_database_url", ["sqlite"], indirect=True)
async def test_memory_is_for_the_scopes_used_last(database: Database) -> None:
    places = [await new_place(database) for _ in range(3)]
    for place in places:
        await add_vectors(database, place, clustered(100, 512))
    search = VectorSearch(database, cache_bytes=2 * 100 * (512 * 4 + 400) + 1)
    query = clustered(1, 512)[0].tobytes()
    for place in (*places, places[1], places[2], places[0]):
        assert len(await search.nearest(scope_of(place, 512), query, 3)) == 3
        assert sum(kept.bytes for kept in search._kept.values()) <= search._cache_bytes
    assert [scope.company_id for scope in search._kept] == [
        places[2].company_id,
        places[0].company_id,
    ]


async def test_many_searches_at_once_and_one_cancelled(database: Database) -> None:
    place = await new_place(database)
    vectors = clustered(300, 512)
    ids = await add_vectors(database, place, vectors)
    search = VectorSearch(database, cache_bytes=LARGE)
    scope = scope_of(place, 512)
    asked = [
        asyncio.create_task(search.nearest(scope, vector.tobytes(), 1)) for vector in vectors[:20]
    ]
    await asyncio.sleep(0)
    asked[0].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [f[0].image_id for f in found[1:] if not isinstance(f, BaseException)] == ids[1:20]


async def test_vectors_go_with_their_images(database: Database, search: VectorSearch) -> None:
    place = await new_place(database)
    ids = await add_vectors(database, place, clustered(5, 512))
    async with database.write() as transaction:
        await transaction.connection.execute(delete(images).where(images.c.id.in_(ids[:4])))
    async with database.read() as connection:
        left = (await connection.execute(embeddings.select())).all()
    assert [row.image_id for row in left] == ids[4:]


# --- pgvector -------------------------------------------------------------------------------------


@pytest.fixture
async def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """The index is used from a hundred vectors on."""
    monkeypatch.setattr(stored, "_FEW", 100)
    return 100


postgresql = pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)


@postgresql
async def test_the_stored_copy_has_every_bit(database: Database) -> None:
    place = await new_place(database)
    vectors = np.array([[1e-42, -0.0, 3.4e38, 1 / 3] * 128, [1.5e-30] * 512], np.float32)
    await add_vectors(database, place, vectors)
    statement = "SELECT vector, vector_send(indexed) FROM embeddings ORDER BY analysis_id"
    async with database.read() as connection:
        assert await stored.is_indexed(connection)
        for exact, sent in (await connection.execute(text(statement))).all():
            # Two numbers of 16 bits before the values, most significant byte first.
            assert np.array_equal(
                np.frombuffer(sent[4:], ">f4").view(">u4"), np.frombuffer(exact, "<u4")
            )


@postgresql
async def test_a_tenant_among_many_is_found_whole(database: Database, few: int) -> None:
    """The index holds everybody's vectors, and the nearest of all are somebody else's."""
    ours, theirs = await new_place(database), await new_place(database)
    vectors = clustered(150, 384)
    ids = await add_vectors(database, ours, vectors)
    near = np.repeat(vectors[:1], 3000, axis=0) + clustered(3000, 384, seed=3) * np.float32(1e-3)
    await add_vectors(database, theirs, near)
    search = VectorSearch(database, cache_bytes=LARGE)
    found = await search.nearest(scope_of(ours, 384), vectors[0].tobytes(), 20, without=ids[0])
    assert ids_of(found) == expected(vectors, ids, vectors[0], 20, ids[0])


@postgresql
async def test_outdated_vectors_do_not_hide_the_others(database: Database, few: int) -> None:
    """All that the index finds first are older vectors of one image."""
    place = await new_place(database)
    vectors = clustered(200, 384)
    ids = await add_vectors(database, place, vectors)
    (busy,) = await add_images(database, place, 1)
    again = np.repeat(vectors[:1], 300, axis=0)
    again[-1] = -vectors[0]
    await add_vectors(database, place, again, [busy] * 300)
    search = VectorSearch(database, cache_bytes=LARGE)
    found = await search.nearest(scope_of(place, 384), vectors[0].tobytes(), 10)
    assert ids_of(found) == expected(vectors, ids, vectors[0], 10)


@postgresql
async def test_recall_among_20000(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    place = await new_place(database)
    vectors = clustered(20_000, 384)
    index = "ix_embeddings_indexed_384"
    async with database.write() as transaction:  # built at once, it takes a tenth of the time
        made = await transaction.connection.execute(
            text(f"SELECT indexdef FROM pg_indexes WHERE indexname = '{index}'")
        )
        definition = made.scalar_one()
        await transaction.connection.execute(text(f"DROP INDEX {index}"))
    ids = await add_vectors(database, place, vectors)
    async with database.write() as transaction:
        await transaction.connection.execute(text(definition))
    search = VectorSearch(database, cache_bytes=LARGE)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    hits = 0
    for number in range(100):
        cosines = directions @ directions[number]
        cosines[number] = -2
        truth = {ids[n] for n in np.argpartition(-cosines, 10)[:10]}
        found = await search.nearest(
            scope_of(place, 384), vectors[number].tobytes(), 10, without=ids[number]
        )
        hits += len(truth & set(ids_of(found)))
    with capsys.disabled():
        print(f"\nrecall of the 10 nearest among 20,000 by HNSW: {hits / 1000}")
    assert hits >= 950
    assert await _scans(database, index) >= 100


async def _scans(database: Database, index: str) -> int:
    """How often PostgreSQL says that it used an index; sessions tell of it when they idle."""
    statement = text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :index")
    async with asyncio.timeout(30):
        while True:
            async with database.write() as transaction:
                await transaction.connection.execute(text("SELECT pg_stat_force_next_flush()"))
            async with database.read() as connection:
                if found := (await connection.execute(statement, {"index": index})).scalar():
                    return int(found)
            await asyncio.sleep(0.1)

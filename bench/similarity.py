"""100,000 embeddings of 512 values: the 10 nearest to one, first and again, beside plain numpy."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text, update

from bench.databases import each_database
from opsin.assembly import assemble
from opsin.core.access import Principal
from opsin.core.similarity.search import VectorSearch
from opsin.settings import Settings
from opsin.storage.database import Database
from opsin.storage.tables import analyses
from opsin.storage.vectors import Scope
from tests.core.stored_vectors import SPACE, TARGET, Floats, Place, add_vectors, new_place

VECTORS = 100_000
DIMENSIONS = 512
NEAREST = 10
QUERIES = 100
CACHE = 2**28
INDEX = "ix_embeddings_indexed_512"


def clustered(count: int, seed: int) -> Floats:
    """Vectors in groups of about 50, as those of pictures are; float32."""
    numbers = np.random.default_rng(seed)
    centres = numbers.standard_normal((VECTORS // 50, DIMENSIONS), np.float32)
    near = np.float32(0.7) * numbers.standard_normal((count, DIMENSIONS), np.float32)
    return centres[numbers.integers(0, len(centres), count)] + near


async def seconds_of(call: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


async def fill(database: Database, place: Place, vectors: Floats) -> list[str]:
    """The images; PostgreSQL builds an index at once in a fraction of the time."""
    if database.is_sqlite:
        return await add_vectors(database, place, vectors)
    async with database.write() as transaction:
        named = text(f"SELECT indexdef FROM pg_indexes WHERE indexname = '{INDEX}'")
        definition = (await transaction.connection.execute(named)).scalar_one()
        await transaction.connection.execute(text(f"DROP INDEX {INDEX}"))
    images = await add_vectors(database, place, vectors)
    async with database.write() as transaction:
        await transaction.connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        await transaction.connection.execute(text(definition))
    return images


async def searches(database: Database, place: Place, vectors: Floats) -> dict[str, Any]:
    """Milliseconds of searches among all, and the recall against every cosine."""
    search = VectorSearch(database, cache_bytes=CACHE)
    scope = Scope(place.company_id, SPACE, TARGET, DIMENSIONS)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    first = await seconds_of(lambda: search.nearest(scope, vectors[0].tobytes(), NEAREST))
    seconds, plain, hits = [], [], 0
    for number in range(QUERIES):
        started = time.perf_counter()
        found = await search.nearest(scope, vectors[number].tobytes(), NEAREST)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        cosines = directions @ directions[number]
        nearest = np.argpartition(-cosines, NEAREST)[:NEAREST]
        plain.append(time.perf_counter() - started)
        # Both in float32's precision: whoever is as near as the last of them is as good.
        floor = float(cosines[nearest].min()) - 1e-6
        hits += sum(match.similarity >= floor for match in found)
    return {
        "first_ms": _ms(first),
        "repeated_ms": _ms(statistics.median(seconds)),
        "slowest_ms": _ms(max(seconds)),
        "numpy_in_memory_ms": _ms(statistics.median(plain)),
        "recall": round(hits / (QUERIES * NEAREST), 4),
    }


async def additions(database: Database, place: Place, vectors: Floats) -> dict[str, Any]:
    """What new vectors cost, and the search that comes after them."""
    search = VectorSearch(database, cache_bytes=CACHE)
    scope = Scope(place.company_id, SPACE, TARGET, DIMENSIONS)
    query = vectors[0].tobytes()
    await search.nearest(scope, query, NEAREST)
    seconds = await seconds_of(lambda: add_vectors(database, place, clustered(500, 1)))
    after = await seconds_of(lambda: search.nearest(scope, query, NEAREST))
    return {"added_per_second": round(500 / seconds), "after_500_more_ms": _ms(after)}


async def near_duplicates(
    url: str, folder: Path, place: Place, images: list[str]
) -> dict[str, Any]:
    """One picture's hashes against 100,000 stored ones, beside as many embeddings."""
    parts = assemble(Settings(data_dir=folder, database_url=url, worker=False))
    async with parts.running():
        database, numbers = parts.use_cases.database, np.random.default_rng(0)
        hashed = np.zeros((len(images), 1), np.float32)
        await add_vectors(database, place, hashed, images, operation="perceptual_hash")
        hashes = [f"{n:016x}" for n in numbers.integers(0, 2**63, 64).tolist()]
        async with database.write() as transaction:
            for number, value in enumerate(hashes):
                await transaction.connection.execute(
                    update(analyses)
                    .where(
                        analyses.c.operation == "perceptual_hash",
                        analyses.c.image_id.in_(images[number :: len(hashes)]),
                    )
                    .values(result={"phash": value, "dhash": value})
                )
        principal = Principal(place.company_id, "bench")
        seconds = []
        for image in images[:5]:
            started = time.perf_counter()
            await parts.use_cases.near_duplicates.of(
                principal, image, "perceptual_hash", most=10, max_distance=10
            )
            seconds.append(time.perf_counter() - started)
    return {"near_duplicates_ms": _ms(statistics.median(seconds))}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def measure(name: str, url: str, folder: Path) -> list[dict[str, Any]]:
    from opsin.storage.schema import upgrade

    await upgrade(url)
    database = Database(url)
    place, vectors = await new_place(database), clustered(VECTORS, 0)
    images: list[str] = []

    async def filled() -> None:
        images.extend(await fill(database, place, vectors))

    results = [{"database": name, "filled_seconds": round(await seconds_of(filled), 1)}]
    results[0] |= await searches(database, place, vectors)
    results[0] |= await additions(database, place, vectors)
    if not database.is_sqlite:
        async with database.write() as transaction:
            await transaction.connection.execute(text("ALTER TABLE embeddings DROP COLUMN indexed"))
        name = "postgresql without pgvector"
        # 500 more than the recall knows of, which are as near as any.
        results.append({"database": name} | await searches(database, place, vectors))
    results[0] |= await near_duplicates(url, folder, place, images)
    await database.close()
    return results


def main() -> list[dict[str, Any]]:
    results = []
    for name, url, folder in each_database():
        for result in asyncio.run(measure(name, url, folder)):
            results.append({"vectors": VECTORS, "dimensions": DIMENSIONS} | result)
            print(results[-1], flush=True)
    return results


if __name__ == "__main__":
    main()

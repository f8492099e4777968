"""Does a page cost the same in a large table as in a small one, and far on as at the start?"""

import asyncio
import json
import random
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
from sqlalchemy import text

from bench.reads.cases import LARGE, SLICE, Case
from bench.reads.contestants import OPSIN, RAW, Ground, Running, ask, running
from bench.reads.load import load
from bench.reads.rows import add_dataset, tidy
from opsin.storage.database import connect_without_pool, database_url

PAGE_SIZE = 1_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
PAGES = 1_000
_ROUNDS, _SECONDS = 5, 1

_POSTGRES = """INSERT INTO annotations
  (id, company_id, analysis_id, annotation_type, class_name, confidence, data, created_at)
SELECT uuidv7(), CAST(:company AS uuid), (CAST(:analyses AS uuid[]))[1 + k / CAST(:each AS int)],
  'bounding_box', 'class ' || k % 80, random(),
  CAST(format('{"bbox": [%s, %s.25, %s, 40.5], "format": "xywh"}', k % 3000, k % 2000, k % 97)
    AS json),
  timestamptz '2026-03-01 08:00Z' + k * interval '1 microsecond'
FROM generate_series(0, CAST(:total AS int) - 1) k"""
_SQLITE = """INSERT INTO annotations
  (id, company_id, analysis_id, annotation_type, class_name, confidence, data, created_at)
WITH RECURSIVE counted(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM counted WHERE k + 1 < :each)
SELECT printf('01ffffff-ffff-7000-8000-%012x', :start + one.key * :each + k), :company, one.value,
  'bounding_box', 'class ' || k % 80, abs(random()) / 9223372036854775808.0,
  printf('{"bbox":[%d,%d.25,%d,40.5],"format":"xywh"}', k % 3000, k % 2000, k % 97),
  printf('2026-03-01 08:00:00.%06d', k)
FROM json_each(:analyses) one CROSS JOIN counted"""


def measure(ground: Ground) -> dict[str, Any]:
    """Milliseconds of a page: at each size of the table, and page 1 beside the last one.

    `ground` is a database without rows.  Analyses have as many annotations as a page; in the end
    one more has a million.
    """
    analyses = asyncio.run(_new_analyses(ground, SIZES[-1] // PAGE_SIZE + 1))
    page = Case("a page", LARGE, {"annotations": PAGE_SIZE})
    by_size: dict[int, dict[str, float]] = {}
    filled = 0
    for size in SIZES:
        some = analyses[filled // PAGE_SIZE : size // PAGE_SIZE]
        asyncio.run(_fill(ground, some, PAGE_SIZE, filled))
        filled = size
        with ExitStack() as stack:
            # An analysis from the middle: neither the first nor the last page of the table.
            chosen = _about(ground, analyses[size // PAGE_SIZE // 2])
            servers = [stack.enter_context(running(one, chosen)) for one in (RAW, OPSIN)]
            by_size[size] = _in_turns({one.contestant.name: (one, page) for one in servers})
        print(ground.kind, size, by_size[size], file=sys.stderr, flush=True)
    asyncio.run(_fill(ground, [analyses[-1]], PAGES * PAGE_SIZE, filled))
    with running(OPSIN, _about(ground, analyses[-1])) as server:
        pages = _pages(server)
    print(ground.kind, pages, file=sys.stderr, flush=True)
    return {"by size": by_size, "pages": pages}


def _pages(server: Running) -> dict[str, float]:
    """Page 1 and the last page in turns; the cursor of the last one is found page by page."""
    after = None
    with httpx.Client(headers=server.headers, timeout=60) as client:
        for _ in range(PAGES - 1):
            case = Case("a slice", SLICE, {"annotations": PAGE_SIZE}, after)
            answer = client.post(server.url, content=server.body(case)).raise_for_status().json()
            page = answer["data"]["analysis"]["annotations"]
            if len(page["nodes"]) != PAGE_SIZE or not page["pageInfo"]["hasNextPage"]:
                raise AssertionError("a page in the middle is not full")
            after = page["pageInfo"]["endCursor"]
    first, last = (Case("a slice", SLICE, {"annotations": PAGE_SIZE}, at) for at in (None, after))
    page = json.loads(ask(server, last))["data"]["analysis"]["annotations"]
    if len(page["nodes"]) != PAGE_SIZE or page["pageInfo"]["hasNextPage"]:
        raise AssertionError("the last page is not the last one")
    return _in_turns({"page 1": (server, first), f"page {PAGES:,}": (server, last)})


def _in_turns(asked: Mapping[str, tuple[Running, Case]]) -> dict[str, float]:
    """The median of the rounds' medians, one connection, in milliseconds."""
    seen: dict[str, list[float]] = {name: [] for name in asked}
    sizes = {name: len(ask(server, case)) for name, (server, case) in asked.items()}
    for _ in range(_ROUNDS + 1):
        for name, (server, case) in asked.items():
            seen[name].append(load(server, case, 1, _SECONDS, None, sizes[name]).p50)
    return {name: round(statistics.median(some[1:]), 3) for name, some in seen.items()}


def _about(ground: Ground, analysis_id: str) -> Ground:
    return replace(ground, seeded=replace(ground.seeded, large_analysis_id=analysis_id))


async def _new_analyses(ground: Ground, count: int) -> list[str]:
    engine = connect_without_pool(database_url(ground.url))
    async with engine.begin() as connection:
        company_id, numbers = ground.seeded.company_id, random.Random(1)
        _, analysis_ids = await add_dataset(connection, numbers, company_id, 1, count, 0)
    await engine.dispose()
    return analysis_ids


async def _fill(ground: Ground, analyses: list[str], each: int, start: int) -> None:
    """`each` annotations to each analysis, in one statement; `start` is how many there are."""
    engine = connect_without_pool(database_url(ground.url))
    values = {"company": ground.seeded.company_id, "each": each}
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            more = {"analyses": analyses, "total": each * len(analyses)}
            await connection.execute(_statement(_POSTGRES), values | more)
        else:
            more = {"analyses": json.dumps(analyses), "start": start}
            await connection.execute(_statement(_SQLITE), values | more)
    await engine.dispose()
    await tidy(ground.url)


def _statement(sql: str) -> Any:
    return text(sql.replace("::", r"\:\:"))

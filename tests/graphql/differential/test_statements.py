"""How many statements a request makes: one for each compiled root, none beyond a limit."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from opsin.graphql.errors import TOO_COMPLEX
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.storage import tables
from opsin.storage.database import Database
from tests.graphql.differential.documents import Document
from tests.graphql.differential.houses import MAX_PAGE, House
from tests.graphql.differential.rows import OURS
from tests.graphql.differential.statements import sent_by
from tests.graphql.differential.writing import unchecked

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = Limits(
    depth=7,
    fields=12,
    aliases=2,
    tokens=60,
    breadth=5,
    document_bytes=600,
    page=MAX_PAGE,
    rows=1_000,
)
BEYOND = {
    "depth": "{ datasets { nodes { images { nodes { dataset { images { nodes { id } } } } } } } }",
    "fields": "{ datasets { nodes { id id id id } nodes { id id id id } nodes { id id id } } }",
    "aliases": "{ a: datasets { totalCount } b: images { totalCount } c: images { totalCount } }",
    "tokens": "{ datasets { " + " ".join(["...", "{ id }"] * 20) + " } }",
    "breadth": "{ datasets { nodes { id name description createdAt updatedAt __typename } } }",
    "document": "{ datasets { totalCount } } #" + "." * 600,
    "page": f"{{ datasets(first: {MAX_PAGE + 1}) {{ totalCount }} }}",
    "negative page": "{ datasets(first: -1) { totalCount } }",
    "rows": "{ datasets(first: 50) { nodes { images(first: 50) { nodes { id } } } } }",
}
NESTED = """query($first: Int! = 5) { datasets(first: $first) { totalCount nodes { name
  images(first: $first) { totalCount edges { cursor node { filename url subject { name }
    analyses(first: $first, orderBy: UPDATED_DESC) { pageInfo { endCursor hasNextPage } nodes {
      status result { __typename ... on Embedding { vector } ... on Caption { text } }
      artifacts { url } annotations(first: $first) { totalCount nodes { data url } }
    } } } } } } } }"""


@pytest.mark.parametrize("limit", list(BEYOND))
async def test_limits_come_before_the_database(houses: dict[str, House], limit: str) -> None:
    for house in houses.values():
        schema = build_schema(house.parts.use_cases.host, SMALL)
        with sent_by(house) as sent:
            for _ in range(2):
                answer = await house.ask(schema, Document(BEYOND[limit], {}))
                assert answer.errors, limit
                (code,) = {(error.extensions or {})["code"] for error in answer.errors}
                assert code in (TOO_COMPLEX, "INVALID_INPUT", "TOO_LARGE"), code
        assert (sent.compiled, sent.others) == ([], [])


async def test_limits_hold_for_the_variables_of_a_known_document(
    houses: dict[str, House],
) -> None:
    query = (
        "query($n: Int!) { datasets(first: $n) { nodes { images(first: $n) { nodes { id } } } } }"
    )
    for house in houses.values():
        schema = build_schema(house.parts.use_cases.host, SMALL)
        for _ in range(2):
            with sent_by(house) as sent:
                answer = await house.ask(schema, Document(query, {"n": 2}))
            assert not answer.errors
            assert len(sent.compiled) == 1
        for beyond in (MAX_PAGE + 1, MAX_PAGE, -1, 2**31, "2", None):
            with sent_by(house) as sent:
                answer = await house.ask(schema, Document(query, {"n": beyond}))
            assert answer.errors, beyond
            assert (sent.compiled, sent.others) == ([], []), beyond


async def test_a_root_is_one_statement_whatever_it_holds(houses: dict[str, House]) -> None:
    node = f'{{ node(id: "{OURS.id(tables.images)}") {{ id ... on Image {{ url }} }} }}'
    both = "{ images { nodes { id } } collections { nodes { members { totalCount } } } }"
    for house in houses.values():
        for query, roots in ((NESTED, 1), (node, 1), (both, 2)):
            for _ in range(2):
                with sent_by(house) as sent:
                    answer = await house.ask(house.compiled, Document(query, {}))
                assert not answer.errors
                assert (len(sent.compiled), sent.others) == (roots, [])


async def test_postgresql_hears_one_statement(houses: dict[str, House]) -> None:
    """By its own log, so that nothing which a driver adds is missed."""
    house = houses["PostgreSQL"]
    url = house.parts.database_url
    async with unchecked(url) as connection:
        name = make_url(url).database
        await connection.execute(text(f"ALTER DATABASE {name} SET log_statement = 'all'"))
        folder = (await connection.execute(text("SHOW data_directory"))).scalar_one()
    log = Path(folder) / "log"  # where the server of the tests writes
    # Its connections are new, for those that are open do not tell of their statements.
    database = Database(url)
    use_cases = replace(house.parts.use_cases, database=database)
    listened = replace(house, parts=replace(house.parts, use_cases=use_cases))
    try:
        await listened.ask(house.compiled, Document(NESTED, {}))
        end = log.stat().st_size
        for first in (5, 2):
            answer = await listened.ask(house.compiled, Document(NESTED, {"first": first}))
            assert not answer.errors
    finally:
        await database.close()
    heard = [line for line in log.read_bytes()[end:].decode().splitlines() if "LOG:" in line]
    assert len(heard) == 2, heard
    assert all("SELECT" in line for line in heard)

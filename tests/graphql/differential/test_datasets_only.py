"""Who reads single datasets only sees of them what there is, and of all others nothing.

What they see is what the whole company would see if it had nothing but these datasets: a house with
their rows alone says what that is.
"""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from graphql import get_named_type
from hypothesis import given
from hypothesis import strategies as st

from opsin.core.access import Principal
from opsin.core.roles import Permission, Role, rights_of
from opsin.core.scope import NAMES, WAYS
from opsin.graphql.compiler.caller_rows import CallerRows
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.queries import RULES
from opsin.graphql.schema import build_schema
from opsin.settings import Settings
from opsin.storage import tables
from tests.graphql.differential.comparing import body, comparable, first_difference
from tests.graphql.differential.conftest import bounded
from tests.graphql.differential.documents import Document, documents
from tests.graphql.differential.houses import (
    COMPILED_ROOTS,
    LIMITS,
    MAX_PAGE,
    House,
    all_rows,
    house,
)
from tests.graphql.differential.pools import Pools
from tests.graphql.differential.rows import OURS, THEIRS, Row, Tenant
from tests.graphql.differential.statements import Sent, elements_of, rows_read, sent_by
from tests.graphql.differential.systematic import everything
from tests.graphql.differential.test_access import tables_of_rules
from tests.graphql.differential.writing import insert_rows

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # graphql-core does not await the fields beside one that fails at once.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

SEEN = (THEIRS.id(tables.datasets), THEIRS.id(tables.datasets, 2))
"""The first has the most in it; of the other there is little."""
_SOME = (0, 1, 2, 5, 9)
"""Numbers of rows: some that are seen, and some that are not."""
_NUMBER = re.compile(r"\?(\d+)")
_OF_LIST = re.compile(r"json_each\(\?|\?2 IS NOT NULL")
"""What a statement says of datasets that are given to it; no list is among the arguments here."""
_OF_ALL = frozenset({"companies", "accounts", "memberships", *NAMES})


def viewer(tenant: Tenant = THEIRS, seen: tuple[str, ...] = SEEN) -> Principal:
    """Somebody of a company who sees these datasets and nothing else."""
    rights = rights_of(frozenset(), [(one, Role.VIEWER.value) for one in seen])
    whole = tenant.principal
    return Principal(whole.company_id, whole.name, rights=rights)


def only(rows: dict[str, list[Row]], seen: tuple[str, ...]) -> dict[str, list[Row]]:
    """The rows of these datasets."""
    kept: dict[str, list[Row]] = {}

    def keep(name: str) -> None:
        if name in kept or name not in rows:
            return
        way = WAYS.get(name)
        if name in _OF_ALL:
            kept[name] = rows[name]
        elif way is None:
            kept[name] = []
        elif way.through is None:
            kept[name] = [row for row in rows[name] if row.get(way.column) in seen]
        else:
            keep(way.through.name)
            there = {row["id"] for row in kept[way.through.name]}
            kept[name] = [row for row in rows[name] if row[way.column] in there]

    for name in rows:
        keep(name)
    return {name: kept[name] for name in rows}


async def asked(one: House, schema: OpsinSchema, document: Document, caller: Principal) -> Any:
    context = Context(one.parts.use_cases, caller, "http://opsin.test", MAX_PAGE)
    return await schema.execute(
        document.query, variable_values=document.variables, context_value=context,
        operation_name=document.operation_name,
    )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pruned(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A house on SQLite in which there is nothing but what the caller sees."""
    folder: Path = tmp_path_factory.mktemp("pruned")
    async with house(module_settings, "SQLite", f"sqlite:///{folder / 'a.sqlite3'}", []) as one:
        host = one.parts.use_cases.host
        rows = only(all_rows(THEIRS, host), SEEN)
        assert all(rows[name] for name in ("images", "analyses", "annotations", "image_comments"))
        await insert_rows(one.parts.database_url, rows)
        yield one


def hidden_ids(one: House) -> Iterator[str]:
    """Ids of the company's rows that the caller does not see."""
    rows = all_rows(THEIRS, one.parts.use_cases.host)
    seen = only(rows, SEEN)
    known = {row["id"] for made in seen.values() for row in made if "id" in row}
    for name, made in rows.items():
        if name in {reads.table.name for reads in RULES.types.values()}:
            yield from (row["id"] for row in made if row.get("id", "") not in {*known, ""})


def asked_of(one: House, root: str) -> Iterator[Document]:
    """Every field below a root: of lists, and of some rows by their ids."""
    schema = one.ordinary._schema
    assert schema.query_type is not None
    camel = "".join(part.title() for part in root.split("_"))
    field = camel[0].lower() + camel[1:]
    definition = schema.query_type.fields[field]
    kind = get_named_type(definition.type)
    if root == "node":
        for name, reads in RULES.types.items():
            inner = everything(schema, schema.type_map[name], 1)
            for number in _SOME if "id" in reads.table.c else ():
                identity = THEIRS.id(reads.table, number)
                yield Document(f'{{ node(id: "{identity}") {{ ... on {name} {inner} }} }}', {})
    elif "id" in definition.args:
        inner = everything(schema, kind, 1)
        for number in _SOME:
            identity = THEIRS.id(RULES.types[kind.name].table, number)
            yield Document(f'{{ {field}(id: "{identity}") {inner} }}', {})
    else:
        given = '(key: "whales")' if "key" in definition.args else ""
        inner = everything(schema, kind, 2) if hasattr(kind, "fields") else ""
        yield Document(f"{{ {field}{given} {inner} }}", {})


@pytest.mark.parametrize("root", sorted(RULES.roots))
async def test_it_shows_what_a_house_with_only_that_shows(
    houses: dict[str, House], pruned: House, root: str
) -> None:
    """Compiled, and by resolvers, which also read what no rule says."""
    for document in asked_of(pruned, root):
        expected = comparable(await pruned.ask(pruned.compiled, document, THEIRS))
        assert not expected.errors, document
        for one in houses.values():
            for schema in (one.compiled, one.ordinary):
                answer = comparable(await asked(one, schema, document, viewer()))
                differs = first_difference(expected.data, answer.data)
                assert differs is None, f"{one.name}: {differs} {document}"


async def test_every_statement_is_limited(houses: dict[str, House]) -> None:
    for one in houses.values():
        counts, found = one.compiled.compiler.counts, set[str]()
        for document in (d for root in RULES.roots for d in asked_of(one, root)):
            before = counts.ordinary
            with sent_by(one) as sent:
                answer = await asked(one, one.compiled, document, viewer())
            assert counts.ordinary == before and not answer.errors, document
            found |= limited_tables(sent)
        assert found >= tables_of_rules()


def limited_tables(sent: Sent) -> set[str]:
    """Every table of every statement is limited to the company and the datasets; the tables."""
    found: set[str] = set()
    for statement, parameters in sent.compiled:
        company, datasets = ("$1", "$2") if "$1" in statement else ("?1", "?2")
        assert list(parameters[1]) == list(SEEN)
        for rows in rows_read(statement):
            assert rows.is_limited_to(company), f"{rows} of {statement}"
            # In single datasets by themselves, or by the row that they belong to.
            named = any(datasets in one for one in rows.conditions)
            each = elements_of(statement, datasets)
            assert named or any(map(rows.is_limited_to_one, each)), f"{rows} of {statement}"
            found.add(rows.table)
    return found


async def test_no_id_of_anything_else_is_found(houses: dict[str, House]) -> None:
    query = "query($id: ID!) { node(id: $id) { __typename id } }"
    for one in houses.values():
        hidden = list(hidden_ids(one))
        assert len(hidden) > 20
        for identity in hidden:
            document = Document(query, {"id": identity})
            for schema in (one.compiled, one.ordinary):
                answer = await asked(one, schema, document, viewer())
                assert body(answer) == b'{"data":{"node":null}}', identity


@bounded(15)
@given(data=st.data())
async def test_generated_queries_show_the_same(
    houses: dict[str, House], pruned: House, pools: Pools, data: st.DataObject
) -> None:
    document = data.draw(documents(pruned.ordinary._schema, pools, COMPILED_ROOTS))
    expected = comparable(await pruned.ask(pruned.ordinary, document, THEIRS))
    for one in houses.values():
        for schema in (one.compiled, one.ordinary):
            answer = comparable(await asked(one, schema, document, viewer()))
            if not expected.errors and not answer.errors:
                differs = first_difference(expected.data, answer.data)
                assert differs is None, f"{one.name}: {differs} {document}"


async def test_who_has_no_role_sees_nothing(houses: dict[str, House]) -> None:
    nobody = viewer(seen=())
    assert not nobody.may(Permission.READ)
    for one in houses.values():
        for document in (d for root in RULES.roots for d in asked_of(one, root)):
            for schema in (one.compiled, one.ordinary):
                answer = await asked(one, schema, document, nobody)
                for mark in (THEIRS.mark, OURS.mark):
                    assert mark.encode() not in body(answer), document


async def test_whoever_reads_all_has_the_statements_of_always(
    houses: dict[str, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in them asks for datasets: they are prepared, and as quick as they were."""
    one = houses["SQLite"]

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("somebody who reads all is asked for datasets")

    for name in ("_in_datasets", "_among_datasets", "first_of_each_dataset"):
        monkeypatch.setattr(CallerRows, name, fail)
    compiled = build_schema(one.parts.use_cases.host, LIMITS)
    for document in (d for root in RULES.roots for d in asked_of(one, root)):
        with sent_by(one) as whole:
            await asked(one, compiled, document, THEIRS.principal)
        assert whole.compiled, document
        for statement, _ in whole.compiled:
            assert not _OF_LIST.search(statement), statement
        ((statement, parameters), *_) = whole.compiled
        assert parameters[0] == THEIRS.principal.company_id
        assert list(SEEN) not in [list(p) for p in parameters if isinstance(p, list)]
        assert {int(n) for n in _NUMBER.findall(statement)} == set(range(1, len(parameters) + 1))

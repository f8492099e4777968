"""A company's reads show, count and depend on nothing of another's, whatever is asked for."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from graphql import GraphQLObjectType, get_named_type
from hypothesis import given
from hypothesis import strategies as st

from opsin.graphql.compiler.rules import Beside, Children, Computed, Entries, Items, Parent
from opsin.graphql.queries import RULES
from opsin.settings import Settings
from opsin.storage import tables
from tests.graphql.differential.comparing import body
from tests.graphql.differential.conftest import bounded
from tests.graphql.differential.documents import Document, documents
from tests.graphql.differential.houses import (
    COMPILED_ROOTS,
    RESOLVED_FIELDS,
    House,
    all_rows,
    house,
)
from tests.graphql.differential.pools import Pools
from tests.graphql.differential.rows import OURS, THEIRS
from tests.graphql.differential.statements import Sent, rows_read, sent_by
from tests.graphql.differential.systematic import everything

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # graphql-core does not await the fields beside one that fails at once.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A house on SQLite in which the other company has never been."""
    folder: Path = tmp_path_factory.mktemp("alone")
    url = f"sqlite:///{folder / 'alone.sqlite3'}"
    async with house(module_settings, "SQLite", url, [THEIRS]) as one:
        yield one


def everything_of(one: House) -> Iterator[Document]:
    """Every field that is read in SQL, below every root and every type."""
    schema = one.ordinary._schema
    assert schema.query_type is not None
    for name in RULES.roots:
        camel = "".join(part.title() for part in name.split("_"))
        field = camel[0].lower() + camel[1:]
        definition = schema.query_type.fields[field]
        kind = get_named_type(definition.type)
        inner = everything(schema, kind, 2, RESOLVED_FIELDS) if hasattr(kind, "fields") else ""
        given = [argument for argument in ("id", "key") if argument in definition.args]
        if not given:
            yield Document(f"{{ {field} {inner} }}", {})
            continue
        # One document for all values: it is read and compiled once.
        kind_of_value = definition.args[given[0]].type
        query = f"query($value: {kind_of_value}) {{ {field}({given[0]}: $value) {inner} }}"
        for tenant in (OURS, THEIRS):
            values = [tenant.id(reads.table) for reads in RULES.types.values()]
            for value in values if given == ["id"] else ["whales"]:
                yield Document(query, {"value": value})


def tables_of_rules() -> set[str]:
    """Every table that a rule reads."""
    found = {reads.table.name for reads in RULES.types.values()}
    for rule in (
        *RULES.roots.values(),
        *(r for t in RULES.types.values() for r in t.fields.values()),
    ):
        if isinstance(rule, Children | Items):
            found.add(rule.listing.table.name)
        elif isinstance(rule, Parent):
            found.add(RULES.types[rule.type].table.name)
        elif isinstance(rule, Computed):
            found |= {one.table.name for one in rule.inputs if isinstance(one, Beside)}
        elif isinstance(rule, Entries):
            found.add(rule.table.name)
    return found


def check_statements(sent: Sent) -> set[str]:
    """Every table of every statement is limited to the caller's company; the tables."""
    found: set[str] = set()
    for statement, parameters in sent.compiled:
        company = "$1" if "$1" in statement else "?1"
        for rows in rows_read(statement):
            assert parameters[0] == THEIRS.id(tables.companies)
            assert rows.is_limited_to(company), f"{rows} of {statement}"
            found.add(rows.table)
    return found


async def test_every_rule_is_limited_to_the_caller(houses: dict[str, House]) -> None:
    for one in houses.values():
        counts = one.compiled.compiler.counts
        with sent_by(one) as sent:
            for document in everything_of(one):
                before = counts.ordinary
                answer = await one.ask(one.compiled, document, THEIRS)
                assert not answer.errors, (document, answer.errors)
                assert counts.ordinary == before, f"not compiled: {document}"
                assert OURS.mark.encode() not in body(answer), document
        assert check_statements(sent) >= tables_of_rules()


async def test_every_rule_is_asked_for(houses: dict[str, House]) -> None:
    """`everything` gives every field of a type, so a rule that is never used is a wrong name."""
    schema = houses["SQLite"].ordinary._schema
    for name, reads in RULES.types.items():
        kind = schema.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        shown = {
            one.extensions["strawberry-definition"].python_name for one in kind.fields.values()
        }
        assert reads.fields.keys() <= shown, name


async def test_rows_of_another_company_are_not_there(houses: dict[str, House]) -> None:
    query = "query($id: ID!) { node(id: $id) { __typename id } }"
    for one in houses.values():
        for rows in all_rows(OURS, one.parts.use_cases.host).values():
            for row in rows:
                if "id" in row:
                    document = Document(query, {"id": row["id"]})
                    answer = await one.ask(one.compiled, document, THEIRS)
                    assert body(answer) == b'{"data":{"node":null}}'


@bounded(80)
@given(data=st.data())
async def test_generated_queries_show_nothing_of_another_company(
    houses: dict[str, House], alone: House, pools: Pools, data: st.DataObject
) -> None:
    schema = alone.ordinary._schema
    document = data.draw(documents(schema, pools, COMPILED_ROOTS))
    expected = await alone.ask(alone.compiled, document, THEIRS)
    for one in houses.values():
        with sent_by(one) as sent:
            answer = await one.ask(one.compiled, document, THEIRS)
        check_statements(sent)
        assert OURS.mark.encode() not in body(answer), document
        if one.name == alone.name and not answer.errors:
            assert body(answer) == body(expected), document

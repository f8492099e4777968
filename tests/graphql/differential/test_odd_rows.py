"""Values that no column should hold: the answer or the error is the same both ways."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, is_leaf_type
from sqlalchemy import BigInteger

from opsin.storage import applications, curation, tables
from tests.graphql.differential.comparing import comparable, first_difference
from tests.graphql.differential.documents import Document
from tests.graphql.differential.houses import House
from tests.graphql.differential.pools import NO_SUCH_ID
from tests.graphql.differential.rows import OURS, THEIRS
from tests.graphql.differential.writing import set_value

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # graphql-core does not await the fields beside one that fails at once.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]


class Shown(NamedTuple):
    """The table behind a type, and a query that shows a list of the type below another type."""

    table: str
    below: str


TYPES = {
    "Dataset": Shown("datasets", "{ images { nodes { id dataset { %s } } } }"),
    "Subject": Shown("subjects", "{ images { nodes { id subject { %s } } } }"),
    "Batch": Shown("batches", "{ datasets { nodes { images { nodes { batch { %s } } } } } }"),
    "Image": Shown("images", "{ datasets { nodes { id images { edges { node { %s } } } } } }"),
    "Analysis": Shown("analyses", "{ images { nodes { id analyses { nodes { %s } } } } }"),
    "Annotation": Shown("annotations", "{ analyses { nodes { annotations { nodes { %s } } } } }"),
    "Artifact": Shown("artifacts", "{ analyses { nodes { id artifacts { %s } } } }"),
    "Run": Shown("application_runs", "{ datasets { nodes { applications { nodes { %s } } } } }"),
    "Collection": Shown("collections", "{ collections { edges { cursor node { %s } } } }"),
    "CollectionMember": Shown(
        "collection_members", "{ collections { nodes { members { nodes { %s } } } } }"
    ),
    "ImageClass": Shown("image_classes", "{ datasets { nodes { classes { nodes { %s } } } } }"),
    "ImageClassification": Shown(
        "image_classifications", "{ images { nodes { classifications { nodes { %s } } } } }"
    ),
    "Comment": Shown(
        "image_comments", "{ images { nodes { comments { edges { node { %s } } } } } }"
    ),
    "ImageDeletionEvent": Shown(
        "image_deletions", "{ datasets { nodes { deletions { nodes { %s } } } } }"
    ),
    "Classifier": Shown(
        "classifiers", "{ collections { nodes { classifiers { edges { node { %s } } } } } }"
    ),
}
_JSON = (
    "null",
    "[]",
    '"text"',
    "7",
    ' { "a" : [ 1 , 2.0 ] }\n',
    '{"a": 1E2, "b": 0.10, "c": -0.0, "d": 1.0}',
    '"\\u00e9\\ud83d\\udc0b\\/\\u0001\\u001d\\u001f"',
    '"\\ud800"',
)
_LISTS = ("null", "[]", ' [ "\\u001d" , "" ]')
_NUMBERS = (2**31, -(2**31) - 1, 2**53 + 1, 2**62 + 1)
ODD: dict[str, dict[str, Sequence[Any]]] = {
    "Image": {"width": _NUMBERS, "size_bytes": _NUMBERS, "metadata": _JSON, "notes": _LISTS,
              "dataset_id": (NO_SUCH_ID, THEIRS.id(tables.datasets), None),
              "subject_id": (NO_SUCH_ID,), "batch_id": (NO_SUCH_ID,)},
    "Analysis": {"status": ("ODD", "completed", ""), "attempts": _NUMBERS, "priority": _NUMBERS,
                 "parameters": _JSON, "summary": _JSON, "result": _JSON,
                 "image_id": (NO_SUCH_ID, THEIRS.id(tables.images), None)},
    "Annotation": {"ordering": _NUMBERS, "data": _JSON, "confidence": (
        "Infinity", "-Infinity", "NaN", -0.0, 2**53 + 1)},
    "Artifact": {"size_bytes": _NUMBERS},
    "Run": {"steps": _LISTS, "history": (*_JSON, '[{"until": 1}]', "[{}]"),
            "application_id": (NO_SUCH_ID, THEIRS.id(applications.applications, 1), None),
            "dataset_id": (NO_SUCH_ID, THEIRS.id(tables.datasets, 1), None)},
    "Subject": {"attributes": _JSON},
    "Collection": {"inputs": (*_JSON, '[{"operation": 1}]', "[{}]")},
    "CollectionMember": {"dimensions": _NUMBERS, "model_fingerprints": _LISTS},
    "ImageClassification": {"class_id": (NO_SUCH_ID, THEIRS.id(curation.image_classes), None),
                            "created_by": (NO_SUCH_ID,)},
    "ImageDeletionEvent": {"action": ("odd", "RESTORE", "")},
    "Classifier": {"score": ("Infinity", "NaN"), "metrics": _JSON},
}  # fmt: skip
"""Values by the type and column that get them."""
_FIELDS = {"history": "history { until }", "application_id": "application { id }",
           "dataset_id": "dataset { id }", "subject_id": "subject { id }",
           "batch_id": "batch { id }", "image_id": "image { id }",
           "class_id": "imageClass { id }", "created_by": "isMine",
           "result": "result { __typename }", "inputs": "inputs { operation }"}  # fmt: skip
_INFINITE = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": None}


def nulls(house: House) -> Iterator[tuple[str, str, str]]:
    """Type, column and field of everything that the schema says is never null."""
    for name, (table, _) in TYPES.items():
        kind = house.ordinary._schema.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        columns = tables.metadata.tables[table].c
        for field, one in kind.fields.items():
            column = "".join(f"_{c.lower()}" if c.isupper() else c for c in field)
            is_plain = isinstance(one.type, GraphQLNonNull) and is_leaf_type(one.type.of_type)
            if is_plain and column in columns and not columns[column].primary_key:
                yield name, column, field


async def differences(
    house: House, name: str, column: str, field: str, value: Any
) -> tuple[list[str], bool]:
    """How the answers differ with this value in a row, and whether one of them is an error."""
    table = TYPES[name].table
    identity = OURS.id(tables.metadata.tables[table])
    url = house.parts.database_url
    before = await set_value(url, table, column, identity, value)
    found, is_error = [], False
    try:
        for query in (
            f'{{ node(id: "{identity}") {{ id ... on {name} {{ {field} }} }} }}',
            TYPES[name].below % field,
        ):
            document = Document(query, {})
            resolved = comparable(await house.ask(house.ordinary, document))
            compiled = comparable(await house.ask(house.compiled, document))
            if resolved != compiled:
                how = first_difference(resolved.data, compiled.data)
                errors = f"{resolved.reasons} and {compiled.reasons}"
                found.append(f"{column} = {value!r} in {query}: {how}, {errors}")
            is_error = is_error or bool(resolved.errors)
    finally:
        await set_value(url, table, column, identity, before)
    return found, is_error


async def test_null_where_there_is_none(loose_house: House) -> None:
    found = [
        await differences(loose_house, name, column, field, None)
        for name, column, field in nulls(loose_house)
    ]
    differing = [one for several, _ in found for one in several]
    assert not differing, "\n".join(differing)
    assert len(found) > 30
    assert all(is_error for _, is_error in found)


@pytest.mark.parametrize("name", list(ODD))
async def test_odd_values(loose_house: House, name: str) -> None:
    columns = tables.metadata.tables[TYPES[name].table].c
    found: list[str] = []
    for column, values in ODD[name].items():
        camel = "".join(part.title() for part in column.split("_"))
        field = _FIELDS.get(column, camel[0].lower() + camel[1:])
        for value in values:
            if loose_house.name == "SQLite":
                value = _INFINITE.get(value, value) if isinstance(value, str) else value
            elif value in _NUMBERS and not isinstance(columns[column].type, BigInteger):
                continue  # PostgreSQL's integers have 32 bits
            found += (await differences(loose_house, name, column, field, value))[0]
    assert not found, "\n".join(found)

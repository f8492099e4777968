"""Known operations run without Strawberry's extensions, and answer as they did when new."""

from typing import Any

import pytest
from strawberry.extensions.runner import SchemaExtensionsRunner

from opsin.core.datasets import Datasets
from tests.conftest import LiveServer
from tests.graphql.asking import CREATE_DATASET, IMPORT_IMAGE, codes

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "query($first: Int!) { operations { name } datasets(first: $first) { totalCount } }"
SIMILAR = """query($id: ID!) { viewer { name } similarImages(imageId: $id, operation: "none") {
  similarity } }"""


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ viewer { name company } operations { name } }", {}),
        ("query($yes: Boolean!) { viewer { name @include(if: $yes) __typename } }", {"yes": False}),
        ("query($yes: Boolean!) { viewer { name @include(if: $yes) } }", {"yes": "yes"}),
        ("query($yes: Boolean!) { viewer { name @include(if: $yes) } }", {}),
        (SIMILAR, {"id": "nothing"}),
        (CREATE_DATASET, {"name": ""}),
        (CREATE_DATASET, {}),
        (IMPORT_IMAGE, {"input": {"datasetId": "x", "base64": "!", "filename": "a"}}),
        ("mutation { deleteImage(id: 1) { deletedId } }", {}),
        ("{ __schema { queryType { name } } viewer { name } }", {}),
        (PAGE, {"first": 0}),
        (PAGE, {"first": -1}),
        (PAGE, {"first": None}),
    ],
)
async def test_the_second_answer_is_the_first(
    door: LiveServer, query: str, variables: dict[str, Any]
) -> None:
    first = await door.graphql(query, **variables)
    for _ in range(2):
        assert await door.graphql(query, **variables) == first


@pytest.mark.parametrize(
    "query", ["{ viewer { name } }", "mutation { revokeApiKey(id: 1) { id } }"]
)
async def test_no_extension_is_made_for_a_known_operation(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    made: list[object] = []
    make = SchemaExtensionsRunner.__init__

    def counted(self: Any, *arguments: Any, **options: Any) -> None:
        made.append(self)
        make(self, *arguments, **options)

    monkeypatch.setattr(SchemaExtensionsRunner, "__init__", counted)
    new = query + " # new"
    await door.graphql(new)
    # A mutation that fails in its field is as valid as one that does not.
    assert len(made) == 1
    await door.graphql(new)
    assert len(made) == 1


async def test_what_fails_unexpectedly_is_masked_each_time(
    door: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(Datasets, "create", fail)
    for _ in range(3):
        answer = await door.graphql(CREATE_DATASET, name="pictures")
        assert codes(answer) == ["INTERNAL"] and "secret" not in str(answer)


async def test_get_runs_no_known_mutation(door: LiveServer) -> None:
    await door.graphql("mutation { deleteImage(id: 2) { deletedId } }")
    for _ in range(2):
        answer = await door.client.get(
            "/graphql", params={"query": "mutation { deleteImage(id: 2) { deletedId } }"}
        )
        assert answer.status_code == 405

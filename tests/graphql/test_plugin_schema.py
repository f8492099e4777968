"""The schema of what plugins declare: several in one process, none, and what is refused."""

from enum import Enum
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLObjectType, GraphQLUnionType

from opsin import Params, Result
from opsin.core.errors import DuplicateName, PluginError
from opsin.core.plugin_host import PluginHost
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema, reserved_type_names
from opsin.graphql.trial import check_types
from tests.core.given_plugins import given
from tests.graphql.unusual import OPERATIONS, Empty, Gives, Leaf, gives, made

pytestmark = pytest.mark.asyncio(loop_scope="module")


def schema_of(*operations: Gives) -> OpsinSchema:
    host = PluginHost.discover(
        [given(*operations)] if operations else [],
        entry_points=False,
        strict=True,
        reserved_type_names=reserved_type_names(),
        check_types=check_types,
    )
    return build_schema(host, Limits(depth=16, fields=500, aliases=50, tokens=5000))


async def test_several_schemas_of_one_process_do_not_disturb_each_other() -> None:
    for _ in range(2):
        everything = schema_of(*OPERATIONS)._schema
        only_one = schema_of(gives("give_one"))._schema
        results, members = (
            everything.get_type("OperationResult"),
            only_one.get_type("OperationInput"),
        )
        assert isinstance(results, GraphQLUnionType)
        assert [kind.name for kind in results.types] == ["Unusual", "Vague"]
        assert isinstance(members, GraphQLInputObjectType)
        assert set(members.fields) == {"giveOne"}
        assert everything.get_type("LeafInput") and everything.get_type("Leaf")
        assert not only_one.get_type("Leaf")


async def test_a_schema_without_operations_is_whole() -> None:
    schema = schema_of()
    answer = await schema.execute("{ __schema { queryType { name } } }")
    assert answer.errors is None
    assert "union OperationResult = NoOperations" in schema.as_str()


async def test_what_a_plugin_says_of_its_types_is_shown() -> None:
    schema = schema_of(*OPERATIONS)._schema
    unusual, vague = schema.get_type("Unusual"), schema.get_type("GiveVagueInput")
    assert isinstance(unusual, GraphQLObjectType) and isinstance(vague, GraphQLInputObjectType)
    assert unusual.description == "Every kind of result field."
    assert vague.description == "Gives what a test wants."
    params = schema.get_type("GiveUnusualInput")
    assert isinstance(params, GraphQLInputObjectType)
    assert params.fields["topK"].description == "how many"
    kinds = {name: str(field.type) for name, field in params.fields.items()}
    assert kinds["required"] == "Float!"
    assert kinds["topK"] == "Int!"
    assert kinds["leaf"] == "LeafInput"
    assert kinds["tree"] == "TreeInput"
    assert kinds["names"] == "[String!]"
    assert kinds["grid"] == "[[Int!]!]"


class Truth(Enum):
    true = 1


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (gives("made", made(Result, part=(Empty, ...))), "one or more fields"),
        (gives("made", params=made(Params, part=(Empty, ...))), "one or more fields"),
        (gives("made", made(Result, truth=(Truth, ...))), "true"),
        (gives("made", made(Result, top_1=(int, 1), top1=(int, 1))), "both 'top1'"),
        (gives("made", params=made(Params, top_1=(int, 1), top1=(int, 1))), "both 'top1'"),
        (gives("made", made(Result, data=(dict[str, Any], ...))), "no GraphQL type"),
        (gives("made", made(Result, name="MadeInput", part=(Leaf, ...))), "MadeInput"),
    ],
)
async def test_what_graphql_cannot_show_is_refused_with_its_reason(
    operation: Gives, reason: str
) -> None:
    with pytest.raises(PluginError) as refused:
        schema_of(operation)
    assert reason in refused.value.message


@pytest.mark.parametrize(
    "name",
    [
        "Image",
        "Date",
        "OperationInput",
        "PageInfo",
        "DatasetFilter",
        "Query",
        "Cursor",
        "ImageConnection",
    ],
)
async def test_a_result_cannot_take_a_name_of_ours(name: str) -> None:
    with pytest.raises((DuplicateName, PluginError)) as refused:
        schema_of(gives("made", made(Result, name=name, value=(int, 1))))
    assert name in refused.value.message


async def test_two_names_that_graphql_sees_as_one_stop_the_start() -> None:
    with pytest.raises(DuplicateName, match="both 'top1' in GraphQL"):
        schema_of(gives("top_1"), gives("top1"))
    with pytest.raises(DuplicateName, match="'MadeInput' is already taken"):
        schema_of(gives("made"), gives("other", made(Result, name="MadeInput", value=(int, 1))))

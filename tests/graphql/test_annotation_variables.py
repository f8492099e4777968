"""Lists of annotations in variables: the same values, and the same words for what is wrong."""

import copy
from typing import Any

import pytest
from graphql import GraphQLError, parse
from graphql.execution import Executor
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from opsin.core.checked_annotations import CheckedAnnotations, check_annotations
from opsin.graphql.annotation_variables import AnnotationVariables
from opsin.graphql.mutations import _ANNOTATION_FIELDS
from tests.graphql.asking import box
from tests.graphql.print_schema import built_in_schema

SCHEMA = built_in_schema()._schema
LIST = """mutation($id: ID!, $found: [AnnotationInput!]!) {
  addAnnotations(input: {analysisId: $id, annotations: $found}) { createdCount } }"""
WHOLE = "mutation($input: AddAnnotationsInput!) { addAnnotations(input: $input) { createdCount } }"
NULLABLE = LIST.replace("[AnnotationInput!]!", "[AnnotationInput]")
UNUSUAL: dict[str, Any] = {
    "confidence above 1": box(confidence=1.1),
    "a whole number for a float": box(confidence=1),
    "true for a float": box(confidence=True),
    "a text for a float": box(confidence="0.5"),
    "a float for a whole number": box(ordering=1.0),
    "a fraction for a whole number": box(ordering=1.5),
    "beyond 32 bits": box(ordering=2**31),
    "data a list": box(data=[1]),
    "data null": box(data=None),
    "data with null": box(data={"a": None}),
    "NUL in data": box(data={"text": "a\x00b"}),
    "NUL in the class": box(className="a\x00b"),
    "half a character": box(className="\ud800"),
    "long class": box(className="x" * 256),
    "short type": box(annotationType="x"),
    "a number for a text": box(annotationType=5),
    "no type": {"data": {}},
    "null for the type": box(annotationType=None),
    "unknown field": box(colour="red"),
    "the name of Python": box(class_name="cat"),
    "no object": "text",
    "null": None,
    "a list": [box()],
}


def built(kind: type[Executor[Any]], document: str, variables: dict[str, Any]) -> Any:
    return kind.build(SCHEMA, parse(document), None, None, copy.deepcopy(variables))


def words(errors: Any) -> list[str]:
    assert isinstance(errors, list)
    return [error.message for error in errors if isinstance(error, GraphQLError)]


def of(document: str, found: Any) -> dict[str, Any]:
    if document == WHOLE:
        return {"input": {"analysisId": "a", "annotations": found}}
    return {"id": "a", "found": found}


def taken(executor: Executor[Any], document: str) -> Any:
    coerced = executor.variable_values.coerced
    return coerced["input"]["annotations"] if document == WHOLE else coerced["found"]


@pytest.mark.parametrize("document", [LIST, WHOLE, NULLABLE])
@pytest.mark.parametrize("fault", UNUSUAL)
def test_what_is_unusual_goes_the_ordinary_way(document: str, fault: str) -> None:
    variables = of(document, [box(), UNUSUAL[fault], box()])
    ordinary = built(StrawberryGraphQLCoreExecutionContext, document, variables)
    ours = built(AnnotationVariables, document, variables)
    if isinstance(ordinary, list):
        assert words(ours) == words(ordinary) != []
    elif isinstance(found := taken(ours, document), CheckedAnnotations):
        # Unusual, but nothing wrong with it.
        named = [
            {_ANNOTATION_FIELDS[k]: v for k, v in a.items()} for a in taken(ordinary, document)
        ]
        assert found == check_annotations(named)
    else:
        assert found == taken(ordinary, document)


@pytest.mark.parametrize("document", [LIST, WHOLE, NULLABLE])
@pytest.mark.parametrize("many", [0, 1, 1000])
def test_what_is_usual_is_taken_at_once(document: str, many: int) -> None:
    variables = of(document, [box(ordering=n) for n in range(many)])
    executor = built(AnnotationVariables, document, variables)
    found = taken(executor, document)
    assert isinstance(found, CheckedAnnotations) and len(found) == many
    assert [row[-1] for row in found.rows] == list(range(many))
    # What the client sent stays what it was.
    name = "input" if document == WHOLE else "found"
    assert executor.variable_values.sources[name].value == variables[name]


@pytest.mark.parametrize(
    "variables",
    [
        None,
        {},
        {"id": "a"},
        {"id": "a", "found": None},
        {"id": "a", "found": {}},
        {"id": "a", "found": box()},
        {"id": "a", "found": "text"},
        {"id": None, "found": [box()]},
        {"found": [box()]},
        {"id": "a", "found": [box()], "more": 1},
    ],
)
def test_other_variables_are_left_alone(variables: Any) -> None:
    ordinary = built(StrawberryGraphQLCoreExecutionContext, LIST, variables)
    ours = built(AnnotationVariables, LIST, variables)
    if isinstance(ordinary, list):
        assert words(ours) == words(ordinary) != []
    else:
        assert ours.variable_values.coerced.keys() == ordinary.variable_values.coerced.keys()


@pytest.mark.parametrize(
    "given", [None, {}, [], "text", {"annotations": [box()]}, {"analysisId": "a"}]
)
def test_other_inputs_are_left_alone(given: Any) -> None:
    ordinary = built(StrawberryGraphQLCoreExecutionContext, WHOLE, {"input": given})
    assert words(built(AnnotationVariables, WHOLE, {"input": given})) == words(ordinary) != []


def test_two_operations_may_name_their_variables_alike() -> None:
    document = f"{WHOLE.replace('mutation', 'mutation A', 1)} query B($input: ID!) {{ __typename }}"
    executor = AnnotationVariables.build(SCHEMA, parse(document), None, None, {"input": "x"}, "B")
    assert isinstance(executor, Executor) and executor.variable_values.coerced == {"input": "x"}


def test_the_schema_takes_them_so() -> None:
    assert built_in_schema().execution_context_class is AnnotationVariables

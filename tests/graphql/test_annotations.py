"""Findings of external pipelines: thousands at once, all of them or none."""

import json
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import ADD_ANNOTATIONS, box, codes, external

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = "query($id: ID!) { analysis(id: $id) { annotations { totalCount } } }"
MOST = 10_000


async def count(live: LiveServer, analysis_id: str) -> int:
    found = await live.data(COUNT, id=analysis_id)
    return int(found["analysis"]["annotations"]["totalCount"])


@pytest.mark.parametrize("many", [0, 1, MOST, MOST + 1])
async def test_how_many_may_be_added_at_once(any_door: LiveServer, many: int) -> None:
    analysis_id = await external(any_door)
    answer = await any_door.graphql(ADD_ANNOTATIONS, id=analysis_id, found=[box()] * many)
    if many > MOST:
        assert codes(answer) == ["TOO_LARGE"]
        assert await count(any_door, analysis_id) == 0
    else:
        added = answer["data"]["addAnnotations"]
        assert added["createdCount"] == many == added["analysis"]["annotations"]["totalCount"]


async def test_annotations_come_back_as_they_went_in(any_door: LiveServer) -> None:
    analysis_id = await external(any_door)
    found: list[dict[str, Any]] = [
        box(),
        {
            "annotationType": "caption",
            "data": {"text": "h\u00e9 \U0001f600", "n": [1, 2.5, None, True, {}], "big": 2**70},
            "className": None,
            "confidence": None,
            "storagePath": "captions/1.txt",
            "ordering": -(2**31),
        },
        box(confidence=0, ordering=2**31 - 1, data={}),
        box(confidence=1, className="x" * 255, annotationType="x" * 50),
    ]
    await any_door.data(ADD_ANNOTATIONS, id=analysis_id, found=found)
    query = """query($id: ID!) { analysis(id: $id) { annotations { nodes {
      annotationType data className confidence storagePath ordering analysisId } } } }"""
    nodes = (await any_door.data(query, id=analysis_id))["analysis"]["annotations"]["nodes"]
    absent = {"storagePath": None, "ordering": None, "analysisId": analysis_id}
    assert nodes == [absent | one for one in found]


BAD = {
    "confidence above 1": box(confidence=1.1),
    "confidence below 0": box(confidence=-0.1),
    "data a list": box(data=[1]),
    "data a text": box(data="text"),
    "data null": box(data=None),
    "NUL in data": box(data={"text": "a\x00b"}),
    "NUL in a name of data": box(data={"a\x00b": 1}),
    "NUL in the class": box(className="a\x00b"),
    "NUL in the path": box(storagePath="a\x00b"),
    "long class": box(className="x" * 256),
    "long type": box(annotationType="x" * 51),
    "short type": box(annotationType="x"),
    "long path": box(storagePath="x" * 1025),
    "ordering beyond 32 bits": box(ordering=2**31),
    "ordering a float": box(ordering=1.5),
    "no type": {"data": {}},
    "unknown field": box(colour="red"),
}


@pytest.mark.parametrize("fault", BAD)
async def test_one_bad_annotation_in_a_thousand_stores_nothing(
    any_door: LiveServer, fault: str
) -> None:
    analysis_id = await external(any_door)
    found = [box()] * 700 + [BAD[fault]] + [box()] * 299
    answer = await any_door.graphql(ADD_ANNOTATIONS, id=analysis_id, found=found)
    assert codes(answer) in (["INVALID_INPUT"], ["GRAPHQL_VALIDATION_FAILED"])
    assert "700" in answer["errors"][0]["message"]  # which one it was
    assert await count(any_door, analysis_id) == 0


@pytest.mark.parametrize(
    "written",
    [
        "1e999",
        "-1e999",
        "{a: [1e999]}",
        "9" * 400,
        "{deep: " + "[" * 210 + "1" + "]" * 210 + "}",
    ],
)
async def test_what_json_cannot_hold_is_refused(any_door: LiveServer, written: str) -> None:
    """Numbers in the document itself; in variables they are not even JSON."""
    analysis_id = await external(any_door)
    data = written if written.startswith("{") else f"{{score: {written}}}"
    query = f"""mutation {{ addAnnotations(input: {{analysisId: "{analysis_id}", annotations: [
      {{annotationType: "tag", data: {data}}}]}}) {{ createdCount }} }}"""
    answer = await any_door.graphql(query)
    assert set(codes(answer)) <= {"INVALID_INPUT", "DOCUMENT_TOO_COMPLEX"} and codes(answer)
    assert await count(any_door, analysis_id) == 0


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"1e999", b'"\\ud800"'])
async def test_what_is_not_json_is_400(any_door: LiveServer, literal: bytes) -> None:
    body = b'{"query": "{ viewer { name } }", "variables": {"a": ' + literal + b"}}"
    answer = await any_door.client.post(
        "/graphql", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("depth", [150, 1000])
async def test_deep_data_is_kept_or_refused_clearly(any_door: LiveServer, depth: int) -> None:
    analysis_id = await external(any_door)
    variables = {"id": analysis_id, "found": [box(data={"deep": "HERE"})]}
    body = json.dumps({"query": ADD_ANNOTATIONS, "variables": variables})
    nested = "[" * depth + "1" + "]" * depth
    answer = await any_door.client.post(
        "/graphql",
        content=body.replace('"HERE"', nested),
        headers={"content-type": "application/json"},
    )
    if depth > 200:
        assert codes(answer.json()) == ["INVALID_INPUT"]
        return
    query = "query($id: ID!) { analysis(id: $id) { annotations { nodes { data } } } }"
    answer = await any_door.client.post(
        "/graphql", json={"query": query, "variables": {"id": analysis_id}}
    )
    assert f'{{"data":{{"deep":{nested}}}}}' in answer.text

"""Unusual operations over the wire: every kind of param and result, and those that fail."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from opsin import Result
from opsin.core.plugin_host import PluginSource
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.given_plugins import given
from tests.graphql.asking import ANALYZE, codes, image
from tests.graphql.sockets import started_socket
from tests.graphql.unusual import OPERATIONS, Empty, gives, made
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = base64.b64encode(solid_png()).decode()
ASK = """mutation($tasks: [TaskInput!]!, $picture: String!) {
  analyzeImage(input: {base64: $picture, tasks: $tasks}) { outcomes {
    status errorCode errorMessage annotations { data } result { __typename
      ... on Vague { score }
      ... on Unusual { tree { size leaf { value colour } branches { size leaf { colour } } }
        colours level maybe { value } when day clock price identity vector grid pair asked }
    } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with the unusual operations, a plugin that cannot be imported, and a worker."""
    changes = {"data_dir": tmp_path_factory.mktemp("odd"), "worker": True}
    plugins = [PluginSource("broken", "no_such_module_at_all"), given(*OPERATIONS)]
    async with serve(module_settings.model_copy(update=changes), more_plugins=plugins) as live:
        yield live


async def outcome(live: LiveServer, task: dict[str, Any]) -> dict[str, Any]:
    found = await live.data(ASK, tasks=[task], picture=PICTURE)
    one: dict[str, Any] = found["analyzeImage"]["outcomes"][0]
    return one


EXPECTED = {
    "__typename": "Unusual",
    "colours": ["DARK_BLUE", "RED"],
    "level": "LOW",
    "maybe": {"value": 0.5},
    "when": "2026-01-31T12:00:00.000000+00:00",
    "day": "2026-01-31",
    "clock": "12:30:00",
    "price": "1.10",
    "identity": "00000000-0000-0000-0000-000000000007",
    "vector": [i / 768 for i in range(768)],
    "grid": [[0.5, None], []],
    "pair": [1, 2],
}


@pytest.mark.parametrize("name", ["giveUnusual", "giveFiner"])
async def test_every_kind_of_field_has_its_type(odd: LiveServer, name: str) -> None:
    found = await outcome(odd, {"run": {name: {"required": 1}}})
    result = found["result"]
    assert EXPECTED.items() <= result.items()
    assert result["tree"] == {"size": 1, "leaf": {"value": 0.5, "colour": "RED"}, "branches": []}
    assert result["asked"] == '{"required":1.0}'


async def test_every_kind_of_param_is_taken(odd: LiveServer) -> None:
    params = {
        "required": 2.5,
        "topK": 1000,
        "colour": "RED",
        "level": "HIGH",
        "leaf": {"colour": "DARK_BLUE"},
        "tree": {"leaf": {}, "branches": [{"leaf": {"value": 1}}]},
        "box": {"xMin": 1, "yMin": 2, "xMax": 3, "yMax": 4},
        "names": ["a", "b"],
        "grid": [[1, 2], []],
        "since": "2026-01-31T12:00:00+02:00",
        "exact": "0.10",
        "identity": "00000000-0000-0000-0000-000000000009",
    }
    result = (await outcome(odd, {"run": {"giveUnusual": params}}))["result"]
    assert result["colours"] == ["RED", "RED"]
    assert result["level"] == "HIGH"
    assert result["tree"]["size"] == 2
    assert result["maybe"] == {"value": 0.5}
    assert result["asked"] == (
        '{"required":2.5,"top_k":1000,"colour":"red","level":2,'
        '"box":{"x_min":1,"y_min":2,"x_max":3,"y_max":4},"names":["a","b"],"grid":[[1,2],[]],'
        '"since":"2026-01-31T10:00:00Z","exact":"0.10",'
        '"identity":"00000000-0000-0000-0000-000000000009"}'
    )


@pytest.mark.parametrize(
    ("params", "code", "names"),
    [
        ({}, "GRAPHQL_VALIDATION_FAILED", "required"),
        ({"required": "much"}, "GRAPHQL_VALIDATION_FAILED", "required"),
        ({"required": 1, "topK": 0}, "INVALID_PARAMS", "top_k"),
        ({"required": 1, "topK": 1001}, "INVALID_PARAMS", "top_k"),
        ({"required": 1, "colour": "dark blue"}, "GRAPHQL_VALIDATION_FAILED", "Colour"),
        ({"required": 1, "names": ["long enough"]}, "INVALID_PARAMS", "names"),
        ({"required": 1, "names": None}, "INVALID_PARAMS", "names"),
        ({"required": 1, "leaf": {"size": 1}}, "GRAPHQL_VALIDATION_FAILED", "size"),
        ({"required": 1, "exact": "one"}, "GRAPHQL_VALIDATION_FAILED", "exact"),
        ({"required": 1, "since": "2026-01-31T12:00:00"}, "INVALID_INPUT", "time zone"),
        ({"required": 1, "names": ["\x00"]}, "INVALID_PARAMS", "NUL"),
        ({"required": 1, "tree": {"leaf": None}}, "GRAPHQL_VALIDATION_FAILED", "leaf"),
    ],
)
async def test_params_that_do_not_fit_are_refused(
    odd: LiveServer, params: dict[str, Any], code: str, names: str
) -> None:
    answer = await odd.graphql(ASK, tasks=[{"run": {"giveUnusual": params}}], picture=PICTURE)
    assert codes(answer) == [code]
    assert names in answer["errors"][0]["message"]


@pytest.mark.parametrize("run", [{}, {"class": None}, {"class": {}, "giveNan": {}}])
async def test_a_task_runs_exactly_one_operation(odd: LiveServer, run: dict[str, Any]) -> None:
    answer = await odd.graphql(ASK, tasks=[{"run": run}], picture=PICTURE)
    assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"]


async def test_an_infinite_number_in_the_document_is_refused(odd: LiveServer) -> None:
    for task in (
        "run: {giveVague: {score: 1e999}}",
        'operation: "give_vague", params: {score: 1e999}',
    ):
        query = f"""mutation {{ analyzeImage(input: {{base64: "{PICTURE}", tasks: [{{{task}}}]}}) {{
          outcomes {{ status }} }} }}"""
        assert codes(await odd.graphql(query)) == ["INVALID_PARAMS"]


async def test_an_operation_may_have_a_word_of_python_as_its_name(odd: LiveServer) -> None:
    found = await outcome(odd, {"run": {"class": {}}})
    assert found["result"] == {"__typename": "Vague", "score": 1.0}


@pytest.mark.parametrize("task", [{"run": {"giveNan": {}}}, {"run": {"giveVague": {"count": 1}}}])
async def test_a_result_that_cannot_be_used_fails_its_task(
    odd: LiveServer, task: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = await outcome(odd, task)
    assert (found["status"], found["errorCode"]) == ("ERROR", "OPERATION_FAILED")
    assert found["result"] is None and found["annotations"] == []
    assert "passwd" not in found["errorMessage"]
    assert caplog.records


@pytest.mark.parametrize("name", ["give_unusual", "give_finer"])
async def test_a_stored_result_is_the_same(odd: LiveServer, name: str) -> None:
    now = (await outcome(odd, {"operation": name, "params": {"required": 1}}))["result"]
    given = {
        "imageId": await image(odd),
        "tasks": [{"operation": name, "params": {"required": 1}}],
    }
    analysis_id = (await odd.data(ANALYZE, input=given))["analyze"][0]["id"]
    fields = ASK[ASK.index("result {") : ASK.rindex("} } }")]
    follow = f"""subscription($id: ID!) {{ analysisEvents(analysisId: $id, after: "0") {{
      status analysis {{ {fields} }} }} }}"""
    async with started_socket(odd) as socket:
        await socket.subscribe("1", follow, id=analysis_id)
        while True:
            event = (await socket.next())["data"]["analysisEvents"]
            if event["status"] == "COMPLETED":
                break
    assert event["analysis"]["result"] == now


async def test_a_plugin_that_failed_is_told_of_and_the_others_work(odd: LiveServer) -> None:
    query = "{ plugins { name operations failures { plugin stage errorType message } } }"
    plugins = {p["name"]: p for p in (await odd.data(query))["plugins"]}
    (failure,) = plugins["broken"]["failures"]
    assert (failure["stage"], failure["errorType"]) == ("import", "ModuleNotFoundError")
    assert "no_such_module_at_all" in failure["message"]
    assert plugins["bbox"]["operations"] == ["detect_bounding_box", "detect_objects"]
    assert plugins["bbox"]["failures"] == []


async def test_operations_are_described(odd: LiveServer) -> None:
    query = """{ operations { name version description targets defaultTarget paramsSchema resultType
      available unavailableReason availability { target available unavailableReason }
      models { role name licence sizeBytes } plugin { name version builtin distribution } } }"""
    found = {o["name"]: o for o in (await odd.data(query))["operations"]}
    assert {"detect_bounding_box", *(o.name for o in OPERATIONS)} <= set(found)
    unusual = found["give_unusual"]
    assert unusual["available"] and unusual["unavailableReason"] is None
    assert unusual["resultType"] == "Unusual"
    assert unusual["paramsSchema"]["properties"]["top_k"]["maximum"] == 1000
    persons = found["detect_bounding_box"]["availability"][0]
    assert persons["target"] == "PROMINENT_PERSON"
    assert persons["available"] is (persons["unavailableReason"] is None)


async def test_a_bad_operation_leaves_the_other_plugins(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bad = given(gives("made", made(Result, part=(Empty, ...))))
    settings = module_settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("bad")})
    async with serve(settings, more_plugins=[bad, given(gives("good"))]) as live:
        found = await live.data("{ operations { name } plugins { name failures { message } } }")
        names = {o["name"] for o in found["operations"]}
        assert {"detect_bounding_box", "good"} <= names and "made" not in names
        failures = [f["message"] for p in found["plugins"] for f in p["failures"]]
        assert len(failures) == 1 and "cannot have GraphQL types" in failures[0]

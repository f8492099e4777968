"""The guides to GraphQL: queries fit the schema, answers are real, no error or limit is missing."""

import re

import pytest
from graphql import build_schema, parse, validate

from opsin.core import errors
from opsin.core.lifecycle import AnalysisStatus
from opsin.graphql.errors import CODES
from opsin.settings import Settings
from tests.conftest import LiveServer
from tests.graphql.guide import ANSWERED, DOCS, compared, read, told
from tests.graphql.print_schema import COMMITTED
from tests.node import CLIENTS

GUIDE = (DOCS / "graphql.md").read_text("utf-8")
COLLECTIONS = (DOCS / "collections.md").read_text("utf-8")
FRONT_ENDS = (DOCS / "clients.md").read_text("utf-8")
QUERIES = re.findall(r"```graphql\n(.*?)```", GUIDE, re.S)
MORE_QUERIES = re.findall(r"```graphql\n(.*?)```", COLLECTIONS, re.S)
IN_COMMANDS = re.findall(r'"query": "((?:[^"\\]|\\.)*)"', GUIDE)
IN_SCRIPTS = re.findall(r"query = `(.*?)`;", GUIDE, re.S)


def codes_of(kind: type[errors.OpsinError]) -> set[str]:
    kinds = [inner for inner in kind.__subclasses__() if inner.__module__ == errors.__name__]
    return {kind.code}.union(*map(codes_of, kinds))


def test_the_guide_has_queries() -> None:
    assert len(QUERIES) > 10 and len(MORE_QUERIES) >= 5
    assert len(IN_COMMANDS) > 3 and len(IN_SCRIPTS) == 1
    assert {status.value for status in AnalysisStatus} <= set(re.findall(r"`(\w+)`", GUIDE))


@pytest.mark.parametrize("query", [*QUERIES, *MORE_QUERIES])
def test_a_query_fits_the_schema(query: str) -> None:
    assert validate(build_schema(COMMITTED.read_text("utf-8")), parse(query)) == []


@pytest.mark.parametrize("query", [*IN_COMMANDS, *IN_SCRIPTS])
def test_a_query_in_a_command_fits_the_schema(query: str) -> None:
    document = parse(query.replace('\\"', '"'))
    assert validate(build_schema(COMMITTED.read_text("utf-8")), document) == []


async def test_the_answers_are_those_of_a_server(live: LiveServer) -> None:
    story = await told(live, GUIDE)
    assert len(story) > 20
    command = "python -m tests.graphql.print_guide"
    for query, shown, answers in story:
        assert compared(answers) == compared(read(shown)), f"{command} mends this:\n{query}"


def test_what_shows_no_answer_is_known() -> None:
    answered = {match["query"] for match in ANSWERED.finditer(GUIDE)}
    named = [re.match(r"\w+ (\w+)", query) for query in QUERIES if query not in answered]
    # These need weights, give what differs between machines, or go on for ever.
    assert {match[1] for match in named if match is not None} == {
        "Anew",
        "Belongs",
        "Collections",
        "HeatmapNow",
        "Like",
        "Numbers",
        "SignIn",
        "Words",
    }


SNIPPETS = re.findall(r"```(?:ts|js|json)\n(.*?)```", FRONT_ENDS, re.S)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_front_end_s_snippet_is_part_of_a_tested_program(snippet: str) -> None:
    sources = [
        path
        for pattern in ("*.mjs", "typed/*", "relay/*")
        for path in CLIENTS.glob(pattern)
        if path.is_file()
    ]
    assert any(snippet in path.read_text("utf-8") for path in sources)


def test_every_code_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| .+ \|$", GUIDE, re.M)
    ours = codes_of(errors.OpsinError) | set(CODES)
    assert sorted(name for name in rows if not name.startswith("OPSIN_")) == sorted(ours)


def test_the_limits_are_settings() -> None:
    named = set(re.findall(r"`OPSIN_([A-Z_]+)`", GUIDE))
    assert named <= {name.upper() for name in Settings.model_fields}
    limits = {n.upper() for n in Settings.model_fields if n.startswith("graphql_max")}
    assert limits <= named

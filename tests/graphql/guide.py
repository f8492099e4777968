"""docs/graphql.md as a story: its operations asked of a real server, in order, and the answers."""

import asyncio
import base64
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from graphql import OperationDefinitionNode, OperationType, parse
from PIL import Image

from tests.conftest import LiveServer
from tests.pictures import encoded, portrait

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "graphql.md"
ANSWERED = re.compile(
    r"```graphql\n(?P<query>[^`]*)```\n\n```json\n(?P<answer>.*?)```\n", re.DOTALL
)
"""An operation and the answer shown right after it."""

# What the story goes on with: the path to it in an operation's answer, by the variable it becomes.
_REMEMBERED = {
    "NewDataset": {"dataset": "createDataset.id"},
    "Upload": {"image": "uploadImage.id"},
    "Later": {"analysis": "analyze.0.id"},
    "FirstPage": {"after": "dataset.analyses.pageInfo.endCursor"},
    "Import": {"small": "importImage.id"},
    "Faces": {"faces": "createDataset.id"},
    "Person": {"subject": "createSubject.id"},
    "Quality": {"application": "createApplication.id"},
    "Visit": {"batch": "createBatch.id"},
    "Profile": {"left": "importImage.id"},
    "Label": {"class": "createImageClass.id"},
    "Create": {"analysis": "createAnalysis.id"},
    "Salient": {"analysis": "analyze.0.id"},
}
_FOUND = re.compile(r"`\$found` was:\n\n```json\n([^`]*)```\n")
_ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
_WIDTH = 100


class Answered(NamedTuple):
    """An operation of the guide and what a server said: one answer, or one for each event."""

    query: str
    shown: str
    answers: list[Any]


async def told(live: LiveServer, guide: str) -> list[Answered]:
    """Ask an empty server all that the guide shows the answer of."""
    known: dict[str, Any] = {
        "since": datetime.now(UTC).isoformat(),
        "base64": base64.b64encode(_smaller(portrait())).decode(),
        "found": json.loads(_shown(guide, _FOUND)),
    }
    story = []
    for match in ANSWERED.finditer(guide):
        query, shown = match["query"], match["answer"]
        story.append(Answered(query, shown, await _asked(live, query, known)))
    return story


async def _asked(live: LiveServer, query: str, known: dict[str, Any]) -> list[Any]:
    (operation,) = parse(query).definitions
    assert isinstance(operation, OperationDefinitionNode)
    names = [given.variable.name.value for given in operation.variable_definitions or ()]
    variables = {name: known[name] for name in names if name in known}
    known.pop("after", None)  # a page's cursor is for the operation that comes next
    if operation.operation is OperationType.SUBSCRIPTION:
        return await _followed(live, query, variables)
    upload = "input" in names
    answer = await (
        _uploaded(live, query, known["dataset"]) if upload else live.graphql(query, **variables)
    )
    for name, path in _REMEMBERED.get(operation.name.value if operation.name else "", {}).items():
        known[name] = _at(answer["data"], path)
    if operation.operation is OperationType.MUTATION:
        await _worked_off(live)
    return [answer]


async def _uploaded(live: LiveServer, query: str, dataset_id: str) -> dict[str, Any]:
    given = {"input": {"datasetId": dataset_id, "file": None}}
    answer = await live.client.post(
        "/graphql",
        data={
            "operations": json.dumps({"query": query, "variables": given}),
            "map": '{"0": ["variables.input.file"]}',
        },
        files={"0": ("portrait.jpg", portrait(), "image/jpeg")},
    )
    body: dict[str, Any] = answer.json()
    return body


async def _followed(live: LiveServer, query: str, variables: Mapping[str, Any]) -> list[Any]:
    """The events until the analysis has ended, or the run's work on the image."""
    body = {"query": query, "variables": variables}
    events = []
    headers = {"accept": "text/event-stream"}
    async with live.client.stream("POST", "/graphql", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            events.append(json.loads(line.removeprefix("data: ")))
            (told,) = events[-1]["data"].values()
            if told.get("status", told["kind"]) in _ENDED:
                break
    return events


async def _worked_off(live: LiveServer) -> None:
    """Wait until the worker has done everything; what runs elsewhere is not its business."""
    unfinished = """{ analyses(filter: {status: [QUEUED, PROCESSING], external: false}) {
      totalCount } }"""
    async with asyncio.timeout(100):  # the first face costs the loading of a model
        while True:
            if (await live.data(unfinished))["analyses"]["totalCount"] == 0:
                return
            await asyncio.sleep(0.02)


def _at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step) if step.isdigit() else step]
    return value


def _shown(guide: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(guide)
    assert match is not None, f"the guide has nothing like {pattern.pattern}"
    return match[1]


def _smaller(picture: bytes) -> bytes:
    """The same picture at half its size."""
    with Image.open(io.BytesIO(picture)) as image:
        return encoded(image.resize((image.width // 2, image.height // 2)), "JPEG")


# What is another each time, and what stands for it when answers are compared.
_CHANGING = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}": "ID",
    r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)": "TIME",
    r"http://127\.0\.0\.1:\d+": "HOST",
    r"\?[\w=&%.~-]+": "?SIGNED",
}
_CURSORS = {"cursor", "eventCursor", "startCursor", "endCursor"}


def compared(value: Any) -> Any:
    """An answer without what is another each time; floats to the digits that processors share."""
    if isinstance(value, dict):
        return {
            name: "CURSOR" if name in _CURSORS else compared(inner) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [compared(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, str):
        for pattern, name in _CHANGING.items():
            value = re.sub(pattern, name, value)
    return value


def read(text: str) -> list[Any]:
    """The JSON values of a block, one after the other."""
    values, rest = [], text.strip()
    while rest:
        value, end = json.JSONDecoder().raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    return values


def written(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON as a person would set it: what fits on a line stands on it.

    `before` is the width of what stands before the value on its line.
    """
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + before + len(line) < _WIDTH:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        names = [f"{json.dumps(name)}: " for name in value]
        parts = [
            f"{inner}{name}{written(part, indent + 2, len(name))}"
            for name, part in zip(names, value.values(), strict=True)
        ]
        opening, closing = "{}"
    else:
        parts = [f"{inner}{written(part, indent + 2)}" for part in value]
        opening, closing = "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{' ' * indent}{closing}"

"""The README's query gives the README's answer."""

import json
import re
from pathlib import Path
from typing import Any

from tests.conftest import LiveServer
from tests.graphql.test_main_job import ANALYZE, dataset, ended, uploaded

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return str(found)


def rounded(value: Any) -> Any:
    """Scores differ in their last digits from one processor to another."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value


async def test_the_query_is_answered_as_shown(live: LiveServer) -> None:
    dataset_id = await dataset(live, "demo")
    image = await uploaded(live, dataset_id)
    task = {"run": {"detectBoundingBox": {"target": "PROMINENT_FACE"}}}
    (asked,) = (await live.data(ANALYZE, image=image["id"], tasks=[task]))["analyze"]
    await ended(live, asked["id"])
    answer = {"data": await live.data(block("graphql"))}
    assert rounded(answer) == rounded(json.loads(block("json"))), json.dumps(answer, indent=2)

"""The flow: from JSON, from a file, by default; and what is refused at the start."""

import json
from pathlib import Path
from typing import Any

import pytest

from opsin.app import create_app
from opsin.assembly import assemble
from opsin.compat.pekat.flow import Flows
from opsin.core.errors import ConfigurationError
from opsin.settings import Settings
from tests.compat.pekat.bright_plugin import SOURCE
from tests.compat.pekat.conftest import pekat, png, scene


async def test_a_flow_from_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps([{"operation": "judge_tone", "key": "tone"}]))
    async with pekat(settings, str(file)) as live:
        answer = await live.client.post("/analyze_image", content=png(scene()))
    assert answer.json()["tone"]["tone"] == "dark" and not answer.json()["detectedRectangles"]


async def test_an_empty_flow_says_the_size(settings: Settings) -> None:
    async with pekat(settings, []) as live:
        answer = await live.client.post("/analyze_image", content=png(scene()))
    assert answer.json()["result"] is True and answer.json()["imageShape"]["width"] == 61


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("no-such-file.json", "cannot be read"),
        ("{", "neither JSON"),
        ("[" * 100_000, "neither JSON"),
        ('{"operations": 1}', "operations"),
        ("[{}]", "operations.0.operation"),
        ('[{"operation": "nothing_like_it"}]', "operation 1 (nothing_like_it)"),
        ('[{"operation": "find_bright", "params": {"copies": 0}}]', "copies"),
        ('[{"operation": "find_bright", "params": {"target": "moon"}}]', "moon"),
        ('[{"operation": "find_bright", "type": "OTHER"}]', "operations.0.type"),
        ('[{"operation": "find_bright", "key": "result"}]', "that of every context"),
        ('[{"operation": "find_bright", "more": 1}]', "operations.0.more"),
        (
            '[{"operation": "find_bright", "key": "a"}, {"operation": "find_bright", "key": "a"}]',
            "two operations",
        ),
        ('{"operations": [], "rules": [{"count": "a"}]}', "at_least"),
        ('{"operations": [], "rules": [{"at_most": 1}]}', "exactly one"),
        ('{"operations": [], "score": {"value": "a"}}', "threshold"),
        (json.dumps([{"operation": "find_bright"}] * 65), "OPSIN_MAX_TASKS allows 64"),
    ],
)
def test_flows_that_cannot_be_run_stop_the_start(settings: Settings, flow: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        create_app(settings.model_copy(update={"pekat_flow": flow}), [SOURCE])
    assert "OPSIN_PEKAT_FLOW" in refusal.value.message and says in refusal.value.message


async def test_by_default_all_that_is_here_and_can_be_shown(settings: Settings) -> None:
    async with (parts := assemble(settings, [SOURCE])).running():
        cases = parts.use_cases
        flow = Flows(None, cases.host, cases.availability, most=64).current()
        names = [step.given.operation for step in flow.steps]
        for name in names:
            operation = cases.host.operation(name)
            assert cases.availability.any_available(operation), name
    # Saliency needs nothing; these have nothing that an image could show, or need params.
    assert {"saliency", "find_bright", "judge_tone", "outline_bright", "heat_of_luma"} <= {*names}
    hidden = {"image_quality", "dominant_colors", "perceptual_hash", "classify"}
    assert not hidden.intersection(names)
    assert [step.module_id for step in flow.steps] == list(range(1, len(names) + 1))


async def test_weights_that_arrive_later_are_noticed(settings: Settings) -> None:
    async with (parts := assemble(settings, [SOURCE])).running():
        cases = parts.use_cases

        class Switch:
            """Says what the real one says, but for one operation."""

            lacks = "saliency"

            def reason(self, operation: Any, target: Any) -> str | None:
                if operation.name == self.lacks:
                    return "needs weights"
                return cases.availability.reason(operation, target)

        now, switch = [0.0], Switch()
        flows = Flows(None, cases.host, switch, most=64, clock=lambda: now[0])  # type: ignore[arg-type] # only `reason` is asked
        assert "saliency" not in [step.given.operation for step in flows.current().steps]
        switch.lacks = ""
        assert "saliency" not in [step.given.operation for step in flows.current().steps]
        now[0] = 6.0
        assert "saliency" in [step.given.operation for step in flows.current().steps]

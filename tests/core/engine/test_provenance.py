"""What an outcome tells of how it was made."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from opsin.core.contract import Box, Bundled, LocatedModel, ModelRequirement, Target
from opsin.core.engine import ModelUsed, Provenance, TaskStatus, Timings
from opsin.core.models.store import ModelStore
from opsin.core.testing import FakeFinder, FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Workbench, decoded


def model(role: str) -> ModelRequirement:
    return ModelRequirement(role, f"{role}-weights", Bundled("pkg", ("f",)), "MIT")


class Weights(ModelStore):
    """Every model is here."""

    def missing(self, loadable: Any) -> str | None:
        return None

    def locate(self, requirement: ModelRequirement) -> LocatedModel:
        return LocatedModel(requirement, (Path("f"),), f"sha-{requirement.role}")


def with_weights(bench: Workbench) -> Workbench:
    bench.models.__class__ = Weights
    return bench


async def test_a_result_names_everything_that_made_it(workbench: MakeWorkbench) -> None:
    found = Box(x_min=1, y_min=1, x_max=5, y_max=5)
    bench = workbench(
        FakeFinder(Target.PROMINENT_PERSON, found, models=(model("person"),)),
        FakeFinder(Target.PROMINENT_FACE, None, models=(model("face"),)),
        FakeOperation(
            models=(model("text"), model("image")), script=Script(latency=0.002), version="7"
        ),
    )
    tasks = [
        bench.task(mark=0),
        bench.task(mark=1, target="prominent_person"),
        bench.task(mark=2, target="prominent_face"),
    ]
    with_weights(bench)
    whole, person, face = (o for o in (await bench.run(*tasks, source=decoded())).outcomes)
    own = [
        ModelUsed("image", "image-weights", "sha-image"),
        ModelUsed("text", "text-weights", "sha-text"),
    ]
    of_person = ModelUsed("person", "person-weights", "sha-person")
    of_face = ModelUsed("face", "face-weights", "sha-face")
    assert list(whole.provenance.models) == own
    assert list(person.provenance.models) == [*own, of_person]
    assert face.status is TaskStatus.SKIPPED
    assert list(face.provenance.models) == [of_person, of_face]
    for outcome in (whole, person):
        p = outcome.provenance
        assert (p.plugin, p.plugin_version) == ("fakes", "1.2")
        assert (p.operation, p.operation_version, p.device) == ("fake", "7", "cpu")
        assert p.timings.run >= 2
        assert p.timings.queued > 0
    assert whole.provenance.timings.region == 0
    assert person.provenance.timings.region > 0
    assert face.provenance.device is None
    assert face.provenance.timings.run == face.provenance.batch_size == 0


async def test_the_batch_an_item_was_in(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench = workbench(operation)
    analyzed = await bench.run(*(bench.task(mark=n) for n in range(5)))
    sizes = {n: len(batch) for batch in operation.script.marks for n in batch}
    assert {n: o.provenance.batch_size for n, o in enumerate(analyzed.outcomes)} == sizes


async def test_it_is_json(workbench: MakeWorkbench) -> None:
    bench = with_weights(workbench(FakeOperation(models=(model("image"),))))
    (outcome,) = (await bench.run(bench.task())).outcomes
    told = json.loads(json.dumps(outcome.provenance.as_json()))
    assert told.pop("timings_ms").keys() == {"decode", "region", "inputs", "queued", "run"}
    assert told == {
        "plugin": "fakes",
        "plugin_version": "1.2",
        "operation": "fake",
        "operation_version": "1",
        "device": "cpu",
        "models": [
            {
                "role": "image",
                "name": "image-weights",
                "fingerprint": "sha-image",
                "precision": "float32",
                "channels_last": False,
                "compiled": False,
            }
        ],
        "batch_size": 1,
        "cached": False,
        "inputs_reused": False,
    }
    assert Provenance.from_json({**told, "timings_ms": {}, "analysis": "nothing of it"}) == replace(
        outcome.provenance, timings=Timings()
    )

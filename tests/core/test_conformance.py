"""The suite that plugins are checked with: a sound one passes, each broken promise is found."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from opsin.core.conformance import Finding, Verdict, check_plugin
from opsin.core.conformance.trial import difference
from opsin.core.contract import (
    Annotation,
    Box,
    Input,
    Item,
    LoadContext,
    ModelRequirement,
    Operation,
    Params,
    ReferenceKind,
    ReferenceRequest,
    Region,
    RegionFinder,
    Repository,
    Result,
    Runner,
    Target,
)
from opsin.core.engine.batching import Failure
from opsin.core.errors import OperationFailed
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from tests.core.given_plugins import given


class Mean(Result):
    mean: float


class Sound(Runner[Params, Mean]):
    max_batch = 4
    uses_device = False

    def prepare(self, item: Item[Params]) -> float:
        return float(item.picture.mean())

    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=mean) for mean in batch]


class Measure(Operation[Params, Mean]):
    """Loads the runner it is given."""

    description = "Measures."
    version = "1"
    result = Mean

    def __init__(
        self, runner: type[Runner[Any, Any]] = Sound, name: str = "measure", **declared: Any
    ) -> None:
        self.runner = runner
        vars(self).update(declared, name=name)

    def load(self, context: LoadContext) -> Runner[Params, Mean]:
        return self.runner()


def findings_of(
    tmp_path: Path, *operations: Operation[Any, Any], params: Mapping[str, Any] | None = None
) -> dict[tuple[str, str], Finding]:
    host = PluginHost.discover([given(*operations)], entry_points=False, strict=True)
    (plugin,) = host.plugins
    found = check_plugin(host, ModelStore(tmp_path), plugin.name, params=params)
    return {(finding.subject, finding.check): finding for finding in found}


def broken(found: dict[tuple[str, str], Finding]) -> dict[str, str]:
    return {
        check: finding.text
        for (_, check), finding in found.items()
        if finding.verdict is Verdict.FAILED
    }


def test_a_sound_plugin_passes_every_check(tmp_path: Path) -> None:
    found = findings_of(tmp_path, Measure())
    assert {finding.verdict for finding in found.values()} == {Verdict.PASSED}
    assert len(found) == 8
    assert "ms alone" in found["measure", "cost"].text


class GivesText(Sound):
    def run(self, batch: Sequence[float]) -> Sequence[Any]:
        return ["0.5" for _ in batch]


class GivesInfinity(Sound):
    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=float("inf")) for _ in batch]


class DrawsIntoThePicture(Sound):
    def prepare(self, item: Item[Params]) -> float:
        item.picture[0, 0] = 0
        return super().prepare(item)


class NormalisesOverTheBatch(Sound):
    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=mean / sum(batch)) for mean in batch]


class Counts(Sound):
    numbers: ClassVar[Any] = itertools.count()

    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=next(self.numbers)) for _ in batch]


class Remembers(Sound):
    def __init__(self) -> None:
        self.smallest = 9e9

    def prepare(self, item: Item[Params]) -> float:
        self.smallest = min(self.smallest, item.picture.size)
        return super().prepare(item)

    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=self.smallest) for _ in batch]


class Stays(Sound):
    all: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        self.all.append(self)


class KeysByThread(Sound):
    """The second time it prepares the same picture, it is something else."""

    def __init__(self) -> None:
        self.seen = 0

    def prepare(self, item: Item[Params]) -> float:
        self.seen += 1
        return self.seen

    def batch_key(self, prepared: Any) -> float:
        return float(prepared)

    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=1.0) for _ in batch]


@pytest.mark.parametrize(
    ("runner", "check", "text"),
    [
        (GivesText, "gives what it declares", "gave a str, where Mean is declared"),
        (GivesInfinity, "gives what it declares", "NaN and infinite numbers"),
        (DrawsIntoThePicture, "gives what it declares", "read-only"),
        (NormalisesOverTheBatch, "batch equals single", "alone and in a batch: .mean is 1.0 and"),
        (Counts, "deterministic", "the same picture twice: .mean is"),
        (Remembers, "survives bad pictures", "a good picture beside bad ones"),
        (Stays, "unloads", "still refers to the runner"),
        (KeysByThread, "prepares on threads", "other batch keys"),
    ],
)
def test_a_broken_promise_is_found(
    tmp_path: Path, runner: type[Runner[Any, Any]], check: str, text: str
) -> None:
    assert text in broken(findings_of(tmp_path, Measure(runner)))[check]


class Described(Mean):
    """Says that it gives metrics, and gives a caption as well."""

    annotation_types = ("metric",)

    def annotations(self) -> Sequence[Annotation]:
        return [
            Annotation(annotation_type=kind, data={"value": self.mean})
            for kind in ("metric", "caption")
        ]


class Describes(Sound):
    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Described(mean=mean) for mean in batch]


def test_annotations_of_a_type_that_is_not_said_are_found(tmp_path: Path) -> None:
    found = findings_of(tmp_path, Measure(Describes, result=Described))
    assert broken(found)["gives what it declares"] == "annotation_types does not say 'caption'"


class Labels(Params):
    labels: list[str] = Field(min_length=1)


class ExampleLabels(Params):
    labels: list[str] = Field(min_length=1, examples=[["a whale", "a boat"]])


def test_params_without_a_default_come_from_examples_or_from_the_caller(tmp_path: Path) -> None:
    found = findings_of(tmp_path, Measure(params=Labels))
    assert "labels: Field required" in broken(found)["loads"]
    assert broken(findings_of(tmp_path, Measure(params=ExampleLabels))) == {}
    assert broken(findings_of(tmp_path, Measure(params=Labels), params={"labels": ["x"]})) == {}


class Adds(Runner[Params, Mean]):
    uses_device = False

    def prepare(self, item: Item[Params]) -> float:
        (mean,) = item.inputs
        assert isinstance(mean, Mean)
        return mean.mean + 1

    def run(self, batch: Sequence[float]) -> Sequence[Mean]:
        return [Mean(mean=mean) for mean in batch]


class MeasureMore(Measure):
    def inputs(self, params: Params, reference: Any) -> Sequence[Input]:
        return [Input("measure")]


class Look(Measure):
    def reference(self, params: Params) -> ReferenceRequest | None:
        return ReferenceRequest(ReferenceKind.GALLERY, "whales")


def test_an_operation_on_anothers_result_gets_it(tmp_path: Path) -> None:
    found = findings_of(tmp_path, Measure(), MeasureMore(Adds, "measure_more"))
    assert broken(found) == {}
    assert found["measure_more", "batch equals single"].verdict is Verdict.PASSED


def test_what_cannot_be_tried_here_is_skipped_and_says_why(tmp_path: Path) -> None:
    files = ("config.json", "model.safetensors")
    far = ModelRequirement(
        role="model", name="far", origin=Repository("a/b", "main", files), licence="MIT"
    )
    found = findings_of(tmp_path, Measure(models=(far,)), Look(Sound, "look"))
    assert {finding.verdict for finding in found.values()} == {Verdict.SKIPPED}
    assert "opsin models pull far" in found["measure", "loads"].text
    assert "stored reference" in found["look", "loads"].text


class BoxRunner(Runner[Params, Region | None]):
    uses_device = False

    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Region | None]:
        return [Region(Box(x_min=0, y_min=0, x_max=9999, y_max=10), 0.5) for _ in batch]


class Finder(RegionFinder):
    name = "finder"
    version = "1"
    target = Target.PROMINENT_FACE

    def load(self, context: LoadContext) -> BoxRunner:
        return BoxRunner()


def test_a_region_beyond_the_picture_is_found(tmp_path: Path) -> None:
    host = PluginHost.discover([given(finders=[Finder()])], entry_points=False, strict=True)
    found = check_plugin(host, ModelStore(tmp_path), host.plugins[0].name)
    texts = [finding.text for finding in found if finding.verdict is Verdict.FAILED]
    assert any("is not inside the picture" in text for text in texts)


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    host = PluginHost.discover([], entry_points=False)
    (finding,) = check_plugin(host, ModelStore(tmp_path), "nobody")
    assert finding.verdict is Verdict.FAILED


def test_numbers_differ_by_more_than_the_tolerance_of_their_list() -> None:
    class Vector(Result):
        values: list[float]
        name: str = "x"

    one = Vector(values=[1000.0, 0.001])
    assert difference(one, Vector(values=[1000.05, 0.05])) is None
    assert difference(one, Vector(values=[1000.2, 0.001])) is not None
    assert difference(one, Vector(values=[1000.0])) is not None
    assert difference(one, one.model_copy(update={"name": "y"})) is not None
    bad = Failure(OperationFailed("no"))
    assert difference(bad, bad) is None
    assert difference(one, bad) == "one of them failed: no"

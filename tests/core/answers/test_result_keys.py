"""Keys of results: equal where the result must be, different where it might not, or none at all."""

import asyncio
import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field, PrivateAttr

from opsin.core.answers.keys import ResultKey, ResultKeys
from opsin.core.contract import (
    Acceleration,
    Box,
    Classifier,
    Folder,
    Input,
    Loadable,
    ModelRequirement,
    Params,
    Precision,
    Reference,
    ReferenceKind,
    ReferenceRequest,
    Target,
)
from opsin.core.engine import ModelUsed, Provenance, Task, make_task
from opsin.core.imaging import DecodeOptions
from opsin.core.models.identities import ModelIdentities
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.core.testing import FakeFinder, FakeOperation, FakeParams
from tests.core.engine.workbench import host_of
from tests.core.hub_server import safetensors

CONTENT = "c" * 64
PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE
SOMEWHERE = Box(x_min=0, y_min=0, x_max=2, y_max=2)


class Keys:
    """Keys of tasks of these operations, over weights in a folder."""

    def __init__(self, folder: Path, *parts: Loadable, remember: float = 0.0) -> None:
        self.host: PluginHost = host_of(*parts)
        self.store = ModelStore(folder)
        self.identities = ModelIdentities(self.store, remember=remember)
        self.keys = ResultKeys(self.host, self.identities)

    def task(self, name: str = "fake", **params: Any) -> Task:
        return make_task(self.host, "t", name, params)

    async def key(
        self,
        task: Task | None = None,
        options: DecodeOptions = DecodeOptions(),  # noqa: B008  # frozen
        content: str = CONTENT,
        **params: Any,
    ) -> ResultKey | None:
        return (await self.keys.of(content, options, [task or self.task(**params)]))[0].key

    async def digest(self, *given: Any, **params: Any) -> str:
        key = await self.key(*given, **params)
        assert key is not None
        return key.digest


def fake(**declared: Any) -> FakeOperation:
    return FakeOperation(**{"deterministic": True, **declared})


def weights(folder: Path, name: str, size: int = 1) -> ModelRequirement:
    """Weights in a folder of the operator's."""
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "model.safetensors").write_bytes(safetensors(size))
    return ModelRequirement("encoder", name, Folder(place), "MIT")


async def test_what_a_caller_may_write_in_two_ways_is_the_same(tmp_path: Path) -> None:
    keys = Keys(tmp_path, fake())
    plain = await keys.digest()
    assert len(plain) == 64
    assert plain == await keys.digest(mark=0, target="whole_image", face_context="whole_image")
    assert plain == await keys.digest(make_task(keys.host, "another id", "fake"))
    others = [
        await keys.digest(mark=1),
        await keys.digest(content="d" * 64),
        await keys.digest(options=DecodeOptions(apply_orientation=False)),
        await keys.digest(options=DecodeOptions(alpha="drop")),
        await Keys(tmp_path, fake(version="2")).digest(),
        await Keys(tmp_path, fake(name="other")).digest(name="other"),
    ]
    assert len({plain, *others}) == 7


async def test_a_region_depends_on_who_finds_it(tmp_path: Path) -> None:
    def keys(*finders: FakeFinder) -> Keys:
        return Keys(tmp_path, fake(), *finders)

    person, face = FakeFinder(PERSON, SOMEWHERE), FakeFinder(FACE, SOMEWHERE)
    newer = FakeFinder(PERSON, SOMEWHERE, version="2")
    in_person: dict[str, Any] = {"target": FACE}
    in_image: dict[str, Any] = {"target": FACE, "face_context": "whole_image"}
    both = keys(person, face)
    assert await both.digest() == await keys().digest()
    assert await both.digest(target=PERSON) != await keys(newer, face).digest(target=PERSON)
    # A face in the person is found by both finders, one in the whole image by its own.
    assert await both.digest(**in_person) != await both.digest(**in_image)
    assert await both.digest(**in_person) != await keys(newer, face).digest(**in_person)
    assert await both.digest(**in_image) == await keys(newer, face).digest(**in_image)
    # Without a person finder the face is looked for elsewhere, and the result says so.
    assert await both.digest(**in_person) != await keys(face).digest(**in_person)
    assert await keys(face).digest(**in_person) != await keys(face).digest(**in_image)
    assert await keys(person).key(**in_person) is None


async def test_other_weights_are_another_key(tmp_path: Path) -> None:
    model = weights(tmp_path, "encoder")
    keys = Keys(tmp_path, fake(models=(model,)))
    first = await keys.key()
    assert first is not None and first == await keys.key()
    weights(tmp_path, "encoder", 2)
    second = await keys.key()
    assert second is not None and second.digest != first.digest
    (tmp_path / "encoder" / "model.safetensors").unlink()
    assert await keys.key() is None
    renamed = ModelRequirement("encoder", "copy", weights(tmp_path, "copy", 2).origin, "MIT")
    copied = await Keys(tmp_path, fake(models=(renamed,))).key()
    assert copied is not None and copied.digest == second.digest


async def test_a_result_is_kept_only_if_the_keys_weights_made_it(tmp_path: Path) -> None:
    """A runner in memory may be older than the files."""
    model, other = weights(tmp_path, "encoder"), weights(tmp_path, "finder")
    finder = FakeFinder(PERSON, SOMEWHERE, models=(other,))
    key = await Keys(tmp_path, fake(models=(model,)), finder).key(target=PERSON)
    assert key is not None
    (own,), (of_finder,) = key.own, key.others
    stale = ModelUsed("encoder", "encoder", "another fingerprint")

    def made_with(*models: ModelUsed) -> bool:
        return key.allows(Provenance("p", None, "fake", "1", models=models))

    assert made_with(own, of_finder) and made_with(own)
    assert not made_with(of_finder)
    assert not made_with(stale, of_finder) and not made_with(own, of_finder, stale)


async def test_numbers_of_less_precision_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = weights(tmp_path, "encoder")
    keys = Keys(tmp_path, fake(models=(model,), accelerates=True))
    plain = await keys.key()
    how = Acceleration(precision=Precision.BFLOAT16)
    monkeypatch.setattr(keys.store.configuration, "acceleration_of", lambda loadable: how)
    reduced = await keys.key()
    assert plain is not None and reduced is not None
    assert plain.digest != reduced.digest
    assert {used.precision for used in plain.own | reduced.own} == {"float32", "bfloat16"}


async def test_inputs_count_with_all_that_they_depend_on(tmp_path: Path) -> None:
    def keys(version: str = "1", mark: int = 0, **declared: Any) -> Keys:
        needed = [Input("below", params={"mark": mark})]
        top = fake(inputs=lambda params, reference: needed, uses_picture=False)
        face = FakeFinder(FACE, SOMEWHERE)
        below = fake(**{"name": "below", "version": version, **declared})
        return Keys(tmp_path, top, below, face)

    plain = await keys().digest()
    assert plain == await keys().digest()
    assert plain != await keys("2").digest()
    assert plain != await keys(mark=1).digest()
    model = weights(tmp_path, "encoder")
    with_weights = await keys(models=(model,)).key()
    assert with_weights is not None and with_weights.digest != plain
    assert with_weights.own == frozenset() and len(with_weights.others) == 1
    # Where the input looks is the asking task's choice.
    in_image = await keys().digest(target=FACE, face_context="whole_image")
    assert in_image != await keys().digest(target=FACE)
    assert await keys(deterministic=False).key() is None
    assert await keys(requires=("no_such_package",)).key() is None


async def test_an_input_has_the_key_that_it_has_as_a_task(tmp_path: Path) -> None:
    """Whatever needs it, also what has no key itself."""
    needed = [Input("below", params={"mark": 3})]
    top = fake(inputs=lambda params, reference: needed)
    moody = FakeOperation("moody", inputs=lambda params, reference: [Input("fake")])
    keys = Keys(tmp_path, top, moody, fake(name="below"))
    as_task = await keys.digest(name="below", mark=3)
    options = DecodeOptions()
    (plain, other) = await keys.keys.of(CONTENT, options, [keys.task(), keys.task("moody")])
    (of_plain,), (of_other,) = plain.inputs, other.inputs
    assert of_plain.key is not None and of_plain.key.digest == as_task
    assert of_plain.task.operation.name == "below"
    assert other.key is None and other.may_be_known
    assert of_other.key is not None and plain.key is not None
    assert of_other.key.digest == plain.key.digest
    assert [one.key and one.key.digest for one in of_other.inputs] == [as_task]
    (alone,) = await keys.keys.of(CONTENT, options, [keys.task("below", mark=3)])
    assert alone.inputs == ()


async def test_an_input_without_a_key_leaves_the_others_theirs(tmp_path: Path) -> None:
    needed = [Input("moody"), Input("below")]
    top = fake(inputs=lambda params, reference: needed)
    keys = Keys(tmp_path, top, fake(name="below"), FakeOperation("moody"))
    (task,) = await keys.keys.of(CONTENT, DecodeOptions(), [keys.task()])
    assert task.key is None and task.may_be_known
    moody, below = task.inputs
    assert moody.key is None and not moody.may_be_known
    assert below.key is not None


async def test_a_reference_counts_by_its_digest(tmp_path: Path) -> None:
    request = ReferenceRequest(ReferenceKind.CLASSIFIER, "7")
    keys = Keys(tmp_path, fake(reference=lambda params: request))

    def task(digest: str) -> Task:
        found: Reference = Classifier("7", digest, (), (), np.zeros(1), 0.0)
        return replace(keys.task(), reference=found)

    assert await keys.key() is None  # there is none, so that it cannot be run
    assert await keys.digest(task("1")) == await keys.digest(task("1"))
    assert await keys.digest(task("1")) != await keys.digest(task("2"))


class Hidden(FakeParams):
    secret: str = Field(default="", exclude=True)


class Private(FakeParams):
    _seen: int = PrivateAttr(default_factory=itertools.count().__next__)


class Endless(FakeParams):
    limit: float = float("inf")


@pytest.mark.parametrize(
    ("params", "given"), [(Hidden, {"secret": "x"}), (Private, {}), (Endless, {})]
)
async def test_params_that_json_does_not_tell_whole_have_no_key(
    tmp_path: Path, params: type[Params], given: dict[str, Any]
) -> None:
    keys = Keys(tmp_path, fake(params=params))
    assert await keys.key(**given) is None


async def test_what_may_answer_otherwise_has_no_key(tmp_path: Path) -> None:
    assert await Keys(tmp_path, FakeOperation()).key() is None
    broken = fake(inputs=lambda params, reference: 1 / 0)
    assert await Keys(tmp_path, broken).key() is None


async def test_weights_are_looked_at_on_a_thread_once_for_all_and_not_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = weights(tmp_path, "encoder")
    operation = fake(models=(model,))
    keys = Keys(tmp_path, operation, remember=60.0)
    looks: list[str] = []
    missing = keys.store.missing

    def look(loadable: Loadable) -> str | None:
        looks.append(threading.current_thread().name)
        return missing(loadable)

    monkeypatch.setattr(keys.store, "missing", look)
    found: Sequence[Any] = await asyncio.gather(*(keys.identities.of(operation) for _ in range(9)))
    assert len(set(found)) == 1 and found[0] is not None
    assert len(looks) == 1 and looks[0] != threading.main_thread().name
    weights(tmp_path, "encoder", 3)
    assert await keys.identities.of(operation) == found[0]  # for a minute


async def test_who_stops_waiting_for_a_fingerprint_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = fake(models=(weights(tmp_path, "encoder"),))
    keys = Keys(tmp_path, operation, remember=60.0)
    go, locate = threading.Event(), keys.store.locate

    def slow(requirement: ModelRequirement) -> Any:
        assert go.wait(20)
        return locate(requirement)

    monkeypatch.setattr(keys.store, "locate", slow)
    first = asyncio.create_task(keys.identities.of(operation))
    second = asyncio.create_task(keys.identities.of(operation))
    await asyncio.sleep(0.05)
    # What is known does not wait for what is being read.
    assert await asyncio.wait_for(keys.identities.of(fake(name="light")), 1) == ()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go.set()
    assert await second is not None

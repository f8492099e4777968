"""The application of the plugin `skin` on a real face: all its steps share one look for it."""

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import torch
from PIL import Image

from opsin.assembly import Parts, assemble
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.plugins.bbox.runner.faces import FaceRunner
from opsin.settings import Settings
from tests.core.applications.house import asked_of, told
from tests.pictures import portrait


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[Parts]:
    """A worker that takes so few at a time that it would divide an image's steps."""
    changes = {"worker_batch": 4, "disabled_plugins": ("caption", "cetacean", "clip", "dino")}
    parts = assemble(settings.model_copy(update=changes))
    async with parts.running():
        yield parts


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch's threads wait for each other in a loop, which on a busy machine takes minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pictures() -> list[bytes]:
    """The portrait, upright and mirrored; and no face at all."""
    with Image.open(io.BytesIO(portrait())) as image:
        upright = image.convert("RGB")
    plain = Image.new("RGB", (320, 240), (120, 130, 140))
    mirrored = upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    made = []
    for picture in (upright, mirrored, plain):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=95)
        made.append(file.getvalue())
    return made


async def test_the_face_is_looked_for_once(
    house: Parts, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[tuple[int, ...]] = []
    requests: list[int] = []
    run_finder, analyze = FaceRunner.run, house.use_cases.answers.analyze

    def counted_run(runner: FaceRunner, batch: Sequence[Any]) -> Sequence[Any]:
        searched.extend(picture.shape for picture in batch)
        return run_finder(runner, batch)

    async def counted_analyze(picture: Any, tasks: Sequence[Any], **options: Any) -> Any:
        requests.append(len(tasks))
        return await analyze(picture, tasks, **options)

    monkeypatch.setattr(FaceRunner, "run", counted_run)
    monkeypatch.setattr(house.use_cases.answers, "analyze", counted_analyze)
    use_cases = house.use_cases
    principal = await use_cases.access.local()
    (skin,) = [one for one in use_cases.applications.declared if one.name == "face_skin"]
    assert [use_cases.applications.unavailable_reason(step) for step in skin.steps] == [None] * 11
    dataset = await use_cases.datasets.create(principal, "faces")
    run = await use_cases.runs.attach(principal, skin.id, dataset.id)
    for number, picture in enumerate(pictures):
        new = NewImage(dataset.id, f"{number}.jpg")
        await use_cases.images.add(principal, new, io.BytesIO(picture))
    assert await house.worker.drain() == 33
    assert requests == [11, 11, 11]
    assert len(searched) == 3

    asked = await asked_of(house, run.id)
    assert [one.task_id for one in asked[:11]] == [step.key for step in skin.steps]
    ended = {one.task_id: one for one in asked[:11]}
    too_small = {"skin_lines", "skin_pores"}  # which say how many pixels they need
    for key, one in ended.items():
        expected = AnalysisStatus.FAILED if key in too_small else AnalysisStatus.COMPLETED
        assert one.status is expected, (key, one.error_message)
    without = asked[22:]
    assert {(one.status, one.error_code) for one in without} == {(AnalysisStatus.FAILED, "SKIPPED")}
    assert "No prominent face" in (without[0].error_message or "")
    assert len(await told(house, "run.completed")) == 3

"""BLIP at full size, with seeded weights in a folder as published, against transformers itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from matplotlib import get_data_path
from PIL import Image

from opsin import Picture, Repository
from opsin.plugins.caption.plugin import DescribeImage
from tests.plugins.caption.models import blip_folder
from tests.plugins.caption.writing import captions, item, runner_of

kinds: Any = transformers  # most of it tells no types

pytestmark = pytest.mark.timeout(600)

LENGTH = 8


@pytest.fixture(scope="module")
def portraits() -> list[Picture]:
    """Grace Hopper, and the same from farther away, turned upside down."""
    with Image.open(Path(get_data_path(), "sample_data", "grace_hopper.jpg")) as image:
        portrait = np.array(image.convert("RGB"))
    return [portrait, portrait[::-2, ::2].copy()]


def test_blip_writes_what_transformers_writes(tmp_path: Path, portraits: list[Picture]) -> None:
    """Also that the files that are fetched are enough."""
    folder = blip_folder(tmp_path, full_size=True)
    processor = kinds.BlipProcessor.from_pretrained(folder)
    model = kinds.BlipForConditionalGeneration.from_pretrained(folder)
    expected, pixels = [], []
    for portrait in portraits:
        inputs = processor(images=Image.fromarray(portrait), return_tensors="pt")
        pixels.append(inputs["pixel_values"])
        expected.append(model.generate(**inputs, max_length=LENGTH)[0].tolist())
    del model

    (requirement,) = DescribeImage.models
    assert isinstance(requirement.origin, Repository)
    runner = runner_of(folder, files=requirement.origin.files)
    assert runner.memory_bytes() == pytest.approx(896e6, rel=0.01)
    prepared = [runner.prepare(item(portrait, max_length=LENGTH)) for portrait in portraits]
    for one, reference in zip(prepared, pixels, strict=True):
        assert torch.equal(one.question["pixel_values"], reference)
    assert [one.tokens for one in runner.run(prepared)] == expected
    assert len(set(expected[0] + expected[1])) > 4
    (caption,) = captions(runner, item(portraits[0], max_length=LENGTH))
    assert caption.truncated and len(caption.text.split()) == LENGTH - 1

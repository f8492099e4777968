"""The gate: the zero-shot score of CLIP, and what a manifest may say of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from opsin import Item, Params, Picture
from opsin.core.errors import ConfigurationError
from opsin.core.neural import UnusableWeights
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.results import SCREEN, CetaceanScreening
from tests.plugins.cetacean.making import (
    NEGATIVE,
    POSITIVE,
    context_of,
    gate,
    load,
    manifest,
    operation,
    pictures,
    save_gate,
)
from tests.plugins.published import change, change_weights, opened
from tests.plugins.running import results

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_gate(tmp_path)
    return tmp_path


def screened(runner: Any, given: list[Picture]) -> list[CetaceanScreening]:
    return list(results(runner, [Item(picture, Params()) for picture in given]))


def even(given: list[Picture]) -> list[Picture]:
    """Squares, whose margins every library rounds alike."""
    return [np.array(Image.fromarray(picture).resize((150, 150))) for picture in given]


def zero_shot(folder: Path, given: list[Picture]) -> list[float]:
    """As transformers computes it: its own processor, tokenizer and CLIPModel."""
    model = opened(CLIPModel, folder)
    tokens = AutoTokenizer.from_pretrained(folder)(
        [*POSITIVE, *NEGATIVE], padding=True, return_tensors="pt"
    )
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    images = [Image.fromarray(picture) for picture in given]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = model(pixel_values=pixels, **tokens).logits_per_image
    return [float(row.softmax(0)[: len(POSITIVE)].sum()) for row in logits]


@pytest.mark.parametrize("count", [1, 3, 8, 17])
def test_the_score_is_that_of_transformers(folder: Path, count: int) -> None:
    runner = load(manifest(folder, gate=gate()), SCREEN)
    given = even(pictures(count))
    found = screened(runner, given)
    expected = zero_shot(folder / "gate", given)
    assert [one.cetacean_score for one in found] == pytest.approx(expected, abs=1e-4)
    if count > 3:
        assert np.std(expected) > 0.01, "the pictures must differ for this to say anything"


def test_a_batch_scores_as_each_alone(folder: Path) -> None:
    runner = load(manifest(folder, gate=gate()), SCREEN)
    given = pictures(5)
    together = [one.cetacean_score for one in screened(runner, given)]
    alone = [screened(runner, [picture])[0].cetacean_score for picture in given]
    assert together == pytest.approx(alone, abs=1e-5)


def test_the_threshold_itself_passes(folder: Path) -> None:
    (picture,) = pictures(1)
    runner = load(manifest(folder, gate=gate()), SCREEN)
    (free,) = screened(runner, [picture])
    score = free.cetacean_score
    (at,) = screened(load(manifest(folder, gate=gate(threshold=score)), SCREEN), [picture])
    above = float(np.nextafter(score, 1))
    (below,) = screened(load(manifest(folder, gate=gate(threshold=above)), SCREEN), [picture])
    assert (at.is_cetacean, at.threshold) == (True, score)
    assert below.is_cetacean is False
    assert below.cetacean_score == at.cetacean_score == score
    (annotation,) = below.annotations()
    assert annotation.class_name == "other"
    assert annotation.confidence == pytest.approx(1 - score)


def test_padding_keeps_the_ends_of_a_wide_picture(folder: Path) -> None:
    """Seen in the pixels: a network with random weights scores all pictures much alike."""
    dark = np.zeros((60, 600, 3), np.uint8)
    bright = dark.copy()
    bright[:, :150] = 255  # outside the centre that CLIP crops
    cropped = load(manifest(folder, gate=gate()), SCREEN)
    kept = load(manifest(folder, gate=gate(resize="pad")), SCREEN)
    assert not cropped.prepare(Item(bright, Params())).any()
    assert not kept.prepare(Item(dark, Params())).any()
    seen = kept.prepare(Item(bright, Params()))
    # 600 x 60 pixels become 224 x 22 in the middle, the bright quarter 56 of these columns.
    assert seen.shape == (224, 224, 3)
    assert seen[104:120, :50].min() > 250
    assert not seen[104:120, 62:].any()
    assert not seen[:98].any() and not seen[126:].any()


def test_without_a_gate_there_is_nothing_to_screen_with(folder: Path) -> None:
    from tests.plugins.cetacean.making import discover

    host = discover(manifest(folder))
    assert host.failures == ()
    assert list(host.operations) == ["embed_cetacean", "identify_cetacean"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: change(f, model_type="siglip"), "is a model of type 'siglip', not 'clip'"),
        (lambda f: change_weights(f, logit_scale=None), "lack logit_scale"),
        (lambda f: change_weights(f, head=torch.zeros(2)), "head in .* is no weight of CLIP"),
        (
            lambda f: change_weights(f, **{"visual_projection.weight": None}),
            "visual_projection.weight is missing",
        ),
    ],
)
def test_weights_that_are_not_clips_are_refused(folder: Path, spoil: Any, complaint: str) -> None:
    spoil(folder / "gate")
    with pytest.raises(UnusableWeights, match=complaint):
        load(manifest(folder, gate=gate()), SCREEN)


# --- calibration ----------------------------------------------------------------------------------


def calibration(file: Path, **more: Any) -> dict[str, Any]:
    """A file of `opsin calibrate` for the gate of that manifest."""
    screen = operation(file, SCREEN)
    fingerprint = context_of(screen, file.parent).models["gate"].fingerprint
    return {
        "operation": SCREEN,
        "operation_version": screen.version,
        "score": "cetacean_score",
        "threshold": 0.61,
        "models": [{"role": "gate", "name": "small-gate", "fingerprint": fingerprint}],
        **more,
    }


def calibrated(folder: Path, **more: Any) -> Path:
    told = calibration(manifest(folder, gate=gate()), **more)
    (folder / "gate.json").write_text(json.dumps(told))
    return manifest(folder, gate=gate(threshold=None, calibration="gate.json"))


def test_a_calibration_gives_the_threshold(folder: Path) -> None:
    file = calibrated(folder)
    (found,) = screened(load(file, SCREEN), pictures(1))
    assert found.threshold == 0.61
    pipeline = Pipeline.read(file)
    assert pipeline.screening_version == f"{pipeline.scoring_version}+threshold=0.61"


def test_a_calibration_for_other_prompts_is_refused(folder: Path) -> None:
    file = calibrated(folder)
    told = json.loads(file.read_text())
    told["gate"]["positive"] = ["a photo of a whale"]
    file.write_text(json.dumps(told))
    with pytest.raises(ConfigurationError, match=r"gate\.json was made for other prompts"):
        Pipeline.read(file)


def test_a_calibration_of_another_score_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="is of image_quality's cetacean_score, not of"):
        Pipeline.read(calibrated(folder, operation="image_quality"))


def test_a_calibration_for_other_weights_is_refused(folder: Path) -> None:
    file = calibrated(folder, models=[{"role": "gate", "fingerprint": "0" * 64}])
    with pytest.raises(UnusableWeights, match="calibrated with other weights"):
        load(file, SCREEN)


@pytest.mark.parametrize("text", ["", "{}", '{"threshold": 2}'])
def test_a_file_that_is_no_calibration_is_refused(folder: Path, text: str) -> None:
    (folder / "gate.json").write_text(text)
    file = manifest(folder, gate=gate(threshold=None, calibration="gate.json"))
    with pytest.raises(ConfigurationError, match=r"gate\.calibration: gate\.json: "):
        Pipeline.read(file)
    (folder / "gate.json").unlink()
    with pytest.raises(ConfigurationError, match=r"gate\.json: No such file"):
        Pipeline.read(file)

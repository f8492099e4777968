"""Pictures as models want them: the very pixels of the libraries they were trained with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.v2.functional import resize
from transformers import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from opsin.core.imaging import Preprocessing
from tests.pictures import noise

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
CROPPED = Preprocessing(224, 224, MEAN, STD, shorter_side=224)
STRETCHED = Preprocessing(224, 224, MEAN, STD, Image.Resampling.BILINEAR)
SIZES = [(640, 480), (480, 641), (641, 480), (333, 999), (225, 224), (224, 224), (90, 70), (1, 9)]
"""Width and height: larger, smaller and equal, with even and odd margins."""


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("side", [224, 30])
def test_pixels_are_those_of_torchvision(width: int, height: int, side: int) -> None:
    picture = noise(width, height)
    ours = Preprocessing(side, side, MEAN, STD, shorter_side=side).pixels(picture)
    scaled = Resize(side, InterpolationMode.BICUBIC)(Image.fromarray(picture))
    assert np.array_equal(ours, np.asarray(CenterCrop(side)(scaled)))


def processed(processor: Any, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """What an image processor of transformers makes of a picture, as levels of 0 to 255."""
    values = processor(Image.fromarray(picture), return_tensors="np", do_normalize=False)
    return np.asarray(values["pixel_values"][0], np.float64).transpose(1, 2, 0) * 255


@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 999), (225, 224), (90, 70)])
def test_pixels_are_those_of_transformers(width: int, height: int) -> None:
    picture = noise(width, height)
    ours = CROPPED.pixels(picture)
    assert np.array_equal(ours, processed(CLIPImageProcessorPil(), picture).round())


def test_transformers_crops_an_odd_margin_one_pixel_before_torchvision() -> None:
    picture = noise(641, 480)  # 299 wide when scaled, of which 75 are cut: 38 at the left, or 37
    ours = CROPPED.pixels(picture)
    theirs = processed(CLIPImageProcessorPil(), picture).round()
    assert np.array_equal(ours[:, :-1], theirs[:, 1:])
    assert not np.array_equal(ours, theirs)


def test_the_processor_on_tensors_scales_a_little_otherwise() -> None:
    picture = noise(640, 480)
    difference = np.abs(CROPPED.pixels(picture) - processed(CLIPImageProcessor(), picture).round())
    assert 0 < difference.max() <= 1


def test_a_crop_smaller_than_the_scaled_picture() -> None:
    picture = noise(200, 320)
    ours = Preprocessing(96, 64, MEAN, STD, shorter_side=100).pixels(picture)
    scaled = Resize(100, InterpolationMode.BICUBIC)(Image.fromarray(picture))
    assert np.array_equal(ours, np.asarray(CenterCrop((96, 64))(scaled)))


@pytest.mark.parametrize(("width", "height"), [(60_000, 2), (2, 60_001), (1, 60_000)])
def test_a_strip_takes_no_more_than_its_middle(width: int, height: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    middle = (slice(height // 2 - 8, height // 2 + 9), slice(width // 2 - 8, width // 2 + 9))
    picture[tuple(s if s.start > 0 else slice(None) for s in middle)] = 255
    pixels = CROPPED.pixels(picture)  # all of it would be 224 x 6,720,000 pixels or more
    assert pixels.shape == (224, 224, 3)
    assert pixels.min() == 255


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_stretched_pictures_are_those_of_torch(width: int, height: int) -> None:
    picture = noise(width, height)
    planes = torch.from_numpy(picture).permute(2, 0, 1).float()
    expected = resize(planes, [224, 224], InterpolationMode.BILINEAR, antialias=True)
    ours = STRETCHED.stretched(picture)
    assert ours.dtype == np.float32
    assert ours.shape == (224, 224, 3)
    assert np.abs(ours - expected.permute(1, 2, 0).numpy()).max() < 0.01


def test_a_large_picture_is_stretched_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(500, 301)
    whole = STRETCHED.stretched(picture)
    monkeypatch.setattr("opsin.core.imaging.preprocessing._FLOATS_AT_ONCE", 7 * 500)
    assert np.array_equal(STRETCHED.stretched(picture), whole)


def test_stretched_bytes() -> None:
    picture = noise(90, 200)
    expected = np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.array_equal(STRETCHED.pixels(picture), expected)


# --- preprocessor_config.json ---------------------------------------------------------------------


def read(folder: Path, default: Preprocessing, **told: Any) -> Preprocessing:
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(told))
    return Preprocessing.read(file, default)


def test_what_is_not_in_the_file_is_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, CROPPED) == CROPPED
    assert read(tmp_path, STRETCHED, size=None, do_center_crop=None, unknown=3) == STRETCHED


@pytest.mark.parametrize(
    ("size", "crop_size"),
    [(336, 300), ({"shortest_edge": 336}, {"height": 300, "width": 300})],
    ids=["old", "new"],
)
def test_sizes_as_old_and_new_files_tell_them(tmp_path: Path, size: Any, crop_size: Any) -> None:
    made = read(tmp_path, CROPPED, size=size, crop_size=crop_size, do_center_crop=True, resample=2)
    assert (made.shorter_side, made.height, made.width) == (336, 300, 300)
    assert made.resample is Image.Resampling.BILINEAR
    assert made.mean == MEAN


def test_sizes_to_stretch_to(tmp_path: Path) -> None:
    made = read(tmp_path, STRETCHED, size={"height": 32, "width": 48}, image_mean=[0, 0.5, 1])
    assert (made.height, made.width, made.shorter_side) == (32, 48, None)
    assert (made.mean, made.std) == ((0, 0.5, 1), STD)
    square = read(tmp_path, STRETCHED, size=64)
    assert (square.height, square.width) == (64, 64)


@pytest.mark.parametrize(
    ("default", "told", "reason"),
    [
        (CROPPED, {"size": "large"}, "size"),
        (CROPPED, {"size": 0}, "size"),
        (CROPPED, {"size": {"longest_edge": 224}}, "size: "),
        (CROPPED, {"size": {"height": 224, "width": 224}}, "shortest edge"),
        (CROPPED, {"size": 224, "crop_size": 336}, "must not be larger"),
        (CROPPED, {"do_center_crop": False}, "do_center_crop must be true"),
        (STRETCHED, {"do_center_crop": True}, "do_center_crop must be false"),
        (STRETCHED, {"size": {"shortest_edge": 224}}, "height and width"),
        (CROPPED, {"do_resize": False}, "must be true"),
        (CROPPED, {"rescale_factor": 1 / 127.5}, "rescale_factor"),
        (CROPPED, {"image_mean": [0.5]}, "image_mean"),
        (CROPPED, {"resample": 17}, "resample"),
    ],
)
def test_what_is_not_done_here_is_refused(
    tmp_path: Path, default: Preprocessing, told: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=r"^preprocessor_config\.json: .*" + reason):
        read(tmp_path, default, **told)


@pytest.mark.parametrize("text", ["{", "[]", "3", ""])
def test_a_file_that_says_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "preprocessor_config.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^preprocessor_config\.json: "):
        Preprocessing.read(file, CROPPED)

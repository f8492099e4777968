"""Pictures of the face and its areas: where they lie, what they show, when there are none."""

import io
import math

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from opsin import Picture, Region
from opsin.core.testing import run_operation
from opsin.plugins.skin.geometry import AREAS, FACE
from opsin.plugins.skin.plugin import FindFaceAreas
from opsin.plugins.skin.results import AlignedFace, FaceAreas
from tests.plugins.skin.faces import LIPS, SKIN, PaintedFace, scaled

Pixels = npt.NDArray[np.int64]


def found_in(picture: Picture, region: Region) -> FaceAreas:
    result: FaceAreas = run_operation(FindFaceAreas(), picture, region=region)
    return result


def files(result: FaceAreas) -> dict[str, Pixels]:
    shown = {}
    for artifact in result.artifacts():
        assert artifact.content_type == "image/jpeg"
        with Image.open(io.BytesIO(artifact.content)) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            shown[artifact.name] = np.array(image).astype(np.int64)
    return shown


def moved(aligned: AlignedFace, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = aligned.matrix
    return a * x + b * y + c, d * x + e * y + f


@pytest.mark.parametrize("eye_distance", [60, 150, 390])
@pytest.mark.parametrize("roll", [-35.0, 0.0, 12.0])
def test_the_eyes_are_level_at_the_same_place_of_every_square(
    eye_distance: float, roll: float
) -> None:
    face = PaintedFace(eye_distance, roll=roll)
    result = found_in(face.picture, face.region)
    aligned = result.aligned
    assert aligned.size == pytest.approx(3.5 * min(eye_distance, 200), abs=1)
    (x, y), (u, v) = (moved(aligned, point.x, point.y) for point in result.landmarks[:2])
    assert (x + u) / 2 == pytest.approx(aligned.size / 2, abs=0.1)
    assert (y, v) == pytest.approx((0.37 * aligned.size,) * 2, abs=0.1)
    assert u - x == pytest.approx(aligned.size / 3.5, abs=0.5)
    a, b, _, d, e, _ = aligned.matrix  # a similarity: no shear, no mirror
    assert (a, b) == (e, -d) and math.hypot(a, b) <= 1 + 1e-6


@pytest.mark.parametrize("eye_distance", [90, 430])
def test_the_square_shows_the_pixels_that_the_matrix_says(eye_distance: float) -> None:
    face = PaintedFace(eye_distance, roll=20)
    result = found_in(face.picture, face.region)
    square = files(result)["aligned_face.jpg"]
    assert square.shape == (result.aligned.size, result.aligned.size, 3)
    # The middles of the forehead, the mouth and an eye, and a spot that only one place has.
    for place, colour in (((0, -0.45), SKIN), ((0, 1.0), LIPS), ((0.7, 0.6), SKIN)):
        x, y = moved(result.aligned, *face.frame.to_picture(place))
        assert square[round(y), round(x)] == pytest.approx(colour, abs=12)
    face.disc(0.6, 0.6, 8.0, (20, 30, 200))
    blue = files(found_in(face.picture, face.region))["aligned_face.jpg"]
    rows, columns = np.nonzero(blue[..., 2] - blue[..., 0] > 100)
    expected = moved(result.aligned, *face.frame.to_picture((0.6, 0.6)))
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(expected, abs=1.0)


def test_a_large_face_is_averaged_and_not_sampled() -> None:
    """Noise of single pixels must fade where several become one."""
    face = PaintedFace(800)
    random = np.random.default_rng(3)
    face.light += random.normal(0, 30, face.light.shape)
    square = files(found_in(face.picture, face.region))["aligned_face.jpg"]
    side = len(square)
    cheek = square[int(0.50 * side) : int(0.56 * side), int(0.66 * side) : int(0.72 * side)]
    assert cheek.std(axis=(0, 1)).max() < 12


def test_each_visible_area_has_its_picture() -> None:
    face = PaintedFace(120)
    face.fill(face.area("nose"), (30, 60, 220))
    result = found_in(face.picture, face.region)
    shown = files(result)
    names = {name: "aligned_face.jpg" if name == FACE else f"{name}.jpg" for name in AREAS}
    assert set(shown) == set(names.values())
    middle = {
        name: picture[len(picture) // 2, picture.shape[1] // 2] for name, picture in shown.items()
    }
    assert middle["nose.jpg"] == pytest.approx((30, 60, 220), abs=15)
    assert middle["chin.jpg"] == pytest.approx(SKIN, abs=15)
    # A file that an annotation names is taken for its mask, which these are not.
    assert {one.storage_path for one in result.annotations()} == {None}


def test_an_area_out_of_the_picture_has_no_picture_and_what_is_outside_is_black() -> None:
    face = PaintedFace(120)
    edge = round(face.frame.to_picture((0.30, 0.0))[0])
    cut = face.picture[:, :edge].copy()
    region = Region(face.region.box.clipped(edge, len(cut)), 0.9, face.region.landmarks)
    result = found_in(cut, region)
    shown = files(result)
    assert "left_cheek.jpg" not in shown and "right_cheek.jpg" in shown
    square = shown["aligned_face.jpg"]
    column = math.ceil(moved(result.aligned, edge, 0)[0])
    assert square[:, column + 8 :].max() < 12 < square[:, : column - 8].min(axis=1).max()


def test_the_files_are_no_part_of_the_json_and_the_same_each_time() -> None:
    face = PaintedFace(100, roll=5)
    one, other = (found_in(face.picture, face.region) for _ in range(2))
    assert one == other and one.artifacts() == other.artifacts()
    assert one.model_copy(update={"note": "as the engine does"}).artifacts() == one.artifacts()
    read = FaceAreas.model_validate_json(one.model_dump_json())
    # So that nobody is lent a result whose files are missing.
    assert read.artifacts() == () and read != one


def test_a_smaller_picture_has_a_smaller_square_and_is_not_enlarged() -> None:
    face = PaintedFace(120)
    small = found_in(*scaled(face.picture, face.region, 0.5))
    assert small.aligned.size == pytest.approx(210, abs=2)
    assert math.hypot(*small.aligned.matrix[:2]) == pytest.approx(1, abs=1e-6)

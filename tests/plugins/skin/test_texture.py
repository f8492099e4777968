"""Lines of known length, spots and blobs of known number, shadows of known depth."""

import numpy as np
import pytest

from opsin.plugins.skin.runner.filters import lab, linear
from tests.plugins.skin.faces import SKIN, PaintedFace, area_of, measured, metric_of

DARKER = (165, 122, 100)
BROWN = (150, 105, 75)


def lightness(colour: tuple[int, int, int]) -> float:
    return float(lab(linear(np.array([[colour]], np.uint8)))[0, 0, 0])


# --- lines and wrinkles ---------------------------------------------------------------------------

STROKES = {
    "level": ((-0.45, -0.5), (0.45, -0.5)),
    "steep": ((0.5, 0.5), (0.58, 0.85)),
    "slanted": ((0.45, 0.5), (0.8, 0.7)),
    "diagonal": ((-0.45, 0.75), (-0.75, 0.45)),
}


@pytest.mark.parametrize(("kind", "width"), [("wrinkles", 1.5), ("lines", 0.6)])
@pytest.mark.parametrize("stroke", STROKES)
def test_the_length_that_was_drawn_is_what_is_measured(
    kind: str, width: float, stroke: str
) -> None:
    """In every direction, though pixels are square."""
    face = PaintedFace(260)
    truth = face.line(*STROKES[stroke], width, DARKER)
    result = measured(kind, face)
    truth += width  # its ends are round
    assert metric_of(result, f"{kind}_length").value == pytest.approx(truth, rel=0.1)
    assert len(result.shapes) == 1


def test_lengths_add_up_and_density_is_by_area() -> None:
    face = PaintedFace(200)
    heights = (-0.58, -0.52, -0.46)
    truth = sum(face.line((-0.3, t), (0.3, t), 1.5, DARKER) + 1.5 for t in heights)
    result = measured("wrinkles", face)
    length = metric_of(result, "wrinkles_length", "forehead").value
    assert length == pytest.approx(truth, rel=0.1)
    square_centimetres = face.area("forehead").sum() / (10 * face.millimetre) ** 2
    assert area_of(result, "forehead").main.value == pytest.approx(
        length / square_centimetres, rel=0.03
    )
    assert metric_of(result, "wrinkles_length", "left_cheek").value == 0


def test_deeper_wrinkles_are_stronger() -> None:
    strengths = []
    for colour in ((190, 146, 122), DARKER, (120, 85, 68)):
        face = PaintedFace(200)
        face.line((-0.4, -0.5), (0.4, -0.5), 1.5, colour)
        strengths.append(metric_of(measured("wrinkles", face), "wrinkles_strength").value)
    assert strengths == sorted(strengths)
    assert strengths[-1] > 2 * strengths[0]


@pytest.mark.parametrize("kind", ["lines", "wrinkles"])
def test_edges_spots_and_slow_shadows_are_no_lines(kind: str) -> None:
    face = PaintedFace(200, noise=1.0)
    shade = np.clip(0.5 + face.s, 0, 1)
    face.blend(0.4 * shade, DARKER)
    for s in (-0.6, -0.5, 0.5, 0.6):
        face.disc(s, 0.6, 2.0, BROWN)
    face.fill(face.area("chin"), (190, 146, 122))
    assert metric_of(measured(kind, face), f"{kind}_length").value == 0


def test_bright_lines_are_no_wrinkles() -> None:
    face = PaintedFace(200)
    face.line((-0.4, -0.5), (0.4, -0.5), 1.5, (235, 195, 175))
    assert metric_of(measured("wrinkles", face), "wrinkles_length").value == 0


# --- spots ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eye_distance", [100, 200, 330])
def test_the_spots_that_were_painted_are_counted(eye_distance: float) -> None:
    face = PaintedFace(eye_distance, noise=1.0)
    places = [(s, t) for s in (0.5, 0.6, 0.7) for t in (0.5, 0.6, 0.7)]
    for s, t in places:
        face.disc(s, t, 3.0, BROWN)
    result = measured("pigmentation", face)
    assert metric_of(result, "spots").value == len(places)
    assert metric_of(result, "spots", "left_cheek").value == len(places)
    assert metric_of(result, "spots", "right_cheek").value == 0
    cheek = face.area("left_cheek").sum() / face.millimetre**2
    truth = len(places) * np.pi * 1.5**2 / cheek
    assert area_of(result, "left_cheek").main.value == pytest.approx(truth, rel=0.3)
    assert len(result.shapes) == len(places)


def test_darker_spots_have_more_contrast() -> None:
    contrasts = []
    for colour in ((180, 135, 105), BROWN, (110, 70, 45)):
        face = PaintedFace()
        face.disc(0.6, 0.6, 4.0, colour)
        contrasts.append(metric_of(measured("pigmentation", face), "spots_contrast").value)
    assert contrasts == sorted(contrasts) and contrasts[-1] > 2 * contrasts[0]


def test_redness_and_lines_are_no_pigment() -> None:
    """Blood takes away green light and leaves the red."""
    face = PaintedFace()
    face.disc(0.6, 0.6, 5.0, (206, 125, 110))
    face.line((-0.4, -0.5), (0.4, -0.5), 1.2, DARKER)
    assert metric_of(measured("pigmentation", face), "spots").value == 0


# --- pores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eye_distance", [180, 256, 400])
def test_the_blobs_that_were_painted_are_counted(eye_distance: float) -> None:
    face = PaintedFace(eye_distance)
    random = np.random.default_rng(3)
    places = [(s, t) for s in np.arange(0.45, 0.8, 0.05) for t in np.arange(0.48, 0.75, 0.05)]
    for s, t in places:
        ds, dt = random.uniform(-0.008, 0.008, 2)
        face.disc(s + ds, t + dt, 0.8, DARKER)
    result = measured("pores", face)
    assert metric_of(result, "pores_number").value == len(places)
    (shape,) = result.shapes
    assert not shape.is_outline
    found = np.array(shape.coordinates).reshape(-1, 2)
    for s, t in places:
        away = np.hypot(*(found - face.frame.to_picture((s, t))).T).min()
        assert away < 1.0 * face.millimetre
    square_centimetres = face.area("left_cheek").sum() / (10 * face.millimetre) ** 2
    number = metric_of(result, "pores_number", "left_cheek").value
    density = area_of(result, "left_cheek").main.value
    assert density == pytest.approx(number / square_centimetres, rel=0.03)


def test_lines_and_slow_shadows_are_no_pores() -> None:
    face = PaintedFace(256)
    face.blend(0.4 * np.clip(0.5 + face.s, 0, 1), DARKER)
    face.line((-0.4, -0.5), (0.4, -0.48), 0.8, DARKER)
    assert metric_of(measured("pores", face), "pores_number").value <= 2  # its two ends


# --- eyes -----------------------------------------------------------------------------------------


def test_dark_circles_are_as_dark_as_painted() -> None:
    face = PaintedFace()
    under = (185, 142, 122)
    for name in ("left_under_eye", "right_under_eye"):
        face.fill(face.area(name), under)
    result = measured("eye_area", face)
    truth = lightness(SKIN) - lightness(under)
    for area in ("face", "left_eye_area", "right_eye_area"):
        assert metric_of(result, "dark_circles", area).value == pytest.approx(truth, rel=0.08)
    assert [area.area for area in result.areas] == ["face", "left_eye_area", "right_eye_area"]
    assert len(result.shapes) == 2


def test_each_eye_is_measured_for_itself() -> None:
    face = PaintedFace()
    face.fill(face.area("left_under_eye"), (185, 142, 122))
    result = measured("eye_area", face)
    assert metric_of(result, "dark_circles", "left_eye_area").value > 5
    assert metric_of(result, "dark_circles", "right_eye_area").value == pytest.approx(0, abs=0.1)


def test_a_fold_under_the_eye_is_a_bag_and_a_slow_shadow_is_none() -> None:
    """The fold's depth, smoothed over a millimetre; a straight change of light counts as none."""
    plain, shaded, folded = PaintedFace(), PaintedFace(), PaintedFace()
    shaded.blend(0.5 * np.clip(1 - shaded.t, 0, 1), DARKER)
    for s in (-0.5, 0.5):
        folded.line((s - 0.25, 0.36), (s + 0.25, 0.36), 4.0, DARKER)
    bags = [
        metric_of(measured("eye_area", face), "eye_bags").value for face in (plain, shaded, folded)
    ]
    depth = lightness(SKIN) - lightness(DARKER)
    assert bags[0] < 0.2 and bags[1] < 0.1 * depth
    assert bags[2] == pytest.approx(depth, rel=0.2)

"""Redness, tone, uniformness and shine of faces painted in known colours."""

import math

import numpy as np
import pytest

from opsin.plugins.skin.runner.colour import tone_of
from opsin.plugins.skin.runner.filters import lab, linear
from tests.plugins.skin.faces import (
    SKIN,
    PaintedFace,
    area_of,
    enclosed,
    measured,
    metric_of,
)

RED = (215, 125, 115)


def lab_of(*colour: int) -> list[float]:
    levels: list[float] = lab(linear(np.array([[colour]], np.uint8)))[0, 0].tolist()
    return levels


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 128, 0), (46.23, -51.70, 49.90)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_cielab_is_that_of_the_tables(
    colour: tuple[int, int, int], expected: tuple[float, float, float]
) -> None:
    assert lab_of(*colour) == pytest.approx(expected, abs=0.02)


# --- redness --------------------------------------------------------------------------------------


def test_a_plain_face_has_the_a_of_its_colour_and_nothing_local() -> None:
    result = measured("redness", PaintedFace())
    for area in result.areas:
        assert area.main.value == pytest.approx(lab_of(*SKIN)[1], abs=0.05), area.area
        assert metric_of(result, "redness_local", area.area).value == 0
    assert result.shapes == ()
    assert result.areas[0].area == "face"


def test_the_redness_that_was_painted_is_what_is_measured() -> None:
    face = PaintedFace()
    painted = face.distance(0.62, 0.6) < 8
    face.fill(painted, RED)
    result = measured("redness", face)
    cheek = face.area("left_cheek")
    truth = float((painted & cheek).sum() / cheek.sum())
    # Smoothed over a millimetre, its edge lies a little outside.
    assert metric_of(result, "redness_local", "left_cheek").value == pytest.approx(truth, rel=0.08)
    assert metric_of(result, "redness_local", "right_cheek").value == 0
    plain, red = lab_of(*SKIN)[1], lab_of(*RED)[1]
    expected = plain + truth * (red - plain)
    assert metric_of(result, "redness_global", "left_cheek").value == pytest.approx(
        expected, abs=0.3
    )
    (shape,) = result.shapes
    assert enclosed(shape.coordinates) == pytest.approx(painted.sum(), rel=0.1)
    assert shape.intensity == pytest.approx(red - plain, abs=2.0)


def test_more_redness_never_scores_better() -> None:
    scores = []
    for radius in (0, 3, 6, 9, 12):
        face = PaintedFace(120)
        face.fill(face.distance(0.62, 0.6) < radius, RED)
        face.fill(face.distance(-0.62, 0.6) < radius, RED)
        scores.append(area_of(measured("redness", face)).main.score)
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert scores[0] is not None and scores[-1] is not None and scores[-1] < scores[0] - 10


def test_a_redder_face_is_redder_overall_and_not_in_places() -> None:
    result = measured("redness", PaintedFace(skin=RED))
    assert area_of(result).main.value == pytest.approx(lab_of(*RED)[1], abs=0.05)
    assert metric_of(result, "redness_local").value == 0


# --- tone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "label"),
    [
        ((240, 215, 205), "very light"),
        ((225, 180, 150), "light"),
        ((195, 150, 120), "intermediate"),
        ((170, 120, 90), "tan"),
        ((135, 90, 62), "brown"),
        ((60, 40, 30), "dark"),
    ],
)
def test_tone_is_the_angle_of_the_painted_colour(colour: tuple[int, int, int], label: str) -> None:
    """Every tone is found to be skin, and none has a score."""
    lightness, _, b = lab_of(*colour)
    result = measured("tone", PaintedFace(100, skin=colour))
    for area in result.areas:
        angle = math.degrees(math.atan((lightness - 50) / b))
        assert area.main.value == pytest.approx(angle, abs=0.5)
        assert (area.main.label, area.main.score) == (label, None)
        assert area.skin_share > 0.97
    assert metric_of(result, "lightness").value == pytest.approx(lightness, abs=0.1)


@pytest.mark.parametrize(
    ("lightness", "b", "angle"),
    [(60, 10, 45), (50, 10, 0), (40, 10, -45), (70, 0, 90), (30, -5, -90)],
)
def test_the_angle_stays_within_its_range(lightness: float, b: float, angle: float) -> None:
    assert tone_of(lightness, b)[0] == pytest.approx(angle)


# --- uniformness ----------------------------------------------------------------------------------


def test_a_plain_face_is_uniform() -> None:
    result = measured("uniformness", PaintedFace())
    assert area_of(result).main.value < 0.05
    assert area_of(result).main.score == 100


def test_two_colours_differ_by_half_their_distance() -> None:
    """Of two equal halves every colour is half the distance from the mean."""
    other = (185, 140, 118)
    face = PaintedFace()
    face.fill(face.ellipse(0, 0.38, 1.1, 1.3) & (face.s > 0) & (np.abs(face.s) > 0.2), other)
    face.fill(face.area("nose") & (face.s > 0), other)
    distance = math.dist(lab_of(*SKIN), lab_of(*other))
    found = measured("uniformness", face)
    assert area_of(found).main.value == pytest.approx(distance / 2, rel=0.08)
    assert area_of(found, "nose").main.value == pytest.approx(distance / 2, rel=0.1)
    assert area_of(found, "left_cheek").main.value < 0.05


# --- shine ----------------------------------------------------------------------------------------


def white_added(
    face: PaintedFace, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], part: float
) -> None:
    """Add white light of so many of the skin's luminances."""
    light = linear(np.array([[SKIN]], np.uint8))[0, 0].astype(float)
    luminance = float(light @ (0.2126729, 0.7151522, 0.0721750))
    shining = light + part * luminance
    face.fill(mask, 255 * (1.055 * shining ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("part", [0.4, 0.8])
def test_the_white_light_that_was_added_is_the_shine(part: float) -> None:
    face = PaintedFace()
    painted = face.ellipse(0, -0.52, 0.3, 0.08)
    white_added(face, painted, part)
    result = measured("shine", face)
    forehead = face.area("forehead")
    truth = float((painted & forehead).sum() / forehead.sum())
    found = area_of(result, "forehead")
    assert found.main.value == pytest.approx(truth, rel=0.12)
    assert metric_of(result, "shine_strength", "forehead").value == pytest.approx(part, rel=0.1)
    assert area_of(result, "left_cheek").main.value == 0
    (shape,) = result.shapes
    assert enclosed(shape.coordinates) == pytest.approx(painted.sum(), rel=0.15)


def test_brighter_skin_of_the_same_colour_does_not_shine() -> None:
    face = PaintedFace()
    light = linear(np.array([[SKIN]], np.uint8))[0, 0].astype(float) * 1.4
    face.fill(face.ellipse(0, -0.52, 0.3, 0.08), 255 * (1.055 * light ** (1 / 2.4) - 0.055))
    assert area_of(measured("shine", face)).main.value == 0

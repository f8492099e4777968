"""A little more light or another size moves the measures by no more than stated here."""

from typing import Any

import numpy as np
import pytest

from opsin import Picture, Region
from opsin.core.testing import run_operation
from opsin.plugins.skin.results import SkinMeasures
from tests.plugins.skin.faces import (
    OPERATIONS,
    PaintedFace,
    area_of,
    brighter,
    measured,
    metric_of,
    operation,
    scaled,
)

DARKER, BROWN, RED = (165, 122, 100), (150, 105, 75), (215, 125, 115)


def lived_in(eye_distance: float = 220, **more: Any) -> PaintedFace:
    """A face that has something of everything."""
    face = PaintedFace(eye_distance, noise=0.7, **more)
    face.blend(0.2 * np.clip(0.5 + face.s, 0, 1), DARKER)
    face.fill(face.distance(0.62, 0.75) < 6, RED)
    for t in (-0.56, -0.5):
        face.line((-0.4, t), (0.4, t), 1.4, DARKER)
    face.line((-0.7, 0.5), (-0.6, 0.62), 0.5, DARKER)
    for s in (-0.5, -0.6, -0.7):
        face.disc(s, 0.72, 3.0, BROWN)
    for step in range(30):
        face.disc(-0.12 + 0.04 * (step % 6), 0.3 + 0.04 * (step // 6), 0.8, DARKER)
    for s in (-0.5, 0.5):
        face.blend(0.7 * face.ellipse(s, 0.24, 0.25, 0.08), DARKER)
    face.fill(face.ellipse(0, -0.44, 0.2, 0.03), (245, 225, 215))
    return face


FACE = lived_in()
MEASURES = [name for name in OPERATIONS if name != "image_quality"]
BOUNDS = {
    "redness": 4.0,
    "uniformness": 3.0,
    "lines": 5.0,
    "wrinkles": 8.0,
    "pores": 5.0,
    "pigmentation": 10.0,
    "shine": 3.0,
    "eye_area": 5.0,
}
"""Points of the score, of 100, by which `face` may move."""


def again(measure: str, picture: Picture, region: Region) -> SkinMeasures:
    return run_operation(operation(measure), picture, region=region)


def check_near(measure: str, one: SkinMeasures, other: SkinMeasures) -> None:
    before, after = area_of(one).main, area_of(other).main
    if measure == "tone":
        return
    assert before.score is not None and after.score is not None
    assert after.score == pytest.approx(before.score, abs=BOUNDS[measure])


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.1])
@pytest.mark.parametrize("measure", MEASURES)
def test_a_tenth_more_or_less_light(measure: str, factor: float) -> None:
    lit = again(measure, brighter(FACE.picture, factor), FACE.region)
    check_near(measure, measured(measure, FACE), lit)
    if measure == "tone":
        angle = area_of(measured(measure, FACE)).main.value
        assert area_of(lit).main.value == pytest.approx(angle, abs=8)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.25, 1.6])
@pytest.mark.parametrize("measure", MEASURES)
def test_another_size_of_the_picture(measure: str, factor: float) -> None:
    plain = measured(measure, FACE)
    other = again(measure, *scaled(FACE.picture, FACE.region, factor))
    check_near(measure, plain, other)
    if measure == "tone":
        assert area_of(other).main.value == pytest.approx(area_of(plain).main.value, abs=0.5)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_head_held_at_an_angle(measure: str) -> None:
    check_near(measure, measured(measure, FACE), measured(measure, lived_in(roll=12)))


@pytest.mark.parametrize("measure", MEASURES)
def test_landmarks_a_little_beside_their_place(measure: str) -> None:
    """By 2 % of the distance between the eyes, about what a face finder varies by."""
    random = np.random.default_rng(1)
    moved = [
        (x + dx, y + dy)
        for (x, y), (dx, dy) in zip(
            FACE.region.landmarks, random.normal(0, 0.02 * 220, (5, 2)).tolist(), strict=True
        )
    ]
    region = Region(FACE.region.box, 0.9, tuple(moved))
    check_near(measure, measured(measure, FACE), again(measure, FACE.picture, region))


def test_the_lived_in_face_shows_all_of_it() -> None:
    """So that nothing above is stable for being zero."""
    assert metric_of(measured("redness", FACE), "redness_local").value > 0.005
    assert metric_of(measured("pigmentation", FACE), "spots", "right_cheek").value == 3
    assert metric_of(measured("pores", FACE), "pores_number").value >= 25
    assert metric_of(measured("lines", FACE), "lines_length").value > 5
    assert metric_of(measured("wrinkles", FACE), "wrinkles_length").value > 80
    assert metric_of(measured("shine", FACE), "shine").value > 0.005
    assert metric_of(measured("eye_area", FACE), "dark_circles").value > 5

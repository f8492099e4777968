"""Face coordinates: landmarks in, areas out, whatever the size, the turn and the place."""

import math

import pytest

from opsin.plugins.skin.geometry import (
    AREAS,
    CORE,
    FACE,
    NOT_SKIN,
    FaceFrame,
    area_of,
    inside_picture,
)
from tests.plugins.skin.faces import PaintedFace, enclosed

UPRIGHT = ((100.0, 200.0), (200.0, 200.0), (150.0, 260.0), (112.0, 315.0), (188.0, 315.0))


def test_the_landmarks_have_the_coordinates_that_define_them() -> None:
    frame = FaceFrame.of(UPRIGHT)
    assert frame is not None
    assert (frame.eye_distance, frame.roll) == (100, 0)
    for point, expected in zip(
        (*UPRIGHT[:2], (150.0, 315.0)), ((-0.5, 0.0), (0.5, 0.0), (0.0, 1.0)), strict=True
    ):
        assert frame.to_face(point) == pytest.approx(expected)
        assert frame.to_picture(expected) == pytest.approx(point)
    assert frame.nose == pytest.approx((0, 60 / 115))


@pytest.mark.parametrize("degrees", [-40, -10, 15, 60])
def test_a_turned_head_has_the_same_coordinates(degrees: float) -> None:
    turn, scale = math.radians(degrees), 1.7
    cosine, sine = scale * math.cos(turn), scale * math.sin(turn)
    moved = [(cosine * x - sine * y + 9, sine * x + cosine * y - 4) for x, y in UPRIGHT]
    frame, upright = FaceFrame.of(moved), FaceFrame.of(UPRIGHT)
    assert frame is not None and upright is not None
    assert frame.roll == pytest.approx(degrees)
    assert frame.nose == pytest.approx(upright.nose)
    for points in AREAS.values():
        for before, after in zip(upright.outline(points), frame.outline(points), strict=True):
            x, y = before
            assert after == pytest.approx((cosine * x - sine * y + 9, sine * x + cosine * y - 4))


@pytest.mark.parametrize(
    "landmarks",
    [
        (),
        UPRIGHT[:4],
        ((5.0, 5.0),) * 5,
        (UPRIGHT[1], UPRIGHT[0], *UPRIGHT[2:]),  # left and right exchanged
        (*UPRIGHT[:2], UPRIGHT[2], (480.0, 215.0), (520.0, 215.0)),  # the mouth beside the eyes
    ],
)
def test_what_is_no_face_from_the_front_has_no_frame(
    landmarks: tuple[tuple[float, float], ...],
) -> None:
    assert FaceFrame.of(landmarks) is None


def test_areas_lie_inside_the_face_and_apart_from_each_other() -> None:
    face = PaintedFace(60)
    whole = face.area(FACE)
    others = {name: face.area(name) for name in AREAS if name != FACE}
    for name, mask in others.items():
        assert mask.any(), name
        assert (mask & whole).sum() >= 0.99 * mask.sum(), name
        for other, second in others.items():
            if other != name:
                assert not (mask & second).any(), (name, other)


def test_left_and_right_are_mirrored() -> None:
    for name in AREAS:
        if name.startswith("left_"):
            right = AREAS[name.replace("left_", "right_")]
            assert {(-s, t) for s, t in AREAS[name]} == set(right)
            assert min(s for s, _ in AREAS[name]) > 0  # the person's left: right in the picture
    assert set(CORE) < set(AREAS)
    assert len(NOT_SKIN) == 4


def test_an_outline_encloses_its_area_in_pixels() -> None:
    frame = FaceFrame.of(UPRIGHT)
    assert frame is not None
    coordinates = [round(v) for point in frame.outline(AREAS[FACE]) for v in point]
    assert enclosed(coordinates) == pytest.approx(math.pi * 100 * 1.18 * 115, rel=0.01)


@pytest.mark.parametrize(
    ("x", "y", "share"), [(10, 10, 1), (-5, 10, 0.5), (95, 95, 0.25), (-20, 0, 0), (200, 200, 0)]
)
def test_the_share_of_an_outline_inside_a_picture(x: float, y: float, share: float) -> None:
    square = [(x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10)]
    assert area_of(inside_picture(square, 100, 100)) / area_of(square) == pytest.approx(share)


def test_a_hollow_outline_keeps_its_area_when_clipped() -> None:
    """A U that is cut through both of its arms."""
    u = [(0.0, 0.0), (2.0, 0.0), (2.0, 8.0), (8.0, 8.0), (8.0, 0.0), (10.0, 0.0), (10.0, 10.0),
         (0.0, 10.0)]  # fmt: skip
    assert area_of(inside_picture(u, 10, 5)) == pytest.approx(20)
    assert area_of(u) == pytest.approx(52)

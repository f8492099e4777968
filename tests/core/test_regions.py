"""Persons and faces of one picture, with searches that are answered by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsin.core.contract import Box, FaceContext, Picture, Region, Target
from opsin.core.errors import OperationFailed, OperationUnavailable, OpsinError
from opsin.core.regions import (
    NO_PERSON_DETECTOR,
    NO_PERSON_FOR_FACE,
    Finding,
    PictureRegions,
    RegionNeed,
    region_need,
)

PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE
PICTURE: Picture = np.zeros((50, 80, 3), np.uint8)
Answer = Callable[[Region | OpsinError | None], None]


def box(x_min: int, y_min: int, x_max: int, y_max: int) -> Box:
    return Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def region(*sides: int) -> Region:
    return Region(box(*sides), 0.5)


@dataclass
class Searches:
    """Notes what is searched; the test answers."""

    asked: list[tuple[Target, tuple[int, ...]]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.regions = PictureRegions(PICTURE, self.search)

    def search(self, target: Target, picture: Picture, inside: Box, then: Answer) -> None:
        assert picture.base is PICTURE or picture is PICTURE
        assert picture.shape[:2] == (inside.height, inside.width)
        self.asked.append((target, picture.shape[:2]))
        self.answers.append(then)

    def find(self, *needs: RegionNeed) -> "Searches":
        for need in needs:
            self.regions.find(need, self.found.append)
        return self


@pytest.mark.parametrize(
    ("target", "context", "need"),
    [
        (Target.WHOLE_IMAGE, FaceContext.PROMINENT_PERSON, None),
        (PERSON, FaceContext.WHOLE_IMAGE, RegionNeed.PERSON),
        (FACE, FaceContext.PROMINENT_PERSON, RegionNeed.FACE_IN_PERSON),
        (FACE, FaceContext.WHOLE_IMAGE, RegionNeed.FACE_IN_IMAGE),
    ],
)
def test_what_a_task_needs(target: Target, context: FaceContext, need: RegionNeed | None) -> None:
    assert region_need(target, context) is need


def test_a_region_is_searched_once_and_told_to_all_who_ask_before_and_after() -> None:
    searches = Searches().find(RegionNeed.PERSON, RegionNeed.PERSON)
    assert searches.asked == [(PERSON, (50, 80))]
    assert searches.found == []
    searches.answers[0](region(10, 10, 30, 40))
    searches.find(RegionNeed.PERSON)
    assert searches.found == [Finding(region(10, 10, 30, 40), searched=(PERSON,))] * 3
    assert len(searches.asked) == 1


def test_the_face_is_looked_for_in_the_persons_crop_and_moved_back() -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON, RegionNeed.PERSON)
    searches.answers[0](region(10, 20, 30, 45))
    assert searches.asked == [(PERSON, (50, 80)), (FACE, (25, 20))]
    searches.answers[1](region(1, 2, 9, 8))
    assert searches.found == [
        Finding(region(10, 20, 30, 45), searched=(PERSON,)),
        Finding(region(11, 22, 19, 28), searched=(PERSON, FACE)),
    ]


def test_a_person_without_a_face_is_not_searched_elsewhere() -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON)
    searches.answers[0](region(10, 20, 30, 45))
    searches.answers[1](None)
    assert searches.found == [Finding(searched=(PERSON, FACE))]
    assert len(searches.asked) == 2


@pytest.mark.parametrize("first", [0, 1])
def test_the_two_contexts_are_independent_in_any_order(first: int) -> None:
    needs = [RegionNeed.FACE_IN_IMAGE, RegionNeed.FACE_IN_PERSON]
    searches = Searches()
    searches.find(needs[first], needs[1 - first])
    answers = dict(zip(searches.asked, searches.answers, strict=True))
    answers[PERSON, (50, 80)](region(10, 20, 30, 45))
    answers[FACE, (50, 80)](region(0, 0, 5, 5))
    searches.answers[2](region(0, 0, 5, 5))
    assert {f.region.box for f in searches.found if f.region} == {
        box(0, 0, 5, 5),
        box(10, 20, 15, 25),
    }


@pytest.mark.parametrize("face", [None, region(1, 1, 4, 4)])
def test_without_a_person_both_contexts_share_one_search(face: Region | None) -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON, RegionNeed.FACE_IN_IMAGE)
    searches.answers[0](None)
    assert searches.asked == [(PERSON, (50, 80)), (FACE, (50, 80))]
    searches.answers[1](face)
    assert Finding(face, searched=(FACE,)) in searches.found
    assert Finding(face, NO_PERSON_FOR_FACE, searched=(PERSON, FACE)) in searches.found


def test_without_a_person_detector_the_search_goes_on_and_says_so() -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON, RegionNeed.PERSON)
    missing = OperationUnavailable("no weights")
    searches.answers[0](missing)
    searches.answers[1](region(1, 1, 4, 4))
    assert searches.found == [
        Finding(error=missing),
        Finding(region(1, 1, 4, 4), NO_PERSON_DETECTOR, searched=(FACE,)),
    ]


@pytest.mark.parametrize("step", [0, 1])
def test_a_search_that_fails_is_an_error_and_not_an_empty_picture(step: int) -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON)
    error = OperationFailed("broken")
    if step == 1:
        searches.answers[0](region(10, 20, 30, 45))
    searches.answers[step](error)
    assert [finding.error for finding in searches.found] == [error]
    assert len(searches.asked) == step + 1


@pytest.mark.parametrize("sides", [(5, 5, 5, 9), (9, 9, 3, 20), (80, 0, 99, 50), (-9, 0, 0, 9)])
def test_a_box_without_pixels_is_nothing_found(sides: tuple[int, ...]) -> None:
    searches = Searches().find(RegionNeed.PERSON)
    searches.answers[0](region(*sides))
    assert searches.found[0].region is None


@given(st.lists(st.integers(-200, 200), min_size=8, max_size=8))
def test_every_region_lies_in_the_picture(sides: list[int]) -> None:
    searches = Searches().find(RegionNeed.FACE_IN_PERSON, RegionNeed.PERSON)
    searches.answers[0](region(*sides[:4]))
    searches.answers[1](region(*sides[4:]))
    for finding in searches.found:
        found: Any = finding.region
        if found is not None:
            assert 0 <= found.box.x_min < found.box.x_max <= 80
            assert 0 <= found.box.y_min < found.box.y_max <= 50


def test_landmarks_move_with_the_box_and_are_not_clipped() -> None:
    """The face is looked for in the person's crop; all it tells is in pixels of the picture."""
    searches = Searches().find(RegionNeed.FACE_IN_PERSON)
    searches.answers[0](region(10, 5, 60, 45))
    searches.answers[1](Region(box(1, 2, 30, 90), 0.8, ((3.5, 4.5), (100.0, 6.0))))
    (found,) = searches.found
    assert found.region == Region(box(11, 7, 40, 50), 0.8, ((13.5, 9.5), (110.0, 11.0)))

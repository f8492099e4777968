"""The parts of one picture that tasks ask for: each found once and shared by all who need it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from opsin.core.contract import Box, FaceContext, Picture, Region, Target
from opsin.core.errors import OperationUnavailable, OpsinError
from opsin.core.imaging import crop

NO_PERSON_DETECTOR = (
    "the person detector is not available here, the face was looked for in the whole image"
)
NO_PERSON_FOR_FACE = "no prominent person was found, the face was looked for in the whole image"


class RegionNeed(StrEnum):
    """A region that a task may need; a face is another one when it is looked for elsewhere."""

    PERSON = "person"
    FACE_IN_PERSON = "face_in_person"
    FACE_IN_IMAGE = "face_in_image"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a search came to: a region in pixels of the whole picture, none, or an error."""

    region: Region | None = None
    note: str | None = None
    """How the search differed from what was asked."""
    error: OpsinError | None = None
    searched: tuple[Target, ...] = ()
    """The targets whose finders were run."""


Found = Callable[[Finding], None]
Search = Callable[[Target, Picture, Box, Callable[[Region | OpsinError | None], None]], None]
"""Looks for one target in a picture or a crop of it, and is told the crop's box in the picture.

The box it finds is in pixels of what it was given.
"""


def region_need(target: Target, face_context: FaceContext) -> RegionNeed | None:
    """The region a task needs; None when it looks at the whole image."""
    if target is Target.WHOLE_IMAGE:
        return None
    if target is Target.PROMINENT_PERSON:
        return RegionNeed.PERSON
    if face_context is FaceContext.PROMINENT_PERSON:
        return RegionNeed.FACE_IN_PERSON
    return RegionNeed.FACE_IN_IMAGE


class PictureRegions:
    """The regions of one picture; calls back, at once when it knows, and is not thread-safe."""

    def __init__(self, picture: Picture, search: Search) -> None:
        self._picture = picture
        self._search = search
        self._found: dict[RegionNeed, Finding] = {}
        self._waiting: dict[RegionNeed, list[Found]] = {}

    def find(self, need: RegionNeed, then: Found) -> None:
        """Call `then` with the region, searching for it if nobody has."""
        if need in self._found:
            then(self._found[need])
        elif need in self._waiting:
            self._waiting[need].append(then)
        else:
            self._waiting[need] = [then]
            self._start(need)

    def _start(self, need: RegionNeed) -> None:
        if need is RegionNeed.FACE_IN_PERSON:
            self.find(RegionNeed.PERSON, self._find_face)
            return
        target = Target.PROMINENT_PERSON if need is RegionNeed.PERSON else Target.PROMINENT_FACE
        height, width = self._picture.shape[:2]
        whole = Box(x_min=0, y_min=0, x_max=width, y_max=height)
        self._look(need, target, whole, searched=(target,))

    def _find_face(self, person: Finding) -> None:
        """The face in the person's crop, or in the whole image when there is no person."""
        both = (Target.PROMINENT_PERSON, Target.PROMINENT_FACE)
        if person.region is not None:
            self._look(
                RegionNeed.FACE_IN_PERSON, Target.PROMINENT_FACE, person.region.box, searched=both
            )
        elif isinstance(person.error, OperationUnavailable):
            self._find_face_in_image(NO_PERSON_DETECTOR, (Target.PROMINENT_FACE,))
        elif person.error is not None:
            # A detector that failed is not the same as nobody being there.
            self._settle(RegionNeed.FACE_IN_PERSON, person)
        else:
            self._find_face_in_image(NO_PERSON_FOR_FACE, both)

    def _find_face_in_image(self, note: str, searched: tuple[Target, ...]) -> None:
        """Share the search of the whole image with tasks that asked for just that."""

        def found(face: Finding) -> None:
            face = replace(face, note=note, searched=searched)
            self._settle(RegionNeed.FACE_IN_PERSON, face)

        self.find(RegionNeed.FACE_IN_IMAGE, found)

    def _look(
        self, need: RegionNeed, target: Target, inside: Box, searched: tuple[Target, ...]
    ) -> None:
        then = partial(self._looked, need, inside, searched)
        self._search(target, crop(self._picture, inside), inside, then)

    def _looked(
        self,
        need: RegionNeed,
        inside: Box,
        searched: tuple[Target, ...],
        answer: Region | OpsinError | None,
    ) -> None:
        if isinstance(answer, OpsinError):
            finding = Finding(error=answer)
        elif answer is None:
            finding = Finding(searched=searched)
        else:
            height, width = self._picture.shape[:2]
            moved = answer.moved(inside.x_min, inside.y_min)
            box = moved.box.clipped(width, height)
            region = None if box.is_empty else replace(moved, box=box)
            finding = Finding(region, searched=searched)
        self._settle(need, finding)

    def _settle(self, need: RegionNeed, finding: Finding) -> None:
        self._found[need] = finding
        for then in self._waiting.pop(need, []):
            then(finding)

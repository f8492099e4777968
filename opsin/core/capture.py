"""What pictures are of and how they are taken: image types, their sides and lights, sexes."""

from collections.abc import Mapping
from dataclasses import dataclass

from opsin.core.errors import InvalidInput
from opsin.core.storable import is_storable_text


@dataclass(frozen=True, slots=True)
class Side:
    """From where a picture shows its subject; callers know it by its name or its number."""

    number: int
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Light:
    """In which light a picture is taken; callers know it by its name or its number."""

    number: int
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Sex:
    """Of a subject, as the caller says; callers know it by its name or its number."""

    number: int
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class ImageType:
    """What the pictures of a dataset are; the first side and light are those of one unsaid."""

    number: int
    name: str
    title: str
    sides: tuple[Side, ...]
    lights: tuple[Light, ...]
    one_per_batch: bool = False
    """Whether a batch has one picture, and not one from each side or several."""


# The numbers are callers' own: a side, light or type keeps its number for ever.
FRONT = Side(1, "front", "Front")
RIGHT = Side(2, "right", "Right")
LEFT = Side(3, "left", "Left")
REGULAR = Light(1, "regular", "Regular")
CROSS_POLARIZED = Light(2, "cross_polarized", "Cross polarized")
PARALLEL_POLARIZED = Light(3, "parallel_polarized", "Parallel polarized")
ULTRAVIOLET = Light(4, "ultraviolet", "Ultraviolet")

IMAGE_TYPES = (
    ImageType(1, "selfie", "Selfie", (FRONT, RIGHT, LEFT), (REGULAR,)),
    ImageType(2, "skin", "Skin", (FRONT,), (REGULAR,), one_per_batch=True),
    ImageType(
        3,
        "visia",
        "Visia",
        (FRONT, RIGHT, LEFT),
        (REGULAR, CROSS_POLARIZED, PARALLEL_POLARIZED, ULTRAVIOLET),
        one_per_batch=True,
    ),
)

SEXES = (Sex(1, "male", "Male"), Sex(2, "female", "Female"))

_TYPES: Mapping[str | int, ImageType] = {
    key: one for one in IMAGE_TYPES for key in (one.name, one.number)
}
_SEXES: Mapping[str | int, Sex] = {key: one for one in SEXES for key in (one.name, one.number)}
_LONGEST_NAME = 64


def image_type(key: str | int) -> ImageType:
    """The image type of this name or number; InvalidInput where there is none."""
    found = _TYPES.get(key)
    if found is None:
        raise InvalidInput(f"There is no image type {key!r}: {_names(IMAGE_TYPES)}")
    return found


def sex(key: str | int) -> Sex:
    """The sex of this name or number; InvalidInput where there is none."""
    found = _SEXES.get(key)
    if found is None:
        raise InvalidInput(f"There is no sex {key!r}: {_names(SEXES)}")
    return found


def captured(
    type_name: str | None, side: str | None, light: str | None
) -> tuple[str | None, str | None]:
    """Side and light of a picture for a dataset of this image type, the unsaid filled in.

    Raises InvalidInput for those that the type lacks.  A dataset without a type takes any names,
    and fills in nothing.
    """
    if type_name is None:
        return _free_name(side, "side"), _free_name(light, "light")
    kind = image_type(type_name)
    return (
        _chosen(kind, "side", kind.sides, side),
        _chosen(kind, "light", kind.lights, light),
    )


def _chosen(
    kind: ImageType, what: str, among: tuple[Side, ...] | tuple[Light, ...], name: str | None
) -> str:
    if name is None:
        return among[0].name
    if all(one.name != name for one in among):
        raise InvalidInput(f"{kind.title} images have no {what} {name!r}: {_names(among)}")
    return name


def _free_name(name: str | None, what: str) -> str | None:
    if name is None:
        return None
    if not 1 <= len(name.strip()) <= _LONGEST_NAME or not is_storable_text(name):
        raise InvalidInput(f"{what} must have 1 to {_LONGEST_NAME} characters")
    return name.strip()


def _names(among: tuple[ImageType, ...] | tuple[Side | Light | Sex, ...]) -> str:
    return ", ".join(one.name for one in among)

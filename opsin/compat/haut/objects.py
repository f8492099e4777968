"""Our records as the clients of the Haut API read them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opsin.compat.haut.answers import invalid, moment
from opsin.core import capture
from opsin.core.capture import IMAGE_TYPES, ImageType, Light, Side
from opsin.core.records import Batch, Dataset, Image, Subject

UNTYPED = IMAGE_TYPES[0]
"""Whose sides and lights the pictures of a dataset without a type have, by their numbers."""

Kind = TypeVar("Kind", Side, Light, ImageType)


def type_of(dataset: Dataset) -> ImageType | None:
    return None if dataset.image_type is None else capture.image_type(dataset.image_type)


def entry(one: Side | Light | capture.Sex) -> dict[str, Any]:
    """An entry of a dictionary."""
    return {"id": one.number, "name": one.title, "tech_name": one.name}


def image_type_object(kind: ImageType) -> dict[str, Any]:
    return {
        "id": kind.number,
        "name": kind.title,
        "tech_name": kind.name,
        "sides": [entry(side) for side in kind.sides],
        "lights": [entry(light) for light in kind.lights],
    }


def numbered(among: Sequence[Kind], number: int | None, attr: str) -> str | None:
    """The name of the one with this number; Refused 400 where there is none."""
    if number is None:
        return None
    for one in among:
        if one.number == number:
            return one.name
    raise invalid(attr, f'Invalid pk "{number}" - object does not exist.', "does_not_exist")


def dataset_object(dataset: Dataset, connected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A dataset, and the applications that are attached to it."""
    kind = type_of(dataset)
    return {
        "id": dataset.id,
        "company_id": dataset.company_id,
        "name": dataset.name,
        "creation_time": moment(dataset.created_at),
        "image_type_id": kind and kind.number,
        "image_type": kind and image_type_object(kind),
        "image_type_name": kind and kind.title,
        "image_type_tech_name": kind and kind.name,
        "expire_images_after_days": dataset.expire_files_after_days,
        "expire_metadata_after_days": dataset.expire_results_after_days,
        "clean_images_as_soon_as_ready": dataset.delete_files_when_ready,
        "custom_branding": dataset.branding,
        "connected_applications": connected,
    }


def subject_object(
    subject: Subject,
    dataset: Dataset,
    company_name: str,
    *,
    author_id: int | None,
    newest_image_id: str | None = None,
) -> dict[str, Any]:
    sex = None if subject.sex is None else capture.sex(subject.sex)
    return {
        "id": subject.id,
        "name": subject.name,
        "birth_date": None if subject.birth_date is None else subject.birth_date.isoformat(),
        "biological_sex": None if sex is None else entry(sex),
        "meta": subject.attributes,
        "author_id": author_id,
        "creation_time": moment(subject.created_at),
        "company": {"id": subject.company_id, "name": company_name},
        "dataset": {"id": dataset.id, "name": dataset.name},
        "promote_image_id": newest_image_id,
    }


def batch_object(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "subject_id": batch.subject_id,
        "dataset_id": batch.dataset_id,
        "company_id": batch.company_id,
        "creation_time": moment(batch.taken_at or batch.created_at),
    }


def image_object(
    image: Image, dataset: Dataset, original: Callable[[Image], str]
) -> dict[str, Any]:
    """An image; `original` makes the address of its file, which may be gone."""
    kind = type_of(dataset)
    known = kind or UNTYPED
    side = next((one for one in known.sides if one.name == image.side), None)
    light = next((one for one in known.lights if one.name == image.light), None)
    return {
        "id": image.id,
        "image_batch_id": image.batch_id,
        "subject_id": image.subject_id,
        "name": image.filename,
        "side": side and entry(side),
        "light": light and entry(light),
        "image_type": kind and {key: image_type_object(kind)[key] for key in _TYPE_KEYS},
        "side_name": side and side.title,
        "side_tech_name": side and side.name,
        "light_name": light and light.title,
        "light_tech_name": light and light.name,
        "image_type_name": kind and kind.title,
        "image_type_tech_name": kind and kind.name,
        "creation_time": moment(image.taken_at or image.created_at),
        # What an image's quality is, its results say.
        "quality_score": None,
        "quality_feedback": None,
        "quality_result": None,
        "quality_issues": [],
        "problems": [],
        "stage_number": None,
        "stage_step_number": None,
        "urls": {"original": None if image.storage_deleted else original(image)},
    }


_TYPE_KEYS = ("id", "name", "tech_name")

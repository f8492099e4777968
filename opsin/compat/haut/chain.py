"""The chain of ids in a path: the image of a batch of a subject of a dataset of a company."""

from dataclasses import dataclass
from typing import TypeVar

from opsin.core.records import Batch, Dataset, Image, Subject

API = "/api/v1"
COMPANY = f"{API}/companies/{{company_id}}"
DATASET = f"{COMPANY}/datasets/{{dataset_id}}"
SUBJECT = f"{DATASET}/subjects/{{subject_id}}"
BATCH = f"{SUBJECT}/batches/{{batch_id}}"
IMAGE = f"{BATCH}/images/{{image_id}}"
"""Paths without the slash at their end; every route is served with it, too."""


Record = TypeVar("Record", Dataset, Subject, Batch, Image)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a path names, each within the one before it."""

    found_dataset: Dataset | None = None
    found_subject: Subject | None = None
    found_batch: Batch | None = None
    found_image: Image | None = None

    @property
    def dataset(self) -> Dataset:
        return _there(self.found_dataset)

    @property
    def subject(self) -> Subject:
        return _there(self.found_subject)

    @property
    def batch(self) -> Batch:
        return _there(self.found_batch)

    @property
    def image(self) -> Image:
        return _there(self.found_image)


def _there(record: Record | None) -> Record:
    if record is None:
        raise LookupError("the route's path does not name this")
    return record

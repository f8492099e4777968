"""Puts subjects, images and measured results into a database, as uploads and workers leave them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, insert

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.storage.applications import application_runs
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, annotations, images, subjects

MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Diary:
    """One subject of a new dataset, and how to put pictures and results there."""

    database: Database
    principal: Principal
    dataset_id: str
    subject_id: str
    batch_id: str | None = None
    images: dict[float, str] = field(default_factory=dict)

    async def image(self, days: float, **more: Any) -> str:
        """An image taken so many days after MOMENT; gives its id."""
        taken_at = MOMENT + timedelta(days=days)
        identity = new_id()
        row = {
            "id": identity,
            "company_id": self.principal.company_id,
            "dataset_id": self.dataset_id,
            "subject_id": self.subject_id,
            "filename": f"{days}.jpg",
            "content_type": "image/jpeg",
            "sha256": "0" * 64,
            "size_bytes": 1,
            "width": 100,
            "height": 100,
            "notes": [],
            "metadata": {},
            "created_at": MOMENT,
            "taken_at": taken_at,
            "side": "front",
            "light": "regular",
        }
        await self._insert(images, [row | more])
        self.images[days] = identity
        return identity

    async def result(
        self,
        image_id: str,
        operation: str | None = "redness",
        metrics: Sequence[Mapping[str, Any]] = (),
        **more: Any,
    ) -> str:
        """A completed analysis with these annotations of type `metric`; gives its id."""
        identity = new_id()
        row = {
            "id": identity,
            "company_id": self.principal.company_id,
            "dataset_id": self.dataset_id,
            "image_id": image_id,
            "external": False,
            "operation": operation,
            "operation_version": "1",
            "task_id": operation,
            "model_name": operation,
            "model_version": "1",
            "status": "COMPLETED",
            "attempts": 1,
            "available_at": MOMENT,
            "created_at": MOMENT,
            "completed_at": MOMENT,
            "updated_at": MOMENT,
        }
        await self._insert(analyses, [row | more])
        for place, data in enumerate(metrics):
            await self.annotation(identity, data=dict(data), ordering=place, class_name=operation)
        return identity

    async def annotation(self, analysis_id: str, **values: Any) -> None:
        """An annotation, of type `metric` unless another is given."""
        row = {
            "id": new_id(),
            "company_id": self.principal.company_id,
            "analysis_id": analysis_id,
            "annotation_type": "metric",
            "created_at": MOMENT,
        }
        await self._insert(annotations, [row | values])

    async def scored(
        self, days: float, score: float, operation: str = "redness", **more: Any
    ) -> str:
        """An image of its own with one scored result; gives the image's id."""
        image_id = await self.image(days)
        await self.result(image_id, operation, [score_of(operation, score)], **more)
        return image_id

    async def run(self, application_id: str) -> str:
        """The application attached to the dataset; gives the run's id."""
        row = {
            "id": new_id(),
            "company_id": self.principal.company_id,
            "dataset_id": self.dataset_id,
            "application_id": application_id,
            "steps": [],
            "is_enabled": True,
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "history": [],
        }
        await self._insert(application_runs, [row])
        return str(row["id"])

    async def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        async with self.database.write() as transaction:
            await transaction.connection.execute(insert(table), rows)


def score_of(measure: str, score: float, **more: Any) -> dict[str, Any]:
    return {"name": f"face.{measure}", "value": score / 10, "unit": "share", "score": score, **more}


async def diary(parts: Parts, principal: Principal) -> Diary:
    """A new dataset with one subject in it."""
    database = parts.use_cases.database
    dataset = await parts.use_cases.datasets.create(principal, "faces")
    subject_id = new_id()
    subject = {
        "id": subject_id,
        "company_id": principal.company_id,
        "dataset_id": dataset.id,
        "name": "Grace",
        "attributes": {},
        "created_at": MOMENT,
    }
    made = Diary(database, principal, dataset.id, subject_id)
    await made._insert(subjects, [subject])
    return made

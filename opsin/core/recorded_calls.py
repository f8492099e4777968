"""What is stored of recorded calls: the pictures, and one analysis with its findings a task."""

import asyncio
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.analyses import task_columns
from opsin.core.analysis_events import status_event
from opsin.core.annotations import insert_annotations
from opsin.core.answers.earlier_results import is_restorable
from opsin.core.artifacts import Artifacts, with_storage_paths
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.engine import Outcome
from opsin.core.errors import NotFound
from opsin.core.images import NewImage, image_values, require_image
from opsin.core.imaging import DecodedImage, ImageInfo, encode_png
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.endings import ending_of
from opsin.core.queue.finished import Finished
from opsin.core.recording import Call, OpenedAgain
from opsin.core.records import Analysis, from_values
from opsin.core.similarity.embeddings import embedding_row
from opsin.core.soft_deletion import not_deleted
from opsin.core.storable import check_json, storable_text
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import analyses, companies, datasets, images
from opsin.storage.vectors import insert_embeddings

_PNG_COMPRESSION = 1
"""Pixels without a file are kept by the camera's dozen: space is cheaper than time."""
_LONGEST_TASK_ID = 255


@dataclass(frozen=True, slots=True)
class _Stored:
    """A picture whose bytes lie in the blob store."""

    sha256: str
    size_bytes: int
    info: ImageInfo


@dataclass(frozen=True, slots=True)
class _Placed:
    """A call whose image has a row, and the rows of its analyses with how each ended."""

    rows: Sequence[dict[str, Any]]
    endings: Sequence[Finished]


class RecordedCalls:
    """Stores calls, many in one transaction."""

    def __init__(self, database: Database, blobs: BlobStore, artifacts: Artifacts) -> None:
        self._database = database
        self._blobs = blobs
        self._artifacts = artifacts

    async def write(self, calls: Sequence[Call]) -> int:
        """Store them; gives how many: of an image that was deleted nothing is stored.

        Raises StorageError, or InvalidInput for params that no database keeps.
        """
        # One after the other: only one picture is in memory for this.
        pictures = [await self._store(call) for call in calls]
        async with self._database.write() as transaction:
            await transaction.lock_blobs(exclusive=False)
            placed = []
            for call, picture in zip(calls, pictures, strict=True):
                image = await self._place(transaction, call, picture)
                if image is not None:
                    _note(transaction, call, *image)
                    placed.append(await asyncio.to_thread(_ended, call, *image))
            await self._insert(transaction, placed)
        return len(placed)

    async def _store(self, call: Call) -> _Stored | None:
        """Put the picture into the blob store; None where it is an image already."""
        if call.picture is None:
            return None
        content, sha256, info = await asyncio.to_thread(_file_of, call)
        key = content_key(sha256)
        if await self._blobs.stat(key) is None:
            await self._blobs.put_file(key, io.BytesIO(content), content_type=info.content_type)
        return _Stored(sha256, len(content), info)

    async def _place(
        self, transaction: Transaction, call: Call, picture: _Stored | None
    ) -> tuple[str, str] | None:
        """Dataset and id of the call's image, inserted if it is new; None if it was deleted."""
        connection = transaction.connection
        if picture is None:
            assert call.image_id is not None  # a call has a picture or an image
            try:
                image = await require_image(connection, call.principal, call.image_id, keep=True)
            except NotFound:
                return None
            return image.dataset_id, image.id
        if await self._blobs.stat(content_key(picture.sha256)) is None:
            await self._store(call)  # swept between the put and the lock
        dataset_id = await _dataset(transaction, call.principal, call.api)
        new = NewImage(
            dataset_id,
            call.filename or _name(call, picture.info),
            uploaded_by=call.principal.name[:320],
        )
        values = image_values(
            call.principal, new, picture.info, picture.sha256, picture.size_bytes
        ) | {"created_at": call.begun}
        await connection.execute(insert(images).values(values))
        transaction.emit(
            NewEvent(
                "image.created",
                call.principal.company_id,
                dataset_id=dataset_id,
                image_id=values["id"],
            )
        )
        return dataset_id, values["id"]

    async def _insert(self, transaction: Transaction, placed: Sequence[_Placed]) -> None:
        rows = [row for one in placed for row in one.rows]
        if not rows:
            return
        endings = [ending for one in placed for ending in one.endings]
        connection = transaction.connection
        files = await self._artifacts.put(
            [(ending.analysis, file) for ending in endings for file in ending.artifacts]
        )
        await connection.execute(insert(analyses), rows)
        await insert_annotations(
            connection,
            [
                (
                    ending.analysis,
                    CheckedAnnotations.of(
                        with_storage_paths(ending.analysis.id, ending.annotations, ending.artifacts)
                    ),
                )
                for ending in endings
            ],
        )
        await insert_embeddings(
            connection,
            [embedding_row(one.analysis, one.embedding) for one in endings if one.embedding],
        )
        await self._artifacts.name(transaction, files)
        for ending in endings:
            transaction.emit(status_event(ending.analysis, ending.status))


def _note(transaction: Transaction, call: Call, dataset_id: str, image_id: str) -> None:
    operations = sorted({outcome.task.operation.name for outcome in call.analyzed.outcomes})
    audit.note(
        transaction, call.principal, "analysis.record", ("image", image_id),
        dataset_id=dataset_id, api=call.api, operations=operations,
    )  # fmt: skip


def _file_of(call: Call) -> tuple[bytes, str, ImageInfo]:
    """The bytes that were sent, or the pixels as PNG; their digest; what the picture is like."""
    picture, info = call.picture, call.analyzed.info
    if isinstance(picture, DecodedImage):
        content = encode_png(picture.pixels, _PNG_COMPRESSION)
        info = replace(info, format="PNG", content_type="image/png")
    elif isinstance(picture, OpenedAgain):
        content = picture.read()
    else:
        assert picture is not None  # asked for pictures only
        content = picture
    return content, hashlib.sha256(content).hexdigest(), info


def _ended(call: Call, dataset_id: str, image_id: str) -> _Placed:
    """The rows of the call's analyses, as a worker would have left them."""
    outcomes = call.analyzed.outcomes
    identities = new_ids(len(outcomes)) if outcomes else []
    rows: list[dict[str, Any]] = []
    endings = []
    for identity, outcome in zip(identities, outcomes, strict=True):
        task = outcome.task
        begun = {
            "id": identity,
            "company_id": call.principal.company_id,
            "dataset_id": dataset_id,
            "image_id": image_id,
            "external": False,
            **task_columns(task),
            "task_id": storable_text(task.task_id)[:_LONGEST_TASK_ID],
            "status": AnalysisStatus.PROCESSING.value,
            "priority": 0,
            "attempts": 1,
            "requested_by": call.principal.account_id or call.principal.key_id,
            "available_at": call.begun,
            "created_at": call.begun,
            "started_at": call.begun,
            "updated_at": call.ended,
        }
        check_json(begun["parameters"], "params")
        ending = _final(ending_of(from_values(Analysis, begun), outcome), outcome)
        rows.append(
            begun
            | {
                "status": ending.status.value,
                "completed_at": call.ended,
                "result_type": ending.result_type,
                "result": ending.result,
                "result_key": ending.result_key,
                "provenance": ending.provenance,
                "error_code": ending.error_code,
                "error_message": ending.error_message,
            }
        )
        endings.append(ending)
    return _Placed(rows, endings)


def _final(ending: Finished, outcome: Outcome) -> Finished:
    """What would be tried again in the queue has failed here: its caller was told so."""
    if ending.status is AnalysisStatus.QUEUED:
        return replace(ending, status=AnalysisStatus.FAILED)
    if ending.result is not None and outcome.result_key is not None and is_restorable(outcome):
        return replace(ending, result_key=outcome.result_key)
    return ending


async def _dataset(transaction: Transaction, principal: Principal, api: str) -> str:
    """The id of the caller's dataset for what comes by this API, made when it is not there."""
    connection, name = transaction.connection, f"Recorded from {api}"
    # Two servers that record the first call at the same moment make one dataset.
    await connection.execute(
        select(companies.c.id)
        .where(companies.c.id == principal.company_id)
        .with_for_update(key_share=True)
    )
    found = await connection.execute(
        select(datasets.c.id)
        .where(
            datasets.c.company_id == principal.company_id,
            datasets.c.name == name,
            *not_deleted(datasets),
        )
        .order_by(datasets.c.id)
        .limit(1)
        .with_for_update(read=True, key_share=True)
    )
    identity: str | None = found.scalar()
    if identity is not None:
        return identity
    identity, now = new_id(), datetime.now(UTC)
    values = {
        "id": identity,
        "company_id": principal.company_id,
        "name": name,
        "description": "Pictures whose analyses were asked for and answered at once",
        "created_at": now,
        "updated_at": now,
    }
    await connection.execute(insert(datasets).values(values))
    transaction.emit(NewEvent("dataset.created", principal.company_id, dataset_id=identity))
    return identity


def _name(call: Call, info: ImageInfo) -> str:
    """For a picture that came without one: when it came."""
    ending = info.content_type.rpartition("/")[2].replace("jpeg", "jpg")
    return f"{call.begun:%Y-%m-%d %H.%M.%S.%f}"[:-3] + f".{ending}"

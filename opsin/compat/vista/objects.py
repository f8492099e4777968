"""Our records as VISTA's clients read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from opsin.core.accounts import Account
from opsin.core.annotations import NewRow
from opsin.core.comments import Comment
from opsin.core.deletion_log import ImageDeletion
from opsin.core.image_classes import ImageClass, ImageClassification
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.metadata import MetadataEntry
from opsin.core.records import Analysis, ApiKey, Dataset, Image
from opsin.storage.json_text import dump_json

_EMPTY = orjson.Fragment(b"[]")


def moment(value: datetime | None) -> str | None:
    """UTC with microseconds and `Z`."""
    if value is None:
        return None
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def stored_json(value: Any) -> Any:
    """JSON from the database, with every digit of its numbers."""
    return None if value is None else orjson.Fragment(dump_json(value))


def analysis_object(
    analysis: Analysis, annotations: bytes | None = None, *, status: str | None = None
) -> dict[str, Any]:
    """An analysis; `annotations` is a JSON list, `status` the word its caller used."""
    changed = analysis.updated_at if analysis.updated_at != analysis.created_at else None
    return {
        "id": analysis.id,
        "image_id": analysis.image_id,
        "model_name": analysis.model_name,
        "model_version": analysis.model_version,
        "parameters": stored_json(analysis.parameters),
        "status": status or status_word(analysis.status),
        "error_message": analysis.error_message,
        "provenance": stored_json(analysis.provenance),
        "summary": stored_json(analysis.summary),
        "external_job_id": None,
        "priority": analysis.priority,
        "requested_by_id": analysis.requested_by or analysis.company_id,
        "created_at": moment(analysis.created_at),
        "started_at": moment(analysis.started_at),
        "completed_at": moment(analysis.completed_at),
        "updated_at": moment(changed),
        "annotations": _EMPTY if annotations is None else orjson.Fragment(annotations),
    }


def status_word(status: AnalysisStatus) -> str:
    return status.value.lower()


def new_annotations(rows: Sequence[NewRow]) -> bytes:
    """Annotations of one analysis that were just stored, as a JSON list."""
    if not rows:
        return b"[]"
    analysis_id, created_at = rows[0].analysis.id, moment(rows[0].created_at)
    shown = []
    for identity, _, _, (kind, class_name, confidence, data, path, ordering) in rows:
        one = {
            "id": identity,
            "analysis_id": analysis_id,
            "annotation_type": kind,
            "class_name": class_name,
            "confidence": confidence,
            "data": orjson.Fragment(data),
            "storage_path": path,
            "ordering": ordering,
            "created_at": created_at,
        }
        shown.append(one)
    return orjson.dumps(shown)


def project_object(dataset: Dataset, company_name: str) -> dict[str, Any]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": dataset.description or None,
        "meta_group_id": dataset.group_name or company_name,
        "created_at": moment(dataset.created_at),
        "updated_at": moment(dataset.updated_at),
    }


def storage_key(image: Image) -> str:
    return f"{image.dataset_id}/{image.id}/{image.filename}"


def image_object(image: Image) -> dict[str, Any]:
    """An image; its metadata under both names that clients look for."""
    metadata = stored_json(image.metadata)
    return {
        "id": image.id,
        "project_id": image.dataset_id,
        "filename": image.filename,
        "content_type": image.content_type,
        "size_bytes": image.size_bytes,
        "width": image.width,
        "height": image.height,
        "metadata": metadata,
        "metadata_": metadata,
        "object_storage_key": storage_key(image),
        "uploaded_by_user_id": image.uploaded_by,
        "uploader_id": None,
        "created_at": moment(image.created_at),
        "updated_at": moment(image.updated_at),
        "deleted_at": moment(image.deleted_at),
        "deleted_by_user_id": image.deleted_by,
        "deletion_reason": image.deletion_reason,
        "pending_hard_delete_at": moment(image.pending_hard_delete_at),
        "hard_deleted_at": moment(image.hard_deleted_at),
        "hard_deleted_by_user_id": image.hard_deleted_by,
        "storage_deleted": image.storage_deleted,
    }


def deletion_object(event: ImageDeletion) -> dict[str, Any]:
    return {
        "id": event.id,
        "image_id": event.image_id,
        "project_id": event.dataset_id,
        "filename": event.filename,
        "action": event.action,
        "actor_user_id": event.actor,
        "reason": event.reason,
        "at": moment(event.created_at),
        "created_at": moment(event.created_at),
    }


def class_object(found: ImageClass) -> dict[str, Any]:
    return {
        "id": found.id,
        "project_id": found.dataset_id,
        "name": found.name,
        "description": found.description,
        "created_at": moment(found.created_at),
        "updated_at": moment(found.updated_at),
    }


def classification_object(made: ImageClassification) -> dict[str, Any]:
    return {
        "id": made.id,
        "image_id": made.image_id,
        "class_id": made.class_id,
        "created_by_id": made.created_by,
        "created_at": moment(made.created_at),
        "updated_at": None,
    }


def comment_object(comment: Comment) -> dict[str, Any]:
    return {
        "id": comment.id,
        "image_id": comment.image_id,
        "text": comment.text,
        "author_id": comment.author_id,
        "author_email": comment.author_name,
        "created_at": moment(comment.created_at),
        "updated_at": moment(comment.updated_at),
    }


def metadata_object(entry: MetadataEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "project_id": entry.dataset_id,
        "key": entry.key,
        "value": stored_json(entry.value),
        "created_at": moment(entry.created_at),
        "updated_at": moment(entry.updated_at),
    }


def user_object(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "email": account.email,
        "username": account.email.partition("@")[0],
        "is_active": account.is_active,
        "groups": [],
        "created_at": moment(account.created_at),
        "updated_at": None,
    }


def key_object(key: ApiKey, user_id: str) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "user_id": user_id,
        "is_active": key.revoked_at is None,
        "last_used_at": moment(key.last_used_at),
        "created_at": moment(key.created_at),
        "updated_at": moment(key.revoked_at),
    }

"""The stored things as callers see them: one frozen record a table, named as in the design."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Table

from opsin.core.lifecycle import AnalysisStatus


@dataclass(frozen=True, slots=True)
class Company:
    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    company_id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    account_id: str | None = None
    kind: str = "key"
    number: int | None = None
    expires_at: datetime | None = None
    role: str | None = None
    """What it may do in the whole company; None: only what it may do in single datasets."""


@dataclass(frozen=True, slots=True)
class Dataset:
    id: str
    company_id: str
    name: str
    description: str
    created_at: datetime
    updated_at: datetime
    group_name: str | None = None
    image_type: str | None = None
    expire_files_after_days: int | None = None
    expire_results_after_days: int | None = None
    delete_files_when_ready: bool = False
    branding: int | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    id: str
    company_id: str
    dataset_id: str
    name: str
    attributes: dict[str, Any]
    created_at: datetime
    birth_date: date | None = None
    sex: str | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    id: str
    company_id: str
    dataset_id: str
    subject_id: str | None
    name: str
    created_at: datetime
    taken_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    company_id: str
    dataset_id: str
    subject_id: str | None
    batch_id: str | None
    filename: str
    content_type: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    frames: int
    orientation: int
    orientation_applied: bool
    notes: list[str]
    metadata: dict[str, Any]
    created_at: datetime
    uploaded_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    deletion_reason: str | None = None
    pending_hard_delete_at: datetime | None = None
    hard_deleted_at: datetime | None = None
    hard_deleted_by: str | None = None
    storage_deleted: bool = False
    side: str | None = None
    light: str | None = None
    taken_at: datetime | None = None
    results_deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    id: str
    company_id: str
    dataset_id: str
    image_id: str
    external: bool
    operation: str | None
    operation_version: str | None
    task_id: str | None
    model_name: str
    model_version: str
    parameters: dict[str, Any] | None
    status: AnalysisStatus
    priority: int
    error_code: str | None
    error_message: str | None
    result_type: str | None
    result: dict[str, Any] | None
    summary: dict[str, Any] | None
    provenance: dict[str, Any] | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    reuse: bool
    """Whether what was computed before may be its result."""
    requested_by: str | None = None
    run_id: str | None = None
    traceparent: str | None = None
    """Where in a trace it was asked."""
    suspicion: int = 0
    """How many workers were lost that had it in hand."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", AnalysisStatus(self.status))


@dataclass(frozen=True, slots=True)
class StoredAnnotation:
    id: str
    company_id: str
    analysis_id: str
    annotation_type: str
    class_name: str | None
    confidence: float | None
    data: dict[str, Any]
    storage_path: str | None
    ordering: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Artifact:
    id: str
    company_id: str
    analysis_id: str
    name: str
    content_type: str
    storage_path: str
    size_bytes: int | None
    sha256: str | None
    created_at: datetime
    stored_at: datetime | None


@dataclass(frozen=True, slots=True)
class Collection:
    id: str
    company_id: str
    key: str
    name: str
    description: str
    inputs: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CollectionMember:
    """A member without its vector."""

    id: str
    company_id: str
    collection_id: str
    label: str
    source_key: str | None
    image_id: str | None
    attributes: dict[str, Any]
    model_fingerprints: list[str]
    dimensions: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredClassifier:
    """A classifier without its document."""

    id: str
    company_id: str
    collection_id: str
    digest: str
    score: float | None
    metrics: dict[str, Any]
    is_best: bool
    created_at: datetime


Record = TypeVar("Record")


def columns_of(table: Table, record: type[Any]) -> list[ColumnElement[Any]]:
    """The columns of `table` that `record` holds, in its order."""
    return [table.c[name] for name in record.__dataclass_fields__]


def to_record(record: type[Record], row: Row[Any]) -> Record:
    """The record for one row selected with `columns_of`."""
    return record(*row[: len(record.__dataclass_fields__)])  # type: ignore[attr-defined]  # a dataclass


def from_values(record: type[Record], values: Mapping[str, Any]) -> Record:
    """The record for the values just inserted."""
    defaults = _defaults(record)  # type: ignore[arg-type]  # a class is hashable
    return record(*(values.get(name, default) for name, default in defaults))


@cache
def _defaults(record: type[Any]) -> tuple[tuple[str, Any], ...]:
    """The members and what they are where nothing is said: as declared, which is as stored."""
    found = fields(record)
    return tuple((one.name, None if one.default is MISSING else one.default) for one in found)

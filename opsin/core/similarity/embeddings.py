"""Embeddings of stored analyses: vectors kept as float32 beside the rest of their results."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import BaseModel, create_model
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.contract import Embedding, Result
from opsin.core.errors import InvalidInput
from opsin.core.records import Analysis
from opsin.core.scope import within
from opsin.core.storable import is_storable_text
from opsin.storage.tables import embeddings

if TYPE_CHECKING:
    from opsin.core.engine import Task

VECTOR = "vector"
"""The field of an `Embedding` that is stored apart from its JSON."""
_LONGEST_FINGERPRINT = 64


@dataclass(frozen=True, slots=True)
class NewEmbedding:
    """A vector to store, float32 little-endian, and how it was made."""

    operation: str
    operation_version: str
    target: str
    model_fingerprint: str
    vector: bytes

    @property
    def dimensions(self) -> int:
        return len(self.vector) // 4

    @property
    def space(self) -> str:
        return space_of(self.operation, self.operation_version, self.model_fingerprint)


def space_of(operation: str, operation_version: str, model_fingerprint: str) -> str:
    """The name of the vectors that may be compared with each other: of one operation and model."""
    parts = [operation, operation_version, model_fingerprint]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def new_embedding(task: "Task", result: Result) -> NewEmbedding | None:
    """What is stored of the result of an operation that gives embeddings; None of another's.

    Values beyond float32's precision are rounded to it.  Raises InvalidInput for what is no vector
    of finite float32 values.
    """
    if not issubclass(task.operation.result, Embedding) or not isinstance(result, Embedding):
        return None
    if not result.vector or len(result.vector) != result.dimensions:
        raise InvalidInput("the vector has not as many values as `dimensions` says")
    fingerprint = result.model_fingerprint
    if len(fingerprint) > _LONGEST_FINGERPRINT or not is_storable_text(fingerprint):
        raise InvalidInput(f"a model fingerprint has at most {_LONGEST_FINGERPRINT} characters")
    return NewEmbedding(
        operation=task.operation.name,
        operation_version=task.operation.version,
        target=task.target.value,
        model_fingerprint=fingerprint,
        vector=vector_bytes(result.vector),
    )


def embedding_row(analysis: Analysis, new: NewEmbedding) -> dict[str, Any]:
    """The row to insert for an analysis that ends with this embedding."""
    return {
        "analysis_id": analysis.id,
        "company_id": analysis.company_id,
        "dataset_id": analysis.dataset_id,
        "image_id": analysis.image_id,
        "space": new.space,
        "operation": new.operation,
        "target": new.target,
        "model_fingerprint": new.model_fingerprint,
        "dimensions": new.dimensions,
        "vector": new.vector,
        "created_at": datetime.now(UTC),
    }


def vector_bytes(values: Sequence[float]) -> bytes:
    """Finite values as float32, little-endian; InvalidInput for others."""
    import numpy as np

    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        vector = np.asarray(values, np.float64).astype("<f4")
    if not np.isfinite(vector).all():
        raise InvalidInput("a vector holds finite float32 values only")
    return vector.tobytes()


def vector_values(stored: bytes) -> tuple[float, ...]:
    """The values of a stored vector, exactly: every float32 is a float."""
    import numpy as np

    return tuple(np.frombuffer(stored, "<f4").tolist())


async def read_vectors(
    connection: AsyncConnection, principal: Principal, analysis_ids: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """The vectors of those of the caller's analyses that have one, by analysis."""
    statement = select(embeddings.c.analysis_id, embeddings.c.vector).where(
        within(principal, embeddings), embeddings.c.analysis_id.in_(analysis_ids)
    )
    rows = await connection.execute(statement)
    return {analysis_id: vector_values(vector) for analysis_id, vector in rows}


def is_stored_apart(declared: type[Result], values: dict[str, Any]) -> TypeGuard[type[Embedding]]:
    """Whether a stored result of this type has its vector in the table of embeddings."""
    return issubclass(declared, Embedding) and VECTOR not in values


def needs_vector(declared: type[Embedding]) -> bool:
    """Whether results of this class do something of their own when they are made."""
    return declared.__pydantic_post_init__ is not None


def without_vector(declared: type[Embedding], values: dict[str, Any]) -> Embedding:
    """A stored embedding, checked as it was declared, that has no attribute `vector`.

    Not for a class that `needs_vector`.
    """
    stored = _stored_model(declared).model_validate(values)
    return declared.model_construct(stored.model_fields_set, **dict(stored))


@cache
def _stored_model(declared: type[Embedding]) -> type[BaseModel]:
    """The declared fields but the vector.

    Not the class itself: validators of its own may look at the vector.
    """
    fields = {
        name: (field.annotation, field)
        for name, field in declared.model_fields.items()
        if name != VECTOR
    }
    return create_model(f"Stored{declared.__name__}", **fields)  # type: ignore[call-overload, no-any-return]  # made at run time

"""Analyses told from outside: made and moved on, those of one moment in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit, lifecycle
from opsin.core.access import Principal
from opsin.core.analysis_events import status_event
from opsin.core.errors import Conflict, Forbidden, LimitReached, NotFound, OpsinError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.once import Once, Repeated, earlier_claims, keep_claims
from opsin.core.records import Analysis, columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.core.scope import sees, within_any
from opsin.storage.database import Transaction
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import analyses, images


@dataclass(frozen=True, slots=True)
class NewExternalAnalysis:
    """A run of a model elsewhere, as its pipeline tells of it."""

    image_id: str
    model_name: str
    model_version: str
    parameters: dict[str, Any] | None = None
    provenance: dict[str, Any] | None = None
    priority: int = 0
    requested_by: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """Somebody tells of a new one; `most` is how many its image may have, None: any number."""

    principal: Principal
    new: NewExternalAnalysis
    most: int | None = None
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody says which status an analysis has now, `finalize`: and that this is its end."""

    principal: Principal
    analysis_id: str
    status: AnalysisStatus
    error_message: str | None = None
    summary: dict[str, Any] | None = None
    finalize: bool = False


async def write_told(
    transaction: Transaction, told: Sequence[Telling]
) -> list[Analysis | Exception]:
    """Insert them as QUEUED, each with its event.

    NotFound, Repeated or LimitReached for those that fail.
    """
    connection = transaction.connection
    places = await _places(connection, told)
    counts = await _counts(connection, told)
    # Asked after the images are held: whoever made the same one before has committed it.
    claims = await earlier_claims(transaction, [one.once for one in told if one.once])
    kept: list[tuple[Once, str]] = []
    now = datetime.now(UTC)
    answers: list[Analysis | Exception] = []
    rows: list[dict[str, Any]] = []
    for identity, one in zip(new_ids(len(told)), told, strict=True):
        image_id = canonical_id(one.new.image_id) or ""
        place = places.get((one.principal.company_id, image_id))
        if place is None or not sees(one.principal, one.principal.company_id, place):
            answers.append(NotFound("Image not found"))
            continue
        refused = _refusal(one.principal, place)
        if refused is not None:
            answers.append(refused)
            continue
        if one.once is not None and one.once.digest in claims:
            answers.append(Repeated(claims[one.once.digest]))
            continue
        if one.most is not None and counts.get(image_id, 0) >= one.most:
            answers.append(LimitReached("Analysis limit reached for this image"))
            continue
        counts[image_id] = counts.get(image_id, 0) + 1
        if one.once is not None:
            claims[one.once.digest] = identity
            kept.append((one.once, identity))
        rows.append(
            {
                "id": identity,
                "company_id": one.principal.company_id,
                "dataset_id": place,
                "image_id": image_id,
                "external": True,
                "model_name": one.new.model_name,
                "model_version": one.new.model_version,
                "parameters": one.new.parameters,
                "provenance": one.new.provenance,
                "status": AnalysisStatus.QUEUED.value,
                "priority": one.new.priority,
                "reuse": False,
                "requested_by": one.new.requested_by,
                "attempts": 0,
                "available_at": now,
                "created_at": now,
                "updated_at": now,
            }
        )
        made = from_values(Analysis, rows[-1])
        transaction.emit(status_event(made, AnalysisStatus.QUEUED))
        audit.note(
            transaction, one.principal, "analysis.create", ("analysis", identity),
            dataset_id=place, image=image_id, model=one.new.model_name,
        )  # fmt: skip
        answers.append(made)
    if rows:
        await connection.execute(insert(analyses), rows)
    await keep_claims(transaction, kept)
    return answers


async def write_steps(
    transaction: Transaction, steps: Sequence[Step]
) -> list[Analysis | Exception]:
    """Move them on in the given order; a status that is there already changes nothing."""
    connection = transaction.connection
    there = await _held(connection, steps)
    changes: dict[str, dict[str, Any]] = {}
    answers: list[Analysis | Exception] = []
    for one in steps:
        try:
            analysis, columns = _stepped(there.get(_analysis_key(one)), one)
        except OpsinError as error:
            answers.append(error)
            continue
        answers.append(analysis)
        if columns:
            there[_analysis_key(one)] = analysis
            changes[analysis.id] = changes.get(analysis.id, {}) | columns
            transaction.emit(status_event(analysis, analysis.status))
            audit.note(
                transaction, one.principal,
                "analysis.finalize" if one.finalize else "analysis.update",
                ("analysis", analysis.id),
                dataset_id=analysis.dataset_id, status=analysis.status.value,
            )  # fmt: skip
    for names, rows in _by_columns(changes).items():
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        statement = update(analyses).where(analyses.c.id == bindparam("of_id")).values(values)
        await connection.execute(statement, rows)
    return answers


def _refusal(principal: Principal, dataset_id: str) -> Forbidden | None:
    try:
        principal.require(Permission.REPORT, dataset_id)
    except Forbidden as refused:
        return refused
    return None


def _stepped(analysis: Analysis | None, one: Step) -> tuple[Analysis, dict[str, Any]]:
    """The analysis after the step, and what is to be written of it."""
    if analysis is None or not sees(one.principal, analysis.company_id, analysis.dataset_id):
        raise NotFound("Analysis not found")
    one.principal.require(Permission.REPORT, analysis.dataset_id)
    if not analysis.external:
        raise Conflict("Opsin runs this analysis itself and sets its status")
    change = lifecycle.step(
        analysis.status,
        one.status,
        now=datetime.now(UTC),
        started_at=analysis.started_at,
        error_message=one.error_message,
        finalize=one.finalize,
    )
    if change is None:
        return analysis, {}
    columns = change.columns | ({} if one.summary is None else {"summary": one.summary})
    return replace(analysis, **columns), columns


def _by_columns(
    changes: Mapping[str, Mapping[str, Any]],
) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Rows for one statement each: those in which the same columns change."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for identity, columns in changes.items():
        row = {f"new_{name}": value for name, value in columns.items()} | {"of_id": identity}
        groups.setdefault(tuple(sorted(columns)), []).append(row)
    return groups


async def _places(
    connection: AsyncConnection, told: Sequence[Telling]
) -> dict[tuple[str, str], str]:
    """The datasets of the images by company and image; nobody deletes these until the commit.

    Whoever adds the last analysis that fits, or one that must not come twice, holds the image
    until it is there.
    """
    holds = any(one.most is not None or one.once is not None for one in told)
    statement = (
        select(images.c.company_id, images.c.id, images.c.dataset_id)
        .where(
            images.c.id.in_({canonical_id(one.new.image_id) for one in told} - {None}),
            within_any([one.principal for one in told], images),
        )
        # In one order for everybody: two who hold several images never wait for each other.
        .order_by(images.c.id)
        .with_for_update(read=not holds, key_share=True)
    )
    rows = await connection.execute(statement)
    return {(row.company_id, row.id): row.dataset_id for row in rows}


async def _counts(connection: AsyncConnection, told: Sequence[Telling]) -> dict[str, int]:
    """How many analyses the images have; asked after they are held."""
    wanted = {canonical_id(one.new.image_id) for one in told if one.most is not None} - {None}
    if not wanted:
        return {}
    statement = (
        select(analyses.c.image_id, func.count())
        .where(analyses.c.image_id.in_(wanted))
        .group_by(analyses.c.image_id)
    )
    return {image_id: count for image_id, count in await connection.execute(statement)}


async def _held(
    connection: AsyncConnection, steps: Sequence[Step]
) -> dict[tuple[str, str | None], Analysis]:
    """The callers' analyses by company and id, held until the commit."""
    statement = (
        select(*columns_of(analyses, Analysis))
        .where(
            analyses.c.id.in_({canonical_id(one.analysis_id) for one in steps} - {None}),
            within_any([one.principal for one in steps], analyses),
        )
        .order_by(analyses.c.id)
        .with_for_update()
    )
    found = [to_record(Analysis, row) for row in await connection.execute(statement)]
    return {(one.company_id, one.id): one for one in found}


def _analysis_key(one: Step) -> tuple[str, str | None]:
    return one.principal.company_id, canonical_id(one.analysis_id)

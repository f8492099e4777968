"""Reads what a report tells of an image: its newest results, their findings and their history."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.exports.shapes import Shape, read_shape
from opsin.core.history import History, HistoryPoint
from opsin.core.history.main_metrics import METRIC, read_metric
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Analysis, Image, columns_of, to_record
from opsin.core.reports.contents import (
    Area,
    Contents,
    Finding,
    Measure,
    Metric,
    Point,
    Unmeasured,
)
from opsin.core.reports.wording import clean, humanized, moment_text, size_text
from opsin.storage.database import Database
from opsin.storage.tables import analyses, annotations, batches, datasets, subjects

MOST_MEASURES = 40
MOST_EARLIER = 500
"""Points of a measure's history."""
_MOST_ANALYSES = 400
_MOST_METRICS = 200
_MOST_OTHERS = 400
_MOST_FINDINGS = 12
_MOST_UNMEASURED = 60
_MOST_ADVICE = 20
_ONLY_DRAWN = frozenset({"segmentation", "keypoint", "heatmap", "embedding"})


@dataclass(frozen=True, slots=True)
class _Found:
    """Annotations of an analysis, by whether they are numbers, and how many more there are."""

    metrics: Sequence[Any]
    others: Sequence[Any]
    more_metrics: int
    more_others: int


class Reader:
    """Reads the contents of reports."""

    def __init__(self, database: Database, host: PluginHost, history: History) -> None:
        self._database = database
        self._host = host
        self._history = history

    async def contents(self, principal: Principal, image: Image) -> Contents:
        """What there is now; the newest result of each kind."""
        async with self._database.read() as connection:
            found, more = await _analyses_of(connection, image)
            chosen = _newest(found)
            completed = [a for a in chosen if a.status is AnalysisStatus.COMPLETED]
            others = [a for a in chosen if a.status is not AnalysisStatus.COMPLETED]
            shown = completed[:MOST_MEASURES]
            findings = {one.id: await _found(connection, one) for one in shown}
            names = await _names(connection, image)
        points = await self._history.leading_to(principal, image, most=MOST_EARLIER)
        own = {one.analysis_id: one for one in points if one.image_id == image.id}
        series: dict[tuple[str, str | None, str | None], list[HistoryPoint]] = defaultdict(list)
        for point in points:
            series[point.operation, point.application_id, point.step].append(point)
        repeated = _repeated(shown)
        measures = []
        for analysis in shown:
            mine = own.get(analysis.id)
            earlier = [] if mine is None else series[mine.operation, mine.application_id, mine.step]
            measures.append(
                self._measure(analysis, image, findings[analysis.id], earlier, repeated)
            )
        moments = [image.created_at, *(a.completed_at for a in chosen if a.completed_at)]
        return Contents(
            title=clean(names.get("Subject") or image.filename, 120),
            facts=_facts(image, names),
            image_id=image.id,
            width=image.width,
            height=image.height,
            measures=sorted(measures, key=_place),
            unmeasured=[
                Unmeasured(
                    humanized(one.operation or one.model_name),
                    one.status.value,
                    clean(one.error_message or "", 300),
                )
                for one in others[:_MOST_UNMEASURED]
            ],
            has_file=not image.storage_deleted,
            results_deleted=image.results_deleted_at is not None,
            moment=max(moments).astimezone(UTC),
            left_out=more + len(completed) - len(shown) + max(0, len(others) - _MOST_UNMEASURED),
        )

    def _measure(
        self,
        analysis: Analysis,
        image: Image,
        found: _Found,
        history: Sequence[HistoryPoint],
        repeated: frozenset[str],
    ) -> Measure:
        result = analysis.result or {}
        operation = analysis.operation or analysis.model_name
        registered = self._host.operations.get(operation)
        title = humanized(_text(result, "measure", 60) or operation)
        if operation in repeated and analysis.task_id and analysis.task_id != operation:
            title = f"{title} ({clean(analysis.task_id, 40)})"
        findings = _findings(found.others)
        beyond = max(0, len(findings) - _MOST_FINDINGS)
        left_out = [
            f"{count} more {what}"
            for count, what in (
                (found.more_metrics, "numbers"),
                (found.more_others + beyond, "findings"),
            )
            if count
        ]
        advice = result.get("feedback")
        return Measure(
            title=title,
            operation=clean(operation, 80),
            version=clean(analysis.operation_version or analysis.model_version, 40),
            completed_at=analysis.completed_at,
            description=clean(registered.operation.description, 400) if registered else "",
            explanation=_text(result, "explanation", 1_200),
            source=_text(result, "source", 800),
            areas=_areas(found.metrics),
            shapes=_shapes(found.others, image),
            findings=findings[:_MOST_FINDINGS],
            feedback=[
                clean(one, 200)
                for one in (advice if isinstance(advice, list) else [])[:_MOST_ADVICE]
                if isinstance(one, str)
            ],
            history=[Point(one.taken_at, one.number) for one in reversed(history)],
            left_out=left_out,
        )


async def _analyses_of(connection: AsyncConnection, image: Image) -> tuple[list[Analysis], int]:
    """The newest analyses of the image, newest first, and how many are beyond."""
    statement = (
        select(*columns_of(analyses, Analysis))
        .where(analyses.c.image_id == image.id)
        .order_by(analyses.c.id.desc())
        .limit(_MOST_ANALYSES + 1)
    )
    found = [to_record(Analysis, row) for row in await connection.execute(statement)]
    return found[:_MOST_ANALYSES], max(0, len(found) - _MOST_ANALYSES)


def _newest(found: Sequence[Analysis]) -> list[Analysis]:
    """The newest of each operation and its parameters; a completed one wins over others."""
    best: dict[tuple[str, str], Analysis] = {}
    for one in found:
        key = (one.operation or one.model_name, repr(sorted((one.parameters or {}).items())))
        known = best.get(key)
        if known is None or (
            one.status is AnalysisStatus.COMPLETED and known.status is not AnalysisStatus.COMPLETED
        ):
            best[key] = one
    return list(best.values())


def _repeated(shown: Sequence[Analysis]) -> frozenset[str]:
    names = [one.operation or one.model_name for one in shown]
    return frozenset(name for name in names if names.count(name) > 1)


async def _found(connection: AsyncConnection, analysis: Analysis) -> _Found:
    """The first annotations of an analysis as they are displayed, and how many more it has."""
    columns = annotations.c
    is_metric = columns.annotation_type == METRIC
    every = select(columns.annotation_type, columns.class_name, columns.confidence, columns.data)
    mine = every.where(columns.analysis_id == analysis.id).order_by(
        columns.ordering.is_(None), columns.ordering, columns.id
    )
    metrics = (await connection.execute(mine.where(is_metric).limit(_MOST_METRICS))).all()
    others = (await connection.execute(mine.where(~is_metric).limit(_MOST_OTHERS))).all()
    statement = (
        select(columns.annotation_type, func.count())
        .where(columns.analysis_id == analysis.id)
        .group_by(columns.annotation_type)
    )
    counts = {row[0]: row[1] for row in await connection.execute(statement)}
    numbers = counts.pop(METRIC, 0)
    more = sum(counts.values()) - len(others)
    return _Found(metrics, others, numbers - len(metrics), more)


async def _names(connection: AsyncConnection, image: Image) -> Mapping[str, str]:
    """What the subject, dataset and batch of the image are called."""
    found = {}
    for label, table, identity in (
        ("Subject", subjects, image.subject_id),
        ("Dataset", datasets, image.dataset_id),
        ("Batch", batches, image.batch_id),
    ):
        if identity is not None:
            statement = select(table.c.name).where(table.c.id == identity)
            found[label] = (await connection.execute(statement)).scalar() or ""
    return found


def _facts(image: Image, names: Mapping[str, str]) -> list[tuple[str, str]]:
    taken = image.taken_at or image.created_at
    capture = ", ".join(text for text in (image.side, image.light) if text)
    facts = [
        ("Taken", moment_text(taken)),
        ("Received", moment_text(image.created_at)),
        ("Dataset", names.get("Dataset", "")),
        ("Batch", names.get("Batch", "")),
        ("Side, light", capture),
        ("File", image.filename),
        (
            "Picture",
            f"{image.width} × {image.height} pixels, {size_text(image.size_bytes)}",  # noqa: RUF001 - the sign of multiplication
        ),
    ]
    return [(label, clean(text, 160)) for label, text in facts if text]


def _areas(rows: Sequence[Any]) -> list[Area]:
    found: dict[str, list[Metric]] = {}
    for *_, data in rows:
        metric = read_metric(data)
        if metric is None:
            continue
        area, dot, name = metric.name.rpartition(".")
        if not dot:
            area, name = "", metric.name
        label = data.get("label")
        one = Metric(
            humanized(name),
            metric.value,
            clean(metric.unit or "", 30),
            metric.score,
            clean(label, 60) if isinstance(label, str) else "",
        )
        found.setdefault(humanized(area), []).append(one)
    return [Area(name, metrics) for name, metrics in found.items()]


def _shapes(rows: Sequence[Any], image: Image) -> list[Shape]:
    read = [
        read_shape(data, image.width, image.height) for *_, data in rows if isinstance(data, dict)
    ]
    return [shape for shape in read if shape is not None]


def _findings(rows: Sequence[Any]) -> list[Finding]:
    """Classes and texts; what only draws is no finding of its own."""
    found = []
    for kind, name, confidence, data in rows:
        if kind in _ONLY_DRAWN:
            continue
        text = data.get("text") if isinstance(data, dict) else None
        told = text if isinstance(text, str) else name
        if told:
            found.append(Finding(humanized(kind), clean(told, 300), confidence))
    return found


def _text(result: Mapping[str, Any], name: str, most: int) -> str:
    value = result.get(name)
    return clean(value, most) if isinstance(value, str) else ""


def _place(measure: Measure) -> tuple[bool, bool, str]:
    """Scores first, then other numbers, then the rest; by name."""
    main = measure.main
    return main is None, main is None or main.score is None, measure.title

"""The rows of applications, of their runs and of what these have measured, some of them traps."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opsin.core.plugin_host import PluginHost
from opsin.storage import applications, tables
from tests.graphql.differential.odd_values import MOMENTS

if TYPE_CHECKING:
    from tests.graphql.differential.rows import Rows, Tenant

NOBODYS = "01890000-0000-7000-8000-0000000000bb"


def run_of(rows: "Rows", other: "Tenant", number: int) -> str | None:
    """The run of an analysis: of its own company, none, of another one, or gone."""
    ours, theirs = rows.tenant.id, other.id
    table = applications.application_runs
    return (ours(table), None, ours(table, 1), theirs(table), NOBODYS)[number % 5]


def add_applications(
    rows: "Rows",
    other: "Tenant",
    host: PluginHost,
    texts: Iterator[str],
    objects: Iterator[dict[str, Any]],
) -> None:
    """Applications, runs on datasets, and their work on images."""
    tenant = rows.tenant
    for number in range(2):
        rows.add(
            applications.applications,
            name=f"{tenant.mark} {number}",
            title=next(texts),
            description=next(texts) if number else "",
            image_type=None if number else "selfie",
            steps=[
                {
                    "key": next(texts),
                    "operation": "detect_bounding_box" if number else f"{tenant.mark} gone",
                    "params": next(objects),
                    "requires": [next(texts)] if number else [],
                }
            ],
            updated_at=MOMENTS[number],
        )
    declared = next(iter(host.applications.values())).application.id
    own, theirs = (one.id(applications.applications) for one in (tenant, other))
    first, second = tenant.id(tables.datasets), tenant.id(tables.datasets, 1)
    places = [
        (first, own),
        (first, declared),
        (first, theirs),
        (second, NOBODYS),
        (tenant.id(tables.datasets, 2), own),
    ]
    change = {"until": MOMENTS[2].isoformat(), "steps": [next(texts)], "is_enabled": True}
    for number, (dataset_id, application_id) in enumerate(places):
        rows.add(
            applications.application_runs,
            dataset_id=dataset_id,
            application_id=application_id,
            steps=[next(texts) for _ in range(number)],
            is_enabled=number != 1,
            updated_at=MOMENTS[number],
            history=[change] * number,
            backfill_until=tenant.id(tables.images) if number == 2 else None,
        )
    runs, images = applications.application_runs, tables.images
    pairs = [
        (tenant.id(images, i), tenant.id(runs, r)) for i, r in ((0, 0), (0, 1), (1, 0), (2, 0))
    ]
    # The other company's own, if it were not for whose row it is.
    pairs.append((other.id(images, 4), other.id(runs)))
    for number, (image_id, run_id) in enumerate(pairs):
        rows.add(
            applications.image_runs,
            image_id=image_id,
            run_id=run_id,
            is_live=number % 2 == 0,
            completed_at=None if number % 3 == 1 else MOMENTS[number],
        )


def add_metrics(rows: "Rows", texts: Iterator[str]) -> None:
    """What analyses have measured: in scores, in values, in both, in nothing that is a number."""
    measured: list[dict[str, Any]] = [
        {"name": next(texts), "score": 100 / 3, "value": 1e22, "unit": next(texts)},
        {"name": "face.redness", "score": 70},
        {"value": 0.1 + 0.2},
        {"name": next(texts), "value": "no number"},
        {"name": "second", "score": 1},
    ]
    ended = [row for row in rows.made["analyses"] if row["status"] == "COMPLETED"]
    for number, analysis in enumerate(ended):
        rows.add(
            tables.annotations,
            analysis_id=analysis["id"],
            annotation_type="metric",
            class_name=None,
            data=measured[number % len(measured)],
            ordering=0 if number % 2 else None,
        )

"""The rows of two companies that look alike: every column filled oddly, null, or as a trap."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table

from opsin.core.access import Principal
from opsin.core.plugin_host import PluginHost
from opsin.storage import tables
from tests.graphql.differential.application_rows import add_applications, add_metrics, run_of
from tests.graphql.differential.curation_rows import add_curation
from tests.graphql.differential.odd_values import (
    DAYS,
    FLOATS,
    JSON_OBJECTS,
    MOMENTS,
    TEXTS,
    deep,
)
from tests.graphql.differential.stored_results import stored_results, vector

Row = dict[str, Any]
_SHARED_MOMENT = MOMENTS[2]
_ANNOTATIONS = 24


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company; `mark` is in every text of its rows, and in nobody else's."""

    number: int
    mark: str

    def id(self, kind: Table, number: int = 0) -> str:
        """Ids of both companies lie between each other, in the order of their numbers."""
        place = list(tables.metadata.tables.values()).index(kind)
        return f"01890000-{place:04x}-7000-8000-{number:08x}{self.number:04x}"

    @property
    def principal(self) -> Principal:
        return Principal(self.id(tables.companies), f"somebody of {self.mark}")


OURS, THEIRS = Tenant(1, "markofours"), Tenant(2, "markoftheirs")
TENANTS = (OURS, THEIRS)


@dataclass(slots=True)
class Rows:
    """Rows by table, each with what every row of its table has."""

    tenant: Tenant
    made: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: Table, **values: Any) -> str:
        """One more row of the company; its id."""
        rows = self.made.setdefault(table.name, [])
        row: Row = {"company_id": self.tenant.id(tables.companies)}
        if "id" in table.c:
            row["id"] = self.tenant.id(table, len(rows))
        row["created_at"] = MOMENTS[len(rows) % len(MOMENTS)]
        rows.append(row | values)
        return str(row.get("id", ""))


def rows_of(tenant: Tenant, other: Tenant, host: PluginHost) -> dict[str, list[Row]]:
    """All rows of a company.

    Some name rows of the `other` one, as no use case would: a reader must not follow them.
    """
    rows = Rows(tenant)
    texts = itertools.cycle([f"{tenant.mark} {one}" for one in TEXTS])
    objects = _objects(tenant.mark)
    company = {"id": tenant.id(tables.companies), "name": tenant.mark, "created_at": MOMENTS[0]}
    rows.made["companies"] = [company]
    _add_keys(rows, texts)
    for number in range(4):
        rows.add(
            tables.datasets,
            name="pictures" if number == 0 else next(texts),
            description=next(texts) if number else "",
            updated_at=MOMENTS[-number],
            image_type=(None, "selfie", "visia", f"{tenant.mark} type")[number],
            expire_files_after_days=None if number % 2 else 365,
            expire_results_after_days=number or None,
            delete_files_when_ready=number == 1,
            branding=(None, 0, -(2**31), 2**31 - 1)[number],
            deleted_at=MOMENTS[1] if number == 3 else None,
        )
    dataset = tenant.id(tables.datasets)
    parents = (dataset, dataset, tenant.id(tables.datasets, 1), other.id(tables.datasets))
    for number, parent in enumerate(parents):
        rows.add(
            tables.subjects,
            dataset_id=parent,
            name=next(texts),
            attributes=next(objects),
            birth_date=(DAYS[number] if number else None),
            sex=(None, "female", "male", next(texts))[number],
            updated_at=MOMENTS[number] if number % 2 else None,
            # In no list, and still the subject of its images.
            deleted_at=MOMENTS[1] if number == 1 else None,
        )
        rows.add(
            tables.batches,
            dataset_id=parent,
            subject_id=(tenant.id(tables.subjects), None, tenant.id(tables.subjects, 1),
                        other.id(tables.subjects))[number],
            name=next(texts),
            taken_at=MOMENTS[number] if number else None,
        )  # fmt: skip
    _add_images(rows, other, texts, objects)
    _add_analyses(rows, other, host, texts, objects)
    _add_findings(rows, other, texts, objects)
    add_metrics(rows, texts)
    _add_collections(rows, other, texts, objects)
    add_curation(rows, other, texts, objects)
    add_applications(rows, other, host, texts, objects)
    return rows.made


def _objects(mark: str) -> Iterator[dict[str, Any]]:
    objects = (*JSON_OBJECTS, {"deep": deep(150)})
    return itertools.cycle([{**one, f"{mark}\U0001f40b": mark} if one else {} for one in objects])


def _add_keys(rows: Rows, texts: Iterator[str]) -> None:
    for number in range(2):
        rows.add(
            tables.api_keys,
            name=next(texts),
            prefix=f"{rows.tenant.number}{number}",
            secret_sha256=rows.tenant.mark,
            last_used_at=MOMENTS[1] if number else None,
            revoked_at=None if number else MOMENTS[3],
        )


def _add_images(
    rows: Rows, other: Tenant, texts: Iterator[str], objects: Iterator[dict[str, Any]]
) -> None:
    tenant = rows.tenant
    subject, batch = tenant.id(tables.subjects), tenant.id(tables.batches)
    foreign = other.id(tables.subjects), other.id(tables.batches)
    relatives = [(subject, batch), (None, None), foreign, (subject, None), (None, batch),
                 (tenant.id(tables.subjects, 1), foreign[1])]  # fmt: skip
    for number, (subject_id, batch_id) in enumerate(relatives):
        rows.add(
            tables.images,
            dataset_id=tenant.id(tables.datasets, 0 if number < 4 else number - 3),
            subject_id=subject_id,
            batch_id=batch_id,
            filename=next(texts),
            content_type="image/png" if number else next(texts),
            sha256=("0" * 64 if number % 2 else tenant.mark),
            size_bytes=(0, 2**53, 2**53 - 1, 1, 10**15, 123456789)[number],
            width=2**31 - 1 if number == 1 else 640,
            height=1,
            frames=number,
            orientation=1 + number,
            orientation_applied=number % 2 == 0,
            notes=[[], [next(texts), "", tenant.mark], list(TEXTS)][number % 3],
            metadata=next(objects),
            uploaded_by=None if number % 3 == 0 else next(texts),
            # In no list, and still the image of its analyses.
            deleted_at=MOMENTS[1] if number == 2 else None,
            deleted_by=next(texts) if number in (2, 3) else None,
            deletion_reason=next(texts) if number == 2 else None,
            pending_hard_delete_at=MOMENTS[3] if number in (2, 3) else None,
            storage_deleted=number == 2,
            side=(None, "front", "left", next(texts), "front", None)[number],
            light=(None, "regular", next(texts), None, "regular", None)[number],
            # Times that several share, so that the order by time needs the ids.
            taken_at=_SHARED_MOMENT if number % 2 else MOMENTS[number],
            results_deleted_at=MOMENTS[number] if number % 3 == 1 else None,
        )


def _add_analyses(
    rows: Rows,
    other: Tenant,
    host: PluginHost,
    texts: Iterator[str],
    objects: Iterator[dict[str, Any]],
) -> None:
    tenant = rows.tenant
    results = stored_results(host, tenant.mark)
    # Every image but the fourth has some, the first the most.
    images = [0, 0, 0, 1, 2, 4, 5]
    for number, stored in enumerate(results):
        image = images[number % len(images)]
        analysis = _analysis(rows, image, number, texts, objects)
        analysis |= {"operation": stored.operation, "operation_version": next(texts)}
        analysis |= {"result_type": stored.result_type, "result": stored.result}
        analysis |= {"run_id": run_of(rows, other, number)}
        identity = rows.add(tables.analyses, **analysis)
        if stored.vector is not None:
            _add_vector(rows, identity, analysis, stored.vector)
    for number, status in enumerate(tables.STATUSES, len(results)):
        external = number % 2 == 0
        analysis = _analysis(rows, 0, number, texts, objects) | {"status": status}
        analysis |= {"external": external, "operation": None if external else "describe_image"}
        rows.add(tables.analyses, **analysis)


def _analysis(
    rows: Rows, image: int, number: int, texts: Iterator[str], objects: Iterator[dict[str, Any]]
) -> Row:
    """One without a result, whose nullable columns are null in every second row."""
    given = rows.made["images"][image]
    moment = MOMENTS[number % len(MOMENTS)]
    nullable: Row = {
        "task_id": next(texts),
        "parameters": next(objects),
        "error_code": f"{rows.tenant.mark} CODE",
        "error_message": next(texts),
        "summary": next(objects),
        "provenance": next(objects),
        "started_at": moment,
        "completed_at": moment,
    }
    absent = {"operation_version": None, "result_type": None, "result": None}
    for place, name in enumerate(nullable):
        nullable[name] = nullable[name] if (number + place) % 2 else None
    return {
        "dataset_id": given["dataset_id"],
        "image_id": given["id"],
        "external": False,
        "model_name": next(texts),
        "model_version": "1" if number % 3 else next(texts),
        "status": "COMPLETED",
        "priority": (0, -100, 100, 2**31 - 1, -(2**31))[number % 5],
        "attempts": number % 4,
        "available_at": moment,
        # Times that many share, so that the order by time needs the ids.
        "updated_at": _SHARED_MOMENT if number % 3 else moment,
        **absent,
        **nullable,
    }


def _add_vector(rows: Rows, analysis_id: str, analysis: Row, values: bytes) -> None:
    rows.add(
        tables.embeddings,
        analysis_id=analysis_id,
        dataset_id=analysis["dataset_id"],
        image_id=analysis["image_id"],
        space=rows.tenant.mark,
        operation=analysis["operation"],
        target="whole_image",
        model_fingerprint="e" * 64,
        dimensions=len(values) // 4,
        vector=values,
    )


def _add_findings(
    rows: Rows, other: Tenant, texts: Iterator[str], objects: Iterator[dict[str, Any]]
) -> None:
    tenant = rows.tenant
    first, second = (tenant.id(tables.analyses, n) for n in (0, 2))
    theirs = other.id(tables.analyses)
    paths = [f"{tenant.mark}/{name}" for name in ("twice", "stored", "waiting")]
    stored = [None, MOMENTS[0], MOMENTS[1], None]
    for parent in (first, second, theirs):
        for number, path in enumerate((paths[0], paths[0], paths[1], paths[2])):
            rows.add(
                tables.artifacts,
                analysis_id=parent,
                name=f"{tenant.mark} {number}",
                content_type=next(texts),
                storage_path=path,
                size_bytes=(None, 0, 2**53, 7)[number],
                sha256=tenant.mark if number % 2 else None,
                stored_at=stored[number],
            )
    paths += [f"{tenant.mark}/nowhere", f"{other.mark}/stored"]
    # The other company's analysis has findings of ours below it, as no use case would have it.
    for number in range(_ANNOTATIONS):
        rows.add(
            tables.annotations,
            analysis_id=(first, first, first, second, theirs)[number % 5],
            annotation_type=("bounding_box", "tag", f"{tenant.mark} tag")[number % 3],
            class_name=(None, "face", next(texts))[number % 3],
            # SQLite stores no negative zero.
            confidence=FLOATS[number] + 0.0 if number < len(FLOATS) else None,
            data=next(objects),
            storage_path=None if number % 2 else paths[number // 2 % len(paths)],
            ordering=(None, 0, -(2**31), 2**31 - 1)[number % 4],
        )


def _add_collections(
    rows: Rows, other: Tenant, texts: Iterator[str], objects: Iterator[dict[str, Any]]
) -> None:
    tenant = rows.tenant
    given = {"operation": "embed_dino_v2", "version": tenant.mark, "params": next(objects)}
    face = given | {"target": "prominent_face", "face_context": "whole_image"}
    for key, inputs in (("whales", [given, face]), ("7", []), (next(texts).strip(), [face])):
        rows.add(
            tables.collections,
            key=key,
            name=next(texts),
            description=next(texts),
            inputs=inputs,
            updated_at=MOMENTS[1],
        )
    whales, theirs = tenant.id(tables.collections), other.id(tables.collections)
    images = [tenant.id(tables.images), None, other.id(tables.images), tenant.id(tables.images, 1)]
    for number in range(8):
        rows.add(
            tables.collection_members,
            collection_id=theirs if number == 5 else whales,
            label=("true", "false", "\U0001f40b Z", "a")[number // 2],
            source_key=next(texts) if number % 2 else None,
            image_id=images[number % len(images)],
            attributes=next(objects),
            model_fingerprints=[] if number == 3 else [tenant.mark],
            dimensions=5,
            vector=vector(5, number),
        )
    for number in range(4):
        rows.add(
            tables.classifiers,
            collection_id=theirs if number == 3 else whales,
            digest=f"{tenant.mark} {number}",
            document=tenant.mark,
            score=(None, 0.1 + 0.2, 5e-324, 1.0)[number],
            metrics=next(objects),
            is_best=number == 1,
        )


def moments_of(made: Mapping[str, list[Row]]) -> list[datetime]:
    """Every moment of creation, and one just beside each."""
    found = {row["created_at"] for rows in made.values() for row in rows}
    beside = {m + timedelta(microseconds=1) for m in found if m.year < 9999}
    return sorted(found | beside)

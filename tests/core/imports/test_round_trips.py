"""What Opsin exports it takes in again: the same but for ids, times and where it came from."""

import gzip
import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.settings import Settings
from tests.conftest import other_company, serve
from tests.core.exports.stored import FINDINGS, store
from tests.core.house import ask
from tests.core.imports.making import exported, reasons, take_in
from tests.pictures import noise_jpeg, solid_png

_TIMES = ("created_at", "started_at", "completed_at")
_IDS = ("id", "dataset_id", "image_id", "analysis_id", "annotation_id")


def same(value: Any) -> Any:
    """Without what an import gives anew."""
    if isinstance(value, list):
        return [same(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: same(one) for name, one in value.items() if name not in (*_TIMES, *_IDS)}
    if "provenance" in found:
        told = {n: v for n, v in (found["provenance"] or {}).items() if n != "imported"}
        found["provenance"] = told or None
    return found


def parsed(text: str, form: ExportFormat) -> Any:
    if form is ExportFormat.NDJSON:
        return same([json.loads(line) for line in text.split("\n")[:-1]])
    return same(json.loads(text) | {"name": None, "description": None})


@pytest.mark.parametrize("form", [ExportFormat.JSON, ExportFormat.NDJSON])
async def test_a_dataset_with_everything(
    parts: Parts, principal: Principal, tmp_path: Path, form: ExportFormat
) -> None:
    """Three images of the same bytes, six kinds of findings, ended analyses and others."""
    stored = await store(parts, principal)
    before = await exported(parts, stored.dataset_id, form)
    source = tmp_path / f"out{form.suffix}.gz"
    source.write_bytes(gzip.compress(before.encode()))
    report = await take_in(parts, principal, source)
    assert report.is_complete, reasons(report)
    assert report.images_new == (3 if form is ExportFormat.JSON else 2)
    assert report.annotations_new == 4 * len(FINDINGS)
    after = await exported(parts, report.dataset_id, form)
    assert parsed(after, form) == parsed(before, form)
    # What is there already is not stored a second time: neither from the file, nor from its copy.
    again = await take_in(parts, principal, source)
    assert (again.images_new, again.analyses_new, again.annotations_new) == (0, 0, 0)
    assert await exported(parts, report.dataset_id, form) == after
    own = await take_in(parts, principal, source, stored.dataset_id)
    assert (own.images_new, own.analyses_new, own.annotations_new) == (0, 0, 0)
    assert await exported(parts, stored.dataset_id, form) == before


async def test_an_image_and_an_analysis(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    stored = await store(parts, principal)
    for kind, identity in (
        (TargetKind.IMAGE, stored.images[1].id),
        (TargetKind.ANALYSIS, stored.analyses[1][1].id),
    ):
        source = tmp_path / f"{kind}.json"
        source.write_text(await exported(parts, identity, kind=kind))
        report = await take_in(parts, principal, source, f"of {kind}")
        assert report.is_complete and report.images_new == 1
        (found,) = json.loads(await exported(parts, report.dataset_id))["images"]
        expected = json.loads(source.read_text())
        if kind is TargetKind.ANALYSIS:
            image = expected.pop("image")
            expected = image | {"analyses": [expected]}
        assert same(found) == same(expected)


async def test_what_operations_found(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    """Results of the built-in operations that need no weights, heatmap and all."""
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "real")
    image = await use_cases.images.add(
        principal, NewImage(dataset.id, "a.jpg"), io.BytesIO(noise_jpeg())
    )
    for operation in ("image_quality", "saliency", "dominant_colors", "perceptual_hash"):
        await ask(parts, principal, image, operation)
    await parts.worker.drain()
    before = await exported(parts, dataset.id)
    types = {
        one["annotation_type"]
        for analysis in json.loads(before)["images"][0]["analyses"]
        for one in analysis["annotations"]
    }
    assert {"metric", "heatmap"} <= types
    source = tmp_path / "real.json"
    source.write_text(before)
    report = await take_in(parts, principal, source)
    assert report.is_complete and report.analyses_new == 4
    assert report.findings.notes == {"analyses with files, which an export does not hold": 1}
    after = await exported(parts, report.dataset_id)
    assert parsed(after, ExportFormat.JSON) == parsed(before, ExportFormat.JSON)


NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
DATA = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | NAMES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
ANNOTATIONS = st.fixed_dictionaries(
    {"annotation_type": st.sampled_from(["bounding_box", "heatmap", "ours"]), "data": DATA},
    optional={
        "class_name": NAMES,
        "confidence": st.floats(0, 1),
        "storage_path": NAMES,
        "ordering": st.integers(-(2**31), 2**31 - 1),
    },
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.lists(ANNOTATIONS, max_size=4), min_size=1, max_size=3))
async def test_whatever_was_found(
    parts: Parts, principal: Principal, tmp_path: Path, found: list[list[dict[str, Any]]]
) -> None:
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, "made")
    image = await use_cases.images.add(
        principal, NewImage(dataset.id, "a.jpg"), io.BytesIO(noise_jpeg())
    )
    for number, annotations in enumerate(found):
        new = NewExternalAnalysis(image.id, "model", str(number), {"n": number}, {"by": "me"})
        analysis = await use_cases.analyses.tell(principal, new)
        await use_cases.annotations.add(principal, analysis.id, annotations)
        await use_cases.analyses.finalize(principal, analysis.id, AnalysisStatus.COMPLETED)
    for form in (ExportFormat.JSON, ExportFormat.NDJSON):
        before = await exported(parts, dataset.id, form)
        source = tmp_path / f"a{form.suffix}"
        source.write_text(before, "utf-8")
        copy = await use_cases.datasets.create(principal, f"copy of {dataset.id} {form}")
        if form is ExportFormat.NDJSON and not before:
            continue
        report = await take_in(parts, principal, source, copy.id)
        assert report.is_complete, reasons(report)
        after = await exported(parts, copy.id, form)
        assert parsed(after, form) == parsed(before, form)


async def test_another_company_takes_nothing_from_ours(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    """Whoever has a picture's sha256 and no picture gets none, however well it is known here."""
    stored = await store(parts, principal)
    source = tmp_path / "out.json"
    source.write_text(await exported(parts, stored.dataset_id))
    stranger = await other_company(parts)
    report = await take_in(parts, stranger, source)
    assert (report.images_new, report.images_known, report.images_missing) == (0, 0, 3)
    dataset = await parts.use_cases.datasets.create(stranger, "theirs")
    report = await take_in(parts, stranger, source, dataset.id)
    assert report.images_missing == 3


async def test_the_vista_export(settings: Settings, house: Parts, tmp_path: Path) -> None:
    """One analysis as the VISTA API gives it, and a list of them, for images that are here."""
    principal = await house.use_cases.access.local()
    stored = await store(house, principal)
    documents = []
    async with serve(settings) as server:
        for analyses in stored.analyses[:2]:
            for analysis in analyses:
                answer = await server.client.get(f"/api/analyses/{analysis.id}/export")
                assert answer.status_code == 200
                documents.append(answer.json())
    first, second = tmp_path / "one.json", tmp_path / "several.json"
    first.write_text(json.dumps(documents[0]))
    second.write_text(json.dumps(documents))
    # To the images that they are of, they bring nothing new.
    report = await take_in(house, principal, second, stored.dataset_id)
    assert report.is_complete and report.format == "vista"
    assert (report.images_known, report.analyses_known, report.analyses_new) == (2, 4, 0)
    # From another installation they have other ids.
    for document in documents:
        document["id"] = str(uuid.uuid4())
    first.write_text(json.dumps(documents[0]))
    second.write_text(json.dumps(documents))
    report = await take_in(house, principal, first, stored.dataset_id)
    assert (report.images_known, report.annotations_new) == (1, len(FINDINGS))
    report = await take_in(house, principal, second, stored.dataset_id)
    assert report.is_complete and (report.images_known, report.analyses_known) == (2, 1)
    assert (report.analyses_new, report.annotations_new) == (3, 3 * len(FINDINGS))
    images = json.loads(await exported(house, stored.dataset_id))["images"]
    made = [a for image in images for a in image["analyses"] if _came_from(a) == "vista"]
    assert [one["status"] for one in made] == ["QUEUED", "COMPLETED"] * 2
    for analysis, document in zip(made, documents, strict=True):
        assert analysis["provenance"]["imported"]["analysis"]["id"] == document["id"]
        assert same(analysis["annotations"]) == [
            {name: value for name, value in same(one).items() if name != "analysis_id"}
            for one in document["annotations"]
        ]


async def test_the_vista_export_of_another_server(house: Parts, tmp_path: Path) -> None:
    """It tells no file name: the pictures may be called as their images are numbered."""
    principal = await house.use_cases.access.local()
    identity = str(uuid.uuid4())
    (tmp_path / f"{identity}.png").write_bytes(solid_png())
    finding = {"annotation_type": "caption", "data": {"text": "a"}, "analysis_id": "x"}
    analysis = {"image_id": identity, "model_name": "m", "model_version": "1"}
    documents: list[Any] = [
        analysis | {"id": str(n), "status": "completed", "annotations": [finding] * n}
        for n in range(3)
    ]
    documents.append(documents[0] | {"image_id": str(uuid.uuid4())})
    source = tmp_path / "vista.json"
    source.write_text(json.dumps(documents))
    report = await take_in(house, principal, source)
    assert (report.images_new, report.images_missing) == (1, 1)
    (image,) = json.loads(await exported(house, report.dataset_id))["images"]
    assert image["filename"] == f"{identity}.png"
    assert [len(one["annotations"]) for one in image["analyses"]] == [0, 1, 2]


def _came_from(analysis: dict[str, Any]) -> Any:
    return ((analysis["provenance"] or {}).get("imported") or {}).get("format")

"""Whatever a file holds: it is read, or refused in words; nothing else comes of it."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsin.core.errors import InvalidInput
from opsin.core.imports.found import Refused
from opsin.core.imports.options import ImportFormat, ImportOptions
from opsin.core.imports.sources import SourcePaths, open_source

WORDS = """
images annotations categories id image_id category_id file_name width height bbox name score
segmentation counts size keypoints skeleton iscrowd caption analyses status model_name data
model_version annotation_type class_name confidence operation analysis_id provenance image
sha256 filename metadata opsin_id image_sha256 result_type COMPLETED person cat
"""
NAMES = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 60) | st.floats() | NAMES | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=40,
)
RECORDS = st.lists(st.dictionaries(NAMES, VALUES, max_size=9) | VALUES, max_size=5)
DOCUMENTS = (
    st.fixed_dictionaries({"images": RECORDS, "annotations": RECORDS, "categories": RECORDS})
    | st.fixed_dictionaries({"images": RECORDS})
    | RECORDS
    | VALUES
)


QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_all(path: Path, form: ImportFormat | None) -> None:
    """Everything but what is stored."""
    paths = SourcePaths(path, form=form, described_by=path)
    with open_source(paths, ImportOptions(), max_file_bytes=1 << 20) as source:
        for image in source.reader.images():
            str(image.place())
            with suppress(Refused):
                image.read((64, 48), 1)
        for refusal in source.reader.findings.refusals.first:
            assert refusal.reason and str(refusal.place)


@pytest.mark.parametrize("form", [None, *(f for f in ImportFormat if f is not ImportFormat.YOLO)])
@QUICK
@given(document=DOCUMENTS)
def test_any_json(tmp_path: Path, form: ImportFormat | None, document: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, indent=1))
    with suppress(InvalidInput):
        read_all(path, form)


@QUICK
@given(lines=RECORDS)
def test_any_lines(tmp_path: Path, lines: list[Any]) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with suppress(InvalidInput):
        read_all(path, None)


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_bytes_changed(tmp_path: Path, seed: int) -> None:
    numbers = random.Random(seed)
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 9, "height": 9} for n in range(5)],
        "annotations": [
            {"id": n, "image_id": n % 5, "category_id": 1, "bbox": [1, 2, 3, 4.5]} for n in range(9)
        ],
        "categories": [{"id": 1, "name": 'a \\ " cat'}],
    }
    text = bytearray(json.dumps(document).encode())
    for _ in range(numbers.randint(1, 4)):
        text[numbers.randrange(len(text))] = numbers.randrange(256)
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with suppress(InvalidInput):
        read_all(path, None)


@QUICK
@given(
    yaml=st.binary(max_size=60)
    | st.text("namestri: [],\n-0{}'\"&*#ktp_", max_size=60).map(str.encode),
    label=st.binary(max_size=40) | st.text("0123456789. -e\n\r", max_size=40).map(str.encode),
)
def test_any_labels(tmp_path: Path, yaml: bytes, label: bytes) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "images/a.jpg").write_bytes(b"")
    (tmp_path / "labels/a.txt").write_bytes(label)
    for description in (yaml, b"train: images\nnames: [a, b]\nkpt_shape: [1, 3]\n"):
        (tmp_path / "data.yaml").write_bytes(description)
        with suppress(InvalidInput):
            read_all(tmp_path, None)

"""Annotation files of other tools: COCO, VISTA, lines of JSON, YOLO's labels and YAML."""

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fuzz.archives import packed
from fuzz.target import Target, check
from opsin.core.errors import InvalidInput
from opsin.core.imports.found import Refused
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.sources import SourcePaths, open_source
from opsin.core.imports.yolo_labels import Labels, read_line

_COCO = {
    "images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4.5], "iscrowd": 0},
        {
            "image_id": 1,
            "category_id": 1,
            "segmentation": {"size": [48, 64], "counts": [5, 9, 3058]},
        },
    ],
    "categories": [{"id": 1, "name": "cat", "keypoints": ["eye"], "skeleton": [[1, 1]]}],
}
_VISTA = [
    {
        "model_name": "m",
        "model_version": "1",
        "status": "completed",
        "image": {"filename": "1.jpg", "sha256": "a" * 64},
        "annotations": [{"annotation_type": "tag", "class_name": "x", "data": {}}],
    }
]
_YAML = b"train: images\nnames: {0: a, 1: b}\nkpt_shape: [1, 3]\n"


def document(data: bytes) -> None:
    """One file in JSON."""
    _read_file("a.json", data)


def lines(data: bytes) -> None:
    _read_file("a.ndjson", data)


def yolo(data: bytes) -> None:
    """The description and a label, with a form feed between them."""
    description, _, label = data.partition(b"\f")
    with tempfile.TemporaryDirectory(prefix="opsin-fuzz-") as name:
        folder = Path(name)
        for made in ("images", "labels"):
            (folder / made).mkdir()
        (folder / "images/a.jpg").write_bytes(b"")
        (folder / "labels/a.txt").write_bytes(label)
        (folder / "data.yaml").write_bytes(description)
        with suppress(InvalidInput):
            _read(folder)


def labels(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    known = Labels({0: "a", 1: "b"}, 1, 3, ("eye",))
    for line in filter(str.strip, text.splitlines()):
        with suppress(Refused):
            check(read_line(line, known)["annotation_type"], "an annotation has a type")


def packed_source(data: bytes) -> None:
    _read_file("a.zip", data)


def _read_file(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="opsin-fuzz-") as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        with suppress(InvalidInput):
            _read(path)


def _read(path: Path) -> None:
    """Everything but what is stored."""
    with open_source(SourcePaths(path), ImportOptions(), max_file_bytes=1 << 16) as source:
        for image in source.reader.images():
            str(image.place())
            with suppress(Refused):
                image.read((64, 48), 1)
        for refusal in source.reader.findings.refusals.first:
            check(refusal.reason and str(refusal.place), "a reason and a place")


def _packed_seeds() -> Sequence[bytes]:
    coco = json.dumps(_COCO).encode()
    return [packed(["a.json"], content=coco), packed(["data.yaml"], content=_YAML)]


TARGETS = (
    Target("import_documents", document, lambda: [
        json.dumps(one).encode() for one in (_COCO, _VISTA, _COCO["annotations"])
    ]),
    Target("import_lines", lines, lambda: [
        b'{"image_id": "1", "image_filename": "a.jpg", "annotation_type": "tag", "data": {}}\n{}',
    ]),
    Target("import_yolo", yolo, lambda: [
        _YAML + b"\f0 0.5 0.5 0.2 0.2 0.5 0.5 2\n1\n", b"names: &a [x, *a]\ntrain: [images]\f",
    ]),
    Target("yolo_labels", labels, lambda: [
        b"0 0.5 0.5 0.2 0.2 0.9\n1 0 0 1 0 1 1\n0.7 a\n", b"1e400 nan inf -0",
    ]),
    Target("import_archives", packed_source, _packed_seeds),
)  # fmt: skip

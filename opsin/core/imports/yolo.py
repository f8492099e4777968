"""YOLO datasets, and the folders of labels that its detectors write, picture by picture."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from opsin.core.imports.checking import check_each
from opsin.core.imports.found import (
    Findings,
    Place,
    Refused,
    Size,
    SourceAnalysis,
    SourceImage,
)
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.trees import Tree
from opsin.core.imports.yolo_labels import leaves, read_line
from opsin.core.imports.yolo_layout import NAMES, Layout

_MOST_BYTES = 64 << 20


class Yolo:
    """One dataset; with `labels` its labels are there and not beside the pictures."""

    def __init__(
        self, tree: Tree, layout: Layout, labels: Tree | None, options: ImportOptions
    ) -> None:
        self._tree = tree
        self._layout = layout
        self._labels = labels or tree
        self._is_apart = labels is not None
        self._options = options
        self.findings = Findings()
        self.digest = hashlib.sha256(layout.text).hexdigest()

    def __len__(self) -> int:
        return len(self._layout.pictures)

    def images(self) -> Iterator[SourceImage]:
        """In the order of the splits; then the labels that have no picture."""
        used: set[str] = set()
        for split, name in self._layout.pictures:
            label = self._label_of(name)
            used.add(label)
            yield SourceImage(
                partial(Place, label),
                name,
                partial(self._read, label, split, name),
                paths=[name],
                filename=name,
            )
        for label in self._alone(used):
            yield SourceImage(partial(Place, label), f"the picture of {label}", _no_analyses)

    def _read(
        self, label: str, split: str, picture: str, actual: Size, orientation: int
    ) -> Sequence[SourceAnalysis]:
        """An empty file says that nothing was found; a file that is not there says nothing."""
        try:
            file = self._labels.open(label)
            if file is None:
                self.findings.notes["pictures without a file of labels, not analysed"] += 1
                return ()
            with file:
                content = file.read(_MOST_BYTES + 1)
            text = _decoded(content)
        except Refused as error:
            self.findings.refusals.add(partial(Place, label), str(error))
            return ()
        fields: list[dict[str, Any]] = []
        places: list[int] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                found = read_line(line, self._layout.labels)
            except Refused as error:
                self.findings.refusals.add(partial(Place, label, number), str(error))
                continue
            if leaves(found):
                self.findings.notes["boxes that leave their picture, kept as they are"] += 1
            fields.append(found)
            places.append(number)
        rows = check_each(fields, lambda n: Place(label, places[n]), self.findings.refusals)
        if not len(rows) and text.strip():
            return ()  # nothing could be read: that is not to say that nothing was found
        names = {one["class_name"] for one in fields}
        numbers = self._layout.labels.names
        digest = hashlib.sha256(content).hexdigest()
        told = {
            "source": label,
            "sha256": digest,
            "format": "yolo",
            "image": {"file_name": picture} | ({"split": split} if split else {}),
            "described_by": {"source": self._layout.described_by, "sha256": self.digest},
            "categories": {str(n): {"name": name} for n, name in numbers.items() if name in names},
        }
        return [
            SourceAnalysis(
                f"yolo {digest} {self.digest}",
                self._options.model_name or self._tree.name[:255] or "yolo",
                self._options.model_version or self.digest[:12],
                rows,
                provenance={"imported": told},
            )
        ]

    def _label_of(self, picture: str) -> str:
        """`labels` in the place of the last `images`, as every reader of YOLO has it."""
        path = PurePosixPath(picture)
        if self._is_apart:
            return f"{path.stem}.txt"
        parts = list(path.with_suffix(".txt").parts)
        for at in range(len(parts) - 2, -1, -1):
            if parts[at] == "images":
                parts[at] = "labels"
                break
        return "/".join(parts)

    def _alone(self, used: set[str]) -> Iterator[str]:
        """Labels, in folders where labels are, that no picture has."""
        folders = {"."} if self._is_apart else {str(PurePosixPath(label).parent) for label in used}
        known = {PurePosixPath(name).name for name in NAMES}
        for folder in sorted(folders):
            if not self._is_apart and "labels" not in folder.split("/"):
                continue  # other texts may lie beside the pictures
            for name in self._labels.files(folder) if self._labels.is_folder(folder) else ():
                path = PurePosixPath(name)
                is_label = path.suffix == ".txt" and path.name not in known
                if is_label and str(path.parent) == folder and name not in used:
                    yield name


def _no_analyses(actual: Size, orientation: int) -> Sequence[SourceAnalysis]:
    return ()


def _decoded(content: bytes) -> str:
    if len(content) > _MOST_BYTES:
        raise Refused(f"it has more than {_MOST_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("it is not UTF-8") from None

"""COCO: instances, keypoints, captions, and detectors' results, from files of any size."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.errors import InvalidInput
from opsin.core.imports.checking import check_each
from opsin.core.imports.coco_annotation import Category, read_annotation
from opsin.core.imports.found import (
    Findings,
    Place,
    Refusal,
    Refused,
    Size,
    SourceAnalysis,
    SourceImage,
    digest_in,
)
from opsin.core.imports.json_file import JsonFile
from opsin.core.imports.json_spans import Positions, Spans, key_of
from opsin.core.imports.options import ImportOptions

_NONE = Spans(np.zeros(0, np.int64), np.zeros(0, np.int64))
_NO_KEY = -(1 << 62) - 1
_TURNED = range(5, 9)  # EXIF's orientations that swap width and height


class Coco:
    """One file of annotations; for results the file that describes their images as well.

    Held in memory are, of each image and each annotation, a key and two positions: 24 bytes.
    """

    def __init__(
        self, document: JsonFile, described_by: JsonFile | None, options: ImportOptions
    ) -> None:
        self._document = document
        self._described = described_by or document
        self._options = options
        self._is_results = document.is_list
        self.findings = Findings()
        self._annotations = (
            document.items() if self._is_results else self._list(document, "annotations")
        )
        self._images = self._list(self._described, "images")
        self._categories = self._read_categories(self._list(self._described, "categories"))
        self.digest = document.sha256
        self._keys = self._index()

    def __len__(self) -> int:
        return len(self._images)

    def images(self) -> Iterator[SourceImage]:
        """In the order of the file; of results only those that have any."""
        order = np.argsort(self._annotation_keys, kind="stable")
        keys = self._annotation_keys[order]
        firsts = np.searchsorted(keys, self._keys, side="left")
        lasts = np.searchsorted(keys, self._keys, side="right")
        for begin, values in self._described.batches(self._images):
            for number, given in enumerate(values, begin):
                if self._keys[number] == _NO_KEY:
                    continue
                which = order[firsts[number] : lasts[number]]
                if len(which) or not self._is_results:
                    yield self._image(number, given, which)

    def _image(self, number: int, given: Mapping[str, Any], which: Positions) -> SourceImage:
        width, height = given.get("width"), given.get("height")
        size = None
        if type(width) is int and type(height) is int and width > 0 and height > 0:
            size = (width, height)
        name = given.get("file_name")
        named = name if isinstance(name, str) and name else None
        own = given.get("opsin_id")
        spans = self._annotations
        return SourceImage(
            partial(self._described.place_of, self._images, number),
            named or f"image {given['id']}",
            partial(self._read, given["id"], named, size, which),
            int((spans.ends[which] - spans.starts[which]).sum()),
            paths=[named] if named else (),
            filename=named,
            image_id=own if isinstance(own, str) else None,
            sha256=digest_in(given.get("opsin_sha256")),
            size=size,
        )

    def _read(
        self, image_id: Any, name: str | None, size: Size | None, which: Positions,
        actual: Size, orientation: int,
    ) -> Sequence[SourceAnalysis]:  # fmt: skip
        """The image's analysis, with everything of it that can be taken."""
        declared = size or actual
        if declared != actual and declared == actual[::-1] and orientation in _TURNED:
            raise Refused(
                "its annotations are for the picture before it is turned upright (EXIF): "
                "turn the file, or the annotations"
            )
        places: list[int] = []
        fields: list[dict[str, Any]] = []
        used: dict[str, Any] = {}
        values = self._document.load(self._annotations, which)
        for number, given in zip(which, values, strict=True):
            try:
                category = self._category(given, image_id, used)
                found, leaves = read_annotation(given, category, declared, declared != actual)
            except Refused as error:
                self.findings.refusals.add(partial(self._place, int(number)), str(error))
                continue
            if leaves:
                self.findings.notes["boxes that leave their picture, kept as they are"] += 1
            fields.append(found)
            places.append(int(number))
        rows = check_each(fields, lambda n: self._place(places[n]), self.findings.refusals)
        if not len(rows) and len(which):
            return []  # nothing could be read: that is not to say that nothing was found
        if declared != actual:
            self.findings.notes["pictures of another size than the file tells, scaled"] += 1
        return [self._analysis(rows, image_id, name, used)]

    def _analysis(
        self, rows: CheckedAnnotations, image_id: Any, name: str | None, used: dict[str, Any]
    ) -> SourceAnalysis:
        options = self._options
        provenance = {
            "source": self._document.name,
            "sha256": self._document.sha256,
            "format": "coco",
            "image": {"id": image_id, "file_name": name},
            "categories": used,
        }
        if self._described is not self._document:
            described = {"source": self._described.name, "sha256": self._described.sha256}
            provenance["described_by"] = described
        return SourceAnalysis(
            f"coco {self.digest} {self._described.sha256}",
            options.model_name or self._document.name.split(".")[0][:255] or "coco",
            options.model_version or self._document.sha256[:12],
            rows,
            provenance={"imported": provenance},
        )

    def _category(self, given: Any, image_id: Any, used: dict[str, Any]) -> Category | None:
        """What its `category_id` means, and that in what the analysis tells of itself."""
        if not isinstance(given, dict) or given.get("image_id") != image_id:
            raise Refused("it is no annotation of an image of the file")
        number = given.get("category_id")
        if number is None:
            return None
        key = key_of(number)
        category = None if key is None else self._categories.get(key)
        if category is None:
            raise Refused(f"category_id {str(number)[:60]} is not among the categories")
        if isinstance(category, str):
            raise Refused(category)
        if str(number) not in used:
            told = {"name": category.name, "supercategory": category.supercategory}
            used[str(number)] = {name: value for name, value in told.items() if value}
        return category

    def _place(self, number: int) -> Place:
        return self._document.place_of(self._annotations, number)

    def _list(self, document: JsonFile, name: str) -> Spans:
        if document.is_list:
            raise InvalidInput(
                f"{document.name} holds results, which name images and categories by number: "
                "--described-by FILE gives the file that has them"
            )
        found = document.members().get(name, [])
        if isinstance(found, Spans):
            inside = document.inside(found, name)
            if (stray := document.stray(found, inside)) is not None:
                self.findings.refusals.add(lambda: stray, f"{name} holds what is no object")
            return inside
        if found in ([], None):
            return _NONE
        raise InvalidInput(f"{document.name}: {name} must be a list")

    def _read_categories(self, spans: Spans) -> dict[Any, Category | str]:
        """By key; a reason instead of a category where its number means two things."""
        found: dict[Any, Category | str] = {}
        for first, values in self._described.batches(spans):
            for number, given in enumerate(values, first):
                try:
                    if isinstance(given, Refusal):
                        raise Refused(given.reason)
                    if not isinstance(given, dict):
                        raise Refused("a category must be an object")
                    key, category = key_of(given.get("id")), Category.read(given)
                    if key is None:
                        raise Refused("a category needs an id")
                except Refused as error:
                    self._refuse(self._described, spans, number, None, str(error))
                    continue
                if found.setdefault(key, category) != category:
                    found[key] = f"category_id {given['id']} has two meanings"
        return found

    def _index(self) -> Positions:
        """The key of each image, `_NO_KEY` for one that is not taken; and of each annotation."""
        keys = np.full(len(self._images), _NO_KEY, np.int64)
        for first, values in self._described.batches(self._images):
            for number, given in enumerate(values, first):
                key = key_of(given.get("id")) if isinstance(given, dict) else None
                if key is None:
                    self._refuse(
                        self._described, self._images, number, given, "an image needs an id"
                    )
                else:
                    keys[number] = key
        order = np.argsort(keys, kind="stable")
        again = order[1:][(keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != _NO_KEY)]
        for number in sorted(again.tolist()):
            self._refuse(
                self._described, self._images, number, None, "an image of this id was before"
            )
            keys[number] = _NO_KEY
        self._annotation_keys = np.full(len(self._annotations), _NO_KEY + 1, np.int64)
        ids = np.full(len(self._annotations), _NO_KEY, np.int64)
        for first, values in self._document.batches(self._annotations):
            for number, given in enumerate(values, first):
                if not isinstance(given, dict):
                    self._refuse(self._document, self._annotations, number, given, "no object")
                    continue
                key, own = key_of(given.get("image_id")), key_of(given.get("id"))
                if key is None:
                    self._refuse(
                        self._document, self._annotations, number, given, "there is no image_id"
                    )
                    continue
                self._annotation_keys[number] = key
                ids[number] = _NO_KEY if own is None else own
        self._refuse_orphans(keys)
        ids = ids[ids != _NO_KEY]
        if repeated := len(ids) - len(np.unique(ids)):
            self.findings.notes["annotations whose id another one has, kept"] += repeated
        return keys

    def _refuse_orphans(self, keys: Positions) -> None:
        lost = (self._annotation_keys > _NO_KEY + 1) & ~np.isin(self._annotation_keys, keys)
        for number in np.flatnonzero(lost).tolist():
            reason = "its image_id is not among the images"
            self._refuse(self._document, self._annotations, number, None, reason)

    def _refuse(
        self, document: JsonFile, spans: Spans, number: int, given: Any, reason: str
    ) -> None:
        if isinstance(given, Refusal):
            self.findings.refusals.add(lambda: given.place, given.reason)
        else:
            self.findings.refusals.add(partial(document.place_of, spans, number), reason)

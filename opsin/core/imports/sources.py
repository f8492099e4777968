"""A source is opened: unpacked where it must be, its format recognised, its reader made."""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

import numpy as np

from opsin.core.errors import InvalidInput, NotFound
from opsin.core.imports.coco import Coco
from opsin.core.imports.documents import Documents
from opsin.core.imports.found import Findings, Refused, SourceImage
from opsin.core.imports.json_file import JsonFile
from opsin.core.imports.json_spans import Spans
from opsin.core.imports.options import ImportFormat, ImportOptions
from opsin.core.imports.trees import MOST_RATIO, FolderTree, Tree, ZipTree, open_tree
from opsin.core.imports.yolo import Yolo
from opsin.core.imports.yolo_layout import find_description, read_layout

MOST_UNPACKED = 64 << 30
"""Bytes that a packed file may have unpacked."""
_DOCUMENTS = (".json", ".ndjson", ".jsonl")
_LINES = (".ndjson", ".jsonl")
_CHUNK = 1 << 20


class SourceReader(Protocol):
    """What each format has."""

    findings: Findings
    digest: str

    def __len__(self) -> int: ...

    def images(self) -> Iterator[SourceImage]: ...


@dataclass(frozen=True, slots=True)
class Source:
    """What is imported, and where its pictures are."""

    name: str
    form: ImportFormat
    reader: SourceReader
    pictures: Tree


@dataclass(frozen=True, slots=True)
class SourcePaths:
    """The files that the caller names; only the source must be."""

    source: Path
    images: Path | None = None
    labels: Path | None = None
    described_by: Path | None = None
    form: ImportFormat | None = None


@contextmanager
def open_source(
    paths: SourcePaths, options: ImportOptions, *, max_file_bytes: int
) -> Iterator[Source]:
    """Raises InvalidInput or NotFound for what cannot be read as a whole.

    What is packed is unpacked into a temporary file, which is gone in the end.
    """
    with ExitStack() as closing:
        opening = _Opening(paths, options, max_file_bytes, closing)
        yield opening.source()


class _Opening:
    def __init__(
        self, paths: SourcePaths, options: ImportOptions, max_file_bytes: int, closing: ExitStack
    ) -> None:
        self._paths = paths
        self._options = options
        self._max_file_bytes = max_file_bytes
        self._closing = closing

    def source(self) -> Source:
        path, form = self._paths.source, self._paths.form
        if not path.exists():
            raise NotFound(f"there is no {path}")
        if path.is_dir() or _begins_with(path, b"PK\x03\x04"):
            return self._of_tree(self._tree(path))
        if form is ImportFormat.YOLO or path.suffix in (".yaml", ".yml"):
            return self._yolo(FolderTree(path.absolute().parent), path.name)
        document = self._document(path, path.name)
        return self._of_document(document, FolderTree(path.absolute().parent))

    def _of_tree(self, tree: FolderTree | ZipTree) -> Source:
        form = self._paths.form
        description = None
        if form in (None, ImportFormat.YOLO):
            description = find_description(tree)
        if description is not None:
            return self._yolo(tree, description)
        if form is ImportFormat.YOLO:
            raise InvalidInput(
                f"{tree.name}: neither data.yaml nor classes.txt tells what numbers of classes mean"
            )
        names = [name for name in tree.files() if _plain_suffix(name) in _DOCUMENTS]
        if len(names) != 1:
            some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise InvalidInput(
                f"{tree.name} holds {some or 'no JSON file, and no data.yaml'}"
                + (": unpack it, and give one of them" if names else "")
            )
        if isinstance(tree, ZipTree):
            path = self._spooled(lambda to: tree.unpack(names[0], to, MOST_UNPACKED))
        else:
            path = _within(tree, names[0])
        return self._of_document(self._document(path, names[0]), tree)

    def _of_document(self, document: JsonFile, around: Tree) -> Source:
        pictures = around if self._paths.images is None else self._tree(self._paths.images)
        form = self._paths.form or recognised(document)
        if (form is ImportFormat.NDJSON) != document.by_line:
            raise InvalidInput(f"{document.name} is no {form}: its name says what it holds")
        own = [self._options.model_name, self._options.model_version]
        if form is not ImportFormat.COCO and any(one is not None for one in own):
            raise InvalidInput(f"{document.name} names the models itself")
        reader: SourceReader
        if form is ImportFormat.COCO:
            described = self._paths.described_by
            more = None if described is None else self._document(described, described.name)
            reader = Coco(document, more, self._options)
        else:
            reader = Documents(document, _spans(document), form.value)
        return Source(document.name, form, reader, pictures)

    def _yolo(self, tree: Tree, description: str) -> Source:
        if self._paths.images is not None:
            raise InvalidInput("the pictures of YOLO are where its data.yaml says")
        labels = None if self._paths.labels is None else self._tree(self._paths.labels)
        reader = Yolo(tree, read_layout(tree, description), labels, self._options)
        return Source(self._paths.source.name, ImportFormat.YOLO, reader, tree)

    def _tree(self, path: Path) -> FolderTree | ZipTree:
        tree = open_tree(path, max_file_bytes=self._max_file_bytes)
        self._closing.callback(tree.close)
        return tree

    def _document(self, path: Path, name: str) -> JsonFile:
        by_line = _plain_suffix(name) in _LINES or self._paths.form is ImportFormat.NDJSON
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        if _begins_with(path, b"\x1f\x8b"):
            packed = path
            path = self._spooled(lambda to: _unzip(packed, to))
        document = JsonFile(path, name.removesuffix(".gz"), by_line=by_line)
        self._closing.callback(document.close)
        return document

    def _spooled(self, write: Callable[[IO[bytes]], None]) -> Path:
        file = tempfile.NamedTemporaryFile(prefix="opsin-import-")  # noqa: SIM115  # closed by the stack
        self._closing.callback(file.close)
        try:
            write(file)
        except Refused as error:
            raise InvalidInput(f"{self._paths.source.name} cannot be unpacked: {error}") from None
        file.flush()
        return Path(file.name)


def recognised(document: JsonFile) -> ImportFormat:
    """The format of a JSON file; raises InvalidInput where it is none that is known."""
    if document.by_line:
        return ImportFormat.NDJSON
    if document.is_list:
        spans = document.items()
        first = document.value(spans, 0) if len(spans) else None
        if isinstance(first, dict):
            if "annotations" in first or "model_name" in first:
                return ImportFormat.VISTA
            if "analyses" in first:
                return ImportFormat.JSON
            if "image_id" in first:
                return ImportFormat.COCO
    else:
        names = document.members().keys()
        if "images" in names:
            is_coco = names & {"annotations", "categories", "info", "licenses"}
            return ImportFormat.COCO if is_coco else ImportFormat.JSON
        if "analyses" in names or ("annotations" in names and "result_type" in names):
            return ImportFormat.JSON
        if "annotations" in names and "model_name" in names:
            return ImportFormat.VISTA
    raise InvalidInput(f"{document.name} is in no format that is known; --format says which it is")


def _spans(document: JsonFile) -> Spans:
    """The images or the analyses of a document of ours, or of VISTA."""
    if document.by_line or document.is_list:
        return document.items()
    members = document.members()
    # A dataset has images; VISTA answers with a list of analyses, an image has its own.
    name = "images" if "images" in members else "analyses"
    listed = members.get(name)
    if isinstance(listed, Spans) and "sha256" not in members:
        return document.inside(listed, name)
    return Spans(np.array([document.start]), np.array([document.size]))


def _within(folder: FolderTree, name: str) -> Path:
    try:
        found = folder.path(name)
    except Refused as error:
        raise InvalidInput(f"{name}: {error}") from None
    if found is None:
        raise NotFound(f"there is no {name} any more")
    return found


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def _plain_suffix(name: str) -> str:
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def _unzip(path: Path, to: IO[bytes]) -> None:
    most = min(MOST_UNPACKED, _CHUNK + MOST_RATIO * path.stat().st_size)
    written = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK):
                written += len(chunk)
                if written > most:
                    raise Refused(f"it grows to more than {most} bytes")
                to.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Refused("it is damaged, or ends in the middle") from None

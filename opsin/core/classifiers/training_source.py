"""Another service's collections: labelled embeddings as JSON over HTTP, checked strictly.

`/collections.json` lists collections, `/collections/<id>/training_data.json` gives one's rows; for
a collection of several embeddings, `?embedding_type=<operation>` gives those of one of them.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import IO, Any, Final
from urllib.parse import quote

from opsin.core.classifiers.logistic_regression import IN_COLLECTION, NOT_IN_COLLECTION
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.inputs import JOINT, NewInput
from opsin.core.contract import Target
from opsin.core.errors import FetchFailed, InvalidInput
from opsin.core.fetch import Fetcher
from opsin.storage.json_text import parse_json

MAX_BYTES: Final = 256 * 2**20
SECONDS: Final = 300.0
ACCEPT: Final = "application/json, text/html;q=0.5"

_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")

REPEATED = "a photo that is there twice"
NOT_EVERYWHERE = "a photo without one of the embeddings"
CONTRADICTED = "a photo with other labels for other embeddings"


@dataclass(frozen=True, slots=True)
class SourceCollection:
    """A collection as the service lists it."""

    key: str
    name: str
    inputs: tuple[NewInput, ...]


@dataclass(frozen=True, slots=True)
class SourceMembers:
    """A collection's rows, and by reason how many are left out."""

    members: list[NewMember]
    left_out: dict[str, int]


class TrainingSource:
    """Reads one service; every error is an OpsinError that says what is wrong there."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url.rstrip("/")
        self._fetcher = fetcher

    async def collections(self) -> tuple[list[SourceCollection], list[str]]:
        """The collections that can be read, and why others cannot."""
        listed = await self._get("/collections.json")
        found: list[SourceCollection] = []
        refused: list[str] = []
        for number, entry in enumerate(listed):
            try:
                found.append(_collection(entry))
            except InvalidInput as error:
                refused.append(f"entry {number} of /collections.json: {error.message}")
        return found, refused

    async def members(self, collection: SourceCollection) -> SourceMembers:
        """The rows of a collection; those of several embeddings are joined on `photo_id`.

        Raises InvalidInput for a row that is not as documented.
        """
        path = f"/collections/{quote(collection.key, safe='')}/training_data.json"
        operations = [one.operation for one in collection.inputs]
        if len(operations) == 1:
            rows = await self._get(path)
            return await asyncio.to_thread(_single, rows)
        tables = [
            await self._get(f"{path}?embedding_type={quote(operation, safe='')}")
            for operation in operations
        ]
        return await asyncio.to_thread(_joined, operations, tables)

    async def _get(self, path: str) -> list[Any]:
        with await self._fetcher.fetch(self._url + path) as fetched:
            value = await asyncio.to_thread(_parsed, fetched.file)
        if not isinstance(value, list):
            raise FetchFailed(f"the source's {path.partition('?')[0]} is no JSON array")
        return value


def source_inputs(embedding_type: str, target: Target) -> tuple[NewInput, ...]:
    """The inputs that a type such as `embed_clip_vit_b_32+embed_dino_v2` names."""
    return tuple(NewInput(name.strip(), target) for name in embedding_type.split(JOINT))


def _parsed(file: IO[bytes]) -> Any:
    """The JSON of a body, which may be the text of an HTML page and nothing else."""
    try:
        text = file.read().decode("utf-8-sig")
        if text.lstrip().startswith("<"):
            page = _PageText()
            page.feed(text)
            page.close()
            text = "".join(page.text)
        return parse_json(text.strip())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise FetchFailed("the source's answer is no JSON") from None


class _PageText(HTMLParser):
    """What a page shows."""

    _HIDDEN = frozenset({"head", "script", "style", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text.append(data)


def _collection(entry: Any) -> SourceCollection:
    if not isinstance(entry, Mapping):
        raise InvalidInput("is no object")
    identity, name, focus = entry.get("id"), entry.get("name"), entry.get("collection_focus")
    if not isinstance(identity, int) or isinstance(identity, bool):
        raise InvalidInput("id is no integer")
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput("name is no text")
    if not isinstance(focus, Mapping):
        raise InvalidInput("collection_focus is missing")
    region, kind = focus.get("derivative_type_name"), focus.get("embedding_type_name")
    if not isinstance(region, str) or region not in list(Target):
        raise InvalidInput(f"derivative_type_name is none of {', '.join(Target)}")
    if not isinstance(kind, str) or not kind.strip():
        raise InvalidInput("embedding_type_name is no text")
    return SourceCollection(str(identity), name, source_inputs(kind, Target(region)))


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    embedding: Sequence[float]
    photo: str | None


def _rows(table: Sequence[Any], *, photos: bool) -> Iterator[_Row]:
    for number, entry in enumerate(table):
        if not isinstance(entry, Mapping):
            raise InvalidInput(f"row {number} is no object")
        label, embedding, photo = (entry.get(n) for n in ("label", "embedding", "photo_id"))
        if not isinstance(label, int) or label not in (0, 1):  # true and false are integers too
            raise InvalidInput(f"row {number}: label is neither true, false, 1 nor 0")
        if not isinstance(embedding, list):
            raise InvalidInput(f"row {number}: embedding is no list")
        if not isinstance(photo, int | str | None) or isinstance(photo, bool):
            raise InvalidInput(f"row {number}: photo_id is neither an integer nor a text")
        if photos and photo is None:
            raise InvalidInput(f"row {number}: photo_id is missing")
        yield _Row(
            IN_COLLECTION if label else NOT_IN_COLLECTION,
            embedding,
            None if photo is None else str(photo),
        )


def _single(table: Sequence[Any]) -> SourceMembers:
    rows = _rows(table, photos=False)
    return SourceMembers([NewMember(row.label, [row.embedding], row.photo) for row in rows], {})


def _joined(operations: Sequence[str], tables: Sequence[Sequence[Any]]) -> SourceMembers:
    """Photos that have every embedding and one label, in the order of their ids."""
    left_out: dict[str, int] = {}
    by_photo: list[dict[str, _Row]] = []
    for table in tables:
        rows: dict[str, _Row] = {}
        for row in _rows(table, photos=True):
            assert row.photo is not None  # asked for
            if row.photo in rows:
                left_out[REPEATED] = left_out.get(REPEATED, 0) + 1
            rows.setdefault(row.photo, row)
        by_photo.append(rows)
    shared = set.intersection(*(set(rows) for rows in by_photo))
    every = set.union(*(set(rows) for rows in by_photo))
    members: list[NewMember] = []
    contradicted = 0
    for photo in sorted(shared, key=_photo_order):
        rows_of = [rows[photo] for rows in by_photo]
        if len({row.label for row in rows_of}) > 1:
            contradicted += 1
            continue
        vectors = [row.embedding for row in rows_of]
        members.append(NewMember(rows_of[0].label, vectors, photo))
    for reason, count in ((NOT_EVERYWHERE, len(every - shared)), (CONTRADICTED, contradicted)):
        if count:
            left_out[reason] = count
    return SourceMembers(members, left_out)


def _photo_order(photo: str) -> tuple[bool, int, str]:
    """Integers by value, then texts."""
    is_number = _INTEGER.fullmatch(photo) is not None
    return (not is_number, int(photo) if is_number else 0, photo)

"""The pictures of a source: found by content among what is stored, or taken in from its files."""

import asyncio
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.errors import InvalidImage, InvalidInput, OpsinError, TooLarge
from opsin.core.images import NewImage, image_values
from opsin.core.imaging import ImageInfo, ImageLimits, decode
from opsin.core.imports.found import Refused, Size, SourceImage
from opsin.core.imports.known_images import Alike, Facts, KnownImages
from opsin.core.imports.trees import Tree
from opsin.core.storable import check_json
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id, new_ids

_AT_ONCE = 4
"""Pictures that are decoded at the same time."""


@dataclass(slots=True)
class Placed:
    """A source's image and the stored one: there already, or a row that is yet to be written."""

    source: SourceImage
    image_id: str
    size: Size
    orientation: int
    row: dict[str, Any] | None = None
    tree_path: str | None = None
    """Where its bytes are, for a new one that came from a file."""


class Pictures:
    """Finds each image of a source its stored one, or takes its picture in."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        limits: ImageLimits,
        principal: Principal,
        dataset_id: str | None,
        tree: Tree,
        *,
        is_dry: bool = False,
    ) -> None:
        self._blobs = blobs
        self._limits = limits
        self._principal = principal
        self._dataset_id = dataset_id
        self._tree = tree
        self._is_dry = is_dry
        self._known = KnownImages(database, principal, dataset_id)
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def place(self, sources: Sequence[SourceImage]) -> list[Placed | Refused]:
        """The stored image of each, or why there is none.

        New pictures are in the blob store then (not in a dry run); their rows are not written.
        """
        files = await asyncio.gather(*(self._digest(source) for source in sources))
        digests = {d for d in (*(f[1] for f in files), *(s.sha256 for s in sources)) if d}
        wanted = {own for s in sources if (own := canonical_id(s.image_id)) is not None}
        alike = await self._known.look_up(digests, wanted)
        placed = await asyncio.gather(
            *(
                self._placed(source, path, digest, why, alike)
                for source, (path, digest, why) in zip(sources, files, strict=True)
            )
        )
        # In the order of the source, which is that of ids, whichever was decoded first.
        made = [(one, one.row) for one in placed if isinstance(one, Placed) and one.row is not None]
        for identity, (one, row) in zip(new_ids(len(made)), made, strict=True):
            one.image_id = row["id"] = identity
            self._known.give(identity)
        return placed

    async def _digest(self, source: SourceImage) -> tuple[str | None, str | None, str]:
        """The picture's path in the tree, its sha256, or why there is neither."""
        async with self._room:
            return await asyncio.to_thread(self._find_file, source)

    def _find_file(self, source: SourceImage) -> tuple[str | None, str | None, str]:
        why = "its picture is not there"
        try:
            for path in _candidates(source.paths):
                if (file := self._tree.open(path)) is None:
                    continue
                with file:
                    digest = _sha256(file, self._limits.max_bytes)
                if source.sha256 not in (None, digest):
                    why = f"the picture {path} is another one: its sha256 differs"
                    continue
                return path, digest, ""
        except Refused as error:
            why = str(error)
        except TooLarge as error:
            why = error.message
        return None, None, why

    async def _placed(
        self,
        source: SourceImage,
        path: str | None,
        digest: str | None,
        why: str,
        alike: Alike,
    ) -> Placed | Refused:
        known = alike.by_digest.get(digest or source.sha256 or "", ())
        if (free := self._known.free(source, digest or source.sha256, alike)) is not None:
            return _of(source, free)
        if known and (path is not None or await self._is_stored(known[0]["sha256"])):
            # Taken in before, perhaps for another dataset: it need not be decoded again.
            facts = known[0]
            return self._new(source, _info(facts), facts["sha256"], facts["size_bytes"], path)
        if path is not None and digest is not None:
            return await self._taken_in(source, path, digest)
        if source.sha256 is None and (named := await self._known.named(source)) is not None:
            return _of(source, named)
        return Refused(why)

    async def _taken_in(self, source: SourceImage, path: str, digest: str) -> Placed | Refused:
        async with self._room:
            try:
                content, info = await asyncio.to_thread(self._decoded, path, digest)
                await self._put(digest, io.BytesIO(content), info.content_type)
            except (InvalidImage, TooLarge) as error:
                return Refused(error.message)
            except Refused as error:
                return error
        return self._new(source, info, digest, len(content), path)

    def _decoded(self, path: str, digest: str) -> tuple[bytes, ImageInfo]:
        """A picture's bytes, looked at whole: what is cut off is told now, not when it is shown."""
        content = self._tree.read(path, self._limits.max_bytes)
        if hashlib.sha256(content).hexdigest() != digest:
            raise Refused("its picture has just changed")
        return content, decode(content, self._limits).info

    def _new(
        self, source: SourceImage, info: ImageInfo, digest: str, size: int, path: str | None
    ) -> Placed | Refused:
        try:
            check_json(source.metadata, "metadata")
        except InvalidInput as error:
            return Refused(error.message)
        name = source.filename or path or ""
        new = NewImage(self._dataset_id or "", name, metadata=source.metadata or {})
        row = image_values(self._principal, new, info, digest, size)
        return Placed(source, row["id"], (info.width, info.height), info.orientation, row, path)

    async def appeared(self, connection: AsyncConnection, placed: Iterable[Placed]) -> bool:
        """Whether another has stored one of the new pictures in the dataset since it was placed."""
        digests = {one.row["sha256"] for one in placed if one.row is not None}
        return await self._known.has_others(connection, digests)

    async def keep(self, placed: Iterable[Placed]) -> None:
        """Write again what was swept since it was placed; the blobs' lock is held."""
        made = [(one, one.row) for one in placed if one.row is not None]
        stored = await asyncio.gather(*(self._is_stored(row["sha256"]) for _, row in made))
        for (one, row), is_there in zip(made, stored, strict=True):
            if is_there:
                continue
            file = None if one.tree_path is None else self._tree.open(one.tree_path)
            if file is None:
                raise OpsinError(f"{one.source.name} has been removed meanwhile; run it again")
            with file:
                await self._put(row["sha256"], file, row["content_type"])

    async def _put(self, digest: str, file: IO[bytes], content_type: str) -> None:
        if not self._is_dry and not await self._is_stored(digest):
            await asyncio.to_thread(file.seek, 0)
            await self._blobs.put_file(content_key(digest), file, content_type=content_type)

    async def _is_stored(self, digest: str) -> bool:
        return await self._blobs.stat(content_key(digest)) is not None


def _candidates(paths: Sequence[str]) -> Sequence[str]:
    """The name as it is given, below `images`, and by its last part: tools differ in it."""
    found: dict[str, None] = {}
    for path in paths:
        last = path.replace("\\", "/").rpartition("/")[2]
        found |= dict.fromkeys((path, f"images/{path}", last, f"images/{last}"))
    return [path for path in found if path.strip("/")]


def _of(source: SourceImage, facts: Facts) -> Placed:
    size = (facts["width"], facts["height"])
    return Placed(source, facts["id"], size, facts["orientation"])


def _info(facts: Facts) -> ImageInfo:
    return ImageInfo(
        format="",  # the row has the content type
        content_type=facts["content_type"],
        width=facts["width"],
        height=facts["height"],
        mode=None,
        frames=facts["frames"],
        orientation=facts["orientation"],
        orientation_applied=facts["orientation_applied"],
        notes=tuple(facts["notes"]),
    )


def _sha256(file: IO[bytes], max_bytes: int) -> str:
    if file.seek(0, 2) > max_bytes:
        raise TooLarge(f"The picture has more than {max_bytes} bytes")
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()

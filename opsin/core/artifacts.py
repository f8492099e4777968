"""Artifacts: the files of results, named below their analysis and kept by content."""

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import insert, select

from opsin.core.access import Principal
from opsin.core.contract import Annotation, ProducedArtifact
from opsin.core.errors import BlobNotFound, InvalidInput, NotFound
from opsin.core.pages import Listing
from opsin.core.records import Analysis, Artifact, columns_of, to_record
from opsin.core.scope import within
from opsin.core.soft_deletion import in_place
from opsin.storage.blobs import BlobStore, content_key
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id, new_ids
from opsin.storage.tables import analyses, artifacts, images

Answer = TypeVar("Answer")

LISTING = Listing(artifacts, Artifact, parent="analysis_id")
MAX_ARTIFACTS = 32
"""Files of one analysis."""
MAX_ARTIFACT_BYTES = 64 * 2**20
"""Bytes of all files of one analysis; they are in memory until they are stored."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}(; ?[\w-]{1,30}=[\w.+-]{1,60})?", re.ASCII)
_AT_ONCE = 8  # files on their way to the store


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A file of an analysis that is about to end, and the digest it is kept by."""

    analysis: Analysis
    file: ProducedArtifact
    sha256: str


def storage_path(analysis_id: str, name: str) -> str:
    """How annotations name an artifact: the same for what we produce and what is uploaded."""
    return f"ml_outputs/{analysis_id}/{name}"


def check_artifact_name(name: object) -> None:
    """Raises InvalidInput for a name that is more than a name, such as a path."""
    if not _matches(_NAME, name) or name == "." or ".." in str(name):
        raise InvalidInput(
            "an artifact's name has 1 to 255 of the characters A-Z a-z 0-9 _ - ., more than a dot, "
            "and never two dots in a row"
        )


def check_content_type(name: str, content_type: object) -> None:
    """Raises InvalidInput for a text that is no content type."""
    if not _matches(_CONTENT_TYPE, content_type):
        raise InvalidInput(f"artifact {name!r}: its content type is none")


def validate_artifacts(produced: Iterable[Any]) -> tuple[ProducedArtifact, ...]:
    """The files that a result declares; InvalidInput says what is wrong with them."""
    checked: dict[str, ProducedArtifact] = {}
    left = MAX_ARTIFACT_BYTES
    for file in produced:
        if not isinstance(file, ProducedArtifact) or not isinstance(file.content, bytes):
            raise InvalidInput("an artifact is a ProducedArtifact whose content is bytes")
        check_artifact_name(file.name)
        if file.name in checked:
            raise InvalidInput(f"two artifacts are called {file.name!r}")
        check_content_type(file.name, file.content_type)
        if len(checked) == MAX_ARTIFACTS:
            raise InvalidInput(f"more than {MAX_ARTIFACTS} artifacts")
        left -= len(file.content)
        if left < 0:
            raise InvalidInput(f"the artifacts have more than {MAX_ARTIFACT_BYTES} bytes in all")
        checked[file.name] = file
    return tuple(checked.values())


def with_storage_paths(
    analysis_id: str, found: Sequence[Annotation], produced: Sequence[ProducedArtifact]
) -> list[Annotation]:
    """The annotations, those that name an artifact with its path instead of the name."""
    names = {file.name for file in produced}
    return [
        annotation.model_copy(
            update={"storage_path": storage_path(analysis_id, annotation.storage_path)}
        )
        if annotation.storage_path in names
        else annotation
        for annotation in found
    ]


class Artifacts:
    """Stores files by content: one is written before the row that names it, and swept after."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def put(self, produced: Sequence[tuple[Analysis, ProducedArtifact]]) -> list[NewArtifact]:
        """Write the files; nobody sees them, and they may be swept, until they are named."""
        if not produced:
            return []
        digests = await asyncio.to_thread(
            lambda: [hashlib.sha256(file.content).hexdigest() for _, file in produced]
        )
        new = [
            NewArtifact(analysis, file, sha256)
            for (analysis, file), sha256 in zip(produced, digests, strict=True)
        ]
        await self._write(new)
        return new

    async def name(self, transaction: Transaction, new: Sequence[NewArtifact]) -> None:
        """Insert the rows of files that were put, but of images whose files are not kept."""
        if not new:
            return
        await transaction.lock_blobs(exclusive=False)
        kept = await _with_files(transaction, {artifact.analysis.image_id for artifact in new})
        new = [artifact for artifact in new if artifact.analysis.image_id in kept]
        if not new:
            return
        # What was swept between the put and this lock is written again.
        keys = list({content_key(artifact.sha256) for artifact in new})
        stats = await _few_at_once(self._blobs.stat, keys)
        gone = {key for key, stat in zip(keys, stats, strict=True) if stat is None}
        await self._write([a for a in new if content_key(a.sha256) in gone])
        now = datetime.now(UTC)
        rows = [
            {
                "id": identity,
                "company_id": artifact.analysis.company_id,
                "analysis_id": artifact.analysis.id,
                "name": artifact.file.name,
                "content_type": artifact.file.content_type,
                "storage_path": storage_path(artifact.analysis.id, artifact.file.name),
                "size_bytes": len(artifact.file.content),
                "sha256": artifact.sha256,
                "created_at": now,
                "stored_at": now,
            }
            for identity, artifact in zip(new_ids(len(new)), new, strict=True)
        ]
        await transaction.connection.execute(insert(artifacts), rows)

    async def by_id(self, artifact_id: str) -> Artifact:
        """Any company's artifact, unless its image is being deleted: for signed links only."""
        statement = (
            select(*columns_of(artifacts, Artifact))
            .join(analyses, analyses.c.id == artifacts.c.analysis_id)
            .join(images, images.c.id == analyses.c.image_id)
            .where(artifacts.c.id == artifact_id, *in_place(images))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            raise NotFound("Artifact not found")
        return to_record(Artifact, row)

    async def find(self, principal: Principal, analysis_id: str, name: str) -> Artifact | None:
        """The file of this name of one of the caller's analyses."""
        statement = select(*columns_of(artifacts, Artifact)).where(
            within(principal, artifacts),
            artifacts.c.analysis_id == canonical_id(analysis_id),
            artifacts.c.name == name,
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else to_record(Artifact, row)

    def stream(
        self, artifact: Artifact, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Bytes `start` to `end` (exclusive), a chunk at a time; the first may be BlobNotFound."""
        if artifact.sha256 is None:
            raise BlobNotFound("this artifact has not been stored yet")
        return self._blobs.open(content_key(artifact.sha256), start=start, end=end)

    async def _write(self, new: Sequence[NewArtifact]) -> None:
        # Equal files, such as the black heatmaps of plain pictures, are one blob.
        files = {content_key(artifact.sha256): artifact.file for artifact in new}

        async def put(key: str) -> int:
            content = io.BytesIO(files[key].content)
            return await self._blobs.put_file(key, content, content_type=files[key].content_type)

        await _few_at_once(put, list(files))


async def _with_files(transaction: Transaction, image_ids: set[str]) -> frozenset[str]:
    """Those images whose files were not deleted, nor are before the transaction ends."""
    statement = (
        select(images.c.id)
        .where(images.c.id.in_(image_ids), images.c.storage_deleted.is_(False))
        # In one order for everybody who holds several.
        .order_by(images.c.id)
        .with_for_update(read=True)
    )
    return frozenset((await transaction.connection.execute(statement)).scalars())


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    """Whether it is such a text: what a plugin made may be anything."""
    return isinstance(text, str) and pattern.fullmatch(text) is not None


async def _few_at_once(
    call: Callable[[str], Awaitable[Answer]], keys: Sequence[str]
) -> list[Answer]:
    """The answers in order; the first error is raised when all calls have ended."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def wait(key: str) -> Answer:
        async with turn:
            return await call(key)

    answers = await asyncio.gather(*map(wait, keys), return_exceptions=True)
    given: list[Answer] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        given.append(answer)
    return given

"""The ledger: what was asked for, and whether all of it came to its one end, told and kept."""

import asyncio
import hashlib
import io
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.errors import StorageError
from opsin.core.images import NewImage
from opsin.core.records import Image
from opsin.storage.blobs import content_key
from opsin.storage.tables import analyses, annotations, artifacts, events, images
from tests.chaos.followers import Follower
from tests.pictures import noise_jpeg

OPEN = ("QUEUED", "PROCESSING")
_PAUSE = 0.1


@dataclass
class Verdict:
    """What the ledger found, in numbers; whatever must not be is refused before."""

    asked: int = 0
    doubtful: int = 0
    """Asked for in the middle of a fault: the asker was told of an error."""
    doubtful_kept: int = 0
    """Of those: there all the same, and as complete as the others."""
    begun_again: int = 0
    events: int = 0
    follower_losses: int = 0
    blobs: int = 0
    swept: int = 0


@dataclass
class Ledger:
    """Asks through a house of its own, and judges by the tables, the blobs and the followers."""

    parts: Parts
    principal: Principal
    accepted: dict[int, str] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    dataset_id: str = ""
    _next: int = 0

    async def ask(self, count: int, per_image: int = 10, poison: str = "") -> list[int]:
        """Queue so many analyses, through whatever fails meanwhile; gives their marks."""
        use_cases, asked = self.parts.use_cases, list[int]()
        while len(asked) < count:
            marks = range(self._next, self._next + min(per_image, count - len(asked)))
            self._next = marks.stop
            image = await self._image(marks.start)
            tasks = [
                make_task(use_cases.host, str(m), "write_mark", {"mark": m, "poison": poison})
                for m in marks
            ]
            try:
                rows = await use_cases.analyses.ask(self.principal, image.id, tasks)
            except StorageError:  # nobody knows whether it was committed
                self.doubtful.update(marks)
                await asyncio.sleep(_PAUSE)
                continue
            self.accepted |= dict(zip(marks, (row.id for row in rows), strict=True))
            asked += marks
        return asked

    async def _image(self, seed: int) -> Image:
        picture = noise_jpeg(32, 32, seed=seed)
        while True:
            try:
                if not self.dataset_id:
                    made = await self.parts.use_cases.datasets.create(self.principal, "chaos")
                    self.dataset_id = made.id
                new = NewImage(self.dataset_id, f"{seed}.jpg")
                return await self.parts.use_cases.images.add(
                    self.principal, new, io.BytesIO(picture)
                )
            except StorageError:
                await asyncio.sleep(_PAUSE)

    async def count(self, *statuses: str) -> int | None:
        """Analyses with such a status; None while the database does not answer."""
        statement = select(func.count()).where(analyses.c.status.in_(statuses))
        try:
            async with self.parts.use_cases.database.read() as connection:
                found: int = (await connection.execute(statement)).scalar_one()
                return found
        except StorageError:
            return None

    async def in_hand(self) -> list[str]:
        """The analyses that workers hold now."""
        statement = select(analyses.c.id).where(analyses.c.status == "PROCESSING")
        async with self.parts.use_cases.database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def until_ended(self, seconds: float, ids: Collection[str] | None = None) -> None:
        """Wait until these, or all, have their ends."""
        statement = select(func.count()).where(analyses.c.status.in_(OPEN))
        if ids is not None:
            statement = statement.where(analyses.c.id.in_(list(ids)))
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with self.parts.use_cases.database.read() as connection:
                        if not (await connection.execute(statement)).scalar_one():
                            return
                except StorageError:
                    pass
                await asyncio.sleep(0.05)

    async def judge(
        self, seen: Collection[Follower] = (), *, failing: Collection[int] = ()
    ) -> Verdict:
        """None lost, none doubled, events in order, followers complete, blobs named or swept.

        `failing` are the marks of those that have to end FAILED.
        """
        verdict = Verdict(asked=len(self.accepted), doubtful=len(self.doubtful))
        marks = await self._judge_rows(verdict, frozenset(failing))
        log = await self._judge_events(verdict, marks, frozenset(failing))
        for follower in seen:
            async with asyncio.timeout(120):
                while len(follower.seen) < len(log):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.05)
            told = [(analysis, kind) for _, analysis, kind in follower.seen]
            assert told == log, "a follower has missed, repeated or mixed up events"
            verdict.follower_losses += follower.losses
        await self._judge_blobs(verdict)
        return verdict

    async def _judge_rows(self, verdict: Verdict, failing: frozenset[int]) -> dict[str, int]:
        """The rows and their results; gives each analysis's mark."""
        columns = analyses.c
        statement = select(
            columns.id, columns.status, columns.parameters, columns.result, columns.attempts
        )
        counted = select(
            annotations.c.analysis_id,
            func.count(),
            func.min(annotations.c.class_name),
            func.max(annotations.c.class_name),
        ).group_by(annotations.c.analysis_id)
        async with self.parts.use_cases.database.read() as connection:
            rows = (await connection.execute(statement)).all()
            written = {row[0]: tuple(row[1:]) for row in await connection.execute(counted)}
        marks: dict[str, int] = {}
        for row in rows:
            mark = row.parameters["mark"]
            marks[row.id] = mark
            if mark in failing:
                assert row.status == "FAILED", (mark, row.status)
                assert row.id not in written
                continue
            assert row.status == "COMPLETED", (mark, row.status)
            assert row.result["mark"] == mark
            assert written.pop(row.id) == (2, str(mark), str(mark))
            verdict.begun_again += row.attempts > 1
        assert not written, "annotations without an ended analysis"
        assert len(set(marks.values())) == len(marks), "an analysis is there twice"
        kept = {mark: identity for identity, mark in marks.items()}
        lost = [mark for mark, identity in self.accepted.items() if kept.get(mark) != identity]
        assert not lost, f"lost: {lost}"
        more = kept.keys() - self.accepted.keys()
        assert more <= self.doubtful, "analyses that nobody asked for"
        verdict.doubtful_kept = len(more)
        return marks

    async def _judge_events(
        self, verdict: Verdict, marks: dict[str, int], failing: frozenset[int]
    ) -> list[tuple[str, str]]:
        statement = (
            select(events.c.analysis_id, events.c.kind)
            .where(events.c.analysis_id.is_not(None))
            .order_by(events.c.sequence)
        )
        async with self.parts.use_cases.database.read() as connection:
            rows = (await connection.execute(statement)).all()
        told: dict[str, list[str]] = {identity: [] for identity in marks}
        log: list[tuple[str, str]] = []
        for identity, kind in rows:
            word = kind.removeprefix("analysis.")
            log.append((identity, word.upper()))
            if word in ("queued", "processing", "completed", "failed"):
                told[identity].append(word)
        for identity, kinds in told.items():
            end = "failed" if marks[identity] in failing else "completed"
            assert kinds == ["queued", "processing"] * (len(kinds) // 2) + [end], kinds
        verdict.events = len(log)
        return log

    async def _judge_blobs(self, verdict: Verdict) -> None:
        """What rows name is there, whole; what they do not name goes."""
        parts = self.parts
        verdict.swept = await parts.sweep.run(older_than=timedelta(0))
        async with parts.use_cases.database.read() as connection:
            named = set[str]()
            for table in (images, artifacts):
                statement = select(table.c.sha256).where(table.c.sha256.is_not(None))
                named |= set((await connection.execute(statement)).scalars())
        kept = {blob.key async for blob in parts.blobs.list("")}
        assert kept == {content_key(sha256) for sha256 in named}
        for sha256 in sorted(named)[:: max(1, len(named) // 50)]:  # some are read whole
            content = await parts.blobs.read(content_key(sha256))
            assert hashlib.sha256(content).hexdigest() == sha256
        verdict.blobs = len(named)

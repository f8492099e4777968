"""The same block for `AsyncClient`; a cancelled task still says that its analysis is."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anyio import move_on_after

from opsin.client.analyses import ending
from opsin.client.annotations import Finding
from opsin.client.errors import ClientError
from opsin.client.records import Analysis, Artifact
from opsin.client.uploads import Progress, Source

if TYPE_CHECKING:
    from opsin.client.async_client import AsyncClient

_ENDING_SECONDS = 15.0
"""How long the end of a cancelled task may be held up by telling the server."""


class AsyncRun:
    """One analysis while it lasts: `async with client.analysis(...) as analysis:`.

    `summary` may be filled until the end.  An exception in the block ends the analysis as failed
    with its text (as cancelled, where it is an interrupt) and goes on.
    """

    def __init__(self, client: "AsyncClient", begin: Callable[[], Awaitable[Analysis]]) -> None:
        self._client = client
        self._begin = begin
        self._record: Analysis | None = None
        self.summary: dict[str, Any] = {}

    @property
    def record(self) -> Analysis:
        """As the server last told of it."""
        if self._record is None:
            raise RuntimeError(
                "the analysis begins with its block: async with client.analysis(...) as a:"
            )
        return self._record

    @property
    def id(self) -> str:
        return self.record.id

    async def add(self, *findings: Finding) -> int:
        """Findings, of which none is sent twice; gives how many."""
        return await self.add_all(findings)

    async def add_all(self, findings: Iterable[Finding] | AsyncIterable[Finding]) -> int:
        """The same for any number of them, as they come."""
        return await self._client.add_annotations(self.id, findings)

    async def upload(
        self,
        source: Source,
        name: str | None = None,
        *,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        return await self._client.upload_artifact(
            self.id, source, name, content_type=content_type, progress=progress
        )

    async def __aenter__(self) -> Self:
        self._record = await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        status, message = ending(error)
        with move_on_after(_ENDING_SECONDS, shield=error is not None):
            await self._end(error, status, message)

    async def _end(self, error: BaseException | None, status: str, message: str | None) -> None:
        try:
            self._record = await self._client.finalize(
                self.id, status, summary=self.summary or None, error_message=message
            )
        except ClientError as second:
            if error is None:
                raise
            error.add_note(f"The analysis {self.id} could not be ended as {status}: {second}")

"""An analysis as a block of a program: begun at its top, ended at its end, however that comes."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opsin.client.analyses import ending
from opsin.client.annotations import Finding
from opsin.client.errors import ClientError
from opsin.client.records import Analysis, Artifact
from opsin.client.uploads import Progress, Source

if TYPE_CHECKING:
    from opsin.client.sync_client import Client


class Run:
    """One analysis while it lasts: `with client.analysis(...) as analysis:`.

    `summary` may be filled until the end.  An exception in the block ends the analysis as failed
    with its text (as cancelled, where it is an interrupt) and goes on.
    """

    def __init__(self, client: "Client", begin: Callable[[], Analysis]) -> None:
        self._client = client
        self._begin = begin
        self._record: Analysis | None = None
        self.summary: dict[str, Any] = {}

    @property
    def record(self) -> Analysis:
        """As the server last told of it."""
        if self._record is None:
            raise RuntimeError(
                "the analysis begins with its block: with client.analysis(...) as a:"
            )
        return self._record

    @property
    def id(self) -> str:
        return self.record.id

    def add(self, *findings: Finding) -> int:
        """Findings, of which none is sent twice; gives how many."""
        return self.add_all(findings)

    def add_all(self, findings: Iterable[Finding]) -> int:
        """The same for any number of them, as they come."""
        return self._client.add_annotations(self.id, findings)

    def upload(
        self,
        source: Source,
        name: str | None = None,
        *,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        return self._client.upload_artifact(
            self.id, source, name, content_type=content_type, progress=progress
        )

    def __enter__(self) -> Self:
        self._record = self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        status, message = ending(error)
        try:
            self._record = self._client.finalize(
                self.id, status, summary=self.summary or None, error_message=message
            )
        except ClientError as second:
            if error is None:
                raise
            error.add_note(f"The analysis {self.id} could not be ended as {status}: {second}")

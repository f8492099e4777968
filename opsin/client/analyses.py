"""The six steps of a pipeline, and what was stored of them."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsin.client.annotations import Annotation, Finding
from opsin.client.chunks import Chunk, chunks
from opsin.client.errors import ClientError, Refused, TooLarge
from opsin.client.records import Analysis, Artifact, Presigned
from opsin.client.refusals import bad_finding
from opsin.client.session import Session
from opsin.client.signing import encode
from opsin.client.uploads import FileBody, Progress, Source, content_type_of, name_of
from opsin.client.wire import Answer, Steps, Work, path_part

PAGE = 1000
_FINAL = frozenset({"completed", "failed", "cancelled"})


class AnalysisCalls:
    """Everything about analyses, as steps for whoever sends them."""

    def __init__(self, session: Session, chunk: int) -> None:
        self._session = session
        self.chunk = chunk

    def begin(
        self,
        image_id: str,
        model: str,
        version: str,
        parameters: Mapping[str, Any] | None,
        description: str | None,
    ) -> Steps[Analysis]:
        """Steps 1 and 2; nothing is made where what follows would be refused."""
        if not self._session.is_proven:
            yield from self._prove()
        made = yield from self.create(image_id, model, version, parameters, description)
        return (yield from self.set_status(made.id, "processing"))

    def create(
        self,
        image_id: str,
        model: str,
        version: str,
        parameters: Mapping[str, Any] | None,
        description: str | None,
    ) -> Steps[Analysis]:
        given = {"model_name": model, "model_version": version, "parameters": parameters}
        if description is not None:
            given["description"] = description
        answer = yield from self._session.call(
            "The new analysis",
            "POST",
            f"/images/{path_part(image_id)}/analyses",
            encode(given),
            named=True,
        )
        return Analysis.of(answer.json())

    def set_status(
        self, analysis_id: str, status: str, error_message: str | None = None
    ) -> Steps[Analysis]:
        given = {"status": status}
        if error_message is not None:
            given["error_message"] = error_message
        answer = yield from self._session.call(
            f"The status {status}",
            "PATCH",
            f"/analyses/{path_part(analysis_id)}/status",
            encode(given),
            signed=True,
        )
        return Analysis.of(answer.json())

    def presign(
        self, analysis_id: str, files: Sequence[tuple[str, str, int | None]]
    ) -> Steps[list[Presigned]]:
        wanted = [
            {"artifact_name": name, "content_type": kind}
            | ({} if size is None else {"size_bytes": size})
            for name, kind, size in files
        ]
        answer = yield from self._session.call(
            "The request for addresses of files",
            "POST",
            f"/analyses/{path_part(analysis_id)}/artifacts/presign",
            encode({"artifacts": wanted}),
            signed=True,
        )
        return [
            Presigned(
                one["artifact_name"],
                one["upload_url"],
                one.get("storage_path") or f"ml_outputs/{analysis_id}/{one['artifact_name']}",
                one["expires_in"],
            )
            for one in answer.json()["presigned_urls"]
        ]

    def upload(
        self,
        analysis_id: str,
        source: Source,
        name: str | None,
        content_type: str | None,
        progress: Progress | None,
    ) -> Steps[Artifact]:
        name = name or name_of(source)
        kind = content_type or content_type_of(name)
        body: FileBody = yield Work(lambda: FileBody(source, progress))
        try:
            what = f"The file {name}"
            for _ in range(2):
                try:
                    (given,) = yield from self.presign(analysis_id, [(name, kind, body.size)])
                except TooLarge as error:
                    raise _too_large(what, error.detail, body) from None
                answer: Answer = yield from self._session.put(what, given.url, body, kind)
                if answer.status != 403:  # 403: the address expired while the server was away
                    break
            _check_put(self._session, what, answer, body)
            return Artifact(name, given.storage_path, kind, body.size, body.sha256)
        finally:
            body.close()

    def add(self, analysis_id: str, findings: Iterable[Finding]) -> Steps[int]:
        """Send them a chunk at a time; gives how many there were."""
        stored = 0
        try:
            for chunk in chunks(findings, self.chunk):
                stored += yield from self.add_chunk(analysis_id, chunk)
        except Exception as error:
            note_stored(error, stored)
            raise
        return stored

    def add_chunk(self, analysis_id: str, chunk: Chunk) -> Steps[int]:
        if self._session.remembers is None and self._session.dialect == "timestamped":
            # No findings at all do no harm twice, and their answer tells what the server is.
            yield from self._bulk(analysis_id, b'{"annotations":[]}', repeatable=True)
        answer = yield from self._bulk(analysis_id, chunk.body(), repeatable=False)
        if answer.status in (400, 422):
            bad = bad_finding(answer, chunk.start, chunk.finding)
            raise bad or self._session.refusal("The annotations", answer)
        return len(chunk.texts)

    def finalize(
        self,
        analysis_id: str,
        status: str,
        summary: Mapping[str, Any] | None,
        error_message: str | None,
    ) -> Steps[Analysis]:
        if status not in _FINAL:
            raise ValueError(f"an analysis ends as one of: {', '.join(sorted(_FINAL))}")
        given: dict[str, Any] = {"status": status}
        if summary is not None:
            given["summary"] = summary
        if error_message is not None:
            given["error_message"] = error_message
        answer = yield from self._session.call(
            "The end of the analysis",
            "POST",
            f"/analyses/{path_part(analysis_id)}/finalize",
            encode(given),
            signed=True,
        )
        return Analysis.of(answer.json())

    def listed(self, image_id: str) -> Steps[list[Analysis]]:
        path = f"/images/{path_part(image_id)}/analyses?limit=500"
        answer = yield from self._session.call("The list of analyses", "GET", path)
        return [Analysis.of(one) for one in answer.json()["analyses"]]

    def read(self, analysis_id: str) -> Steps[Analysis]:
        path = f"/analyses/{path_part(analysis_id)}"
        answer = yield from self._session.call("The analysis", "GET", path)
        return Analysis.of(answer.json())

    def count(self, analysis_id: str) -> Steps[int]:
        path = f"/analyses/{path_part(analysis_id)}/annotations?limit=0"
        answer = yield from self._session.call("The number of annotations", "GET", path)
        return int(answer.json()["total"])

    def annotations_page(self, analysis_id: str, skip: int) -> Steps[list[Annotation]]:
        path = f"/analyses/{path_part(analysis_id)}/annotations?skip={skip}&limit={PAGE}"
        answer = yield from self._session.call("The annotations", "GET", path)
        return [Annotation.of(one) for one in answer.json()["annotations"]]

    def _prove(self) -> Steps[None]:
        """Have the secret and the key looked at, once, by asking for an analysis that is none.

        Raises what findings would be refused with; else a wrong secret would leave an analysis that
        was only begun at every image.
        """
        yield from self._session.call(
            "The secret",
            "POST",
            f"/analyses/{uuid.UUID(int=0)}/annotations:bulk",
            b'{"annotations":[]}',
            signed=True,
            accept=(404,),
        )
        self._session.is_proven = True

    def _bulk(self, analysis_id: str, body: bytes, *, repeatable: bool) -> Steps[Answer]:
        return (
            yield from self._session.call(
                "The annotations",
                "POST",
                f"/analyses/{path_part(analysis_id)}/annotations:bulk",
                body,
                headers={"prefer": "return=minimal"},
                signed=True,
                named=True,
                repeatable=repeatable,
                accept=(400, 422),
            )
        )


def failure_text(error: BaseException) -> str:
    """What an analysis says of the exception that ended it."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:2000] if text else type(error).__name__


def ending(error: BaseException | None) -> tuple[str, str | None]:
    """Status and error message of an analysis whose block ended so; an interrupt cancels it."""
    if error is None:
        return "completed", None
    if isinstance(error, Exception):
        return "failed", failure_text(error)
    return "cancelled", failure_text(error)


def _check_put(session: Session, what: str, answer: Answer, body: FileBody) -> None:
    if answer.status == 413:
        raise _too_large(what, "too large", body)
    if answer.status >= 300 and answer.json() is None:  # S3's own errors are XML
        advice = "The store itself refused it; ask its operator, or look at its log."
        raise Refused(what, answer.status, "without a reason of the server's", advice)
    if answer.status >= 300:
        raise session.refusal(what, answer)
    said = answer.headers.get("repr-digest", "")
    if said.startswith("sha-256=:") and said != f"sha-256=:{body.digest_base64}:":
        raise ClientError(f"{what} changed on its way, or while it was sent. Send it again.")


def _too_large(what: str, detail: str, body: FileBody) -> TooLarge:
    advice = (
        f"The file has {body.size} bytes. Send a smaller one, or have the operator raise "
        "OPSIN_VISTA_MAX_ARTIFACT_BYTES."
    )
    return TooLarge(what, 413, detail, advice)


def note_stored(error: Exception, stored: int) -> None:
    """Say on the exception what was stored before it."""
    if stored:
        error.add_note(f"{stored} annotations before it were stored.")

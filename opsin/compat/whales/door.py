"""The routes of the whales API: methods, checks and answers in the documented order."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.compat.endpoint import Endpoint, Handler
from opsin.compat.presence import while_present
from opsin.compat.whales import exports
from opsin.compat.whales.answers import Refused, answer, error_answer
from opsin.compat.whales.batches import Batches
from opsin.compat.whales.callers import Callers
from opsin.compat.whales.detections import record_of, wire
from opsin.compat.whales.identification import Answered, Identifier
from opsin.compat.whales.metrics import WhalesCounts, WhalesMetrics
from opsin.compat.whales.options import WhalesOptions
from opsin.compat.whales.texts import (
    EMPTY_FILE,
    METHOD_NOT_ALLOWED,
    NOT_A_ZIP,
    NOT_AN_IMAGE,
    UNRECOGNISED,
)
from opsin.compat.whales.uploads import Upload, uploaded
from opsin.compat.whales.webhooks import SOURCE, WhalesWebhooks
from opsin.core.access import Principal
from opsin.core.archives import SIGNATURES
from opsin.core.errors import TooLarge
from opsin.core.imaging.structure import sniff
from opsin.core.immediate import PictureSource
from opsin.core.predictions import Predicted
from opsin.core.use_cases import UseCases

SINGLE = ("/v1/predict-single", "/predict-single")
BATCH = ("/v1/predict-batch", "/predict-batch")
PATHS = (
    *SINGLE,
    *BATCH,
    *("/v1/drift-stats", "/v1/webhook", "/v1/webhooks", "/v1/export"),
)
"""Those of this API, with all that is below them."""

_ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
_ANY_BYTES = "application/octet-stream"
_HEAD_BYTES = 16
_DIGITS = 4


class WhalesDoor:
    """One identifier, and the routes through which pictures reach it."""

    def __init__(self, use_cases: UseCases, options: WhalesOptions) -> None:
        self._options = options
        self._predictions = use_cases.predictions
        self._callers = Callers(use_cases.access, use_cases.rate_limits, options)
        self._identifier = Identifier(use_cases, options)
        self._batches = Batches(self._identifier, options)
        self._webhooks = WhalesWebhooks(use_cases.webhooks)
        self._counts = WhalesCounts()

    def routes(self) -> list[BaseRoute]:
        table: tuple[tuple[str, dict[str, Handler]], ...] = (
            (SINGLE[0], {"POST": self._single}),
            (SINGLE[1], {"POST": self._single}),
            (BATCH[0], {"POST": self._batch}),
            (BATCH[1], {"POST": self._batch}),
            ("/v1/drift-stats", {"GET": self._drift}),
            ("/v1/webhook/register", {"POST": self._register}),
            ("/v1/webhook/{webhook_id}", {"DELETE": self._delete}),
            ("/v1/webhooks", {"GET": self._listed}),
            ("/v1/export", {"GET": self._export}),
        )
        return [Route(path, _endpoint(handlers)) for path, handlers in table]

    @property
    def metrics(self) -> WhalesMetrics:
        """The documented families."""
        return WhalesMetrics(self._counts)

    async def _single(self, request: Request) -> Response:
        principal = await self._callers.limited(request)
        async with uploaded(request, "file") as upload:
            if not upload.content_type.startswith("image/"):
                raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, NOT_AN_IMAGE)
            if not upload.size:
                raise Refused(HTTPStatus.BAD_REQUEST, EMPTY_FILE)
            if sniff(_head(upload)) is None:
                raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, UNRECOGNISED)
            most = self._options.max_picture_bytes
            if upload.size > most:
                raise TooLarge(f"the image file has more than {most:,} bytes")
            self._identifier.check()
            source = PictureSource(file=upload.file, filename=upload.name)
            answering = self._identifier.single(principal, upload.name, source)
            answered = await while_present(request, answering)
        await self._keep(principal, [answered], is_batch=False)
        return answer(wire(answered.detection))

    async def _batch(self, request: Request) -> Response:
        principal = await self._callers.limited(request)
        async with uploaded(request, "archive") as upload:
            if not _is_said_to_be_zip(upload):
                raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, NOT_A_ZIP)
            self._identifier.check()
            answering = self._batches.answered(principal, upload.file)
            answers = await while_present(request, answering)
        await self._keep(principal, answers, is_batch=True)
        return answer([wire(one.detection) for one in answers])

    async def _drift(self, request: Request) -> Response:
        principal = await self._callers.caller(request)
        found = await self._predictions.drift(principal, SOURCE)
        return answer(
            {
                "n": found.count,
                "alarms_total": found.alarms,
                "score_mean": round(found.score_mean, _DIGITS),
                "score_std": round(found.score_deviation, _DIGITS),
                "probability_mean": round(found.probability_mean, _DIGITS),
            }
        )

    async def _register(self, request: Request) -> Response:
        return await self._webhooks.register(await self._callers.caller(request), request)

    async def _delete(self, request: Request) -> Response:
        principal = await self._callers.caller(request)
        return await self._webhooks.delete(principal, request.path_params["webhook_id"])

    async def _listed(self, request: Request) -> Response:
        return await self._webhooks.listed(await self._callers.caller(request))

    async def _export(self, request: Request) -> Response:
        principal = await self._callers.caller(request)
        form = exports.asked_format(request.query_params)
        since = exports.asked_since(request.query_params)
        made = await self._predictions.newest(principal, SOURCE, since)
        if form == "csv":
            return exports.as_csv(made)
        return exports.as_json(made, request.query_params.get("since"))

    async def _keep(
        self, principal: Principal, answers: Sequence[Answered], *, is_batch: bool
    ) -> None:
        """Write down what was answered; the log tells receivers of it later."""
        made = [one.prediction(record_of(one.detection)) for one in answers]
        predicted = Predicted(SOURCE, made, is_batch, self._options.baseline)
        await self._predictions.add(principal, predicted)
        self._counts.add(answers)


def _endpoint(handlers: dict[str, Handler]) -> Endpoint:
    return Endpoint(handlers, refused=_refused, failed=error_answer)


def _refused(methods: Sequence[str]) -> Response:
    allowed = {"allow": ", ".join(methods)}
    return error_answer(Refused(HTTPStatus.METHOD_NOT_ALLOWED, METHOD_NOT_ALLOWED, allowed))


def _head(upload: Upload) -> bytes:
    head = upload.file.read(_HEAD_BYTES)
    upload.file.seek(0)
    return head


def _is_said_to_be_zip(upload: Upload) -> bool:
    """By the type of the part; some clients have none for archives, then it is seen."""
    if upload.content_type in _ZIP_TYPES:
        return True
    return upload.content_type == _ANY_BYTES and _head(upload).startswith(SIGNATURES)

"""Webhooks of the whales API: registered in its own words, sent by the house's one sender."""

import json
import uuid
from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.whales.answers import Refused, answer, problem, unprocessable
from opsin.compat.whales.texts import UNKNOWN_WEBHOOK
from opsin.core.access import Principal
from opsin.core.errors import AddressNotAllowed, InvalidInput, NotFound
from opsin.core.webhooks.formats import Format, Outgoing, WebhookRequest
from opsin.core.webhooks.records import Webhook
from opsin.core.webhooks.signing import standard_signature
from opsin.core.webhooks.webhooks import NewWebhook, Webhooks
from opsin.storage.json_text import dump_json

SOURCE: Final = "whales"
"""The API's name among predictions, and its webhooks' format."""
EVENTS: Final = {
    "batch_completed": "prediction.batch_completed",
    "prediction_rejected": "prediction.rejected",
}
_NAMES = {kind: name for name, kind in EVENTS.items()}
_LARGEST_BODY = 64 * 1024


class Registration(BaseModel):
    """What a client sends."""

    url: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"(?i)^https?://")]
    events: Annotated[list[Literal["batch_completed", "prediction_rejected"]], Field(min_length=1)]

    @field_validator("events")
    @classmethod
    def _each_once(cls, events: list[str]) -> list[str]:
        if len(set(events)) < len(events):
            raise ValueError("events must not repeat")
        return events


class WhalesWebhooks:
    """The company's webhooks of this form."""

    def __init__(self, webhooks: Webhooks) -> None:
        """Adds the form to those that the sender knows."""
        self._webhooks = webhooks
        webhooks.formats.add(Format(SOURCE, _written))

    async def register(self, principal: Principal, request: Request) -> Response:
        """201; the secret that signs deliveries is told this once."""
        asked = _read(await request.body())
        kinds = [EVENTS[name] for name in asked.events]
        try:
            made, secret = await self._webhooks.create(
                principal, NewWebhook(asked.url, kinds, format=SOURCE)
            )
        except (InvalidInput, AddressNotAllowed) as error:
            message = f"Value error, {error.message}"
            raise unprocessable(
                problem("value_error", ("body", "url"), message, asked.url)
            ) from None
        told = {
            "webhook_id": _wire_id(made.id),
            "status": "registered",
            "url": made.url,
            "events": asked.events,
            "secret": secret,
        }
        return answer(told, HTTPStatus.CREATED)

    async def delete(self, principal: Principal, webhook_id: str) -> Response:
        """204, or 404 also for another company's and for one of another form."""
        try:
            identity = str(uuid.UUID(hex=webhook_id))
            webhook = await self._webhooks.get(principal, identity)
            if webhook.format != SOURCE:
                raise NotFound(UNKNOWN_WEBHOOK)
            await self._webhooks.delete(principal, identity)
        except (ValueError, NotFound):
            raise Refused(HTTPStatus.NOT_FOUND, UNKNOWN_WEBHOOK) from None
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def listed(self, principal: Principal) -> Response:
        found = await self._webhooks.listed(principal, format=SOURCE)
        return answer({"webhooks": [_described(one) for one in found], "count": len(found)})


def _described(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": _wire_id(webhook.id),
        "url": webhook.url,
        "events": [_NAMES[kind] for kind in webhook.kinds if kind in _NAMES],
        "created_at": webhook.created_at.astimezone(UTC).timestamp(),
    }


def _wire_id(identity: str) -> str:
    return uuid.UUID(identity).hex


def _read(body: bytes) -> Registration:
    if len(body) > _LARGEST_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the registration is too long")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise unprocessable(problem("json_invalid", ("body", 0), "JSON decode error", {})) from None
    try:
        return Registration.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise unprocessable(
            *({**one, "loc": ["body", *one["loc"]], "input": None} for one in problems)
        ) from None


async def _written(outgoing: Outgoing) -> WebhookRequest | None:
    """What the API's receivers know, signed as Standard Webhooks says."""
    event = outgoing.event
    if event.kind not in _NAMES or event.data.get("source") != SOURCE:
        return None
    if event.kind == EVENTS["prediction_rejected"]:
        data = {"image_ind": event.data["name"], "reason": event.data["reason"]}
    else:
        data = {name: event.data[name] for name in ("count", "accepted", "rejected")}
    told = {"event": _NAMES[event.kind], "webhook_id": _wire_id(outgoing.webhook.id), "data": data}
    body = dump_json(told).encode()
    signature = standard_signature(outgoing.secrets, outgoing.delivery_id, outgoing.sent_at, body)
    headers = {
        "content-type": "application/json",
        "webhook-id": outgoing.delivery_id,
        "webhook-timestamp": str(int(outgoing.sent_at.timestamp())),
        "webhook-signature": signature,
    }
    return WebhookRequest(body, headers)

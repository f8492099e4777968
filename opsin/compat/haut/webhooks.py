"""Webhooks of datasets: one each, configured in this API's words."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, Field
from starlette.responses import Response

from opsin.compat.haut.answers import answer, invalid, not_found, telling
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.gate import Call
from opsin.compat.haut.notifications import KINDS
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import base_of
from opsin.core.access import Principal
from opsin.core.errors import AddressNotAllowed, Conflict, NotFound
from opsin.core.use_cases import UseCases
from opsin.core.webhooks.records import Webhook
from opsin.core.webhooks.webhooks import NewWebhook, WebhookChanges

NAME: Final = "haut"
"""The format of its deliveries."""
PARALLEL = 8
"""Deliveries of one webhook at the same time: those that are gathered by batch wait a moment."""

Method = Literal["post", "get"]
Authorization = Literal["query", "basic", "bearer"]
_Proof = Annotated[str, Field(min_length=1, max_length=128)]


class Configuration(Body):
    """What a client sends."""

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    method: Method = "post"
    authorization: Authorization | None = None
    authorization_key: _Proof | None = None
    authorization_value: _Proof | None = None
    enabled: bool = Field(True, validation_alias=AliasChoices("enabled", "is_enabled"))
    add_survey_answers: bool = False
    merge_webhooks: bool = False


class StoredOptions(BaseModel):
    """What is kept of it beside the URL; shown to nobody."""

    method: Method
    authorization: Authorization | None
    authorization_key: str | None
    sealed_value: str | None
    """What receivers want as proof, unreadable without the server's key."""
    add_survey_answers: bool
    merge_webhooks: bool
    base_url: str
    """This server, as whoever configured it reaches it."""


class Webhooks:
    """Makes, changes, shows and deletes the webhook of a dataset."""

    def __init__(self, use_cases: UseCases, options: HautOptions) -> None:
        self._use_cases = use_cases
        self._webhooks = use_cases.webhooks
        self._options = options

    async def configure(self, call: Call) -> Response:
        """201; the secret that signs deliveries is told when it is made, and never again."""
        asked = await body_of(call.request, Configuration)
        _check(asked)
        try:
            with telling("url"):
                webhook, secret = await self._made_or_changed(call, asked)
        except AddressNotAllowed as error:
            raise invalid("url", error.message) from None
        told = {"id": webhook.id, **asked.model_dump(), "secret_key": secret}
        return answer(told, HTTPStatus.CREATED)

    async def _made_or_changed(
        self, call: Call, asked: Configuration
    ) -> tuple[Webhook, str | None]:
        """The dataset's webhook, and its secret if it is new."""
        dataset_id, principal = call.dataset.id, call.principal
        options = self._stored(call, asked, dataset_id).model_dump()
        found = await self._of(principal, dataset_id)
        if found is None:
            new = NewWebhook(
                asked.url,
                KINDS,
                dataset_id=dataset_id,
                parallel=PARALLEL,
                format=NAME,
                options=options,
                is_only=True,
            )
            try:
                made, secret = await self._webhooks.create(principal, new)
            except Conflict:  # somebody else was first
                found = await self._of(principal, dataset_id)
                if found is None:
                    raise
            else:
                if not asked.enabled:
                    off = WebhookChanges(active=False)
                    made = await self._webhooks.change(principal, made.id, off)
                return made, secret
        changes = WebhookChanges(url=asked.url, options=options, active=asked.enabled)
        return await self._webhooks.change(principal, found.id, changes), None

    async def listed(self, call: Call) -> Response:
        """None or one, as a plain list; without what is secret."""
        found = await self._of(call.principal, call.dataset.id)
        return answer([] if found is None else [_shown(found)])

    async def delete(self, call: Call) -> Response:
        found = await self._of(call.principal, call.dataset.id)
        if found is None:
            raise not_found()
        try:
            await self._webhooks.delete(call.principal, found.id)
        except NotFound:
            raise not_found() from None
        return answer({})

    async def _of(self, principal: Principal, dataset_id: str) -> Webhook | None:
        listed = await self._webhooks.listed(principal, format=NAME)
        return next((one for one in listed if one.dataset_id == dataset_id), None)

    def _stored(self, call: Call, asked: Configuration, dataset_id: str) -> StoredOptions:
        sealed = None
        if asked.authorization_value is not None:
            sealed = self._use_cases.seals.seal(asked.authorization_value, dataset_id)
        return StoredOptions(
            method=asked.method,
            authorization=asked.authorization,
            authorization_key=asked.authorization_key,
            sealed_value=sealed,
            add_survey_answers=asked.add_survey_answers,
            merge_webhooks=asked.merge_webhooks,
            base_url=base_of(call.request, self._options),
        )


def _check(asked: Configuration) -> None:
    """Each form of authorization has what it needs, and nothing that would be two headers."""
    if asked.authorization is None:
        return
    needed = {"authorization_value": asked.authorization_value}
    if asked.authorization != "bearer":
        needed["authorization_key"] = asked.authorization_key
    for name, value in needed.items():
        if value is None:
            raise invalid(name, "This field is required.", "required")
    for name in ("authorization_key", "authorization_value"):
        given: str = getattr(asked, name) or ""
        if not given.isprintable():
            raise invalid(name, "Only characters that can be seen are allowed.")
    if asked.authorization == "bearer" and not (asked.authorization_value or "").isascii():
        raise invalid("authorization_value", "Only ASCII characters are allowed here.")
    if asked.authorization == "basic" and ":" in (asked.authorization_key or ""):
        raise invalid("authorization_key", "A user name has no colon.")


def _shown(webhook: Webhook) -> dict[str, Any]:
    stored = StoredOptions.model_validate(webhook.options)
    return {
        "id": webhook.id,
        "url": webhook.url,
        "method": stored.method,
        "authorization": stored.authorization,
        "authorization_key": stored.authorization_key,
        "authorization_value": None,
        "enabled": webhook.active,
        "add_survey_answers": stored.add_survey_answers,
        "merge_webhooks": stored.merge_webhooks,
    }

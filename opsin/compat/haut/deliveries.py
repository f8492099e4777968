"""What receivers of a dataset's webhook are sent: a photo and what was measured in it."""

import asyncio
import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from sqlalchemy import select

from opsin.compat.haut.auxiliary import aux_type
from opsin.compat.haut.notifications import EVENT
from opsin.compat.haut.results import Filters, Item, Results, text_of
from opsin.compat.haut.webhooks import NAME, StoredOptions
from opsin.core.access import Principal
from opsin.core.records import Image, Subject, columns_of, to_record
from opsin.core.soft_deletion import in_place, not_deleted
from opsin.core.use_cases import UseCases
from opsin.core.webhooks.formats import Format, Outgoing, WebhookRequest
from opsin.core.webhooks.kinds import PING
from opsin.storage.applications import image_runs
from opsin.storage.event_log import Event
from opsin.storage.tables import images, subjects

MAX_BYTES = 2**20
_ATTEMPTS = 4
"""The first, and three more."""
_LINKS_LAST = timedelta(hours=1)
SETTLE = timedelta(seconds=3)
"""How long after an image has been finished it may be the last of its batch."""
_ALIGNED = "aligned_face"


class Deliveries:
    """The format of this API's webhooks."""

    def __init__(self, use_cases: UseCases, results: Results, settle: timedelta = SETTLE) -> None:
        """Adds the format to those that the sender knows."""
        self._use_cases = use_cases
        self._results = results
        self._settle = settle
        use_cases.webhooks.formats.add(Format(NAME, self.write, max_attempts=_ATTEMPTS))

    async def write(self, outgoing: Outgoing) -> WebhookRequest | None:
        """None for an image that is no more, and for one that is told of with its batch."""
        options = StoredOptions.model_validate(outgoing.webhook.options)
        if outgoing.event.kind == PING:
            return self._request(outgoing, options, {"event": PING})
        photos = [outgoing.event]
        if options.merge_webhooks and outgoing.event.data.get("batch_id") is not None:
            await self._settled(outgoing.event)
            photos = await self._batch(outgoing.event)
        told = [one for one in [await self._photo(event, options) for event in photos] if one]
        if not told:
            return None
        payload = told[-1]
        if options.merge_webhooks:
            payload["photos"] = [
                {name: one[name] for name in ("image_id", "area_results", "images")} for one in told
            ]
        return self._request(outgoing, options, payload)

    async def _photo(self, event: Event, options: StoredOptions) -> dict[str, Any] | None:
        """What is told of one image that an application has finished."""
        reader = Principal(event.company_id, "webhooks")
        found = await self._image(event)
        if found is None or event.image_id is None:
            return None
        image, subject = found
        run_id, application_id = event.data["run_id"], event.data["application_id"]
        known = await self._use_cases.applications.find_many(reader, [application_id])
        application = known.get(application_id)
        items = await self._results.of_image(reader, image.id, Filters(run_id))
        return {
            "event": EVENT,
            "image_id": image.id,
            "batch_id": image.batch_id,
            "subject_id": image.subject_id,
            "subject_name": None if subject is None else subject.name,
            "dataset_id": image.dataset_id,
            "company_id": image.company_id,
            "application_name": None if application is None else application.title,
            "application_id": application_id,
            "application_run_id": run_id,
            "area_results": area_results(items),
            "images": await self._pictures(reader, image, run_id, options),
        }

    async def _image(self, event: Event) -> tuple[Image, Subject | None] | None:
        statement = (
            select(*columns_of(images, Image), *columns_of(subjects, Subject))
            .join_from(images, subjects, subjects.c.id == images.c.subject_id, isouter=True)
            .where(
                images.c.company_id == event.company_id,
                images.c.id == event.image_id,
                *not_deleted(images),
                *in_place(images),
            )
        )
        async with self._use_cases.database.read() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        image = to_record(Image, row)
        rest = row[len(Image.__dataclass_fields__) :]
        return image, None if rest[0] is None else Subject(*rest)

    async def _pictures(
        self, reader: Principal, image: Image, run_id: str, options: StoredOptions
    ) -> dict[str, Any]:
        """Addresses that need no token, of the files that there still are."""
        until = datetime.now(UTC) + _LINKS_LAST
        paths = {}
        if not image.storage_deleted:
            paths["original"] = f"/images/{image.id}/content"
        for one in await self._use_cases.run_results.artifacts_of(reader, image.id):
            if one.run_id == run_id and aux_type(one.artifact.name).tech_name == _ALIGNED:
                paths["restored"] = f"/artifacts/{one.artifact.id}/content"
        sign = self._use_cases.links.sign
        return {
            name: {"signed_url": options.base_url + sign(path, expires_at=until)}
            for name, path in paths.items()
        }

    # --- batches --------------------------------------------------------------------------------

    async def _settled(self, event: Event) -> None:
        """Until the batch's next image would have come."""
        left = event.created_at + self._settle - datetime.now(UTC)
        await asyncio.sleep(max(0.0, left.total_seconds()))

    async def _batch(self, event: Event) -> list[Event]:
        """The images of the batch, this one last; none unless it was the last to be finished.

        Which one that is, is the same whenever it is asked: so each batch is told of once, and
        again only when another image was put into it and finished.
        """
        statement = (
            select(image_runs.c.image_id, image_runs.c.completed_at)
            .join_from(image_runs, images, images.c.id == image_runs.c.image_id)
            .where(
                image_runs.c.company_id == event.company_id,
                image_runs.c.run_id == event.data["run_id"],
                images.c.batch_id == event.data["batch_id"],
                *not_deleted(images),
                *in_place(images),
            )
        )
        async with self._use_cases.database.read() as connection:
            rows = (await connection.execute(statement)).all()
        if any(row.completed_at is None for row in rows):
            return []
        ordered = sorted(rows, key=lambda row: (row.completed_at, row.image_id))
        if not ordered or ordered[-1].image_id != event.image_id:
            return []
        return [_of_image(event, row.image_id) for row in ordered]

    # --- requests -------------------------------------------------------------------------------

    def _request(
        self, outgoing: Outgoing, options: StoredOptions, payload: Mapping[str, Any]
    ) -> WebhookRequest:
        """Signed: the body, or where there is none, the query without what proves who sends it."""
        headers = {"webhook-id": outgoing.delivery_id}
        query: list[tuple[str, str]] = []
        body = b""
        if options.method == "get":
            query = [(name, str(value)) for name, value in payload.items() if _is_flat(value)]
            signed = _query(query).encode()
        else:
            body = signed = bounded(payload)
            headers["content-type"] = "application/json"
        key = outgoing.secrets[0].encode()
        headers["x-signature"] = hmac.new(key, signed, "sha256").hexdigest()
        name, value = options.authorization_key or "", self._proof(outgoing, options)
        match options.authorization:
            case "query":
                query.append((name, value))
            case "basic":
                pair = base64.b64encode(f"{name}:{value}".encode()).decode()
                headers["authorization"] = f"Basic {pair}"
            case "bearer":
                headers["authorization"] = f"Bearer {value}"
        url = _with_query(outgoing.webhook.url, query) if query else None
        return WebhookRequest(body, headers, options.method.upper(), url)

    def _proof(self, outgoing: Outgoing, options: StoredOptions) -> str:
        if options.sealed_value is None:
            return ""
        return self._use_cases.seals.open(options.sealed_value, outgoing.webhook.dataset_id or "")


def area_results(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Every area's main metric with its sub metrics, of all algorithms that have areas."""
    found = []
    for item in items:
        result = item["result"] if item["is_ok"] else None
        for area in result.get("area_results") or () if isinstance(result, Mapping) else ():
            metric = area["main_metric"]
            sub = {"sub_metrics": area["sub_metrics"]}
            found.append({"area_name": area["area_name"], **metric, **sub})
    return found


def bounded(payload: Mapping[str, Any]) -> bytes:
    """As JSON; without results, and then without the batch's photos, where that is too long."""
    body = text_of(payload)
    for dropped in ("area_results", "photos"):
        if len(body) > MAX_BYTES:
            payload = {name: value for name, value in payload.items() if name != dropped}
            if "photos" in payload:
                photos = [{**one, "area_results": None} for one in payload["photos"]]
                payload["photos"] = photos
            body = text_of(payload)
    return body


def _of_image(event: Event, image_id: str) -> Event:
    """The same event of another image of the batch."""
    return Event(
        event.sequence,
        event.company_id,
        event.kind,
        event.dataset_id,
        image_id,
        None,
        event.data,
        event.created_at,
    )


def _is_flat(value: object) -> bool:
    return isinstance(value, str | int | float)


def _with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    """The URL with this behind the query that it has."""
    parts = urlsplit(url)
    parts = parts._replace(query="&".join(filter(None, (parts.query, _query(query)))))
    return urlunsplit(parts)


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return urlencode(pairs, quote_via=quote)

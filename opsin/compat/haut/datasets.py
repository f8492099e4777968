"""Datasets: made, listed, changed in part, and deleted."""

from collections.abc import Sequence
from typing import Any

from pydantic import AliasChoices, Field
from starlette.responses import Response

from opsin.compat.haut.answers import answer, telling
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.objects import dataset_object, numbered
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, paginated
from opsin.compat.haut.paths import COMPANY, DATASET
from opsin.compat.haut.runs import connected
from opsin.core.access import Principal
from opsin.core.capture import IMAGE_TYPES
from opsin.core.datasets import DatasetChanges, RetentionPolicy
from opsin.core.records import Dataset
from opsin.core.use_cases import UseCases

_ORDERS = {"name": "name", "creation_time": "created_at"}
_DAYS_OR_NEVER = Field(None, ge=1, le=365)


class DatasetFields(Body):
    """What may be said of a dataset; what is not said stays as it is."""

    name: str = Field("", min_length=1, max_length=512)
    image_type_id: int | None = None
    expire_images_after_days: int | None = _DAYS_OR_NEVER
    # The guide has it without the last letter.
    expire_metadata_after_days: int | None = Field(
        None,
        ge=1,
        le=365,
        validation_alias=AliasChoices("expire_metadata_after_days", "expire_metadata_after_day"),
    )
    clean_images_as_soon_as_ready: bool = False
    custom_branding: int | None = Field(None, ge=-(2**31), lt=2**31)

    @property
    def image_type(self) -> str | None:
        """Refused 400 for an id that no image type has."""
        return numbered(IMAGE_TYPES, self.image_type_id, "image_type_id")


class NewDataset(DatasetFields):
    name: str = Field(min_length=1, max_length=512)


_NAMES = {
    "name": "name",
    "image_type_id": "image_type",
    "expire_images_after_days": "expire_files_after_days",
    "expire_metadata_after_days": "expire_results_after_days",
    "clean_images_as_soon_as_ready": "delete_files_when_ready",
    "custom_branding": "branding",
}
"""The fields of a body, and what they are called here."""


class DatasetRoutes:
    """`datasets`, `datasets/short_list` and `datasets/{id}` of a company."""

    def __init__(self, use_cases: UseCases, options: HautOptions, _gate: Gate) -> None:
        self._use_cases = use_cases
        self._datasets = use_cases.datasets
        self._options = options

    def rows(self) -> list[Row]:
        return [
            Row(f"{COMPANY}/datasets", {"GET": self.listed, "POST": self.create}),
            Row(f"{COMPANY}/datasets/short_list", {"GET": self.short_list}),
            Row(
                DATASET,
                {
                    "GET": self.read,
                    "PUT": self.update,
                    "POST": self.update,
                    "PATCH": self.update,
                    "DELETE": self.delete,
                },
            ),
        ]

    async def create(self, call: Call) -> Response:
        sent = await body_of(call.request, NewDataset)
        retention = RetentionPolicy(
            sent.expire_images_after_days,
            sent.expire_metadata_after_days,
            sent.clean_images_as_soon_as_ready,
        )
        image_type = sent.image_type
        with telling("name"):
            made = await self._datasets.create(
                call.principal,
                sent.name,
                image_type=image_type,
                retention=retention,
                branding=sent.custom_branding,
            )
        return answer(dataset_object(made, []), 201)

    async def listed(self, call: Call) -> Response:
        page = asked(call.request, self._options)
        found, count = await self._datasets.page(
            call.principal,
            skip=page.skip,
            limit=page.size,
            text=page.text,
            order=page.order(_ORDERS),
        )
        results = await self._objects(call.principal, found)
        return paginated(call.request, self._options, page, results, count)

    async def short_list(self, call: Call) -> Response:
        """All whose name has `q` in it, in whatever case."""
        text = call.request.query_params.get("q", "").strip() or None
        objects: list[dict[str, Any]] = []
        size = self._options.largest_page
        while True:
            found, count = await self._datasets.page(
                call.principal, skip=len(objects), limit=size, text=text
            )
            objects += [
                {
                    "id": dataset.id,
                    "name": dataset.name,
                    "company_id": dataset.company_id,
                    "creation_time": dataset_object(dataset, [])["creation_time"],
                }
                for dataset in found
            ]
            if len(objects) >= count or not found:
                return answer(objects)

    async def read(self, call: Call) -> Response:
        return answer((await self._objects(call.principal, [call.dataset]))[0])

    async def update(self, call: Call) -> Response:
        """Change what the body names, whichever of the three methods it comes by."""
        sent = await body_of(call.request, DatasetFields)
        changes = {
            ours: getattr(sent, ours if ours == "image_type" else name)
            for name, ours in _NAMES.items()
            if name in sent.model_fields_set
        }
        with telling("name"):
            changed = await self._datasets.update(
                call.principal, call.dataset.id, DatasetChanges(**changes)
            )
        return answer((await self._objects(call.principal, [changed]))[0])

    async def delete(self, call: Call) -> Response:
        """Delete it with all that is in it."""
        await self._datasets.delete(call.principal, call.dataset.id)
        return answer({})

    async def _objects(
        self, principal: Principal, found: Sequence[Dataset]
    ) -> list[dict[str, Any]]:
        applications = await connected(self._use_cases, principal, found)
        return [dataset_object(one, applications.get(one.id, [])) for one in found]

"""Aux images: the pictures that results have made, with what was measured in what they show."""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.haut.answers import answer, moment
from opsin.compat.haut.bodies import Body, checked
from opsin.compat.haut.catalogue import CATALOGUE, AuxImageType
from opsin.compat.haut.gate import Call
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import base_of
from opsin.compat.haut.results import Item, Results
from opsin.core.errors import NotFound
from opsin.core.run_results import RunArtifact
from opsin.core.use_cases import UseCases

_PICTURE = "image/jpeg"
"""What `/images/{id}.jpg` can give out."""
_FIRST_OWN, _OWN = 1000, 1_000_000
_LONGEST = 7 * 24 * 3600
_USUAL = 3600


class Expiry(Body):
    """How long a signed address is good for."""

    expiration_seconds: int = Field(_USUAL, ge=1, le=_LONGEST)


class AuxImages:
    """Lists them, and signs the addresses of their files."""

    def __init__(self, use_cases: UseCases, options: HautOptions, results: Results) -> None:
        self._use_cases = use_cases
        self._options = options
        self._results = results

    async def listed(self, call: Call) -> Response:
        """Those of an image, in the order of the catalogue, each with its area's results."""
        image = call.image
        found = await self._use_cases.run_results.artifacts_of(call.principal, image.id)
        pictures = [one for one in found if one.artifact.content_type == _PICTURE]
        items = await self._results.of_image(call.principal, image.id) if pictures else []
        ids = sorted({one.application_id for one in pictures})
        applications = await self._use_cases.applications.find_many(call.principal, ids)
        objects = []
        for one in pictures:
            application = applications.get(one.application_id)
            objects.append(
                {
                    **_described(one, call.request, self._options),
                    "application_id": one.application_id,
                    "application_name": None if application is None else application.title,
                    "application_run_id": one.run_id,
                    "application_description": None
                    if application is None
                    else application.description,
                    "results": _results_in(aux_type(one.artifact.name).area, one.run_id, items),
                }
            )
        objects.sort(key=lambda one: one["aux_image_type"]["id"])
        return answer(objects)

    async def signed_url(self, call: Call) -> Response:
        """An address that needs no token, for a time."""
        asked = checked(call.request.query_params, Expiry)
        found = await self._use_cases.run_results.artifacts_of(
            call.principal, call.image.id, call.parameter("aux_id")
        )
        if not found:
            raise NotFound("Aux image not found")
        until = datetime.now(UTC) + timedelta(seconds=asked.expiration_seconds)
        path = f"/artifacts/{found[0].artifact.id}/content"
        link = self._use_cases.links.sign(path, expires_at=until)
        return answer({"url": base_of(call.request, self._options) + link})


def aux_type(artifact: str) -> AuxImageType:
    """The type of a file of this name; one that no client knows has a number of its name."""
    known = CATALOGUE.aux_by_artifact.get(artifact)
    if known is not None:
        return known
    name = artifact.rpartition(".")[0] or artifact
    number = _FIRST_OWN + zlib.crc32(artifact.encode()) % _OWN
    title = name.replace("_", " ").capitalize()
    return AuxImageType(id=number, artifact=artifact, name=title, tech_name=name, area=name)


def _described(one: RunArtifact, request: Request, options: HautOptions) -> dict[str, Any]:
    kind = aux_type(one.artifact.name)
    url = f"{base_of(request, options)}/images/{one.artifact.id}.jpg"
    return {
        "id": one.artifact.id,
        "aux_image_type": {"id": kind.id, "name": kind.name, "tech_name": kind.tech_name},
        "creation_time": moment(one.artifact.created_at),
        "urls": {"original": url},
    }


def _results_in(area: str, run_id: str, items: list[Item]) -> list[dict[str, Any]]:
    """What was measured in one area, by algorithm; without masks, which are of whole pictures."""
    found = []
    for item in items:
        result = item["result"]
        if item["application_run_id"] != run_id or not isinstance(result, Mapping):
            continue
        here = [one for one in result.get("area_results") or () if one["area_name"] == area]
        if here:
            shown = {
                **result,
                "area_results": here,
                "masks_original": None,
                "masks_restored": None,
            }
            number = item["algorithm_version_id"]
            found.append({"algorithm_version_id": number, "result": shown})
    return found

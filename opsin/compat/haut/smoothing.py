"""Smoothed results: the main scores of an image, smoothed with its subject's history."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from opsin.compat.haut.answers import answer
from opsin.compat.haut.bodies import Body, checked
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.gate import Call
from opsin.core.history import Smoothed, SmoothingMethod, SmoothingOptions, round_half_up
from opsin.core.use_cases import UseCases


class Asked(Body):
    """How to smooth, in days and values."""

    sample_time_window: int = Field(14, ge=1, le=365)
    sample_max_size: int = Field(10, ge=1, le=100)
    smoothing_method: SmoothingMethod = SmoothingMethod.MEAN
    application_id: str | None = None


class SmoothedResults:
    """Of the algorithms that give a score, from good to bad."""

    def __init__(self, use_cases: UseCases) -> None:
        self._history = use_cases.history

    async def listed(self, call: Call) -> Response:
        """By tech name, each as it would be shown in `results`: the nearest whole number."""
        asked = checked(call.request.query_params, Asked)
        options = SmoothingOptions(
            window_days=asked.sample_time_window,
            max_size=asked.sample_max_size,
            method=asked.smoothing_method,
            whole_numbers=True,
        )
        found = await self._history.smoothed(
            call.principal,
            call.image.id,
            options,
            application_id=asked.application_id or None,
        )
        scores = [one for one in found if one.is_score]
        shown = {_tech_name(one): one for one in sorted(scores, key=_known_last)}
        return answer([_object(shown[name]) for name in sorted(shown)])


def _known_last(one: Smoothed) -> int:
    """Where two applications have measured the same, that which clients know best stays."""
    places = [known.id for known in CATALOGUE.applications]
    if one.application_id not in places:
        return 0
    return len(places) - places.index(one.application_id)


def _tech_name(one: Smoothed) -> str:
    return CATALOGUE.tech_name(one.operation)


def _object(one: Smoothed) -> dict[str, Any]:
    return {
        "value": round_half_up(one.value),
        "algorithm_name": CATALOGUE.title(one.operation),
        "algorithm_tech_name": _tech_name(one),
    }

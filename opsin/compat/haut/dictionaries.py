"""The dictionaries, which anybody may read: kinds of images, and algorithms by their numbers."""

from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.haut.answers import answer
from opsin.compat.haut.gate import Gate, Row
from opsin.compat.haut.numbers import Algorithms
from opsin.compat.haut.objects import image_type_object
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import API
from opsin.core.capture import IMAGE_TYPES
from opsin.core.use_cases import UseCases


class DictionaryRoutes:
    """`/dicts/image_types` and `/dicts/algorithms`."""

    def __init__(self, use_cases: UseCases, _options: HautOptions, _gate: Gate) -> None:
        self._algorithms = Algorithms(use_cases)

    def rows(self) -> list[Row]:
        return [
            Row(f"{API}/dicts/image_types", open={"GET": self.image_types}),
            Row(f"{API}/dicts/algorithms", open={"GET": self.algorithms}),
        ]

    async def image_types(self, _request: Request) -> Response:
        return answer([image_type_object(kind) for kind in IMAGE_TYPES])

    async def algorithms(self, _request: Request) -> Response:
        """Every one that a result may name, those of operations that are gone among them."""
        return answer(await self._algorithms.listed())

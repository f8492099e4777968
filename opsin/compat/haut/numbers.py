"""Algorithm versions: the numbers by which this API's clients know versions of operations."""

import html
from collections.abc import Iterable
from typing import Any

from opsin.compat.haut.catalogue import CATALOGUE
from opsin.core.contract import Application, Step
from opsin.core.use_cases import UseCases


def declare(use_cases: UseCases) -> None:
    """Reserve the numbers that clients have written into their code, and add the applications."""
    detector = CATALOGUE.detector
    reserved = {one.number: one.operation for one in CATALOGUE.algorithms if one.number is not None}
    use_cases.operation_numbers.reserve({detector.number: detector.operation, **reserved})
    first = Step(detector.operation, detector.operation, dict(CATALOGUE.params))
    measures = [
        Step(one.operation, one.operation, dict(CATALOGUE.params), (detector.operation,))
        for one in CATALOGUE.algorithms
    ]
    for one in CATALOGUE.applications:
        use_cases.applications.declare(
            Application(
                name=one.tech_name,
                title=one.name,
                description=one.description,
                steps=(first, *measures),
                image_type=one.image_type,
                id=one.id,
            )
        )


_UNKNOWN = "unknown"
"""The version of an operation that is not here and has left no version behind."""


class Algorithms:
    """Numbers of operations' versions, and what is told of each."""

    def __init__(self, use_cases: UseCases) -> None:
        self._numbers = use_cases.operation_numbers
        self._host = use_cases.host
        self._known: dict[tuple[str, str], int] = {}

    async def number(self, operation: str, version: str | None = None) -> int:
        """Of this version; without one, of the version that is served here."""
        key = operation, version or self._served(operation)
        if key not in self._known:
            self._known[key] = await self._numbers.number_of(*key)
        return self._known[key]

    async def numbers(self, operations: Iterable[str]) -> dict[str, int]:
        """Of the versions that are served here."""
        return {operation: await self.number(operation) for operation in operations}

    async def operation(self, number: int) -> str | None:
        """The operation that some version of has the number; None where none has."""
        return await self._numbers.operation_of(number)

    async def listed(self) -> list[dict[str, Any]]:
        """Every version that ever had a number, those no longer served included."""
        for operation in self._host.operations:
            await self.number(operation)
        return [_described(*one) for one in sorted(await self._numbers.all())]

    async def described(self, operation: str) -> dict[str, Any]:
        """The version that is served here, as a part of an application."""
        return {
            "id": await self.number(operation),
            "name": CATALOGUE.title(operation),
            "tech_name": CATALOGUE.tech_name(operation),
            "html_description": f"<p>{html.escape(self._description(operation))}</p>",
        }

    def _served(self, operation: str) -> str:
        registered = self._host.operations.get(operation)
        return _UNKNOWN if registered is None else registered.operation.version

    def _description(self, operation: str) -> str:
        registered = self._host.operations.get(operation)
        if registered is not None:
            return registered.operation.description
        known = CATALOGUE.by_operation.get(operation, CATALOGUE.detector)
        return known.description if known.operation == operation else ""


def _described(number: int, operation: str, version: str) -> dict[str, Any]:
    name, tech_name = CATALOGUE.title(operation), CATALOGUE.tech_name(operation)
    return {
        "id": number,
        "name": name,
        "tech_name": tech_name,
        "version": version,
        "algorithm_family": {"name": name, "tech_name": tech_name},
    }

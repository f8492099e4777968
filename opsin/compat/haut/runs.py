"""Runs: applications attached to datasets, with the algorithms that are enabled in each."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from opsin.compat.haut.answers import VALIDATION, Refused, answer, fault, invalid, moment, telling
from opsin.compat.haut.applications import authors_of
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.gate import Call
from opsin.compat.haut.numbers import Algorithms
from opsin.core.access import Principal
from opsin.core.applications.records import ApplicationInfo, Run
from opsin.core.applications.steps import in_order, missing_prerequisites
from opsin.core.errors import NotFound
from opsin.core.records import Dataset
from opsin.core.use_cases import UseCases

_TRUE = frozenset({"1", "true", "yes", "on"})


def _no_truth(value: object) -> object:
    """Which Pydantic would take for 1 or 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("invalid", "A valid integer is required.")
    return value


_Number = Annotated[int, BeforeValidator(_no_truth)]


class Attachment(Body):
    """What is attached, without an application: all of its algorithms where none are named."""

    dataset_id: str
    enabled_algorithms: list[_Number] | None = None


class NamedAttachment(Body):
    """The same with algorithms by their tech names."""

    dataset_id: str
    enabled_algorithms: list[str] | None = None


class Runs:
    """Attaches applications, and lists where they are attached."""

    def __init__(self, use_cases: UseCases, algorithms: Algorithms) -> None:
        self._use_cases = use_cases
        self._algorithms = algorithms

    async def attach(self, call: Call) -> Response:
        """201, also for a run that was there already: its algorithms are these from now on."""
        application = await self._application(call, call.parameter("application_id"))
        asked = await body_of(call.request, Attachment)
        steps = None
        if asked.enabled_algorithms is not None:
            steps = await self._steps_of(application, asked.enabled_algorithms)
        return await self._attached(call, application, asked.dataset_id, steps)

    async def attach_by_name(self, call: Call) -> Response:
        """The same by tech names; what algorithms need is added, or refused where it lacks."""
        wanted = call.parameter("application_id")
        listed = await self._use_cases.applications.listed(call.principal)
        application = next((one for one in listed if wanted in (one.name, one.id)), None)
        if application is None:
            raise NotFound("Application not found")
        asked = await body_of(call.request, NamedAttachment)
        steps = None
        if asked.enabled_algorithms is not None:
            steps = self._steps_named(application, asked.enabled_algorithms)
            query = call.request.query_params.get("resolve_dependencies", "")
            if query.strip().lower() in _TRUE:
                steps = _with_prerequisites(application, steps)
            else:
                self._check_prerequisites(application, steps)
        return await self._attached(call, application, asked.dataset_id, steps)

    async def listed(self, call: Call) -> Response:
        """An application's runs in the company, as a plain list."""
        application = await self._application(call, call.parameter("application_id"))
        found = await self._use_cases.runs.of_application(call.principal, application.id)
        authors = await authors_of(self._use_cases, [run.created_by for run in found])
        return answer([await self._object(run, application, authors) for run in found])

    async def _attached(
        self,
        call: Call,
        application: ApplicationInfo,
        dataset_id: str,
        steps: Sequence[str] | None,
    ) -> Response:
        if await self._use_cases.datasets.find(call.principal, dataset_id) is None:
            raise invalid("dataset_id", "There is no such dataset in this company.")
        with telling("enabled_algorithms" if steps == [] else "dataset_id"):
            run = await self._use_cases.runs.attach(
                call.principal, application.id, dataset_id, steps
            )
        authors = await authors_of(self._use_cases, [run.created_by])
        return answer(await self._object(run, application, authors), HTTPStatus.CREATED)

    async def _application(self, call: Call, application_id: str) -> ApplicationInfo:
        found = await self._use_cases.applications.find(call.principal, application_id)
        if found is None:
            raise NotFound("Application not found")
        return found

    async def _steps_of(self, application: ApplicationInfo, numbers: Sequence[int]) -> list[str]:
        """The steps of all these algorithms; Refused for one that is not the application's."""
        keys = []
        for number in dict.fromkeys(numbers):
            operation = await self._algorithms.operation(number)
            mine = [step.key for step in application.steps if step.operation == operation]
            if not mine:
                text = f"The application has no algorithm {number}."
                raise invalid("enabled_algorithms", text)
            keys += mine
        return keys

    def _steps_named(self, application: ApplicationInfo, names: Sequence[str]) -> list[str]:
        keys = []
        for name in names:
            mine = [step.key for step in application.steps if name in _names(step.operation)]
            if not mine:
                text = f"The application has no algorithm {name[:60]!r}."
                raise invalid("enabled_algorithms", text)
            keys += mine
        return keys

    def _check_prerequisites(self, application: ApplicationInfo, steps: Sequence[str]) -> None:
        missing = missing_prerequisites(application.steps, steps)
        if missing:
            operations = {step.key: step.operation for step in application.steps}
            lacking = sorted({CATALOGUE.tech_name(operations[key]) for key in missing.values()})
            text = f"These algorithms are needed, too: {', '.join(lacking)}"
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                [fault("missing_dependencies", text, "enabled_algorithms")],
                kind=VALIDATION,
                extra={"missing_application_tech_names": [], "missing_algorithms": lacking},
            )

    async def _object(
        self, run: Run, application: ApplicationInfo, authors: dict[str, int]
    ) -> dict[str, Any]:
        enabled = [step.operation for step in application.steps if step.key in run.steps]
        numbers = await self._algorithms.numbers(dict.fromkeys(enabled))
        return {
            "id": run.id,
            "application_id": run.application_id,
            "dataset_id": run.dataset_id,
            "enabled_algorithms": sorted(numbers.values()),
            "is_enabled": run.is_enabled,
            "creation_time": moment(run.created_at),
            "author_id": authors.get(run.created_by or ""),
        }


async def connected(
    use_cases: UseCases, principal: Principal, datasets: Sequence[Dataset]
) -> dict[str, list[dict[str, Any]]]:
    """The applications that are attached to each dataset, in two statements for all of them."""
    runs = await use_cases.runs.of_datasets(principal, [one.id for one in datasets])
    ids = {run.application_id for found in runs.values() for run in found if run.is_enabled}
    known = await use_cases.applications.find_many(principal, sorted(ids))
    return {
        dataset_id: [
            {
                "id": application.id,
                "name": application.title,
                "tech_name": application.name,
                "application_run_id": run.id,
            }
            for run in found
            if run.is_enabled and (application := known.get(run.application_id)) is not None
        ]
        for dataset_id, found in runs.items()
    }


def _names(operation: str) -> frozenset[str]:
    """The tech name of a family with and without its prefix."""
    tech_name = CATALOGUE.tech_name(operation)
    return frozenset({tech_name, tech_name.removeprefix(CATALOGUE.prefix)})


def _with_prerequisites(application: ApplicationInfo, steps: Sequence[str]) -> list[str]:
    """The steps, and all that they require."""
    wanted = set(steps)
    for step in reversed(in_order(application.steps)):
        if step.key in wanted:
            wanted.update(step.requires)
    return [key for key in application.keys if key in wanted]

"""Stored references (classifiers, galleries) put into the tasks that need them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from opsin.core.contract import Reference, ReferenceRequest
from opsin.core.engine import Task
from opsin.core.errors import NotFound, OpsinError


class ReferenceStore(Protocol):
    """Where the references of companies are."""

    async def find(self, company_id: str, request: ReferenceRequest) -> Reference:
        """What the request names, of this company; NotFound says what there is not."""
        ...


class NoReferences:
    """For callers who do not read the whole company, which is whose references they are."""

    async def find(self, company_id: str, request: ReferenceRequest) -> Reference:
        raise NotFound(f"There is no collection {request.collection!r}.")


def require_no_references(tasks: Sequence[Task]) -> None:
    """The same for tasks that are run later; NotFound names the first collection."""
    for task in tasks:
        request = _request(task)
        if request is not None:
            raise NotFound(f"There is no collection {request.collection!r}.")


async def with_references(
    tasks: Sequence[Task], company_id: str, store: ReferenceStore | None
) -> list[Task]:
    """The tasks with what their operations ask for; each request is looked up once.

    One that cannot be had is that task's error.  Without a store tasks stay as they are, and the
    engine refuses those that need a reference.
    """
    if store is None:
        return list(tasks)
    found: dict[ReferenceRequest, Reference | OpsinError] = {}
    complete: list[Task] = []
    for task in tasks:
        request = _request(task)
        if request is not None:
            if request not in found:
                found[request] = await _find(store, company_id, request)
            answer = found[request]
            task = (
                replace(task, error=answer)
                if isinstance(answer, OpsinError)
                else replace(task, reference=answer)
            )
        complete.append(task)
    return complete


def _request(task: Task) -> ReferenceRequest | None:
    try:
        return task.operation.reference(task.params)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the plugin's code; the engine asks it again, and tells of its failure
        return None


async def _find(
    store: ReferenceStore, company_id: str, request: ReferenceRequest
) -> Reference | OpsinError:
    try:
        return await store.find(company_id, request)
    except OpsinError as error:
        return error.with_traceback(None)

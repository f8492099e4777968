"""The embeddings of our own images: taken from stored analyses, or else computed now."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError
from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.answers.answers import Answers
from opsin.core.answers.stored_info import stored_info
from opsin.core.collections.inputs import CollectionInput
from opsin.core.contract import Embedding, Params, Target
from opsin.core.engine import Task
from opsin.core.errors import OpsinError
from opsin.core.images import Images
from opsin.core.imaging import DecodeOptions
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.core.scope import within
from opsin.core.similarity.embeddings import space_of, vector_values
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import analyses, embeddings

_AT_ONCE = 8


class ImageVector(NamedTuple):
    """An embedding and the model that it is of."""

    vector: Sequence[float]
    model_fingerprint: str


Answer: TypeAlias = tuple[ImageVector, ...] | OpsinError
"""One vector an input in their order, or why an image has none."""


class ImageVectors:
    """Embeds stored images as the inputs of a collection say."""

    def __init__(
        self,
        database: Database,
        host: PluginHost,
        answers: Answers,
        images: Images,
        models: ModelStore,
    ) -> None:
        self._database = database
        self._host = host
        self._answers = answers
        self._images = images
        self._models = models

    async def of(
        self,
        principal: Principal,
        image_ids: Sequence[str],
        inputs: Sequence[CollectionInput],
        fingerprints: Sequence[str],
    ) -> list[Answer]:
        """An answer for each image, in order; one that fails does not fail the others.

        A stored embedding is used when it is of the model that `fingerprints` name by input or,
        while these are not known, of the weights that are here now.
        """
        tasks = [one.task(self._host, one.operation) for one in inputs]
        stored: list[dict[str, ImageVector]] = []
        for number, task in enumerate(tasks):
            models = {fingerprints[number]} if fingerprints else await self._models_here(task)
            stored.append(await self._stored(principal, image_ids, task, models))
        limit = asyncio.Semaphore(_AT_ONCE)

        async def answer(image_id: str) -> Answer:
            known = [found.get(canonical_id(image_id) or "") for found in stored]
            missing = [task for task, one in zip(tasks, known, strict=True) if one is None]
            try:
                async with limit:
                    computed = iter(await self._compute(principal, image_id, missing))
            except OpsinError as error:
                return error
            return tuple(one if one is not None else next(computed) for one in known)

        return await asyncio.gather(*[answer(image_id) for image_id in image_ids])

    async def _compute(
        self, principal: Principal, image_id: str, tasks: Sequence[Task]
    ) -> list[ImageVector]:
        image = await self._images.get(principal, image_id)
        if not tasks:
            return []
        analyzed = await self._answers.analyze(
            partial(self._images.opened, image),
            tasks,
            company_id=principal.company_id,
            content_sha256=image.sha256,
            info=stored_info(image, DecodeOptions()),
        )
        found: list[ImageVector] = []
        for outcome in analyzed.outcomes:
            if outcome.error is not None:
                raise outcome.error
            # The operation was seen to give embeddings when the collection was made.
            assert isinstance(outcome.result, Embedding)
            found.append(ImageVector(outcome.result.vector, outcome.result.model_fingerprint))
        return found

    async def _stored(
        self, principal: Principal, image_ids: Sequence[str], task: Task, models: set[str]
    ) -> dict[str, ImageVector]:
        """The newest stored embedding of each image that one of these models gave."""
        operation, c = task.operation, embeddings.c
        statement = (
            select(c.image_id, c.vector, c.model_fingerprint, analyses.c.parameters)
            .join(analyses, analyses.c.id == c.analysis_id)
            .where(
                within(principal, embeddings),
                c.image_id.in_([one for given in image_ids if (one := canonical_id(given))]),
                c.space.in_([space_of(operation.name, operation.version, m) for m in models]),
                c.target == task.target.value,
            )
            .order_by(c.analysis_id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        wanted = _essence(task.params, task.target)
        return {
            image_id: ImageVector(vector_values(vector), model)
            for image_id, vector, model, parameters in rows
            if _is_same(task, parameters, wanted)
        }

    async def _models_here(self, task: Task) -> set[str]:
        models = self._models.models_of(task.operation)
        known = await asyncio.to_thread(
            lambda: [self._models.known_fingerprint(model) for model in models]
        )
        return {fingerprint for fingerprint in known if fingerprint}


def _essence(params: Params, target: Target) -> dict[str, Any]:
    """What an embedding depends on beside the picture, with every default filled in."""
    values = params.model_dump(mode="json") | {"target": target.value}
    if target is not Target.PROMINENT_FACE:
        del values["face_context"]
    return values


def _is_same(task: Task, parameters: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    try:
        params = task.operation.params.model_validate(parameters or {})
    except ValidationError:  # stored by another version of the plugin
        return False
    return _essence(params, params.target or task.operation.default_target) == wanted

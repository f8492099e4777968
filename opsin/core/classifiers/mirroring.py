"""Collections of our own that mirror another service's."""

import asyncio

from opsin.core.access import Principal
from opsin.core.classifiers.training_source import SourceCollection, TrainingSource
from opsin.core.collections.collections import Collections, NewCollection, inputs_of
from opsin.core.collections.enrolment import Enrolled, Enrolment
from opsin.core.collections.inputs import check_inputs
from opsin.core.errors import Conflict, InvalidInput
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost


class Mirror:
    """Makes collections that have a source's members, and no others."""

    def __init__(self, collections: Collections, enrolment: Enrolment, host: PluginHost) -> None:
        self._collections = collections
        self._enrolment = enrolment
        self._host = host

    async def take_in(
        self,
        principal: Principal,
        source: TrainingSource,
        collection: SourceCollection,
        fingerprints: dict[str, str],
    ) -> tuple[Enrolled, dict[str, int]]:
        """The collection as it is now, and by reason how many rows were left out.

        A source does not say which weights made its vectors: `fingerprints` does, by operation.
        Raises Conflict when a collection with this key is embedded in another way, InvalidInput
        for rows that cannot be used; the members stay as they were, then.
        """
        inputs = check_inputs(self._host, collection.inputs)
        for one in inputs:
            if one.operation not in fingerprints:
                raise InvalidInput(
                    f"the source does not say which weights of {one.operation} made its vectors: "
                    f"--fingerprint {one.operation}=SHA256"
                )
        there = await self._collections.find(principal, collection.key)
        if there is not None and list(inputs_of(there)) != inputs:
            raise Conflict("the collection there is embedded in another way than the source's")
        rows = await source.members(collection)
        if not rows.members:
            raise InvalidInput("the source has no rows of it")
        if there is None:
            new = NewCollection(collection.key, collection.inputs, collection.name)
            await self._collections.create(principal, new)
        models = [fingerprints[one.operation] for one in inputs]
        enrolled = await self._enrolment.replace(principal, collection.key, rows.members, models)
        return enrolled, rows.left_out


async def fingerprint_here(host: PluginHost, models: ModelStore, operation: str) -> str:
    """The fingerprint of the weights that an operation has on this machine.

    Raises OperationUnavailable without them, InvalidInput when it has not exactly one model.
    """
    needed = models.models_of(host.operation(operation))
    if len(needed) != 1:
        raise InvalidInput(
            f"{operation} has {len(needed)} models: give the fingerprint that its results show"
        )
    return (await asyncio.to_thread(models.locate, needed[0])).fingerprint

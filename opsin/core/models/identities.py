"""Which weights each operation and region finder has now, asked without holding up anybody."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from opsin.core.contract import Acceleration, Loadable, ModelRequirement
from opsin.core.engine import ModelUsed
from opsin.core.errors import OperationUnavailable
from opsin.core.models.store import ModelStore

log = logging.getLogger(__name__)

_HASHING_AT_ONCE = 2
"""Threads that read weights whose fingerprint nobody knows yet."""

Models: TypeAlias = tuple[ModelUsed, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    models: Models | None
    until: float


class ModelIdentities:
    """The models of loadables by fingerprint; None while a loadable cannot be used.

    Files are looked at on threads, and what was seen counts for `remember` seconds.  Weights that
    were never read are hashed, once for all who ask, and others do not wait for that.
    """

    def __init__(self, store: ModelStore, *, remember: float = 2.0) -> None:
        self._store = store
        self._remember = remember
        self._seen: dict[int, _Seen] = {}
        self._looking: dict[int, asyncio.Task[Models | None]] = {}
        self._hashing: asyncio.Semaphore | None = None

    def acceleration_of(self, loadable: Loadable) -> Acceleration:
        """How its models compute, which its numbers depend on too."""
        return self._store.acceleration_of(loadable)

    async def of(self, loadable: Loadable) -> Models | None:
        """Its models as they are on this machine now, in their order."""
        if not loadable.models and not loadable.requires:
            return ()
        seen = self._seen.get(id(loadable))  # a loadable lives as long as its plugin
        if seen is not None and asyncio.get_running_loop().time() < seen.until:
            return seen.models
        looking = self._looking.get(id(loadable))
        if looking is None:
            looking = asyncio.create_task(self._look(loadable))
            self._looking[id(loadable)] = looking
        return await asyncio.shield(looking)  # who leaves does not take the others' look away

    async def _look(self, loadable: Loadable) -> Models | None:
        models: Models | None = None
        try:
            models = await asyncio.to_thread(self._known, loadable)
            if models is None:
                self._hashing = self._hashing or asyncio.Semaphore(_HASHING_AT_ONCE)
                async with self._hashing:
                    models = await asyncio.to_thread(self._located, loadable)
        except OperationUnavailable:
            models = None
        except Exception:  # the engine, which needs the files next, has words for the caller
            log.debug("the models of %s cannot be identified", loadable.name, exc_info=True)
            models = None
        finally:
            del self._looking[id(loadable)]
        until = asyncio.get_running_loop().time() + self._remember
        self._seen[id(loadable)] = _Seen(models, until)
        return models

    def _known(self, loadable: Loadable) -> Models | None:
        """On a thread: without reading weights; None when some have to be read."""
        if self._store.missing(loadable) is not None:
            raise OperationUnavailable("not here")
        models = self._store.models_of(loadable)
        fingerprints = [self._store.known_fingerprint(model) for model in models]
        known = [fingerprint for fingerprint in fingerprints if fingerprint is not None]
        return self._used(loadable, models, known) if len(known) == len(models) else None

    def _located(self, loadable: Loadable) -> Models:
        """On a thread: reads what has to be read."""
        models = self._store.models_of(loadable)
        fingerprints = [self._store.locate(model).fingerprint for model in models]
        return self._used(loadable, models, fingerprints)

    def _used(
        self,
        loadable: Loadable,
        models: Sequence[ModelRequirement],
        fingerprints: Sequence[str],
    ) -> Models:
        """As they would be told of in a provenance."""
        how = self._store.acceleration_of(loadable)
        return tuple(
            ModelUsed.of(model, fingerprint, how)
            for model, fingerprint in zip(models, fingerprints, strict=True)
        )

"""What a result depends on, as one digest: tasks of equal keys have equal results."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from opsin.core.contract import Acceleration, FaceContext, Loadable, Params, RegionFinder, Target
from opsin.core.engine import ModelUsed, Provenance, Task
from opsin.core.engine.steps import Step, steps_of
from opsin.core.imaging import DecodeOptions
from opsin.core.models.identities import ModelIdentities
from opsin.core.plugin_host import PluginHost

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised when decoding, cropping, finding regions or this file changes what a key stands for."""

_AT_ONCE = 32
"""Keys made before others have their turn on the event loop."""


@dataclass(frozen=True, slots=True)
class ResultKey:
    """The digest (sha256, hex), and the weights that a result must come from to be kept by it.

    A runner in memory may be older than the files on disk, which the key was made from.
    """

    digest: str
    own: frozenset[ModelUsed]
    """The operation's models."""
    others: frozenset[ModelUsed]
    """Those that may have taken part besides: the region finders' and the inputs'."""

    def allows(self, provenance: Provenance) -> bool:
        """Whether a result with this provenance is one that the key stands for."""
        used = frozenset(provenance.models)
        return self.own <= used <= self.own | self.others


@dataclass(frozen=True, slots=True, eq=False)
class KeyedTask:
    """A task and the inputs that it needs, each with its key."""

    task: Task
    key: ResultKey | None = None
    """None for a task whose result must not be kept."""
    inputs: "tuple[KeyedTask, ...]" = ()

    @property
    def may_be_known(self) -> bool:
        """Whether its result, or something below it, may be there already."""
        return self.key is not None or any(needed.may_be_known for needed in self.inputs)


class ResultKeys:
    """Makes the keys of tasks and of their inputs."""

    def __init__(self, host: PluginHost, identities: ModelIdentities) -> None:
        self._host = host
        self._identities = identities

    async def of(
        self, content_sha256: str, options: DecodeOptions, tasks: Sequence[Task]
    ) -> list[KeyedTask]:
        """The tasks in their order."""
        picture = {"format": FORMAT, "content": content_sha256, "decoding": asdict(options)}
        keyed: list[KeyedTask] = []
        for task in tasks:
            try:
                step = steps_of(self._host, [task])[0]
            except Exception:  # the plugin's code; the engine has words for the caller
                log.debug("a task of %s has no key", task.operation.name, exc_info=True)
                keyed.append(KeyedTask(task))
                continue
            keyed.append((await self._told(picture, step, {})).keyed)
            if len(keyed) % _AT_ONCE == 0:
                await asyncio.sleep(0)  # each costs some ten microseconds of the event loop
        return keyed

    async def _told(
        self, picture: dict[str, Any], step: Step, known: "dict[Step, _Told]"
    ) -> "_Told":
        """A step with all that it needs; `known` are the steps that this was asked of already."""
        if step in known:
            return known[step]
        inputs = [await self._told(picture, needed, known) for needed in step.inputs]
        models = {model for needed in inputs for model in needed.models}
        as_json = key = None
        try:
            as_json = await self._task(step, inputs, models)
            own = frozenset(await self._models(step.task.operation))
            key = ResultKey(_digest(picture | {"task": as_json}), own, frozenset(models) - own)
        except _Unknown:
            pass
        except Exception:  # the plugin's code, or params that no JSON can tell
            log.debug("a task of %s has no key", step.task.operation.name, exc_info=True)
            as_json = None
        keyed = KeyedTask(step.task, key, tuple(needed.keyed for needed in inputs))
        known[step] = _Told(keyed, as_json, models)
        return known[step]

    async def _task(
        self, step: Step, inputs: "Sequence[_Told]", models: set[ModelUsed]
    ) -> dict[str, Any]:
        """A task as JSON; adds its models to `models`."""
        task, operation = step.task, step.task.operation
        if step.error is not None or not operation.deterministic:
            raise _Unknown
        if any(needed.as_json is None for needed in inputs):
            raise _Unknown
        told: dict[str, Any] = {
            "operation": await self._loadable(operation, models),
            "params": _params(task.params),
            "target": task.target.value,
        }
        if task.target is Target.PROMINENT_FACE:
            told["face_context"] = task.params.face_context.value
        if operation.uses_picture:
            told["finders"] = await self._finders(task, models)
        if inputs:
            told["inputs"] = [needed.as_json for needed in inputs]
        if task.reference is not None:
            told["reference"] = task.reference.digest
        return told

    async def _finders(self, task: Task, models: set[ModelUsed]) -> list[Any]:
        """The finders that decide where the task looks, in the order in which they are asked."""
        if task.target is Target.WHOLE_IMAGE:
            return []
        finders: list[Any] = []
        person = task.target is Target.PROMINENT_PERSON
        if not person and task.params.face_context is FaceContext.PROMINENT_PERSON:
            # Without one the face is looked for in the whole image, and the result says so.
            finders.append(await self._finder(Target.PROMINENT_PERSON, models))
        finders.append(await self._finder(task.target, models))
        if finders[-1] is None:
            raise _Unknown
        return finders

    async def _finder(self, target: Target, models: set[ModelUsed]) -> dict[str, Any] | None:
        registered = self._host.finders.get(target)
        finder: RegionFinder | None = registered.finder if registered else None
        if finder is None or await self._identities.of(finder) is None:
            return None
        return await self._loadable(finder, models)

    async def _loadable(self, loadable: Loadable, models: set[ModelUsed]) -> dict[str, Any]:
        """An operation or a finder as JSON; names of weights say nothing beside fingerprints."""
        found = await self._models(loadable)
        models.update(found)
        told: dict[str, Any] = {
            "name": loadable.name,
            "version": loadable.version,
            "weights": [[model.role, model.fingerprint] for model in found],
        }
        acceleration = self._identities.acceleration_of(loadable)
        if acceleration != Acceleration():
            told["acceleration"] = asdict(acceleration)
        return told

    async def _models(self, loadable: Loadable) -> Iterable[ModelUsed]:
        found = await self._identities.of(loadable)
        if found is None:
            raise _Unknown
        return found


class _Unknown(Exception):
    """Something that the result depends on is not known."""


class _Told(NamedTuple):
    """A step as JSON, unless something that it depends on is not known, and the models below it."""

    keyed: KeyedTask
    as_json: dict[str, Any] | None
    models: set[ModelUsed]


def _digest(told: dict[str, Any]) -> str:
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _params(params: Params) -> dict[str, Any]:
    """The params but for those that say where to look, if they can be told in JSON without loss."""
    told = params.model_dump(mode="json")
    # Fields that are left out or hidden, and validators that draw lots, show themselves here.
    if type(params).model_validate(told) != params:
        raise _Unknown
    return {name: v for name, v in told.items() if name not in ("target", "face_context")}

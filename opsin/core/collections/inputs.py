"""The embeddings that a collection's members are made of: checked, stored, asked of the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from opsin.core.contract import Embedding, FaceContext, Input, Target
from opsin.core.engine import Task, make_task
from opsin.core.errors import Conflict, InvalidInput
from opsin.core.plugin_host import PluginHost
from opsin.core.storable import check_json

MOST_INPUTS = 8
JOINT = "+"
"""Between the operations whose vectors are joined: `embed_clip_vit_b_32+embed_dino_v2`."""


@dataclass(frozen=True, slots=True)
class NewInput:
    """An embedding as a caller names it; the operation's own defaults stand for None."""

    operation: str
    target: Target | None = None
    face_context: FaceContext | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


class CollectionInput(BaseModel):
    """One of the embeddings whose vectors, in order, make up a member's.

    `target` is None when whoever classifies a picture chooses it; `face_context` is given for
    faces only.  `version` is that of the operation: another one gives other numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str
    version: str
    target: Target | None = None
    face_context: FaceContext | None = None
    params: dict[str, JsonValue] = {}

    @classmethod
    def of(cls, host: PluginHost, given: NewInput, *, open_target: bool = False) -> Self:
        """The checked input; with `open_target` one without a target keeps none.

        Raises UnknownOperation, TargetNotSupported, InvalidParams, or InvalidInput when the
        operation gives no embedding.
        """
        if {"target", "face_context"} & given.params.keys():
            raise InvalidInput("target and face_context are no params of an input")
        task = _task(host, given.operation, given.target, given.face_context, given.params)
        if not issubclass(task.operation.result, Embedding):
            raise InvalidInput(f"{task.operation.name} gives no embedding")
        target = None if open_target and given.target is None else task.target
        params = task.params.model_dump(mode="json", exclude={"target", "face_context"})
        check_json(params, "params")
        face = target is Target.PROMINENT_FACE
        return cls(
            operation=task.operation.name,
            version=task.operation.version,
            target=target,
            face_context=task.params.face_context if face else None,
            params=params,
        )

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def as_input(self) -> Input:
        """What an operation that works on it asks for."""
        return Input(self.operation, self.target, self.face_context, self.params)

    def task(self, host: PluginHost, task_id: str) -> Task:
        """What the engine is asked for it; Conflict when the operation has changed since."""
        self.check_version(host)
        return _task(host, self.operation, self.target, self.face_context, self.params, task_id)

    def check_version(self, host: PluginHost) -> None:
        """Raises Conflict when this server's operation gives other numbers, UnknownOperation."""
        version = host.operation(self.operation).version
        if version != self.version:
            raise Conflict(
                f"{self.operation} is version {version} here; its vectors cannot be compared with "
                f"those of version {self.version}: embed and train anew"
            )


def check_inputs(
    host: PluginHost, given: Sequence[NewInput], *, open_target: bool = False
) -> list[CollectionInput]:
    """The inputs of a collection; raises as `CollectionInput.of`."""
    if not 1 <= len(given) <= MOST_INPUTS:
        raise InvalidInput(f"a collection has 1 to {MOST_INPUTS} inputs")
    inputs = [CollectionInput.of(host, one, open_target=open_target) for one in given]
    if any(one in inputs[:number] for number, one in enumerate(inputs)):
        raise InvalidInput("an input is there twice")
    return inputs


def _task(
    host: PluginHost,
    operation: str,
    target: Target | None,
    face_context: FaceContext | None,
    params: Mapping[str, Any],
    task_id: str = "input",
) -> Task:
    chosen = {"target": target, "face_context": face_context}
    given = {name: value for name, value in chosen.items() if value is not None}
    return make_task(host, task_id, operation, {**params, **given})

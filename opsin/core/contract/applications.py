"""Applications: named sets of operations that a dataset's new images go through."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "opsin application")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an application, known by a key of its own.

    `requires` are keys of steps without which it makes no sense: they are begun before it, and
    where one of them is not enabled it fails at once.  What an operation needs of another's result
    it asks for itself (`Operation.inputs`).
    """

    key: str
    operation: str
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Application:
    """A named set of steps; `image_type` is the only type of pictures it is for, None for any.

    Its `id` is made of the name where none is given, and must stay the same for ever: the runs of
    a database name it.
    """

    name: str
    title: str
    description: str
    steps: tuple[Step, ...]
    image_type: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", str(uuid.uuid5(_NAMESPACE, str(self.name))))

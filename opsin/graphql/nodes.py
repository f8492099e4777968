"""The interface of everything that has an id, and how a stored record is shown."""

import dataclasses
from typing import Any, Self

import strawberry


class Shown:
    """A type of the schema whose members are named as the fields of a stored record."""

    @classmethod
    def of(cls, record: Any) -> Self:
        members = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]  # Strawberry makes it a dataclass
        values = {name: getattr(record, name) for name in members if name != "record"}
        return cls(**values, **({"record": record} if "record" in members else {}))


@strawberry.interface(description="Anything with an id; `node(id)` finds it.")
class Node(Shown):
    id: strawberry.ID
    record: strawberry.Private[Any] = None
    """The row behind it, for what its resolvers need."""

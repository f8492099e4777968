"""Operations whose params and results have every kind of field a plugin may use."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, computed_field, create_model

from opsin import Annotation, Box, Item, LoadContext, Operation, Params, Result, Runner


class Colour(Enum):
    """What a thing looks like."""

    RED = "red"
    DARK_BLUE = "dark blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Leaf(BaseModel):
    """A part that params and results share."""

    value: float = 0.5
    colour: Colour = Colour.RED


class Tree(BaseModel):
    leaf: Leaf
    branches: list["Tree"] = []

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def size(self) -> int:
        return 1 + sum(branch.size for branch in self.branches)


class UnusualParams(Params):
    """Every kind of param."""

    required: float
    top_k: int = Field(default=5, ge=1, le=1000, description="how many")
    colour: Colour = Colour.DARK_BLUE
    level: Level = Level.LOW
    leaf: Leaf = Leaf()
    tree: Tree | None = None
    box: Box | None = None
    names: list[Annotated[str, Field(max_length=3)]] = Field(default_factory=list)
    grid: tuple[tuple[int, ...], ...] = ()
    since: datetime | None = None
    exact: Decimal | None = None
    identity: UUID | None = None


class Unusual(Result):
    """Every kind of
    result field.

    Only the first paragraph is shown.
    """

    tree: Tree
    colours: list[Colour]
    level: Level
    maybe: Leaf | None = None
    when: datetime
    day: date
    clock: time
    price: Decimal
    identity: UUID
    vector: Sequence[float]
    grid: list[list[float | None]]
    pair: tuple[int, int]
    asked: str


class Finer(Unusual):
    """A class of its own that the operation's runner gives, and GraphQL never heard of."""

    extra: int = 1


class FunctionRunner(Runner[Any, Any]):
    uses_device = False

    def __init__(self, give: Callable[[Any], Result]) -> None:
        self._give = give

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[Result]:
        return [self._give(item.params) for item in batch]


class Gives(Operation[Any, Any]):
    """An operation that gives what a function makes of its params."""

    description = "Gives what a test wants."
    version = "1"

    def __init__(
        self,
        name: str,
        result: type[Result],
        give: Callable[[Any], Result],
        params: type[Params] = Params,
    ) -> None:
        self._give = give
        vars(self).update(name=name, result=result, params=params)

    def load(self, context: LoadContext) -> FunctionRunner:
        return FunctionRunner(self._give)


def unusual(params: UnusualParams, kind: type[Unusual] = Unusual) -> Unusual:
    return kind(
        tree=params.tree or Tree(leaf=params.leaf),
        colours=[params.colour, Colour.RED],
        level=params.level,
        maybe=params.leaf,
        when=datetime(2026, 1, 31, 12, tzinfo=UTC),
        day=date(2026, 1, 31),
        clock=time(12, 30),
        price=Decimal("1.10"),
        identity=UUID(int=7),
        vector=[i / 768 for i in range(768)],
        grid=[[0.5, None], []],
        pair=(1, 2),
        asked=params.model_dump_json(exclude_defaults=True, exclude={"target", "tree", "leaf"}),
    )


class Vague(Result):
    """A result that may hold what JSON cannot."""

    score: float
    count: int = 0

    def annotations(self) -> Sequence[Annotation]:
        if self.count == 1:
            raise ValueError("secret /etc/passwd")
        return [Annotation(annotation_type="tag", data={"score": self.score})]


class VagueParams(Params):
    score: float = 0.5
    count: int = 0


def gives(name: str, result: type[Result] = Vague, params: type[Params] = Params) -> Gives:
    return Gives(name, result, lambda params: Vague(score=1), params)


class Empty(BaseModel):
    """GraphQL has no type without fields."""


def made(base: type[Any], name: str = "Made", **fields: Any) -> Any:
    return create_model(name, __base__=base, **fields)


OPERATIONS = (
    Gives("give_unusual", Unusual, unusual, UnusualParams),
    Gives("give_finer", Unusual, lambda params: unusual(params, Finer), UnusualParams),
    Gives("give_vague", Vague, lambda p: Vague(score=p.score, count=p.count), VagueParams),
    Gives("give_nan", Vague, lambda params: Vague(score=float("nan"))),
    Gives("class", Vague, lambda params: Vague(score=1)),
)

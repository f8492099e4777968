"""One operation, region finder or text embedder on trial: loaded, fed and compared."""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from opsin.core.contract import (
    Box,
    Input,
    Item,
    Loadable,
    LoadContext,
    Operation,
    Params,
    Picture,
    Point,
    Region,
    RegionFinder,
    Result,
    Runner,
    Target,
    TextEmbedder,
)
from opsin.core.engine.batch_size import BatchSize
from opsin.core.engine.batching import Failure
from opsin.core.engine.execution import encode_answers, run_batch
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.placed import blank
from opsin.core.errors import InvalidParams
from opsin.core.imaging import crop

TOLERANCE = 1e-4
"""By how much a number may differ, relative to the largest of its list."""

FindInput = Callable[[Input, Picture], Result]


def example_params(operation: Operation[Any, Any], given: Mapping[str, Any]) -> Params:
    """Params to try it with: what is given, defaults, and examples for what has no default.

    Raises InvalidParams for a required field without an example.
    """
    values = dict(given)
    for name, field in operation.params.model_fields.items():
        if name not in values and field.is_required() and field.examples:
            values[name] = field.examples[0]
    try:
        return operation.params.model_validate(values)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "params"
        raise InvalidParams(
            f"{where}: {error.errors()[0]['msg']}; give --params, or declare "
            "Field(examples=[...]) for what has no default"
        ) from None


class Trial:
    """A loaded runner and the ways of asking it.

    `find_input` gives other operations' results for the operations that need them.
    """

    def __init__(
        self,
        loadable: Loadable,
        context: LoadContext,
        params: Params,
        find_input: FindInput | None = None,
    ) -> None:
        self.loadable = loadable
        self._context = context
        self._params = params
        self._find_input = find_input
        self.runner: Runner[Any, Any] = self.load()

    def load(self) -> Runner[Any, Any]:
        return self.loadable.load(self._context)

    @property
    def targets(self) -> Sequence[Target]:
        if isinstance(self.loadable, Operation):
            return self.loadable.targets
        return (Target.WHOLE_IMAGE,)

    def thing(self, picture: Picture, target: Target | None = None) -> Any:
        """What `prepare` gets for a picture: an item, or a text that stands for it."""
        loadable = self.loadable
        if isinstance(loadable, TextEmbedder):
            height, width = picture.shape[:2]
            return f"a picture of {width} by {height} pixels"
        if isinstance(loadable, RegionFinder):
            return Item(picture, self._params, loadable.target)
        assert isinstance(loadable, Operation)
        target = target or loadable.default_target
        region = None
        inputs: Sequence[Input] = loadable.inputs(self._params, None)
        results = tuple(self._find_input(i, picture) for i in inputs) if self._find_input else ()
        if target is not Target.WHOLE_IMAGE:
            height, width = picture.shape[:2]
            middle = Box(x_min=width // 4, y_min=0, x_max=width - width // 4, y_max=height)
            landmarks = _landmarks(middle) if target is Target.PROMINENT_FACE else ()
            region = Region(middle, 0.9, landmarks)
            if loadable.crop:
                picture = crop(picture, middle)
        if not loadable.uses_picture:
            picture = blank(*picture.shape[:2])
        return Item(picture, self._params, target, region, results)

    def alone(self, things: Sequence[Any]) -> list[Any]:
        """One answer each, every one in a batch of its own: an output or a Failure."""
        return [answer for thing in things for answer in self.together([thing])]

    def together(self, things: Sequence[Any]) -> list[Any]:
        """One answer each, in batches as large as keys and `max_batch` allow."""
        answers: list[Any] = [None] * len(things)
        groups: dict[Hashable, list[tuple[int, Any]]] = {}
        for index, thing in enumerate(things):
            try:
                prepared = self.runner.prepare(thing)
                groups.setdefault(self.runner.batch_key(prepared), []).append((index, prepared))
            except Exception as error:
                answers[index] = Failure(as_opsin_error(error, self.loadable.name))
        most = max(1, self.runner.max_batch)
        for group in groups.values():
            for start in range(0, len(group), most):
                part = group[start : start + most]
                for (index, _), answer in zip(part, self._run([p for _, p in part]), strict=True):
                    answers[index] = answer
        return answers

    def seconds(self, things: Sequence[Any], repeats: int = 3) -> float:
        """The median time of one item, preparing included."""
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            self.together(things)
            times.append((time.perf_counter() - started) / len(things))
        return sorted(times)[repeats // 2]

    def _run(self, prepared: list[Any]) -> list[Any]:
        name = self.loadable.name
        answers = run_batch(self.runner, prepared, name, BatchSize(len(prepared)))
        return encode_answers(self.runner, answers, name)


def _landmarks(face: Box) -> tuple[Point, ...]:
    """Where they are in an upright face that fills its box."""
    places = ((0.3, 0.37), (0.7, 0.37), (0.5, 0.57), (0.34, 0.77), (0.66, 0.77))
    return tuple((face.x_min + x * face.width, face.y_min + y * face.height) for x, y in places)


def difference(one: Any, other: Any) -> str | None:
    """Where two answers differ by more than the tolerance; None when they do not."""
    if isinstance(one, Failure) and isinstance(other, Failure):
        return None
    if isinstance(one, Failure) or isinstance(other, Failure):
        failure = one if isinstance(one, Failure) else other
        return f"one of them failed: {failure.error.message}"
    return _difference(_plain(one), _plain(other), "")


def _plain(answer: Any) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json")
    if isinstance(answer, Region):
        told: dict[str, Any] = {"box": answer.box.model_dump(), "score": answer.score}
        return told | {"landmarks": [list(point) for point in answer.landmarks]}
    return answer


def _difference(one: Any, other: Any, where: str, scale: float = 0.0) -> str | None:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(f"{where}.{key}", one[key], other[key], 0.0) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        numbers = [abs(value) for value in one if _is_number(value)]
        largest = max(numbers, default=0.0)
        pairs = [
            (f"{where}[{n}]", a, b, largest)
            for n, (a, b) in enumerate(zip(one, other, strict=True))
        ]
    elif _is_number(one) and _is_number(other):
        allowed = TOLERANCE * max(abs(one), abs(other), scale)
        same = one == other or math.isclose(one, other, rel_tol=0.0, abs_tol=allowed)
        return None if same else f"{where or 'the value'} is {one!r} and {other!r}"
    else:
        return None if one == other else f"{where or 'the value'} is {one!r} and {other!r}"[:200]
    for place, a, b, largest in pairs:
        if found := _difference(a, b, place, largest):
            return found
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Operations, region finders and text embedders, and the runners that do their work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

from opsin.core.contract.references import Input, Reference, ReferenceRequest
from opsin.core.contract.regions import Picture, Region, Target
from opsin.core.contract.results import Embedding, Params, Result
from opsin.core.errors import ConfigurationError
from opsin.core.models.requirements import LocatedModel, ModelRequirement

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)
Output = TypeVar("Output")
Model = TypeVar("Model")


def _ignore(text: str) -> None:
    """Nobody follows."""


@dataclass(frozen=True, slots=True)
class Item(Generic[P]):
    """One picture, or the region of it, that a runner works on."""

    picture: Picture
    params: P
    target: Target = Target.WHOLE_IMAGE
    region: Region | None = None
    inputs: tuple[Result, ...] = ()
    """The results that `Operation.inputs` asked for, in its order."""
    reference: Reference | None = None
    """What `Operation.reference` asked for."""
    progress: Callable[[str], None] = _ignore
    """Tells followers the text written so far; cheap, callable from any thread, never raises."""


class Runner(ABC, Generic[P, Output]):
    """The loaded half of an operation.

    `prepare` is called for one item on any of several threads and must not touch the device.
    `run` is called for one batch of prepared items at a time and returns one output per item in
    order; for a runner that uses the device, always on the device's thread.  An exception from
    `run` is bisected, so that a bad item fails alone.
    """

    max_batch: int = 16
    uses_device: bool = True
    """False when `run` is light or plain CPU work that need not wait for the device."""

    def prepare(self, item: Item[P]) -> Any:
        """CPU work for one item: resize, normalise, tokenise.  Default: the item itself."""
        return item

    def batch_key(self, prepared: Any) -> Hashable:
        """Only items with equal keys share a batch (e.g. the tensor's shape)."""
        return None

    @abstractmethod
    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Outputs for the prepared items, same length, same order; results unless `encode` is."""

    def encode(self, output: Any) -> Output:
        """CPU work on one of `run`'s outputs, while the device goes on.  Default: it is the result.

        Called on any of several threads.  A runner that overrides it lets `run` give what it likes.
        """
        return cast("Output", output)

    def memory_bytes(self) -> int | None:
        """Bytes of the device's memory that its models take; None when it cannot say."""
        return None

    def close(self) -> None:
        """Free what `load` took."""


class Precision(StrEnum):
    """The numbers a model computes with; float32 is the reference that others are held to."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class Acceleration:
    """How the operator wants a model to run faster; a runner without torch may ignore it."""

    precision: Precision = Precision.FLOAT32
    channels_last: bool = False
    compile: bool = False


class SharedKey(NamedTuple):
    """Which model in memory is meant: equal ones are one object."""

    module: str
    """Whose function built it."""
    role: str
    name: str
    fingerprint: str
    device: str
    acceleration: Acceleration


class SharedModels(Protocol):
    """Models in memory that several runners of one device use."""

    def get(self, key: Hashable, build: Callable[[], Model]) -> Model:
        """The object under `key`, built once; it lives as long as some runner refers to it."""
        ...


class NothingShared:
    """Every model is built anew, as where a single operation is tried."""

    def get(self, key: Hashable, build: Callable[[], Model]) -> Model:
        return build()


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What `load` gets: the device to use (`cpu`, `cuda:0`) and its models by role."""

    device: str
    models: Mapping[str, LocatedModel] = field(default_factory=dict)
    acceleration: Acceleration = Acceleration()
    shared: SharedModels = field(default_factory=NothingShared)

    def __post_init__(self) -> None:
        if self.acceleration.precision is Precision.FLOAT16 and self.device == "cpu":
            raise ConfigurationError(
                "precision float16 is for CUDA devices; on the CPU use bfloat16 or float32"
            )

    def share(self, role: str, build: Callable[[], Model]) -> Model:
        """What `build` makes of the model of that role, once for all runners of its module.

        They use it on the one thread of the device and must not change it.  Refer to it, never
        copy it: it lives as long as a runner refers to it.
        """
        model = self.models[role]
        module = getattr(build, "func", build).__module__  # a partial's own is functools
        name = model.requirement.name
        key = SharedKey(module, role, name, model.fingerprint, self.device, self.acceleration)
        return self.shared.get(key, build)


class Loadable(ABC):
    """What operations and region finders share: a name, a version, needs, and a way to load."""

    name: ClassVar[str]
    version: str
    """Changes whenever the numbers do, also with an option of the plugin."""
    requires: tuple[str, ...] = ()
    """Importable packages it needs (`torch`), or it is unavailable; also by an option."""
    extra: ClassVar[str | None] = None
    """The extra of the providing distribution that brings `requires`, e.g. `opsin[models]`."""
    models: tuple[ModelRequirement, ...] = ()
    """The weights it needs; an instance may need others than its class, by an option."""
    accelerates: ClassVar[bool] = False
    """Its runner computes as `context.acceleration` says, which `neural.place` does."""
    compiles: ClassVar[bool] = True
    """False for what accelerates, but is never compiled, whatever is said of everything."""
    acceleration: ClassVar[Acceleration] = Acceleration()
    """How its models compute where the operator chooses nothing else."""

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[Any, Any]:
        """Build the runner; called once, on a thread of its own, so it may be slow."""


class MissingRegion(StrEnum):
    """What to do when the target's region is not in the picture."""

    USE_WHOLE_IMAGE = "use_whole_image"
    SKIP = "skip"
    RUN_WITHOUT = "run_without"


class Operation(Loadable, Generic[P, R]):
    """A named, versioned function on an image region; subclass, fill in, implement `load`."""

    description: ClassVar[str]
    params: ClassVar[type[Params]] = Params
    result: ClassVar[type[Result]]
    targets: ClassVar[tuple[Target, ...]] = tuple(Target)
    default_target: ClassVar[Target] = Target.WHOLE_IMAGE
    missing_region: ClassVar[Mapping[Target, MissingRegion]] = {
        Target.PROMINENT_PERSON: MissingRegion.USE_WHOLE_IMAGE,
        Target.PROMINENT_FACE: MissingRegion.SKIP,
    }
    crop: ClassVar[bool] = True
    """False: the runner gets the whole picture, and `item.region` tells where the target is."""
    deterministic: ClassVar[bool] = True
    """False: asked again it may answer otherwise, so that its results are never taken again."""
    uses_picture: ClassVar[bool] = True
    """False: it works on its inputs alone, whose region and note become the result's.

    `item.picture` has the picture's size then and shows nothing: it need not even be read.
    """

    def reference(self, params: P) -> ReferenceRequest | None:
        """Which stored reference it needs for these params; None for most operations."""
        return None

    def inputs(self, params: P, reference: Reference | None) -> Sequence[Input]:
        """Which other operations' results on the same picture it needs first."""
        return ()

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[P, R]: ...


class RegionFinder(Loadable):
    """Finds the one region that a target names; its runner gives a `Region` or None per item."""

    target: ClassVar[Target]

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[Params, Region | None]: ...


class TextEmbedder(Loadable):
    """Embeds texts into the space of an operation's embeddings, so that pictures are found by text.

    Its runner's `prepare` gets the text (a str) instead of an item.
    """

    operation: ClassVar[str]
    """The operation whose vectors its own can be compared with; both need the same weights."""

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[Any, Embedding]: ...

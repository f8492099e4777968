"""What a plugin is made of: operations, region finders, their params, results and runners.

A plugin author subclasses `Operation`, `Runner`, `Params` and `Result`, and returns an instance of
the operation from the hook `opsin_operations`.  Nothing here imports a model library.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

# The part of the contract that tells of weights; `X as X` hands it on.
from opsin.core.model_requirements import Bundled as Bundled
from opsin.core.model_requirements import Download as Download
from opsin.core.model_requirements import Folder as Folder
from opsin.core.model_requirements import LocatedModel as LocatedModel
from opsin.core.model_requirements import ModelRequirement as ModelRequirement
from opsin.core.model_requirements import Repository as Repository

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Picture: TypeAlias = npt.NDArray[np.uint8]
    """Pixels, height x width x 3, uint8, RGB; read-only, shared between operations."""
else:
    Picture = Any


class Target(StrEnum):
    """Which part of the picture an operation looks at."""

    WHOLE_IMAGE = "whole_image"
    PROMINENT_PERSON = "prominent_person"
    PROMINENT_FACE = "prominent_face"


class FaceContext(StrEnum):
    """Where the prominent face is looked for."""

    WHOLE_IMAGE = "whole_image"
    PROMINENT_PERSON = "prominent_person"


class Box(BaseModel):
    """A bounding box in pixels of the displayed picture; the maximum side is exclusive."""

    model_config = ConfigDict(frozen=True)

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def width(self) -> int:
        return self.x_max - self.x_min

    @property
    def height(self) -> int:
        return self.y_max - self.y_min

    @property
    def is_empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    def clipped(self, width: int, height: int) -> "Box":
        """This box inside a picture of `width` x `height` pixels."""
        return Box(
            x_min=min(max(self.x_min, 0), width),
            y_min=min(max(self.y_min, 0), height),
            x_max=min(max(self.x_max, 0), width),
            y_max=min(max(self.y_max, 0), height),
        )

    def moved(self, dx: int, dy: int) -> "Box":
        """This box shifted by `dx`, `dy` pixels."""
        return Box(
            x_min=self.x_min + dx,
            y_min=self.y_min + dy,
            x_max=self.x_max + dx,
            y_max=self.y_max + dy,
        )


class Annotation(BaseModel):
    """One finding inside an analysis, as derived from a result or told by an external pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotation_type: Annotated[str, Field(min_length=3, max_length=50)]
    data: dict[str, JsonValue]
    class_name: Annotated[str, Field(max_length=255)] | None = None
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    storage_path: Annotated[str, Field(max_length=1024)] | None = None
    ordering: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None


@dataclass(frozen=True, slots=True)
class ProducedArtifact:
    """A file that belongs to a result, such as a heatmap; annotations name it by `name`."""

    name: str
    content_type: str
    content: bytes


class Params(BaseModel):
    """What a caller may choose; subclass it to add fields of your own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target | None = Field(
        default=None, description="part of the picture; the operation's default when absent"
    )
    face_context: FaceContext = Field(
        default=FaceContext.PROMINENT_PERSON,
        description="look for the face inside the prominent person, or in the whole image",
    )


class Result(BaseModel):
    """What an operation found; subclass it, the class name becomes the GraphQL type's name.

    `region` and `note` are filled by the engine: the part of the picture that was used (null for
    the whole) and anything the reader must know about how it was chosen.
    """

    model_config = ConfigDict(frozen=True)

    region: Box | None = None
    note: str | None = None

    def annotations(self) -> Sequence[Annotation]:
        """The findings to store beside this result.

        An annotation whose `storage_path` is the name of one of `artifacts` gets its real path.
        """
        return ()

    def artifacts(self) -> Sequence[ProducedArtifact]:
        """The files to store beside this result; keep their bytes in a private attribute."""
        return ()


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)
Output = TypeVar("Output")


@dataclass(frozen=True, slots=True)
class Region:
    """A found part of a picture: its box, clipped to the picture, and the finder's score 0..1."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Item(Generic[P]):
    """One picture, or the region of it, that a runner works on."""

    picture: Picture
    params: P
    target: Target = Target.WHOLE_IMAGE
    region: Region | None = None


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
    def run(self, batch: Sequence[Any]) -> Sequence[Output]:
        """Outputs for the prepared items, same length, same order."""

    def close(self) -> None:
        """Free what `load` took."""


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What `load` gets: the device to use (`cpu`, `cuda:0`) and its models by role."""

    device: str
    models: Mapping[str, LocatedModel] = field(default_factory=dict)


class Loadable(ABC):
    """What operations and region finders share: a name, a version, needs, and a way to load."""

    name: ClassVar[str]
    version: str
    """Changes whenever the numbers do, also with an option of the plugin."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Importable packages it needs (`torch`); a missing one makes it unavailable."""
    extra: ClassVar[str | None] = None
    """The extra of the providing distribution that brings `requires`, e.g. `opsin[models]`."""
    models: ClassVar[tuple[ModelRequirement, ...]] = ()

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

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[P, R]: ...


class RegionFinder(Loadable):
    """Finds the one region that a target names; its runner gives a `Region` or None per item."""

    target: ClassVar[Target]

    @abstractmethod
    def load(self, context: LoadContext) -> Runner[Params, Region | None]: ...

"""What a manifest may say of each stage; every table is checked before a model is read."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Text: TypeAlias = Annotated[str, Field(min_length=1)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Cosine: TypeAlias = Annotated[float, Field(ge=-1, le=1)]
PlainName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*)*$")
]
Architecture: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)?$")]
"""A plain name: `hf-hub:...` and the like would download, and run what they bring."""
Channels: TypeAlias = tuple[float, float, float]
"""Of red, green and blue, for samples scaled to 0..1."""

CLIP_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")


class Table(BaseModel):
    """A table of a manifest; what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Source(Table):
    """Where the files of a stage come from; an OPSIN_MODELS table can replace it."""

    repository: Text | None = None
    revision: Text | None = None
    folder: Text | None = None
    """Relative to the manifest."""
    sha256: dict[str, str] = {}
    licence: Text = "not stated"
    remedy: Text | None = None
    """What helps where the files are missing, if pulling them does not."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.repository is None) == (self.folder is None):
            raise ValueError("exactly one of repository and folder is needed")
        if (self.repository is None) != (self.revision is None):
            raise ValueError("revision goes with repository")
        return self


class Gate(Table):
    """Is it a whale or dolphin: CLIP, zero-shot.

    The score is the sum, over the positive prompts, of the softmax over all prompts of the logits
    (scale x cosine); it passes from `threshold` on.
    """

    kind: Literal["clip"]
    model: Source
    files: tuple[FileName, ...] = CLIP_FILES
    positive: tuple[Text, ...] = Field(min_length=1)
    negative: tuple[Text, ...] = Field(min_length=1)
    threshold: Fraction | None = None
    calibration: Text | None = None
    """A file of `opsin calibrate`, relative to the manifest, in place of `threshold`."""
    resize: Literal["crop", "pad"] = "crop"
    """`crop` as CLIP was trained, which loses the ends of wide pictures; `pad` keeps them."""

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.threshold is None) == (self.calibration is None):
            raise ValueError("exactly one of threshold and calibration is needed")
        if len(set(self.positive + self.negative)) < len(self.positive) + len(self.negative):
            raise ValueError("a prompt is given twice")
        return self


class Detector(Table):
    """Where the animal is: a detection network of torchvision."""

    architecture: Architecture
    model: Source
    file: FileName = "detector.safetensors"
    classes: tuple[Text, ...] = Field(min_length=2)
    """Names by label number; number 0 is the background."""
    keep: tuple[Text, ...] = Field(min_length=1)
    """The classes that count as the animal."""
    min_score: Fraction = 0.5
    choose: Literal["score", "area"] = "score"
    """Of several boxes: the surest, or the largest."""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What is added on each side, as a part of the box's width and height."""
    otherwise: Literal["whole_image", "reject"] = "whole_image"
    """Where no box is found."""
    min_size: Annotated[int, Field(ge=32, le=4096)] | None = None
    max_size: Annotated[int, Field(ge=32, le=8192)] | None = None
    """What the shorter side is scaled to, and the longer at most; None: the architecture's own."""
    batch_norm_epsilon: Annotated[float, Field(ge=0, lt=1)] | None = None
    """None: the architecture's own; 0 for what was trained on from torchvision's COCO_V1."""

    @model_validator(mode="after")
    def _kept_classes_exist(self) -> Self:
        for name in self.keep:
            if name not in self.classes[1:]:
                raise ValueError(f"keep names {name!r}, which is not one of the classes after 0")
        if (self.min_size is None) != (self.max_size is None):
            raise ValueError("min_size and max_size go together")
        if (
            self.min_size is not None
            and self.max_size is not None
            and self.max_size < self.min_size
        ):
            raise ValueError("max_size is smaller than min_size")
        return self


class Embedder(Table):
    """The network that turns the animal into a vector, and how it wants its pictures."""

    source: Literal["timm", "transformers"] = "timm"
    architecture: Architecture | None = None
    """A name that timm knows; transformers has it in config.json."""
    model: Source
    file: FileName = "model.safetensors"
    keys: dict[str, str] = {"": "backbone."}
    """Beginnings of the weights' names, and what stands there in `backbone.`, `pool.`, `neck.`."""
    ignore: tuple[Text, ...] = ()
    """Beginnings of names of weights that are no part of the embedder, such as a class head."""
    size: Annotated[int, Field(ge=8, le=2048)] | tuple[int, int]
    """Pixels: one side of a square, or height and width."""
    resize: Literal["squash", "pad", "crop"] = "squash"
    short_side: Annotated[int, Field(ge=8, le=4096)] | None = None
    """With `crop`: what the shorter side is brought to before the centre is cut out."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    pooling: Literal["model", "average", "gem", "cls"] = "model"
    """`model` is the architecture's own."""
    stages: tuple[Annotated[int, Field(ge=0, le=16)], ...] = ()
    """Pool these stages' feature maps and join them; none: the last map alone."""
    gem_power: Annotated[float, Field(gt=0, le=100)] | Literal["learned"] = 3.0
    gem_epsilon: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    neck: tuple[Literal["linear", "batch_norm"], ...] = ()
    """Layers after the pooling, as `neck.0.`, `neck.1.`; sizes come from the weights."""
    flip: bool = False
    """Embed the mirrored picture too, and take the mean of both."""
    pass_size: bool = False
    """Tell the architecture the size, as vision transformers want it where it is not their own."""

    @field_validator("size")
    @classmethod
    def _sides(cls, size: Any) -> Any:
        if isinstance(size, tuple) and not all(8 <= side <= 2048 for side in size):
            raise ValueError("height and width must be from 8 to 2048")
        return size

    @field_validator("std")
    @classmethod
    def _deviations(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError("must be above 0")
        return std

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.source == "timm") != (self.architecture is not None):
            raise ValueError("architecture goes with source timm, and is needed there")
        height, width = self.height_width
        if self.resize == "crop" and height != width:
            raise ValueError("resize crop needs a square size")
        if self.short_side is not None and (
            self.resize != "crop" or self.short_side < max(height, width)
        ):
            raise ValueError("short_side goes with resize crop, and is not below size")
        if self.stages and (self.source, self.pooling) not in (
            ("timm", "average"),
            ("timm", "gem"),
        ):
            raise ValueError("stages goes with source timm and pooling average or gem")
        if self.pooling == "cls" and self.source != "transformers":
            raise ValueError("pooling cls goes with source transformers")
        if self.pass_size and self.source != "timm":
            raise ValueError("pass_size goes with source timm")
        return self

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class OpenSet(Table):
    """When the nearest known individual is not near enough."""

    min_probability: Fraction | None = None
    """Moves with the number of individuals."""
    min_cosine: Cosine | None = None
    """Below it, the animal is called a new individual."""


class Prototypes(Table):
    """A vector for each known individual, learned with the embedder (the rows of ArcFace)."""

    model: Source
    file: FileName = "prototypes.safetensors"
    tensor: Text
    individuals: FileName = "individuals.txt"
    """Ids in the order of the rows: a text file with one a line, or a JSON list."""
    species: FileName | None = None
    """A CSV file with the columns below."""
    individual_column: Text = "individual_id"
    species_column: Text = "species"
    sub_centres: Annotated[int, Field(ge=1, le=64)] = 1
    """Rows of each individual, one after the other; the nearest counts."""
    active: Annotated[int, Field(ge=1)] | None = None
    """Only so many individuals from the first on; none: all."""
    scale: Annotated[float, Field(gt=0, le=1000)] = 30.0
    open_set: OpenSet = OpenSet()


class GalleryMatcher(Table):
    """How stored embeddings of known individuals are compared with a picture's."""

    combine: Literal["max", "mean"] = "max"
    """An individual's cosine from those of its pictures."""
    nearest: Annotated[int, Field(ge=1)] | None = None
    """With `mean`: of so many of its nearest pictures; none: of all."""
    scale: Annotated[float, Field(gt=0, le=1000)] = 30.0
    prototypes_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Above 0: fused with the prototypes, whose cosine counts so much."""
    open_set: OpenSet = OpenSet()

    @model_validator(mode="after")
    def _nearest_of_a_mean(self) -> Self:
        if self.nearest is not None and self.combine != "mean":
            raise ValueError("nearest goes with combine mean")
        return self


class Taxonomy(Table):
    """What to call species."""

    aliases: dict[str, str] = {}
    """Names as they are in the data, and what to show in their place."""

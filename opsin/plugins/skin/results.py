"""What the operations on skin answer: areas with metrics, shapes, an explanation and a source."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr

from opsin import Annotation, ProducedArtifact, Result

ALIGNED_FACE_FILE = "aligned_face.jpg"


def area_file(area: str) -> str:
    """What the picture of an area other than `face` is called."""
    return f"{area}.jpg"


class SkinMetric(BaseModel):
    """One number: what was measured and, where more is worse or better, a score from it."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float = Field(description="what was measured, in `unit`")
    unit: str
    score: float | None = Field(
        default=None, ge=0, le=100, description="0 to 100, 100 the best; null where none is better"
    )
    label: str | None = Field(default=None, description="the class that the value falls into")


class SkinArea(BaseModel):
    """What was measured in one area of the face."""

    model_config = ConfigDict(frozen=True)

    area: str
    skin_share: float = Field(description="share of the area, 0 to 1, that is visible skin")
    main: SkinMetric
    details: tuple[SkinMetric, ...] = ()


class SkinShape(BaseModel):
    """Where something was found: outlines of it, or its points; x and y in turn, in pixels."""

    model_config = ConfigDict(frozen=True)

    name: str
    is_outline: bool = Field(description="false: the numbers are single points")
    intensity: float = Field(description="how strong it is, in `unit`")
    unit: str
    coordinates: tuple[int, ...] = Field(description="x and y in turn, in pixels of the picture")


class SkinMeasures(Result):
    """What one operation measured: no diagnosis, and only as good as the picture's light."""

    measure: str
    areas: tuple[SkinArea, ...] = Field(description="`face` first; areas out of sight are left out")
    shapes: tuple[SkinShape, ...] = ()
    feedback: tuple[str, ...] = Field(default=(), description="what about the picture to mend")
    explanation: str
    source: str

    annotation_types = ("metric", "segmentation", "keypoint")

    def annotations(self) -> Sequence[Annotation]:
        found = [
            _metric(self.measure, area.area, metric)
            for area in self.areas
            for metric in (area.main, *area.details)
        ]
        found += [_drawn(shape) for shape in self.shapes]
        return [one.model_copy(update={"ordering": place}) for place, one in enumerate(found)]


def _metric(measure: str, area: str, metric: SkinMetric) -> Annotation:
    data: dict[str, JsonValue] = {
        "name": f"{area}.{metric.name}",
        "value": metric.value,
        "unit": metric.unit,
    }
    if metric.score is not None:
        data["score"] = metric.score
    if metric.label is not None:
        data["label"] = metric.label
    return Annotation(annotation_type="metric", class_name=measure, data=data)


def _drawn(shape: SkinShape) -> Annotation:
    numbers: list[JsonValue] = [*shape.coordinates]
    data: dict[str, JsonValue] = {"intensity": shape.intensity, "unit": shape.unit}
    if shape.is_outline:
        data["polygons"] = [numbers]
        return Annotation(annotation_type="segmentation", class_name=shape.name, data=data)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    data["keypoints"] = [[x, y] for x, y in pairs]
    return Annotation(annotation_type="keypoint", class_name=shape.name, data=data)


class FaceLandmark(BaseModel):
    """One of the face finder's points, in pixels of the whole picture."""

    model_config = ConfigDict(frozen=True)

    name: str
    x: float
    y: float


class FaceArea(BaseModel):
    """One area of the face, as a polygon."""

    model_config = ConfigDict(frozen=True)

    name: str
    coordinates: tuple[int, ...] = Field(description="x and y in turn, in pixels of the picture")
    visible_share: float = Field(description="share of it, 0 to 1, that is inside the picture")
    skin_share: float = Field(description="share of it, 0 to 1, that is visible skin")


class AlignedFace(BaseModel):
    """The square picture of the face with its eyes level, and where its pixels come from."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(description="pixels along each side")
    matrix: tuple[float, ...] = Field(
        min_length=6,
        max_length=6,
        description="a, b, c, d, e, f: pixel (x, y) of the picture lies at "
        "(a x + b y + c, d x + e y + f) in the square; a turn, one scale and a shift",
    )


class FaceAreas(Result):
    """Landmarks and areas of the face, how it is turned, and pictures of them as files."""

    landmarks: tuple[FaceLandmark, ...]
    areas: tuple[FaceArea, ...]
    skin: tuple[SkinShape, ...] = Field(description="outlines of the skin; holes are not cut out")
    eye_distance: float = Field(description="pixels between the eyes")
    roll: float = Field(description="degrees that the head is turned in the picture, clockwise")
    nose_offset: float = Field(
        description="how far the tip of the nose is beside the middle, in eye distances, to the "
        "right of the picture; 0 from the front"
    )
    is_frontal: bool = Field(description="whether `nose_offset` is at most 0.2")
    is_whole: bool = Field(description="whether every area lies inside the picture")
    aligned: AlignedFace = Field(description="the square that `aligned_face.jpg` shows")

    annotation_types = ("keypoint", "segmentation")

    _files: tuple[ProducedArtifact, ...] = PrivateAttr(default=())

    def with_files(self, files: Iterable[ProducedArtifact]) -> "FaceAreas":
        """This result with pictures of the face and its areas, which are no part of its JSON."""
        copy = self.model_copy()
        copy._files = tuple(files)
        return copy

    def artifacts(self) -> Sequence[ProducedArtifact]:
        return self._files

    def annotations(self) -> Sequence[Annotation]:
        points: list[JsonValue] = [
            {"name": point.name, "x": point.x, "y": point.y} for point in self.landmarks
        ]
        found = [
            Annotation(annotation_type="keypoint", class_name="face", data={"keypoints": points})
        ]
        found += [
            Annotation(
                annotation_type="segmentation",
                class_name=area.name,
                data={"polygons": [[*area.coordinates]]},
            )
            for area in self.areas
        ]
        found += [_drawn(shape) for shape in self.skin]
        return [one.model_copy(update={"ordering": place}) for place, one in enumerate(found)]

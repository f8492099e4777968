"""The names that this API's clients know: a data file, read and checked once."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("catalogue.json")

WidgetType = Literal["bad_good_line", "numeric", "density", "category", "ITA"]


class _Part(BaseModel):
    """Nothing in the file is left unread."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricNames(_Part):
    """How a metric is called, and which of its numbers is shown."""

    tech_name: str
    name: str
    widget_type: WidgetType
    of: Literal["score", "value", "label"]


class SubMetricNames(MetricNames):
    """The same of a metric beside the main one; `metric` is how the operation calls it."""

    metric: str


class MaskNames(_Part):
    """How the shapes that an operation calls `shape` are called and drawn."""

    shape: str
    tech_name: str
    name: str
    fill: str | None


class AlgorithmNames(_Part):
    """An operation under the name of an algorithm family; `number` is that of its first version."""

    number: int | None
    operation: str
    tech_name: str
    """Without the prefix of the family."""
    name: str
    description: str
    main: MetricNames
    sub: tuple[SubMetricNames, ...] = ()
    by_name: tuple[str, ...] = ()
    """Metrics that are shown as an object of scores instead, and another of values."""
    masks: tuple[MaskNames, ...] = ()


class DetectorNames(_Part):
    """The operation that finds the face, without which there is nothing to measure."""

    number: int
    operation: str
    tech_name: str
    name: str
    description: str


class ApplicationNames(_Part):
    """An application that every company has."""

    id: str
    tech_name: str
    name: str
    description: str
    image_type: str
    bare_numbers: bool
    """Whether its results are numbers and nothing more."""


class FailureTexts(_Part):
    """What is told of results that there are not."""

    no_face: str
    not_full_face: str
    cut_or_turned: tuple[str, ...]
    """What the operations say of a face that they do not see whole, or not from the front."""
    by_code: Mapping[str, str]
    other: str


class AuxImageType(_Part):
    """A derived picture, by the name of its artifact, and the area that it shows."""

    id: int
    artifact: str
    name: str
    tech_name: str
    area: str


class Catalogue(_Part):
    """All of it."""

    prefix: str
    """Of the tech names of families."""
    applications: tuple[ApplicationNames, ...]
    params: Mapping[str, str]
    """What every operation is asked with."""
    detector: DetectorNames
    failures: FailureTexts
    areas: Mapping[str, str]
    """Areas that are called otherwise here."""
    algorithms: tuple[AlgorithmNames, ...]
    aux_image_types: tuple[AuxImageType, ...]

    @cached_property
    def by_operation(self) -> Mapping[str, AlgorithmNames]:
        """The measures, without the detector."""
        return {one.operation: one for one in self.algorithms}

    @cached_property
    def bare_applications(self) -> frozenset[str]:
        """Ids of the applications whose results are numbers."""
        return frozenset(one.id for one in self.applications if one.bare_numbers)

    @cached_property
    def aux_by_artifact(self) -> Mapping[str, AuxImageType]:
        return {one.artifact: one for one in self.aux_image_types}

    def area(self, name: str) -> str:
        return self.areas.get(name, name)

    def tech_name(self, operation: str) -> str:
        """Of the family: ours, or the operation's own name."""
        if operation == self.detector.operation:
            return self.prefix + self.detector.tech_name
        known = self.by_operation.get(operation)
        return operation if known is None else self.prefix + known.tech_name

    def title(self, operation: str) -> str:
        """The family's name as people read it."""
        if operation == self.detector.operation:
            return self.detector.name
        known = self.by_operation.get(operation)
        return operation.replace("_", " ").capitalize() if known is None else known.name


CATALOGUE = Catalogue.model_validate_json(_FILE.read_bytes())

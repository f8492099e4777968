"""The manifest that chooses the stages: read, checked, and digested into versions."""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from opsin.core.errors import ConfigurationError, reason_of
from opsin.plugins.cetacean.stages import (
    Detector,
    Embedder,
    GalleryMatcher,
    Gate,
    PlainName,
    Prototypes,
    Table,
    Taxonomy,
)

DEFAULT = Path(__file__).with_name("manifests") / "ecomarineai.toml"
_ORIGINS = {"model", "calibration", "threshold"}
"""What does not change a stage's numbers: its weights have fingerprints of their own."""
_PLAIN = {"extra_forbidden": "is not known here", "missing": "is needed"}


class Manifest(Table):
    """The whole pipeline; a table that is not there is a stage that is not there."""

    name: PlainName
    gate: Gate | None = None
    detector: Detector | None = None
    embedder: Embedder
    prototypes: Prototypes | None = None
    gallery: GalleryMatcher = GalleryMatcher()
    taxonomy: Taxonomy = Taxonomy()

    @model_validator(mode="after")
    def _fusion_needs_prototypes(self) -> Self:
        if self.gallery.prototypes_weight and self.prototypes is None:
            raise ValueError("gallery.prototypes_weight needs the table prototypes")
        return self


class CalibratedModel(BaseModel):
    """Weights that a calibration was made with."""

    model_config = ConfigDict(extra="ignore")

    role: str
    fingerprint: str


class Calibration(BaseModel):
    """What the gate reads of a file that `opsin calibrate` wrote."""

    model_config = ConfigDict(extra="ignore")

    operation: str
    operation_version: str
    score: str
    threshold: float = Field(ge=0, le=1)
    mean_positive_score: float | None = None
    models: tuple[CalibratedModel, ...]

    def fingerprint(self, role: str) -> str | None:
        return next((model.fingerprint for model in self.models if model.role == role), None)


class Pipeline:
    """A manifest that was read: its stages, their versions and the gate's threshold."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self.manifest = manifest
        self.folder = folder
        """From which relative paths go."""
        self.calibration = self._calibration()

    @property
    def is_default(self) -> bool:
        """Whether it is the one that comes with the plugin."""
        return self.folder == DEFAULT.parent

    @classmethod
    def read(cls, file: Path) -> Self:
        """The pipeline of a TOML or JSON file; `ConfigurationError` names what is wrong in it."""
        where = f"cetacean: manifest {file.name}"
        try:
            told = _parsed(file)
            manifest = Manifest.model_validate_json(json.dumps(told))
        except OSError as error:
            raise ConfigurationError(f"{where}: {reason_of(error)}") from error
        except ValidationError as error:
            raise ConfigurationError(f"{where}: {_problem(error)}") from None
        except (ValueError, TypeError) as error:  # not TOML, not JSON; a date
            raise ConfigurationError(f"{where}: {error}") from None
        try:
            return cls(manifest, file.absolute().parent)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error.message}") from None

    @property
    def threshold(self) -> float:
        """The score from which the gate lets a picture pass; 0 without a gate."""
        gate = self.manifest.gate
        if gate is None:
            return 0.0
        if self.calibration is not None:
            return self.calibration.threshold
        assert gate.threshold is not None  # the table has one of both
        return gate.threshold

    @property
    def scoring_version(self) -> str:
        """Stands for everything that the gate's score depends on, weights aside."""
        return f"1+{_digest(_settings(self.manifest.gate))}"

    @property
    def screening_version(self) -> str:
        return f"{self.scoring_version}+threshold={self.threshold:g}"

    @property
    def embedding_version(self) -> str:
        """Stands for everything that a vector depends on, weights aside."""
        return f"1+{_digest(self._embedding_settings)}"

    @cached_property
    def digest(self) -> str:
        """Stands for everything that an identification depends on, weights aside."""
        manifest = self.manifest
        matching = (manifest.prototypes, manifest.gallery, manifest.taxonomy)
        screening = [_settings(manifest.gate), self.threshold]
        return _digest([screening, self._embedding_settings, *map(_settings, matching)])

    @property
    def identification_version(self) -> str:
        return f"1+{self.digest}"

    @property
    def _embedding_settings(self) -> Any:
        return [_settings(self.manifest.detector), _settings(self.manifest.embedder)]

    def _calibration(self) -> Calibration | None:
        gate = self.manifest.gate
        if gate is None or gate.calibration is None:
            return None
        file = self.folder / gate.calibration
        where = f"gate.calibration: {file.name}"
        try:
            found = Calibration.model_validate_json(file.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{where}: {reason_of(error)}") from error
        except ValidationError as error:
            raise ConfigurationError(f"{where}: {_problem(error)}") from None
        if (found.operation, found.score) != ("screen_cetacean", "cetacean_score"):
            raise ConfigurationError(
                f"{where} is of {found.operation}'s {found.score}, "
                "not of screen_cetacean's cetacean_score"
            )
        if found.operation_version.partition("+threshold=")[0] != self.scoring_version:
            raise ConfigurationError(
                f"{where} was made for other prompts or settings of the "
                "gate: give a threshold, and calibrate again"
            )
        return found


def _parsed(file: Path) -> Any:
    text = file.read_text("utf-8")
    return json.loads(text) if file.suffix == ".json" else tomllib.loads(text)


def _settings(table: Table | None) -> Any:
    return None if table is None else table.model_dump(mode="json", exclude=_ORIGINS)


def _digest(settings: Any) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _problem(error: ValidationError) -> str:
    """`embedder.size: why`, for the first of the problems."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    reason = _PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
    return f"{key}: {reason}" if key else reason

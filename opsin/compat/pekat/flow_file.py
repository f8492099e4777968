"""The file of a flow: its operations in order, and what decides whether a picture is fine."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from opsin.core.errors import ConfigurationError, reason_of

SourceType = Literal["UNSUPERVISED", "SUPERVISED", "CLASSIFIER", "DETECTOR", "CODE"]

RESERVED_KEYS = frozenset(
    {
        *("error", "imageShape", "processing", "processingTime", "save", "result", "completeTime"),
        *("detectedRectangles", "data", "production_mode", "operatorInput", "globalData", "errors"),
        *("stdout", "stderr", "score", "threshold", "surfaceClasses", "angle", "lines"),
    }
)
"""Keys of every context, which no operation may write."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowOperation(_Strict):
    """One step: an operation, and where its findings go."""

    operation: str
    params: dict[str, Any] = Field(default_factory=dict)
    type: SourceType | None = None
    """`source.type` of its rectangles; by default, that of what it finds."""
    key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Its whole result is put into the context under this key."""


class Rule(_Strict):
    """One condition of a picture that is fine: how many findings, or how large a number."""

    count: str | None = None
    """A label whose rectangles and classes are counted, `*` for all."""
    value: str | None = None
    """A number in the context, as `quality.sharpness`."""
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _has_one_subject(self) -> Self:
        if (self.count is None) == (self.value is None):
            raise ValueError("give exactly one of count and value")
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Score(_Strict):
    """The number of the whole picture that is shown as `score`; above `threshold` is a defect."""

    value: str
    threshold: float


class FlowFile(_Strict):
    """What `OPSIN_PEKAT_FLOW` holds or names."""

    operations: tuple[FlowOperation, ...]
    rules: tuple[Rule, ...] = ()
    score: Score | None = None

    @model_validator(mode="after")
    def _has_keys_of_its_own(self) -> Self:
        keys = [step.key for step in self.operations if step.key is not None]
        for key in keys:
            if key in RESERVED_KEYS:
                raise ValueError(f"the key {key!r} is that of every context")
            if keys.count(key) > 1:
                raise ValueError(f"two operations have the key {key!r}")
        return self


def read_flow(given: str) -> FlowFile:
    """From JSON, or from the file that is named; raises ConfigurationError."""
    text = given.strip()
    if not text.startswith(("{", "[")):
        try:
            text = Path(text).read_text("utf-8")
        except OSError as error:
            raise _refusal(f"the file cannot be read: {reason_of(error)}") from None
        except UnicodeDecodeError:
            raise _refusal("the file is not UTF-8") from None
    try:
        told = json.loads(text)
        return FlowFile.model_validate({"operations": told} if isinstance(told, list) else told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the flow"
        raise _refusal(f"{place}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise _refusal("neither JSON nor the path of a file with it") from None


def _refusal(reason: str) -> ConfigurationError:
    return ConfigurationError(f"OPSIN_PEKAT_FLOW: {reason}")

"""What the caller of an import chooses."""

from dataclasses import dataclass
from enum import StrEnum


class ImportFormat(StrEnum):
    """How a source is written."""

    COCO = "coco"
    YOLO = "yolo"
    VISTA = "vista"
    JSON = "json"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`model_name` and `model_version` name what made the annotations, where the source does not.

    With `strict` nothing is stored unless everything can be; with `dry_run` nothing is.
    """

    model_name: str | None = None
    model_version: str | None = None
    dry_run: bool = False
    strict: bool = False

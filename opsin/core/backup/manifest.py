"""What a backup says of itself: the file `manifest.json`, written last and read first."""

import hmac
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from opsin.core.errors import ConfigurationError, InvalidInput

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
BLOBS = "blobs"
BLOB_LIST = "blobs.ndjson.gz"
TABLES = "tables"
MODELS = "models"
SECRET = "secret.key"

_CONTEXT = b"opsin backup 1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class LinesFile(_Part):
    """A compressed file of JSON lines: how many, and the bytes and sha256 of the lines."""

    lines: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class SavedTable(_Part):
    """The rows of one table, ordered by primary key."""

    name: str = Field(pattern=r"^[a-z_]+$")
    columns: tuple[str, ...]
    rows: LinesFile

    @property
    def path(self) -> str:
        return path_of(self.name)


class SavedBlobs(_Part):
    """The files that the rows name; `missing` are the digests of those that could not be read."""

    copied: bool
    bytes: int
    listed: LinesFile
    missing: tuple[str, ...] = ()


class SavedSecret(_Part):
    """Which secret key the installation had, and whether the backup has it, too."""

    fingerprint: str
    included: bool


class SavedModel(_Part):
    """A file below the folder of models."""

    path: str
    bytes: int


class SavedModels(_Part):
    """The weights that were there; `copied` are in the backup."""

    copied: bool
    files: tuple[SavedModel, ...]


class Manifest(_Part):
    """One backup: the state of a database at one moment, and what belongs to it."""

    format: Literal[1]
    opsin: str
    created_at: datetime
    revision: str
    database: Literal["sqlite", "postgresql"]
    # In the order in which they can be filled.
    tables: tuple[SavedTable, ...]
    # The last number that was given, by the table that numbers its rows.
    numbers: dict[str, int]
    blobs: SavedBlobs
    secret: SavedSecret
    models: SavedModels

    @property
    def rows(self) -> int:
        return sum(table.rows.lines for table in self.tables)


def open_manifest(folder: Path) -> Manifest:
    """The manifest of a backup; InvalidInput where the folder is none, or a newer Opsin's."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"{folder} is no whole backup: it has no {MANIFEST}") from None
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from None
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{folder} is no backup that this version reads: {place}: {first['msg']}"
        ) from None


def path_of(table: str) -> str:
    """Where a table's rows are in a backup."""
    return f"{TABLES}/{table}.ndjson.gz"


def fingerprint_of(secret: bytes) -> str:
    """Tells two secret keys apart, and nothing else of them."""
    return hmac.digest(secret, _CONTEXT, "sha256").hex()[:32]

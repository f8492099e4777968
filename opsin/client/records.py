"""What the server says of projects, images, analyses and files, as read by the client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Project:
    """A set of images; `group` is whose it is.  The same as a dataset in GraphQL."""

    id: str
    name: str
    group: str
    description: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        return cls(found["id"], found["name"], found["meta_group_id"], found.get("description"))


@dataclass(frozen=True, slots=True)
class Image:
    """A stored picture; sides in pixels, as displayed (0 from servers that do not tell them)."""

    id: str
    filename: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str | None = None
    """Of the file; None where the server's answer does not have it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """From either API: `content_type` or `contentType`, and so on."""
        return cls(
            id=found["id"],
            filename=found["filename"],
            content_type=found.get("contentType") or found["content_type"],
            width=found.get("width") or 0,
            height=found.get("height") or 0,
            size_bytes=int(found.get("sizeBytes", found.get("size_bytes")) or 0),
            sha256=found.get("sha256"),
            metadata=found.get("metadata") or {},
            created_at=moment(found.get("createdAt") or found.get("created_at")),
        )


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """What came of an upload; `is_new` is False where the project had the same file before."""

    image: Image
    is_new: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """A new image; give `cursor` as `after` to go on behind it."""

    cursor: str
    image: Image


@dataclass(frozen=True, slots=True)
class Analysis:
    """One run of a model on one image; `status` as `completed`."""

    id: str
    image_id: str
    model_name: str
    model_version: str
    status: str
    parameters: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] | None = None
    error_message: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        return cls(
            id=found["id"],
            image_id=found["image_id"],
            model_name=found["model_name"],
            model_version=found["model_version"],
            status=found["status"],
            parameters=found.get("parameters"),
            summary=found.get("summary"),
            error_message=found.get("error_message"),
            created_at=moment(found.get("created_at")),
            started_at=moment(found.get("started_at")),
            completed_at=moment(found.get("completed_at")),
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of an analysis; annotations name it by `storage_path`."""

    name: str
    storage_path: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Presigned:
    """An address that takes one file until it expires."""

    name: str
    url: str
    storage_path: str
    expires_in: int


def id_of(given: Project | Image | UploadedImage | str) -> str:
    """The id of a project or an image, given by itself, by its record or as it was uploaded."""
    if isinstance(given, str):
        return given
    found = given.image if isinstance(given, UploadedImage) else given
    if not isinstance(found, Project | Image):
        raise TypeError(f"an id or a record is needed, not {type(given).__name__}")
    return found.id


def moment(text: str | None) -> datetime | None:
    """A time of the server, with its zone."""
    return None if text is None else datetime.fromisoformat(text)

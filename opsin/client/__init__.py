"""The client of pipelines that run elsewhere: docs/pipelines.md."""

from opsin.client.annotations import (
    Annotation,
    Finding,
    bounding_box,
    classification,
    heatmap,
    keypoints,
    mask,
    polygon,
)
from opsin.client.async_client import AsyncClient
from opsin.client.async_runs import AsyncRun
from opsin.client.errors import (
    AnswerLost,
    Busy,
    ClientError,
    ClockWrong,
    Conflict,
    Forbidden,
    GraphQLRefused,
    InvalidFinding,
    KeyRefused,
    NotAnOpsinServer,
    NotFound,
    Refused,
    SignatureRefused,
    TooLarge,
    Unreachable,
)
from opsin.client.pictures import Model
from opsin.client.records import (
    Analysis,
    Arrival,
    Artifact,
    Image,
    Presigned,
    Project,
    UploadedImage,
)
from opsin.client.retries import Retries
from opsin.client.runs import Run
from opsin.client.sync_client import Client

__all__ = [
    "Analysis",
    "Annotation",
    "AnswerLost",
    "Arrival",
    "Artifact",
    "AsyncClient",
    "AsyncRun",
    "Busy",
    "Client",
    "ClientError",
    "ClockWrong",
    "Conflict",
    "Finding",
    "Forbidden",
    "GraphQLRefused",
    "Image",
    "InvalidFinding",
    "KeyRefused",
    "Model",
    "NotAnOpsinServer",
    "NotFound",
    "Presigned",
    "Project",
    "Refused",
    "Retries",
    "Run",
    "SignatureRefused",
    "TooLarge",
    "Unreachable",
    "UploadedImage",
    "bounding_box",
    "classification",
    "heatmap",
    "keypoints",
    "mask",
    "polygon",
]

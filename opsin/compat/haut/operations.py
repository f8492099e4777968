"""Every operation of the Haut API: what is sent, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from opsin.compat.haut.chain import API, BATCH, COMPANY, DATASET, IMAGE, SUBJECT
from opsin.compat.haut.datasets import DatasetFields, NewDataset
from opsin.compat.haut.images import SentImage
from opsin.compat.haut.shapes import FILE, OBJECT, TEXT, Schema, many, page, reference
from opsin.compat.haut.sign_in import Credentials, Refresh
from opsin.compat.haut.subjects import Deleted, SubjectBody, SubjectFields
from opsin.compat.haut.tokens import NewToken
from opsin.compat.haut.webhooks import Configuration

EXAMPLE_DATASET = "8b567f0a-89f1-45da-8b0e-42473e0293da"
EXAMPLE_SUBJECT = "145d2764-c924-499f-ac17-81d2a09bb121"
EXAMPLE_USER = ("somebody@example.com", "a password of somebody")
EXAMPLE_REFRESH = "the refresh token of the last answer"
_DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8Ma2JARtgYsABBqcEAHqdAfC54R7JAA"
    "AAAElFTkSuQmCC"
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path; without an `answer` nothing is answered but the status."""

    method: str
    path: str
    summary: str
    tag: str
    answer: Schema | None
    status: int = 200
    query: Sequence[str] = ()
    body: type[BaseModel] | Schema | None = None
    example: Any = None
    is_open: bool = False
    kind: str = "application/json"
    errors: Sequence[str] = ()


def _read(
    path: str,
    summary: str,
    tag: str,
    answer: Schema,
    *query: str,
    is_open: bool = False,
    kind: str = "application/json",
) -> Operation:
    return Operation("get", path, summary, tag, answer, query=query, is_open=is_open, kind=kind)


def _changed(
    method: str, path: str, summary: str, tag: str, answer: str, body: type[BaseModel], example: Any
) -> Operation:
    return Operation(method, path, summary, tag, reference(answer), body=body, example=example)


def _made(
    path: str,
    summary: str,
    tag: str,
    answer: str,
    body: type[BaseModel] | Schema,
    example: Any,
    *query: str,
) -> Operation:
    return Operation("post", path, summary, tag, reference(answer), 201, query, body, example)


def _deleted(path: str, summary: str, tag: str) -> Operation:
    return Operation("delete", path, summary, tag, OBJECT)


_SIGN_IN, _DICTIONARIES, _DATASETS, _SUBJECTS = "sign-in", "dictionaries", "datasets", "subjects"
_IMAGES, _APPLICATIONS, _RESULTS = "images", "applications", "results"
_PAGE = ("page", "page_size", "q", "ordering")
_SHORT_PAGE = ("page", "page_size", "ordering")
_TOKENS = f"{API}/auth/private_tokens"
_APPLICATION = f"{COMPANY}/applications/{{application_id}}"
_RUN_BODY: Schema = {
    "type": "object",
    "required": ["dataset_id"],
    "properties": {"dataset_id": TEXT, "enabled_algorithms": {"type": ["array", "null"]}},
}
_BATCH_BODY = OBJECT | {"properties": {"creation_time": {}}}
_PDF_BODY = OBJECT | {"properties": {"timeout": {}, "waitUntil": {}}}
_CREDENTIALS = {"username": EXAMPLE_USER[0], "password": EXAMPLE_USER[1]}
_TOKEN = {"name": "my token", "expiration_time": "2033-04-17T16:10:17.350Z"}
_IMAGE = {"side_id": 1, "light_id": 1, "b64data": _DOT}
_RETENTION = {"expire_images_after_days": 30, "clean_images_as_soon_as_ready": False}
_PERSON = {"birth_date": "1990-12-31", "biological_sex": 2, "meta": {"city": "Oslo"}}
_BY_NUMBER = {"dataset_id": EXAMPLE_DATASET, "enabled_algorithms": [30, 40]}
_BY_NAME = {"dataset_id": EXAMPLE_DATASET, "enabled_algorithms": ["redness", "face_detector"]}
_WEBHOOK = {
    "url": "https://example.com/hook",
    "method": "post",
    "authorization": "bearer",
    "authorization_value": "what the receiver wants to see",
}


def _login(path: str) -> Operation:
    answer = reference("SignedIn")
    return Operation(
        *("post", path, "Sign in", _SIGN_IN, answer),
        body=Credentials,
        example=_CREDENTIALS,
        is_open=True,
        errors=("429",),
    )


def _refresh(path: str) -> Operation:
    return Operation(
        *("post", path, "Renew the tokens", _SIGN_IN, reference("Tokens")),
        body=Refresh,
        example={"refresh_token": EXAMPLE_REFRESH},
        is_open=True,
    )


OPERATIONS: Sequence[Operation] = (
    _read("/api/swagger", "This API as a page", "", TEXT, is_open=True, kind="text/html"),
    _login(f"{API}/login"),
    _login(f"{API}/auth/login"),
    _refresh(f"{API}/auth/refresh"),
    _refresh(f"{API}/refresh"),
    _read(f"{API}/auth/profile", "Who the caller is", _SIGN_IN, reference("Profile")),
    _read(_TOKENS, "The caller's private tokens", _SIGN_IN, page("PrivateToken"), *_PAGE),
    _made(_TOKENS, "Make a private token", _SIGN_IN, "NewPrivateToken", NewToken, _TOKEN),
    Operation("delete", f"{_TOKENS}/{{token_id}}", "End it", _SIGN_IN, None, 204),
    _read(
        f"{API}/companies",
        "Companies that the caller may act for",
        _SIGN_IN,
        many(reference("Company")),
    ),
    _read(COMPANY, "One company", _SIGN_IN, reference("Company")),
    _read(
        f"{API}/dicts/image_types",
        "Kinds of images, their sides and lights",
        _DICTIONARIES,
        many(reference("ImageType")),
        is_open=True,
    ),
    _read(
        f"{API}/dicts/algorithms",
        "Algorithms by their numbers",
        _DICTIONARIES,
        many(reference("Algorithm")),
        is_open=True,
    ),
    _read(f"{COMPANY}/datasets", "The datasets", _DATASETS, page("Dataset"), *_PAGE),
    _made(
        f"{COMPANY}/datasets",
        "Make a dataset",
        _DATASETS,
        "Dataset",
        NewDataset,
        {"name": "My dataset name", "image_type_id": 1},
    ),
    _read(
        f"{COMPANY}/datasets/short_list",
        "All datasets, in short",
        _DATASETS,
        many(reference("ShortDataset")),
        "q",
    ),
    _read(DATASET, "One dataset", _DATASETS, reference("Dataset")),
    *(
        _changed(
            method, DATASET, "Change what is named", _DATASETS, "Dataset", DatasetFields, _RETENTION
        )
        for method in ("put", "post", "patch")
    ),
    _deleted(DATASET, "Delete it with all in it", _DATASETS),
    _read(f"{DATASET}/subjects", "The subjects", _SUBJECTS, page("Subject"), *_PAGE),
    _made(
        f"{DATASET}/subjects",
        "Make a subject",
        _SUBJECTS,
        "Subject",
        SubjectBody,
        {"name": "My subject name"},
    ),
    Operation(
        *("delete", f"{DATASET}/subjects/delete", "Delete several", _SUBJECTS, OBJECT),
        body=Deleted,
        example={"subjects_ids": [EXAMPLE_SUBJECT]},
    ),
    _read(SUBJECT, "One subject", _SUBJECTS, reference("Subject")),
    _changed(
        "patch", SUBJECT, "Change what is named", _SUBJECTS, "Subject", SubjectFields, _PERSON
    ),
    _deleted(SUBJECT, "Delete it with its images", _SUBJECTS),
    _read(f"{SUBJECT}/batches", "The batches", _SUBJECTS, page("Batch"), *_SHORT_PAGE),
    _made(
        f"{SUBJECT}/batches",
        "Make a batch",
        _SUBJECTS,
        "Batch",
        _BATCH_BODY,
        {"creation_time": "2023-04-17T16:10:17.350Z"},
    ),
    _read(BATCH, "One batch", _SUBJECTS, reference("Batch")),
    _deleted(BATCH, "Delete it with its images", _SUBJECTS),
    _made(f"{BATCH}/images", "Take an image in", _IMAGES, "Image", SentImage, _IMAGE),
    _made(
        f"{SUBJECT}/images",
        "Take an image in, in a batch of its own",
        _IMAGES,
        "Image",
        SentImage,
        _IMAGE,
    ),
    _read(f"{BATCH}/images", "The images of a batch", _IMAGES, page("Image"), *_SHORT_PAGE),
    _read(IMAGE, "One image", _IMAGES, reference("Image")),
    _deleted(IMAGE, "Delete it with its results", _IMAGES),
    _read(
        "/images/{file_id}.jpg",
        "The file of an image or of one made of it",
        _IMAGES,
        FILE,
        "token",
        kind="image/jpeg",
    ),
    _read(
        f"{COMPANY}/applications",
        "The applications",
        _APPLICATIONS,
        page("Application"),
        *_PAGE,
    ),
    _read(f"{_APPLICATION}/runs", "Its runs", _APPLICATIONS, many(reference("Run"))),
    _made(
        f"{_APPLICATION}/runs",
        "Attach it to a dataset, or change which algorithms it has there",
        _APPLICATIONS,
        "Run",
        _RUN_BODY,
        _BY_NUMBER,
    ),
    _made(
        f"{_APPLICATION}/attach-to-dataset",
        "The same by names",
        _APPLICATIONS,
        "Run",
        _RUN_BODY,
        _BY_NAME,
        "resolve_dependencies",
    ),
    _made(
        f"{DATASET}/webhooks",
        "Have the ends of runs told",
        _RESULTS,
        "NewWebhook",
        Configuration,
        _WEBHOOK,
    ),
    _read(
        f"{DATASET}/webhooks",
        "The webhook of a dataset, if it has one",
        _RESULTS,
        many(reference("Webhook")),
    ),
    _deleted(f"{DATASET}/webhooks", "End it", _RESULTS),
    _read(
        f"{IMAGE}/results",
        "Results, the newest first",
        _RESULTS,
        many(reference("Result")),
        *("application_run_id", "application_name", "application_id", "token"),
    ),
    _read(f"{IMAGE}/aux", "Images that were made of it", _RESULTS, many(reference("AuxImage"))),
    _read(
        f"{IMAGE}/aux/{{aux_id}}/signed_url",
        "A link to one",
        _RESULTS,
        reference("Link"),
        "expiration_seconds",
    ),
    _read(
        f"{SUBJECT}/all_results",
        "The subject's results, the newest first",
        _RESULTS,
        many(reference("Result")),
        *("date_from", "date_to"),
    ),
    _read(
        f"{IMAGE}/smoothed_results",
        "Main values, smoothed over history",
        _RESULTS,
        many(reference("Smoothed")),
        *("sample_time_window", "sample_max_size", "smoothing_method"),
    ),
    Operation(
        *("post", f"/service/pdf-generator{IMAGE.removeprefix(API)}/pdf", "A report", _RESULTS),
        FILE,
        body=_PDF_BODY,
        example={"timeout": 30000, "waitUntil": "networkidle0"},
        kind="application/pdf",
        errors=("422", "504"),
    ),
)

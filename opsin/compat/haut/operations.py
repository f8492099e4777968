"""Every operation of the Haut API: what is sent, and what is answered."""

from collections.abc import Sequence

from opsin.compat.haut import examples
from opsin.compat.haut.datasets import DatasetFields, NewDataset
from opsin.compat.haut.images import SentImage
from opsin.compat.haut.operation_forms import Operation, changed, deleted, made, read
from opsin.compat.haut.paths import API, BATCH, COMPANY, DATASET, IMAGE, SUBJECT
from opsin.compat.haut.shapes import FILE, OBJECT, TEXT, Schema, many, page, reference
from opsin.compat.haut.sign_in import Credentials, Refresh
from opsin.compat.haut.subjects import Deleted, SubjectBody, SubjectFields
from opsin.compat.haut.tokens import NewToken
from opsin.compat.haut.webhooks import Configuration

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


def _login(path: str) -> Operation:
    answer = reference("SignedIn")
    return Operation(
        *("post", path, "Sign in", _SIGN_IN, answer),
        body=Credentials,
        example=examples.CREDENTIALS,
        is_open=True,
        errors=("429",),
    )


def _refresh(path: str) -> Operation:
    return Operation(
        *("post", path, "Renew the tokens", _SIGN_IN, reference("Tokens")),
        body=Refresh,
        example={"refresh_token": examples.EXAMPLE_REFRESH},
        is_open=True,
    )


OPERATIONS: Sequence[Operation] = (
    read("/api/swagger", "This API as a page", "", TEXT, is_open=True, kind="text/html"),
    _login(f"{API}/login"),
    _login(f"{API}/auth/login"),
    _refresh(f"{API}/auth/refresh"),
    _refresh(f"{API}/refresh"),
    read(f"{API}/auth/profile", "Who the caller is", _SIGN_IN, reference("Profile")),
    read(_TOKENS, "The caller's private tokens", _SIGN_IN, page("PrivateToken"), *_PAGE),
    made(_TOKENS, "Make a private token", _SIGN_IN, "NewPrivateToken", NewToken, examples.TOKEN),
    Operation("delete", f"{_TOKENS}/{{token_id}}", "End it", _SIGN_IN, None, 204),
    read(
        f"{API}/companies",
        "Companies that the caller may act for",
        _SIGN_IN,
        many(reference("Company")),
    ),
    read(COMPANY, "One company", _SIGN_IN, reference("Company")),
    read(
        f"{API}/dicts/image_types",
        "Kinds of images, their sides and lights",
        _DICTIONARIES,
        many(reference("ImageType")),
        is_open=True,
    ),
    read(
        f"{API}/dicts/algorithms",
        "Algorithms by their numbers",
        _DICTIONARIES,
        many(reference("Algorithm")),
        is_open=True,
    ),
    read(f"{COMPANY}/datasets", "The datasets", _DATASETS, page("Dataset"), *_PAGE),
    made(
        f"{COMPANY}/datasets",
        "Make a dataset",
        _DATASETS,
        "Dataset",
        NewDataset,
        {"name": "My dataset name", "image_type_id": 1},
    ),
    read(
        f"{COMPANY}/datasets/short_list",
        "All datasets, in short",
        _DATASETS,
        many(reference("ShortDataset")),
        "q",
    ),
    read(DATASET, "One dataset", _DATASETS, reference("Dataset")),
    *(
        changed(
            method,
            DATASET,
            "Change what is named",
            _DATASETS,
            "Dataset",
            DatasetFields,
            examples.RETENTION,
        )
        for method in ("put", "post", "patch")
    ),
    deleted(DATASET, "Delete it with all in it", _DATASETS),
    read(f"{DATASET}/subjects", "The subjects", _SUBJECTS, page("Subject"), *_PAGE),
    made(
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
        example={"subjects_ids": [examples.EXAMPLE_SUBJECT]},
    ),
    read(SUBJECT, "One subject", _SUBJECTS, reference("Subject")),
    changed(
        "patch",
        SUBJECT,
        "Change what is named",
        _SUBJECTS,
        "Subject",
        SubjectFields,
        examples.PERSON,
    ),
    deleted(SUBJECT, "Delete it with its images", _SUBJECTS),
    read(f"{SUBJECT}/batches", "The batches", _SUBJECTS, page("Batch"), *_SHORT_PAGE),
    made(
        f"{SUBJECT}/batches",
        "Make a batch",
        _SUBJECTS,
        "Batch",
        _BATCH_BODY,
        {"creation_time": "2023-04-17T16:10:17.350Z"},
    ),
    read(BATCH, "One batch", _SUBJECTS, reference("Batch")),
    deleted(BATCH, "Delete it with its images", _SUBJECTS),
    made(f"{BATCH}/images", "Take an image in", _IMAGES, "Image", SentImage, examples.IMAGE),
    made(
        f"{SUBJECT}/images",
        "Take an image in, in a batch of its own",
        _IMAGES,
        "Image",
        SentImage,
        examples.IMAGE,
    ),
    read(f"{BATCH}/images", "The images of a batch", _IMAGES, page("Image"), *_SHORT_PAGE),
    read(IMAGE, "One image", _IMAGES, reference("Image")),
    deleted(IMAGE, "Delete it with its results", _IMAGES),
    read(
        "/images/{file_id}.jpg",
        "The file of an image or of one made of it",
        _IMAGES,
        FILE,
        "token",
        kind="image/jpeg",
    ),
    read(
        f"{COMPANY}/applications",
        "The applications",
        _APPLICATIONS,
        page("Application"),
        *_PAGE,
    ),
    read(f"{_APPLICATION}/runs", "Its runs", _APPLICATIONS, many(reference("Run"))),
    made(
        f"{_APPLICATION}/runs",
        "Attach it to a dataset, or change which algorithms it has there",
        _APPLICATIONS,
        "Run",
        _RUN_BODY,
        examples.BY_NUMBER,
    ),
    made(
        f"{_APPLICATION}/attach-to-dataset",
        "The same by names",
        _APPLICATIONS,
        "Run",
        _RUN_BODY,
        examples.BY_NAME,
        "resolve_dependencies",
    ),
    made(
        f"{DATASET}/webhooks",
        "Have the ends of runs told",
        _RESULTS,
        "NewWebhook",
        Configuration,
        examples.WEBHOOK,
    ),
    read(
        f"{DATASET}/webhooks",
        "The webhook of a dataset, if it has one",
        _RESULTS,
        many(reference("Webhook")),
    ),
    deleted(f"{DATASET}/webhooks", "End it", _RESULTS),
    read(
        f"{IMAGE}/results",
        "Results, the newest first",
        _RESULTS,
        many(reference("Result")),
        *("application_run_id", "application_name", "application_id", "token"),
    ),
    read(f"{IMAGE}/aux", "Images that were made of it", _RESULTS, many(reference("AuxImage"))),
    read(
        f"{IMAGE}/aux/{{aux_id}}/signed_url",
        "A link to one",
        _RESULTS,
        reference("Link"),
        "expiration_seconds",
    ),
    read(
        f"{SUBJECT}/all_results",
        "The subject's results, the newest first",
        _RESULTS,
        many(reference("Result")),
        *("date_from", "date_to"),
    ),
    read(
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

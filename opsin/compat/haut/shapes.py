"""The shapes of what the Haut API answers, as JSON schemas for its description."""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
UUID: Schema = {"type": "string", "format": "uuid"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
OBJECT: Schema = {"type": "object"}
FILE: Schema = {"type": "string", "format": "binary"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_INTEGER: Schema = {"type": ["integer", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(name: str) -> Schema:
    return {"anyOf": [reference(name), {"type": "null"}]}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def of(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def page(name: str) -> Schema:
    """A page of these; `next` and `previous` are addresses."""
    return of(count=INTEGER, next=MAYBE_TEXT, previous=MAYBE_TEXT, results=many(reference(name)))


_ENTRY = of(id=INTEGER, name=TEXT, tech_name=TEXT)
_NAMED = of(id=UUID, name=TEXT)
_TOKENS = {
    "access_token": TEXT,
    "token_access": TEXT | {"description": "The same, for clients that look for it here"},
    "refresh_token": TEXT,
    "expires_in": INTEGER | {"description": "Seconds"},
}
_PROFILE = of(
    metadata=OBJECT,
    full_name=TEXT,
    kyc_enabled=BOOLEAN,
    terms_payment_accepted_at=MAYBE_TIME,
    terms_and_policy_accepted_at=MAYBE_TIME,
    feature_flags=OBJECT,
)
_USER = {"id": MAYBE_INTEGER, "email": TEXT, "username": TEXT}

_WEBHOOK = {
    "id": UUID,
    "url": TEXT,
    "method": {"enum": ["post", "get"]},
    "authorization": {"enum": ["query", "basic", "bearer", None]},
    "authorization_key": MAYBE_TEXT,
    "authorization_value": MAYBE_TEXT,
    "enabled": BOOLEAN,
    "add_survey_answers": BOOLEAN,
    "merge_webhooks": BOOLEAN,
}

SHAPES: Mapping[str, Schema] = {
    "Error": of(
        type={"enum": ["validation_error", "client_error", "server_error"]},
        errors=many(of(code=TEXT, detail=TEXT, attr=MAYBE_TEXT)),
    ),
    "Entry": _ENTRY,
    "SignedIn": of(
        **_USER, company_id=UUID, **_TOKENS, is_verified=BOOLEAN, profile=reference("Person")
    ),
    "Tokens": of(**_TOKENS),
    "Person": _PROFILE,
    "Profile": of(
        user={"anyOf": [of(**_USER, is_verified=BOOLEAN, full_name=TEXT), {"type": "null"}]},
        company=_NAMED,
        company_id=UUID,
        companies=many(_NAMED),
        profile=maybe("Person"),
    ),
    "PrivateToken": of(id=INTEGER, name=TEXT, expiration_time=MAYBE_TIME),
    "NewPrivateToken": of(id=INTEGER, name=TEXT, expiration_time=MAYBE_TIME, data=TEXT),
    "Company": _NAMED,
    "ImageType": of(
        id=INTEGER,
        name=TEXT,
        tech_name=TEXT,
        sides=many(reference("Entry")),
        lights=many(reference("Entry")),
    ),
    "Algorithm": of(
        id=INTEGER,
        version=ANYTHING,
        tech_name=TEXT,
        algorithm_family=of(name=TEXT, tech_name=TEXT),
    ),
    "Dataset": of(
        id=UUID,
        company_id=UUID,
        name=TEXT,
        creation_time=TIME,
        image_type_id=MAYBE_INTEGER,
        image_type=maybe("ImageType"),
        image_type_name=MAYBE_TEXT,
        image_type_tech_name=MAYBE_TEXT,
        expire_images_after_days=MAYBE_INTEGER,
        expire_metadata_after_days=MAYBE_INTEGER,
        clean_images_as_soon_as_ready=BOOLEAN,
        custom_branding=MAYBE_INTEGER,
        connected_applications=many(OBJECT),
    ),
    "ShortDataset": of(id=UUID, name=TEXT, company_id=UUID, creation_time=TIME),
    "Subject": of(
        id=UUID,
        name=TEXT,
        birth_date={"type": ["string", "null"], "format": "date"},
        biological_sex=maybe("Entry"),
        meta=OBJECT,
        author_id=MAYBE_INTEGER,
        creation_time=TIME,
        company=_NAMED,
        dataset=_NAMED,
        promote_image_id={"type": ["string", "null"], "format": "uuid"},
    ),
    "Batch": of(id=UUID, subject_id=UUID, dataset_id=UUID, company_id=UUID, creation_time=TIME),
    "Image": of(
        id=UUID,
        image_batch_id=UUID,
        subject_id=UUID,
        name=TEXT,
        side=maybe("Entry"),
        light=maybe("Entry"),
        image_type=maybe("Entry"),
        side_name=MAYBE_TEXT,
        side_tech_name=MAYBE_TEXT,
        light_name=MAYBE_TEXT,
        light_tech_name=MAYBE_TEXT,
        image_type_name=MAYBE_TEXT,
        image_type_tech_name=MAYBE_TEXT,
        creation_time=TIME,
        quality_score=ANYTHING,
        quality_feedback=ANYTHING,
        quality_result=ANYTHING,
        quality_issues=many(ANYTHING),
        problems=many(ANYTHING),
        stage_number=MAYBE_INTEGER,
        stage_step_number=MAYBE_INTEGER,
        urls=of(original=MAYBE_TEXT),
    ),
    "Application": of(
        id=UUID,
        name=TEXT,
        tech_name=TEXT,
        author_id=MAYBE_INTEGER,
        creation_time=MAYBE_TIME,
        image_type=ANYTHING,
        algorithms_versions=many(OBJECT),
        description=MAYBE_TEXT,
        preview=ANYTHING,
        promote_image_url=MAYBE_TEXT,
        is_enabled=BOOLEAN,
        algorithms_flags=ANYTHING,
    ),
    "Run": of(
        id=UUID,
        application_id=UUID,
        dataset_id=UUID,
        enabled_algorithms=many(INTEGER),
        is_enabled=BOOLEAN,
        creation_time=TIME,
        author_id=MAYBE_INTEGER,
    ),
    "Result": of(
        id=UUID,
        is_ok=BOOLEAN,
        result=ANYTHING,
        image_id=UUID,
        image_type=MAYBE_TEXT,
        creation_time=TEXT,
        application_id=UUID,
        application_name=TEXT,
        application_run_id=UUID,
        application_description=MAYBE_TEXT,
        algorithm_version_id=INTEGER,
        algorithm_family_tech_name=TEXT,
    ),
    "AuxImage": of(
        id=UUID,
        aux_image_type=ANYTHING,
        creation_time=TEXT,
        application_id=UUID,
        application_name=TEXT,
        application_run_id=UUID,
        application_description=MAYBE_TEXT,
        urls=OBJECT,
        results=many(of(algorithm_version_id=INTEGER, result=ANYTHING)),
    ),
    "Smoothed": of(value=INTEGER, algorithm_name=TEXT, algorithm_tech_name=TEXT),
    "Link": of(url=TEXT),
    "Webhook": of(**_WEBHOOK),
    "NewWebhook": of(
        **_WEBHOOK,
        secret_key=MAYBE_TEXT | {"description": "Signs deliveries; told once, when it is made"},
    ),
}

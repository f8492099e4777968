"""Settings of the VISTA API, also by the names in its own documents."""

from typing import Literal

from pydantic import BaseModel, Field

from opsin.settings.fields import CommaList, named


class VistaSettings(BaseModel):
    """What `opsin.compat.vista` is configured by."""

    vista_enabled: bool = Field(
        True,
        validation_alias=named("VISTA_ENABLED", "ML_ANALYSIS_ENABLED"),
        description="serve analyses on the VISTA API; `ML_ANALYSIS_ENABLED`",
    )
    vista_hmac_secret: str | None = Field(
        None,
        validation_alias=named("VISTA_HMAC_SECRET", "ML_CALLBACK_HMAC_SECRET"),
        description="secret that pipelines sign with; `ML_CALLBACK_HMAC_SECRET`",
        repr=False,
    )
    vista_previous_hmac_secret: str | None = Field(
        None,
        validation_alias=named("VISTA_PREVIOUS_HMAC_SECRET", "ML_CALLBACK_HMAC_SECRET_PREVIOUS"),
        description="accepted too, while secrets change; `ML_CALLBACK_HMAC_SECRET_PREVIOUS`",
        repr=False,
    )
    vista_require_hmac: bool = Field(
        True,
        validation_alias=named("VISTA_REQUIRE_HMAC", "ML_PIPELINE_REQUIRE_HMAC"),
        description="whether callbacks must be signed; `ML_PIPELINE_REQUIRE_HMAC`",
    )
    vista_require_timestamped_hmac: bool = Field(
        False, description="refuse signatures over the body alone, which hold no time"
    )
    vista_callback_auth: Literal["hmac", "hmac+user"] = Field(
        "hmac", description="`hmac`: a signature is enough for callbacks; `hmac+user`: both"
    )
    vista_hmac_skew_seconds: int = Field(
        300,
        ge=1,
        validation_alias=named("VISTA_HMAC_SKEW_SECONDS", "ML_HMAC_TIMESTAMP_SKEW_SECONDS"),
        description="how far a signature's time may lie off; `ML_HMAC_TIMESTAMP_SKEW_SECONDS`",
    )
    vista_allowed_models: CommaList = Field(
        (
            "resnet50_classifier",
            "vgg16",
            "inception_v3",
            "efficientnet_b0",
            "demo-model-detcls",
            "yolo_v8",
            "heatmap_generator",
        ),
        validation_alias=named("VISTA_ALLOWED_MODELS", "ML_ALLOWED_MODELS"),
        description="models whose analyses are taken, by name; `ML_ALLOWED_MODELS`",
    )
    vista_max_analyses_per_image: int = Field(
        10,
        ge=1,
        validation_alias=named("VISTA_MAX_ANALYSES_PER_IMAGE", "ML_MAX_ANALYSES_PER_IMAGE"),
        description="analyses that one image may have; `ML_MAX_ANALYSES_PER_IMAGE`",
    )
    vista_max_bulk_annotations: int = Field(
        1000,
        ge=1,
        validation_alias=named("VISTA_MAX_BULK_ANNOTATIONS", "ML_MAX_BULK_ANNOTATIONS"),
        description="annotations in one bulk request; `ML_MAX_BULK_ANNOTATIONS`",
    )
    vista_default_status: Literal["queued", "processing"] = Field(
        "queued",
        validation_alias=named("VISTA_DEFAULT_STATUS", "ML_DEFAULT_STATUS"),
        description="status of a new analysis; `ML_DEFAULT_STATUS`",
    )
    vista_presigned_url_expiry_seconds: int = Field(
        3600,
        ge=1,
        le=7 * 86400,
        validation_alias=named(
            "VISTA_PRESIGNED_URL_EXPIRY_SECONDS", "ML_PRESIGNED_URL_EXPIRY_SECONDS"
        ),
        description="how long addresses of files are good; `ML_PRESIGNED_URL_EXPIRY_SECONDS`",
    )
    vista_max_artifact_bytes: int = Field(
        64 * 2**20, ge=1, description="largest file that a pipeline may upload"
    )
    vista_user_header: str = Field(
        "X-User-Email",
        validation_alias=named("VISTA_USER_HEADER", "X_USER_ID_HEADER"),
        description="header in which a proxy names the user; `X_USER_ID_HEADER`",
    )
    vista_proxy_secret_header: str = Field(
        "X-Proxy-Secret",
        validation_alias=named("VISTA_PROXY_SECRET_HEADER", "X_PROXY_SECRET_HEADER"),
        description="header with the proxy's secret; `X_PROXY_SECRET_HEADER`",
    )
    vista_proxy_shared_secret: str | None = Field(
        None,
        validation_alias=named("VISTA_PROXY_SHARED_SECRET", "PROXY_SHARED_SECRET"),
        description="the proxy's secret; no user header counts without; `PROXY_SHARED_SECRET`",
        repr=False,
    )
    vista_mock_user_email: str = Field(
        "test@example.com",
        validation_alias=named("VISTA_MOCK_USER_EMAIL", "MOCK_USER_EMAIL"),
        description="who everybody is in dev mode; `MOCK_USER_EMAIL`",
    )
    vista_mock_user_groups: tuple[str, ...] = Field(
        (),
        validation_alias=named("VISTA_MOCK_USER_GROUPS", "MOCK_USER_GROUPS_JSON"),
        description="JSON list of groups that are offered in dev mode; `MOCK_USER_GROUPS_JSON`",
    )
    vista_delete_retention_days: int = Field(
        60,
        ge=0,
        validation_alias=named("VISTA_DELETE_RETENTION_DAYS", "IMAGE_DELETE_RETENTION_DAYS"),
        description="days in which an image can be restored; `IMAGE_DELETE_RETENTION_DAYS`",
    )
    vista_delete_reason_min_chars: int = Field(
        10,
        ge=0,
        validation_alias=named("VISTA_DELETE_REASON_MIN_CHARS", "IMAGE_DELETE_REASON_MIN_CHARS"),
        description="shortest reason for a deletion; `IMAGE_DELETE_REASON_MIN_CHARS`",
    )

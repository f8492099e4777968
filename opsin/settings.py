"""The environment, read once into one frozen `Settings`; nothing else reads the environment."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from opsin.core.errors import ConfigurationError


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


def _named(name: str, documented: str) -> AliasChoices:
    """A setting of a legacy API, also under the name that its own documents have for it."""
    return AliasChoices(f"OPSIN_{name}", documented)


class Settings(BaseSettings):
    """Every `OPSIN_*` setting; the field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix="OPSIN_", frozen=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(Path("opsin-data"), description="database, blobs, models and secret")
    database_url: str | None = Field(
        None, description="`sqlite:///path` or `postgresql://...`; default: SQLite in the data dir"
    )
    blob_url: str | None = Field(
        None, description="`file:///path`, `s3://bucket/prefix` or `memory://`; default: data dir"
    )
    s3_endpoint: str | None = Field(None, description="endpoint URL of an S3-compatible store")
    s3_region: str = Field("us-east-1", description="region of the S3 bucket")
    s3_access_key: str | None = Field(None, description="S3 access key id")
    s3_secret_key: str | None = Field(None, description="S3 secret access key", repr=False)
    s3_create_bucket: bool = Field(False, description="create the bucket if it is not there")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str | None = Field(
        None, description="address clients use, for links; default: that of each request"
    )
    auth: Literal["dev", "keys"] = Field(
        "dev", description="`dev`: everyone is the local user, loopback only; `keys`: API keys"
    )
    secret_key: str | None = Field(
        None, description="signs links; default: made once in the data dir", repr=False
    )
    cors_origins: CommaList = Field((), description="origins allowed to call from a browser")

    worker: bool = Field(True, description="run queued analyses inside the server process")
    worker_batch: int = Field(
        512, ge=1, le=10_000, description="most analyses a worker holds; fewer while they are slow"
    )
    lease_seconds: float = Field(
        60, gt=0, description="a worker silent for this long loses its analyses to another"
    )
    max_attempts: int = Field(
        3, ge=1, description="times an analysis is begun before it is FAILED for good"
    )
    poll_seconds: float = Field(
        0.25, gt=0, description="how often another process's changes are looked for"
    )

    engine: Literal["local"] = Field("local", description="where operations run")
    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`")
    queue_limit: int = Field(4096, ge=1, description="items waiting in the engine before 503")
    cpu_threads: int | None = Field(None, ge=1, description="decoding threads; default: all cores")
    device_memory: str | None = Field(
        None, description="what models may take of a device: `12GB`, `80%`; default: see below"
    )
    pinned: CommaList = Field(
        (), description="operations and region finders that are never evicted from memory"
    )
    warm: CommaList = Field(
        (), description="operations and region finders that are loaded at the start"
    )
    picture_cache_bytes: int = Field(
        256 * 2**20, ge=0, description="decoded pictures kept for the next asker; 0 keeps none"
    )
    result_cache_bytes: int = Field(
        64 * 2**20, ge=0, description="results kept in memory beside the database; 0 keeps none"
    )
    models: Path | None = Field(
        None, description="TOML file that says which models serve which operations"
    )
    hub_url: str = Field(
        "https://huggingface.co", description="hub of model repositories, or a mirror of it"
    )
    hub_token: str | None = Field(
        None, description="token for gated and private repositories", repr=False
    )
    offline: bool = Field(False, description="never download model weights")
    disabled_plugins: CommaList = Field((), description="plugins not to load, by name")
    strict_plugins: bool = Field(False, description="a failing plugin stops the start")
    trace_plugins: bool = Field(False, description="log every hook call and what it gave")
    plugin_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description='JSON, by plugin: `{"bbox": {...}}`'
    )

    vector_cache_bytes: int = Field(
        256 * 2**20, ge=0, description="embeddings kept in memory for searches without pgvector"
    )

    max_upload_bytes: int = Field(50 * 2**20, ge=1, description="largest picture accepted")
    max_request_bytes: int = Field(
        64 * 2**20, ge=1, description="largest request body; more is 413 before it is read"
    )
    max_image_pixels: int = Field(100_000_000, ge=1, description="largest width x height")
    max_image_side: int = Field(30_000, ge=1, description="largest width or height")
    max_tasks: int = Field(64, ge=1, description="tasks in one request")
    max_annotations: int = Field(10_000, ge=1, description="annotations in one request")
    fetch_allow: CommaList = Field(
        (), description="hosts, `host:port` or networks that may be fetched though not public"
    )
    fetch_seconds: float = Field(20, gt=0, description="total time for fetching one URL")

    graphql_max_depth: int = Field(16, ge=1, description="nesting of a GraphQL document")
    graphql_max_fields: int = Field(500, ge=1, description="fields, fragments expanded")
    graphql_max_aliases: int = Field(50, ge=1, description="aliases, fragments expanded")
    graphql_max_tokens: int = Field(5_000, ge=1, description="tokens in a GraphQL document")
    graphql_max_breadth: int = Field(
        256, ge=1, description="fields side by side in one selection set, fragments expanded"
    )
    graphql_max_document_bytes: int = Field(
        256 * 2**10, ge=1, description="bytes of a GraphQL document, counted before it is read"
    )
    graphql_max_page: int = Field(10_000, ge=1, description="largest `first` of a connection")
    graphql_max_rows: int = Field(
        1_000_000, ge=1, description="rows that one operation may ask for, all lists together"
    )
    graphql_introspection: bool = Field(True, description="whether clients may read the schema")
    graphql_documents: Path | None = Field(
        None, description="JSON file of trusted documents, which clients ask for by id"
    )
    graphql_trusted_only: bool = Field(
        False, description="serve no other documents than the trusted ones"
    )
    vista_enabled: bool = Field(
        True,
        validation_alias=_named("VISTA_ENABLED", "ML_ANALYSIS_ENABLED"),
        description="serve analyses on the VISTA API; `ML_ANALYSIS_ENABLED`",
    )
    vista_hmac_secret: str | None = Field(
        None,
        validation_alias=_named("VISTA_HMAC_SECRET", "ML_CALLBACK_HMAC_SECRET"),
        description="secret that pipelines sign with; `ML_CALLBACK_HMAC_SECRET`",
        repr=False,
    )
    vista_previous_hmac_secret: str | None = Field(
        None,
        validation_alias=_named("VISTA_PREVIOUS_HMAC_SECRET", "ML_CALLBACK_HMAC_SECRET_PREVIOUS"),
        description="accepted too, while secrets change; `ML_CALLBACK_HMAC_SECRET_PREVIOUS`",
        repr=False,
    )
    vista_require_hmac: bool = Field(
        True,
        validation_alias=_named("VISTA_REQUIRE_HMAC", "ML_PIPELINE_REQUIRE_HMAC"),
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
        validation_alias=_named("VISTA_HMAC_SKEW_SECONDS", "ML_HMAC_TIMESTAMP_SKEW_SECONDS"),
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
        validation_alias=_named("VISTA_ALLOWED_MODELS", "ML_ALLOWED_MODELS"),
        description="models whose analyses are taken, by name; `ML_ALLOWED_MODELS`",
    )
    vista_max_analyses_per_image: int = Field(
        10,
        ge=1,
        validation_alias=_named("VISTA_MAX_ANALYSES_PER_IMAGE", "ML_MAX_ANALYSES_PER_IMAGE"),
        description="analyses that one image may have; `ML_MAX_ANALYSES_PER_IMAGE`",
    )
    vista_max_bulk_annotations: int = Field(
        1000,
        ge=1,
        validation_alias=_named("VISTA_MAX_BULK_ANNOTATIONS", "ML_MAX_BULK_ANNOTATIONS"),
        description="annotations in one bulk request; `ML_MAX_BULK_ANNOTATIONS`",
    )
    vista_default_status: Literal["queued", "processing"] = Field(
        "queued",
        validation_alias=_named("VISTA_DEFAULT_STATUS", "ML_DEFAULT_STATUS"),
        description="status of a new analysis; `ML_DEFAULT_STATUS`",
    )
    vista_presigned_url_expiry_seconds: int = Field(
        3600,
        ge=1,
        le=7 * 86400,
        validation_alias=_named(
            "VISTA_PRESIGNED_URL_EXPIRY_SECONDS", "ML_PRESIGNED_URL_EXPIRY_SECONDS"
        ),
        description="how long addresses of files are good; `ML_PRESIGNED_URL_EXPIRY_SECONDS`",
    )
    vista_max_artifact_bytes: int = Field(
        64 * 2**20, ge=1, description="largest file that a pipeline may upload"
    )
    vista_user_header: str = Field(
        "X-User-Email",
        validation_alias=_named("VISTA_USER_HEADER", "X_USER_ID_HEADER"),
        description="header in which a proxy names the user; `X_USER_ID_HEADER`",
    )
    vista_proxy_secret_header: str = Field(
        "X-Proxy-Secret",
        validation_alias=_named("VISTA_PROXY_SECRET_HEADER", "X_PROXY_SECRET_HEADER"),
        description="header with the proxy's secret; `X_PROXY_SECRET_HEADER`",
    )
    vista_proxy_shared_secret: str | None = Field(
        None,
        validation_alias=_named("VISTA_PROXY_SHARED_SECRET", "PROXY_SHARED_SECRET"),
        description="the proxy's secret; no user header counts without; `PROXY_SHARED_SECRET`",
        repr=False,
    )
    vista_mock_user_email: str = Field(
        "test@example.com",
        validation_alias=_named("VISTA_MOCK_USER_EMAIL", "MOCK_USER_EMAIL"),
        description="who everybody is in dev mode; `MOCK_USER_EMAIL`",
    )
    vista_delete_retention_days: int = Field(
        60,
        ge=0,
        validation_alias=_named("VISTA_DELETE_RETENTION_DAYS", "IMAGE_DELETE_RETENTION_DAYS"),
        description="days in which an image can be restored; `IMAGE_DELETE_RETENTION_DAYS`",
    )
    vista_delete_reason_min_chars: int = Field(
        10,
        ge=0,
        validation_alias=_named("VISTA_DELETE_REASON_MIN_CHARS", "IMAGE_DELETE_REASON_MIN_CHARS"),
        description="shortest reason for a deletion; `IMAGE_DELETE_REASON_MIN_CHARS`",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line written"
    )

    @property
    def resolved_database_url(self) -> str:
        if self.database_url:
            return self.database_url
        return f"sqlite:///{(self.data_dir / 'opsin.sqlite3').resolve()}"

    @property
    def resolved_blob_url(self) -> str:
        return self.blob_url or (self.data_dir / "blobs").resolve().as_uri()

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    def check_exposure(self) -> None:
        """Refuse to listen beyond loopback without authentication."""
        if self.auth == "dev" and not _is_loopback(self.host):
            raise ConfigurationError(
                f"OPSIN_AUTH=dev lets everyone in and is allowed on loopback only, not on "
                f"{self.host}: set OPSIN_AUTH=keys and create a key with `opsin keys create NAME`"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_ALIASES = {
    str(alias)
    for field in Settings.model_fields.values()
    if isinstance(field.validation_alias, AliasChoices)
    for alias in field.validation_alias.choices
}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (not None) win, as the command line's options."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "SETTINGS"
        shown = name if name in _ALIASES else f"OPSIN_{name}"
        raise ConfigurationError(f"{shown}: {first['msg']}") from None
    except SettingsError as error:  # a value that must be JSON and is not
        named = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "?")
        raise ConfigurationError(f"OPSIN_{named.upper()} must be JSON") from None


def environment_with(**settings: str | None) -> dict[str, str]:
    """This process's environment for another one, with these settings instead of its own.

    None leaves a setting at its default.
    """
    given = {f"OPSIN_{name.upper()}": value for name, value in settings.items()}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in given}
    return kept | {name: value for name, value in given.items() if value is not None}

"""Settings of the server itself: where it keeps things, what it runs, its limits."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from opsin.settings.fields import CommaList, named


class ServerSettings(BaseModel):
    """What everything but the legacy APIs is configured by."""

    data_dir: Path = Field(Path("opsin-data"), description="database, blobs, models and secret")
    database_url: str | None = Field(
        None, description="`sqlite:///path` or `postgresql://...`; default: SQLite in the data dir"
    )
    database_pool: int = Field(
        16, ge=1, le=200, description="connections to PostgreSQL of each kind that a process keeps"
    )
    blob_url: str | None = Field(
        None, description="`file:///path`, `s3://bucket/prefix` or `memory://`; default: data dir"
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias=named("S3_BUCKET", "S3_BUCKET", "MINIO_BUCKET"),
        description="bucket for blobs, below `opsin/`; made if need be; `OPSIN_BLOB_URL` wins",
    )
    s3_endpoint: str | None = Field(
        None,
        validation_alias=named("S3_ENDPOINT", "S3_ENDPOINT", "MINIO_ENDPOINT"),
        description="endpoint URL, or host and port, of an S3-compatible store",
    )
    s3_public_endpoint: str | None = Field(
        None, description="endpoint URL that clients send files to, where it is another"
    )
    s3_use_ssl: bool = Field(
        False,
        validation_alias=named("S3_USE_SSL", "S3_USE_SSL", "MINIO_USE_SSL"),
        description="whether an endpoint that is only host and port is reached by TLS",
    )
    s3_region: str = Field(
        "us-east-1",
        validation_alias=named("S3_REGION", "S3_REGION", "MINIO_REGION"),
        description="region of the S3 bucket",
    )
    s3_access_key: str | None = Field(
        None,
        validation_alias=named("S3_ACCESS_KEY", "S3_ACCESS_KEY", "MINIO_ACCESS_KEY"),
        description="S3 access key id",
    )
    s3_secret_key: str | None = Field(
        None,
        validation_alias=named("S3_SECRET_KEY", "S3_SECRET_KEY", "MINIO_SECRET_KEY"),
        description="S3 secret access key",
        repr=False,
    )
    s3_create_bucket: bool = Field(False, description="create the bucket if it is not there")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="server processes, and one for queued work; default: all in one process",
    )
    drain_seconds: float = Field(
        20, ge=0, description="at SIGTERM: how long answers that are under way may still take"
    )
    keep_alive_seconds: float = Field(
        5, gt=0, description="how long a connection may be idle; more than a proxy's own, if any"
    )
    body_seconds: float = Field(
        30, gt=0, description="for a request to arrive; a body that goes on coming gets more"
    )
    public_url: str | None = Field(
        None, description="address clients use, for links; default: that of each request"
    )
    trusted_proxies: CommaList = Field(
        (), description="addresses or networks whose `X-Forwarded-For` and `-Proto` are believed"
    )
    auth: Literal["dev", "keys"] = Field(
        "dev", description="`dev`: everyone is the local user, loopback only; `keys`: API keys"
    )
    secret_key: str | None = Field(
        None, description="signs links; default: made once in the data dir", repr=False
    )
    cors_origins: CommaList = Field(
        (),
        validation_alias=named("CORS_ORIGINS", "CORS_ORIGINS", "ALLOWED_ORIGINS"),
        description="origins allowed to call from a browser; `CORS_ORIGINS`, `ALLOWED_ORIGINS`",
    )

    worker: bool = Field(True, description="run queued analyses inside the server process")
    worker_batch: int = Field(
        2048, ge=1, le=10_000, description="most analyses a worker holds; fewer while they are slow"
    )
    lease_seconds: float = Field(
        60, gt=0, description="a worker silent for this long loses its analyses to another"
    )
    max_attempts: int = Field(
        3, ge=1, description="times an analysis is begun before it is FAILED for good"
    )
    stuck_seconds: float = Field(
        900,
        ge=0,
        description="a worker of which nothing comes further for this long ends itself; 0: never",
    )
    poll_seconds: float = Field(
        0.25, gt=0, description="how often another process's changes are looked for"
    )

    engine: str = Field(
        "local",
        pattern=r"^(local|ray|ray://[^\s/]+)$",
        description="where operations run: `local`, `ray` (the cluster here) or `ray://host:10001`",
    )
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

    ray_namespace: str = Field(
        "opsin", min_length=1, description="whose processes of a Ray cluster are shared"
    )
    ray_cpus: float = Field(1, ge=0, description="CPUs that a process for one operation takes")
    ray_gpus: float = Field(
        0.25, ge=0, description="share of a GPU that it takes, where the cluster has any; 0: none"
    )
    ray_replicas: int = Field(4, ge=1, description="most processes that one operation gets")
    ray_idle_seconds: float = Field(
        900, gt=0, description="after so long without work such a process ends"
    )
    ray_load_seconds: float = Field(
        300, gt=0, description="a process that has not loaded its model after so long is ended"
    )
    ray_batch_seconds: float = Field(
        120, gt=0, description="without an answer for so long such a process is ended, and replaced"
    )
    ray_data_dir: Path | None = Field(
        None, description="data dir on the cluster's machines, for the models; default: the same"
    )
    ray_placement: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description='JSON, by operation: `{"caption": {"gpus": 1}}`'
    )

    vector_cache_bytes: int = Field(
        256 * 2**20, ge=0, description="embeddings kept in memory for searches without pgvector"
    )

    max_upload_bytes: int = Field(
        50 * 2**20,
        ge=1,
        validation_alias=named("MAX_UPLOAD_BYTES", "MAX_UPLOAD_BYTES"),
        description="largest picture accepted; `MAX_UPLOAD_BYTES`",
    )
    max_request_bytes: int = Field(
        64 * 2**20,
        ge=1,
        description="largest request body; unless set, at least a picture fits; more is 413 unread",
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
    compat: CommaList | None = Field(
        None, description="legacy APIs that are served, by name; default: all of them"
    )
    record_stateless: bool = Field(
        False, description="make calls that are answered at once stored images with analyses, too"
    )
    record_queue_bytes: int = Field(
        256 * 2**20, ge=1, description="pictures that wait to be recorded; beyond, calls are not"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line written"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="log lines as `key=value`, or each as one JSON object"
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of `/metrics` and `/health` of `opsin worker` and `opsin webhooks`",
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias=named(
            "OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
        description="OpenTelemetry collector (OTLP over HTTP) that traces are sent to",
    )
    audit_days: int | None = Field(
        None, ge=1, le=36_500, description="days that the audit is kept; default: for ever"
    )

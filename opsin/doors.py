"""The legacy APIs that are served here, each made from its own settings."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from opsin import __version__
from opsin.compat.analyze_image_path import PATH as ANALYZE_IMAGE
from opsin.compat.analyze_image_path import analyze_image_route, is_json
from opsin.compat.haut import answers as haut_answers
from opsin.compat.haut.description import describe as describe_haut
from opsin.compat.haut.door import OPEN_BODIES as HAUT_OPEN_BODIES
from opsin.compat.haut.door import PREFIXES as HAUT_PREFIXES
from opsin.compat.haut.door import HautDoor
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import API as HAUT
from opsin.compat.image_embed import answers as image_embed_answers
from opsin.compat.image_embed.description import describe as describe_image_embed
from opsin.compat.image_embed.door import PATHS as IMAGE_EMBED_PATHS
from opsin.compat.image_embed.door import ImageEmbedDoor
from opsin.compat.image_embed.options import ImageEmbedOptions
from opsin.compat.pekat import answers as pekat_answers
from opsin.compat.pekat.description import describe as describe_pekat
from opsin.compat.pekat.door import PATHS as PEKAT_PATHS
from opsin.compat.pekat.door import PekatDoor
from opsin.compat.pekat.options import PekatOptions
from opsin.compat.vista.answers import error_answer
from opsin.compat.vista.api import vista_api, vista_routes
from opsin.compat.vista.description import describe
from opsin.compat.vista.gate import API, PREFIXES
from opsin.compat.vista.headers import secured
from opsin.compat.vista.options import VistaOptions
from opsin.compat.whales import answers as whales_answers
from opsin.compat.whales.description import describe as describe_whales
from opsin.compat.whales.door import BATCH as WHALES_BATCH
from opsin.compat.whales.door import PATHS as WHALES_PATHS
from opsin.compat.whales.door import WhalesDoor
from opsin.compat.whales.options import MODEL_VERSION as WHALES_MODEL_VERSION
from opsin.compat.whales.options import WhalesOptions
from opsin.core.archives import ArchiveLimits
from opsin.core.errors import ConfigurationError
from opsin.core.rate_limits import RateLimit
from opsin.core.use_cases import UseCases
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.plugin import IdentifyCetacean
from opsin.plugins.cetacean.results import IDENTIFY
from opsin.settings import Settings
from opsin.web.error_forms import ErrorForm
from opsin.web.metrics import Documented
from opsin.web.openapi import Described, one_api_routes

_FORM_BYTES = 2**20  # what a form holds beside its file
_HAUT_PAGE = "/api/swagger"
_HAUT_OPEN_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class LegacyApi:
    """One API: its routes, and what holds at its paths before any of its routes is reached."""

    routes: Sequence[BaseRoute]
    name: str = ""
    """As `OPSIN_COMPAT` has it; that of a path of two APIs is its own."""
    error_forms: Mapping[str, ErrorForm] = field(default_factory=dict)
    """How errors look at a path and at all below it."""
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a request at a path and at all below it, where they are not everybody's."""
    described: Sequence[Described] = ()
    """OpenAPI documents for `/docs`."""
    metrics: Documented | None = None
    """Families of `/metrics` that its documents name."""
    pictures: ASGIApp | None = None
    """Answers at the path that two APIs have, where the body is a picture."""
    json: ASGIApp | None = None
    """The same, where the body is JSON."""


def legacy_apis(settings: Settings, use_cases: UseCases) -> list[LegacyApi]:
    """Every API that `OPSIN_COMPAT` names, by default all of them."""
    names = tuple(_DOORS) if settings.compat is None else settings.compat
    unknown = [name for name in names if name not in _DOORS]
    if unknown:
        known = ", ".join(_DOORS)
        raise ConfigurationError(f"OPSIN_COMPAT: there is no API named {unknown[0]}: {known}")
    apis = [
        replace(_DOORS[name](settings, _recorded_as(_CALLED.get(name, name), use_cases)), name=name)
        for name in _DOORS
        if name in names
    ]
    return [*apis, _shared_path(apis)]


def _recorded_as(api: str, use_cases: UseCases) -> UseCases:
    """The use cases for one API, whose calls are recorded under its name."""
    return replace(use_cases, immediate=use_cases.immediate.of_api(api))


def _shared_path(apis: Sequence[LegacyApi]) -> LegacyApi:
    """The path that is PEKAT's and image_embed's, for whichever of them is served."""
    pictures = next((api.pictures for api in apis if api.pictures), None)
    json = next((api.json for api in apis if api.json), None)

    def form(request: Request, error: Exception) -> Response:
        if pictures is None or (json is not None and is_json(request.headers)):
            return image_embed_answers.error_answer(error)
        return pekat_answers.error_answer(error)

    routes = analyze_image_route(pictures=pictures, json=json)
    forms = {ANALYZE_IMAGE: form} if routes else {}
    return LegacyApi(routes, name=ANALYZE_IMAGE.strip("/"), error_forms=forms)


def _vista(settings: Settings, use_cases: UseCases) -> LegacyApi:
    app = vista_api(use_cases, _vista_options(settings))
    return LegacyApi(
        vista_routes(app),
        error_forms=dict.fromkeys(PREFIXES, lambda _, error: secured(error_answer(error))),
        described=[Described("VISTA", lambda: describe(app), API)],
    )


def _vista_options(settings: Settings) -> VistaOptions:
    secrets = (settings.vista_hmac_secret, settings.vista_previous_hmac_secret)
    return VistaOptions(
        is_dev=settings.auth == "dev",
        is_enabled=settings.vista_enabled,
        secrets=tuple(secret for secret in secrets if secret),
        requires_hmac=settings.vista_require_hmac,
        requires_timestamped=settings.vista_require_timestamped_hmac,
        callback_needs_user=settings.vista_callback_auth == "hmac+user",
        skew=timedelta(seconds=settings.vista_hmac_skew_seconds),
        allowed_models=settings.vista_allowed_models,
        max_analyses=settings.vista_max_analyses_per_image,
        max_bulk=settings.vista_max_bulk_annotations,
        starts_processing=settings.vista_default_status == "processing",
        link_expiry=timedelta(seconds=settings.vista_presigned_url_expiry_seconds),
        user_header=settings.vista_user_header,
        proxy_secret_header=settings.vista_proxy_secret_header,
        proxy_secret=settings.vista_proxy_shared_secret,
        mock_user=settings.vista_mock_user_email,
        mock_groups=settings.vista_mock_user_groups,
        public_url=settings.public_url,
        origins=settings.cors_origins,
    )


def _pekat(settings: Settings, use_cases: UseCases) -> LegacyApi:
    door = PekatDoor(use_cases, _pekat_options(settings))
    return LegacyApi(
        door.routes(),
        error_forms=dict.fromkeys(
            PEKAT_PATHS, lambda _request, error: pekat_answers.error_answer(error)
        ),
        described=[Described("PEKAT VISION", describe_pekat)],
        pictures=door.analyze_image,
    )


def _pekat_options(settings: Settings) -> PekatOptions:
    return PekatOptions(
        flow=settings.pekat_flow,
        max_operations=settings.max_tasks,
        api_key=settings.pekat_api_key,
        is_open=settings.auth == "dev" or settings.pekat_open,
        is_processing=settings.pekat_process,
        shares_memory=settings.pekat_shared_memory,
        stop_key=settings.pekat_stop_key,
        # As a service manager does it: what is being answered may end.
        stop=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )


def _image_embed(settings: Settings, use_cases: UseCases) -> LegacyApi:
    door = ImageEmbedDoor(
        use_cases,
        ImageEmbedOptions(
            is_open=settings.auth == "dev" or settings.image_embed_open,
            origins=settings.cors_origins,
            apply_orientation=settings.image_embed_apply_orientation,
            max_tasks=settings.max_tasks,
            max_images=settings.image_embed_max_images,
        ),
    )
    return LegacyApi(
        door.routes(),
        error_forms=dict.fromkeys(
            IMAGE_EMBED_PATHS, lambda _request, error: image_embed_answers.error_answer(error)
        ),
        described=[Described("image_embed", _image_embed_description)],
        json=door.analyze_image,
    )


def _whales(settings: Settings, use_cases: UseCases) -> LegacyApi:
    door = WhalesDoor(use_cases, _whales_options(settings, use_cases))
    most = settings.whales_max_archive_bytes + _FORM_BYTES
    return LegacyApi(
        door.routes(),
        error_forms=dict.fromkeys(
            WHALES_PATHS, lambda _request, error: whales_answers.error_answer(error)
        ),
        body_limits=dict.fromkeys(WHALES_BATCH, most),
        described=[Described("whales", describe_whales)],
        metrics=door.metrics,
    )


def _whales_options(settings: Settings, use_cases: UseCases) -> WhalesOptions:
    pipeline = _pipeline(use_cases)
    version, baseline = settings.whales_model_version, settings.whales_drift_baseline
    if version is None and pipeline is not None and not pipeline.is_default:
        version = pipeline.manifest.name
    if baseline is None and pipeline is not None and pipeline.calibration is not None:
        baseline = pipeline.calibration.mean_positive_score
    limit = None
    if settings.whales_rate_limit:
        limit = RateLimit("whales", settings.whales_rate_limit, settings.whales_rate_seconds)
    return WhalesOptions(
        is_open=settings.auth == "dev" or settings.whales_open,
        origins=settings.cors_origins,
        limit=limit,
        gallery=settings.whales_gallery,
        candidates=settings.whales_candidates,
        mask=settings.whales_mask,
        model_version=version or WHALES_MODEL_VERSION,
        baseline=baseline,
        archive=ArchiveLimits(
            entries=settings.whales_max_archive_entries,
            unpacked_bytes=settings.whales_max_unpacked_bytes,
            ratio=settings.whales_max_archive_ratio,
        ),
        max_picture_bytes=settings.max_upload_bytes,
    )


def _pipeline(use_cases: UseCases) -> Pipeline | None:
    """What whales are identified with; None where the plugin is switched off."""
    registered = use_cases.host.operations.get(IDENTIFY)
    operation = None if registered is None else registered.operation
    return operation.pipeline if isinstance(operation, IdentifyCetacean) else None


def _haut(settings: Settings, use_cases: UseCases) -> LegacyApi:
    door = HautDoor(use_cases, _haut_options(settings))
    described = Described("Haut.AI", describe_haut)
    limits = dict.fromkeys(HAUT_OPEN_BODIES, min(_HAUT_OPEN_BYTES, settings.request_limit))
    if "max_request_bytes" not in settings.model_fields_set:
        # Pictures come as base64 text.
        most = settings.max_upload_bytes // 3 * 4 + _FORM_BYTES
        limits[HAUT] = max(settings.request_limit, most)
    return LegacyApi(
        [*one_api_routes(_HAUT_PAGE, __version__, described), *door.routes()],
        error_forms=dict.fromkeys(
            HAUT_PREFIXES, lambda _request, error: haut_answers.error_answer(error)
        ),
        body_limits=limits,
        described=[described],
    )


def _haut_options(settings: Settings) -> HautOptions:
    return HautOptions(
        origins=settings.cors_origins,
        public_url=settings.public_url,
        max_picture_bytes=settings.max_upload_bytes,
        page_size=settings.haut_page_size,
    )


def _image_embed_description() -> dict[str, Any]:
    """With the path that it has together with another API."""
    document = describe_image_embed()
    document["paths"][ANALYZE_IMAGE] = document["paths"][f"{ANALYZE_IMAGE}/"]
    return document


_CALLED = {"haut": "Haut.AI", "pekat": "PEKAT VISION", "vista": "VISTA"}
"""APIs whose own name is another than that in the settings."""

_DOORS: Mapping[str, Callable[[Settings, UseCases], LegacyApi]] = {
    # Before VISTA, which would answer for all below `/api`.
    "haut": _haut,
    "vista": _vista,
    "pekat": _pekat,
    "image_embed": _image_embed,
    "whales": _whales,
}

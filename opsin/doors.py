"""The legacy APIs that are served here, each made from its own settings."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from starlette.routing import BaseRoute

from opsin.compat.vista.api import vista_routes
from opsin.compat.vista.options import VistaOptions
from opsin.core.errors import ConfigurationError
from opsin.core.use_cases import UseCases
from opsin.settings import Settings


def legacy_routes(settings: Settings, use_cases: UseCases) -> list[BaseRoute]:
    """The routes of every API that `OPSIN_COMPAT` names, by default of all of them."""
    names = tuple(_DOORS) if settings.compat is None else settings.compat
    unknown = [name for name in names if name not in _DOORS]
    if unknown:
        known = ", ".join(_DOORS)
        raise ConfigurationError(f"OPSIN_COMPAT: there is no API named {unknown[0]}: {known}")
    return [
        route for name in _DOORS if name in names for route in _DOORS[name](settings, use_cases)
    ]


def _vista(settings: Settings, use_cases: UseCases) -> list[BaseRoute]:
    return vista_routes(use_cases, _vista_options(settings))


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
        public_url=settings.public_url,
    )


_DOORS: Mapping[str, Callable[[Settings, UseCases], list[BaseRoute]]] = {"vista": _vista}

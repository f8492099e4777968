"""Every setting in one frozen `Settings`."""

import ipaddress
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from opsin.core.errors import ConfigurationError
from opsin.settings.haut import HautSettings
from opsin.settings.image_embed import ImageEmbedSettings
from opsin.settings.pekat import PekatSettings
from opsin.settings.server import ServerSettings
from opsin.settings.sign_in import SignInSettings
from opsin.settings.vista import VistaSettings
from opsin.settings.webhooks import WebhookSettings
from opsin.settings.whales import WhalesSettings

_FORM_BYTES = 2**20  # what a form holds beside its file


# The documentation's order is the reverse of the bases'.
class Settings(
    HautSettings,
    WhalesSettings,
    ImageEmbedSettings,
    PekatSettings,
    VistaSettings,
    WebhookSettings,
    SignInSettings,
    ServerSettings,
    BaseSettings,
):
    """Every `OPSIN_*` setting; the field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix="OPSIN_", frozen=True, extra="ignore", populate_by_name=True
    )

    @property
    def resolved_database_url(self) -> str:
        if self.database_url:
            return self.database_url
        return f"sqlite:///{(self.data_dir / 'opsin.sqlite3').resolve()}"

    @property
    def resolved_blob_url(self) -> str:
        if self.blob_url:
            return self.blob_url
        if self.s3_bucket:
            return f"s3://{self.s3_bucket}/opsin"  # others may keep things in it, too
        return (self.data_dir / "blobs").resolve().as_uri()

    @property
    def resolved_s3_endpoint(self) -> str | None:
        if self.s3_endpoint is None or "://" in self.s3_endpoint:
            return self.s3_endpoint
        return f"{'https' if self.s3_use_ssl else 'http'}://{self.s3_endpoint}"

    @property
    def creates_bucket(self) -> bool:
        """Whether the bucket is made where it is not there."""
        return self.s3_create_bucket or (self.s3_bucket is not None and not self.blob_url)

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def request_limit(self) -> int:
        """Bytes of a request: what is set, or enough for the largest picture in a form."""
        if "max_request_bytes" in self.model_fields_set:
            return self.max_request_bytes
        return max(self.max_request_bytes, self.max_upload_bytes + _FORM_BYTES)

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

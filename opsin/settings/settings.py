"""Every setting in one frozen `Settings`."""

import ipaddress
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from opsin.core.errors import ConfigurationError
from opsin.settings.server import ServerSettings
from opsin.settings.vista import VistaSettings


# The documentation's order is the reverse of the bases'.
class Settings(VistaSettings, ServerSettings, BaseSettings):
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

"""Settings: read once, frozen, refused by name, never listening beyond loopback unguarded."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from opsin.app import create_app
from opsin.core.errors import ConfigurationError
from opsin.settings import Settings, load_settings


def test_everything_lives_in_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/opsin.sqlite3"
    assert settings.resolved_blob_url == f"file://{tmp_path}/blobs"


def test_the_environment_is_read_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSIN_PORT", "9000")
    monkeypatch.setenv("OPSIN_HOST", "127.0.0.2")
    monkeypatch.setenv("OPSIN_FETCH_ALLOW", "a.example, 10.0.0.0/8,")
    monkeypatch.setenv("OPSIN_PLUGIN_OPTIONS", '{"bbox": {"person_score_threshold": 0.5}}')
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "127.0.0.2")
    assert settings.fetch_allow == ("a.example", "10.0.0.0/8")
    assert settings.plugin_options["bbox"] == {"person_score_threshold": 0.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("AUTH", "none"), ("LEASE_SECONDS", "-1"), ("PLUGIN_OPTIONS", "{")],
)
def test_a_bad_value_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"OPSIN_{name}", value)
    with pytest.raises(ConfigurationError, match=f"OPSIN_{name}"):
        load_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]  # the point of the test


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(secret_key="s3cr3t", s3_secret_key="hush", hub_token="hf_x"))
    assert not any(secret in shown for secret in ("s3cr3t", "hush", "hf_x"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_dev_mode_stays_on_loopback(host: str) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_AUTH=keys"):
        Settings(host=host).check_exposure()
    Settings(host=host, auth="keys").check_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_needs_no_keys(host: str) -> None:
    Settings(host=host).check_exposure()


def test_only_known_apis_are_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no API named vist: .*vista"):
        create_app(Settings(data_dir=tmp_path, compat=("vist",)))


def test_an_api_can_be_left_out(tmp_path: Path) -> None:
    def paths(settings: Settings) -> set[str]:
        return {getattr(route, "path", "") for route in create_app(settings).routes}

    assert "/api" in paths(Settings(data_dir=tmp_path))
    assert "/api" not in paths(Settings(data_dir=tmp_path, compat=()))

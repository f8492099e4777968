"""Settings: read once, frozen, refused by name, never listening beyond loopback unguarded."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from opsin.app import create_app
from opsin.core.errors import ConfigurationError
from opsin.settings import DOCUMENTED_NAMES, Settings, environment_with, load_settings, misspelt


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


def test_documented_names_are_read_where_ours_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    documented = {
        "ML_ANALYSIS_ENABLED": "false",
        "ML_CALLBACK_HMAC_SECRET": "s3cr3t",
        "ML_ALLOWED_MODELS": "yolo_v8, resnet50",
        "ML_MAX_ANALYSES_PER_IMAGE": "3",
        "ML_MAX_BULK_ANNOTATIONS": "20",
        "ML_DEFAULT_STATUS": "processing",
        "ML_PIPELINE_REQUIRE_HMAC": "false",
        "ML_HMAC_TIMESTAMP_SKEW_SECONDS": "60",
        "ML_PRESIGNED_URL_EXPIRY_SECONDS": "900",
        "MOCK_USER_EMAIL": "joe@example.org",
        "MOCK_USER_GROUPS_JSON": '["whales", "seals"]',
        "PROXY_SHARED_SECRET": "hush",
        "X_USER_ID_HEADER": "X-Who",
        "X_PROXY_SECRET_HEADER": "X-How",
        "CORS_ORIGINS": "http://localhost:3000, http://localhost:5173",
        "MAX_UPLOAD_BYTES": "1000",
        "IMAGE_DELETE_RETENTION_DAYS": "7",
        "IMAGE_DELETE_REASON_MIN_CHARS": "4",
        "S3_BUCKET": "data-storage",
        "S3_ENDPOINT": "localhost:9000",
        "S3_USE_SSL": "true",
        "S3_REGION": "eu-north-1",
        "S3_ACCESS_KEY": "minioadmin",
        "S3_SECRET_KEY": "minioadminpassword",
    }
    for name, value in documented.items():
        assert name in DOCUMENTED_NAMES
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert not settings.vista_enabled and not settings.vista_require_hmac
    assert settings.vista_hmac_secret == "s3cr3t"
    assert settings.vista_allowed_models == ("yolo_v8", "resnet50")
    assert (settings.vista_max_analyses_per_image, settings.vista_max_bulk_annotations) == (3, 20)
    assert settings.vista_default_status == "processing"
    assert settings.vista_hmac_skew_seconds == 60
    assert settings.vista_presigned_url_expiry_seconds == 900
    assert settings.vista_mock_user_email == "joe@example.org"
    assert settings.vista_mock_user_groups == ("whales", "seals")
    assert settings.vista_proxy_shared_secret == "hush"
    assert (settings.vista_user_header, settings.vista_proxy_secret_header) == ("X-Who", "X-How")
    assert settings.cors_origins == ("http://localhost:3000", "http://localhost:5173")
    assert settings.max_upload_bytes == 1000
    assert settings.vista_delete_retention_days == 7
    assert settings.vista_delete_reason_min_chars == 4
    assert settings.resolved_blob_url == "s3://data-storage/opsin" and settings.creates_bucket
    assert settings.resolved_s3_endpoint == "https://localhost:9000"
    assert (settings.s3_region, settings.s3_access_key) == ("eu-north-1", "minioadmin")
    assert settings.s3_secret_key == "minioadminpassword"
    monkeypatch.setenv("OPSIN_MAX_UPLOAD_BYTES", "2000")
    monkeypatch.setenv("OPSIN_BLOB_URL", "memory://")
    ours = load_settings()
    assert ours.max_upload_bytes == 2000
    assert ours.resolved_blob_url == "memory://" and not ours.creates_bucket


def test_names_of_many_programs_mean_nothing_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/theirs")
    monkeypatch.setenv("DEBUG", "true")
    settings = load_settings(data_dir=tmp_path, auth="keys")
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/opsin.sqlite3"
    assert settings.auth == "keys"


def test_a_bad_value_is_told_by_the_name_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MAX_BULK_ANNOTATIONS", "many")
    with pytest.raises(ConfigurationError, match=r"^ML_MAX_BULK_ANNOTATIONS: "):
        load_settings()


def test_another_process_gets_what_it_is_given_by_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "elsewhere")
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "5")
    environment = environment_with(s3_bucket=None, max_upload_bytes="7")
    assert "S3_BUCKET" not in environment and "MAX_UPLOAD_BYTES" not in environment
    assert environment["OPSIN_MAX_UPLOAD_BYTES"] == "7"


def test_the_largest_picture_fits_into_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().request_limit == 64 * 2**20
    monkeypatch.setenv("MAX_UPLOAD_BYTES", str(2**30))
    assert load_settings().request_limit > 2**30
    monkeypatch.setenv("OPSIN_MAX_REQUEST_BYTES", "1000")
    assert load_settings().request_limit == 1000


def test_a_misspelt_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSIN_PRT", "9000")
    monkeypatch.setenv("OPSIN_VISTA_ENABLD", "false")
    for name in ("OPSIN_URL", "OPSIN_API_KEY", "OPSIN_PORT"):
        monkeypatch.setenv(name, "1")
    found = dict(misspelt())
    assert found == {"OPSIN_PRT": "OPSIN_PORT", "OPSIN_VISTA_ENABLD": "OPSIN_VISTA_ENABLED"}

"""`opsin doctor`: all well, and each thing that is not, told with what to do."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from opsin.assembly.checkup import check_up, connections_of, needed_extras
from opsin.core.checkup import Finding, Verdict
from opsin.core.checkup.database import look_at_database
from opsin.core.checkup.machine import look_at_disk, look_at_extras, look_at_port
from opsin.core.checkup.stores import look_at_blobs
from opsin.core.checkup.work import look_at_work
from opsin.settings import Settings
from opsin.storage.blobs import open_blob_store
from opsin.storage.database import Database, connect_without_pool, database_url
from tests.cli.command import NO_BUILTINS, opsin
from tests.conftest import serve
from tests.graphql.asking import queued

PORT = {"port": "0", "device": "cpu"}
"""Without torch, which takes seconds to import."""


async def all_of(findings: Any) -> list[Finding]:
    return [one async for one in findings]


def of(findings: list[Finding], verdict: Verdict) -> list[Finding]:
    return [one for one in findings if one.verdict is verdict]


def one_about(findings: list[Finding], words: str) -> Finding:
    (found,) = [one for one in findings if words in one.text]
    assert (found.advice is None) == (found.verdict is Verdict.OK)
    return found


def test_a_fresh_folder_is_well_and_stays_empty(tmp_path: Path) -> None:
    ended = opsin("doctor", "--json", cwd=tmp_path, settings=NO_BUILTINS | PORT)
    told = ended.json()
    assert (ended.code, told["ok"]) == (0, True), told
    assert {one["verdict"] for one in told["findings"]} == {"ok"}
    parts = {one["part"] for one in told["findings"]}
    assert parts >= {"versions", "settings", "data", "disk", "extras", "database", "blobs"}
    assert not list(tmp_path.glob("opsin-data*"))


async def test_a_running_server_is_well_and_seen(settings: Settings) -> None:
    disabled = tuple(NO_BUILTINS["disabled_plugins"].split(","))
    settings = settings.model_copy(update={"disabled_plugins": disabled, "device": "cpu"})
    (settings.data_dir / "blobs").mkdir(parents=True)  # as after the first picture
    async with serve(settings) as live:
        changes = {"port": live.port}
        heard: list[Finding] = []
        findings = await check_up(settings.model_copy(update=changes), heard.extend)
    assert heard == findings
    assert {one.verdict for one in findings} == {Verdict.OK}, findings
    one_about(findings, f"answers on 127.0.0.1 port {live.port}")
    one_about(findings, "every index is there")
    one_about(findings, "written, read and deleted")


def test_what_does_not_work_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "opsin-data").mkdir()
    (tmp_path / "opsin-data" / "opsin.sqlite3").write_bytes(b"no database at all" * 100)
    settings = NO_BUILTINS | PORT | {"host": "0.0.0.0", "auth": "dev", "lease_second": "3"}
    ended = opsin("doctor", "--json", cwd=tmp_path, settings=settings)
    assert ended.code == 1
    findings = ended.json()["findings"]
    failed = {one["part"] for one in findings if one["verdict"] == "failed"}
    assert failed == {"database", "settings"}
    assert any("OPSIN_LEASE_SECOND is no setting" in one["text"] for one in findings)
    assert all(one["advice"] for one in findings if one["verdict"] != "ok")


async def test_a_database_at_its_newest_is_well(any_database_url: str) -> None:
    database = Database(any_database_url, pool_size=1)
    try:
        findings = await all_of(look_at_database(database, 1))
    finally:
        await database.close()
    assert of(findings, Verdict.FAILED) == []
    one_about(findings, "its tables are those of this version")
    one_about(findings, "every index is there")


async def test_a_database_that_lacks_something_is_told_of(any_database_url: str) -> None:
    engine = connect_without_pool(database_url(any_database_url))
    async with engine.begin() as connection:
        await connection.execute(text("DROP INDEX ix_analyses_image_id_id"))
    database = Database(any_database_url, pool_size=1)
    try:
        found = one_about(await all_of(look_at_database(database, 1)), "indexes are missing")
        assert found.verdict is Verdict.FAILED and "ix_analyses_image_id_id" in found.text
        async with engine.begin() as connection:
            await connection.execute(text("CREATE INDEX ix_analyses_image_id_id ON analyses (id)"))
            await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        found = one_about(await all_of(look_at_database(database, 1)), "its tables are at 0001")
        assert (found.verdict, found.advice) == (Verdict.FAILED, "opsin db upgrade")
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        found = one_about(await all_of(look_at_database(database, 1)), "of a newer version")
        assert found.verdict is Verdict.FAILED
    finally:
        await database.close()
        await engine.dispose()


@pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)
async def test_postgresql_s_clock_connections_and_other_nodes(any_database_url: str) -> None:
    database = Database(any_database_url, pool_size=1, name="opsin 9.9.9")
    other = connect_without_pool(database_url(any_database_url))
    try:
        findings = await all_of(look_at_database(database, 1))
        assert one_about(findings, "its clock and ours differ").verdict is Verdict.OK
        assert "9.9.9" in one_about(findings, "all that are connected run").text
        assert one_about(findings, "connections are in use").verdict is Verdict.OK
        async with other.connect() as connection:
            await connection.execute(text("SET application_name = 'opsin 0.0.1'"))
            findings = await all_of(look_at_database(database, 100_000))
        crowded = one_about(findings, "connections are in use")
        assert crowded.advice is not None and "OPSIN_DATABASE_POOL" in crowded.advice
        assert "0.0.1" in one_about(findings, "different versions are connected").text
    finally:
        await other.dispose()
        await database.close()


async def test_work_that_nobody_does_is_told_of(settings: Settings) -> None:
    async with serve(settings) as live:
        analysis = await queued(live)
        database = Database(settings.resolved_database_url, pool_size=1)
        try:
            findings = await all_of(look_at_work(database, asks_for_keys=True))
            assert one_about(findings, "1 analyses wait").verdict is Verdict.OK
            assert one_about(findings, "there is no API key").advice == "opsin keys create NAME"
            ago = datetime.now(UTC) - timedelta(hours=1)
            async with database.write() as transaction:
                await transaction.connection.execute(
                    text("UPDATE analyses SET created_at = :ago WHERE id = :id"),
                    {"ago": ago.strftime("%Y-%m-%d %H:%M:%S.%f"), "id": analysis},
                )
                await transaction.connection.execute(
                    text("UPDATE events SET created_at = :ahead"),
                    {"ahead": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:%M:%S.%f}"},
                )
            findings = await all_of(look_at_work(database, asks_for_keys=False))
            waiting = one_about(findings, "1 analyses wait")
            assert waiting.verdict is Verdict.WARNING and "60 minutes" in waiting.text
            assert one_about(findings, "ahead of this machine's clock").part == "clock"
        finally:
            await database.close()


async def test_blobs_are_tried_out_and_nothing_stays(tmp_path: Path) -> None:
    store = open_blob_store((tmp_path / "blobs").as_uri())
    (finding,) = await all_of(look_at_blobs(store, "files"))
    assert finding.verdict is Verdict.OK
    assert [stat async for stat in store.list()] == []


async def test_a_store_that_is_not_there_is_told_with_its_advice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "blob_url": "s3://bucket",
        "s3_endpoint": "http://127.0.0.1:9",
        "s3_access_key": "id",
        "s3_secret_key": "canary-secret",
        "device": "cpu",
        "disabled_plugins": tuple(NO_BUILTINS["disabled_plugins"].split(",")),
        "port": 0,
    }
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    findings = await check_up(settings.model_copy(update=changes), lambda _: None)
    (found,) = of(findings, Verdict.FAILED)
    assert found.part == "blobs" and found.advice is not None
    assert "OPSIN_S3_ENDPOINT" in found.advice
    assert "canary" not in str(findings)


async def test_a_port_that_another_has_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (finding,) = await all_of(look_at_port("127.0.0.1", taken.getsockname()[1]))
    assert finding.verdict is Verdict.FAILED and "in use" in finding.text


async def test_a_full_disk_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for least, verdict in ((0, Verdict.OK), (10**18, Verdict.FAILED)):
        monkeypatch.setattr("opsin.core.checkup.machine._LEAST_BYTES", least)
        monkeypatch.setattr("opsin.core.checkup.machine._LITTLE_BYTES", least)
        (finding,) = await all_of(look_at_disk({"it": tmp_path / "not" / "there", "b": tmp_path}))
        assert finding.verdict is verdict


async def test_extras_that_settings_need() -> None:
    settings = Settings(
        database_url="postgresql://a/b", otlp_endpoint="http://c:4318", blob_url="s3://bucket"
    )
    assert needed_extras(settings).keys() == {"postgres", "s3", "telemetry"}
    found = await all_of(look_at_extras({"ray": "OPSIN_ENGINE"}))
    assert of(found, Verdict.FAILED) == []  # it is installed where tests run


async def test_a_missing_extra_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsin.core.checkup.machine.EXTRAS", {"ray": "no_such_package"})
    found = of(await all_of(look_at_extras({"ray": "OPSIN_ENGINE"})), Verdict.FAILED)
    assert [one.advice for one in found] == ["pip install 'opsin[ray]'"]


async def test_a_device_that_is_not_there(settings: Settings) -> None:
    changes = {
        "device": "cuda:99",
        "port": 0,
        "disabled_plugins": tuple(NO_BUILTINS["disabled_plugins"].split(",")),
    }
    findings = await check_up(settings.model_copy(update=changes), lambda _: None)
    (found,) = of(findings, Verdict.FAILED)
    assert (found.part, found.advice) == ("device", "set OPSIN_DEVICE")


def test_connections_grow_with_the_processes() -> None:
    one = connections_of(Settings(database_pool=4))
    assert connections_of(Settings(database_pool=4, workers=3)) == 4 * one


def test_missing_weights_are_told_once_with_their_command(tmp_path: Path) -> None:
    told = opsin("doctor", "--json", cwd=tmp_path, settings=PORT).json()
    lacking = [one for one in told["findings"] if one["part"] == "models"]
    assert {one["verdict"] for one in lacking} == {"warning"} and told["ok"]
    (clip,) = [one for one in lacking if "clip-vit-base-patch32" in one["text"]]
    assert clip["advice"] == "opsin models pull clip-vit-base-patch32"
    assert "embed_clip_vit_b_32" in clip["text"] and "classify_zero_shot" in clip["text"]

"""`opsin export`: the file that the server would give, from the server's machine."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.settings import Settings
from tests.cli.command import NO_BUILTINS, OPSIN, environment, opsin
from tests.core.exports.stored import FINDINGS, Stored, store_many
from tests.graphql.asking import NO_SUCH_ID


@pytest.fixture
async def stored(tmp_path: Path) -> Stored:
    """What the data directory of the commands holds."""
    settings = Settings(data_dir=tmp_path / "opsin-data", worker=False)
    async with assemble(settings).running() as parts:
        local = await parts.use_cases.access.local()
        made = await store_many(parts, local, 6000)
        target = await parts.use_cases.exports.find(local, TargetKind.DATASET, made.dataset_id)
        (tmp_path / "expected.ndjson").write_bytes(
            b"".join([c async for c in parts.use_cases.exports.stream(target, ExportFormat.NDJSON)])
        )
    return made


def test_to_stdout_and_to_files(tmp_path: Path, stored: Stored) -> None:
    expected = (tmp_path / "expected.ndjson").read_text("utf-8")
    printed = opsin("export", stored.dataset_id, "--format", "ndjson", cwd=tmp_path)
    assert (printed.code, printed.out, printed.err) == (ExitCode.OK, expected, "")
    for name in ("a.ndjson", "a.ndjson.gz"):
        ended = opsin("export", stored.dataset_id, "--format", "NDJSON", "-o", name, cwd=tmp_path)
        assert (ended.code, ended.out) == (ExitCode.OK, "")
        assert ended.complaint.startswith(f"{name}: ")
        content = (tmp_path / name).read_bytes()
        assert (gzip.decompress(content) if name.endswith(".gz") else content).decode() == expected
    assert not list(tmp_path.glob(".*.part"))


def test_an_image_an_analysis_and_filters(tmp_path: Path, stored: Stored) -> None:
    image = opsin("export", stored.images[1].id, cwd=tmp_path).json()
    assert [one["id"] for one in image["analyses"]] == [one.id for one in stored.analyses[1]]
    analysis = opsin("export", stored.analyses[0][0].id, "--format", "coco", cwd=tmp_path).json()
    assert [one["opsin_id"] for one in analysis["images"]] == [stored.images[0].id]
    chosen = opsin(
        "export", stored.dataset_id, "--format", "csv", "--where", "class_name=cat",
        "--where", "model_name=yolo", cwd=tmp_path,
    )  # fmt: skip
    assert chosen.out.count("\n") == 1 + 2


def test_what_cannot_be_exported(tmp_path: Path, stored: Stored) -> None:
    for arguments, words in (
        ([NO_SUCH_ID], "no dataset, image or analysis"),
        (["nothing"], "no dataset, image or analysis"),
        ([stored.dataset_id, "--format", "xml"], "json, ndjson, csv, coco"),
        ([stored.dataset_id, "--where", "cat"], "NAME=VALUE"),
        ([stored.dataset_id, "--where", "class=cat"], "'class'"),
        ([stored.dataset_id, "--company", "others"], "no company 'others'"),
        ([stored.dataset_id, "--output", "missing/a.json"], "missing/a.json cannot be written"),
    ):
        ended = opsin("export", *arguments, cwd=tmp_path)
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert words in ended.complaint
    opsin("keys", "create", "robot", "--company", "others", cwd=tmp_path)
    ended = opsin("export", stored.dataset_id, "--company", "others", cwd=tmp_path)
    assert ended.code == ExitCode.USAGE and "no dataset" in ended.complaint


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path, stored: Stored) -> None:
    (tmp_path / "a.json").write_text("before")
    assert opsin("export", NO_SUCH_ID, "-o", "a.json", cwd=tmp_path).code == ExitCode.USAGE
    assert (tmp_path / "a.json").read_text() == "before"
    assert opsin("export", stored.dataset_id, "-o", "a.json", cwd=tmp_path).code == ExitCode.OK
    found = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert len(found["images"][0]["analyses"][2]["annotations"]) == 2000
    assert len(found["images"][0]["analyses"][0]["annotations"]) == len(FINDINGS)


def test_a_reader_that_has_enough(tmp_path: Path, stored: Stored) -> None:
    process = subprocess.Popen(
        [*OPSIN, "export", stored.dataset_id, "--format", "ndjson"],
        cwd=tmp_path,
        env=environment(tmp_path, NO_BUILTINS),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(10) == b'{"image_id'
    process.stdout.close()
    assert process.wait(60) == ExitCode.FAILED
    assert process.stderr.read() == b""
    process.stderr.close()

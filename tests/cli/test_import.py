"""`opsin import`: what other tools wrote, into the database of this machine, and out again."""

import signal
import sqlite3
import time
from pathlib import Path

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import NO_BUILTINS, opsin, started
from tests.core.imports.making import box, coco


def count(folder: Path, table: str) -> int:
    """Rows that are stored; none before there is a database."""
    path = folder / "opsin-data" / "opsin.sqlite3"
    if not path.is_file():
        return 0
    connection = sqlite3.connect(path)
    try:
        (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found)
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    finally:
        connection.close()


def slow_down(folder: Path, *, after: int) -> None:
    """Have the database take some 20 ms for each image beyond the first `after`."""
    connection = sqlite3.connect(folder / "opsin-data" / "opsin.sqlite3")
    connection.execute(
        f"""CREATE TRIGGER slow AFTER INSERT ON images
            WHEN (SELECT count(*) FROM images) > {after}
            BEGIN
              SELECT count(*) FROM (
                WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000)
                SELECT x FROM n);
            END"""
    )
    connection.close()


def hurry_up(folder: Path) -> None:
    connection = sqlite3.connect(folder / "opsin-data" / "opsin.sqlite3")
    connection.execute("DROP TRIGGER slow")
    connection.close()


def test_in_and_out_and_in_again(tmp_path: Path) -> None:
    source = coco(tmp_path, [box(1), box(2, score=0.5)])
    ended = opsin("import", source, "--dataset", "pets", "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    told = ended.json()
    assert told["images"] == {"new": 2, "known": 0, "missing": 0}
    assert told["annotations"]["types"] == {"bounding_box": 2}
    for form in ("coco", "json", "ndjson"):
        out = f"out.{form if form != 'coco' else 'json'}"
        written = opsin("export", told["dataset"]["id"], "--format", form, "-o", out, cwd=tmp_path)
        assert written.code == ExitCode.OK
        ended = opsin("import", out, "--dataset", f"from {form}", "--json", cwd=tmp_path)
        assert ended.code == ExitCode.OK, ended.err
        assert ended.json()["format"] == form
        assert ended.json()["images"]["new"] == 2 and ended.json()["annotations"]["new"] == 2


def test_what_is_said(tmp_path: Path) -> None:
    source = coco(tmp_path, [box(1), box(9), box(2, bbox=[1, 1, -1, 1])])
    (tmp_path / "images/002.jpg").unlink()
    arguments = ("import", source, "--dataset", "pets", "--model", "by hand", "--version", "1")
    dry = opsin(*arguments, "--dry-run", cwd=tmp_path)
    assert dry.code == ExitCode.FAILED and "images: 1 would be new" in dry.out
    strict = opsin(*arguments, "--strict", cwd=tmp_path)
    assert strict.code == ExitCode.FAILED
    assert strict.err.endswith("nothing was stored, because of --strict\n")
    assert (count(tmp_path, "datasets"), count(tmp_path, "images")) == (0, 0)
    ended = opsin(*arguments, cwd=tmp_path)
    assert ended.code == ExitCode.FAILED
    lines = ended.out.splitlines()
    assert lines[0].startswith("dataset pets (")
    assert lines[1:] == [
        "images: 1 new, 0 known, 1 missing",
        "analyses: 1 new, 0 known",
        "annotations: 1 new (1 bounding_box), 0 known, 1 refused",
        "note: annotations whose id another one has, kept: 2",
    ]
    missing, refused = ended.err.splitlines()
    assert missing.startswith("missing: instances.json:") and "002.jpg" in missing
    assert refused.startswith("refused: instances.json:")
    assert refused.endswith("its image_id is not among the images")


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    source = coco(tmp_path, [box(1)])
    (tmp_path / "cut.json").write_text(source.read_text()[:100])
    for arguments, words in (
        (["missing.json"], "there is no missing.json"),
        (["cut.json"], "the file ends in the middle"),
        ([source, "--format", "xml"], "coco, yolo, vista, json, ndjson"),
        ([source, "--company", "others"], "no company 'others'"),
        ([source, "--images", "missing"], "there is no missing"),
        ([tmp_path / "images"], "no JSON file, and no data.yaml"),
    ):
        ended = opsin("import", *arguments, "--dataset", "pets", cwd=tmp_path)
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert words in ended.complaint
    assert count(tmp_path, "datasets") == 0


def test_ctrl_c_and_again(tmp_path: Path) -> None:
    """What a broken run has stored is kept, and nothing of it is stored a second time."""
    many = 700
    source = coco(tmp_path, [box(n) for n in range(1, many + 1)], count=many)
    arguments = ("import", source, "--dataset", "pets")
    assert opsin("db", "upgrade", cwd=tmp_path).code == ExitCode.OK
    slow_down(tmp_path, after=1)  # on any machine there is time to break it off
    with started(*arguments, cwd=tmp_path, settings=NO_BUILTINS) as running:
        until = time.monotonic() + 60
        while not count(tmp_path, "images"):
            assert running.process.poll() is None and time.monotonic() < until, running.err
            time.sleep(0.01)
        assert running.stop(signal.SIGINT) == ExitCode.INTERRUPTED, running.err
    hurry_up(tmp_path)
    stored = count(tmp_path, "images")
    assert 0 < stored < many and count(tmp_path, "analyses") == stored
    ended = opsin(*arguments, "--json", cwd=tmp_path, settings=NO_BUILTINS)
    assert ended.code == ExitCode.OK
    assert ended.json()["images"] == {"new": many - stored, "known": stored, "missing": 0}
    assert [count(tmp_path, table) for table in ("images", "analyses", "annotations")] == [many] * 3

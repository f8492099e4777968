"""`opsin caption-folder`: a text file beside each picture, and none is written over."""

from pathlib import Path

import pytest

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import opsin
from tests.pictures import portrait, solid_png, truncated
from tests.plugins.caption.models import blip_folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small captioner."""
    folder = tmp_path_factory.mktemp("captioner")
    models = folder / "models.toml"
    blip_folder(folder)
    models.write_text(f"[describe_image.captioner]\nfolder = '{folder}'\n")
    return {"models": str(models), "device": "cpu"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    (made / "deeper").mkdir(parents=True)
    (made / "a.jpg").write_bytes(portrait())
    (made / "b.v2.PNG").write_bytes(solid_png())
    (made / "c.png").write_bytes(solid_png())
    (made / "c.txt").write_text("written by hand")
    (made / "notes.md").write_text("no picture")
    (made / "deeper" / "d.png").write_bytes(solid_png())
    return made


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))}


def test_captions_are_written_once(folder: Path, settings: dict[str, str]) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        ended = opsin("caption-folder", folder, *arguments, cwd=folder.parent, settings=settings)
        assert ended.err == ""
        return ended.code, ended.out

    assert run() == (ExitCode.OK, "2 captions written, 1 skipped, 0 failed\n")
    found = texts(folder)
    assert list(found) == ["a.txt", "b.v2.txt", "c.txt"]
    assert found["c.txt"] == "written by hand"
    assert found["a.txt"].strip() == found["a.txt"] != ""
    assert run() == (ExitCode.OK, "0 captions written, 3 skipped, 0 failed\n")

    assert run("--force", "--max-length", 4) == (
        ExitCode.OK,
        "3 captions written, 0 skipped, 0 failed\n",
    )
    shorter = texts(folder)
    assert shorter["c.txt"] != "written by hand"
    assert len(shorter["a.txt"]) < len(found["a.txt"])
    assert {path.suffix for path in folder.iterdir() if path.is_file()} == {
        *(".jpg", ".PNG", ".png", ".txt", ".md")
    }


def test_a_picture_that_fails_does_not_stop_the_others(
    folder: Path, settings: dict[str, str]
) -> None:
    (folder / "cut.jpg").write_bytes(truncated(portrait()))
    (folder / "a.png").write_bytes(solid_png())
    ended = opsin("caption-folder", folder, cwd=folder.parent, settings=settings)
    assert ended.code == ExitCode.FAILED
    assert ended.out == "2 captions written, 2 skipped, 1 failed\n"
    assert "a.png: its caption would be that of a.jpg" in ended.err
    assert "cut.jpg: " in ended.err
    assert not (folder / "cut.txt").exists()


def test_what_cannot_be_done(tmp_path: Path) -> None:
    assert opsin("caption-folder", "nowhere", cwd=tmp_path).code == ExitCode.USAGE
    (tmp_path / "a.png").write_bytes(solid_png())
    ended = opsin("caption-folder", ".", cwd=tmp_path)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "opsin models pull blip-image-captioning-large" in ended.complaint

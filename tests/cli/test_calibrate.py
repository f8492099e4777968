"""`opsin calibrate`: a threshold from two folders of pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import NO_BUILTINS, Ended, install_sample_plugin, opsin

TASK = ("--task", "measure_brightness", "--score", "mean")


def grey(folder: Path, *levels: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        Image.fromarray(np.full((9, 8, 3), level, np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bright pictures as positives, but one; dark ones as negatives, but one."""
    install_sample_plugin(tmp_path)
    grey(tmp_path / "pictures" / "positive", 200, 180, 160, 60)
    grey(tmp_path / "pictures" / "negative" / "by night", 20, 40)
    grey(tmp_path / "pictures" / "negative", 100)
    return tmp_path


def run(folder: Path, *more: object) -> Ended:
    return opsin("calibrate", "pictures", *TASK, *more, cwd=folder, settings=NO_BUILTINS)


def test_a_threshold_its_cost_and_its_curve(folder: Path) -> None:
    ended = run(folder, "--recall", "0.75", "--json")
    assert ended.code == ExitCode.OK, ended.err
    found = ended.json()
    assert found["threshold"] == pytest.approx(130)
    assert (found["recall"], found["specificity"], found["precision"]) == (0.75, 1.0, 1.0)
    assert (found["positives"], found["negatives"], found["failed"]) == (4, 3, 0)
    assert found["mean_positive_score"] == pytest.approx(150)
    assert found["area_under_roc"] == pytest.approx(11 / 12)
    assert (found["operation"], found["operation_version"]) == ("measure_brightness", "2")
    assert len(found["curve"]) == 7
    told = run(folder, "--recall", "0.75")
    assert "threshold 130.0" in told.out and "recall 0.7500 of 4 (95 %: " in told.out
    assert "chosen" in told.out


@pytest.mark.parametrize(
    ("goal", "threshold"),
    [((), 50), (("--specificity", 1), 130), (("--precision", 0.8), 50), (("--recall", 0.5), 170)],
)
def test_goals(folder: Path, goal: tuple[object, ...], threshold: float) -> None:
    assert run(folder, *goal, "--json").json()["threshold"] == pytest.approx(threshold)


def test_what_is_found_is_kept(folder: Path) -> None:
    assert run(folder, "--output", "kept.json").code == ExitCode.OK
    kept = json.loads((folder / "kept.json").read_text())
    assert kept["threshold"] == pytest.approx(50)
    assert kept["wanted"] == {"recall": 0.95}
    assert kept["models"] == [] and "curve" not in kept and kept["calibrated_at"]


def test_a_picture_that_cannot_be_scored_is_left_out(folder: Path) -> None:
    (folder / "pictures" / "positive" / "9.png").write_bytes(b"no picture")
    ended = run(folder, "--json")
    assert ended.code == ExitCode.FAILED
    assert "9.png: " in ended.complaint
    assert (ended.json()["positives"], ended.json()["failed"]) == (4, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--recall", 1, "--precision", 1), "exclude each other"),
        (("--score", "depth"), "measure_brightness gives no 'depth'; it gives region, note, mean"),
        (("--score", "label"), "'label' is no number in every result"),
        (("--task", "measure_brightnes"), "did you mean 'measure_brightness'"),
        (("--output", "no/folder.json"), "no/folder.json cannot be written"),
    ],
)
def test_what_cannot_be_done_as_asked(
    folder: Path, arguments: tuple[object, ...], complaint: str
) -> None:
    ended = run(folder, *arguments)
    assert ended.code == ExitCode.USAGE
    assert complaint in ended.complaint


def test_folders_that_are_not_there(folder: Path) -> None:
    for name in ("negative", "by night"):
        for file in (folder / "pictures").rglob(f"{name}/*.png"):
            file.unlink()
    assert "has no pictures in a folder 'negative'" in run(folder).complaint
    ended = opsin("calibrate", "elsewhere", *TASK, cwd=folder, settings=NO_BUILTINS)
    assert (ended.code, ended.complaint) == (
        ExitCode.USAGE, "opsin: there is no folder elsewhere"
    )  # fmt: skip

"""`opsin analyze`: pictures in, results out, each picture's trouble its own."""

import json
from pathlib import Path

import pytest

from opsin.cli.exit_codes import ExitCode
from tests import pictures
from tests.cli.command import NO_BUILTINS, file_server, install, install_sample_plugin, opsin

FACE = "detect_bounding_box:target=prominent_face"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some pictures, and the sample plugin."""
    (tmp_path / "portrait.jpg").write_bytes(pictures.portrait())
    (tmp_path / "red.png").write_bytes(pictures.solid_png(colour=(90, 0, 0)))
    (tmp_path / "cut.jpg").write_bytes(pictures.truncated(pictures.portrait()))
    (tmp_path / "moving.gif").write_bytes(pictures.animated_gif())
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "words.txt").write_text("not a picture")
    install_sample_plugin(tmp_path)
    return tmp_path


def test_the_portrait_has_a_face(folder: Path) -> None:
    ended = opsin("analyze", "portrait.jpg", "--task", FACE, "--json", cwd=folder)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    (image,) = ended.json()["images"]
    assert (image["image"], image["width"], image["height"]) == ("portrait.jpg", 512, 600)
    (outcome,) = image["outcomes"]
    assert (outcome["task_id"], outcome["operation"]) == (FACE, "detect_bounding_box")
    assert (outcome["status"], outcome["error"]) == ("success", None)
    box = outcome["result"]["box"]
    found = [box["x_min"], box["y_min"], box["x_max"], box["y_max"]]
    assert found == pytest.approx([174, 120, 356, 340], abs=3)
    assert "person detector is not available" in outcome["result"]["note"]
    x, y, width, height = outcome["annotations"][0]["data"]["bbox"]
    assert [x, y, x + width, y + height] == found
    assert outcome["provenance"]["models"][0]["name"] == "mtcnn"
    assert not (folder / "opsin-data" / "opsin.sqlite3").exists()


def test_each_picture_has_its_own_trouble(folder: Path) -> None:
    names = ["red.png", "cut.jpg", "nowhere.png", ".", "empty.png", "words.txt", "moving.gif"]
    ended = opsin("analyze", *names, "--task", "measure_brightness", "--json", cwd=folder)
    assert ended.code == ExitCode.FAILED
    assert ended.err == ""
    images = ended.json()["images"]
    assert [image["image"] for image in images] == names
    codes = [image["error"]["code"] if "error" in image else None for image in images]
    expected = [None, "INVALID_IMAGE", "NOT_FOUND", "INVALID_INPUT"]
    assert codes == [*expected, "INVALID_IMAGE", "INVALID_IMAGE", None]
    assert images[0]["outcomes"][0]["result"]["mean"] == pytest.approx(30)
    assert images[0]["outcomes"][0]["provenance"]["plugin"] == "sample"
    assert "directory" in images[3]["error"]["message"]
    assert images[6]["notes"] != []


def test_the_table_says_the_same(folder: Path) -> None:
    tasks = ("--task", "measure_brightness:scale=2", "--task", "measure_brightness:label=broken")
    ended = opsin("analyze", "red.png", "nowhere.png", *tasks, cwd=folder)
    assert ended.code == ExitCode.FAILED
    for text in ("red.png", "32 x 24", "success", "mean: 60", "scale=2", "label=broken"):
        assert text in ended.out
    assert "this cannot be measured" not in ended.out.partition("success")[0]
    assert ended.out.count("error") >= 2
    assert "there is no such file" in ended.out
    assert "Traceback" not in ended.err


def test_skipped_is_not_failed(folder: Path) -> None:
    settings = {
        **NO_BUILTINS,
        "plugin_options": json.dumps({"sample": {"finder": True}}),
    }
    task = "measure_brightness:target=prominent_face,face_context=whole_image"
    ended = opsin("analyze", "red.png", "--task", task, "--json", cwd=folder, settings=settings)
    assert ended.code == ExitCode.OK
    (outcome,) = ended.json()["images"][0]["outcomes"]
    assert (outcome["status"], outcome["result"]) == ("skipped", None)
    assert "No prominent face" in outcome["error"]["message"]


def test_many_pictures_keep_their_order_and_have_everything_run(folder: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(pictures.solid_png(colour=(number, number, number)))
    ended = opsin("analyze", *names, "--json", cwd=folder, settings=NO_BUILTINS)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    outcomes = [one for image in ended.json()["images"] for one in image["outcomes"]]
    assert [one["result"]["mean"] for one in outcomes] == pytest.approx(list(range(60)))
    assert {(one["task_id"], one["target"]) for one in outcomes} == {
        ("measure_brightness", "whole_image")
    }


def test_urls_are_fetched_where_that_is_allowed(folder: Path) -> None:
    with file_server(folder) as url:
        settings = {"fetch_allow": url.removeprefix("http://")}
        urls = (f"{url}/red.png", "http://127.0.0.1:9/red.png")
        arguments = ("analyze", *urls, "--task", "measure_brightness", "--json")
        ended = opsin(*arguments, cwd=folder, settings=settings)
    assert ended.code == ExitCode.FAILED
    allowed, refused = ended.json()["images"]
    assert allowed["outcomes"][0]["status"] == "success"
    assert refused["error"]["code"] == "ADDRESS_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("task", "code", "says"),
    [
        ("measure_brightness:scale=wide", ExitCode.USAGE, "scale: "),
        ("detect_bounding_box", ExitCode.UNAVAILABLE, "opsin models pull fasterrcnn"),
    ],
)
def test_a_task_that_cannot_be_run_is_refused_at_once(
    folder: Path, task: str, code: ExitCode, says: str
) -> None:
    ended = opsin("analyze", "red.png", "--task", task, "--json", cwd=folder)
    assert ended.code == code
    assert ended.out == ""
    assert says in ended.complaint


def test_with_nothing_to_run_it_says_why(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(pictures.solid_png())
    install(tmp_path, "broken", "raise RuntimeError('no luck')")
    ended = opsin("analyze", "red.png", cwd=tmp_path, settings=NO_BUILTINS)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "no plugin provides an operation" in ended.err

"""`opsin operations` and `opsin plugins`: what there is, what is missing, what failed."""

from pathlib import Path

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import install, install_sample_plugin, opsin


def test_operations_as_a_table(tmp_path: Path) -> None:
    ended = opsin("operations", cwd=tmp_path)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    for text in ("detect_bounding_box", "prominent_person (default)", "prominent_face"):
        assert text in ended.out
    assert "opsin models pull fasterrcnn_resnet50_fpn_coco" in ended.out
    assert not (tmp_path / "opsin-data").exists()


def test_operations_as_json(tmp_path: Path) -> None:
    install_sample_plugin(tmp_path)
    ended = opsin("operations", "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    operations = {one["name"]: one for one in ended.json()["operations"]}
    box = operations["detect_bounding_box"]
    available = {one["target"]: one["available"] for one in box["targets"]}
    assert available == {"prominent_person": False, "prominent_face": True}
    reasons = {one["target"]: one["unavailable_reason"] for one in box["targets"]}
    assert reasons["prominent_face"] is None
    assert "opsin models pull" in reasons["prominent_person"]
    assert box["available"] is True
    sample = operations["measure_brightness"]
    assert (sample["version"], sample["plugin"], sample["result_type"]) == (
        "2",
        "sample",
        "Brightness",
    )
    assert "scale" in sample["params_schema"]["properties"]


def test_plugins_and_what_failed_in_them(tmp_path: Path) -> None:
    install_sample_plugin(tmp_path)
    install(tmp_path, "broken", "raise RuntimeError('no luck today')")
    ended = opsin("plugins", "list", "--json", cwd=tmp_path)
    assert ended.code == ExitCode.OK
    document = ended.json()
    plugins = {one["name"]: one for one in document["plugins"]}
    assert [name for name, one in plugins.items() if not one["builtin"]] == ["sample"]
    assert plugins["bbox"]["builtin"] is True
    assert plugins["sample"]["distribution"] == "opsin-sample"
    assert plugins["sample"]["operations"] == ["measure_brightness"]
    assert plugins["sample"]["applications"] == []
    (face_skin,) = plugins["skin"]["applications"]
    assert (face_skin["name"], face_skin["image_type"]) == ("face_skin", None)
    assert set(face_skin["operations"]) == set(plugins["skin"]["operations"])
    (failure,) = document["failures"]
    assert (failure["plugin"], failure["stage"]) == ("broken", "import")
    assert "no luck today" in failure["message"]

    table = opsin("plugins", "list", "--strict", cwd=tmp_path)
    assert table.code == ExitCode.FAILED
    for text in ("bbox", "built in", "measure_brightness", "face_skin", "broken", "RuntimeError"):
        assert text in table.out

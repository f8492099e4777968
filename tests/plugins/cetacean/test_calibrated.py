"""`opsin calibrate` on the gate, and a manifest that uses what it found."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opsin import Item, Params
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.results import SCREEN
from tests.cli.command import opsin
from tests.plugins.cetacean.making import (
    gate,
    load,
    manifest,
    pictures,
    save_embedder,
    save_gate,
)
from tests.plugins.running import results

pytestmark = pytest.mark.timeout(600)


def test_a_threshold_that_the_command_found(tmp_path: Path) -> None:
    save_gate(tmp_path)
    save_embedder(tmp_path)
    file = manifest(tmp_path, gate=gate())
    scored = [
        (results(load(file, SCREEN), [Item(picture, Params())])[0].cetacean_score, picture)
        for picture in pictures(6)
    ]
    scored.sort(key=lambda one: one[0])
    for number, (_, picture) in enumerate(scored):
        kind = "positive" if number >= 3 else "negative"
        (tmp_path / "pictures" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "pictures" / kind / f"{number}.png")
    options = json.dumps({"cetacean": {"manifest": str(file)}})
    ended = opsin(
        "calibrate", "pictures", "--task", SCREEN, "--score", "cetacean_score",
        "--recall", 1, "--output", "gate.json",
        cwd=tmp_path, settings={"plugin_options": options, "device": "cpu"},
    )  # fmt: skip
    assert ended.code == 0, ended.err
    between = float(np.mean([scored[2][0], scored[3][0]]))
    file = manifest(tmp_path, gate=gate(threshold=None, calibration="gate.json"))
    assert Pipeline.read(file).threshold == pytest.approx(between, abs=1e-5)
    runner = load(file, SCREEN)
    found = results(runner, [Item(picture, Params()) for _, picture in scored])
    assert [one.is_cetacean for one in found] == [False] * 3 + [True] * 3

"""docs/cetaceans.md says what the code does: every key of a manifest, and a script that works."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.plugins.cetacean.manifest import Manifest
from opsin.plugins.cetacean.results import EMBED, IDENTIFY
from opsin.plugins.cetacean.stages import (
    Detector,
    Embedder,
    GalleryMatcher,
    Gate,
    OpenSet,
    Prototypes,
    Source,
    Table,
    Taxonomy,
)
from tests.plugins.cetacean.making import CETACEAN

TEXT = (Path(__file__).parents[3] / "docs" / "cetaceans.md").read_text("utf-8")
TABLES: dict[str, type[Table]] = {
    "gate": Gate,
    "detector": Detector,
    "embedder": Embedder,
    "prototypes": Prototypes,
    "gallery": GalleryMatcher,
    "open_set": OpenSet,
    "taxonomy": Taxonomy,
}


def keys_in(section: str) -> list[str]:
    """What the first column of a section's table names."""
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.M)
    return [key for row in rows for key in re.findall(r"`(\w+)`", row)]


def section(heading: str) -> str:
    return re.split(r"^##+ ", TEXT.partition(f"{heading}\n")[2], maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_a_table_is_documented_and_no_other(name: str) -> None:
    assert sorted(keys_in(section(f"### `{name}`"))) == sorted(TABLES[name].model_fields)


def test_every_key_of_a_source_and_every_table_is_documented() -> None:
    assert sorted(keys_in(section("## The manifest"))) == sorted(Source.model_fields)
    assert set(TABLES) - {"open_set"} == set(Manifest.model_fields) - {"name"}


def test_examples_are_manifests() -> None:
    examples = [tomllib.loads(one) for one in re.findall(r"```toml\n(.*?)```", TEXT, re.S)]
    assert len(examples) == 2
    merged: dict[str, Any] = {**examples[0], **examples[1]}
    merged["embedder"]["mean"] = tuple(merged["embedder"]["mean"])
    merged["embedder"]["std"] = tuple(merged["embedder"]["std"])
    manifest = Manifest.model_validate(merged)
    assert manifest.taxonomy.aliases["kiler_whale"] == "killer_whale"


class Hostile:
    def __reduce__(self) -> Any:
        return (print, ("this ran",))


def published(folder: Path, ids: Any) -> list[str]:
    """The files of a training framework: pickles, with more in them than weights."""
    torch.manual_seed(0)
    weights = {
        "model.conv_stem.weight": torch.randn(8, 3, 3, 3),
        "embedding.weight": torch.randn(16, 8),
        "embedding.bias": torch.randn(16),
        "arc.weight": torch.randn(5, 16),
    }
    told = {"state_dict": weights, "epoch": 9, "pytorch-lightning_version": "1.5.9"}
    torch.save(told, folder / "weights.ckpt")
    np.save(folder / "classes.npy", np.array(ids, dtype=object), allow_pickle=True)
    (folder / "species.csv").write_text("individual_id,species\n12e5,beluga\n")
    (script,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    (folder / "convert.py").write_text(script)
    names = ("weights.ckpt", "classes.npy", "species.csv", "converted")
    return [sys.executable, str(folder / "convert.py"), *(str(folder / name) for name in names)]


def test_the_script_converts_what_is_published(tmp_path: Path) -> None:
    command = published(tmp_path, ["0a1e", "12e5", "77b0"])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "4 weights, 3 individuals\n"
    made = tmp_path / "converted"
    assert (made / "individuals.txt").read_text() == "0a1e\n12e5\n77b0\n"
    assert sorted(load_file(made / "embedder.safetensors")) == [
        "embedding.bias", "embedding.weight", "model.conv_stem.weight"
    ]  # fmt: skip
    assert list(load_file(made / "prototypes.safetensors")) == ["arc.weight"]
    # And these are the files that the manifest without any option asks for.
    host = PluginHost.discover([CETACEAN], entry_points=False)
    store = ModelStore(tmp_path / "models", offline=True)
    for name in (EMBED, IDENTIFY):
        for model in host.operation(name).models:
            if model.role != "gate":
                store.install(model, made)
                assert store.reason(model) is None
    assert store.missing(host.operation(EMBED)) is None


def test_the_script_runs_nothing_that_a_file_brings(tmp_path: Path) -> None:
    command = published(tmp_path, ["0a1e", Hostile()])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "builtins.print is not allowed" in done.stderr
    assert "this ran" not in done.stdout
    assert not (tmp_path / "converted").exists()

"""The manifest: what it may say, what is wrong with it by name, and what its versions stand for."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from opsin import Folder, Repository
from opsin.core.contract import Target
from opsin.core.errors import ConfigurationError
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.plugins.cetacean.manifest import DEFAULT, Pipeline
from opsin.plugins.cetacean.results import EMBED, IDENTIFY, SCREEN
from tests.plugins.cetacean.making import (
    CETACEAN,
    discover,
    embedder,
    gate,
    manifest,
    prototypes,
)
from tests.plugins.running import heavy_imports

DETECTOR = {
    "architecture": "ssdlite320_mobilenet_v3_large",
    "model": {"folder": "."},
    "classes": ["background", "whale"],
    "keep": ["whale"],
}


def full(folder: Path, **tables: Any) -> Path:
    told = {"gate": gate(), "detector": DETECTOR, "prototypes": prototypes(), **tables}
    return manifest(folder, **told)


def changed(table: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**table, **more}


def test_the_plugin_is_light() -> None:
    hook = "from opsin.plugins.cetacean.plugin import opsin_operations"
    assert heavy_imports(f"{hook}; list(opsin_operations({{}}))") == []


def test_without_an_option_it_is_the_service_that_everybody_knows(tmp_path: Path) -> None:
    host = PluginHost.discover([CETACEAN], entry_points=False)
    assert host.failures == ()
    assert list(host.operations) == [SCREEN, EMBED, IDENTIFY]
    identify = host.operation(IDENTIFY)
    assert identify.targets == (Target.WHOLE_IMAGE,)
    assert {model.role: model.licence for model in identify.models} == {
        "gate": "MIT", "embedder": "CC-BY-NC-4.0", "prototypes": "CC-BY-NC-4.0"
    }  # fmt: skip
    origins = [model.origin for model in identify.models]
    assert [o.repository for o in origins if isinstance(o, Repository)] == [
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "0x0000dead/ecomarineai-cetacean-effb4",
        "0x0000dead/ecomarineai-cetacean-effb4",
    ]
    stages = Pipeline.read(DEFAULT).manifest
    assert stages.gate is not None and stages.prototypes is not None
    assert stages.gate.threshold == 0.52
    assert len(stages.gate.positive) >= 8 and len(stages.gate.negative) >= 10
    assert (stages.embedder.architecture, stages.embedder.size) == ("tf_efficientnet_b4", 512)
    assert (stages.prototypes.scale, stages.prototypes.active) == (30, 13_837)
    assert stages.prototypes.open_set.min_probability == 0.05
    store = ModelStore(tmp_path, offline=True)
    reason = store.missing(host.operation(EMBED))
    assert reason is not None and "convert it (docs/cetaceans.md)" in reason


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    told = tomllib.loads(DEFAULT.read_text("utf-8"))
    (tmp_path / "other.json").write_text(json.dumps(told))
    one, other = Pipeline.read(DEFAULT), Pipeline.read(tmp_path / "other.json")
    assert one.manifest == other.manifest
    assert one.digest == other.digest


def test_stages_decide_what_is_needed(tmp_path: Path) -> None:
    host = discover(full(tmp_path))
    assert host.failures == ()
    needs = {
        name: ([model.role for model in one.operation.models], one.operation.requires)
        for name, one in host.operations.items()
    }
    assert needs == {
        SCREEN: (["gate"], ("torch", "transformers")),
        EMBED: (["detector", "embedder"], ("torch", "torchvision", "timm")),
        IDENTIFY: (
            ["gate", "detector", "embedder", "prototypes"],
            ("torch", "transformers", "torchvision", "timm"),
        ),
    }
    origins = {model.role: model.origin for model in host.operation(IDENTIFY).models}
    assert origins["prototypes"] == Folder(
        tmp_path, ("prototypes.safetensors", "individuals.txt", "species.csv")
    )
    assert origins["gate"].path == tmp_path / "gate"  # type: ignore[union-attr]  # a Folder
    host = discover(manifest(tmp_path))
    assert [model.role for model in host.operation(IDENTIFY).models] == ["embedder"]


def test_a_repository_with_pins(tmp_path: Path) -> None:
    source: dict[str, Any] = {
        "repository": "somebody/whales",
        "revision": "v1",
        "sha256": {"embedder.safetensors": "ab" * 32},
        "licence": "Apache-2.0",
    }
    host = discover(manifest(tmp_path, embedder=embedder(model=source)))
    (model,) = host.operation(EMBED).models
    assert model.licence == "Apache-2.0"
    assert model.origin == Repository(
        "somebody/whales",
        "v1",
        ("embedder.safetensors",),
        source["sha256"],
    )


def versions(file: Path) -> tuple[str, str, str]:
    pipeline = Pipeline.read(file)
    return (
        pipeline.screening_version,
        pipeline.embedding_version,
        pipeline.identification_version,
    )


@pytest.mark.parametrize(
    ("tables", "which"),
    [
        ({}, (True, True, True)),
        ({"name": "other"}, (True, True, True)),
        ({"embedder": embedder(model={"folder": "elsewhere"})}, (True, True, True)),
        ({"gate": gate(threshold=0.41)}, (False, True, False)),
        ({"gate": gate(positive=["a whale"])}, (False, True, False)),
        ({"detector": changed(DETECTOR, margin=0.1)}, (True, False, False)),
        ({"embedder": embedder(flip=True)}, (True, False, False)),
        ({"prototypes": prototypes(scale=20)}, (True, True, False)),
        ({"gallery": {"combine": "mean"}}, (True, True, False)),
        ({"taxonomy": {"aliases": {"kiler_whale": "killer_whale"}}}, (True, True, False)),
    ],
)
def test_versions_change_with_what_they_stand_for(
    tmp_path: Path, tables: dict[str, Any], which: tuple[bool, bool, bool]
) -> None:
    before = versions(full(tmp_path))
    after = versions(full(tmp_path, **tables))
    assert tuple(one == other for one, other in zip(before, after, strict=True)) == which


# --- what is wrong, by name -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"embedder": None}, "embedder: is needed"),
        ({"matcher": {}}, "matcher: is not known here"),
        ({"name": "a/b"}, "name: String should match pattern"),
        ({"gate": gate(threshold=None)}, "gate: exactly one of threshold and calibration"),
        ({"gate": gate(threshold=1.5)}, "gate.threshold: Input should be less than or equal to 1"),
        ({"gate": gate(threshold="0.5")}, "gate.threshold: Input should be a valid number"),
        ({"gate": gate(positive=[])}, "gate.positive: Tuple should have at least 1 item"),
        ({"gate": gate(negative=["3 whales"])}, "gate: a prompt is given twice"),
        ({"gate": gate(kind="yolo")}, "gate.kind: Input should be 'clip'"),
        ({"gate": gate(model={})}, "gate.model: exactly one of repository and folder"),
        ({"gate": gate(model={"repository": "a/b"})}, "gate.model: revision goes with repository"),
        ({"gate": gate(treshold=1)}, "gate.treshold: is not known here"),
        ({"detector": changed(DETECTOR, keep=["boat"])}, "detector: keep names 'boat'"),
        ({"detector": changed(DETECTOR, keep=["background"])}, "keep names 'background'"),
        ({"detector": changed(DETECTOR, min_size=320)}, "min_size and max_size go together"),
        ({"embedder": embedder(architecture="hf-hub:a/b")}, "embedder.architecture: String should"),
        ({"embedder": embedder(architecture=None)}, "embedder: architecture goes with source timm"),
        ({"embedder": embedder(file="../secret.safetensors")}, "embedder.file: String should"),
        ({"embedder": embedder(size=4)}, "embedder.size."),
        ({"embedder": embedder(size=[64, 9000])}, "height and width must be from 8 to 2048"),
        ({"embedder": embedder(resize="crop", size=[64, 96])}, "resize crop needs a square size"),
        ({"embedder": embedder(short_side=80)}, "short_side goes with resize crop"),
        ({"embedder": embedder(resize="crop", short_side=40)}, "and is not below size"),
        ({"embedder": embedder(std=[1, 0, 1])}, "embedder.std: must be above 0"),
        ({"embedder": embedder(pooling="model", stages=[1])}, "stages goes with source timm and"),
        ({"embedder": embedder(pooling="cls")}, "pooling cls goes with source transformers"),
        ({"embedder": embedder(neck=["relu"])}, "embedder.neck.0: Input should be"),
        ({"embedder": embedder(gem_power="learnt")}, "embedder.gem_power."),
        ({"prototypes": prototypes(sub_centres=0)}, "prototypes.sub_centres: Input should be"),
        ({"prototypes": prototypes(open_set={"min_cosine": 2})}, "prototypes.open_set.min_cosine"),
        ({"gallery": {"nearest": 3}}, "gallery: nearest goes with combine mean"),
        ({"gallery": {"prototypes_weight": 0.5}}, "gallery.prototypes_weight needs the table"),
    ],
)
def test_what_is_wrong_is_said_by_name(
    tmp_path: Path, tables: dict[str, Any], complaint: str
) -> None:
    (failure,) = discover(manifest(tmp_path, **tables)).failures
    assert failure.stage == "hook:opsin_operations"
    assert failure.message.startswith("cetacean: manifest manifest.json: ")
    assert complaint in failure.message


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("m.toml", "name = ", "Invalid value"),
        ("m.toml", "name = 2020-01-01", "not JSON serializable"),
        ("m.toml", "name = 'a'\n[embedder]\nsize = nan", "embedder"),
        ("m.json", "[", "Expecting value"),
        ("m.json", "[]", "Input should be an object"),
        ("m.toml", b"\xff\xfe", "can't decode"),
    ],
)
def test_a_file_that_is_no_manifest(
    tmp_path: Path, name: str, text: str | bytes, complaint: str
) -> None:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError, match=rf"manifest {name}: .*{complaint}"):
        Pipeline.read(file)


@pytest.mark.parametrize("value", [None, 3, "", ["a"]])
def test_the_option_is_a_path(value: Any) -> None:
    options = {"cetacean": {"manifest": value}}
    (failure,) = PluginHost.discover([CETACEAN], entry_points=False, options=options).failures
    assert failure.message == "cetacean: manifest must be the path of a file"


def test_options_that_do_not_exist_and_files_that_are_not_there(tmp_path: Path) -> None:
    for options, complaint in (
        ({"manifesto": "a"}, "cetacean has no option 'manifesto'; it has 'manifest'"),
        ({"manifest": str(tmp_path / "gone.toml")}, "gone.toml: No such file or directory"),
    ):
        host = PluginHost.discover([CETACEAN], entry_points=False, options={"cetacean": options})
        (failure,) = host.failures
        assert complaint in failure.message

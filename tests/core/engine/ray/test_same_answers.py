"""The built-in operations answer the same in this process and in a cluster, by settings alone."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from opsin.assembly import build_engine, discover_plugins, open_models
from opsin.core.engine import Engine, TaskStatus, make_task
from opsin.core.plugin_host import PluginHost
from opsin.settings import Settings
from tests.chaos.forms import long_form
from tests.core.engine.ray.local_cluster import LocalCluster
from tests.pictures import portrait
from tests.plugins.caption.models import blip_folder
from tests.plugins.published import clip_folder, dino_v2_folder

SMALL = {
    "embed_clip_vit_b_32": {},
    "perceptual_hash": {},
    "image_quality": {"target": "prominent_face", "face_context": "whole_image"},
}
FACE = {"target": "prominent_face", "face_context": "whole_image"}
LARGE: dict[str, dict[str, Any]] = {
    **SMALL,
    "classify_zero_shot": {"labels": ["a cat", "a portrait"]},
    "embed_dino_v2": {},
    "describe_image": {},
    "dominant_colors": {},
    "saliency": {},
    "face_areas": {"face_context": "whole_image"},
    "skin_redness": {"face_context": "whole_image"},
    "skin_wrinkles": {"face_context": "whole_image"},
    "detect_bounding_box": FACE,
}
MakeSettings = Callable[..., Settings]


@pytest.fixture
def made(tmp_path: Path) -> MakeSettings:
    """Settings with small checkpoints."""
    clip, dino, blip = (tmp_path / name for name in ("clip", "dinov2", "blip"))
    blip.mkdir()
    clip_folder(clip), dino_v2_folder(dino), blip_folder(blip)
    models = tmp_path / "models.toml"
    folders = {
        "embed_clip_vit_b_32.encoder": clip,
        "classify_zero_shot.encoder": clip,
        "embed_dino_v2.encoder": dino,
        "describe_image.captioner": blip,
    }
    models.write_text("".join(f"[{name}]\nfolder = '{at}'\n" for name, at in folders.items()))

    def make(**chosen: Any) -> Settings:
        return Settings(data_dir=tmp_path, device="cpu", models=models, **chosen)

    return make


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Engine, PluginHost]]:
    host = discover_plugins(settings)
    engine = build_engine(settings, host, open_models(settings, host))
    try:
        yield engine, host
    finally:
        await engine.close()


async def answers(settings: Settings, asked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    async with running(settings) as (engine, host):
        tasks = [make_task(host, name, name, params) for name, params in asked.items()]
        analyzed = await engine.analyze(portrait(), tasks)
        texts = await engine.embed_texts("embed_clip_vit_b_32", ["a portrait", "a whale"])
        places = {one.name: one.replicas for one in engine.statistics()}
    expected = 0 if settings.engine == "local" else 1
    assert [n for n in asked if places[f"operation {n!r}"] != expected] == []
    found = {}
    for outcome in analyzed.outcomes:
        assert outcome.status is TaskStatus.SUCCESS and outcome.result, outcome
        found[outcome.task.task_id] = (
            outcome.result.model_dump(mode="json"),
            outcome.provenance.models,
            [artifact.content for artifact in outcome.result.artifacts()],
        )
    return {**found, "texts": [text.vector for text in texts]}


def assert_alike(one: Any, other: Any, where: str = "") -> None:
    """Equal; numbers to 1e-4, as batches and threads may add them up in another order."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_alike(left, right, f"{where}[{place}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4), where
    else:
        assert one == other, where


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(SMALL, id="some"),
        pytest.param(LARGE, id="all", marks=[pytest.mark.chaos, long_form]),
    ],
)
@pytest.mark.timeout(400)
async def test_built_in_operations(
    made: MakeSettings,
    cluster: LocalCluster,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, dict[str, Any]],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    here = await answers(made(engine="local"), asked)
    everything = {
        name: {"here": False, "cpus": 0.01, "memory": 2**20}
        for name in (*asked, "face_finder", "face_areas")
    }
    there = await answers(
        made(
            engine="ray",
            ray_namespace="same-answers",
            ray_cpus=0.01,
            ray_replicas=1,
            ray_placement=everything,
        ),
        asked,
    )
    assert_alike(here, there)


async def test_nothing_heavy_is_imported_where_it_does_not_run(
    made: MakeSettings, cluster: LocalCluster, tmp_path: Path
) -> None:
    """In a process of its own, for this one has PyTorch already."""
    chosen = {
        "OPSIN_ENGINE": "ray",
        "RAY_ADDRESS": cluster.address,
        "OPSIN_RAY_NAMESPACE": "same-answers",
        "OPSIN_RAY_CPUS": "0.01",
        "OPSIN_DATA_DIR": str(tmp_path),
        "OPSIN_MODELS": str(tmp_path / "models.toml"),
    }
    made()
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **chosen},
    )
    output, _ = await done.communicate()
    assert json.loads(output.decode().splitlines()[-1]) == {"status": "success", "heavy": []}


_CHILD = """
import asyncio, json, sys
from opsin.assembly import build_engine, discover_plugins, open_models
from opsin.core.engine import make_task
from opsin.settings import load_settings
from tests.pictures import portrait

async def main():
    settings = load_settings()
    host = discover_plugins(settings)
    engine = build_engine(settings, host, open_models(settings, host))
    task = make_task(host, "1", "embed_clip_vit_b_32", {})
    analyzed = await engine.analyze(portrait(), [task])
    await engine.close()
    heavy = [name for name in ("ray", "torch", "transformers") if name in sys.modules]
    print(json.dumps({"status": analyzed.outcomes[0].status.value, "heavy": heavy}))

asyncio.run(main())
"""

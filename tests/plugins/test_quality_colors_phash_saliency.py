"""What the operations without a model share: the door, odd pictures, batches, regions, docs."""

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import JsonValue

from opsin import Box, Item, LoadContext, Operation, Params, Picture, Region, Result, Target
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.core.testing import run_operation
from opsin.graphql.schema import reserved_type_names
from opsin.graphql.trial import check_types
from opsin.plugins.bbox.plugin import DetectBoundingBox
from opsin.plugins.colors.plugin import FindDominantColors
from opsin.plugins.phash.plugin import HashPicture
from opsin.plugins.quality.plugin import MeasureImageQuality
from opsin.plugins.saliency.plugin import FindSaliency
from tests.pictures import noise, portrait
from tests.plugins.running import heavy_imports

PLUGINS = ("quality", "colors", "phash", "saliency")
OPERATIONS: list[Operation[Any, Any]] = [
    MeasureImageQuality(),
    FindDominantColors(),
    HashPicture(),
    FindSaliency(),
]
DOCS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)


def person() -> Picture:
    with Image.open(io.BytesIO(portrait())) as image:
        return np.array(image.convert("RGB"))


def plain(height: int, width: int, level: int = 128) -> Picture:
    return np.full((height, width, 3), level, np.uint8)


def pictures() -> dict[str, Picture]:
    """Odd ones and real ones, read-only as the engine hands them over."""
    made = {
        f"noise {w}x{h}": noise(w, h) for w, h in [(1, 1), (2, 2), (3, 3), (3000, 1), (1, 3000)]
    }
    made |= {f"plain {level}": plain(40, 60, level) for level in (0, 1, 128, 255)}
    made |= {"plain 1x1": plain(1, 1), "plain 300x200": plain(300, 200, 77), "portrait": person()}
    made["stripes"] = np.tile(np.array([0, 255], np.uint8), (64, 32))[..., None].repeat(3, axis=2)
    made["crop"] = person()[100:333, 57:200]
    for picture in made.values():
        picture.flags.writeable = False
    return made


PICTURES = pictures()


def numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value


# --- the door -------------------------------------------------------------------------------------


def test_the_plugins_come_through_the_door_and_have_types_in_graphql() -> None:
    host = PluginHost.discover(
        [PluginSource(name, f"opsin.plugins.{name}.plugin", "opsin") for name in PLUGINS],
        entry_points=False,
        reserved_type_names=reserved_type_names(),
        strict=True,
        check_types=check_types,
    )
    assert host.failures == ()
    assert list(host.operations) == [operation.name for operation in OPERATIONS]


def test_the_plugins_are_light() -> None:
    modules = ", ".join(f"opsin.plugins.{name}.plugin" for name in PLUGINS)
    assert heavy_imports(f"import {modules}") == []


@every_operation
def test_nothing_is_needed_to_run_them(operation: Operation[Any, Any]) -> None:
    assert (operation.requires, operation.models, operation.targets) == ((), (), tuple(Target))
    assert not operation.load(LoadContext("cpu")).uses_device


# --- results --------------------------------------------------------------------------------------


@every_operation
@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_has_a_finite_result(operation: Operation[Any, Any], name: str) -> None:
    result = run_operation(operation, PICTURES[name])
    written = json.loads(result.model_dump_json())
    assert all(math.isfinite(number) for number in numbers(written))
    annotations = [annotation.model_dump(mode="json") for annotation in result.annotations()]
    assert all(math.isfinite(number) for number in numbers(json.loads(json.dumps(annotations))))
    read = operation.result.model_validate(written)
    assert read.model_dump() == result.model_dump()


@every_operation
@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_batch_gives_what_each_picture_alone_gives(
    operation: Operation[Any, Any], size: int
) -> None:
    chosen = list(PICTURES.values())[-size:]
    alone = [run_operation(operation, picture) for picture in chosen]
    runner = operation.load(LoadContext("cpu"))
    prepared = [runner.prepare(Item(picture, operation.params())) for picture in chosen]
    assert len({runner.batch_key(p) for p in prepared}) == 1 <= size <= runner.max_batch
    assert list(runner.run(prepared)) == alone  # private parts, such as a heatmap, are compared too


@every_operation
def test_a_region_is_measured_as_a_picture_of_its_own(operation: Operation[Any, Any]) -> None:
    picture, box = PICTURES["portrait"], Box(x_min=174, y_min=119, x_max=355, y_max=340)
    inside = picture[119:340, 174:355]
    target = {"target": Target.PROMINENT_FACE}
    whole = run_operation(operation, inside.copy())
    region = run_operation(operation, picture, target, region=box)
    assert region.region == box
    moved = ("region", "peak", "focus_box")  # where it lies, tested in test_saliency.py
    assert {n: v for n, v in region.model_dump().items() if n not in moved} == {
        n: v for n, v in whole.model_dump().items() if n not in moved
    }
    # No region found: the whole picture, without a box to count from.
    item = Item(inside, operation.params(), Target.PROMINENT_PERSON, None)
    runner = operation.load(LoadContext("cpu"))
    assert runner.run([runner.prepare(item)])[0] == whole
    item = Item(inside, operation.params(), Target.PROMINENT_FACE, Region(box, 1.0))
    assert isinstance(runner.run([runner.prepare(item)])[0], Result)


# --- the documentation ----------------------------------------------------------------------------


def section(operation: Operation[Any, Any]) -> str:
    found = re.search(rf"^## `{operation.name}`\n(.*?)(?=^## |\Z)", DOCS, re.M | re.S)
    assert found, f"docs/operations.md has no section for {operation.name}"
    return found[1]


@pytest.mark.parametrize("operation", [DetectBoundingBox(), *OPERATIONS], ids=lambda o: o.name)
def test_params_and_results_are_documented(operation: Operation[Any, Any]) -> None:
    text = section(operation)
    params = operation.params.model_fields.keys() - Params.model_fields.keys()
    results = operation.result.model_fields.keys() - Result.model_fields.keys()
    names = {*params, *results, operation.result.__name__}
    assert sorted(name for name in names if f"`{name}`" not in text) == []
    for name in params:
        default = re.escape(str(operation.params.model_fields[name].default))
        assert re.search(rf"^\| `{name}` \|.* {default} \|", text, re.M), name


@every_operation
def test_annotations_and_artifacts_are_documented(operation: Operation[Any, Any]) -> None:
    result = run_operation(operation, PICTURES["portrait"])
    names = {annotation.annotation_type for annotation in result.annotations()}
    names |= {artifact.name for artifact in result.artifacts()}
    assert sorted(name for name in names if f"`{name}`" not in section(operation)) == []

"""Describe image as a plugin: its door, its params, and the way through a server."""

import base64
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from opsin import Acceleration, Precision
from opsin.core.errors import OperationUnavailable
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.plugins.caption.plugin import Caption, CaptionParams, DescribeImage
from opsin.settings import Settings
from tests.conftest import serve
from tests.pictures import encoded
from tests.plugins.caption.writing import captions, item, pictures, runner_of
from tests.plugins.running import heavy_imports

pytestmark = pytest.mark.timeout(600)

PLUGIN = PluginSource("caption", "opsin.plugins.caption.plugin", "opsin")


def test_the_plugin_is_light() -> None:
    assert heavy_imports("import opsin.plugins.caption.plugin") == []


def test_the_plugin_comes_through_the_door() -> None:
    host = PluginHost.discover([PLUGIN], entry_points=False)
    assert host.failures == ()
    assert list(host.operations) == ["describe_image"]


def test_it_is_never_compiled(tmp_path: Path) -> None:
    """Every token of a caption is another shape."""
    file = tmp_path / "models.toml"
    file.write_text("[acceleration]\nprecision = 'bfloat16'\ncompile = true\n")
    how = ModelConfiguration.read(file).acceleration_of(DescribeImage())
    assert how == Acceleration(Precision.BFLOAT16)


def test_missing_weights_come_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        OperationUnavailable, match=r"opsin models pull blip-image-captioning-large$"
    ):
        ModelStore(tmp_path).context(DescribeImage(), "cpu")


@pytest.mark.parametrize(
    ("asked", "length"), [({}, 50), (1, 1), (512, 512), (0, 1), (-3, 1), (513, 512), (10**6, 512)]
)
def test_the_length_is_brought_into_its_bounds(asked: Any, length: int) -> None:
    given = {} if asked == {} else {"max_length": asked}
    assert CaptionParams.model_validate(given).max_length == length


@pytest.mark.parametrize(
    "params",
    [
        {"max_length": "long"},
        {"prompt": ""},
        {"prompt": "a" * 1001},
        {"num_beams": 0},
        {"num_beams": 9},
    ],
)
def test_params_that_cannot_be_meant_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CaptionParams.model_validate(params)


def test_a_caption_is_an_annotation() -> None:
    (annotation,) = Caption(text="two cats", truncated=False).annotations()
    assert (annotation.annotation_type, annotation.data) == ("caption", {"text": "two cats"})


DESCRIBE = """mutation($picture: String!) { analyzeImage(input: {base64: $picture, tasks: [
  {taskId: "short", run: {describeImage: {maxLength: 6}}},
  {taskId: "none", run: {describeImage: {maxLength: 0, prompt: "ba ki"}}}
]}) { outcomes { status result { ... on Caption { text truncated } } } } }"""
AVAILABLE = """{ operations { name available unavailableReason } }"""


@pytest.fixture
def configured(settings: Settings, blip: Path, tmp_path: Path) -> Settings:
    """The small model in place of the default one."""
    files = sorted(path.name for path in blip.iterdir())
    file = tmp_path / "models.toml"
    file.write_text(f'[describe_image.captioner]\nfolder = "{blip}"\nfiles = {files}\n')
    return settings.model_copy(update={"models": file})


async def test_a_caption_over_graphql(settings: Settings, configured: Settings, blip: Path) -> None:
    (picture,) = pictures(1)
    png = base64.b64encode(encoded(Image.fromarray(picture), "PNG")).decode()
    async with serve(settings) as server:
        told = await server.data(AVAILABLE)
        (state,) = [one for one in told["operations"] if one["name"] == "describe_image"]
        assert not state["available"]
        assert "opsin models pull blip-image-captioning-large" in state["unavailableReason"]
    async with serve(configured) as server:
        told = await server.data(DESCRIBE, picture=png)
    short, none = (outcome["result"] for outcome in told["analyzeImage"]["outcomes"])
    (expected,) = captions(runner_of(blip), item(picture, max_length=6))
    assert short == {"text": expected.text, "truncated": True}
    assert none == {"text": "ba ki", "truncated": True}

"""The plugin as the server finds it, and its operation without a server."""

import numpy as np
import pytest
from opsin_brightness import BrightnessParams, MeasureBrightness

from opsin import Box, Item, LoadContext, Picture, Target
from opsin.core.plugin_host import PluginHost
from opsin.core.testing import run_operation


def grey(level: int) -> Picture:
    return np.full((40, 60, 3), level, np.uint8)


def test_the_server_finds_the_plugin() -> None:
    host = PluginHost.discover([], strict=True)
    assert isinstance(host.operation("measure_brightness"), MeasureBrightness)
    (plugin,) = (plugin for plugin in host.plugins if plugin.name == "brightness")
    assert plugin.distribution == "opsin-brightness"


@pytest.mark.parametrize(("level", "mean"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_the_mean_of_a_grey_picture_is_its_level(level: int, mean: float) -> None:
    result = run_operation(MeasureBrightness(), grey(level))
    assert result.mean == pytest.approx(mean)
    assert result.is_dark == (mean < 0.3)


def test_only_the_region_counts() -> None:
    picture = grey(0)
    picture[10:20, 10:20] = 255
    face = Box(x_min=10, y_min=10, x_max=20, y_max=20)
    params = BrightnessParams(target=Target.PROMINENT_FACE)
    result = run_operation(MeasureBrightness(), picture, params, region=face)
    assert result.mean == pytest.approx(1.0)
    assert result.region == face


def test_the_runner_answers_a_batch_in_order() -> None:
    runner = MeasureBrightness().load(LoadContext("cpu"))
    params = BrightnessParams(dark_below=0.5)
    batch = [runner.prepare(Item(grey(level), params)) for level in (200, 100)]
    assert [result.is_dark for result in runner.run(batch)] == [False, True]


def test_the_finding_is_stored_as_a_classification() -> None:
    (annotation,) = run_operation(MeasureBrightness(), grey(0)).annotations()
    assert (annotation.annotation_type, annotation.class_name) == ("classification", "dark")
    assert annotation.data == {"scores": {"dark": 1.0, "bright": 0.0}}

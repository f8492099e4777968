"""OPSIN_WARM and OPSIN_PINNED: a server that is ready at once, and loads what it was told to."""

import pytest

from opsin.assembly import assemble
from opsin.core.errors import ConfigurationError
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.conftest import serve
from tests.core.given_plugins import given, house_of


async def test_a_server_is_ready_before_its_models_are(settings: Settings) -> None:
    operation = FakeOperation("slow_to_load")
    operation.script.loading.close()
    warm = settings.model_copy(update={"warm": ("slow_to_load",)})
    try:
        async with serve(warm, more_plugins=[given(operation)]) as server:
            await operation.script.loading.arrival()
            assert (await server.client.get("/health")).status_code == 200
            assert operation.script.loads == 1
            operation.script.loading.open()
    finally:
        operation.script.loading.open()
    assert operation.script.closes == 1


async def test_without_the_setting_nothing_is_loaded(settings: Settings) -> None:
    operation = FakeOperation("idle")
    async with serve(settings, more_plugins=[given(operation)]) as server:
        assert (await server.client.get("/health")).status_code == 200
    assert operation.script.loads == 0


@pytest.mark.parametrize("setting", ["warm", "pinned"])
async def test_names_must_be_those_of_something(settings: Settings, setting: str) -> None:
    with pytest.raises(
        ConfigurationError,
        match=f"OPSIN_{setting.upper()}: there is no operation or region finder 'no_such'",
    ):
        assemble(settings.model_copy(update={setting: ("image_quality", "no_such")}))
    # It may be of a plugin that the operator has disabled.
    changes = {setting: ("image_quality", "no_such"), "disabled_plugins": ("colors",)}
    async with house_of(settings, FakeOperation("other_one"), **changes):
        pass

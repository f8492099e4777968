"""Tasks as text: split at the right commas, read by the operation's own params."""

from typing import Any

import pytest

from opsin.cli.task_texts import read_task
from opsin.core.errors import InvalidInput, InvalidParams, TargetNotSupported, UnknownOperation
from opsin.core.plugin_host import PluginHost, PluginSource

HOST = PluginHost.discover([PluginSource("sample", "tests.cli.sample_plugin")], entry_points=False)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("measure_brightness", {}),
        ("measure_brightness:scale=2", {"scale": 2.0}),
        ("measure_brightness:exact=true, scale=0.5", {"exact": True, "scale": 0.5}),
        ("measure_brightness:label=a=b", {"label": "a=b"}),
        ("measure_brightness:label=", {"label": ""}),
        ("measure_brightness:label=a:b", {"label": "a:b"}),
        ("measure_brightness:label=[x]", {"label": "[x]"}),
        ("measure_brightness:weights=[1,0.5,2],scale=3", {"weights": (1, 0.5, 2), "scale": 3}),
        ("measure_brightness:target=whole_image", {"target": "whole_image"}),
    ],
)
def test_params_are_read_by_their_types(text: str, params: dict[str, Any]) -> None:
    task = read_task(HOST, text)
    assert task.operation.name == "measure_brightness"
    assert task.task_id == text
    assert task.params.model_dump(include=set(params)) == params
    assert task.params.model_fields_set == set(params)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("measure_brightnes", UnknownOperation, "did you mean"),
        ("", UnknownOperation, "no operation"),
        ("measure_brightness:", InvalidInput, "'' is not key=value"),
        ("measure_brightness:scale", InvalidInput, "'scale' is not key=value"),
        ("measure_brightness:=1", InvalidInput, "not key=value"),
        ("measure_brightness:scale=1,scale=2", InvalidInput, "'scale' is given twice"),
        ("measure_brightness:scale=wide", InvalidParams, "scale: "),
        ("measure_brightness:depth=1", InvalidParams, "depth: "),
        ("measure_brightness:weights=[1,", InvalidInput, "'weights' is not JSON"),
        ("measure_brightness:weights=[true,{}]", InvalidParams, "weights"),
        ("measure_brightness:target=the_hat", TargetNotSupported, "the_hat"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        read_task(HOST, text)
    assert type(raised.value) is error

"""Networks of transformers with weights of our own: strictly fitted, also on several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from transformers import Dinov2Model, PreTrainedModel

from opsin.core import neural
from opsin.core.neural import UnusableWeights, fit_pretrained
from tests.plugins.published import dino_v2_config


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return dict(Dinov2Model(dino_v2_config()).state_dict())


def test_the_weights_are_those_given(weights: dict[str, torch.Tensor]) -> None:
    halves = {key: tensor.half() for key, tensor in weights.items()}
    config = dino_v2_config(dtype="float16")
    network = fit_pretrained(Dinov2Model, config, halves, "tiny")
    fitted = network.state_dict()
    assert fitted.keys() == weights.keys()
    for key, tensor in halves.items():
        assert fitted[key].dtype == torch.float32
        assert torch.equal(fitted[key], tensor.float())


def test_names_of_published_files_are_known(weights: dict[str, torch.Tensor]) -> None:
    names = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value"}
    published = {}
    for key, tensor in weights.items():
        for ours, theirs in {**names, "attention.o_proj": "attention.output.dense"}.items():
            key = key.replace(ours, theirs)
        published[key] = tensor
    assert published.keys() != weights.keys()
    fitted = fit_pretrained(Dinov2Model, dino_v2_config(), published, "tiny").state_dict()
    assert all(torch.equal(fitted[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layernorm.bias": None}, r"^the weights of 'tiny' do not fit Dinov2Model: layernorm\.bi"),
        ({"more": torch.zeros(1)}, "more is unexpected"),
        ({"layernorm.bias": torch.zeros(1)}, r"layernorm\.bias has another shape"),
        ({str(n): torch.zeros(1) for n in range(9)}, "0 is unexpected, .* and 6 more"),
    ],
    ids=["missing", "unexpected", "misshapen", "many"],
)
def test_weights_that_do_not_fit_are_refused(
    weights: dict[str, torch.Tensor], changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    changed = {key: tensor for key, tensor in {**weights, **changes}.items() if tensor is not None}
    with pytest.raises(UnusableWeights, match=reason):
        fit_pretrained(Dinov2Model, dino_v2_config(), changed, "tiny")


def test_threads_build_one_after_the_other(
    weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers replaces functions of torch, and its own, while it builds a network."""
    inside, most = 0, 0
    counting = threading.Lock()
    build = Dinov2Model.from_pretrained

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        try:
            return build(*args, **more)
        finally:
            with counting:
                inside -= 1

    monkeypatch.setattr(Dinov2Model, "from_pretrained", counted)
    before = PreTrainedModel.tie_weights, torch.linspace, torch.get_default_dtype()
    with ThreadPoolExecutor(4) as threads:
        made = [
            threads.submit(neural.fit_pretrained, Dinov2Model, dino_v2_config(), weights, "tiny")
            for _ in range(12)
        ]
        networks = [one.result() for one in made]
    assert most == 1
    assert before == (PreTrainedModel.tie_weights, torch.linspace, torch.get_default_dtype())
    assert all(torch.equal(n.layernorm.weight, weights["layernorm.weight"]) for n in networks)

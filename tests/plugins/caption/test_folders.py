"""Model folders that cannot be used, or only in part."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from opsin import OperationFailed
from opsin.core.neural import UnusableWeights
from opsin.core.testing import run_operation
from opsin.plugins.caption.plugin import DescribeImage
from opsin.plugins.caption.runner.writing import CaptionRunner
from tests.plugins.caption.models import (
    blip_folder,
    context_of,
    git_folder,
    rewrite,
)
from tests.plugins.caption.writing import captions, item, pictures, runner_of, written

kinds: Any = transformers  # most of it tells no types

pytestmark = pytest.mark.timeout(600)


def changed_weights(folder: Path, change: str) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "text_decoder.bert.embeddings.position_embeddings.weight"
    if change == "missing":
        del weights[name]
    elif change == "unexpected":
        weights["text_decoder.bert.more"] = torch.zeros(1)
    elif change == "misshapen":
        weights[name] = torch.zeros(3, 3)
    elif change == "older":  # with a buffer, and what is one with another tensor twice
        head = "text_decoder.cls.predictions"
        embeddings = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
        weights["text_decoder.bert.embeddings.position_ids"] = torch.arange(64)[None]
        weights[f"{head}.decoder.weight"] = embeddings.clone()
        weights[f"{head}.decoder.bias"] = weights[f"{head}.bias"].clone()
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: str) -> None:
    folder = blip_folder(tmp_path)
    changed_weights(folder, change)
    with pytest.raises(UnusableWeights, match="do not fit BlipForConditionalGeneration: text_dec"):
        runner_of(folder)


def test_older_files_are_read(tmp_path: Path, blip: Path) -> None:
    folder = blip_folder(tmp_path)
    changed_weights(folder, "older")
    (picture,) = pictures(1)
    assert written(runner_of(folder), item(picture)) == written(runner_of(blip), item(picture))


def test_a_model_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    folder = blip_folder(tmp_path)
    kinds.BertConfig(num_hidden_layers=1).save_pretrained(folder)
    with pytest.raises(UnusableWeights, match="family 'bert', which writes no captions"):
        runner_of(folder)


def test_a_way_of_writing_that_is_left_to_chance_or_to_the_hub_is_not_taken(tmp_path: Path) -> None:
    folder = git_folder(tmp_path)
    rewrite(folder, "generation_config.json", do_sample=True, temperature=2.0, top_k=50)
    (picture,) = pictures(1)
    once, again = (captions(runner_of(folder), item(picture)) for _ in range(2))
    assert once == again
    rewrite(folder, "generation_config.json", do_sample=False, penalty_alpha=0.6, top_k=4)
    with pytest.raises(UnusableWeights, match="asks for contrastive search"):
        runner_of(folder)


def test_a_prompt_for_a_model_that_takes_none_is_refused(vit_gpt2: Path) -> None:
    with pytest.raises(OperationFailed, match="takes no prompt"):
        runner_of(vit_gpt2).prepare(item(pictures(1)[0], prompt="ba"))


def test_only_the_files_that_are_asked_for_are_read(tmp_path: Path, blip: Path) -> None:
    folder = blip_folder(tmp_path)
    context = context_of(folder)
    (folder / "special_tokens_map.json").write_text('{"pad_token": "ba"}')
    (folder / "added_tokens.json").write_text('{"ki": 1}')
    (picture,) = pictures(1)
    changed = DescribeImage().load(context)
    assert isinstance(changed, CaptionRunner)
    assert captions(changed, item(picture)) == captions(runner_of(blip), item(picture))


def test_nothing_is_fetched(llava: Path, git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    for folder in (llava, git):
        assert captions(runner_of(folder), item(pictures(1)[0], max_length=8))[0].text


def test_an_operation_is_tried_without_a_server(blip: Path) -> None:
    (picture,) = pictures(1)
    caption = run_operation(DescribeImage(), picture, {"prompt": "ba"}, context=context_of(blip))
    assert caption.text.startswith("ba ")

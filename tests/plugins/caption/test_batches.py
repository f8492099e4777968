"""Captions in batches, cut to a length, and heard while they are written."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from opsin.plugins.caption.plugin import Caption
from tests.plugins.caption.models import blip_folder
from tests.plugins.caption.writing import captions, item, pictures, runner_of, written

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("family", ["blip", "git", "vit_gpt2", "llava"])
def test_a_batch_says_what_each_picture_alone_does(
    request: pytest.FixtureRequest, family: str
) -> None:
    runner = runner_of(request.getfixturevalue(family))
    items = [item(picture, max_length=20) for picture in pictures(8)]
    alone = [captions(runner, one)[0] for one in items]
    assert len({one.text for one in alone}) > 3
    for size in (3, 8):
        assert captions(runner, *items[:size]) == alone[:size]


def test_a_caption_may_end_before_the_others_of_its_batch(tmp_path: Path) -> None:
    runner = runner_of(blip_folder(tmp_path, end_bias=1.5))
    found = captions(runner, *(item(picture, max_length=20) for picture in pictures(8)))
    assert {one.truncated for one in found} == {True, False}
    for one in found:
        assert one.truncated or len(one.text.split()) < 19


def test_only_what_is_asked_alike_shares_a_batch(blip: Path) -> None:
    runner = runner_of(blip)
    (picture,) = pictures(1)

    def key(**params: Any) -> Any:
        return runner.batch_key(runner.prepare(item(picture, **params)))

    ways: list[dict[str, Any]] = [
        {},
        {"max_length": 20},
        {"num_beams": 2},
        {"num_beams": 1},
        {"prompt": "ba"},
    ]
    assert len({key(**way) for way in ways}) == len(ways)
    assert key(prompt="ba") == key(prompt="ki") != key(prompt="ba ki")
    together = captions(runner, item(picture, prompt="ba"), item(picture, prompt="ki"))
    assert together == [captions(runner, item(picture, prompt=p))[0] for p in ("ba", "ki")]


def test_the_length_counts_the_start_and_the_prompt(blip: Path) -> None:
    runner = runner_of(blip)
    (picture,) = pictures(1)
    (longest,) = captions(runner, item(picture))
    (shorter,) = captions(runner, item(picture, max_length=6))
    assert longest.text.split()[:5] == shorter.text.split()
    assert shorter.truncated
    (one,) = captions(runner, item(picture, max_length=1))
    assert one == Caption(text="", truncated=True)
    (prompt,) = captions(runner, item(picture, max_length=3, prompt="ba ki do"))
    assert prompt == Caption(text="ba ki do", truncated=True)
    (more,) = captions(runner, item(picture, max_length=5, prompt="ba ki do"))
    assert more.text.startswith("ba ki do ")
    assert len(more.text.split()) == 4


@pytest.mark.parametrize("family", ["git", "vit_gpt2", "llava"])
def test_a_decoder_is_never_asked_beyond_its_positions(
    request: pytest.FixtureRequest, family: str
) -> None:
    runner = runner_of(request.getfixturevalue(family))
    asked = item(pictures(1)[0], max_length=512)
    (tokens,) = written(runner, asked)
    asking = runner.captioner.asking
    question = 0 if asking.continues else asking.start(runner.prepare(asked).question)
    assert question + len(tokens) <= runner.captioner.positions


@pytest.mark.parametrize("family", ["blip", "git", "llava"])
def test_followers_hear_each_caption_grow(request: pytest.FixtureRequest, family: str) -> None:
    runner = runner_of(request.getfixturevalue(family))
    heard: list[list[str]] = [[], [], []]
    items = [
        item(picture, progress=told.append, max_length=20)
        for picture, told in zip(pictures(3), heard, strict=True)
    ]
    for caption, told in zip(captions(runner, *items), heard, strict=True):
        assert told[-1] == caption.text.rstrip("\ufffd")
        assert len(told) > 2 or len(caption.text) < 3
        for earlier, later in itertools.pairwise(told):
            assert earlier and later != earlier
        if family != "llava":  # whose made-up bytes join to letters
            assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(told))


def test_a_search_with_beams_is_silent_until_its_end(vit_gpt2: Path, blip: Path) -> None:
    heard: list[str] = []
    (picture,) = pictures(1)
    for folder, params in ((vit_gpt2, {}), (blip, {"num_beams": 2})):
        captions(runner_of(folder), item(picture, progress=heard.append, max_length=8, **params))
    assert heard == []
    captions(runner_of(vit_gpt2), item(picture, progress=heard.append, max_length=8, num_beams=1))
    assert heard


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["blip", "git", "vit_gpt2", "llava"])
def test_the_device_writes_what_the_processor_writes(
    request: pytest.FixtureRequest, family: str
) -> None:
    folder: Path = request.getfixturevalue(family)
    items = [item(picture, max_length=20) for picture in pictures(4)]
    expected = captions(runner_of(folder), *items)
    assert captions(runner_of(folder, device="cuda:0"), *items) == expected

"""The families of captioners against transformers itself, token for token."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from opsin import Acceleration, Precision
from tests.plugins.caption.writing import captions, item, pictures, runner_of, written

kinds: Any = transformers  # most of it tells no types

pytestmark = pytest.mark.timeout(600)


def by_blip(folder: Path, image: Image.Image, prompt: str | None, **how: Any) -> Any:
    processor = kinds.BlipProcessor.from_pretrained(folder)
    inputs = processor(images=image, text=prompt, return_tensors="pt")
    return kinds.BlipForConditionalGeneration.from_pretrained(folder).generate(**inputs, **how)


def by_git(folder: Path, image: Image.Image, prompt: str | None, **how: Any) -> Any:
    processor = kinds.AutoProcessor.from_pretrained(folder)
    inputs = {"pixel_values": processor(images=image, return_tensors="pt").pixel_values}
    if prompt is not None:
        words = processor.tokenizer(prompt, add_special_tokens=False).input_ids
        inputs["input_ids"] = torch.tensor([[processor.tokenizer.cls_token_id, *words]])
    return kinds.AutoModelForCausalLM.from_pretrained(folder).generate(**inputs, **how)


def by_vit_gpt2(folder: Path, image: Image.Image, prompt: str | None, **how: Any) -> Any:
    pixels = kinds.ViTImageProcessor.from_pretrained(folder)(images=image, return_tensors="pt")
    return kinds.VisionEncoderDecoderModel.from_pretrained(folder).generate(**pixels, **how)


REFERENCES = {"blip": by_blip, "git": by_git, "vit_gpt2": by_vit_gpt2}


@pytest.mark.parametrize("beams", [None, 1, 3])
@pytest.mark.parametrize(
    ("family", "prompt"),
    [("blip", None), ("blip", "ba ki do"), ("git", None), ("git", "ba ki do"), ("vit_gpt2", None)],
)
def test_tokens_are_those_of_transformers(
    request: pytest.FixtureRequest, family: str, prompt: str | None, beams: int | None
) -> None:
    folder: Path = request.getfixturevalue(family)
    runner = runner_of(folder)
    different = set()
    for picture in pictures(3):
        asked = item(picture, max_length=20, prompt=prompt, num_beams=beams)
        (tokens,) = written(runner, asked)
        how = {} if beams is None else {"num_beams": beams, "early_stopping": beams > 1}
        (expected,) = REFERENCES[family](
            folder, Image.fromarray(picture), prompt, max_length=20, **how
        )
        assert tokens == expected.tolist()
        (caption,) = captions(runner, asked)
        tokenizer = kinds.AutoTokenizer.from_pretrained(folder)
        words = tokenizer.decode(expected, skip_special_tokens=True).split()
        assert caption.text == " ".join(words)
        assert prompt is None or caption.text.startswith(prompt)
        different.add(caption.text)
    assert len(different) > 1


@pytest.mark.parametrize("prompt", [None, "How many?"])
def test_an_instruction_is_answered_as_by_transformers(llava: Path, prompt: str | None) -> None:
    runner = runner_of(llava)
    processor = kinds.AutoProcessor.from_pretrained(llava)
    for picture in pictures(2):
        told = prompt or "Describe what this image shows in one short sentence."
        content = [
            {"type": "image", "image": Image.fromarray(picture)},
            {"type": "text", "text": told},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        model = kinds.LlavaForConditionalGeneration.from_pretrained(llava)
        (expected,) = model.generate(**inputs, max_new_tokens=12)
        (tokens,) = written(runner, item(picture, max_length=12, prompt=prompt))
        assert tokens == expected.tolist()[inputs["input_ids"].shape[1] :]
        assert len(tokens) == 12


@pytest.mark.parametrize("family", ["blip", "git", "vit_gpt2"])
def test_reduced_precision_sees_nearly_the_same(
    request: pytest.FixtureRequest, family: str
) -> None:
    """The first token's scores; further on one word may be another, and then all are."""
    folder: Path = request.getfixturevalue(family)
    faster = Acceleration(precision=Precision.BFLOAT16, channels_last=True)
    scores = []
    for acceleration in (Acceleration(), faster):
        runner = runner_of(folder, acceleration=acceleration)
        prepared = [runner.prepare(item(picture)) for picture in pictures(2)]
        assert all(one.tokens for one in runner.run(prepared))
        with torch.inference_mode():
            written = runner.captioner.network.generate(
                **runner._joined(prepared),
                max_new_tokens=1,
                num_beams=1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        scores.append(written.logits[0].to(torch.float32))
    assert torch.cosine_similarity(scores[0], scores[1], dim=-1).min() > 0.999


def test_threads_ask_while_others_read(blip: Path) -> None:
    runner = runner_of(blip)
    (picture,) = pictures(1)
    words = ["ba ki", "do", "ba ki do ba", "ki"]
    expected = [runner.prepare(item(picture, prompt=word)) for word in words]
    (plain,) = captions(runner, item(picture))
    (tokens,) = written(runner, item(picture))

    def work(number: int) -> bool:
        wanted = expected[number % 4]
        same = runner.prepare(item(picture, prompt=words[number % 4])).question
        reads = runner.captioner.asking.text(tokens)
        return reads == plain.text and all(
            torch.equal(same[name], tensor) for name, tensor in wanted.question.items()
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))

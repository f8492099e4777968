"""Writing captions in batches, and telling followers of each as it grows."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from opsin import Item, Runner
from opsin.core.neural import memory_of
from opsin.plugins.caption.plugin import Caption, CaptionParams
from opsin.plugins.caption.runner.asking import Asking, Question
from opsin.plugins.caption.runner.captioner import Captioner


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """What the model is asked for one item, and who follows its answer."""

    question: Question
    params: CaptionParams
    progress: Callable[[str], None]

    def beginning(self, length: int) -> list[int]:
        """The tokens of the prompt, as many as the model starts from; none without a prompt."""
        tokens = self.question.get("input_ids")
        return [] if tokens is None else tokens[0, :length].tolist()


@dataclass(frozen=True, slots=True)
class Written:
    """The tokens of one caption, those of its beginning first."""

    tokens: list[int]
    ended: bool
    """By the model; otherwise it was cut off."""


class CaptionRunner(Runner[CaptionParams, Caption]):
    """One model, asked for captions of several pictures at a time."""

    max_batch = 8

    def __init__(self, captioner: Captioner) -> None:
        self.captioner = captioner

    def prepare(self, item: Item[CaptionParams]) -> PreparedQuestion:
        question = self.captioner.asking.question(item.picture, item.params.prompt)
        return PreparedQuestion(question, item.params, item.progress)

    def batch_key(self, prepared: PreparedQuestion) -> Hashable:
        # Only questions of equal shapes: padded ones would be answered in other words.
        shapes = tuple((name, tensor.shape) for name, tensor in prepared.question.items())
        params = prepared.params
        return params.max_length, params.num_beams, shapes

    @torch.inference_mode()
    def run(self, batch: Sequence[PreparedQuestion]) -> Sequence[Written]:
        captioner, params = self.captioner, batch[0].params
        asking = captioner.asking
        start = asking.start(batch[0].question)
        # What stands before the first new token begins the caption, and counts, or is the question.
        first, counted = (0, start) if asking.continues else (start, 0)
        room = min(params.max_length - counted, captioner.positions - start)
        if room < 1:
            return [Written(prepared.beginning(start), ended=False) for prepared in batch]
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": room}
        if params.num_beams is not None:
            options |= {"num_beams": params.num_beams, "early_stopping": params.num_beams > 1}
        if (params.num_beams or captioner.num_beams) == 1:
            # A search with beams may still change every word that it has written so far.
            options["stopping_criteria"] = StoppingCriteriaList([_Followers(batch, asking, first)])
        rows = captioner.network.generate(**self._joined(batch), **options).tolist()
        return [Written(row[first:], not captioner.ends.isdisjoint(row[start:])) for row in rows]

    def encode(self, output: Written) -> Caption:
        text = self.captioner.asking.text(output.tokens)
        return Caption(text=text, truncated=not output.ended)

    def memory_bytes(self) -> int:
        return memory_of(self.captioner.network)

    def close(self) -> None:
        del self.captioner

    def _joined(self, batch: Sequence[PreparedQuestion]) -> dict[str, torch.Tensor]:
        device, dtype = self.captioner.device, self.captioner.dtype
        joined = {}
        for name in batch[0].question:
            tensor = torch.cat([prepared.question[name] for prepared in batch])
            joined[name] = tensor.to(device, dtype if tensor.is_floating_point() else None)
        return joined


class _Followers(StoppingCriteria):
    """Stops nothing: sees the tokens of the whole batch at each step, and tells the words."""

    def __init__(self, batch: Sequence[PreparedQuestion], asking: Asking, first: int) -> None:
        self._batch = batch
        self._asking = asking
        self._first = first
        self._told = [""] * len(batch)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        for place, row in enumerate(input_ids[:, self._first :].tolist()):
            # A letter may be of several tokens; until the last has come it is a question mark.
            text = self._asking.text(row).rstrip("\ufffd")
            if text != self._told[place]:
                self._told[place] = text
                self._batch[place].progress(text)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

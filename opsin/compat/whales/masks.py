"""Masks: the animal cut out of its picture, by whichever operation outlines things."""

import asyncio
import base64
import io
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from opsin.core.access import Principal
from opsin.core.contract import Picture, Target
from opsin.core.engine import Task, make_task
from opsin.core.errors import InvalidInput, OpsinError
from opsin.core.exports.masks import Mask, mask_of
from opsin.core.imaging import DecodeOptions, ImageInfo, decode
from opsin.core.immediate import PictureSource
from opsin.core.use_cases import UseCases

log = logging.getLogger(__name__)

NO_MASKS = "none"
_OUTLINES = "segmentation"
_AS_STORED = DecodeOptions(apply_orientation=False)
_COMPRESSION = 1


class Masks:
    """Asks an operation for outlines; a picture without any has no mask."""

    def __init__(self, use_cases: UseCases, operation: str | None) -> None:
        """Raises UnknownOperation, or InvalidInput for an operation that outlines nothing."""
        self._use_cases = use_cases
        self._named: Task | None = None
        self._is_off = operation == NO_MASKS
        if operation is not None and not self._is_off:
            self._named = make_task(use_cases.host, "mask", operation)
            if _OUTLINES not in self._named.operation.result.annotation_types:
                raise InvalidInput(f"{operation} outlines nothing")

    async def of(self, principal: Principal, source: PictureSource, info: ImageInfo) -> str | None:
        """A PNG with transparency where the animal is not, in base64; None without outlines.

        A mask that cannot be made takes nothing from the answer that it belongs to.
        """
        task = self._task()
        if task is None:
            return None
        try:
            analyzed = await self._use_cases.immediate.analyze(
                principal, source, [task], options=_AS_STORED, record=False
            )
            (outcome,) = analyzed.outcomes
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None  # there is no error
            outlines = [
                one.data for one in outcome.result.annotations() if one.annotation_type == _OUTLINES
            ]
            return await asyncio.to_thread(self._cut_out, source, outlines, info)
        except OpsinError as error:
            log.warning("there is no mask: %s", error.message)
            return None

    def _task(self) -> Task | None:
        if self._named is not None or self._is_off:
            return self._named
        availability = self._use_cases.availability
        for registered in self._use_cases.host.operations.values():
            operation = registered.operation
            if _OUTLINES not in operation.result.annotation_types:
                continue
            try:
                task = make_task(self._use_cases.host, "mask", operation.name)
            except InvalidInput:  # it needs params that only an operator can choose
                continue
            # Outlines of a part, such as a face, are none of the animal.
            if task.target is Target.WHOLE_IMAGE and (
                availability.reason(operation, task.target) is None
            ):
                return task
        return None

    def _cut_out(
        self, source: PictureSource, outlines: Sequence[Mapping[str, Any]], info: ImageInfo
    ) -> str | None:
        mask = mask_of(outlines, info.width, info.height)
        if mask is None:
            return None
        given = source.file if source.content is None else source.content
        assert given is not None  # pictures come as files or as bytes here
        picture = decode(given, self._use_cases.answers.limits, _AS_STORED)
        return _encoded(picture.pixels, mask)


def _encoded(pixels: Picture, mask: Mask) -> str:
    alpha = np.where(mask, np.uint8(255), np.uint8(0))
    cut = np.dstack([np.where(mask[..., None], pixels, np.uint8(0)), alpha])
    encoded = io.BytesIO()
    Image.fromarray(cut, "RGBA").save(encoded, "PNG", compress_level=_COMPRESSION)
    return base64.b64encode(encoded.getvalue()).decode()

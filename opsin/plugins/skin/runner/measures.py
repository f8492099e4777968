"""What a measure gives, and how it becomes the result of its operation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from opsin.plugins.skin.results import SkinArea, SkinShape
from opsin.plugins.skin.runner.face import Face


@dataclass(frozen=True, slots=True)
class Measured:
    """Areas with their metrics, `face` first, and where on the face."""

    areas: tuple[SkinArea, ...]
    shapes: tuple[SkinShape, ...] = ()
    feedback: tuple[str, ...] = ()


Measure: TypeAlias = Callable[[Face], Measured]
"""Raises NotShown where the face does not show what is to be measured."""

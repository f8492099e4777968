"""Operations on the machines of a Ray cluster: batches go there, answers come back."""

from opsin.core.engine.ray.order import OpenPlugins
from opsin.core.engine.ray.placement import Placement, Placements
from opsin.core.engine.ray.source import RayOptions, RaySource

__all__ = ["OpenPlugins", "Placement", "Placements", "RayOptions", "RaySource"]

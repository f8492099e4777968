"""Which operations can run here, on which targets, and why not."""

from collections.abc import Sequence
from typing import Any

from opsin.core.contract import ModelRequirement, Operation, Target
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost


class Availability:
    """Looks anew each time it is asked: weights may arrive while the server runs."""

    def __init__(self, host: PluginHost, models: ModelStore) -> None:
        self._host = host
        self._models = models

    def reason(self, operation: Operation[Any, Any], target: Target) -> str | None:
        """Why the operation cannot run on that target, and what to do; None when it can.

        A face needs only the face finder: without a person it is looked for in the whole image.
        """
        if target not in operation.targets:
            return f"{operation.name} has no target {target.value!r}"
        reason = self._models.missing(operation)
        if reason is not None:
            return f"{operation.name} {reason}"
        if target is Target.WHOLE_IMAGE:
            return None
        registered = self._host.finders.get(target)
        if registered is None:
            return f"no plugin finds the region {target.value!r}"
        reason = self._models.missing(registered.finder)
        return f"finding the region {target.value!r} {reason}" if reason else None

    def text_reason(self, operation: str) -> str | None:
        """Why texts cannot be embedded for that operation, and what to do; None when they can."""
        registered = self._host.text_embedders.get(operation)
        if registered is None:
            return f"no plugin embeds texts for the operation {operation!r}"
        reason = self._models.missing(registered.embedder)
        return f"embedding texts for {operation!r} {reason}" if reason else None

    def reasons(self, operation: Operation[Any, Any]) -> dict[Target, str | None]:
        """The reason for each target of the operation."""
        return {target: self.reason(operation, target) for target in operation.targets}

    def models_of(self, operation: Operation[Any, Any]) -> Sequence[ModelRequirement]:
        """The models the operation is configured to use here."""
        return self._models.models_of(operation)

    def any_available(self, operation: Operation[Any, Any]) -> bool:
        """Whether the operation can run on at least one of its targets."""
        return any(self.reason(operation, target) is None for target in operation.targets)

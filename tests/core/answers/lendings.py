"""Notes what is lent to other companies, so that no test has to tell it by the clock."""

import pytest

from opsin.core.answers import asking, lending, needed_inputs
from opsin.core.engine import Provenance


class Lendings:
    """The operations whose results were lent, in the order in which they were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.operations: list[str] = []
        for module in (asking, needed_inputs):
            monkeypatch.setattr(module, "seconds_held_back", self._held_back)

    def _held_back(self, provenance: Provenance) -> float:
        self.operations.append(provenance.operation)
        return lending.seconds_held_back(provenance)

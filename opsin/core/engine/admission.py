"""What is let in: the bound on waiting items, and when a refused caller should come back."""

from opsin.core.errors import Overloaded, TooLarge

_SOONEST, _LATEST = 1.0, 60.0  # seconds a refused caller is told to wait


class Admission:
    """Counts the items that were accepted and have not left yet."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.accepted = 0
        self._seconds_per_item = 0.0

    def enter(self, items: int, running: int) -> None:
        """Let in `items`, while `running` of the accepted ones no longer wait.

        Raises Overloaded, or TooLarge for what would not fit even if nothing else waited.
        """
        if items > self.limit:
            raise TooLarge(f"{items} tasks at once are too many: at most {self.limit} can wait")
        waiting = max(self.accepted - running, 0)
        if waiting + items > self.limit:
            seconds = min(max(waiting * self._seconds_per_item, _SOONEST), _LATEST)
            raise Overloaded("too many pictures are waiting, try again later", round(seconds, 1))
        self.accepted += items

    def leave(self, items: int) -> None:
        self.accepted -= items

    def ran(self, items: int, seconds: float) -> None:
        """A batch took this long: recent ones tell how soon there will be room."""
        self._seconds_per_item += (seconds / items - self._seconds_per_item) / 10

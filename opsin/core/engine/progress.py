"""The text that a runner writes, on its way to the event loop: only the newest matters."""

from collections.abc import Callable

from opsin.core.engine.mailbox import Mailbox


class Progress:
    """What an item's `progress` is: called on any thread, it has `hear` called on the loop.

    A writer that is faster than the loop posts no second message while one is on its way.
    """

    __slots__ = ("_hear", "_is_posted", "_mailbox", "_text")

    def __init__(self, mailbox: Mailbox, hear: Callable[[str], None]) -> None:
        self._mailbox = mailbox
        self._hear = hear
        self._text = ""
        self._is_posted = False

    def __call__(self, text: str) -> None:
        self._text = text
        if not self._is_posted:
            self._is_posted = True
            self._mailbox.post(self._deliver, None)

    def _deliver(self, nothing: None) -> None:
        # Before the text is read: a writer that comes later posts again.
        self._is_posted = False
        self._hear(self._text)

"""New images as they come: server-sent events, and where to go on after a lost connection."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from opsin.client.errors import Unreachable
from opsin.client.pictures import FOLLOW, Model, is_wanted, variables_of
from opsin.client.records import Arrival, Image
from opsin.client.retries import PASSING
from opsin.client.session import Session
from opsin.client.wire import Answer, Request

_log = logging.getLogger("opsin.client")

SILENCE = 45.0
"""Seconds; a server that is there says something every 12."""


class EventFeed:
    """Bytes of a stream in, the events `next` out (the HTML standard's event stream)."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[Any]:
        """The results that these bytes complete, as JSON."""
        *lines, self._rest = (self._rest + received).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line:
                name, _, value = line.decode().partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    self._kind = value
                elif name == "data":
                    self._data.append(value)
                continue
            if self._kind == "next":
                yield json.loads("\n".join(self._data))
            self._kind, self._data = "", []


class Following:
    """Where a follower is; the client connects as often as need be and hands over what it gets."""

    def __init__(
        self, session: Session, project_id: str, after: str | None, without: Model | None
    ) -> None:
        self._session = session
        self._project_id = project_id
        self._without = without
        self._failures = 0
        self._feed = EventFeed()
        self.after = after

    def request(self) -> Request:
        self._feed = EventFeed()
        variables = variables_of(self._project_id, self._without) | {"after": self.after}
        return self._session.following(FOLLOW, variables)

    def received(self, part: bytes) -> Iterator[Arrival]:
        """The new images that these bytes tell of."""
        self._failures = 0
        for result in self._feed.feed(part):
            event: Mapping[str, Any] = self._session.read_graphql(result)["imageEvents"]
            self.after = event["cursor"]
            node = event["image"]
            if event["kind"] == "CREATED" and node is not None and is_wanted(node):
                yield Arrival(event["cursor"], Image.of(node))

    def check(self, answer: Answer) -> None:
        """Raises what ends it, for an answer that is no stream; a passing trouble ends nothing."""
        if answer.status not in PASSING:
            self._session.read_graphql(answer.json(), answer)

    def pause(self, reason: str, answer: Answer | None = None) -> float:
        """Seconds until the next attempt; raises Unreachable after too many in a row."""
        self._failures += 1
        pause = self._session.retries.pause(self._failures, answer)
        if pause is None:
            raise Unreachable(self._session.url, "New images", reason, self._failures)
        _log.warning("New images: %s; again in %.1f s", reason, pause)
        return pause

"""Carries out the client's steps with httpx; every call returns when it is done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from opsin.client.http import answer_of, arguments, translated
from opsin.client.wire import Answer, Pause, Request, Send, Steps, Work

T = TypeVar("T")


class Transport:
    """The connections of one client."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def close(self) -> None:
        self._http.close()

    def run(self, steps: Steps[T]) -> T:
        """Carry out the steps, one after the other; gives what they end with."""
        try:
            step = next(steps)
            while True:
                try:
                    found = self._perform(step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(found)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()  # where the program was interrupted

    def _perform(self, step: Send | Pause | Work) -> Any:
        match step:
            case Send():
                return self._send(step)
            case Pause():
                return time.sleep(step.seconds)
            case Work():
                return step.run()

    def _send(self, step: Send) -> Answer:
        with self.opened(step.request) as response:
            if step.receive is None or response.status_code >= 300:
                return answer_of(response, response.read())
            if step.begin is not None:
                step.begin()
            for piece in response.iter_bytes():
                step.receive(piece)
            return answer_of(response)

    @contextmanager
    def opened(self, request: Request, silence: float | None = None) -> Iterator[httpx.Response]:
        """The answer with its body still to come; connection failures become NoAnswer."""
        given = arguments(request, silence)
        if not isinstance(request.body, bytes):
            given["content"] = request.body.chunks()
        try:
            with self._http.stream(request.method, request.url, **given) as response:
                yield response
        except httpx.TransportError as error:
            raise translated(error) from None

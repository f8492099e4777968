"""The browser's own record of its tasks: how long the processor was at each, whatever else ran."""

import asyncio
from typing import Any, Self

from playwright.async_api import CDPSession, Page


class Trace:
    """Records the tasks of the browser's threads from `start` to `longest_task`."""

    def __init__(self, session: CDPSession) -> None:
        self._session = session
        self._events: list[dict[str, Any]] = []
        self._complete = asyncio.Event()
        session.on("Tracing.dataCollected", lambda told: self._events.extend(told["value"]))
        session.on("Tracing.tracingComplete", lambda _: self._complete.set())

    async def start(self) -> Self:
        settings = {"includedCategories": ["toplevel"]}
        await self._session.send(
            "Tracing.start", {"transferMode": "ReportEvents", "traceConfig": settings}
        )
        return self

    async def longest_task(self) -> float:
        """Milliseconds of the processor, of the pages' main threads."""
        await self._session.send("Tracing.end")
        await self._complete.wait()
        await self._session.detach()
        mains = {
            (event["pid"], event["tid"])
            for event in self._events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks = [
            float(event["tdur"]) / 1000
            for event in self._events
            if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in mains
            if "tdur" in event
        ]
        if not tasks:
            raise RuntimeError("the browser told of no task")
        return max(tasks)


async def traced(page: Page) -> Trace:
    return await Trace(await page.context.new_cdp_session(page)).start()

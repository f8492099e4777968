"""A real Chromium for tests of the viewer; whatever its console complains of fails the test."""

import contextlib
import shutil
from collections.abc import AsyncIterator

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.conftest import LiveServer

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT = 30_000  # ms; the machine may be busy with other tests
expect.set_options(timeout=TIMEOUT)


class BrowserNotFound(RuntimeError):
    """An error and not a skip: without a browser the viewer would go untested."""

    def __init__(self) -> None:
        super().__init__(
            f"The viewer's tests need one of {', '.join(NAMES)} on the PATH: "
            "apt-get install -y chromium"
        )


def find_browser() -> str:
    """The browser that the machine has; Playwright's own is not downloaded."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise BrowserNotFound
    return path


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # In a container it runs as root, where its own sandbox cannot be.
        launched = await playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox"]
        )
        try:
            yield launched
        finally:
            await launched.close()


class Visit:
    """A page of the viewer and what went wrong in it."""

    def __init__(self, page: Page, server_url: str) -> None:
        self.page = page
        self.url = server_url
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    async def go(self, path: str) -> None:
        """To an address of the viewer, such as `#/keys`."""
        await self.page.goto(f"{self.url}/{path}")
        await self.page.wait_for_selector("main:not([aria-busy]) *")

    def _heard(self, message: ConsoleMessage) -> None:
        # The tests read the canvas back, which no person does.
        if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "blob:", "data:")):
            self.elsewhere.append(url)


@contextlib.asynccontextmanager
async def visit(
    server: LiveServer | str, *, width: int = 1280, height: int = 800, dark: bool = False
) -> AsyncIterator[Visit]:
    """A window onto a server; at its end, no error was logged and nothing asked of others."""
    url = server if isinstance(server, str) else server.url
    async with browser() as launched:
        context = await launched.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(TIMEOUT)
        visited = Visit(await context.new_page(), url)
        yield visited
        assert visited.elsewhere == []
        assert visited.complaints == []

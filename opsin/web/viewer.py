"""The viewer's page and its files, under an address that changes whenever any of them does."""

import hashlib
from importlib.resources import files
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

VIEWER_DIR = Path(str(files("opsin.web") / "viewer"))

# Nothing inline and nothing from elsewhere; pictures also from memory, as canvases make them. The
# socket of the subscription is covered by 'self'.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; require-trusted-types-for 'script'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_YEAR = "public, max-age=31536000, immutable"


class Viewer:
    """Routes `/`, which is the page, and `/static/viewer/{digest}`, which is what it is made of."""

    def __init__(self) -> None:
        paths = sorted(path for path in VIEWER_DIR.rglob("*") if path.is_file())
        self._assets = f"/static/viewer/{_digest(paths)}"
        self._page = self._render(paths)

    def routes(self) -> list[BaseRoute]:
        static = GZipMiddleware(_Immutable(StaticFiles(directory=VIEWER_DIR)), minimum_size=500)
        return [Route("/", self.page), Mount(self._assets, static)]

    async def page(self, _request: Request) -> Response:
        """The page; always asked for anew, for it names the files of this version."""
        headers = {
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(self._page, headers=headers)

    def _render(self, paths: list[Path]) -> str:
        # All modules are asked for at once, not one after the other as each names the next.
        modules = (
            path.relative_to(VIEWER_DIR).as_posix() for path in paths if path.suffix == ".js"
        )
        preloads = "\n".join(
            f'    <link rel="modulepreload" href="{self._assets}/{name}">' for name in modules
        )
        page = (VIEWER_DIR / "index.html").read_text(encoding="utf-8")
        return page.replace("{preloads}", preloads).replace("{assets}", self._assets)


class _Immutable:
    """Tells browsers to keep what an address names: another content has another address."""

    def __init__(self, app: StaticFiles) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["headers"] = [
                    *message["headers"],
                    (b"cache-control", _YEAR.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self._app(scope, receive, send_kept)


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(VIEWER_DIR).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]

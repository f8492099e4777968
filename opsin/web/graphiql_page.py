"""The GraphiQL page, made by web_build/graphiql; it asks nothing of the internet."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.responses import HTMLResponse

# To be served at /static/graphiql/, which is where index.html looks for its script and style sheet.
STATIC_DIR = Path(str(files("opsin.web") / "graphiql"))

# Inline style, unlike inline script, has to be let through: GraphiQL's dialogs write a <style>.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def graphiql_html() -> str:
    """The page's HTML, read once."""
    return (STATIC_DIR / "index.html").read_text(encoding="utf-8")


def graphiql_response() -> HTMLResponse:
    """The page as an answer that lets a browser run nothing but the page's own files."""
    return HTMLResponse(
        graphiql_html(), headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    )

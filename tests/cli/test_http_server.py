"""The server under `opsin serve`, at moments that a command seldom meets."""

import subprocess
import sys

# A signal that comes while the application is still starting.
_SCRIPT = """
import asyncio, os, signal, socket
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from opsin.cli.http_server import serve_app

@asynccontextmanager
async def starting(app):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.1)
    yield

app = Starlette(lifespan=starting)
app.state.end_streams = lambda: None
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
asyncio.run(serve_app(app, listener, lambda: print("accepting")))
print(app.state.is_draining, listener.fileno())
"""


def test_a_signal_before_the_first_connection_ends_it_in_order() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True -1\n", "")

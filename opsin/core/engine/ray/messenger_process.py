"""The messenger as its parent knows it: a process that is started, and one day ended."""

import socket
import subprocess
import sys

from opsin.core.engine.ray.wire import Wire

_LEAVING = 8.0  # seconds for it to end, with the cluster if that is its own


class MessengerProcess:
    """Started when made; `wire` leads to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "opsin.core.engine.ray.messenger", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what Ray has to say of itself is no output of ours
                start_new_session=True,  # Ctrl-C is for the parent, which ends it in its time
            )
        finally:
            theirs.close()
        self.wire = Wire(ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self, *, at_once: bool) -> None:
        """Give it up, whatever it is doing; not at once, it takes leave of the cluster."""
        if at_once:
            self._process.kill()
        else:
            self.wire.close()  # it ends by itself then
        try:
            self._process.wait(_LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

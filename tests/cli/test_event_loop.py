"""What the event loop's process is tuned by."""

import platform
import subprocess
import sys

import pytest

# As many pages as a frame of a camera has, taken and given back again and again.
_SCRIPT = """
import resource, sys
from opsin.cli import event_loop

if sys.argv[1] == "tuned":
    event_loop.keep_freed_memory()

def take():
    parts = [bytes(256 * 1024) for _ in range(24)]
    return b"".join(parts)

for _ in range(5):
    take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", _SCRIPT, how]
    return int(subprocess.check_output(command, timeout=60))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_kept_for_the_next_request() -> None:
    assert faults("tuned") < faults("as it is") / 10

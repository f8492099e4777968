"""`opsin demo`: the whole way of a picture, and nothing left behind but the drawn one."""

import re
import shutil
import signal
import socket
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from opsin.cli.exit_codes import ExitCode
from tests import pictures
from tests.cli.command import NO_BUILTINS, install_sample_plugin, opsin, started

# What a person may have set for a server of their own must not reach that of the demo.
OTHERS_SETTINGS = {"auth": "keys", "host": "0.0.0.0", "worker": "false", "database_url": "nonsense"}
FACE = [174, 120, 356, 340]


def test_the_demo_frames_the_face(tmp_path: Path) -> None:
    ended = opsin("demo", cwd=tmp_path, settings=OTHERS_SETTINGS)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    for text in ("QUEUED", "PROCESSING", "COMPLETED", "analyses(first", '"annotationType"'):
        assert text in ended.out
    assert "person detector is not available" in ended.out
    assert "opsin models pull fasterrcnn_resnet50_fpn_coco" in ended.out
    said = re.search(r"face [\d.]+: x (\d+) to (\d+), y (\d+) to (\d+)", ended.out)
    assert said is not None
    x_min, x_max, y_min, y_max = map(int, said.groups())
    assert [x_min, y_min, x_max, y_max] == pytest.approx(FACE, abs=3)

    (tmp_path / "portrait.jpg").write_bytes(pictures.portrait())
    before = np.asarray(Image.open(tmp_path / "portrait.jpg"), np.int16)
    drawn = np.asarray(Image.open(tmp_path / "opsin-demo.png"), np.int16)
    changed = np.abs(drawn - before).sum(axis=2) > 0
    assert changed[y_min, x_min:x_max].mean() > 0.95
    assert changed[y_max - 1, x_min:x_max].mean() > 0.95
    assert changed[y_min:y_max, x_min].mean() > 0.95
    assert changed[y_min:y_max, x_max - 1].mean() > 0.95
    assert not changed[y_min + 10 : y_max - 10, x_min + 10 : x_max - 10].any()

    url = re.search(r"http://127\.0\.0\.1:(\d+)  accepts", ended.out)
    assert url is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url[1])), timeout=5)


def test_a_picture_and_a_plugin_of_ones_own(tmp_path: Path) -> None:
    install_sample_plugin(tmp_path)
    (tmp_path / "red.png").write_bytes(pictures.solid_png())
    ended = opsin("demo", "--picture", "red.png", "--keep", cwd=tmp_path, settings=NO_BUILTINS)
    assert ended.code == ExitCode.OK
    assert "measure_brightness whole_image" in ended.out
    assert '"annotationType": "metric"' in ended.out
    kept = Path(ended.complaint.rpartition(" ")[2])
    assert (kept / "opsin.sqlite3").is_file()
    shutil.rmtree(kept)


def test_an_interrupted_demo_takes_its_server_along(tmp_path: Path) -> None:
    with started("demo", cwd=tmp_path) as demo:
        while "accepts requests" not in (line := demo.read_line()):
            assert demo.process.poll() is None, demo.err
        health = f"{line.split()[0]}/health"
        assert httpx.get(health, trust_env=False).status_code == 200
        began = time.monotonic()
        assert demo.stop(signal.SIGINT) == ExitCode.INTERRUPTED
        assert time.monotonic() - began < 20
    with pytest.raises(httpx.ConnectError):
        httpx.get(health, trust_env=False)


def test_a_demo_with_nothing_to_run_says_so(tmp_path: Path) -> None:
    ended = opsin("demo", cwd=tmp_path, settings=NO_BUILTINS)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "nothing can be run here" in ended.complaint


def test_a_picture_that_is_none_is_refused_before_a_server_is_started(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("not a picture")
    ended = opsin("demo", "--picture", "words.txt", cwd=tmp_path)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert opsin("demo", "--picture", "none.png", cwd=tmp_path).code == ExitCode.USAGE

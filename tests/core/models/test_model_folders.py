"""Models of several files: pulled from a hub over real HTTP, whole or not there at all."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opsin.core.errors import ConfigurationError, Conflict, FetchFailed, StorageError
from opsin.core.models.places import ModelState
from opsin.core.models.store import ModelStore
from tests.core.hub_server import COMMIT, CONFIG, FILES, REPOSITORY, WEIGHTS, FakeHub, safetensors
from tests.core.model_stores import hub as hub
from tests.core.model_stores import names_in, operation, store_of, tiny

DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
PULL = """
import sys
from pathlib import Path
from tests.core.model_stores import tiny
from opsin.core.models.hub import Hub
from opsin.core.models.store import ModelStore
ModelStore(Path(sys.argv[1]), hub=Hub(sys.argv[2])).pull(tiny())
"""


def state(store: ModelStore) -> ModelState | None:
    lack = store.lack(store.place(tiny()), read=True)
    return lack.state if lack else None


def pulling(directory: Path, hub: FakeHub) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PULL, str(directory), hub.url]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_a_pulled_folder_holds_the_files_under_their_names(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path / "new" / "models", hub)
    located = store.pull(tiny())
    folder = store.directory / "tiny"
    assert located.folder == folder
    assert located.paths == (folder / "config.json", folder / "model.safetensors")
    assert [path.read_bytes() for path in located.paths] == [CONFIG, WEIGHTS]
    manifest = json.loads((folder / "opsin-model.json").read_text())
    assert manifest.pop("files")["model.safetensors"] == {
        "size": len(WEIGHTS),
        "sha256": DIGEST,
        "checked": "hub",
    }
    assert manifest == {"repository": REPOSITORY, "revision": COMMIT, "commit": COMMIT}
    assert names_in(store.directory) == ["fingerprints.json", "tiny"]
    assert store.missing(operation(tiny())) is None
    asked = len(hub.asked)
    assert store.pull(tiny()) == located == store_of(store.directory).locate(tiny())
    assert len(hub.asked) == asked, "what is here is not asked for again"


def test_the_fingerprint_is_what_sha256sum_says(tmp_path: Path, hub: FakeHub) -> None:
    located = store_of(tmp_path, hub).pull(tiny())
    command = "sha256sum model.safetensors config.json | LC_ALL=C sort -k 2 | sha256sum"
    said = subprocess.check_output(command, shell=True, cwd=located.folder, text=True)
    assert located.fingerprint == said.split()[0]
    hub.commits["b" * 40] = FILES | {"config.json": b'{"hidden_size": 8}'}
    assert store_of(tmp_path, hub).pull(tiny("b" * 40)).fingerprint != located.fingerprint


def test_progress_goes_over_all_files(tmp_path: Path, hub: FakeHub) -> None:
    told: list[tuple[int, int | None]] = []
    store_of(tmp_path, hub).pull(tiny(), lambda done, total: told.append((done, total)))
    whole = len(CONFIG) + len(WEIGHTS)
    assert {total for _, total in told} == {whole}
    assert told[0][0] == 0 and told[-1][0] == whole
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_plain_file_server_is_a_mirror(tmp_path: Path, hub: FakeHub) -> None:
    hub.plain = True
    store = store_of(tmp_path, hub)
    assert store.pull(tiny("main")).folder == tmp_path / "tiny"
    checks = json.loads((tmp_path / "tiny" / "opsin-model.json").read_text())["files"]
    assert {one["checked"] for one in checks.values()} == {"size"}


def test_a_pull_goes_on_from_where_it_broke_off(tmp_path: Path, hub: FakeHub) -> None:
    hub.breaks_after = 700_000
    store = store_of(tmp_path, hub)
    with pytest.raises(FetchFailed, match=r"'tiny' broke off \(RemoteProtocolError\)") as caught:
        store.pull(tiny())
    assert "127.0.0.1" not in caught.value.message
    assert not (tmp_path / "tiny").exists()
    assert state(store) is ModelState.INCOMPLETE
    assert "are here only in part: opsin models pull tiny" in (store.reason(tiny()) or "")
    here = (tmp_path / "tiny.part" / "model.safetensors").stat().st_size
    told: list[int] = []
    store.pull(tiny(), lambda done, total: told.append(done))
    assert hub.gets == ["config.json", "model.safetensors", f"model.safetensors bytes={here}-"]
    assert told[1] == len(CONFIG) + here, "what was here already is part of the progress"


def test_a_pull_that_was_killed_goes_on(tmp_path: Path, hub: FakeHub) -> None:
    hub.stalls_after = 700_000
    with pulling(tmp_path, hub) as process:
        assert hub.stalled.wait(20)
        while not (tmp_path / "tiny.part" / "model.safetensors").stat().st_size:
            assert process.poll() is None
        process.kill()
        process.communicate()
    hub.go.set()
    assert not (tmp_path / "tiny").exists()
    store_of(tmp_path, hub).pull(tiny())
    assert hub.gets[-1].startswith("model.safetensors bytes=")
    assert names_in(tmp_path) == ["fingerprints.json", "tiny"]


def test_two_processes_do_not_pull_one_model_at_once(tmp_path: Path, hub: FakeHub) -> None:
    hub.stalls_after = 700_000
    with pulling(tmp_path, hub) as process:
        assert hub.stalled.wait(20)
        with pytest.raises(Conflict, match="another process"):
            store_of(tmp_path, hub).pull(tiny())
        with pytest.raises(Conflict, match="another process"):
            store_of(tmp_path, hub).remove(tiny())
        hub.go.set()
        _, complaint = process.communicate(timeout=30)
        assert (process.returncode, complaint) == (0, b"")
    assert store_of(tmp_path).locate(tiny()).paths[1].read_bytes() == WEIGHTS


def test_a_pull_that_died_before_its_last_step_needs_no_network(
    tmp_path: Path, hub: FakeHub
) -> None:
    store_of(tmp_path, hub).pull(tiny())
    (tmp_path / "tiny").rename(tmp_path / "tiny.part")
    assert store_of(tmp_path).pull(tiny()).folder == tmp_path / "tiny"


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("model.safetensors", "the sha256 of model.safetensors begins with"),
        ("config.json", "the sha256 of config.json begins with"),
    ],
)
def test_a_wrong_file_is_not_kept(tmp_path: Path, hub: FakeHub, file: str, why: str) -> None:
    hub.corrupt.add(file)
    store = store_of(tmp_path, hub)
    pinned = tiny(config=hashlib.sha256(CONFIG).hexdigest())
    with pytest.raises(FetchFailed, match=f"not the weights of 'tiny': {why}"):
        store.pull(pinned)
    assert not (tmp_path / "tiny").exists()
    assert not (tmp_path / "tiny.part" / file).exists()
    hub.corrupt.clear()
    store.pull(pinned)
    checks = json.loads((tmp_path / "tiny" / "opsin-model.json").read_text())["files"]
    assert checks["config.json"]["checked"] == "pin"


def test_a_pin_is_stronger_than_the_hub(tmp_path: Path, hub: FakeHub) -> None:
    with pytest.raises(FetchFailed, match=f"begins with {DIGEST[:8]}, not with 00000000"):
        store_of(tmp_path, hub).pull(tiny(model="0" * 64))


def test_what_is_no_safetensors_file_is_refused_though_the_hub_vouches_for_it(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.commits[COMMIT]["model.safetensors"] = b"\x80\x04\x95 a pickle" * 100
    with pytest.raises(FetchFailed, match=r"model\.safetensors is not a safetensors file"):
        store_of(tmp_path, hub).pull(tiny())


def test_a_beginning_that_does_not_fit_is_thrown_away(tmp_path: Path, hub: FakeHub) -> None:
    hub.breaks_after = 700_000
    store = store_of(tmp_path, hub)
    with pytest.raises(FetchFailed):
        store.pull(tiny())
    begun = tmp_path / "tiny.part" / "model.safetensors"
    for content in (b"x" * 1000, b"x" * len(WEIGHTS), WEIGHTS + b"x"):
        begun.write_bytes(content)
        assert store.pull(tiny()).paths[1].read_bytes() == WEIGHTS
        shutil.rmtree(tmp_path / "tiny")
        begun.parent.mkdir()


def test_a_branch_that_moves_does_not_mix_two_commits(tmp_path: Path, hub: FakeHub) -> None:
    hub.breaks_after = 700_000
    with pytest.raises(FetchFailed):
        store_of(tmp_path, hub).pull(tiny("main"))
    hub.commits["b" * 40] = {"config.json": b"{}", "model.safetensors": safetensors(9)}
    hub.branches["main"] = "b" * 40
    store = store_of(tmp_path, hub)
    located = store.pull(tiny("main"))
    assert [path.read_bytes() for path in located.paths] == [CONFIG, WEIGHTS]
    assert store.place(tiny("main")).commit == COMMIT
    assert store.locate(tiny(COMMIT)) != located, "the same files, under the name of the commit"
    assert store.locate(tiny(COMMIT)).fingerprint == located.fingerprint


def test_another_revision_takes_the_place_of_the_first(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    store.pull(tiny())
    hub.commits["b" * 40] = {"config.json": b"{}", "model.safetensors": WEIGHTS, "extra.txt": b"x"}
    newer = tiny("b" * 40, ("config.json", "model.safetensors", "extra.txt"))
    assert "of which another revision is here" in (store.reason(newer) or "")
    gets = len(hub.gets)
    located = store.pull(newer)
    assert hub.gets[gets:] == ["config.json", "extra.txt"], "equal weights are not fetched again"
    assert located.paths[0].read_bytes() == b"{}"
    assert names_in(tmp_path) == ["fingerprints.json", "tiny"]
    assert store.missing(operation(tiny())) is not None


def test_fewer_files_need_no_pull_and_more_files_do(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    store.pull(tiny())
    assert len(store.locate(tiny(files=("model.safetensors",))).paths) == 1
    hub.commits[COMMIT]["vocab.txt"] = b"a b"
    more = tiny(files=(*FILES, "vocab.txt"))
    assert "only in part" in (store.reason(more) or "")
    assert len(store.pull(more).paths) == 3


def test_files_in_folders_of_the_repository(tmp_path: Path, hub: FakeHub) -> None:
    hub.commits[COMMIT]["onnx and more/a+b.txt".replace(" ", "_")] = b"x"
    located = store_of(tmp_path, hub).pull(tiny(files=(*FILES, "onnx_and_more/a+b.txt")))
    assert located.paths[2] == tmp_path / "tiny" / "onnx_and_more" / "a+b.txt"


def test_a_broken_file_is_found_and_fetched_again_alone(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    paths = store.pull(tiny()).paths
    gets = len(hub.gets)
    state_of_file = paths[0].stat()
    paths[0].write_bytes(CONFIG.replace(b"4", b"5"))
    assert state(store) is ModelState.CORRUPT
    assert "the sha256 of config.json begins with" in (store.missing(operation(tiny())) or "")
    store.pull(tiny())
    assert hub.gets[gets:] == ["config.json"]
    # Rot changes neither the size nor the time: only reading finds it.
    paths[0].write_bytes(CONFIG.replace(b"4", b"5"))
    os.utime(paths[0], ns=(state_of_file.st_mtime_ns, state_of_file.st_mtime_ns))
    paths[1].write_bytes(WEIGHTS[:-1])
    assert "has 1960087 bytes, not 1960088" in (store.reason(tiny()) or "")
    config, weights = store.verify(tiny())
    assert "the sha256 of config.json begins with" in (config.problem or "")
    assert "the sha256 of model.safetensors begins with" in (weights.problem or "")
    paths[0].unlink()
    assert state(store) is ModelState.INCOMPLETE
    assert store.verify(tiny())[0].problem == "config.json is not here"
    assert [check.problem for check in (store.pull(tiny()), store.verify(tiny()))[1]] == [None] * 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"commit": null, "files": 3}'])
def test_a_broken_manifest_is_none(tmp_path: Path, hub: FakeHub, content: str) -> None:
    store = store_of(tmp_path, hub)
    store.pull(tiny())
    (tmp_path / "tiny" / "opsin-model.json").write_text(content)
    assert state(store) is ModelState.INCOMPLETE
    assert store.pull(tiny()).folder is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full")
def test_a_full_disk_is_told_of(tmp_path: Path, hub: FakeHub) -> None:
    part = tmp_path / "tiny.part"
    part.mkdir()
    (part / "opsin-model.json").write_text(
        json.dumps({"repository": REPOSITORY, "revision": COMMIT, "commit": None, "files": {}})
    )
    (part / "model.safetensors").symlink_to("/dev/full")
    store = store_of(tmp_path, hub)
    with pytest.raises(StorageError, match="'tiny' cannot be written: No space left on device"):
        store.pull(tiny())
    (part / "model.safetensors").unlink()
    store.pull(tiny())
    assert hub.gets.count("config.json") == 1, "what had arrived was kept"


def test_too_little_room_is_told_of_before_anything_is_fetched(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(StorageError, match="they need 2 MB more, 1 MB are free"):
        store_of(tmp_path, hub).pull(tiny())
    assert hub.gets == []


def test_offline_downloads_nothing_and_says_what_to_do(tmp_path: Path, hub: FakeHub) -> None:
    store = ModelStore(tmp_path, offline=True)
    with pytest.raises(ConfigurationError, match="opsin models import tiny FOLDER"):
        store.pull(tiny())
    assert "opsin models import tiny FOLDER" in (store.missing(operation(tiny())) or "")
    store_of(tmp_path, hub).pull(tiny())
    assert store.pull(tiny()).folder == tmp_path / "tiny"


def test_a_removed_model_is_gone_with_all_that_was_begun(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    store.pull(tiny())
    for suffix in (".part", ".old", ".install"):
        shutil.copytree(tmp_path / "tiny", tmp_path / f"tiny{suffix}")
    store.remove(tiny())
    assert names_in(tmp_path) == ["fingerprints.json"]
    store.remove(tiny())
    assert state(store) is ModelState.MISSING


def test_a_token_goes_to_the_hub_alone_and_into_no_log(
    tmp_path: Path, hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.token = "hf_s3cr3t-token"
    with pytest.raises(FetchFailed, match="is gated: accept its terms on the hub, set OPSIN_HUB"):
        store_of(tmp_path, hub).pull(tiny())
    assert names_in(tmp_path) == []
    with caplog.at_level(logging.DEBUG), pytest.raises(FetchFailed, match="has no access") as e:
        store_of(tmp_path, hub, "hf_another").pull(tiny())
    assert "hf_another" not in e.value.message
    with caplog.at_level(logging.DEBUG):
        store_of(tmp_path, hub, "hf_s3cr3t-token").pull(tiny())
    assert hub.seen_by_storage == [None]
    assert "config.json" in caplog.text, "the requests were logged"
    assert "hf_" not in caplog.text

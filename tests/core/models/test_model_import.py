"""Models that were carried here, and models that are read where they are."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from opsin.core.contract import Folder, ModelRequirement
from opsin.core.errors import InvalidInput, OperationUnavailable, StorageError
from opsin.core.models.manifest import Checked, Manifest
from opsin.core.models.places import ModelState
from opsin.core.models.store import ModelStore
from tests.core.hub_server import COMMIT, CONFIG, FILES, REPOSITORY, WEIGHTS, FakeHub, safetensors
from tests.core.model_stores import hub as hub
from tests.core.model_stores import names_in, operation, store_of, tiny

DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """A clone of the repository, with more in it than is asked for."""
    folder = tmp_path / "stick"
    folder.mkdir()
    for name, content in {**FILES, "README.md": b"hello", "pytorch_model.bin": b"evil"}.items():
        (folder / name).write_bytes(content)
    return folder


def checked(folder: Path | None) -> dict[str, Checked]:
    manifest = Manifest.read(folder) if folder else None
    assert manifest is not None
    return {name: record.checked for name, record in manifest.files.items()}


def test_a_carried_folder_is_copied_and_its_files_alone(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models", offline=True)
    located = store.install(tiny(), carried)
    assert located.folder == store.directory / "tiny"
    assert [path.read_bytes() for path in located.paths] == [CONFIG, WEIGHTS]
    assert names_in(located.folder) == ["config.json", "model.safetensors", "opsin-model.json"]
    assert set(checked(located.folder).values()) == {Checked.NOTHING}
    assert names_in(store.directory) == ["fingerprints.json", "tiny"]
    assert "README.md" in names_in(carried), "what was carried stays"
    assert store.install(tiny(), carried) == located, "once more, over the first"


def test_pins_are_kept_to(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert checked(store.install(tiny(model=DIGEST), carried).folder) == {
        "config.json": Checked.NOTHING,
        "model.safetensors": Checked.PIN,
    }
    with pytest.raises(InvalidInput, match=r"not the weights of 'tiny': .*; nothing was kept"):
        store.install(tiny(model="0" * 64), carried)
    assert names_in(store.directory) == ["fingerprints.json", "tiny"], "the first is still there"


def test_a_folder_of_another_machine_brings_its_manifest(tmp_path: Path, hub: FakeHub) -> None:
    made = store_of(tmp_path / "there", hub).pull(tiny("main"))
    assert made.folder is not None
    store = ModelStore(tmp_path / "here", offline=True)
    located = store.install(tiny("main"), made.folder)
    assert located.fingerprint == made.fingerprint
    assert set(checked(located.folder).values()) == {Checked.MANIFEST}
    assert store.place(tiny("main")).commit == COMMIT
    with pytest.raises(InvalidInput, match=f"that is revision 'main' of '{REPOSITORY}'; 'tiny'"):
        store.install(tiny("v2"), made.folder)
    (made.folder / "config.json").write_bytes(CONFIG.replace(b"4", b"5"))
    with pytest.raises(InvalidInput, match=r"the sha256 of config\.json begins with"):
        store.install(tiny("main"), made.folder)
    (made.folder / "config.json").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"config\.json has 0 bytes, not 18"):
        store.install(tiny("main"), made.folder)
    assert store.locate(tiny("main")) == located


def test_the_cache_of_the_hub_s_own_library_can_be_carried(tmp_path: Path, carried: Path) -> None:
    snapshot = tmp_path / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in FILES:
        (snapshot / name).symlink_to(carried / name)
    located = ModelStore(tmp_path / "models").install(tiny(), snapshot)
    assert not any(path.is_symlink() for path in located.paths)


def test_one_file_is_enough_when_there_is_but_one(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models")
    weights = carried / "model.safetensors"
    only = tiny(files=("model.safetensors",))
    assert store.install(only, weights).paths[0].read_bytes() == WEIGHTS
    with pytest.raises(InvalidInput, match="this model has 2 files: carry the folder"):
        store.install(tiny(), weights)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (POINTER, "is a git-lfs pointer: fetch the file itself with git lfs pull"),
        (b"", "is not a safetensors file"),
        (b"\x80\x04\x95pickle" * 9, "is not a safetensors file"),
        ((20).to_bytes(8, "little") + b"{not json}          ", "is not a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "is not a safetensors file"),
        ((10).to_bytes(8, "little") + b'{"a": {}} ', "is not a safetensors file"),
        (WEIGHTS[:-4], "is cut off: it has 1960084 bytes, its header tells of 1960088"),
        (None, "the folder lacks model.safetensors"),
    ],
)
def test_what_is_not_the_model_is_refused(
    tmp_path: Path, carried: Path, content: bytes | None, why: str
) -> None:
    (carried / "model.safetensors").unlink()
    if content is not None:
        (carried / "model.safetensors").write_bytes(content)
    store = ModelStore(tmp_path / "models")
    with pytest.raises(InvalidInput, match=why):
        store.install(tiny(), carried)
    assert not store.directory.exists() or names_in(store.directory) == []


def test_an_empty_model_with_metadata_is_one(tmp_path: Path, carried: Path) -> None:
    header = b'{"__metadata__": {"format": "pt"}}'
    content = len(header).to_bytes(8, "little") + header
    (carried / "model.safetensors").write_bytes(content)
    ModelStore(tmp_path / "models").install(tiny(), carried)


def test_nothing_to_carry(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file or folder"):
        ModelStore(tmp_path).install(tiny(), tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="'tiny' cannot be written: Not a directory"):
        ModelStore(tmp_path / "file" / "models").remove(tiny())


def given(path: Path, *files: str, **pins: str) -> ModelRequirement:
    origin = Folder(path, files, {f"{name}.safetensors": digest for name, digest in pins.items()})
    return ModelRequirement("encoder", "own", origin, "MIT")


def why_not(store: ModelStore, model: ModelRequirement) -> tuple[ModelState, str]:
    lack = store.lack(store.place(model), read=True)
    assert lack is not None
    assert store.missing(operation(model)) == f"needs the weights of 'own'{lack.words}: " + (
        "put them there, or change OPSIN_MODELS"
    )
    return lack.state, lack.words


def test_a_folder_is_read_where_it_is(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models")
    located = store.locate(given(carried, "model.safetensors", "config.json"))
    assert located.folder == carried
    assert located.paths == (carried / "model.safetensors", carried / "config.json")
    shutil.copytree(carried, tmp_path / "other")
    same = store.locate(given(tmp_path / "other", "config.json", "model.safetensors"))
    assert same.fingerprint == located.fingerprint
    assert store.pull(given(carried)).paths == tuple(
        carried / name for name in ("README.md", "config.json", "model.safetensors")
    ), "what can run code is never among them"
    before = names_in(carried)
    for refused in (lambda: store.remove(given(carried)), lambda: store.install(tiny(), tmp_path)):
        with pytest.raises(InvalidInput):
            refused()
    assert names_in(carried) == before


def test_what_is_wrong_with_a_folder(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models")
    model = given(carried, "config.json", "model.safetensors")
    weights = carried / "model.safetensors"
    weights.write_bytes(WEIGHTS[:-1])
    state, words = why_not(store, model)
    assert (state, words[:39]) == (ModelState.CORRUPT, ", but model.safetensors is cut off: it ")
    weights.unlink()
    assert why_not(store, model) == (
        ModelState.INCOMPLETE,
        ", of which model.safetensors is not here",
    )
    assert why_not(store, given(carried))[1] == ", whose folder holds no safetensors file"
    assert why_not(store, given(tmp_path / "none"))[0] is ModelState.MISSING
    with pytest.raises(OperationUnavailable, match="whose folder is not there"):
        store.pull(given(tmp_path / "none"))
    with pytest.raises(OperationUnavailable, match="whose folder is not there"):
        store.verify(given(tmp_path / "none"))


def test_a_folder_may_be_pinned_and_verified(tmp_path: Path, carried: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert store.locate(given(carried, model=DIGEST))
    assert [check.problem for check in store.verify(given(carried))] == [None, None, None]
    other = safetensors(700, 700, fill=2)
    (carried / "model.safetensors").write_bytes(other)
    assert store.locate(given(carried)), "without a pin, it is another model"
    os.utime(carried / "model.safetensors")
    with pytest.raises(OperationUnavailable, match=r"but the sha256 of model\.safetensors begins"):
        store.locate(given(carried, model=DIGEST))
    (carried / "model.safetensors").write_bytes(POINTER)
    assert "git-lfs pointer" in (store.verify(given(carried))[2].problem or "")

"""The model store: what is missing and how to get it, fingerprints, verification."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from opsin.core.contract import (
    Bundled,
    Download,
    ModelRequirement,
)
from opsin.core.errors import (
    InvalidInput,
    OperationUnavailable,
)
from opsin.core.models import files as model_files
from opsin.core.models.store import ModelStore
from tests.core.model_stores import operation

WEIGHTS = bytes(range(256)) * 9000  # more than two chunks
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def required(url: str = "https://models.invalid/w", prefix: str = DIGEST[:8]) -> ModelRequirement:
    return ModelRequirement("detector", "tiny", Download(url, "tiny.pth", prefix), "MIT")


def test_what_is_missing_comes_with_the_command_that_gets_it(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    expected = "needs the weights of 'tiny', which are not here: opsin models pull tiny"
    assert store.missing(operation(required())) == expected
    with pytest.raises(OperationUnavailable) as caught:
        store.locate(required())
    assert caught.value.message == expected
    with pytest.raises(OperationUnavailable, match=r"^made needs the weights"):
        store.context(operation(required()), "cpu")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("opsin[models]", "needs the 'models' extra: pip install 'opsin[models]'"),
        ("acme-vision", "needs not_a_package: pip install acme-vision"),
        (None, "needs not_a_package: pip install not_a_package"),
    ],
)
def test_missing_packages_come_before_missing_weights(
    tmp_path: Path, extra: str | None, expected: str
) -> None:
    wanting = operation(required(), requires=("json", "not_a_package"), extra=extra)
    assert ModelStore(tmp_path).missing(wanting) == expected


def test_a_package_of_a_missing_package_is_missing(tmp_path: Path) -> None:
    wanting = operation(requires=("not_a_package.inner",))
    assert "not_a_package.inner" in (ModelStore(tmp_path).missing(wanting) or "")
    assert ModelStore(tmp_path).missing(operation(requires=("email.mime",))) is None


def test_bundled_weights_are_found_without_importing_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "bundling_package" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "bundling_package" / "__init__.py").write_text("raise RuntimeError")
    model = ModelRequirement(
        "r", "bundle", Bundled("bundling_package.inner", ("a.bin", "b.bin")), "MIT"
    )
    store = ModelStore(tmp_path / "models")
    (folder / "a.bin").write_bytes(b"first")
    with pytest.raises(OperationUnavailable, match="--force-reinstall bundling-package"):
        store.locate(model)
    (folder / "b.bin").write_bytes(b"second")
    located = store.locate(model)
    assert located.paths == (folder / "a.bin", folder / "b.bin")
    assert located.fingerprint == hashlib.sha256(b"firstsecond").hexdigest()
    assert store.pull(model) == located
    with pytest.raises(InvalidInput, match="come with a package"):
        store.install(model, folder / "a.bin")


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    model = ModelRequirement("r", "bundle", Bundled("not_a_package", ("a.bin",)), "MIT")
    with pytest.raises(OperationUnavailable, match=r"pip install not-a-package$"):
        ModelStore(tmp_path).locate(model)


def test_fingerprints_are_computed_once_per_state_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    real = model_files.sha256_of

    def counted(paths: list[Path]) -> str:
        hashed.extend(paths)
        return real(paths)

    monkeypatch.setattr(model_files, "sha256_of", counted)
    file = tmp_path / "tiny.pth"
    file.write_bytes(WEIGHTS)
    store = ModelStore(tmp_path)
    threads = [threading.Thread(target=store.locate, args=(required(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.locate(required()).fingerprint == DIGEST
    assert ModelStore(tmp_path).locate(required()).fingerprint == DIGEST
    assert hashed == [file], "the record beside the weights spares the next process the work"
    os.utime(file, ns=(1, 1))
    assert store.locate(required()).fingerprint == DIGEST
    assert len(hashed) == 2
    (entry,) = json.loads((tmp_path / "fingerprints.json").read_text())
    assert entry["files"][0][2] == 1, "the state gone by is not kept"


@pytest.mark.parametrize("record", ["", "{}", "[3]", '[{"files": [["a"]], "sha256": ""}]'])
def test_a_broken_record_of_fingerprints_only_costs_time(tmp_path: Path, record: str) -> None:
    (tmp_path / "tiny.pth").write_bytes(WEIGHTS)
    (tmp_path / "fingerprints.json").write_text(record)
    assert ModelStore(tmp_path).locate(required()).fingerprint == DIGEST


def test_a_wrong_file_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "tiny.pth").write_bytes(b"something else")
    store = ModelStore(tmp_path)
    assert store.missing(operation(required())) is None, "asking must not cost a hash"
    with pytest.raises(
        OperationUnavailable, match=r"'tiny', but the sha256 of tiny\.pth begins with"
    ):
        store.locate(required())
    assert "opsin models pull tiny" in (store.missing(operation(required())) or "")


def test_context_holds_the_models_by_role(tmp_path: Path) -> None:
    (tmp_path / "tiny.pth").write_bytes(WEIGHTS)
    context = ModelStore(tmp_path).context(operation(required()), "cuda:0")
    assert context.device == "cuda:0"
    assert context.models["detector"].fingerprint == DIGEST


def test_weights_that_cannot_be_read_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.pth").write_bytes(WEIGHTS)

    def refuse(paths: list[Path]) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(model_files, "sha256_of", refuse)
    with pytest.raises(OperationUnavailable, match="'tiny', which cannot be read: opsin models"):
        ModelStore(tmp_path).locate(required())
    assert ModelStore(tmp_path).verify(required())[0].problem == "tiny.pth cannot be read"

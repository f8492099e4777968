"""Every model of a server: who needs it, whether it is here, and what is left over."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from opsin.core.contract import Bundled, Download, Folder, ModelRequirement, Repository
from opsin.core.errors import ConfigurationError, InvalidInput, NotFound, OperationUnavailable
from opsin.core.models import files as model_files
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.hub import Hub
from opsin.core.models.inventory import Leftover, ModelInventory, ModelUse
from opsin.core.models.places import ModelState
from opsin.core.models.store import ModelStore
from tests.core.hub_server import COMMIT, REPOSITORY, WEIGHTS, FakeHub
from tests.core.model_stores import host_of, names_in, operation, store_of, tiny
from tests.core.model_stores import hub as hub

SINGLE = ModelRequirement(
    "detector", "single", Download("https://a.invalid/w.pth", "w.pth", "01234567"), "BSD-3", 70
)
BUNDLED = ModelRequirement("face", "bundle", Bundled("opsin", ("py.typed",)), "MIT", 5)


def inventory_of(store: ModelStore, *models: ModelRequirement) -> ModelInventory:
    return ModelInventory(store, host_of(*(operation(m, called=f"of_{m.name}") for m in models)))


def test_every_model_is_described(tmp_path: Path, hub: FakeHub) -> None:
    own = ModelRequirement("x", "own", Folder(tmp_path / "own"), "ours")
    store = store_of(tmp_path / "models", hub)
    inventory = inventory_of(store, tiny("main"), SINGLE, BUNDLED, own)
    states = [(one.name, one.kind, one.state, one.size_bytes) for one in inventory.models()]
    assert states == [
        ("tiny", "repository", ModelState.MISSING, 2_000_000),
        ("single", "download", ModelState.MISSING, 70),
        ("bundle", "bundled", ModelState.BUNDLED, 0),
        ("own", "folder", ModelState.MISSING, None),
    ]
    store.pull(inventory.requirement("tiny"))
    described = inventory.models()[0]
    assert (described.state, described.reason) == (ModelState.PRESENT, None)
    assert (described.origin, described.revision) == (f"{REPOSITORY}@main", "main")
    assert (described.commit, described.licence) == (COMMIT, "MIT")
    assert described.size_bytes == len(WEIGHTS) + 18
    assert described.fingerprint == store.locate(tiny("main")).fingerprint
    assert described.uses == (ModelUse("of_tiny", "encoder"),)
    assert [one.origin for one in inventory.models()[1:]] == [
        "https://a.invalid/w.pth",
        "package opsin",
        str(tmp_path / "own"),
    ]


def test_states_on_the_way(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    inventory = inventory_of(store, tiny(), SINGLE)
    (tmp_path / "tiny.part").mkdir()
    (tmp_path / "w.pth.part").write_bytes(b"x")
    assert [one.state for one in inventory.models()] == [ModelState.INCOMPLETE] * 2
    store.pull(tiny())
    (tmp_path / "tiny" / "config.json").write_bytes(b"")
    (tmp_path / "w.pth").write_bytes(b"other")
    described = inventory.models()
    assert [one.state for one in described] == [ModelState.CORRUPT] * 2
    assert all("opsin models pull" in (one.reason or "") for one in described)
    assert described[1].size_bytes == 70, "not that of the wrong file"


def test_a_server_may_ask_at_any_time(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_of(tmp_path / "there", hub).pull(tiny()).folder
    assert folder is not None
    own = ModelRequirement("x", "own", Folder(folder), "ours")
    inventory = inventory_of(store_of(tmp_path / "here"), own, BUNDLED)
    with monkeypatch.context() as patch:
        patch.setattr(model_files, "sha256_of", lambda paths: pytest.fail("a file was read"))
        described = inventory.models(read=False)
    assert [(one.state.value, one.fingerprint) for one in described] == [
        ("present", None),
        ("bundled", None),
    ]
    read = inventory.models()
    assert all(one.fingerprint for one in read)
    assert inventory.models(read=False) == read


def test_one_model_may_serve_many(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    other = replace(SINGLE, role="other", origin=Download("https://b.invalid", "w.pth", "01234567"))
    host = host_of(operation(SINGLE, called="one"), operation(other, called="two"))
    (described,) = ModelInventory(store, host).models()
    assert described.uses == (ModelUse("one", "detector"), ModelUse("two", "other"))


@pytest.mark.parametrize(
    "other",
    [
        replace(SINGLE, origin=Download("https://a.invalid/w.pth", "v.pth", "76543210")),
        replace(SINGLE, name="another", origin=Download("https://b.invalid", "w.pth", "76543210")),
        replace(tiny(), name="SINGLE"),
        replace(tiny(), name="w.pth"),
    ],
)
def test_two_models_of_one_name_stop_the_start(tmp_path: Path, other: ModelRequirement) -> None:
    host = host_of(operation(SINGLE, called="one"), operation(other, called="two"))
    with pytest.raises(
        ConfigurationError, match=r"two different models.*one as 'detector'.*two as"
    ):
        ModelInventory(ModelStore(tmp_path), host)


def test_the_configuration_decides_what_is_loaded(tmp_path: Path, hub: FakeHub) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[made.encoder]\nrepository = "{REPOSITORY}"\nrevision = "main"\n')
    default = replace(tiny(), origin=Repository("openai/other", "v1", ("model.safetensors",)))
    made = operation(default)
    configuration = ModelConfiguration.read(file)
    store = ModelStore(tmp_path / "models", configuration=configuration, hub=Hub(hub.url))
    (resolved,) = store.models_of(made)
    assert resolved.name.startswith("openai--tiny-clip-")
    assert store.missing(made) == (
        f"needs the weights of '{resolved.name}', which are not here: "
        f"opsin models pull {resolved.name}"
    )
    with pytest.raises(OperationUnavailable, match=r"^made needs the weights"):
        store.context(made, "cpu")
    inventory = ModelInventory(store, host_of(made))
    store.pull(inventory.requirement(resolved.name))
    located = store.context(made, "cpu").models["encoder"]
    assert located.requirement == resolved
    assert located.folder == tmp_path / "models" / resolved.name
    with pytest.raises(
        NotFound, match=f"no operation needs a model 'tiny'; models: {resolved.name}"
    ):
        inventory.requirement("tiny")


def test_a_table_for_nothing_is_an_error_unless_a_plugin_may_be_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[embed_clap.encoder]\nfolder = '/a'\n")
    store = ModelStore(tmp_path, configuration=ModelConfiguration.read(file))
    inventory = ModelInventory(store, host_of(operation()))
    with pytest.raises(ConfigurationError, match="no operation or region finder 'embed_clap'"):
        inventory.check(strict=True)
    with caplog.at_level(logging.WARNING):
        inventory.check(strict=False)
    assert "embed_clap" in caplog.text


def test_what_nothing_needs_any_more_is_listed_and_removed(tmp_path: Path, hub: FakeHub) -> None:
    store = store_of(tmp_path, hub)
    store.pull(tiny())
    (tmp_path / "begun.part").mkdir()
    (tmp_path / "begun.part" / "a.json").write_bytes(b"12345")
    (tmp_path / "the operator's").mkdir()
    (tmp_path / "note.txt").write_text("not ours")
    inventory = inventory_of(store, SINGLE)
    size = sum(path.stat().st_size for path in (tmp_path / "tiny").iterdir())
    assert inventory.leftovers() == [Leftover("begun", 5), Leftover("tiny", size)]
    for name in ("begun", "tiny", "single"):
        inventory.remove(name)
    assert names_in(tmp_path) == ["fingerprints.json", "note.txt", "the operator's"]
    for name in ("note.txt", "the operator's", "..", "../x"):
        with pytest.raises(NotFound):
            inventory.remove(name)
    assert inventory_of(ModelStore(tmp_path / "none")).leftovers() == []
    with pytest.raises(InvalidInput, match="come with a package"):
        inventory_of(store, BUNDLED).remove("bundle")

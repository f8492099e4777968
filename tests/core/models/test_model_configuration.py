"""Which models serve which operations, as the operator's file says."""

from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import (
    Bundled,
    Download,
    Folder,
    ModelRequirement,
    Operation,
    Repository,
)
from opsin.core.errors import ConfigurationError
from opsin.core.models.configuration import ModelConfiguration
from tests.core.model_stores import operation

FILES = ("config.json", "model.safetensors")
PINS = {"model.safetensors": "1" * 64}
DEFAULT = ModelRequirement(
    "encoder", "clip_vit_b_32", Repository("openai/clip", "v1", FILES, PINS), "MIT", 605
)
FACE = ModelRequirement("face", "mtcnn", Bundled("pkg", ("a.pt",)), "MIT")
COMMIT = "b" * 40


def clip() -> Operation[Any, Any]:
    return operation(DEFAULT, FACE, called="embed_clip")


def read(tmp_path: Path, text: str) -> ModelConfiguration:
    file = tmp_path / "models.toml"
    file.write_text(text, "utf-8")
    return ModelConfiguration.read(file)


def encoder(tmp_path: Path, *lines: str) -> ModelRequirement:
    configuration = read(tmp_path, "\n".join(["[embed_clip.encoder]", *lines]))
    made, face = configuration.models_of(clip())
    assert face is FACE, "only what is named is changed"
    assert configuration.unused([clip()]) == []
    return made


def test_without_a_file_plugins_have_their_way() -> None:
    assert ModelConfiguration().models_of(clip()) == (DEFAULT, FACE)


def test_another_repository_with_the_files_of_the_default(tmp_path: Path) -> None:
    made = encoder(tmp_path, 'repository = "laion/CLIP-B-32"', f'revision = "{COMMIT}"')
    assert made.origin == Repository("laion/CLIP-B-32", COMMIT, FILES)
    assert (made.role, made.licence, made.size_bytes) == ("encoder", "not stated", None)
    assert made.name == "laion--CLIP-B-32-fa2bc794", "stable: folders on disk are called so"


def test_another_revision_keeps_the_licence_and_has_another_name(tmp_path: Path) -> None:
    names = set()
    for revision in ("v2", "v3"):
        made = encoder(tmp_path, 'repository = "openai/clip"', f'revision = "{revision}"')
        assert made.licence == "MIT"
        assert made.origin == Repository("openai/clip", revision, FILES)
        names.add(made.name)
    assert len(names) == 2


def test_everything_can_be_said(tmp_path: Path) -> None:
    made = encoder(
        tmp_path,
        'repository = "laion/big"',
        'revision = "main"',
        'files = ["config.json", "model-1.safetensors", "model-2.safetensors"]',
        'licence = "Apache-2.0"',
        f'sha256 = {{"config.json" = "{"A" * 64}"}}',
    )
    files = ("config.json", "model-1.safetensors", "model-2.safetensors")
    assert made.origin == Repository("laion/big", "main", files, {"config.json": "a" * 64})
    assert made.licence == "Apache-2.0"


def test_the_default_said_again_is_the_default(tmp_path: Path) -> None:
    said = ('repository = "openai/clip"', 'revision = "v1"')
    assert encoder(tmp_path, *said) == DEFAULT, "with its name, size and pins"
    assert encoder(tmp_path, *said, 'licence = "ours"').licence == "ours"
    fewer = encoder(tmp_path, *said, 'files = ["config.json"]')
    assert fewer.origin == Repository("openai/clip", "v1", ("config.json",))
    more = encoder(tmp_path, *said, 'files = ["model.safetensors", "a.txt"]')
    assert more.origin == Repository("openai/clip", "v1", ("model.safetensors", "a.txt"), PINS)
    assert len({DEFAULT.name, fewer.name, more.name}) == 3


def test_a_folder_beside_the_file(tmp_path: Path) -> None:
    made = encoder(tmp_path, 'folder = "../our clip"')
    assert made.origin == Folder(tmp_path / "../our clip", FILES)
    assert made.name.startswith("our-clip-")
    absolute = encoder(tmp_path, f'folder = "{tmp_path}/x"', 'files = ["a.safetensors"]')
    assert absolute.origin == Folder(tmp_path / "x", ("a.safetensors",))


def test_a_file_at_an_address(tmp_path: Path) -> None:
    url = "https://download.example.org/models/faster%20rcnn-dd69338a.pth?x=1"
    digest = "DD69338A"
    with pytest.raises(ConfigurationError, match="`file` must be a plain file name"):
        encoder(tmp_path, f'url = "{url}"', f'sha256 = "{digest}"')
    made = encoder(tmp_path, f'url = "{url}"', f'sha256 = "{digest}"', 'file = "rcnn.pth"')
    assert made.origin == Download(url, "rcnn.pth", "dd69338a")
    assert made.name == "rcnn.pth"
    url = "https://download.example.org/models/rcnn-dd69338a.pth"
    assert encoder(tmp_path, f'url = "{url}"', f'sha256 = "{digest}"').name == "rcnn-dd69338a.pth"


def test_what_has_no_files_must_be_given_them(tmp_path: Path) -> None:
    configuration = read(tmp_path, '[embed_clip.face]\nrepository = "a/mtcnn"\nrevision = "main"\n')
    with pytest.raises(ConfigurationError, match=r"\[embed_clip\.face\]: key 'files' is needed"):
        configuration.models_of(clip())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("revision = 'v1'", "exactly one of the keys repository, folder, url is needed"),
        ("folder = 'a'\nurl = 'b'", "exactly one of the keys"),
        ("repository = 'a/b'", "key 'revision': is needed"),
        ("repository = 'a/b'\nrevision = 'v1'\nrepo = 'x'", "key 'repo': is not known here"),
        ("folder = 'a'\nrevision = 'v1'", "key 'revision': is not known here"),
        ("folder = 3", "key 'folder': Input should be a valid string"),
        ("repository = 'a/b'\nrevision = 'v1'\nfiles = 'x'", "key 'files'"),
        ("repository = 'a/b'\nrevision = 'v1'\nfiles = []", "key 'files'"),
        ("repository = 'a/b'\nrevision = 'v1'\nsha256 = 'x'", "key 'sha256'"),
        ("url = 'https://a/b'", "key 'sha256': is needed"),
        ("repository = 'b'\nrevision = 'v1'", "`repository` must be owner/name"),
        ("folder = 'a'\nfiles = ['../b.json']", "not a plain relative path"),
        ("folder = 'a'\nfiles = ['pytorch_model.bin']", "weights must be .safetensors"),
        ("url = 'https://a/b'\nsha256 = 'short'", "8 to 64 hex digits"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, lines: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f"# ours\n\n[embed_clip.encoder]\n{lines}\n").models_of(clip())
    expected = "OPSIN_MODELS: models.toml line 3, [embed_clip.encoder]: "
    assert caught.value.message.startswith(expected)
    assert words in caught.value.message
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n[embed_clip.encoder] 3", r"models\.toml: .*line 2"),
        ("embed_clip = 3", r"'embed_clip' must be a table \[embed_clip\.ROLE\]"),
        ("[embed_clip]\nencoder = 3", r"\[embed_clip\.encoder\]: exactly one of the keys"),
        ("embed_clip.encoder = {x = 1}", r"models\.toml, \[embed_clip\.encoder\]: exactly one"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OPSIN_MODELS: .*{words}"):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"models\.toml: No such file or directory"):
        ModelConfiguration.read(tmp_path / "models.toml")
    (tmp_path / "models.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"models\.toml: .*utf-8"):
        ModelConfiguration.read(tmp_path / "models.toml")


def test_tables_that_serve_nothing_are_named(tmp_path: Path) -> None:
    text = "[embed_clap.encoder]\nfolder = 'a'\n[ embed_clip . \"decoder\" ]\nfolder = 'a'\n"
    assert read(tmp_path, text).unused([clip(), operation(called="other")]) == [
        "OPSIN_MODELS: models.toml line 1, [embed_clap.encoder]: "
        "there is no operation or region finder 'embed_clap'",
        "OPSIN_MODELS: models.toml line 3, [embed_clip.decoder]: "
        "'embed_clip' has no role 'decoder'; it has encoder, face",
    ]

"""What plugins and operators may ask for: origins, and names that stay in the models folder."""

from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import Bundled, Download, Folder, ModelRequirement, Repository
from opsin.core.models.requirements import origin_problem, requirement_problem

WEIGHTS = ("model.safetensors",)
COMMIT = "a" * 40
DIGEST = "0" * 64


@pytest.mark.parametrize(
    "origin",
    [
        Bundled("facenet_pytorch", ("data/pnet.pt",)),
        Download("https://a.invalid/b.pth", "b-1.2+cpu.pth", "01234567"),
        Repository("facebook/dinov2-base", COMMIT, ("config.json", *WEIGHTS)),
        Repository("Salesforce/blip_image.2", "refs/pr/1", ("a/b/model-00001-of-2.safetensors",)),
        Repository("a/b", "main", (*WEIGHTS, "LICENSE", "spiece.model", "merges.txt")),
        Repository("a/b", "main", WEIGHTS, {"model.safetensors": DIGEST}),
        Folder(Path("/models/own")),
        Folder(Path("/models/own"), WEIGHTS, {"model.safetensors": DIGEST}),
    ],
)
def test_good_origins(origin: Any) -> None:
    assert origin_problem(origin) is None
    assert isinstance(hash(origin), int)


@pytest.mark.parametrize(
    "file",
    [
        "..",
        "../model.safetensors",
        "a/../../model.safetensors",
        "/etc/passwd.json",
        "//a.json",
        "a//b.json",
        "./a.json",
        "a/",
        "a\\b.json",
        "C:a.json",
        "~/a.json",
        ".hidden.json",
        "a\nb.json",
        "a\0.json",
        " ",
        "opsin-model.json",
        "opsin-model.json/a.json",
    ],
)
def test_files_stay_in_their_folder(file: str) -> None:
    problem = origin_problem(Repository("a/b", "main", (*WEIGHTS, file)))
    assert problem is not None
    assert "not a plain relative path" in problem or "must be a tuple of file names" in problem
    assert origin_problem(Folder(Path("/models"), (file,))) == problem


@pytest.mark.parametrize(
    "file",
    [
        "pytorch_model.bin",
        "model.pt",
        "model.pth",
        "model.ckpt",
        "model.pkl",
        "modeling_custom.py",
        "model.safetensors.bin",
        "tf_model.h5",
        "noending",
    ],
)
def test_formats_that_can_run_code_are_refused(file: str) -> None:
    problem = origin_problem(Repository("a/b", "main", ("config.json", file)))
    assert problem is not None
    assert problem.startswith(f"{file!r} cannot be used: weights must be .safetensors")


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Repository("b", "main", WEIGHTS), "owner/name"),
        (Repository("a/b/c", "main", WEIGHTS), "owner/name"),
        (Repository("../b", "main", WEIGHTS), "owner/name"),
        (Repository("a/b?c", "main", WEIGHTS), "owner/name"),
        (Repository("a/b", "", WEIGHTS), "a commit, tag or branch"),
        (Repository("a/b", "main", ()), "must name the files"),
        (Repository("a/b", "main", ("a.json", "A.json")), "names a file twice"),
        (Repository("a/b", "main", WEIGHTS, {"other.json": DIGEST}), "is not one of the files"),
        (Repository("a/b", "main", WEIGHTS, {"model.safetensors": "F" * 64}), "lower case"),
        (Repository("a/b", "main", WEIGHTS, {"model.safetensors": "abc"}), "64 hex digits"),
        (Folder(Path("models")), "absolute"),
        (Download("https://a.invalid/b", "fingerprints.json", "01234567"), "plain file name"),
        (Download("https://a.invalid/b", "b.lock", "01234567"), "plain file name"),
    ],
)
def test_origins_that_cannot_be(origin: Any, words: str) -> None:
    assert words in (origin_problem(origin) or "")


@pytest.mark.parametrize(
    "origin",
    [
        Repository("a/b", "main", "model.safetensors"),  # type: ignore[arg-type]  # a plugin's slip
        Repository("a/b", "main", (3,)),  # type: ignore[arg-type]  # likewise
        Repository("a/b", "main", WEIGHTS, "x"),  # type: ignore[arg-type]  # likewise
        Folder("/models"),  # type: ignore[arg-type]  # likewise
        "a/b",
    ],
)
def test_wrong_types_are_told_of(origin: Any) -> None:
    assert origin_problem(origin) is not None


@pytest.mark.parametrize("name", ["", "..", "a/b", ".a", "a b", "fingerprints.json", "a.part"])
def test_a_name_is_that_of_a_folder(name: str) -> None:
    repository = Repository("a/b", "main", WEIGHTS)
    problem = requirement_problem(ModelRequirement("r", name, repository, "MIT"))
    assert "plain name" in (problem or "")

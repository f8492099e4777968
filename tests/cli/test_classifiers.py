"""`opsin classifiers`: trained from another service and from our own, listed, converted."""

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from opsin.cli.exit_codes import ExitCode
from opsin.core.classifiers.legacy_pickle import MOST_BYTES
from tests.cli.command import NO_BUILTINS, file_server, install, opsin

PLUGIN = """
from opsin import Embedding, EmbeddingParams, Operation, hookimpl

class Embed(Operation):
    version = "1"
    description = "Only for its name."
    params = EmbeddingParams
    result = Embedding

    def __init__(self, name):
        self.name = name

    def load(self, context): ...

@hookimpl
def opsin_operations():
    return [Embed("embed_a"), Embed("embed_b")]
"""
PRINT = "a" * 64
A = ("--fingerprint", f"embed_a={PRINT}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path, "embeds", PLUGIN)
    return tmp_path


def rows(count: int = 30, *, gap: float = 1.0, dimensions: int = 6) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    truth = random.random(count) < 0.5
    vectors = random.normal(size=(count, dimensions)) + np.where(truth, gap, -gap)[:, None]
    return [
        {"label": bool(label), "embedding": vector.tolist(), "photo_id": number}
        for number, (label, vector) in enumerate(zip(truth, vectors, strict=True))
    ]


def listed(identity: int, name: str, kind: str = "embed_a") -> dict[str, Any]:
    focus = {"derivative_type_name": "whole_image", "embedding_type_name": kind}
    return {"id": identity, "name": name, "collection_focus": focus}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """A service's files, its address, and the settings with which it may be asked."""
    files = tmp_path / "source"
    files.mkdir()
    with file_server(files) as url:
        yield files, url, NO_BUILTINS | {"fetch_allow": url.removeprefix("http://")}


def put(files: Path, path: str, value: Any) -> None:
    file = files / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), "utf-8")


def test_training_from_another_service(
    folder: Path, source: tuple[Path, str, dict[str, str]]
) -> None:
    files, url, settings = source
    both = listed(8, "both", "embed_a+embed_b")
    put(files, "collections.json", [listed(5, "whales"), both, listed(9, "empty"), {"id": "x"}])
    put(files, "collections/5/training_data.json", rows())
    for kind in ("embed_a", "embed_b"):
        put(files, f"collections/8/training_data.json?embedding_type={kind}", rows())
    put(files, "collections/9/training_data.json", [])
    prints = (*A, "--fingerprint", f"embed_b={'b' * 64}")
    ended = opsin(
        "classifiers", "train", "--source", url, *prints, "--json", cwd=folder, settings=settings
    )
    assert ended.code == ExitCode.OK, ended.err
    assert "entry 3 of /collections.json: id is no integer" in ended.err
    whales, joined, empty = ended.json()["collections"]
    assert empty["error"] == {
        "code": "INVALID_INPUT",
        "message": "the source has no rows of it",
    }
    for one, dimensions in ((whales, 6), (joined, 12)):
        assert sum(one["trained"].values()) == 24 and sum(one["held_out"].values()) == 6
        assert one["best"] == one["classifier"] == one["standings"][0]["classifier"]
        assert one["standings"][0]["score"]["precision"] == expected_precision(dimensions)
    # The members are ours now: no source is needed to train again.
    again = opsin("classifiers", "train", "5", "--json", cwd=folder, settings=settings)
    (trained,) = again.json()["collections"]
    assert trained["classifier"] == whales["classifier"]
    table = opsin("classifiers", "list", cwd=folder, settings=settings)
    assert table.out.count("best") == 2 and whales["classifier"][:12] in table.out
    shown = opsin("classifiers", "list", "5", "--json", cwd=folder, settings=settings).json()
    (collection,) = shown["collections"]
    assert [one["is_best"] for one in collection["classifiers"]] == [True]


def expected_precision(dimensions: int) -> float:
    from sklearn.metrics import precision_score

    given = rows()
    vectors = np.array([one["embedding"] for one in given], np.float32)
    vectors = np.hstack([vectors] * (dimensions // 6))
    truth = np.array([one["label"] for one in given])
    x_train, x_test, y_train, y_test = train_test_split(
        vectors, truth, test_size=0.2, stratify=truth, random_state=42
    )
    model = LogisticRegression(
        class_weight="balanced", C=0.1, solver="liblinear", random_state=42
    ).fit(x_train, y_train)
    return float(precision_score(y_test, model.predict(x_test), average="macro"))


def test_one_that_cannot_be_trained_does_not_stop_the_others(
    folder: Path, source: tuple[Path, str, dict[str, str]]
) -> None:
    files, url, settings = source
    put(files, "collections.json", [listed(1, "few"), listed(2, "gone"), listed(3, "many")])
    put(files, "collections/1/training_data.json", rows(3))
    put(files, "collections/3/training_data.json", rows())
    ask = ("classifiers", "train", "--source", url, *A)
    ended = opsin(*ask, cwd=folder, settings=settings)
    assert ended.code == ExitCode.OK
    assert "1: at least 2 members of each label are needed" in ended.out
    assert "2: the server answered with an error (4xx)" in ended.out
    named = opsin(*ask, "3", "7", cwd=folder, settings=settings)
    assert named.code == ExitCode.FAILED
    assert "7: the source lists no such collection" in named.out
    none = opsin(*ask, "1", cwd=folder, settings=settings)
    assert none.code == ExitCode.FAILED


def test_what_must_be_said_of_a_source(
    folder: Path, source: tuple[Path, str, dict[str, str]]
) -> None:
    files, url, settings = source
    put(files, "collections.json", [listed(5, "whales")])
    put(files, "collections/5/training_data.json", rows())
    ask = ("classifiers", "train", "--source", url)
    silent = opsin(*ask, cwd=folder, settings=settings)
    assert silent.code == ExitCode.FAILED
    assert "does not say which weights of embed_a" in silent.out
    for given, reason in (
        ("embed_a", "is not OPERATION=SHA256"),
        ("embed_a=", "is not OPERATION=SHA256"),
        ("embed_x=1", "did you mean"),
        ("embed_a=here", "embed_a has 0 models"),
    ):
        wrong = opsin(*ask, "--fingerprint", given, cwd=folder, settings=settings)
        assert wrong.code == ExitCode.USAGE and reason in wrong.complaint
    closed = opsin(*ask, *A, cwd=folder, settings=NO_BUILTINS)
    assert closed.code == ExitCode.USAGE
    assert "plain http is only for hosts that are allowed" in closed.complaint
    ours = opsin("classifiers", "train", *A, cwd=folder, settings=settings)
    assert ours.code == ExitCode.USAGE and "--fingerprint is for --source" in ours.complaint


def model() -> LogisticRegression:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(40, 6))
    return LogisticRegression(solver="liblinear").fit(vectors, vectors[:, 0] > 0)


def test_a_pickle_becomes_a_document_and_a_classifier(folder: Path) -> None:
    made = model()
    joblib.dump(made, folder / "old.pkl")
    ask = ("classifiers", "convert", "old.pkl", "--input", "embed_a:target=prominent_face", *A)
    printed = opsin(*ask, cwd=folder, settings=NO_BUILTINS)
    assert printed.code == ExitCode.OK, printed.err
    document = printed.json()
    assert document["coefficients"] == made.coef_[0].tolist()
    assert document["intercept"] == made.intercept_[0]
    assert document["fingerprints"] == [PRINT]
    assert document["inputs"] == [
        {
            "operation": "embed_a",
            "version": "1",
            "target": "prominent_face",
            "face_context": "prominent_person",
            "params": {"normalize": False},
        }
    ]
    kept = opsin(*ask, "--into", "005", cwd=folder, settings=NO_BUILTINS)
    assert kept.code == ExitCode.OK and "the best" in kept.err
    shown = opsin("classifiers", "list", "5", "--json", cwd=folder, settings=NO_BUILTINS).json()
    (stored,) = shown["collections"][0]["classifiers"]
    assert stored["digest"] == kept.out.strip() and stored["is_best"]
    other = ("classifiers", "convert", "old.pkl", "--input", "embed_a", *A, "--into", "5")
    refused = opsin(*other, cwd=folder, settings=NO_BUILTINS)
    assert refused.code == ExitCode.FAILED and "other inputs" in refused.complaint


def test_without_a_target_the_request_chooses_it(folder: Path) -> None:
    (folder / "old.pkl").write_bytes(pickle.dumps(model(), protocol=4))
    ask = ("classifiers", "convert", "old.pkl", "--input", "embed_a:normalize=true", *A)
    (one,) = opsin(*ask, cwd=folder, settings=NO_BUILTINS).json()["inputs"]
    assert (one["target"], one["face_context"]) == (None, None)
    assert one["params"] == {"normalize": True}


class Touch:
    def __reduce__(self) -> Any:
        return eval, ("__import__('pathlib').Path('run').touch()",)


def test_what_is_no_classifier_is_refused(folder: Path) -> None:
    (folder / "hostile.pkl").write_bytes(pickle.dumps(Touch()))
    (folder / "text.pkl").write_text("no pickle")
    (folder / "large.pkl").write_bytes(bytes(MOST_BYTES + 1))
    ask = ("classifiers", "convert")
    for name, reason in (
        ("hostile.pkl", "mentions builtins.eval, which is not allowed"),
        ("text.pkl", "broken"),
        ("large.pkl", "more than"),
        ("missing.pkl", "No such file"),
    ):
        ended = opsin(*ask, name, "--input", "embed_a", *A, cwd=folder, settings=NO_BUILTINS)
        assert ended.code == ExitCode.USAGE and reason in ended.complaint
    assert not (folder / "run").exists()
    (folder / "old.pkl").write_bytes(pickle.dumps(model()))
    no_print = opsin(*ask, "old.pkl", "--input", "embed_a", cwd=folder, settings=NO_BUILTINS)
    assert no_print.code == ExitCode.USAGE and "=here for those" in no_print.complaint
    none = opsin(*ask, "old.pkl", *A, cwd=folder, settings=NO_BUILTINS)
    assert none.code == ExitCode.USAGE


def test_each_company_has_its_own(folder: Path) -> None:
    (folder / "old.pkl").write_bytes(pickle.dumps(model()))
    opsin("keys", "create", "robot", "--company", "acme", cwd=folder, settings=NO_BUILTINS)
    ask = ("classifiers", "convert", "old.pkl", "--input", "embed_a", *A, "--into", "5")
    assert opsin(*ask, "--company", "acme", cwd=folder, settings=NO_BUILTINS).code == ExitCode.OK
    ours = opsin("classifiers", "list", "--json", cwd=folder, settings=NO_BUILTINS).json()
    assert ours == {"collections": []}
    theirs = opsin(
        "classifiers", "list", "--json", "--company", "acme", cwd=folder, settings=NO_BUILTINS
    ).json()
    assert [one["key"] for one in theirs["collections"]] == ["5"]
    nobody = opsin("classifiers", "list", "--company", "x", cwd=folder, settings=NO_BUILTINS)
    assert nobody.code == ExitCode.USAGE and "no company 'x'" in nobody.complaint
    nothing = opsin("classifiers", "train", "x", cwd=folder, settings=NO_BUILTINS)
    assert nothing.code == ExitCode.FAILED and "x: Collection not found" in nothing.out


def test_files_for_scikit_learn(folder: Path, source: tuple[Path, str, dict[str, str]]) -> None:
    """As the scripts wrote them that other programs were made for."""
    files, url, settings = source
    put(files, "collections.json", [listed(5, "whales")])
    put(files, "collections/5/training_data.json", rows())
    made = folder / "trained_classifiers"
    made.mkdir()
    other = {"9": {"model_file": "collection_9_classifier_2025-01-01.pkl"}}
    (made / "best_models.json").write_text(json.dumps(other))
    train = ("classifiers", "train", "--source", url, *A, "--folder", made, "--json")
    ended = opsin(*train, cwd=folder, settings=settings)
    assert ended.code == ExitCode.OK, ended.err
    index = json.loads((made / "best_models.json").read_text())
    name = index["5"].pop("model_file")
    assert re.fullmatch(r"collection_5_classifier_\d{4}-\d\d-\d\d_\d{6}\.pkl", name)
    assert index == other | {
        "5": {
            "derivative_type": "whole_image",
            "embedding_type": "embed_a",
            "dimensionality": 6,
        }
    }
    assert '\n    "5": {\n        ' in (made / "best_models.json").read_text()
    model = joblib.load(made / name)
    assert (made / name).read_bytes() == (
        made / "collection_5_compatible_classifier.pkl"
    ).read_bytes()
    given = rows()
    vectors = np.array([one["embedding"] for one in given], np.float32)
    truth = np.array([one["label"] for one in given])
    x_train, x_test, y_train, _ = train_test_split(
        vectors, truth, test_size=0.2, stratify=truth, random_state=42
    )
    expected = LogisticRegression(
        class_weight="balanced", C=0.1, solver="liblinear", random_state=42
    ).fit(x_train, y_train)
    assert np.allclose(model.predict_proba(x_test), expected.predict_proba(x_test), atol=1e-12)
    assert (model.predict(x_test) == expected.predict(x_test)).all()
    # What is written can be taken in again, without being unpickled.
    convert = ("classifiers", "convert", made / name, "--input", "embed_a", *A)
    document = opsin(*convert, cwd=folder, settings=settings).json()
    assert document["coefficients"] == model.coef_[0].tolist()
    assert sorted(path.name for path in made.iterdir()) == sorted(
        ["best_models.json", name, "collection_5_compatible_classifier.pkl"]
    )

"""scikit-learn's own files become documents; whatever else a pickle can do is refused."""

import gzip
import io
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from opsin.core.classifiers import legacy_arrays, legacy_classifiers, legacy_pickle
from opsin.core.classifiers.legacy_classifiers import convert_classifier
from opsin.core.classifiers.legacy_pickle import MOST_BYTES, read_pickle
from opsin.core.collections.inputs import CollectionInput
from opsin.core.errors import InvalidInput

INPUTS = [CollectionInput(operation="embed_clip_vit_b_32", version="1")]
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(60, 512)).astype(np.float32)
TRUTH = ROWS[:, 0] > 0


def trained(truth: Any = TRUTH, **options: Any) -> LogisticRegression:
    chosen = {"C": 0.1, "class_weight": "balanced", "solver": "liblinear", "random_state": 42}
    return LogisticRegression(**(chosen | options)).fit(ROWS, truth)


MODEL = trained()


def dumped(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


def convert(content: bytes) -> Any:
    return convert_classifier(content, INPUTS, ["a" * 64])


# --- what is read ---------------------------------------------------------------------------------


FILES = {
    "joblib": dumped(MODEL),
    "joblib, zlib": dumped(MODEL, compress=3),
    "joblib, gzip": dumped(MODEL, compress=("gzip", 9)),
    "joblib, protocol 2": dumped(MODEL, protocol=2),
    "joblib, protocol 5": dumped(MODEL, protocol=5),
    **{f"pickle, protocol {n}": pickle.dumps(MODEL, protocol=n) for n in (2, 3, 4, 5)},
    "pickle of an older numpy": pickle.dumps(MODEL, protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    ),
    "pickle of an older scikit-learn": pickle.dumps(MODEL, protocol=2).replace(
        b"sklearn.linear_model._logistic", b"sklearn.linear_model.logistic"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_digit_comes_over(name: str) -> None:
    document = convert(FILES[name])
    assert document.coefficients == tuple(MODEL.coef_[0])
    assert document.intercept == MODEL.intercept_[0]
    assert document.decide(ROWS).tolist() == MODEL.predict(ROWS).tolist()
    assert document.inputs == tuple(INPUTS)
    assert document.training.library == f"scikit-learn {sys.modules['sklearn'].__version__}"
    assert document.training.parameters == {
        "C": 0.1,
        "class_weight": "balanced",
        "solver": "liblinear",
        "random_state": 42,
        "fit_intercept": True,
    }
    assert document.training.seen is None


def test_a_file_on_disk_of_joblib(tmp_path: Path) -> None:
    joblib.dump(MODEL, tmp_path / "collection_8_classifier_2026-02-09_101500.pkl")
    (file,) = tmp_path.iterdir()
    assert convert(file.read_bytes()).intercept == MODEL.intercept_[0]


def test_arrays_in_other_orders_and_sizes() -> None:
    wide = trained()
    wide.coef_ = np.asfortranarray(wide.coef_.astype(">f4"))
    wide.classes_ = np.array([0, 1], np.int16)
    wide.C = np.float64(0.5)
    for content in (dumped(wide), pickle.dumps(wide, protocol=4), pickle.dumps(wide, protocol=5)):
        document = convert(content)
        assert document.coefficients == tuple(float(v) for v in wide.coef_[0])
        assert document.training.parameters["C"] == 0.5
    two_sided = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for content in (dumped(two_sided), pickle.dumps(two_sided, protocol=2)):
        assert read_pickle(content).values.tolist() == two_sided.tolist()


def test_odd_parameters_are_told_as_far_as_they_can_be() -> None:
    odd = trained()
    odd.C, odd.class_weight, odd.random_state = np.inf, {"a": 1}, 2**80
    odd.solver = "x" * 1000
    parameters = convert(pickle.dumps(odd)).training.parameters
    assert parameters["C"] == "inf"
    assert (parameters["class_weight"], parameters["random_state"]) == ("?", "?")
    assert parameters["solver"] == "x" * 40


# --- what is no classifier ------------------------------------------------------------------------


def changed(**attributes: Any) -> bytes:
    model = trained()
    vars(model).update(attributes)
    return pickle.dumps(model)


NO_CLASSIFIERS = {
    "three classes": (
        changed(classes_=np.arange(3), coef_=np.zeros((3, 4)), intercept_=np.zeros(3)),
        "two classes",
    ),
    "classes of text": (changed(classes_=np.array(["a", "b"])), "broken: ValueError"),
    "classes turned round": (changed(classes_=np.array([True, False])), "False and True"),
    "other integers": (changed(classes_=np.array([1, 2])), "False and True"),
    "never trained": (pickle.dumps(LogisticRegression()), "no coef_: it was never trained"),
    "multinomial": (changed(multi_class="multinomial"), "multinomial"),
    "not finite": (changed(coef_=np.full((1, 4), np.nan)), "coef_ has numbers"),
    "no finite intercept": (changed(intercept_=np.array([np.inf])), "intercept_ has numbers"),
    "no features": (changed(coef_=np.zeros((1, 0))), "1 to 65536 features"),
    "too many features": (changed(coef_=np.zeros((1, 65_537))), "1 to 65536 features"),
    "coefficients as a list": (changed(coef_=[[1.0]]), "no coef_"),
    "another estimator": (pickle.dumps(LinearSVC()), "sklearn.svm._classes.LinearSVC"),
    "a dict": (pickle.dumps({"coef_": 1}), "no LogisticRegression"),
    "an array": (dumped(np.zeros(3)), "no LogisticRegression"),
    "objects": (changed(coef_=np.array([[None]])), "broken"),
    "objects by joblib": (dumped(np.array([print])), "broken|not allowed"),
}


@pytest.mark.parametrize("name", NO_CLASSIFIERS)
def test_what_is_no_regression_of_two_classes_is_refused(name: str) -> None:
    content, reason = NO_CLASSIFIERS[name]
    with pytest.raises(InvalidInput, match=reason):
        convert(content)


# --- hostile files --------------------------------------------------------------------------------


def called(module: str, name: str, arguments: bytes = b"(t") -> bytes:
    """A pickle that calls a name, in the oldest protocol."""
    return f"c{module}\n{name}\n".encode() + arguments + b"R."


class Reduced:
    def __init__(self, *how: Any) -> None:
        self._how = how

    def __reduce__(self) -> Any:
        return self._how


def inside_a_regression(value: Any, **options: Any) -> bytes:
    model = trained()
    model.coef_ = value
    return pickle.dumps(model, **options)


MARKER = "opsin-was-here"
TOUCH = f"__import__('pathlib').Path('{MARKER}').touch()"
HOSTILE = {
    "os.system": pickle.dumps(Reduced(__import__("os").system, (f"touch {MARKER}",))),
    "eval": pickle.dumps(Reduced(eval, (TOUCH,))),
    "exec, protocol 0": pickle.dumps(Reduced(exec, (TOUCH,)), protocol=0),
    "inside a regression": inside_a_regression(Reduced(eval, (TOUCH,))),
    "inside, by joblib": dumped([MODEL, Reduced(eval, (TOUCH,))]),
    "in an array of objects": dumped(np.array([Reduced(eval, (TOUCH,))], dtype=object)),
    "getattr": called("builtins", "getattr"),
    "import": called("builtins", "__import__", b"(Vos\ntR"),
    "dots in a name": called("numpy", "dtype.__class__"),
    "another name of an allowed module": called("numpy._core.multiarray", "fromfile"),
    "numpy.load": called("numpy", "load", f"(V{MARKER}\nt".encode()),
    "joblib.load": called("joblib.numpy_pickle", "load", f"(V{MARKER}\nt".encode()),
    "INST": b"(S'x'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'x'\no.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Pid\n.",
    "BINPERSID": b"\x80\x02NQ.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "NEWOBJ_EX": b"\x80\x04)}\x92.",
    "DUP": b"\x80\x02N2.",
    "codecs": called("_codecs", "decode"),
    "bytes by another encoding": called("_codecs", "encode", b"(Vx\nVrot13\nt"),
    "ndarray called": called("numpy", "ndarray", b"((I3\ntt"),
    "object type": called("numpy", "dtype", b"(VO\nt"),
    "record type": called("numpy", "dtype", b"(Vi4,i4\nt"),
    "estimator with arguments": called(
        "sklearn.linear_model._logistic", "LogisticRegression", b"(I1\nt"
    ),
    "a number is called": b"I1\n(tR.",
    "a call without arguments": b"cnumpy\ndtype\nI1\nR.",
    "a state for a number": b"I1\n}b.",
    "a state for a list": b"]}b.",
    "an estimator's state that is no dict": (
        b"csklearn.linear_model._logistic\nLogisticRegression\n(tR]b."
    ),
    "an empty file": b"",
    "no end": pickle.dumps(MODEL)[:-1],
    "cut": pickle.dumps(MODEL)[:300],
    "cut in an array": dumped(MODEL)[:1000],
    "text": b"hello",
    "zip": b"PK\x03\x04" + b"x" * 100,
    "a stack that is empty": b".",
    "a mark where a value should be": b"(.",
    "no mark": b"t.",
    "a memo that is empty": b"g5\n.",
    "append to a number": b"I1\nI2\na.",
    "set in a list": b"]I1\nI2\ns.",
    "a key that is no text": b"\x80\x02}K\x01K\x02s.",
    "broken zlib": b"\x78\x9c" + b"x" * 50,
    "an endless integer": b"I" + b"9" * 5000 + b"\n.",
    "a text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "bytes longer than the file": b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"x.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hostile_is_read_or_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = set(sys.modules)
    with pytest.raises(InvalidInput):
        convert(HOSTILE[name])
    assert list(tmp_path.iterdir()) == []
    new = set(sys.modules) - loaded
    assert all(module.startswith("encodings.") for module in new)  # how texts are written


def test_the_hostile_files_are_hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test before would prove nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "eval", "exec, protocol 0", "inside a regression"):
        pickle.loads(HOSTILE[name])
        (tmp_path / MARKER).unlink()


def wrapper(**told: Any) -> bytes:
    """A joblib file whose array is described as told."""
    described = {
        "shape": (2,),
        "order": "C",
        "dtype": np.dtype("f8"),
        "numpy_array_alignment_bytes": None,
        **told,
    }
    start = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81"
    return start + pickle.dumps(described, protocol=2)[2:-1] + b"b" + bytes(16) + b"."


def test_an_array_of_joblib_is_checked() -> None:
    assert read_pickle(wrapper()).values.tolist() == [0.0, 0.0]
    for told in (
        {"shape": (3,)},
        {"shape": (-2,)},
        {"shape": (2**62,)},
        {"shape": (2**40, 2**40)},
        {"shape": (1, 1, 2)},
        {"shape": 2},
        {"shape": (2.0,)},
        {"order": "K"},
        {"dtype": "f8"},
        {"dtype": np.dtype("M8[s]")},
        {"numpy_array_alignment_bytes": 16, "shape": (4,)},
    ):
        with pytest.raises(InvalidInput):
            read_pickle(wrapper(**told))


def test_little_memory_and_little_time_for_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(MOST_BYTES + 10))
    assert len(bomb) < 200_000
    with pytest.raises(InvalidInput, match="more than"):
        read_pickle(bomb)
    with pytest.raises(InvalidInput, match="more than"):
        read_pickle(bytes(MOST_BYTES + 1))
    # Tuples of the same tuple twice, sixty deep: to hash or print one takes for ever.
    deep = b"\x80\x04)\x94"
    for number in range(60):
        deep += b"h" + bytes([number]) + b"h" + bytes([number]) + b"\x86\x94"
    for end in (b"\x8c\x01x\x93.", b"0."):
        with pytest.raises(InvalidInput):
            read_pickle(deep + end)
    as_key = b"\x80\x04}" + deep[2:] + b"Ns."
    with pytest.raises(InvalidInput):
        read_pickle(as_key)
    monkeypatch.setattr(legacy_pickle, "_MOST_STEPS", 100)
    with pytest.raises(InvalidInput, match="too many instructions"):
        read_pickle(pickle.dumps(list(range(200))))


def test_nothing_here_imports_pickle() -> None:
    for module in (legacy_pickle, legacy_arrays, legacy_classifiers):
        source = Path(module.__file__ or "").read_text("utf-8")
        assert "import pickle\n" not in source and "joblib import" not in source
        assert "getattr" not in source and "importlib" not in source

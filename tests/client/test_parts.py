"""The parts that send nothing: surfaces, pauses, chunks, streams of events."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import opsin.client
from opsin.client import (
    AsyncClient,
    AsyncRun,
    Client,
    Image,
    InvalidFinding,
    Project,
    Retries,
    Run,
    UploadedImage,
)
from opsin.client import chunks as chunking
from opsin.client.chunks import chunks
from opsin.client.following import EventFeed
from opsin.client.records import id_of
from opsin.client.retries import retry_after
from opsin.client.wire import Answer


def surface(kind: type[Any]) -> dict[str, list[tuple[str, Any, Any]]]:
    """Its public methods with their parameters and defaults."""
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(member).parameters.values()]
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and (not name.startswith("_") or name == "__init__")
    }


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Run, AsyncRun)])
def test_both_clients_have_one_surface(one: type[Any], other: type[Any]) -> None:
    assert surface(one) == surface(other)
    documented = {name: getattr(one, name).__doc__ for name in surface(one)}
    for name, text in documented.items():
        theirs = getattr(other, name).__doc__
        assert (text is None) == (theirs is None), name


def test_everything_handed_on_has_a_name() -> None:
    assert sorted(opsin.client.__all__) == opsin.client.__all__
    public = [name for name, one in vars(opsin.client).items() if inspect.isclass(one)]
    assert set(public) <= set(opsin.client.__all__)


def test_the_import_brings_no_server_and_no_model_library() -> None:
    program = "import sys, opsin.client; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    found = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    heavy = {"alembic", "fastapi", "graphql", "numpy", "PIL", "sqlalchemy", "starlette"}
    heavy |= {"strawberry", "torch", "transformers", "uvicorn"}
    assert "httpx" in found
    assert found & heavy == set()


def test_pauses_grow_and_are_random() -> None:
    longest = Retries(attempts=9, first=1, longest=10, random=lambda: 1.0)
    assert [longest.pause(n) for n in range(1, 10)] == [1, 2, 4, 8, 10, 10, 10, 10, None]
    assert Retries(random=lambda: 0.5).pause(3) == 1.0
    for bad in ({"attempts": 0}, {"first": -1.0}):
        with pytest.raises(ValueError, match="at least 1"):
            Retries(**bad)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sat, 21 Nov 2026 18:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 17:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("\u0663", None),
    ],
)
def test_both_forms_of_retry_after(text: str, seconds: float | None) -> None:
    # By the server's own clock, whatever ours says.
    headers = {"retry-after": text, "date": "Sat, 21 Nov 2026 18:00:00 GMT"}
    assert retry_after(Answer(503, headers)) == seconds
    pause = Retries(random=lambda: 0.0).pause(1, Answer(503, headers))
    assert pause == (seconds or 0.0)


def test_no_more_findings_are_held_than_one_chunk() -> None:
    taken = 0

    def found() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for number in range(1000):
            taken = number + 1
            yield {"annotation_type": "mark", "data": {"n": number}}

    made = chunks(found(), 10)
    for number in range(1, 4):
        chunk = next(made)
        assert (chunk.start, len(chunk.texts), taken) == ((number - 1) * 10, 10, number * 10)
    assert [len(chunk.texts) for chunk in made] == [10] * 97


def test_large_findings_make_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "MOST_BYTES", 500)
    found = [{"annotation_type": "mark", "data": {"n": n, "x": "y" * (n * 30)}} for n in range(30)]
    made = list(chunks(found, 1000))
    assert [one for chunk in made for one in json.loads(chunk.body())["annotations"]] == found
    assert all(len(chunk.texts) == 1 or len(b"".join(chunk.texts)) <= 500 for chunk in made)
    assert [chunk.start for chunk in made] == [
        sum(len(before.texts) for before in made[:number]) for number in range(len(made))
    ]


def test_numbers_of_numpy_are_numbers() -> None:
    box = np.array([1, 2, 3, 4], np.float32)
    found = {
        "annotation_type": "mark",
        "confidence": np.float32(0.5),
        "data": {"bbox": box, "n": np.int64(3)},
    }
    (chunk,) = chunks([found], 10)
    (read,) = json.loads(chunk.body())["annotations"]
    assert read == {
        "annotation_type": "mark",
        "confidence": 0.5,
        "data": {"bbox": [1, 2, 3, 4], "n": 3},
    }
    with pytest.raises(InvalidFinding):
        list(chunks([found | {"confidence": np.float32("nan")}], 10))


def test_masks_are_cocos_run_lengths() -> None:
    inside = np.zeros((3, 4), bool)
    inside[1:, 1:3] = True
    expected = {"counts": [4, 2, 1, 2, 3], "size": [3, 4]}
    for given in (inside, inside.tolist(), inside.astype(np.uint8)):
        assert opsin.client.mask(given).data == {"rle": expected, "format": "rle"}
    full = opsin.client.mask([[1, 1]]).data["rle"]
    assert full == {"counts": [0, 2], "size": [1, 2]}


STREAM = (
    b':\n\nevent: next\ndata: {"data": 1}\n\n'
    b'event: next\r\ndata: {"data":\r\ndata: "\xc3\xa9"}\r\n\r\n:\n\n'
    b'event: complete\ndata:\n\nevent:next\ndata:{"data": 3}\n\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_however_they_are_cut(size: int) -> None:
    feed = EventFeed()
    found = [
        event
        for start in range(0, len(STREAM), size)
        for event in feed.feed(STREAM[start : start + size])
    ]
    assert found == [{"data": 1}, {"data": "é"}, {"data": 3}]


@pytest.mark.parametrize(
    "make",
    [
        lambda: opsin.client.classification({}),
        lambda: opsin.client.mask([[1, 0], [1]]),
    ],
)
def test_findings_that_make_no_sense(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"at least one|shorter"):
        make()


def test_what_a_finding_is_made_of() -> None:
    with pytest.raises(TypeError, match="scores by class"):
        opsin.client.classification("cat", 0.9)  # type: ignore[arg-type]  # a mistake
    with pytest.raises(TypeError, match="what `upload` gives"):
        opsin.client.heatmap("heat.png")  # type: ignore[arg-type]  # a mistake


def test_records_stand_for_their_ids() -> None:
    project = Project("p", "name", "group")
    image = Image("i", "a.png", "image/png", 1, 1, 1)
    for given, identity in (
        ("x", "x"),
        (project, "p"),
        (image, "i"),
        (UploadedImage(image, is_new=True), "i"),
    ):
        assert id_of(given) == identity
    with pytest.raises(TypeError, match="not dict"):
        id_of({"id": "i"})  # type: ignore[arg-type]  # a mistake

"""Where a YOLO dataset keeps its pictures and labels, by `data.yaml` or by its folders."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from opsin.core.errors import InvalidInput
from opsin.core.imports.found import Refused
from opsin.core.imports.trees import PICTURE_ENDINGS, Tree, clean_name
from opsin.core.imports.yolo_labels import Labels

NAMES = ("classes.txt", "obj.names", "labels/classes.txt")
"""Where other tools write what the numbers of classes mean, a name a line."""
_SPLITS = ("train", "val", "valid", "test")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """What the lines of labels mean, and the pictures by split, as `split, name` in order."""

    labels: Labels
    described_by: str
    """The name of the file that says what class numbers mean, and its text."""
    text: bytes
    pictures: tuple[tuple[str, str], ...]


def find_description(tree: Tree) -> str | None:
    """The name of the file that says what the classes are, of `data.yaml` and its kin; or None."""
    names = tree.files()
    for depth in (0, 1):
        found = [name for name in names if name.count("/") == depth]
        for name in found:
            if PurePosixPath(name).name in ("data.yaml", "data.yml", "dataset.yaml"):
                return name
        others = [name for name in found if name.endswith((".yaml", ".yml"))]
        if len(others) == 1:
            return others[0]
    return next((name for name in NAMES if name in names), None)


def read_layout(tree: Tree, description: str) -> Layout:
    """Raises InvalidInput when it cannot be told where pictures are, or what classes mean."""
    try:
        content = tree.read(description, _MOST_BYTES)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{description} is not UTF-8") from None
    except Refused as error:
        raise InvalidInput(f"{description}: {error}") from None
    if not description.endswith((".yaml", ".yml")):
        names = dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
        pictures = tuple(("", name) for name in _pictures(tree, ""))
        return Layout(Labels(names), description, content, pictures)
    given = _document(text, description)
    home = str(PurePosixPath(description).parent)
    found = tuple(_by_split(tree, given, home))
    if not found:
        raise InvalidInput(
            f"{description}: none of the folders of train, val and test is there with pictures"
        )
    return Layout(_labels(given, description), description, content, found)


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        # Texts as they are: `no` is a fine name for a class.
        found = yaml.load(text, yaml.BaseLoader)  # builds nothing but texts
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(f"{name} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict) or "names" not in found:
        raise InvalidInput(f"{name} has no `names` for the numbers of classes")
    return found


def _labels(given: dict[str, Any], where: str) -> Labels:
    names = given["names"]
    try:
        listed = names.items() if isinstance(names, dict) else enumerate(_texts(names))
        by_number = {int(number): _text(name) for number, name in listed}
        keypoints, each = (int(number) for number in given.get("kpt_shape") or (0, 0))
    except (TypeError, ValueError):
        raise InvalidInput(f"{where}: names or kpt_shape cannot be read") from None
    if each not in (0, 2, 3) or keypoints < 0:
        raise InvalidInput(f"{where}: kpt_shape must be a number of keypoints, and 2 or 3")
    points = given.get("kpt_names") or ()
    if isinstance(points, dict):
        points = next(iter(points.values()), ())
    try:
        return Labels(by_number, keypoints, each, tuple(_texts(points)))
    except TypeError:
        raise InvalidInput(f"{where}: kpt_names cannot be read") from None


def _texts(value: Any) -> Sequence[str]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list is expected")
    return [_text(one) for one in value]


def _text(value: Any) -> str:
    """Never made of a list: one that names others again and again would be a text of gigabytes."""
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _by_split(tree: Tree, given: dict[str, Any], home: str) -> Iterator[tuple[str, str]]:
    """Raises InvalidInput for places that are no texts."""
    seen: set[str] = set()
    path = given.get("path") or ""
    for split in _SPLITS:
        places = given.get(split) or ()
        for place in [places] if isinstance(places, str) else places:
            if not isinstance(place, str) or not isinstance(path, str):
                raise InvalidInput(f"{split} and path: each must be the name of a folder")
            for name in _of_place(tree, place, path, home):
                if name not in seen:
                    seen.add(name)
                    yield split, name


def _of_place(tree: Tree, place: str, path: str, home: str) -> Iterator[str]:
    """The pictures of a folder, or those that a text file lists.

    `path` is of the machine where the file was written, and some tools begin with `../` for what
    is beside them: what leads out of the source is looked for in it.
    """
    within = place
    while within.startswith("../"):
        within = within[3:]
    for name in (f"{home}/{path}/{place}", f"{home}/{place}", f"{home}/{within}"):
        with contextlib.suppress(Refused):
            name = clean_name(name)
            if tree.is_folder(name):
                yield from _pictures(tree, name)
                return
            if name.endswith(".txt"):
                yield from _listed(tree, name)
                return


def _listed(tree: Tree, name: str) -> Iterator[str]:
    home = PurePosixPath(name).parent
    lines = tree.read(name, _MOST_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    for line in filter(None, map(str.strip, lines)):
        yield str(home / line) if line.startswith("./") else line


def _pictures(tree: Tree, folder: str) -> Iterator[str]:
    for name in tree.files(folder):
        if PurePosixPath(name).suffix.lower() in PICTURE_ENDINGS:
            yield name

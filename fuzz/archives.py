"""ZIP archives, and pickles that are read as data."""

import io
import zipfile
from collections.abc import Sequence
from contextlib import suppress

from fuzz.target import Target, check
from opsin.core.archives import Archive, ArchiveLimits
from opsin.core.classifiers.legacy_pickle import read_pickle
from opsin.core.errors import InvalidInput, TooLarge

LIMITS = ArchiveLimits(entries=50, unpacked_bytes=1 << 20, ratio=100)


def archive(data: bytes) -> None:
    """Entries are read as they are told, or not at all."""
    try:
        opened = Archive(io.BytesIO(data), LIMITS)
    except (InvalidInput, TooLarge):
        return
    check(len(opened.entries) <= LIMITS.entries, "no more entries than allowed")
    for entry in opened.entries:
        head, content = opened.head(entry, 16), opened.read(entry)
        if content is not None:
            check(len(content) == entry.size, "as large as its record says")
            check(head is None or content.startswith(head), "it begins as it is")
    opened.close()


def pickle(data: bytes) -> None:
    with suppress(InvalidInput):
        read_pickle(data)


def packed(
    names: Sequence[str] = ("a.png", "b/"),
    method: int = zipfile.ZIP_DEFLATED,
    content: bytes = b"x" * 99,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name in names:
            made.writestr(name, b"" if name.endswith("/") else content)
    return file.getvalue()


def understated(content: bytes, size: int, method: int) -> bytes:
    """An archive whose only file unpacks to more than its records say."""
    made = bytearray(packed(["a.png"], method, content))
    index = made.rfind(b"PK\x01\x02")
    for at in (22, index + 24):
        made[at : at + 4] = size.to_bytes(4, "little")
    return bytes(made)


def _archive_seeds() -> Sequence[bytes]:
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return [
        *(packed(method=method) for method in methods),
        packed([]),
        packed([f"{number}.png" for number in range(60)]),
        *(understated(bytes(1 << 20), 10, method) for method in methods[1:]),
    ]


def _pickle_seeds() -> Sequence[bytes]:
    return [
        b"\x80\x04]\x94(K\x01K\x02e.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"csklearn.linear_model._logistic\nLogisticRegression\n)\x81}S'a'\nI1\nsb.",
    ]


TARGETS = (Target("archives", archive, _archive_seeds), Target("pickles", pickle, _pickle_seeds))

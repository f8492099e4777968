"""Small files and texts that were made to take much memory or time: they are refused at once."""

import io
import json
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from fuzz.archives import packed, understated
from opsin.core.archives import Archive, ArchiveLimits
from opsin.core.errors import InvalidInput
from opsin.core.exports.masks import mask_of
from opsin.core.exports.run_lengths import read_counts
from opsin.core.fetch import parse_url
from opsin.core.imports.found import Refused
from opsin.core.imports.trees import ZipTree
from opsin.core.webhooks.posting import Poster

MIB = 2**20
HARD = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
"""Ways of packing that are unpacked as a whole however little is asked for."""


@pytest.mark.parametrize("method", [*HARD, zipfile.ZIP_DEFLATED])
def test_an_entry_unpacks_to_no_more_than_it_says(method: int) -> None:
    """45 MB of nothing in fifty bytes of bzip2, told to be ten bytes."""
    bomb = understated(bytes(45 * MIB), 10, method)
    archive = Archive(io.BytesIO(bomb), ArchiveLimits())
    (entry,) = archive.entries
    tracemalloc.start()
    try:
        head, content = archive.head(entry, 16), archive.read(entry)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert head is None and content is None


@pytest.mark.parametrize("method", HARD)
def test_a_source_of_an_import_is_no_bomb(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed(["a.png"], method, bytes(45 * MIB)))
    tree = ZipTree(path, max_file_bytes=MIB)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="deflate"):
            tree.open("a.png")
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    tree.close()


def test_an_entry_without_a_name_is_an_entry() -> None:
    made = bytearray(packed(["a"]))
    index = made.rfind(b"PK\x01\x02")
    made[index + 28 : index + 30] = b"\0\0"  # the length of its name
    del made[index + 46]
    end = made.rfind(b"PK\x05\x06")
    made[end + 12 : end + 16] = (end - index).to_bytes(4, "little")
    archive = Archive(io.BytesIO(bytes(made)), ArchiveLimits())
    assert [entry.name for entry in archive.entries] == [""]
    assert archive.read(archive.entries[0]) is None  # its own head has another


def test_run_lengths_without_an_end_are_refused_at_once() -> None:
    started = time.perf_counter()
    for text in ("o" * 5_000_000, "0" * 100 + "o" * 5_000_000 + "0", "O" * 5_000_000):
        with pytest.raises(ValueError, match="not run lengths"):
            read_counts(text)
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [1 << 70, 1 << 70], "counts": [1, 1]},
        {"size": [1 << 40, 1], "counts": [0, 1]},
        {"size": [0, 0], "counts": [0, 1]},
        {"size": [-5, -5], "counts": [0, 1]},
        {"size": [48, 64], "counts": [10**400, 1]},
    ],
)
def test_a_mask_of_no_picture_is_none(mask: dict[str, object]) -> None:
    assert mask_of([{"rle": mask}], 64, 48) is None
    good = {"rle": {"size": [48, 64], "counts": [0, 96]}}
    found = mask_of([good, {"rle": mask}], 64, 48)
    assert found is not None and found.sum() == 96


@pytest.mark.parametrize("host", ["\ud800", "a\udcff.example.org", "\udfff:80"])
async def test_a_url_of_half_characters_is_invalid(host: str) -> None:
    url = json.loads(json.dumps(f"https://{host}/"))
    with pytest.raises(InvalidInput):
        parse_url(url)
    poster = Poster(timeout=1)
    with pytest.raises(InvalidInput):
        poster.check(url)
    await poster.close()

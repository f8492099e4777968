"""Hostile and broken files: refused with a short text, fast, and in little memory."""

import contextlib
import io
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from opsin.core.errors import InvalidImage
from opsin.core.imaging import ImageLimits, decode, probe
from opsin.core.imaging import structure as image_structure
from tests import pictures
from tests.pictures import png_chunk, raw_png, raw_tiff

LIMITS = ImageLimits()
SOLID = pictures.encoded(Image.new("RGB", (8, 8)), "JPEG")


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def in_jpeg(extra: bytes) -> bytes:
    return SOLID[:2] + extra + SOLID[2:]


def rle_bmp(width: int, height: int, packed: bytes) -> bytes:
    fields = (40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    header = struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1_024) + struct.pack("<IiiHHIIiiII", *fields)
    colours = b"".join(bytes([255 - level, level, 0, 0]) for level in range(256))
    return b"BM" + header + colours + packed


def many_scans(scans: int, progressive: bool = True) -> bytes:
    plain = pictures.encoded(Image.new("L", (4_000, 4_000)), "JPEG", progressive=progressive)
    start, end = plain.rindex(b"\xff\xda"), plain.rindex(b"\xff\xd9")
    return plain[:end] + plain[start:end] * scans + plain[end:]


def tiles(count: int, kind: int = 324) -> bytes:
    tags = {256: (3, 1, 10_000), 257: (3, 1, 10_000), 258: (3, 1, 8), 259: (3, 1, 1)}
    tags |= {262: (3, 1, 1), 277: (3, 1, 1), 322: (3, 1, 16), 323: (3, 1, 16), 278: (3, 1, 1)}
    return raw_tiff(tags | {kind: (4, count, 8)}, bytes(4 * count))


def texts(count: int, name: bytes = b"zTXt") -> bytes:
    packed = zlib.compress("é".encode() + bytes(2**20 - 8))
    start = b"%d\0\0" if name == b"zTXt" else b"%d\0\1\0\0\0"
    return b"".join(png_chunk(name, start % number + packed) for number in range(count))


def grey_png(before: bytes = b"", after: bytes = b"") -> bytes:
    return raw_png(8, 8, 8, 0, bytes(72), before=before, after=after)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "60,000 pixels square": pictures.huge_png_header,
    "chunks before the pixels": lambda: grey_png(before=png_chunk(b"abCd") * 100_000),
    "chunks after the pixels": lambda: grey_png(after=png_chunk(b"abCd") * 500_000),
    "compressed texts": lambda: grey_png(before=texts(64)),
    "compressed texts after": lambda: grey_png(after=texts(64, b"iTXt")),
    "one long text": lambda: grey_png(
        png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))
    ),
    "colour profile": lambda: grey_png(
        png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8)))
    ),
    "EXIF in pieces": lambda: in_jpeg(segment(0xE1, b"Exif\0\0" + b"x" * 10) * 200_000),
    "EXIF too long": lambda: in_jpeg(segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 20),
    "segments": lambda: in_jpeg(segment(0xE5, b"") * 500_000),
    "bytes between segments": lambda: in_jpeg(bytes(5_000_000)),
    "fill bytes": lambda: in_jpeg(b"\xff" * 5_000_000),
    "progressive scans": lambda: many_scans(500),
    "GIF comment in single bytes": lambda: (
        b"GIF89a\x08\0\x08\0\0\0\0!\xfe" + b"\1a" * 2_000_000 + b"\0"
    ),
    "GIF extensions": lambda: b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe\0" * 1_000_000,
    "GIF of nothing": lambda: b"GIF89a\x08\0\x08\0\0\0\0" + b"\1" * 5_000_000,
    "run lengths": lambda: rle_bmp(30_000, 3_333, b"\1\1\0\0" * 3_333 + b"\0\1"),
    "tiles": lambda: tiles(1_000_000),
    "strips": lambda: tiles(1_000_000, 273),
    "tags": lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 65_535),
    "tags in a BigTIFF": lambda: (
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 10**6) + bytes(20 * 10**6 - 1)
    ),
    "WebP chunks": lambda: (
        b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(10) + b"abcd\0\0\0\0" * 500_000
    ),
    "WebP canvas": lambda: (
        b"RIFF" + struct.pack("<I", 40) + b"WEBPVP8X" + struct.pack("<I", 10)
        + b"\2\0\0\0" + b"\xfe\x3f\0" * 2 + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_quickly(name: str) -> None:
    data = HOSTILE[name]()
    assert len(data) <= LIMITS.max_bytes
    start = time.perf_counter()
    with pytest.raises(InvalidImage) as refusal:
        decode(data, LIMITS)
    # Pillow alone takes 3 to 30 seconds over several of these; the margin is for a busy machine.
    assert time.perf_counter() - start < 2
    assert len(refusal.value.message) < 120 and "0x" not in refusal.value.message


def test_hostile_files_take_little_memory() -> None:
    program = """
import resource
from opsin.core.errors import InvalidImage
from opsin.core.imaging import decode
from tests import pictures
from tests.core.imaging.test_image_structure import HOSTILE, LIMITS
data = [make() for make in HOSTILE.values()]
decode(pictures.portrait(), LIMITS)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for each in data:
    try:
        decode(each, LIMITS)
    except InvalidImage:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert int(done.stdout) < 100


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"),
        (b"\0", "not an image in an allowed format (JPEG, PNG, WEBP, GIF, BMP, TIFF)"),
        (b"hello, world", "not an image in an allowed format (JPEG, PNG, WEBP, GIF, BMP, TIFF)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in an allowed"),
        (b"\xff\xd8\xff", "the header of the JPEG is damaged"),
        (b"\x89PNG\r\n\x1a\n", "the header of the PNG is damaged"),
        (pictures.truncated(pictures.solid_png()), "the PNG is truncated"),
        (pictures.truncated(pictures.noise_jpeg()), "the JPEG is truncated"),
    ],
)
def test_refusals_say_why_in_words_for_the_caller(data: bytes, text: str) -> None:
    with pytest.raises(InvalidImage) as refusal:
        decode(data, LIMITS)
    assert refusal.value.message.startswith(text)


NOISE = Image.fromarray(pictures.noise(120, 90))
WHOLE: dict[str, bytes] = {
    "RGB JPEG": pictures.noise_jpeg(120, 90),
    "progressive JPEG": pictures.encoded(NOISE, "JPEG", progressive=True),
    "grey JPEG": pictures.encoded(NOISE.convert("L"), "JPEG"),
    "CMYK JPEG": pictures.encoded(NOISE.convert("CMYK"), "JPEG"),
    "PNG": pictures.encoded(NOISE, "PNG"),
    "palette PNG": pictures.encoded(NOISE.convert("P"), "PNG"),
    "lossy WebP": pictures.encoded(NOISE, "WEBP"),
    "lossless WebP": pictures.encoded(NOISE, "WEBP", lossless=True),
    "GIF": pictures.encoded(NOISE, "GIF"),
    "BMP": pictures.encoded(NOISE, "BMP"),
    "TIFF": pictures.encoded(NOISE, "TIFF"),
    "LZW TIFF": pictures.encoded(NOISE, "TIFF", compression="tiff_lzw"),
    "JPEG TIFF": pictures.encoded(NOISE, "TIFF", compression="jpeg"),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_is_refused(name: str) -> None:
    data = WHOLE[name]
    assert decode(data, LIMITS).info.width
    for share in (0.999, 0.97, 0.75, 0.5, 0.25, 0.05):
        with pytest.raises(InvalidImage):
            decode(pictures.truncated(data, share), LIMITS)


def test_a_damaged_png_is_refused_wherever_the_damage_is() -> None:
    data = bytearray(pictures.encoded(NOISE, "PNG"))
    for at in (30, 60, len(data) // 2, len(data) - 20, len(data) - 2):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(InvalidImage):
            decode(bytes(damaged), LIMITS)


def test_what_follows_the_end_of_a_picture_does_no_harm() -> None:
    for name in ("RGB JPEG", "PNG", "GIF", "BMP", "TIFF"):
        assert decode(WHOLE[name] + b"trailing bytes", LIMITS).info.width == 120


def test_ordinary_files_stay_below_every_bound() -> None:
    few = grey_png(texts(8), texts(8, b"iTXt"))
    assert decode(few, LIMITS).info.format == "PNG"
    assert decode(many_scans(20), LIMITS).info.width == 4_000
    pieces = b"\4\1" + b"\0\0" + b"\4\2" + b"\0\1"
    assert decode(rle_bmp(4, 2, pieces), LIMITS).info.format == "BMP"
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)) for _ in range(40))
    assert decode(in_jpeg(profile), LIMITS).info.format == "JPEG"
    tags = {256: (3, 1, 16), 257: (3, 1, 16), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {277: (3, 1, 1), 278: (3, 1, 16), 273: (4, 1, 8), 279: (4, 1, 256)}
    assert decode(raw_tiff(tags, bytes(256)), LIMITS).info.format == "TIFF"


def test_scans_of_a_baseline_jpeg_are_counted_too() -> None:
    header = segment(0xC0, b"\x08\0\x08\0\x08\x03" + b"\1\x11\0\2\x11\0\3\x11\0")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0"
    image_structure.check_whole(io.BytesIO(b"\xff\xd8" + header + scan * 9), "JPEG")
    with pytest.raises(InvalidImage, match="more scans"):
        image_structure.check_whole(io.BytesIO(b"\xff\xd8" + header + scan * 900), "JPEG")


def test_frames_are_counted_up_to_a_bound() -> None:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    data = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + frame * 20_000 + b";"
    info = probe(data, LIMITS)
    assert info.frames == image_structure.MAX_FRAMES_COUNTED
    assert info.notes == ("animated: 10,000 or more frames, the first is used",)


def test_a_tiff_whose_pages_go_round_in_a_circle() -> None:
    data = bytearray(WHOLE["TIFF"])
    (start,) = struct.unpack_from("<L", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<L", data, start + 2 + 12 * entries, start)
    assert decode(bytes(data), LIMITS).info.frames == 1


def test_tags_that_point_at_the_same_bytes_are_not_read_again_and_again() -> None:
    tags = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {277: (3, 1, 1), 273: (4, 1, 8), 278: (3, 1, 8), 279: (3, 1, 64)}
    overlapping = {40_000 + number: (7, 1_000_000, 8) for number in range(4_000)}
    start = time.perf_counter()
    with contextlib.suppress(InvalidImage):
        decode(raw_tiff(tags | overlapping, bytes(1_000_000)), LIMITS)
    assert time.perf_counter() - start < 2


def test_every_picture_of_the_tests_is_known_by_its_first_bytes() -> None:
    assert np.all([image_structure.sniff(data[:16]) is not None for data in WHOLE.values()])
    assert image_structure.sniff(b"RIFF\0\0\0\0AVI LIST") is None

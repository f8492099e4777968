"""What a picture file says of itself before a decoder sees it: format, frames, orientation.

Pillow's readers are pure Python up to the first pixel, and some of them take minutes over a small
file made for it (a million empty chunks, a comment in one-byte pieces, thousands of progressive
scans).  The walkers here visit the same structure first, in bounded steps, and refuse such files.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from opsin.core.errors import InvalidImage
from opsin.core.imaging.orientation import exif_orientation

MAX_FRAMES_COUNTED = 10_000
MAX_PARTS_BEFORE_PIXELS = 4_096
MAX_PARTS = 400_000
MAX_PNG_TEXTS = 32
MAX_EXIF_BYTES = 512 * 1024
MAX_JPEG_STRAY_BYTES = 64 * 1024
MAX_JPEG_SCANS = 100
MAX_TIFF_PIECES = 100_000
MAX_RLE_PIXELS = 4_000_000

_SIGNATURES = (
    ("JPEG", b"\xff\xd8\xff"),
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("BMP", b"BM"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
)


@dataclass(frozen=True, slots=True)
class Outline:
    """Read from the structure alone; counting stops at MAX_FRAMES_COUNTED.

    `orientation` is EXIF's 1..8; TIFF keeps it among its tags, which Pillow reads.
    """

    frames: int = 1
    orientation: int = 1


def sniff(head: bytes) -> str | None:
    """Pillow's name of the format that `head` (16 bytes or more) begins; None when unknown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, start in _SIGNATURES if head.startswith(start)), None)


def outline(file: IO[bytes], image_format: str) -> Outline:
    """Walk the header of `file`; raises InvalidImage for a structure no honest writer makes."""
    return _WALKERS[image_format](file)


def check_whole(file: IO[bytes], image_format: str) -> None:
    """What Pillow leaves unchecked while decoding: PNG checksums, the number of JPEG scans."""
    if image_format == "PNG":
        for _ in _png_chunks(file, checksums=True):
            pass
    elif image_format == "JPEG":
        _check_scans(file)


def _more_than_ordinary(what: str) -> InvalidImage:
    return InvalidImage(f"the {what} than any ordinary picture")


def _unpack(layout: str, file: IO[bytes]) -> tuple[int, ...]:
    """Numbers at the file's position; raises struct.error at its end."""
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _jpeg_segments(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Marker and payload of each segment up to and including the first start of scan."""
    file.seek(2)
    outside = 0
    for _ in range(MAX_PARTS_BEFORE_PIXELS):
        before = b""
        while (byte := file.read(1)) and (before != b"\xff" or byte in b"\0\xff"):
            before = byte
            outside += 1
            if outside > MAX_JPEG_STRAY_BYTES:
                raise _more_than_ordinary("JPEG has more bytes between its segments")
        if not byte:
            return
        marker = byte[0]
        if 0xD0 <= marker <= 0xD9:
            continue
        yield marker, file.read(max(int.from_bytes(file.read(2)) - 2, 0))
        if marker == 0xDA:
            return
    raise _more_than_ordinary("JPEG has more segments before its pixels")


def _jpeg(file: IO[bytes]) -> Outline:
    orientation, exif_bytes = 1, 0
    for marker, payload in _jpeg_segments(file):
        if marker == 0xE1 and payload.startswith(b"Exif\0\0"):
            if not exif_bytes:
                orientation = exif_orientation(payload)
            exif_bytes += len(payload)
            if exif_bytes > MAX_EXIF_BYTES:
                raise _more_than_ordinary("JPEG has more EXIF data")
    return Outline(orientation=orientation)


def _check_scans(file: IO[bytes]) -> None:
    components, progressive = 0, False
    for marker, payload in _jpeg_segments(file):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(payload) > 5:
            components, progressive = payload[5], marker & 3 == 2
        elif marker == 0xDA and (progressive or payload[:1] < bytes([components])):
            # Inside coded pixels 0xFF is followed by 0 or a restart, so these are real markers.
            rest = file.read()
            end = rest.find(b"\xff\xd9")
            if rest.count(b"\xff\xda", 0, end if end >= 0 else len(rest)) >= MAX_JPEG_SCANS:
                raise _more_than_ordinary("JPEG has more scans")


def _png_chunks(file: IO[bytes], checksums: bool = False) -> Iterator[tuple[bytes, int]]:
    """Name and length of each chunk, the file standing at its data unless checksums are read."""
    file.seek(8)
    texts = 0
    for _ in range(MAX_PARTS):
        head = file.read(8)
        length, name = int.from_bytes(head[:4]), head[4:]
        start = file.tell()
        texts += name in (b"zTXt", b"iTXt")
        if texts > MAX_PNG_TEXTS:
            raise _more_than_ordinary("PNG has more compressed texts")
        if checksums:
            data = file.read(length)
            checksum = file.read(4)
            if len(checksum) < 4:
                raise InvalidImage("the PNG is truncated")
            if zlib.crc32(data, zlib.crc32(name)) != int.from_bytes(checksum):
                raise InvalidImage("the PNG is damaged: a checksum is wrong")
        yield name, length
        if name == b"IEND" or len(head) < 8:
            return
        file.seek(start + length + 4)
    raise _more_than_ordinary("PNG has more chunks")


def _png(file: IO[bytes]) -> Outline:
    frames, orientation = 1, 1
    for number, (name, length) in enumerate(_png_chunks(file)):
        if number > MAX_PARTS_BEFORE_PIXELS:
            raise _more_than_ordinary("PNG has more chunks before its pixels")
        if name == b"IDAT":
            # Browsers, too, know only the EXIF block that comes before the pixels.
            break
        if name == b"acTL":
            frames = min(max(int.from_bytes(file.read(4)), 1), MAX_FRAMES_COUNTED)
        elif name == b"eXIf":
            orientation = exif_orientation(file.read(min(length, MAX_EXIF_BYTES)))
    return Outline(frames, orientation)


def _gif(file: IO[bytes]) -> Outline:
    frames = parts = 0
    file.seek(10)
    (flags,) = _unpack("B", file)
    file.seek(13 + _palette_bytes(flags))
    while parts < MAX_PARTS and frames < MAX_FRAMES_COUNTED:
        parts += 1
        if not frames and parts > MAX_PARTS_BEFORE_PIXELS:
            raise _more_than_ordinary("GIF has more blocks before its first frame")
        introducer = file.read(1)
        if introducer == b",":
            place = file.read(9)
            if len(place) < 9:
                break
            frames += 1
            file.seek(_palette_bytes(place[8]) + 1, 1)
        elif introducer == b"!":
            file.seek(1, 1)
        elif introducer in (b"", b";"):
            break
        else:
            continue
        while (size := file.read(1)) > b"\0" and parts < MAX_PARTS:
            parts += 1
            file.seek(size[0], 1)
    return Outline(max(frames, 1))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(file: IO[bytes]) -> Outline:
    frames, orientation = 0, 1
    file.seek(12)
    for _ in range(MAX_PARTS):
        head = file.read(8)
        if len(head) < 8 or frames > MAX_FRAMES_COUNTED:
            return Outline(min(max(frames, 1), MAX_FRAMES_COUNTED), orientation)
        length = int.from_bytes(head[4:], "little")
        start = file.tell()
        if head[:4] == b"EXIF":
            orientation = exif_orientation(file.read(min(length, MAX_EXIF_BYTES)))
        frames += head[:4] == b"ANMF"
        file.seek(start + length + length % 2)
    raise _more_than_ordinary("WebP has more chunks")


def _bmp(file: IO[bytes]) -> Outline:
    file.seek(14)
    header, width, height = _unpack("<Lll", file)
    if header >= 40:
        file.seek(30)
        # Pillow undoes run lengths in Python, a pixel at a time, holding the interpreter's lock.
        if _unpack("<L", file)[0] in (1, 2) and abs(width * height) > MAX_RLE_PIXELS:
            raise InvalidImage(f"a run-length BMP may have {MAX_RLE_PIXELS:,} pixels at most")
    return Outline()


def _tiff(file: IO[bytes]) -> Outline:
    file.seek(0)
    head = file.read(4)
    order, big = ("<" if head[:2] == b"II" else ">"), b"+" in head
    counter, entry, pointer = ("Q", "HHQQ", "Q") if big else ("H", "HHLL", "L")
    file.seek(8 if big else 4)
    (at,) = _unpack(order + pointer, file)
    seen: set[int] = set()
    try:
        while 0 < at < 2**63 and at not in seen and len(seen) < MAX_FRAMES_COUNTED:
            file.seek(at)
            (entries,) = _unpack(order + counter, file)
            if not seen:
                _check_tags(file, entries, order + entry)
            seen.add(at)
            table = struct.calcsize(order + counter) + entries * struct.calcsize(order + entry)
            file.seek(min(at + table, 2**63 - 1))
            (at,) = _unpack(order + pointer, file)
    except struct.error:
        pass
    return Outline(max(len(seen), 1))


def _check_tags(file: IO[bytes], entries: int, layout: str) -> None:
    if entries > MAX_PARTS_BEFORE_PIXELS:
        raise _more_than_ordinary("TIFF has more tags")
    for _ in range(entries):
        tag, _, count, _ = _unpack(layout, file)
        # Places of strips and of tiles: Pillow makes an object of each.
        if tag in (273, 324) and count > MAX_TIFF_PIECES:
            raise _more_than_ordinary("TIFF is in more pieces")


_WALKERS: dict[str, Callable[[IO[bytes]], Outline]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
}

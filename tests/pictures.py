"""Encoded pictures for tests: one real portrait, and small ones made on the spot."""

import io
import struct
import zlib
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (40, 60, 220), (240, 220, 40)


def portrait() -> bytes:
    """A real JPEG with one person and one face: Grace Hopper, 512 x 600, public domain."""
    return (resources.files("matplotlib") / "mpl-data/sample_data/grace_hopper.jpg").read_bytes()


def encoded(image: Image.Image, image_format: str, **parameters: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **parameters)
    return file.getvalue()


def noise(width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green over blue, yellow: shows every turn and flip."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, YELLOW
    return Image.fromarray(pixels)


def noise_jpeg(width: int = 64, height: int = 48, seed: int = 0) -> bytes:
    """Different bytes for every seed."""
    return encoded(Image.fromarray(noise(width, height, seed)), "JPEG", quality=90)


def solid_png(width: int = 32, height: int = 24, colour: tuple[int, int, int] = RED) -> bytes:
    return encoded(Image.new("RGB", (width, height), colour), "PNG")


def palette_png() -> bytes:
    """8 x 8, palette with alpha: the left half opaque red, the right half transparent blue."""
    image = Image.new("P", (8, 8))
    image.putpalette([*RED, *BLUE])
    image.paste(1, (4, 0, 8, 8))
    return encoded(image, "PNG", transparency=bytes([255, 0]))


def alpha_png(alpha: int = 128, colour: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    return encoded(Image.new("RGBA", (8, 8), (*colour, alpha)), "PNG")


def sixteen_bit_png() -> bytes:
    """4 x 1, grey, samples 0, 257, 32896 and 65535: exactly 0, 1, 128 and 255 in 8 bits."""
    return raw_png(4, 1, 16, 0, struct.pack(">B4H", 0, 0, 257, 32_896, 65_535))


def animated_gif(frames: int = 3) -> bytes:
    """Frames of one colour each, the first one red."""
    colours = [RED, *((0, i, 255 - i) for i in range(1, frames))]
    first, *others = (Image.new("RGB", (16, 12), colour) for colour in colours)
    return encoded(first, "GIF", save_all=True, append_images=others, duration=50)


def cmyk_jpeg(ink: tuple[int, int, int, int] = (0, 255, 255, 0)) -> bytes:
    """One colour as an Adobe JPEG stores it, inverted; red when left alone."""
    return encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100, subsampling=0)


def ycck_jpeg(ink: tuple[int, int, int, int] = (0, 255, 255, 0)) -> bytes:
    """As Photoshop writes CMYK: the three inks as luma and chroma, black apart, all inverted."""
    luma = Image.new("RGB", (1, 1), ink[:3]).convert("YCbCr").getpixel((0, 0))
    assert isinstance(luma, tuple)
    y, cb, cr = (255 - int(sample) for sample in luma)
    plain = cmyk_jpeg((y, cb, cr, ink[3]))
    # The last byte of the Adobe segment says how the samples were transformed: 2 means YCCK.
    at = plain.index(b"Adobe") + 11
    return plain[:at] + b"\2" + plain[at + 1 :]


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def rotated_jpeg(orientation: int, width: int = 64, height: int = 48) -> bytes:
    """Stored as `quadrants`, to be shown turned by EXIF orientation 1..8."""
    return encoded(
        quadrants(width, height), "JPEG", quality=95, subsampling=0, exif=exif(orientation)
    )


def truncated(data: bytes, share: float = 0.6) -> bytes:
    """The first `share` of the bytes."""
    return data[: int(len(data) * share)]


def huge_png_header(width: int = 60_000, height: int = 60_000) -> bytes:
    """A real, whole, 1-bit black picture of 450 MB unpacked in some hundred kilobytes."""
    packer = zlib.compressobj(9)
    rows = bytes((width + 7) // 8 + 1) * 100
    packed = b"".join(packer.compress(rows) for _ in range(height // 100)) + packer.flush()
    return raw_png(width, height, 1, 0, packed=packed)


def png_chunk(name: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def raw_png(
    width: int,
    height: int,
    bits: int,
    colour_type: int,
    rows: bytes = b"",
    *,
    before: bytes = b"",
    after: bytes = b"",
    packed: bytes | None = None,
) -> bytes:
    """A PNG by hand: `rows` are filtered rows, `before` and `after` chunks around the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(rows) if packed is None else packed
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            before,
            png_chunk(b"IDAT", pixels),
            after,
            png_chunk(b"IEND"),
        )
    )


def raw_tiff(tags: dict[int, tuple[int, int, int]], data: bytes = b"") -> bytes:
    """A little-endian TIFF by hand: `data` at offset 8, then tags as (type, count, value)."""
    entries = b"".join(struct.pack("<HHLL", tag, *fields) for tag, fields in sorted(tags.items()))
    start = struct.pack("<L", 8 + len(data))
    return b"II*\0" + start + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def of_every_kind() -> list[bytes]:
    """Small pictures in every format and kind of sample that is decoded: seeds to be mutated."""
    small, turned = quadrants(20, 14), exif(6)
    clear = small.copy()
    clear.putalpha(100)
    more = [small.convert("RGBA")]
    deep = Image.fromarray(np.arange(280, dtype=np.uint16).reshape(14, 20))
    return [
        encoded(small, "JPEG", exif=turned),
        encoded(small, "JPEG", progressive=True),
        cmyk_jpeg(),
        encoded(clear, "PNG", exif=turned),
        encoded(clear, "PNG", save_all=True, append_images=more),
        palette_png(),
        sixteen_bit_png(),
        encoded(small, "WEBP", exif=turned),
        encoded(clear, "WEBP", lossless=True),
        encoded(clear, "WEBP", lossless=True, save_all=True, append_images=more),
        animated_gif(),
        encoded(small, "BMP"),
        encoded(small.convert("P"), "BMP"),
        encoded(small, "TIFF", tiffinfo={0x0112: 6}),
        encoded(small, "TIFF", compression="tiff_lzw", tiffinfo={0x0112: 6}),
        encoded(small, "TIFF", compression="jpeg"),
        encoded(small.convert("1"), "TIFF", compression="group4"),
        encoded(small, "TIFF", save_all=True, append_images=[small]),
        encoded(deep, "TIFF"),
        encoded(Image.fromarray(np.eye(9, dtype=np.float32)), "TIFF"),
    ]

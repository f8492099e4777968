"""Opening a stranger's picture: format, bytes, sides and pixels checked before any is decoded."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    TiffTags,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from opsin.core.errors import ConfigurationError, InvalidImage, OpsinError, TooLarge
from opsin.core.imaging import structure as image_structure
from opsin.core.imaging.orientation import AS_STORED, ORIENTATION_TAG, SWAPS_SIDES, UPRIGHT
from opsin.core.imaging.samples import AlphaMode, Samples, describe

# Imported by name, because Image.open would otherwise load every plugin there is to find these.
_PLUGINS = (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
Source = bytes | IO[bytes]
"""An encoded picture: its bytes, or a binary file of which the caller stays the owner."""

# Pillow would print warnings, in words the uploader chose, about metadata that nobody here reads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_pillow_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a picture may be, checked before any pixel is decoded; sides in pixels."""

    max_bytes: int = 50 * 2**20
    max_pixels: int = 100_000_000
    max_side: int = 30_000
    formats: frozenset[str] = frozenset(CONTENT_TYPES)

    def __post_init__(self) -> None:
        unknown = sorted(self.formats - CONTENT_TYPES.keys())
        if unknown or not self.formats:
            raise ConfigurationError(
                f"image formats must be some of {', '.join(CONTENT_TYPES)}; "
                f"got {', '.join(unknown) or 'none'}"
            )


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """`apply_orientation`: turn the picture as browsers show it, or leave it as it is stored."""

    apply_orientation: bool = True
    alpha: AlphaMode = "white"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the file's header says; width and height are those of the decoded picture.

    `mode` is Pillow's name of the stored samples, None where only a record of the picture was
    looked at; `orientation` is EXIF's 1..8.  `notes` say in words what the decoded pixels do not
    show: further frames, samples scaled, alpha composited.
    """

    format: str
    content_type: str
    width: int
    height: int
    mode: str | None
    frames: int
    orientation: int
    orientation_applied: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """A picture within limits, its header read and its pixels not yet."""

    file: IO[bytes]
    image: Image.Image
    samples: Samples
    turn: Image.Transpose | None
    """What is left to do after `load` for the orientation that the options ask for."""
    info: ImageInfo

    def load(self) -> Image.Image:
        """Decode, checking the whole file."""
        image_structure.check_whole(self.file, self.info.format)
        self.image.load()
        return self.image

    def turned(self, image: Image.Image) -> Image.Image:
        """A loaded picture as the options ask; the same object when nothing is left to do."""
        return image if self.turn is None else image.transpose(self.turn)

    def sides(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size after `turned` from one before it, or the other way round."""
        return size[::-1] if self.turn in SWAPS_SIDES else size


@contextmanager
def open_image(
    source: Source, limits: ImageLimits, options: DecodeOptions
) -> Iterator[OpenedImage]:
    """Read the header, decode nothing yet; raises InvalidImage or TooLarge.

    What a decoder raises inside the `with` becomes InvalidImage too, without its own words: they
    may hold paths and addresses, and differ between versions.
    """
    file = _measured(source, limits.max_bytes)
    image_format = _allowed_format(file, limits.formats)
    _raise_pillow_guard(limits.max_pixels)
    try:
        outline = image_structure.outline(file, image_format)
        # Pillow stays with the one plugin named here, so no other ever sees the bytes.
        with Image.open(file, formats=[image_format]) as image:
            check_size(image.size, limits)
            applied, orientation = options.apply_orientation, outline.orientation
            turn = UPRIGHT.get(orientation) if applied else None
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                # Pillow turns this one format while loading it, and gives its size accordingly.
                orientation = _tiff_orientation(image)
                turn = None if applied else AS_STORED.get(orientation)
            width, height = image.size[::-1] if turn in SWAPS_SIDES else image.size
            samples = describe(image, options.alpha)
            info = ImageInfo(
                format=image_format,
                content_type=CONTENT_TYPES[image_format],
                width=width,
                height=height,
                mode=samples.mode,
                frames=outline.frames,
                orientation=orientation,
                orientation_applied=applied,
                notes=_frames_note(image_format, outline.frames) + samples.notes,
            )
            yield OpenedImage(file, image, samples, turn, info)
    except OpsinError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidImage(f"the image has more than {limits.max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise InvalidImage(f"the header of the {image_format} is damaged") from error
    except MemoryError as error:
        raise InvalidImage("the image needs more memory than there is") from error
    except Exception as error:
        cut = "truncated" in str(error).lower()
        raise InvalidImage(f"the {image_format} is {'truncated' if cut else 'damaged'}") from error


def _measured(source: Source, max_bytes: int) -> IO[bytes]:
    """The source as a file that can seek, of no more than `max_bytes`."""
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    elif not source.seekable():
        source = io.BytesIO(source.read(max_bytes + 1))
    if source.seek(0, io.SEEK_END) > max_bytes:
        raise TooLarge(f"the image file has more than {max_bytes:,} bytes")
    return source


def _allowed_format(file: IO[bytes], formats: frozenset[str]) -> str:
    file.seek(0)
    head = file.read(16)
    if not head:
        raise InvalidImage("the file is empty")
    image_format = image_structure.sniff(head)
    if image_format is None or image_format not in formats:
        allowed = ", ".join(name for name in CONTENT_TYPES if name in formats)
        raise InvalidImage(f"not an image in an allowed format ({allowed})")
    return image_format


def check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    """Raises InvalidImage for sides, or a product of them, beyond the limits."""
    width, height = size
    if max(size) > limits.max_side:
        raise InvalidImage(
            f"{width} x {height}: a side may have {limits.max_side:,} pixels at most"
        )
    if width * height > limits.max_pixels:
        raise InvalidImage(
            f"{width} x {height}: an image may have {limits.max_pixels:,} pixels at most"
        )


def _raise_pillow_guard(max_pixels: int) -> None:
    """Pillow's own guard is one for the process, and below what an operator may allow.

    It only ever rises, so that threads with different limits cannot refuse each other's pictures,
    and stays on as a second line behind ours.
    """
    with _pillow_guard:
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def _tiff_orientation(image: TiffImagePlugin.TiffImageFile) -> int:
    """The orientation tag, 1..8; leaves Pillow to turn the picture by it, and by nothing else."""
    value = image.tag_v2.get(ORIENTATION_TAG)
    orientation = value if isinstance(value, int) and 1 <= value <= 8 else 1
    # Without the tag Pillow would go by an XMP packet, and nested tables it reads may be broken.
    image.info.pop("xmp", None)
    exif = image.getexif()
    for table in TiffTags.TAGS_V2_GROUPS:
        exif.pop(table, None)
    exif[ORIENTATION_TAG] = orientation
    return orientation


def _frames_note(image_format: str, frames: int) -> tuple[str, ...]:
    if frames == 1:
        return ()
    count = f"{frames:,} or more" if frames == image_structure.MAX_FRAMES_COUNTED else frames
    if image_format == "TIFF":
        return (f"multi-page: {count} pages, the first is used",)
    return (f"animated: {count} frames, the first is used",)

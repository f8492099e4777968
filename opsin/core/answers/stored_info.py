"""What a stored image is like when decoded, told from its row."""

from dataclasses import replace

from opsin.core.imaging import CONTENT_TYPES, DecodeOptions, ImageInfo
from opsin.core.records import Image

_FORMATS = {content_type: name for name, content_type in CONTENT_TYPES.items()}
_TAKEN_IN = DecodeOptions()


def stored_info(image: Image, options: DecodeOptions) -> ImageInfo | None:
    """As `probe` would say of its file; None for options other than those it was taken in with."""
    taken_in = replace(_TAKEN_IN, apply_orientation=image.orientation_applied)
    if options != taken_in or image.content_type not in _FORMATS:
        return None
    return ImageInfo(
        format=_FORMATS[image.content_type],
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        mode=None,
        frames=image.frames,
        orientation=image.orientation,
        orientation_applied=image.orientation_applied,
        notes=tuple(image.notes),
    )

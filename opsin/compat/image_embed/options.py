"""What the operator may choose of the image_embed API."""

from dataclasses import dataclass

from opsin.core.imaging import DecodeOptions


@dataclass(frozen=True, slots=True)
class ImageEmbedOptions:
    """Values of the settings, by the meaning they have here."""

    is_open: bool = True
    """Whoever sends no key is let in."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may call."""
    apply_orientation: bool = False
    """Turn pictures as browsers show them; clients' own pixel coordinates are of what is stored."""
    max_tasks: int = 64
    max_images: int = 100
    """URLs in one request for several."""

    @property
    def decoding(self) -> DecodeOptions:
        """The colours beneath transparency are used, as they are stored."""
        return DecodeOptions(apply_orientation=self.apply_orientation, alpha="drop")

"""The pictures that plugins are tried on: made here, the same every time."""

from opsin.core.contract import Picture


def trial_pictures() -> tuple[Picture, ...]:
    """Five ordinary pictures of different size and content, read-only as the engine's are."""
    import numpy as np

    random = np.random.default_rng(2026)
    noise = random.integers(0, 256, (160, 224, 3), np.uint8)
    rows, columns = np.mgrid[0:240, 0:200]
    slope = np.stack([rows, columns, rows + columns], -1) % 256
    checks = np.where((rows // 16 + columns // 16) % 2, 230, 25)[..., None].repeat(3, -1)
    grey = np.full((120, 300, 3), 128)
    # A crop is a view into a larger picture: neither contiguous nor its own memory.
    larger = random.integers(0, 256, (400, 400, 3), np.uint8)
    crop = larger[50:258, 31:255]
    pictures = (noise, slope.astype(np.uint8), checks.astype(np.uint8), grey.astype(np.uint8), crop)
    for picture in (*pictures, larger):
        picture.flags.writeable = False
    return pictures


def bad_pictures() -> tuple[Picture, ...]:
    """What nobody's model expects, though each is a picture: one pixel, and a thin strip."""
    import numpy as np

    pictures = (np.zeros((1, 1, 3), np.uint8), np.full((2, 900, 3), 255, np.uint8))
    for picture in pictures:
        picture.flags.writeable = False
    return pictures

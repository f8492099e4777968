"""The pictures sent: photographs of one size, each a little different, so that nobody can cache."""

import io

from bench.pictures import portrait


def jpegs(count: int, width: int, height: int) -> list[bytes]:
    """So many different JPEGs of a portrait, quality 90."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(2026)
    face = Image.open(io.BytesIO(portrait())).convert("RGB").resize((width, height))
    made = []
    for number in range(count):
        pixels = np.asarray(face).copy()
        grain = random.integers(0, 24, (height // 8, width // 8, 3), np.uint8)
        pixels[: height // 8, : width // 8] += grain
        file = io.BytesIO()
        Image.fromarray(np.roll(pixels, number * 8, axis=1)).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made

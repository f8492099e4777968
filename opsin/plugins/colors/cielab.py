"""8-bit sRGB to CIELAB and back, for the standard illuminant D65.

sRGB: IEC 61966-2-1.  CIELAB: CIE 15:2018, Colorimetry, with the white point of D65 and the
2-degree observer (0.95047, 1, 1.08883).
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Colors = npt.NDArray[np.uint8]
    """n x 3, sRGB."""
    Lab = npt.NDArray[np.float64]
    """n x 3: L* from 0 to 100, a*, b*; a distance of 1 is one Delta E*ab."""

XYZ_OF_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
RGB_OF_XYZ = np.linalg.inv(XYZ_OF_RGB)
WHITE = XYZ_OF_RGB.sum(axis=1)
"""The sum of the primaries, which is D65 to 6 digits; so every grey has a* = b* = 0."""
KNEE = 6 / 29
"""Where the cube root of CIELAB goes over into a line."""


def lab_of(colors: "Colors") -> "Lab":
    """CIELAB of sRGB colours."""
    encoded = colors / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    ratio = linear @ XYZ_OF_RGB.T / WHITE
    root = np.where(ratio > KNEE**3, np.cbrt(ratio), ratio / (3 * KNEE**2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def srgb_of(lab: "Lab") -> "Colors":
    """sRGB of CIELAB colours, rounded; what lies outside sRGB is clipped, channel by channel."""
    y = (lab[:, 0] + 16) / 116
    root = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    ratio = np.where(root > KNEE, root**3, 3 * KNEE**2 * (root - 4 / 29))
    linear = np.clip((ratio * WHITE) @ RGB_OF_XYZ.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colors: Colors = np.rint(encoded * 255).astype(np.uint8)
    return colors

"""Measures of colour: redness, tone, uniformness, shine."""

import math

import numpy as np

from opsin.plugins.skin.geometry import FACE
from opsin.plugins.skin.results import SkinArea, SkinMetric
from opsin.plugins.skin.runner.face import Face
from opsin.plugins.skin.runner.filters import LUMINANCE, box_mean, dilated, eroded
from opsin.plugins.skin.runner.measures import Measured
from opsin.plugins.skin.runner.scores import mean_score, metric

AREAS = (FACE, "forehead", "nose", "left_cheek", "right_cheek", "chin")

LOCAL_REDNESS = 5.0
"""a* above the face's median from which a place counts as locally red: twice a just noticeable
difference."""
REDNESS_ENDS, LOCAL_REDNESS_ENDS = (8.0, 28.0), (0.0, 0.25)

TONES = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"))
"""A. Chardon, I. Cretois, C. Hourseau: Skin colour typology and suntanning pathways.
International Journal of Cosmetic Science 13(4), 1991, 191-208."""

UNIFORMNESS_ENDS = (1.0, 12.0)

SHINE = 0.25
"""Light of the lamp's colour, as a part of the skin's median luminance, from which it shines."""
SHINE_ENDS = (0.0, 0.5)


def measure_redness(face: Face) -> Measured:
    """Mean a*, and the share of the skin that is redder than the rest."""
    view = face.at()
    lab = view.smoothed_lab()
    a = lab[..., 1]
    usual = float(np.median(a[view.skin]))
    red = view.skin & (a > usual + LOCAL_REDNESS)
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        level = float(a[mask].mean())
        overall = metric("redness_global", level, "a*", REDNESS_ENDS)
        local = metric("redness_local", float(red[mask].mean()), "share", LOCAL_REDNESS_ENDS)
        main = SkinMetric(
            name="redness", value=overall.value, unit="a*", score=mean_score(overall, local)
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=(overall, local)))
    shapes = view.shapes(
        "redness", red, a - usual, "a* above the median", smallest=view.millimetre**2
    )
    return Measured(tuple(areas), shapes)


def tone_of(lightness: float, b: float) -> tuple[float, str]:
    """The individual typology angle in degrees, -90 to 90, and its class."""
    angle = math.degrees(math.atan2(lightness - 50, max(b, 1e-9)))
    return angle, next((name for least, name in TONES if angle > least), "dark")


def measure_tone(face: Face) -> Measured:
    """The individual typology angle of the median colour; no angle is better than another."""
    view = face.at()
    lab = view.smoothed_lab()
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        lightness, a, b = (float(v) for v in np.median(lab[mask], axis=0))
        angle, label = tone_of(lightness, b)
        main = SkinMetric(name="ita", value=round(angle, 2), unit="degrees", label=label)
        details = (
            metric("lightness", lightness, "L*"),
            metric("red_green", a, "a*"),
            metric("yellow_blue", b, "b*"),
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    return Measured(tuple(areas))


def measure_uniformness(face: Face) -> Measured:
    """The mean colour difference from the mean (MCDM) of each area; shadows count."""
    view = face.at()
    lab = view.smoothed_lab()
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        colours = lab[mask].astype(np.float64)
        away = colours - colours.mean(axis=0)
        difference = float(np.sqrt((away**2).sum(axis=1)).mean())
        main = metric("uniformness", difference, "Delta E*ab", UNIFORMNESS_ENDS)
        spread = away.std(axis=0)
        details = tuple(
            metric(f"{name}_deviation", float(value), unit)
            for name, unit, value in zip(
                ("lightness", "red_green", "yellow_blue"), ("L*", "a*", "b*"), spread, strict=True
            )
        )
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    return Measured(tuple(areas))


def measure_shine(face: Face) -> Measured:
    """How much of the skin sends back the light's own colour, by the dichromatic model.

    Each pixel is the sum of skin colour (the median of this face's) and of white, by least squares;
    the white part, in median luminances of the skin, is the shine.
    """
    view = face.at()
    skin = view.skin
    light = view.light.astype(np.float64)
    colour = np.median(light[skin], axis=0)
    usual = float(colour @ LUMINANCE)
    white = np.full(3, usual)
    basis = np.stack([colour, white])
    # Rows of the pseudo-inverse: how much of each a pixel holds; the second is the white.
    part = light @ np.linalg.pinv(basis)[:, 1]
    radius = view.radius(0.5)
    soft = box_mean(part.astype(np.float32), radius)
    shining = skin & (soft > SHINE)
    areas = []
    for area, (mask, share) in view.measurable(AREAS).items():
        covered = float(shining[mask].mean())
        found = mask & shining
        strength = float(soft[found].mean()) if found.any() else 0.0
        main = metric("shine", covered, "share", SHINE_ENDS)
        details = (metric("shine_strength", strength, "of the skin's luminance"),)
        areas.append(SkinArea(area=area, skin_share=share, main=main, details=details))
    solid = dilated(eroded(shining, 1), 1) & shining
    shapes = view.shapes(
        "shine", solid, soft, "of the skin's luminance", smallest=view.millimetre**2
    )
    return Measured(tuple(areas), shapes)

"""Skin of the prominent face, measured: areas, colour, lines, pores, spots, shine, eyes, quality.

Neither medical nor anybody's product: each number is what its explanation says, and no more.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from opsin import Application, LoadContext, Operation, Params, Runner, Step, Target, hookimpl
from opsin.plugins.skin.results import FaceAreas, SkinMeasures


class FindFaceAreas(Operation[Params, FaceAreas]):
    """Where the areas of the face are, from the finder's five landmarks."""

    name = "face_areas"
    version = "2"
    description = "Finds the landmarks and areas of the prominent face, and its skin."
    result = FaceAreas
    targets = (Target.PROMINENT_FACE,)
    default_target = Target.PROMINENT_FACE
    crop = False

    def load(self, context: LoadContext) -> Runner[Params, FaceAreas]:
        from opsin.plugins.skin.runner.runner import FaceAreasRunner

        return FaceAreasRunner()


class MeasureSkin(Operation[Params, SkinMeasures]):
    """One measure; subclasses say which, what it means and where it comes from."""

    version = "1"
    result = SkinMeasures
    targets = (Target.PROMINENT_FACE,)
    default_target = Target.PROMINENT_FACE
    crop = False
    measure: ClassVar[str]
    explanation: ClassVar[str]
    source: ClassVar[str]

    def load(self, context: LoadContext) -> Runner[Params, SkinMeasures]:
        from opsin.plugins.skin.runner.runner import SkinRunner

        return SkinRunner(self.measure, self.explanation, self.source)


class MeasureRedness(MeasureSkin):
    """Mean a*, and where the skin is redder than the rest of it."""

    name = "skin_redness"
    measure = "redness"
    description = "Measures how red the skin of the face is, overall and in places."
    explanation = (
        "The mean of CIELAB a* over the skin, and the share of it with a* more than 5 above the "
        "face's median. The score is the mean of both scores."
    )
    source = (
        "CIE 15:2018 (CIELAB); a* for erythema: H. Takiwaki, Measurement of skin color: practical "
        "application and theoretical considerations, J Med Invest 44, 1998"
    )


class MeasureTone(MeasureSkin):
    """The individual typology angle; it has no score."""

    name = "skin_tone"
    measure = "tone"
    description = "Measures the skin's tone as the individual typology angle (ITA)."
    explanation = (
        "ITA = arctan((L* - 50) / b*) in degrees, of the median colour: very light above 55, light "
        "above 41, intermediate above 28, tan above 10, brown above -30, else dark. It follows the "
        "light and the camera's white balance."
    )
    source = (
        "A. Chardon, I. Cretois, C. Hourseau, Skin colour typology and suntanning pathways, Int J "
        "Cosmet Sci 13(4), 1991"
    )


class MeasureUniformness(MeasureSkin):
    """The mean colour difference from the mean."""

    name = "skin_uniformness"
    measure = "uniformness"
    description = "Measures how even the colour of the skin is."
    explanation = (
        "MCDM: the mean distance (Delta E*ab, CIE 1976) of the skin's colours, averaged over a "
        "millimetre, from their own mean. Shadows count, so compare pictures in the same light."
    )
    source = (
        "MCDM: R. S. Berns, Billmeyer and Saltzman's Principles of Color Technology, 2000; "
        "evenness of colour: P. J. Matts, B. Fink, K. Grammer, M. Burquest, Color homogeneity and "
        "visual perception of age, health, and attractiveness of female facial skin, J Am Acad "
        "Dermatol 57, 2007"
    )


_RIDGES = (
    "ridges by the Hessian of smoothed lightness: C. Steger, An unbiased detector of curvilinear "
    "structures, IEEE TPAMI 20(2), 1998; for wrinkles: C. Ng, M. H. Yap, N. Costen, B. Li, "
    "Automatic wrinkle detection using hybrid Hessian filter, ACCV 2014"
)


class MeasureLines(MeasureSkin):
    """Fine lines by area."""

    name = "skin_lines"
    measure = "lines"
    description = "Measures the length of fine lines in the skin."
    explanation = (
        "Length of dark ridges of L* about half a millimetre wide and at least 2.5 mm long, in "
        "millimetres per square centimetre of skin. Hairs that lie on the skin count. Needs 150 "
        "pixels between the eyes."
    )
    source = _RIDGES


class MeasureWrinkles(MeasureSkin):
    """Wrinkles and folds by area."""

    name = "skin_wrinkles"
    measure = "wrinkles"
    description = "Measures the length of wrinkles and folds in the skin."
    explanation = (
        "Length of dark ridges of L* about one to three millimetres wide and at least 6 mm long, "
        "in millimetres per square centimetre of skin. Strands of hair and rims of glasses count. "
        "Needs 80 pixels between the eyes."
    )
    source = _RIDGES


class MeasurePores(MeasureSkin):
    """Small dark blobs by area."""

    name = "skin_pores"
    measure = "pores"
    description = "Measures the density of pore-like texture."
    explanation = (
        "Dark blobs of L* about 0.8 mm across, per square centimetre of skin: what a picture shows "
        "of wide pores, and of whatever looks like them. Needs 150 pixels between the eyes."
    )
    source = (
        "scale-normalised Laplacian: T. Lindeberg, Feature detection with automatic scale "
        "selection, IJCV 30(2), 1998"
    )


class MeasurePigmentation(MeasureSkin):
    """Compact dark spots in red light."""

    name = "skin_pigmentation"
    measure = "pigmentation"
    description = "Finds pigment spots and the share of the skin that they cover."
    explanation = (
        "Compact places of 0.75 to 100 mm^2 whose melanin index, 100 log10(1 / R) of linear red, "
        "is more than 5 above the skin around them: in red light, where redness hardly shows. "
        "Needs 80 pixels between the eyes."
    )
    source = (
        "melanin index: H. Takiwaki, Measurement of skin color: practical application and "
        "theoretical considerations, J Med Invest 44, 1998"
    )


class MeasureShine(MeasureSkin):
    """Light that the skin sends back in the lamp's own colour."""

    name = "skin_shine"
    measure = "shine"
    description = "Measures how much of the skin shines."
    explanation = (
        "Each pixel is split into the skin's own colour (its median) and white; the share of the "
        "skin where the white part is more than 0.25 of the skin's median luminance. The light is "
        "taken to be white in the picture."
    )
    source = (
        "dichromatic reflection model: S. A. Shafer, Using color to separate reflection "
        "components, Color Research and Application 10(4), 1985"
    )


class MeasureEyeArea(MeasureSkin):
    """Under the eyes against the cheeks."""

    name = "skin_eye_area"
    measure = "eye_area"
    description = "Measures dark circles and bags under the eyes."
    explanation = (
        "Dark circles: by how much L* under the eye is below that of the cheek. Eye bags: how far "
        "the lightness from lid to cheek leaves a straight line, from its lowest to its highest. "
        "The score is the mean of both scores; the value is Delta E*ab to the cheek."
    )
    source = (
        "Delta L* and Delta E* to the cheek: M. S. Matsui et al., Physiological and lifestyle "
        "factors contributing to risk and severity of peri-orbital dark circles in the Brazilian "
        "population, An Bras Dermatol 90(4), 2015; the contrast of bags is Opsin's own definition"
    )


class MeasureImageQuality(MeasureSkin):
    """Whether the picture is good enough to measure skin in."""

    name = "skin_image_quality"
    measure = "image_quality"
    description = "Measures how suitable the picture is for measuring skin, with advice."
    explanation = (
        "Size, focus, exposure, even light, frontal pose and whole face, each with a score; the "
        "weakest is the picture's. Advice tells what to mend below 50."
    )
    source = (
        "components after ISO/IEC 29794-5:2025, Face image quality, with formulas and limits of "
        "Opsin's own; sharpness: J. L. Pech-Pacheco et al., ICPR 2000"
    )


MEASURES: tuple[type[MeasureSkin], ...] = (
    MeasureRedness,
    MeasureTone,
    MeasureUniformness,
    MeasureLines,
    MeasureWrinkles,
    MeasurePores,
    MeasurePigmentation,
    MeasureShine,
    MeasureEyeArea,
    MeasureImageQuality,
)


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [FindFaceAreas(), *(measure() for measure in MEASURES)]


@hookimpl
def opsin_applications() -> Iterable[Application]:
    areas = FindFaceAreas.name
    measures = (Step(one.name, one.name, requires=(areas,)) for one in MEASURES)
    return [
        Application(
            name="face_skin",
            title="Face and skin",
            description="The areas of the face and every measure of its skin.",
            steps=(Step(areas, areas), *measures),
        )
    ]

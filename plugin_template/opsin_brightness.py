"""An Opsin plugin: how bright a picture is, or the person or face in it."""

from collections.abc import Sequence

from pydantic import Field, JsonValue

from opsin import Annotation, Item, LoadContext, Operation, Params, Result, Runner, hookimpl


class BrightnessParams(Params):
    dark_below: float = Field(default=0.3, ge=0, le=1, description="a lower mean counts as dark")


class Brightness(Result):
    mean: float = Field(description="mean luminance, from 0 (black) to 1 (white)")
    is_dark: bool = Field(description="whether the mean is below `dark_below`")

    def annotations(self) -> Sequence[Annotation]:
        name = "dark" if self.is_dark else "bright"
        data: dict[str, JsonValue] = {"scores": {"dark": 1 - self.mean, "bright": self.mean}}
        return [Annotation(annotation_type="classification", class_name=name, data=data)]


class BrightnessRunner(Runner[BrightnessParams, Brightness]):
    uses_device = False

    def prepare(self, item: Item[BrightnessParams]) -> Brightness:
        red, green, blue = item.picture.mean(axis=(0, 1)) / 255
        mean = float(0.2126 * red + 0.7152 * green + 0.0722 * blue)
        return Brightness(mean=mean, is_dark=mean < item.params.dark_below)

    def run(self, batch: Sequence[Brightness]) -> Sequence[Brightness]:
        return batch


class MeasureBrightness(Operation[BrightnessParams, Brightness]):
    name = "measure_brightness"
    version = "1"
    description = "Measures how bright the picture is."
    params = BrightnessParams
    result = Brightness

    def load(self, context: LoadContext) -> BrightnessRunner:
        return BrightnessRunner()


@hookimpl
def opsin_operations() -> list[Operation[BrightnessParams, Brightness]]:
    return [MeasureBrightness()]

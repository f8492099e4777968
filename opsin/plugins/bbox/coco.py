"""The classes of COCO under the numbers that torchvision's detectors give them."""

from collections.abc import Mapping
from types import MappingProxyType

PERSON = 1

# In the order of their numbers, from 1; the dashes are numbers that no class has any more.
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
-, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra,
giraffe, -, backpack, umbrella, -, -, handbag, tie, suitcase, frisbee, skis, snowboard,
sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, -,
wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -,
tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -,
book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""

CLASSES: Mapping[int, str] = MappingProxyType(
    {
        number: name
        for number, name in enumerate(_NAMES.replace("\n", " ").strip().split(", "), start=1)
        if name != "-"
    }
)

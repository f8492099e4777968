"""The detectors that can be chosen: torchvision's, each with its published COCO weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from opsin import Download, ModelRequirement

ROLE = "detector"
DEFAULT_DETECTOR = "fasterrcnn_resnet50_fpn"
_ADDRESS = "https://download.pytorch.org/models/"


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture under torchvision's name; its floor is the score it drops boxes up to."""

    name: str
    file: str
    size_bytes: int
    floor: float

    @property
    def requirement(self) -> ModelRequirement:
        stem, _, prefix = self.file.removesuffix(".pth").rpartition("-")
        return ModelRequirement(
            role=ROLE,
            name=stem if stem.endswith("_coco") else f"{stem}_coco",
            origin=Download(url=_ADDRESS + self.file, file=self.file, sha256_prefix=prefix),
            licence="BSD-3-Clause",
            size_bytes=self.size_bytes,
        )


# Sizes as torchvision states them, to a thousandth of a MiB; the first is that of the file.
DETECTORS: Mapping[str, Architecture] = MappingProxyType(
    {
        architecture.name: architecture
        for architecture in (
            Architecture(
                name="fasterrcnn_resnet50_fpn",
                file="fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
                size_bytes=167_502_836,
                floor=0.05,
            ),
            Architecture(
                name="fasterrcnn_resnet50_fpn_v2",
                file="fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
                size_bytes=175_221_000,
                floor=0.05,
            ),
            Architecture(
                name="fasterrcnn_mobilenet_v3_large_fpn",
                file="fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
                size_bytes=77_845_000,
                floor=0.05,
            ),
            Architecture(
                name="fasterrcnn_mobilenet_v3_large_320_fpn",
                file="fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
                size_bytes=77_845_000,
                floor=0.05,
            ),
            Architecture(
                name="retinanet_resnet50_fpn",
                file="retinanet_resnet50_fpn_coco-eeacb38b.pth",
                size_bytes=136_595_000,
                floor=0.05,
            ),
            Architecture(
                name="retinanet_resnet50_fpn_v2",
                file="retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
                size_bytes=153_131_000,
                floor=0.05,
            ),
            Architecture(
                name="fcos_resnet50_fpn",
                file="fcos_resnet50_fpn_coco-99b0c9b7.pth",
                size_bytes=129_612_000,
                floor=0.2,
            ),
            Architecture(
                name="ssd300_vgg16",
                file="ssd300_vgg16_coco-b556d3b4.pth",
                size_bytes=142_594_000,
                floor=0.01,
            ),
            Architecture(
                name="ssdlite320_mobilenet_v3_large",
                file="ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
                size_bytes=14_070_000,
                floor=0.001,
            ),
        )
    }
)


DEFAULT_THRESHOLD = 0.05


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """What the operator chose; the person finder and `detect_objects` share one detector."""

    detector: Architecture = DETECTORS[DEFAULT_DETECTOR]
    person_score_threshold: float = DEFAULT_THRESHOLD

    @property
    def version(self) -> str:
        chosen = self.detector.name
        return "1" if chosen == DEFAULT_DETECTOR else f"1+detector={chosen}"

    @property
    def floor(self) -> float:
        """The score up to which the one detector in memory drops boxes.

        A lower one than the detector's own changes nothing above that: a weaker box never
        suppresses a stronger one, and those that are too many are the weakest.
        """
        return min(self.detector.floor, self.person_score_threshold)


DEFAULT_OPTIONS = DetectorOptions()

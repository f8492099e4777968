"""Pictures in and out: bytes to pixels within limits, and pixels to bytes."""

from opsin.core.imaging.opening import CONTENT_TYPES, DecodeOptions, ImageInfo, ImageLimits, Source
from opsin.core.imaging.pictures import DecodedImage, crop, decode, encode_jpeg, encode_png, probe
from opsin.core.imaging.preprocessing import Preprocessing
from opsin.core.imaging.raw_samples import SampleLayout, decode_rows, decode_samples
from opsin.core.imaging.samples import AlphaMode

__all__ = [
    "CONTENT_TYPES",
    "AlphaMode",
    "DecodeOptions",
    "DecodedImage",
    "ImageInfo",
    "ImageLimits",
    "Preprocessing",
    "SampleLayout",
    "Source",
    "crop",
    "decode",
    "decode_rows",
    "decode_samples",
    "encode_jpeg",
    "encode_png",
    "probe",
]

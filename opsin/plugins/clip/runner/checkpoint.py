"""A CLIP checkpoint in the layout of the Hugging Face hub: its configuration and half its weights.

Any model of the family that transformers calls `clip` has this layout.
"""

import torch
from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

from opsin import LocatedModel
from opsin.core.neural import UnusableWeights, read_config, read_weights

VISION = ("vision_model.", "visual_projection.")
TEXT = ("text_model.", "text_projection.")
LOGIT_SCALE = "logit_scale"


def read_configs(model: LocatedModel) -> tuple[CLIPTextConfig, CLIPVisionConfig]:
    """The architecture of both towers; raises UnusableWeights for that of another family."""
    config = CLIPConfig.from_dict(read_config(model, ["clip"]))
    text, vision = config.text_config, config.vision_config
    assert isinstance(text, CLIPTextConfig)
    assert isinstance(vision, CLIPVisionConfig)
    # Older files say it for both only, and each tower looks for it in its own part.
    text.projection_dim = vision.projection_dim = config.projection_dim or vision.projection_dim
    return text, vision


def read_tower(model: LocatedModel, prefixes: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The weights with these prefixes; of the others only the names are looked at."""
    weights = read_weights(*model.weights)
    for key in weights:
        if not key.startswith((*VISION, *TEXT)) and key != LOGIT_SCALE:
            raise UnusableWeights(f"{key} in {model.requirement.name!r} is no weight of CLIP")
    return {key: tensor for key, tensor in weights.items() if key.startswith(prefixes)}

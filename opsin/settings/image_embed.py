"""Settings of the image_embed API."""

from pydantic import BaseModel, Field


class ImageEmbedSettings(BaseModel):
    """What `opsin.compat.image_embed` is configured by."""

    image_embed_open: bool = Field(
        False, description="let clients in without a key, also where `OPSIN_AUTH=keys`"
    )
    image_embed_apply_orientation: bool = Field(
        False, description="turn pictures as browsers show them; boxes are of the turned ones, then"
    )
    image_embed_max_images: int = Field(
        100, ge=1, le=1000, description="URLs in one request for several pictures"
    )

"""Settings of the Haut API."""

from pydantic import BaseModel, Field


class HautSettings(BaseModel):
    """What `opsin.compat.haut` is configured by."""

    haut_page_size: int = Field(
        100, ge=1, le=1000, description="rows of a page where a client does not say"
    )

"""Settings of the whales API."""

from pydantic import BaseModel, Field


class WhalesSettings(BaseModel):
    """What `opsin.compat.whales` is configured by."""

    whales_open: bool = Field(
        False, description="let clients in without a key, also where `OPSIN_AUTH=keys`"
    )
    whales_rate_limit: int = Field(
        60, ge=0, description="predictions that one address may ask for in a time; 0: any number"
    )
    whales_rate_seconds: float = Field(60, gt=0, le=86_400, description="that time, sliding")
    whales_gallery: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="collection to compare with; default: what the model was trained on",
    )
    whales_candidates: int = Field(
        3, ge=0, le=100, description="rows of `candidates`, the best match first"
    )
    whales_mask: str | None = Field(
        None,
        description="operation that cuts animals out, or `none`; default: the first that outlines",
    )
    whales_model_version: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="`model_version` in answers; default: the manifest's name",
    )
    whales_drift_baseline: float | None = Field(
        None, ge=0, le=1, description="mean score without drift; default: that of the calibration"
    )
    whales_max_archive_bytes: int = Field(
        512 * 2**20, ge=1, description="largest archive of pictures, as it is sent"
    )
    whales_max_archive_entries: int = Field(10_000, ge=1, description="files in an archive")
    whales_max_unpacked_bytes: int = Field(
        2 * 2**30, ge=1, description="bytes of all files of an archive, unpacked"
    )
    whales_max_archive_ratio: float = Field(
        200, ge=1, description="times larger than packed, beyond 16 MiB"
    )

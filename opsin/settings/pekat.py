"""Settings of the PEKAT VISION API."""

from pydantic import BaseModel, Field


class PekatSettings(BaseModel):
    """What `opsin.compat.pekat` is configured by."""

    pekat_flow: str | None = Field(
        None,
        description="operations that every picture goes through: JSON, or a file with it; "
        "default: see below",
    )
    pekat_api_key: str | None = Field(
        None, min_length=1, description="what clients must send as `api_key`", repr=False
    )
    pekat_open: bool = Field(
        False, description="let clients in without a key, also where `OPSIN_AUTH=keys`"
    )
    pekat_process: bool = Field(
        True, description="run the flow; without, answers say the size of the picture only"
    )
    pekat_shared_memory: bool = Field(
        False, description="take pictures of clients on this machine from shared memory"
    )
    pekat_stop_key: str | None = Field(
        None, min_length=1, description="lets a client with this key stop the server", repr=False
    )

"""The plain handler of a raw frame, for `bench/pekat.py`: body, numpy, operation, JSON.

`python -m bench.pekat_plain PORT [saliency]`; without the name it runs no operation.
"""

import sys
import time

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from opsin import Item
from opsin.plugins.saliency.plugin import SaliencyParams
from opsin.plugins.saliency.runner import find_saliency


def plain_app(*, runs_saliency: bool) -> FastAPI:
    """One request at a time, all of it on the event loop."""
    app = FastAPI()

    @app.post("/analyze_raw_image")
    async def analyze(request: Request, width: int, height: int) -> JSONResponse:
        started = time.perf_counter()
        frame = np.frombuffer(await request.body(), np.uint8).reshape(height, width, 3)
        picture = np.ascontiguousarray(frame[..., ::-1])
        if runs_saliency:
            find_saliency(Item(picture, SaliencyParams()))
        seconds = time.perf_counter() - started
        return JSONResponse({"error": False, "completeTime": seconds, "shape": picture.shape})

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({})

    return app


if __name__ == "__main__":
    uvicorn.run(
        plain_app(runs_saliency="saliency" in sys.argv[2:]),
        port=int(sys.argv[1]),
        log_level="error",
    )

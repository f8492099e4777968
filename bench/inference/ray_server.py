"""Contestant: Ray Serve with `@serve.batch`."""

import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bench.inference.model import BATCH, THREADS, Pipeline


@serve.deployment(max_ongoing_requests=4 * BATCH, ray_actor_options={"num_cpus": 1})
class Embed:
    def __init__(self, folder: str) -> None:
        self.pipeline = Pipeline(Path(folder))

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.005)
    async def embed(self, contents: list[bytes]) -> list[list[float]]:
        return self.pipeline.forward([self.pipeline.decode(content) for content in contents])

    async def __call__(self, request: Request) -> Response:
        if request.url.path == "/health":
            return JSONResponse({"status": "ok"})
        vector: Any = await self.embed(await request.body())
        return JSONResponse({"vector": vector})


if __name__ == "__main__":
    ray.init(num_cpus=THREADS, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Embed.bind(sys.argv[1]))
    while True:
        time.sleep(60)

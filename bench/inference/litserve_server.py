"""Contestant: LitServe with dynamic batches."""

import sys
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request

from bench.inference.model import BATCH, Pipeline


class Embed(litserve.LitAPI):  # type: ignore[misc]  # published without types
    def setup(self, device: str) -> None:
        self.pipeline = Pipeline(Path(sys.argv[1]))

    def decode_request(self, request: Request) -> Any:
        # LitServe hands over the form of a multipart request.
        form: Any = request
        return self.pipeline.decode(form["content"].file.read())

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, batch: list[Any]) -> list[list[float]]:
        return self.pipeline.forward(batch)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"vector": output}


if __name__ == "__main__":
    api = Embed(max_batch_size=BATCH, batch_timeout=0.005, api_path="/embed")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=120)
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="error")

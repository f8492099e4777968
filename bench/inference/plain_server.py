"""Contestant: a plain FastAPI handler, as it is usually written."""

import sys
from pathlib import Path

import uvicorn
from fastapi import Body, FastAPI

from bench.inference.model import Pipeline


def main() -> None:
    pipeline = Pipeline(Path(sys.argv[1]))
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/embed")
    def embed(content: bytes = Body(media_type="image/jpeg")) -> dict[str, list[float]]:
        return {"vector": pipeline.forward([pipeline.decode(content)])[0]}

    uvicorn.run(app, port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()

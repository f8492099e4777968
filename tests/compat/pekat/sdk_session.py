"""Pictures sent with PEKAT's own client, the newest or an old one; prints what it gives back."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PekatVisionSDK


def connect(asked: dict[str, Any]) -> Any:
    """A client of a server that runs already, or of one that it starts."""
    options = dict(asked["client"])
    if "project" in asked:
        return PekatVisionSDK.Instance(asked["project"], asked["dist"], **options)
    return PekatVisionSDK.Instance(port=asked["port"], already_running=True, **options)


def told(given: Any, folder: Path, number: int) -> dict[str, Any]:
    """What the client gave back; an image lies in a file, decoded as the client does it."""
    image: Any = None
    if isinstance(given, dict):
        context = given
    elif hasattr(given, "context"):
        context = given.context
        if given.image_bytes is not None:
            image = given.get_decoded_image()
    else:
        image, context = given
    if image is not None:
        np.save(folder / f"answer{number}.npy", image)
    return {"context": context, "has_image": image is not None}


def main() -> None:
    asked = json.loads(sys.argv[1])
    folder = Path(asked["folder"])
    client = connect(asked)
    results: list[dict[str, Any]] = []
    for number, call in enumerate(asked["calls"]):
        path = folder / call["file"]
        picture: Any = path
        if call["as"] == "bytes":
            picture = path.read_bytes()
        elif call["as"] == "array":
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR_BGR)
        elif call["as"] == "grey":
            picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        answer = client.analyze(picture, call["response_type"], data=call.get("data"))
        results.append(told(answer, folder, number))
    about = {
        "version": version("pekat-vision-sdk"),
        "shared_memory": bool(getattr(client, "_can_use_shm", False)),
        "port": client.port,
    }
    if "project" in asked:
        client.stop()
        about["ended_with"] = client.process.wait(timeout=30)
    print(json.dumps([about, *results]))


if __name__ == "__main__":
    main()

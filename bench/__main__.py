"""Runs every measurement and prints one JSON document."""

import json
import os
import platform

from bench import (
    annotations_ingest,
    classify_again,
    exports,
    face_over_http,
    pressure,
    queue_drain,
    repeats,
    similarity,
    small_reads,
    startup,
    subscribers,
    upload_latency,
    viewer_frames,
)


def main() -> None:
    results = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        },
        "startup": startup.main(),
        "face_over_http": face_over_http.main(),
        "queue_drain": queue_drain.main(),
        "repeats": repeats.main(),
        "classify_again": classify_again.main(),
        "small_reads": small_reads.main(),
        "upload_latency": upload_latency.main(),
        "annotations_ingest": annotations_ingest.main(),
        "subscribers": subscribers.main(),
        "exports": exports.main(),
        "similarity": similarity.main(),
        "pressure": pressure.main(),
        "viewer_frames": viewer_frames.main(),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

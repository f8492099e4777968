"""Runs every measurement and prints one JSON document."""

import json
import os
import platform

from bench import (
    annotations_ingest,
    backup,
    classify_again,
    exports,
    face_over_http,
    haut,
    image_embed,
    image_search,
    imports,
    pekat,
    pipeline_client,
    pressure,
    queue_drain,
    recording,
    repeats,
    reports,
    retention,
    runs,
    similarity,
    skin,
    small_reads,
    smoothing,
    startup,
    subscribers,
    upload_latency,
    viewer_frames,
    vista,
    webhooks,
    whales,
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
        "pekat": pekat.main(),
        "image_embed": image_embed.main(),
        "queue_drain": queue_drain.main(),
        "recording": recording.main(),
        "repeats": repeats.main(),
        "retention": retention.main(),
        "runs": runs.main(),
        "classify_again": classify_again.main(),
        "small_reads": small_reads.main(),
        "upload_latency": upload_latency.main(),
        "annotations_ingest": annotations_ingest.main(),
        "backup": backup.main(),
        "pipeline_client": pipeline_client.main(),
        "subscribers": subscribers.main(),
        "webhooks": webhooks.main(),
        "exports": exports.main(),
        "imports": imports.main(),
        "skin": skin.main(),
        "smoothing": smoothing.main(),
        "reports": reports.main(),
        "similarity": similarity.main(),
        "image_search": image_search.main(),
        "pressure": pressure.main(),
        "viewer_frames": viewer_frames.main(),
        "vista": vista.main(),
        "whales": whales.main(),
        "haut": haut.main(),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

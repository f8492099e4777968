"""Payloads of webhooks within their limit."""

import json

from opsin.compat.haut.deliveries import MAX_BYTES, bounded
from tests.compat.haut.world import ABSENT


def test_a_payload_is_never_longer_than_a_megabyte() -> None:
    long = [{"area_name": "face", "name": "x" * 1000}] * 2000
    small = {"event": "photo_calculated_by_app", "images": {}}
    assert "area_results" in json.loads(bounded({**small, "area_results": long[:10]}))
    assert json.loads(bounded({**small, "area_results": long})) == small
    photo = {"image_id": ABSENT, "area_results": long, "images": {}}
    merged = bounded({**small, "area_results": long, "photos": [photo]})
    assert len(merged) <= MAX_BYTES
    assert json.loads(merged)["photos"] == [{**photo, "area_results": None}]
    many = bounded({**small, "area_results": [], "photos": [{"image_id": ABSENT}] * 30_000})
    assert json.loads(many) == small

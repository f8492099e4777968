"""Rows for tests that need one and care little what is in it."""

from datetime import UTC, datetime
from typing import Any

from opsin.storage.ids import new_id


def company_values(name: str) -> dict[str, Any]:
    return {"id": new_id(), "name": name, "created_at": datetime.now(UTC)}

"""The audit of dependencies fails on a finding, and says so when it has looked nothing up."""

from typing import Any

import pytest

from tests import dependency_audit
from tests.dependency_audit import read

HOLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"]}


def package(**more: Any) -> dict[str, Any]:
    return {"name": "example", "version": "1.0"} | more


def test_a_finding_is_told() -> None:
    found = read({"dependencies": [package(vulns=[HOLE]), package(vulns=[])]})
    assert found.findings == ("example 1.0: PYSEC-2026-1, fixed in 1.1",)
    assert found.text.startswith("2 packages looked up, 0 not\nexample")


def test_one_that_is_accepted_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dependency_audit.ACCEPTED, "CVE-2026-1", "never called")
    assert read({"dependencies": [package(vulns=[HOLE])]}).findings == ()


def test_what_was_not_looked_up_is_no_praise() -> None:
    found = read({"dependencies": [package(skip_reason="not found")] * 3})
    assert found.text == "no advisories could be reached: none of 3 packages was looked up"
    some = read({"dependencies": [package(skip_reason="not found"), package(vulns=[])]})
    assert some.text == "1 packages looked up, 1 not\nno known holes"

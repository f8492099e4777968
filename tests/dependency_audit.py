"""`python -m tests.dependency_audit`: known holes in what is installed, by pip-audit.

A finding fails.  Where the advisories cannot be reached it says that nothing was looked up, which
is no finding, and no praise either.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

ACCEPTED: dict[str, str] = {}
"""Findings that do not concern Opsin: the advisory's id, and why."""

_SECONDS = 300
_COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--skip-editable"),
    *("--format", "json", "--timeout", "10"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, what could be looked up, and what could not."""

    findings: tuple[str, ...]
    looked_up: int
    skipped: int

    @property
    def text(self) -> str:
        if not self.looked_up:
            return f"no advisories could be reached: none of {self.skipped} packages was looked up"
        lines = [f"{self.looked_up} packages looked up, {self.skipped} not"]
        return "\n".join([*lines, *(self.findings or ("no known holes",))])


def read(document: dict[str, Any]) -> Report:
    """The JSON of pip-audit."""
    findings, looked_up, skipped = [], 0, 0
    for package in document["dependencies"]:
        if "skip_reason" in package:
            skipped += 1
            continue
        looked_up += 1
        for one in package.get("vulns", []):
            if ACCEPTED.keys().isdisjoint({one["id"], *one.get("aliases", [])}):
                fixed = ", ".join(one.get("fix_versions", [])) or "no version yet"
                name = f"{package['name']} {package['version']}"
                findings.append(f"{name}: {one['id']}, fixed in {fixed}")
    return Report(tuple(findings), looked_up, skipped)


def main() -> int:
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=_SECONDS)
        report = read(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        print(f"no advisories could be reached within {_SECONDS} s: nothing was looked up")
        return 0
    except ValueError:
        # It ends without a document where its source does not answer at all.
        reason = done.stderr.strip().splitlines()
        print("no advisories could be reached: nothing was looked up", *reason[-1:], sep="\n")
        return 0
    print(report.text)
    return 1 if report.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())

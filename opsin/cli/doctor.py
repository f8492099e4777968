"""`opsin doctor`: looks at all that the server stands on, and says what to do."""

from collections import Counter
from typing import TYPE_CHECKING

import typer

from opsin.cli import event_loop
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, Json, read_settings
from opsin.cli.output import print_json, results, say

if TYPE_CHECKING:
    from opsin.core.checkup import Finding

_MARKS = {"ok": ("ok", "green"), "warning": ("look", "yellow"), "failed": ("FAILED", "bold red")}


def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check database, blobs, models, devices, disks and settings, and say what to do.

    Ends with 1 when something does not work; what only deserves a look does not count.
    """
    settings = read_settings(data_dir=data_dir)

    from opsin.assembly.checkup import check_up  # late: it knows every part

    def show(findings: "list[Finding]") -> None:
        if not as_json:
            for finding in findings:
                _print(finding)

    findings = event_loop.run(check_up(settings, show))
    counts = Counter(str(finding.verdict) for finding in findings)
    if as_json:
        print_json(
            {
                "ok": not counts["failed"],
                "findings": [
                    {
                        "part": one.part,
                        "verdict": str(one.verdict),
                        "text": one.text,
                        "advice": one.advice,
                    }
                    for one in findings
                ],
            }
        )
    else:
        say(f"{counts['ok']} well, {counts['warning']} to look at, {counts['failed']} failed")
    if counts["failed"]:
        raise typer.Exit(ExitCode.FAILED)


def _print(finding: "Finding") -> None:
    """One line, and below it what to do."""
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    line = Text(f"{mark:<7}", style=style)
    line.append(f"{finding.part:<11}", style="bold")
    line.append(finding.text, style="default")
    results().print(line, soft_wrap=True)
    if finding.advice is not None:
        results().print(Text(f"{'':<18}-> {finding.advice}"), soft_wrap=True)

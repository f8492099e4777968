"""`opsin calibrate`: the threshold for an operation's score, from pictures that it is to part."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, Json, read_settings
from opsin.cli.output import new_table, print_json, print_line, results
from opsin.core.errors import InvalidInput, reason_of

if TYPE_CHECKING:
    from opsin.core.collections.score_calibration import Calibration, Goal, Operating
    from opsin.core.engine import Outcome

_POSITIVE, _NEGATIVE = "positive", "negative"
_DEFAULT_RECALL = 0.95
_SHOWN = 12
"""Points of the curve in the table; all are in the JSON document."""


def _share(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, min=0, max=1, metavar="SHARE", help=text, **more)


def calibrate(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="With the folders `positive` and `negative`."),
    ],
    task: Annotated[
        str,
        typer.Option("--task", metavar="NAME[:key=value,...]", help="The operation that scores."),
    ],
    score: Annotated[
        str, typer.Option("--score", metavar="FIELD", help="The number in its result.")
    ],
    recall: Annotated[
        float | None,
        _share(
            "--recall",
            "The share of positives that must pass, and then as few negatives as possible.",
            show_default=str(_DEFAULT_RECALL),
        ),
    ] = None,
    specificity: Annotated[
        float | None,
        _share("--specificity", "Instead: the share of negatives that must not pass."),
    ] = None,
    precision: Annotated[
        float | None,
        _share("--precision", "Instead: the share of positives in what passes."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Keep it as a JSON file, for a manifest."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find the threshold that parts two kinds of pictures as well as wanted.

    Exits with 1 when a picture could not be scored; it is left out.
    """
    settings = read_settings(data_dir=data_dir)  # before what takes long to import

    from opsin.assembly import discover_plugins
    from opsin.cli.picture_folders import ask, folders_in
    from opsin.cli.task_texts import read_task
    from opsin.core.collections.score_calibration import calibrate as choose

    goal, wanted = _goal(recall, specificity, precision)
    host = discover_plugins(settings)
    asked = read_task(host, task)
    if score not in asked.operation.result.model_fields:
        names = ", ".join(asked.operation.result.model_fields)
        raise InvalidInput(f"{asked.operation.name} gives no {score!r}; it gives {names}")
    folders = folders_in(folder)
    pictures = {name: folders.get(name, []) for name in (_POSITIVE, _NEGATIVE)}
    for name, paths in pictures.items():
        if not paths:
            raise InvalidInput(f"{folder} has no pictures in a folder {name!r}")
    found, failed = ask(settings, host, asked, pictures)
    scores: dict[str, list[float]] = {_POSITIVE: [], _NEGATIVE: []}
    for name, outcome in found:
        scores[name].append(_score(outcome, score))
    calibration = choose(scores[_POSITIVE], scores[_NEGATIVE], goal, wanted)
    document = _document(calibration, scores, found[0][1], score, goal, wanted)
    if output is not None:
        _write(output, document)
    if as_json:
        curve = [_described(point) for point in calibration.curve]
        print_json({**document, "curve": curve, "failed": failed})
    else:
        _print(calibration, document)
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _goal(
    recall: float | None, specificity: float | None, precision: float | None
) -> tuple["Goal", float]:
    from opsin.core.collections.score_calibration import Goal

    shares = {Goal.RECALL: recall, Goal.SPECIFICITY: specificity, Goal.PRECISION: precision}
    given = [(goal, share) for goal, share in shares.items() if share is not None]
    if len(given) > 1:
        raise InvalidInput("--recall, --specificity and --precision exclude each other")
    return given[0] if given else (Goal.RECALL, _DEFAULT_RECALL)


def _score(outcome: "Outcome", field: str) -> float:
    value = getattr(outcome.result, field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{field!r} is no number in every result")
    return float(value)


def _document(
    calibration: "Calibration",
    scores: dict[str, list[float]],
    outcome: "Outcome",
    field: str,
    goal: "Goal",
    wanted: float,
) -> dict[str, Any]:
    """What a manifest reads; only pictures of one operation, version and model were scored."""
    chosen, task = calibration.chosen, outcome.task
    return {
        "operation": task.operation.name,
        "operation_version": task.operation.version,
        "params": task.params.model_dump(mode="json", exclude_unset=True),
        "score": field,
        **_described(chosen),
        "wanted": {goal.value: wanted},
        "area_under_roc": calibration.area,
        "positives": chosen.positives,
        "negatives": chosen.negatives,
        "mean_positive_score": sum(scores[_POSITIVE]) / chosen.positives,
        "mean_negative_score": sum(scores[_NEGATIVE]) / chosen.negatives,
        "models": [
            {"role": model.role, "name": model.name, "fingerprint": model.fingerprint}
            for model in outcome.provenance.models
        ],
        "calibrated_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _described(point: "Operating") -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "recall": point.recall,
        "specificity": point.specificity,
        "precision": point.precision,
    }


def _write(file: Path, document: dict[str, Any]) -> None:
    import orjson

    try:
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {reason_of(error)}") from None


def _print(calibration: "Calibration", document: dict[str, Any]) -> None:
    from opsin.core.collections.score_calibration import interval

    table = new_table("Threshold", "Recall", "Specificity", "Precision", "")
    curve, chosen = calibration.curve, calibration.chosen
    step = max(1, -(-len(curve) // _SHOWN))
    for index, one in enumerate(curve):
        if one is not chosen and index % step and index != len(curve) - 1:
            continue
        table.add_row(
            f"{one.threshold:.6f}",
            f"{one.recall:.4f}",
            f"{one.specificity:.4f}",
            "" if one.precision is None else f"{one.precision:.4f}",
            "chosen" if one is chosen else "",
        )
    results().print(table)
    print_line(f"threshold {chosen.threshold!r}")
    for name, share, count in (
        ("recall", chosen.recall, chosen.positives),
        ("specificity", chosen.specificity, chosen.negatives),
    ):
        low, high = interval(share, count)
        print_line(f"{name} {share:.4f} of {count} (95 %: {low:.4f} to {high:.4f})")
    print_line(f"area under the ROC curve {document['area_under_roc']:.4f}")

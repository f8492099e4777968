"""The tables of docs/benchmarks.md out of the numbers, and the aims with what was reached."""

import json
import statistics
from typing import Any

_RAW, _OPSIN = "raw SQL", "Opsin"
_POSTGRAPHILE, _STRAWBERRY = "PostGraphile 5.1.5", "Strawberry, DataLoaders"


def markdown(results: dict[str, Any]) -> str:
    """Every table that the numbers are there for."""
    lines: list[str] = []
    results = json.loads(json.dumps(results))  # the keys are text, as in the file
    for kind in ("postgresql", "sqlite"):
        told = results.get(kind, {})
        for case, seen in told.get("load", {}).items():
            lines += ["", f"{case}, {kind}", "", *_case(seen)]
        if "in process" in told:
            lines += ["", f"In process, {kind}", "", *_in_process(told["in process"])]
        if "growth" in told:
            lines += ["", f"Growth, {kind}", "", *_growth(told["growth"])]
    lines += ["", *_aims(results)]
    return "\n".join(lines)


def _case(seen: dict[str, Any]) -> list[str]:
    counts = list(next(iter(seen.values())))
    lines = [
        f"| | {' | '.join(f'requests/s, {count}' for count in counts)} "
        f"| {' | '.join(f'p50 / p99 ms, {count}' for count in counts)} "
        "| kB | its processor ms a request | PostgreSQL's |",
        "| --- " * (2 * len(counts) + 4) + "|",
    ]
    for name, by_count in seen.items():
        kilobytes = _median(by_count[counts[0]], "size") / 1000
        busy = by_count.get(counts[1], by_count[counts[0]])
        own, database = (
            f"{_median(busy, value) * 1000:.2f}" for value in ("server_cpu", "database_cpu")
        )
        rates = [_rate(by_count.get(count)) for count in counts]
        latencies = [_latency(by_count.get(count)) for count in counts]
        lines.append(
            f"| {name} | {' | '.join(rates)} | {' | '.join(latencies)} "
            f"| {kilobytes:,.0f} | {own} | {database} |"
        )
    return lines


def _in_process(told: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| | raw SQL ms | Opsin ms | times |", "| --- | --- | --- | --- |"]
    for case, seen in told.items():
        raw, opsin = seen[_RAW], seen[_OPSIN]
        lines.append(f"| {case} | {raw:.2f} | {opsin:.2f} | {opsin / raw:.2f} |")
    return lines


def _growth(told: dict[str, Any]) -> list[str]:
    lines = ["| annotations in the table | raw SQL ms | Opsin ms |", "| --- | --- | --- |"]
    for size, seen in told["by size"].items():
        lines.append(f"| {int(size):,} | {seen[_RAW]:.2f} | {seen[_OPSIN]:.2f} |")
    for name, milliseconds in told["pages"].items():
        lines.append(f"| {name} of 1,000,000 | | {milliseconds:.2f} |")
    return lines


def _aims(results: dict[str, Any]) -> list[str]:
    """Each ratio within a round, its median over the rounds, and whether that is enough."""
    lines = ["| what | aim | measured | |", "| --- | --- | --- | --- |"]

    def note(what: str, aim: float, reached: float | None, *, least: bool) -> None:
        if reached is not None:
            met = reached >= aim if least else reached <= aim
            word = "at least" if least else "at most"
            verdict = "met" if met else "missed"
            lines.append(f"| {what} | {word} {aim} times | {reached:.2f} times | {verdict} |")

    postgres = results.get("postgresql", {})
    page, small, single = "200 x 20", "20 x 20", "1 x 20"
    slower = _ratio(postgres, page, "1", "p50", _OPSIN, _RAW)
    note(f"{page}: time against raw SQL", 1.5, slower, least=False)
    faster = _ratio(postgres, page, "1", "p50", _STRAWBERRY, _OPSIN)
    note(f"{page}: Strawberry's time", 12, faster, least=True)
    work = _ratio(postgres, page, "8", "server_cpu", _POSTGRAPHILE, _OPSIN)
    note(f"{page}: PostGraphile's processor time a request", 2.5, work, least=True)
    for case, aim in ((page, 2.5), (small, 2), (single, 1.3)):
        for count in ("1", "8", "32"):
            rate = _ratio(postgres, case, count, "rate", _OPSIN, _POSTGRAPHILE)
            what = f"{case}: PostGraphile's requests/s, {count} clients, a core each"
            note(what, aim, rate, least=True)
    for kind in ("postgresql", "sqlite"):
        told = results.get(kind, {})
        slower = _ratio(told, "10,000 of one", "1", "p50", _OPSIN, _RAW)
        note(f"10,000 of one, {kind}: time against raw SQL", 1.5, slower, least=False)
        if "growth" in told:
            sizes = [seen[_OPSIN] for seen in told["growth"]["by size"].values()]
            growth = sizes[-1] / sizes[0]
            what = f"1,000 of one, {kind}: time among 1,000,000 against among 1,000"
            note(what, 1.2, growth, least=False)
            pages = told["growth"]["pages"].values()
            what = f"page 1 and page 1,000, {kind}: the slower against the other"
            note(what, 1.2, max(pages) / min(pages), least=False)
    return lines


def _ratio(
    told: dict[str, Any], case: str, count: str, value: str, above: str, below: str
) -> float | None:
    seen = told.get("load", {}).get(case, {})
    if not all(count in seen.get(name, {}) for name in (above, below)):
        return None
    pairs = zip(seen[above][count], seen[below][count], strict=True)
    ratios = [float(one[value] / other[value]) for one, other in pairs]
    return statistics.median(ratios)


def _rate(runs: list[dict[str, float]] | None) -> str:
    if runs is None:
        return ""
    rate = _median(runs, "rate")
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _latency(runs: list[dict[str, float]] | None) -> str:
    return f"{_median(runs, 'p50'):.1f} / {_median(runs, 'p99'):.1f}" if runs is not None else ""


def _median(runs: list[dict[str, float]], value: str) -> float:
    return statistics.median(run[value] for run in runs)

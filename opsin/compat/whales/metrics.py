"""The documented metrics, with their documented names and digits, in their documented order."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opsin.compat.whales.identification import Answered
from opsin.core.request_counts import RequestCounts


@dataclass(slots=True)
class WhalesCounts:
    """Pictures that this process has answered."""

    accepted: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    score_total: float = 0.0

    def add(self, answers: Iterable[Answered]) -> None:
        for answered in answers:
            reason = answered.detection.rejection_reason
            if reason is None:
                self.accepted += 1
            else:
                self.rejections[reason] += 1
            if answered.score is not None:
                self.scored += 1
                self.score_total += answered.score


_REJECTED = "rejected:"


@dataclass(frozen=True, slots=True)
class WhalesMetrics:
    """The families, of this process's counts or of the sums of several processes'."""

    counts: WhalesCounts

    def numbers(self) -> dict[str, float]:
        """What may be added up; rejections by their reasons."""
        counts = self.counts
        rejected = {f"{_REJECTED}{reason}": n for reason, n in counts.rejections.items()}
        return {
            "accepted": counts.accepted,
            "scored": counts.scored,
            "score_total": counts.score_total,
            **rejected,
        }

    def text(self, numbers: Mapping[str, float], requests: RequestCounts) -> str:
        """The families of such numbers."""
        counts = WhalesCounts(
            accepted=int(numbers["accepted"]),
            rejections=Counter(
                {
                    name.removeprefix(_REJECTED): int(number)
                    for name, number in numbers.items()
                    if name.startswith(_REJECTED)
                }
            ),
            scored=int(numbers["scored"]),
            score_total=numbers["score_total"],
        )
        return exposition(counts, requests)


def exposition(counts: WhalesCounts, requests: RequestCounts) -> str:
    """The families as text, each line ended."""
    total, errors = requests.total, requests.errors
    availability = 100.0 * (total - errors) / total if total else 100.0
    latency = 1000.0 * requests.seconds / total if total else 0.0
    score = counts.score_total / counts.scored if counts.scored else 0.0
    rejected = sum(counts.rejections.values())
    families = (
        ("uptime_seconds", "counter", f"{requests.uptime():.1f}", "Seconds since the start."),
        ("availability_percent", "gauge", f"{availability:.3f}", "Requests answered below 400."),
        ("requests_total", "counter", str(total), "HTTP requests that were answered."),
        ("errors_total", "counter", str(errors), "Answers with a status of 400 or more."),
        ("predictions_total", "counter", str(counts.accepted), "Pictures that were accepted."),
        ("rejections_total", "counter", str(rejected), "Pictures that were rejected."),
        ("latency_avg_ms", "gauge", f"{latency:.2f}", "Mean time until an answer begins."),
        ("cetacean_score_avg", "gauge", f"{score:.4f}", "Mean score of the gate, of all pictures."),
    )
    lines = [
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n"
        for name, kind, value, text in families
    ]
    if counts.rejections:
        lines.append("# HELP rejections_by_reason Pictures that were rejected, by reason.\n")
        lines.append("# TYPE rejections_by_reason counter\n")
    lines += [
        f'rejections_by_reason{{reason="{reason}"}} {count}\n'
        for reason, count in sorted(counts.rejections.items())
    ]
    return "".join(lines)

"""`python -m fuzz`: lists targets, fuzzes one by coverage, or tries the kept corpora of all."""

import argparse
import random
import sys
import time
from collections.abc import Iterator

from fuzz.target import CORPUS

_SLOW_SECONDS = 10
"""After which an input of a few kilobytes is a finding."""
_LONGEST = 8192


def main() -> None:
    options = _options()
    if options.target is None:
        from fuzz.all_targets import TARGETS

        for name in TARGETS:
            _try(name, options.tries)
        return
    _fuzz(options.target, options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="fuzz this one; all are tried without one")
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz")
    parser.add_argument("--tries", type=int, default=200, help="changed inputs of each target")
    return parser.parse_args()


def _try(name: str, tries: int) -> None:
    from fuzz.all_targets import TARGETS

    started, count = time.perf_counter(), 0
    for data in inputs(name, tries):
        TARGETS[name].run(data)
        count += 1
    print(f"{name}: {count} inputs, {time.perf_counter() - started:.1f} s")


def inputs(name: str, tries: int) -> Iterator[bytes]:
    """The corpus of a target, and the same changed at random: always the same inputs."""
    from fuzz.all_targets import TARGETS

    corpus = TARGETS[name].corpus()
    yield from (b"", *corpus)
    numbers = random.Random(name)
    for _ in range(tries):
        yield changed(numbers.choice(corpus), numbers)


def changed(data: bytes, numbers: random.Random) -> bytes:
    """With a few bytes changed, taken out, put in, or repeated."""
    made = bytearray(data)
    for _ in range(numbers.randint(1, 6)):
        at, length = numbers.randint(0, len(made)), numbers.randint(1, 12)
        match numbers.randrange(6):
            case 0 | 1:
                made[at : at + 1] = bytes([numbers.choice((0, 1, 34, 48, 127, 128, 255))])
            case 2:
                made[at : at + 1] = bytes([numbers.randrange(256)])
            case 3:
                made[at:at] = numbers.randbytes(length)
            case 4:
                del made[at : at + length]
            case _:
                made[at:at] = made[at : at + length] * numbers.randint(1, 8)
    return bytes(made)


def _fuzz(name: str, seconds: int) -> None:
    """Coverage leads; what reaches new code is kept in the corpus, a finding ends the run."""
    import atheris  # type: ignore[import-untyped]  # published without types

    with atheris.instrument_imports(include=["opsin", "fuzz", "yaml", "zipfile", "PIL"]):
        from fuzz.all_targets import TARGETS
    target = TARGETS[name]
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (kept / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [
            *(sys.argv[0], str(kept), f"-max_total_time={seconds}"),
            *(f"-timeout={_SLOW_SECONDS}", f"-max_len={_LONGEST}", "-rss_limit_mb=4096"),
        ],
        target.run,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()

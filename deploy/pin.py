"""Prints constraints for the images: every package that Opsin needs, at the version that is here.

    .venv/bin/python deploy/pin.py > deploy/constraints.txt

Run it in the environment in which the tests have passed.
"""

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from requirements import requirements

EXTRAS = ["models", "postgres", "s3", "ray", "reports", "telemetry"]


def pins() -> dict[str, str]:
    """Version by name of all that is needed; PackageNotFoundError where something is not here."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(map(Requirement, requirements(EXTRAS)))
    while waiting:
        needed = waiting.pop()
        if needed.marker is not None and not needed.marker.evaluate():
            continue
        name, extras = canonicalize_name(needed.name), frozenset(needed.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        there = distribution(name)
        # Without the build: "2.15.0+cpu" and "2.15.0" are the same release.
        found[name] = Version(there.version).public
        waiting += _wanted(there.requires or [], extras)
    return dict(sorted(found.items()))


def _wanted(texts: list[str], extras: frozenset[str]) -> list[Requirement]:
    """The requirements of a package with these extras, without what they were asked by."""
    wanted = []
    for one in map(Requirement, texts):
        marker, one.marker = one.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or [""]):
            wanted.append(one)
    return wanted


if __name__ == "__main__":
    print("# What the images are built of: made by deploy/pin.py, never by hand.")
    for name, version in pins().items():
        print(f"{name}=={version}")

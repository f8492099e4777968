"""Prints what Opsin needs with the given extras, from pyproject.toml: a layer without Opsin itself.

    python deploy/requirements.py postgres s3 > requirements.txt

Extras that name other extras of Opsin (`all`) are followed.  Needs nothing but Python.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_OWN = re.compile(r"opsin\[([\w,]+)\]")


def requirements(extras: list[str]) -> list[str]:
    """The requirements of Opsin with these extras, each once; KeyError for an unknown extra."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    found = dict.fromkeys(project["dependencies"])
    for extra in extras:
        for one in project["optional-dependencies"][extra]:
            own = _OWN.fullmatch(one)
            found.update(dict.fromkeys(requirements(own[1].split(",")) if own else [one]))
    return list(found)


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))

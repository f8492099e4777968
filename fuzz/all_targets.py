"""Every target by name."""

from fuzz import archives, documents, imports, marks, pictures, requests
from fuzz.target import Target

_ROOMS = (pictures, marks, archives, requests, imports, documents)
TARGETS: dict[str, Target] = {one.name: one for room in _ROOMS for one in room.TARGETS}

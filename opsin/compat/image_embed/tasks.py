"""What was asked for as tasks of the engine, or why it will not be done, in this API's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opsin.compat.image_embed.requests import TaskRequest
from opsin.core.contract import FaceContext
from opsin.core.engine import Task, make_task
from opsin.core.errors import InvalidParams, TargetNotSupported, UnknownOperation
from opsin.core.plugin_host import PluginHost

CLASSIFY = "classify"
DESCRIBE = "describe_image"
DETECT = "detect_bounding_box"

INTERNAL = "Internal error processing task: "

_BEAMS = 4
"""As the documented captioner searches; its captions are the words that clients know."""

_OWN_PARAMS: Mapping[str, tuple[str, ...]] = {
    DETECT: (),
    "embed_clip_vit_b_32": (),
    "embed_dino_v2": (),
    "embed_dino_v3": (),
    "embed_dino_v3_patch": (),
    "embed_auraface": (),
    CLASSIFY: ("collection_id",),
    DESCRIBE: ("max_length",),
}
"""The documented operations in their order, and their params beside those of the region; others
are ignored."""

DOCUMENTED = tuple(_OWN_PARAMS)

_LONGEST_NAME = 200  # characters of a name from outside that a message repeats


@dataclass(frozen=True, slots=True)
class Refusal:
    """A task that is not run: `skipped`, or `error`."""

    message: str
    is_error: bool = False


def read_task(host: PluginHost, given: TaskRequest) -> Task | Refusal:
    """The task, its params translated; looks at type, target and the rest in this order."""
    params = given.params or {}
    try:
        return make_task(host, given.operation_id, given.type, _translated(given.type, params))
    except UnknownOperation:
        return Refusal(f"Unsupported operation type: '{given.type[:_LONGEST_NAME]}'")
    except TargetNotSupported as error:
        return Refusal(error.message)
    except InvalidParams as error:
        if given.type == CLASSIFY:
            return _without_collection(params.get("collection_id"))
        return Refusal(error.message)


def _translated(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params as the operation knows them."""
    known = _OWN_PARAMS.get(operation)
    chosen = {
        name: value
        for name, value in params.items()
        if name not in ("target", "face_context")
        and (known is None or (name in known and value is not None))
    }
    if operation == DESCRIBE:
        chosen["num_beams"] = _BEAMS
    if params.get("target") is not None:
        chosen["target"] = params["target"]
    if "face_context" in params:
        # Whatever is not the one word has always meant the whole image.
        is_inside = params["face_context"] == FaceContext.PROMINENT_PERSON.value
        context = FaceContext.PROMINENT_PERSON if is_inside else FaceContext.WHOLE_IMAGE
        chosen["face_context"] = context.value
    return chosen


def _without_collection(given: Any) -> Refusal:
    if given is None:
        return Refusal("'collection_id' param is required for 'classify' operation.")
    if isinstance(given, list | dict):
        kind = type(given).__name__
        needed = "a string, a bytes-like object or a real number"
        return Refusal(f"{INTERNAL}int() argument must be {needed}, not '{kind}'", is_error=True)
    if isinstance(given, str):
        return not_an_integer(given)
    return Refusal("'collection_id' must be an integer.")


def not_an_integer(text: str) -> Refusal:
    """For a collection that there is not, and whose name is none that it could have had."""
    return Refusal(f"invalid literal for int() with base 10: {text[:_LONGEST_NAME]!r}")

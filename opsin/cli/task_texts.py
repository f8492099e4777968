"""Tasks as text, NAME[:key=value,...], read into tasks that fit their operation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opsin.core.errors import InvalidInput, InvalidParams, TargetNotSupported

if TYPE_CHECKING:
    from opsin.core.engine import Task
    from opsin.core.plugin_host import PluginHost

_CLOSING = {"[": "]", "{": "}"}


def read_task(host: "PluginHost", text: str) -> "Task":
    """The task that a text asks for; its id is the text.

    Raises InvalidInput for the text, UnknownOperation, TargetNotSupported or InvalidParams for what
    it says.
    """
    from opsin.core.engine import make_task

    name, colon, rest = text.partition(":")
    operation = host.operation(name.strip())
    params: dict[str, Any] = {}
    for part in _split(rest) if colon else ():
        key, equals, value = part.partition("=")
        key = key.strip()
        if not key or not equals:
            raise InvalidInput(f"task {text!r}: {part!r} is not key=value")
        if key in params:
            raise InvalidInput(f"task {text!r}: {key!r} is given twice")
        params[key] = value
    schema = operation.params.model_json_schema()
    for key, value in params.items():
        if value[:1] in _CLOSING and _takes_json(schema, schema.get("properties", {}).get(key, {})):
            params[key] = _parsed(text, key, value)
    try:
        return make_task(host, text, operation.name, params)
    except (InvalidParams, TargetNotSupported) as error:
        raise type(error)(f"task {text!r}: {error.message}") from None


def _split(text: str) -> Iterator[str]:
    """At commas, but not at those inside brackets or quotes within them."""
    depth, quoted, start = 0, False, 0
    for index, character in enumerate(text):
        if character == '"' and depth:
            quoted = not quoted
        elif quoted:
            continue
        elif character in _CLOSING:
            depth += 1
        elif character in _CLOSING.values():
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _takes_json(schema: dict[str, Any], field: dict[str, Any]) -> bool:
    """Whether a field takes an array or an object; text is what every other field is read from."""
    if "$ref" in field:
        return _takes_json(schema, schema["$defs"][field["$ref"].rpartition("/")[2]])
    if field.get("type") in ("array", "object"):
        return True
    choices = [*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]
    return any(_takes_json(schema, choice) for choice in choices)


def _parsed(text: str, key: str, value: str) -> Any:
    import orjson

    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise InvalidInput(f"task {text!r}: the value of {key!r} is not JSON") from None

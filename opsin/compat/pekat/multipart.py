"""Bodies of forms: the picture among the parts, and the fields beside it."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from opsin.core.errors import InvalidImage

_PICTURE_NAMES = ("image", "file", "array")
_MOST_PARTS = 1_000
_LONGEST_FIELD = 64 * 1024


@dataclass(slots=True)
class _Part:
    name: str = ""
    has_filename: bool = False
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Form:
    """The first part with a file's name, or else one that is named as a picture, and the others."""

    picture: bytes
    fields: tuple[tuple[str, str], ...]


def is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def read_form(content_type: str, body: bytes) -> Form:
    """Raises InvalidImage for a form that cannot be read, or that has no picture."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidImage("the form says no boundary")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type] # its own names for these callables
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise InvalidImage("the form cannot be read") from None
    parts = collector.parts
    picture = next((part for part in parts if part.has_filename), None)
    if picture is None:
        picture = next((part for part in parts if part.name in _PICTURE_NAMES), None)
    if picture is None:
        raise InvalidImage("the form has no part with a picture")
    fields = tuple(
        (part.name, part.content.decode("utf-8", "replace"))
        for part in parts
        if part is not picture and not part.has_filename and len(part.content) <= _LONGEST_FIELD
    )
    return Form(bytes(picture.content), fields)


class _Collector:
    """Gathers parts as the parser comes across them."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._header, self._value = bytearray(), bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= _MOST_PARTS:
            raise InvalidImage(f"a form may have {_MOST_PARTS} parts at most")
        self.parts.append(_Part())

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            options = parse_options_header(bytes(self._value))[1]
            self.parts[-1].name = options.get(b"name", b"").decode("utf-8", "replace")
            self.parts[-1].has_filename = b"filename" in options
        self._header.clear()
        self._value.clear()

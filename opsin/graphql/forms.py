"""Small uploads by the GraphQL multipart request specification, taken apart in memory.

The common parser sees each byte of a form and writes files through a spool; a form that is here as
a whole needs one search for its boundary.  What is not plainly well-formed is refused without a
reason: the ordinary way reads it again.
"""

import io
import re
from typing import Any

from starlette.datastructures import Headers, UploadFile
from strawberry.file_uploads.utils import replace_placeholders_with_files

from opsin.storage.json_text import parse_json

MOST_BYTES = 2**20
"""Of a whole form; larger ones are spooled to a file by the ordinary way."""

_MOST_PARTS = 100
_TYPE = re.compile(rb'multipart/form-data; ?boundary=(?:"([\w\'+./:=?-]{1,70})"|([\w.-]{1,70}))')
_HEAD = re.compile(
    rb'content-disposition: form-data; name="([^"\\%\x00-\x1f\x7f-\xff]*)"'
    rb'(?:; filename="([^"\\%\x00-\x1f\x7f-\xff]*)")?'
    rb"(?:\r\ncontent-type: ([\w.+/-]+))?",
    re.IGNORECASE,
)


class NotPlain(ValueError):
    """The form has something that only a full parser understands."""


def is_form(content_type: bytes) -> bool:
    """Whether this is the Content-Type of a form that `members_of` may understand."""
    return _TYPE.fullmatch(content_type) is not None


def members_of(content_type: bytes, body: bytes) -> Any:
    """The request's members, its files in their places; NotPlain or another ValueError if none."""
    found = _TYPE.fullmatch(content_type)
    if found is None:
        raise NotPlain
    fields: dict[str, bytes] = {}
    files: dict[str, UploadFile] = {}
    for name, filename, kind, content in _parts(found[1] or found[2], body):
        if name in fields or name in files:
            raise NotPlain
        if filename is None:
            fields[name] = content
        else:
            headers = Headers({"content-type": kind} if kind else {})
            files[name] = UploadFile(
                io.BytesIO(content), size=len(content), filename=filename, headers=headers
            )
    if not fields.keys() >= {"operations", "map"}:
        raise NotPlain
    operations, places = parse_json(fields["operations"]), parse_json(fields["map"])
    try:
        return replace_placeholders_with_files(operations, places, files)
    # It follows the client's `map` into its `operations`, and the two need not agree.
    except (AttributeError, LookupError, TypeError) as error:
        raise NotPlain from error


def _parts(boundary: bytes, body: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, file name, content type and content of each part."""
    delimiter = b"\r\n--" + boundary
    first, *parts = (b"\r\n" + body).split(delimiter, _MOST_PARTS)
    if first or not parts or parts.pop() not in (b"--", b"--\r\n"):
        raise NotPlain
    return [_part(part) for part in parts]


def _part(part: bytes) -> tuple[str, str | None, str | None, bytes]:
    head, separator, content = part.partition(b"\r\n\r\n")
    found = _HEAD.fullmatch(head.removeprefix(b"\r\n"))
    if found is None or not separator or not part.startswith(b"\r\n"):
        raise NotPlain
    name, filename, kind = (
        None if each is None else each.decode("ascii") for each in found.groups()
    )
    return name or "", filename, kind, content

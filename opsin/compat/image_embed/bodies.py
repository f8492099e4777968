"""What comes in: JSON up to a size, or a form with a picture and its tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.requests import Request

from opsin.compat.image_embed.requests import Problem, Refused, missing, problem
from opsin.core.errors import TooLarge
from opsin.core.immediate import PictureSource

MOST_JSON = 2**20
"""Bytes; hundreds of tasks or URLs take a fraction of that."""
_MOST_FIELD = 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """A form's two fields."""

    image: UploadFile
    tasks: str

    @property
    def filename(self) -> str:
        """As the client's form says it, but for what no JSON could say."""
        return (self.image.filename or "").encode("utf-8", "replace").decode()

    @property
    def name(self) -> str:
        """How the picture is called in the answer."""
        return f"uploaded:{self.filename}"

    @property
    def picture(self) -> PictureSource:
        return PictureSource(file=self.image.file, filename=self.filename)


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request) -> bytes:
    """The bytes of a JSON body; raises Refused for another kind, TooLarge."""
    kind = media_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        text = "Input should be a valid dictionary or object to extract fields from"
        raise Refused([problem("model_attributes_type", ["body"], text)])
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_JSON:
            raise TooLarge(f"A JSON body has at most {MOST_JSON} bytes")
    return bytes(body)


@asynccontextmanager
async def upload(request: Request) -> AsyncIterator[Upload]:
    """The form of a request, for as long as its file is open.

    Raises Refused, or HTTPException for a form that cannot be read.
    """
    if media_type(request) != "multipart/form-data":
        raise Refused([missing("image_file"), missing("tasks_json")])
    async with request.form(max_part_size=_MOST_FIELD) as form:
        image, tasks = form.get("image_file"), form.get("tasks_json")
        problems: list[Problem] = []
        if isinstance(image, str):
            text = "Value error, Expected UploadFile, received: <class 'str'>"
            problems.append(problem("value_error", ["body", "image_file"], text))
        elif image is None or not image.filename:
            problems.append(missing("image_file"))
        if isinstance(tasks, UploadFile):
            text = "Input should be a valid string"
            problems.append(problem("string_type", ["body", "tasks_json"], text))
        elif not tasks:
            problems.append(missing("tasks_json"))
        if problems or not isinstance(image, UploadFile) or not isinstance(tasks, str):
            raise Refused(problems)
        yield Upload(image, tasks)

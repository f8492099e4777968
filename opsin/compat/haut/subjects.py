"""Subjects: made, listed, changed in part, and deleted one by one or many at once."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from opsin.compat.haut.answers import answer, invalid, telling
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.objects import subject_object
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, paginated
from opsin.compat.haut.paths import DATASET, SUBJECT
from opsin.compat.haut.times import MaybeDay
from opsin.core import capture
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import Subject
from opsin.core.storable import check_json
from opsin.core.subjects import NewSubject, SubjectChanges
from opsin.core.use_cases import UseCases
from opsin.storage.ids import canonical_id

_ORDERS = {"name": "name", "creation_time": "created_at", "birth_date": "birth_date"}


class SubjectFields(Body):
    """What may be said of a subject; what is not said stays as it is."""

    name: str = Field("", min_length=1, max_length=512)
    birth_date: MaybeDay = None
    biological_sex: Annotated[Any, WithJsonSchema({"type": ["integer", "string", "null"]})] = None
    meta: dict[str, Any] | None = None

    @field_validator("meta")
    @classmethod
    def _storable_meta(cls, value: Any) -> Any:
        """Told of the field, before it would be refused where it is stored."""
        try:
            check_json(value, "meta")
        except InvalidInput as error:
            raise PydanticCustomError("invalid", "{text}", {"text": error.message}) from None
        return value

    @property
    def sex(self) -> str | None:
        """By its number or its name; Refused 400 for what is no sex of the dictionary."""
        key = self.biological_sex
        if key is None or key == "":
            return None
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise invalid("biological_sex", "A number or a name is needed.")
        if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10:
            key = int(key)
        try:
            return capture.sex(key).name
        except InvalidInput:
            text = f'Invalid pk "{key}" - object does not exist.'
            raise invalid("biological_sex", text, "does_not_exist") from None


class SubjectBody(SubjectFields):
    name: str = Field(min_length=1, max_length=512)


class Deleted(Body):
    subjects_ids: list[str]


class SubjectRoutes:
    """`subjects`, `subjects/delete` and `subjects/{id}` of a dataset."""

    def __init__(self, use_cases: UseCases, options: HautOptions, _gate: Gate) -> None:
        self._use_cases = use_cases
        self._subjects = use_cases.subjects
        self._options = options

    def rows(self) -> list[Row]:
        return [
            Row(f"{DATASET}/subjects", {"GET": self.listed, "POST": self.create}),
            Row(f"{DATASET}/subjects/delete", {"DELETE": self.delete_many}),
            Row(SUBJECT, {"GET": self.read, "PATCH": self.update, "DELETE": self.delete}),
        ]

    async def create(self, call: Call) -> Response:
        """A new subject; names need not be unique."""
        sent = await body_of(call.request, SubjectBody)
        new = NewSubject(sent.name, sent.birth_date, sent.sex, sent.meta or {})
        with telling(None):
            made = await self._subjects.create(call.principal, call.dataset.id, new)
        return answer((await self._objects(call, [made]))[0], 201)

    async def listed(self, call: Call) -> Response:
        page = asked(call.request, self._options)
        found, count = await self._subjects.page(
            call.principal,
            call.dataset.id,
            skip=page.skip,
            limit=page.size,
            text=page.text,
            order=page.order(_ORDERS),
        )
        results = await self._objects(call, found)
        return paginated(call.request, self._options, page, results, count)

    async def read(self, call: Call) -> Response:
        return answer((await self._objects(call, [call.subject]))[0])

    async def update(self, call: Call) -> Response:
        """Change what the body names; null takes away what may be missing."""
        sent = await body_of(call.request, SubjectFields)
        values: dict[str, Any] = {
            "name": sent.name,
            "birth_date": sent.birth_date,
            "sex": sent.sex,
            "attributes": sent.meta or {},
        }
        named = {_OURS.get(name, name) for name in sent.model_fields_set}
        changes = SubjectChanges(**{name: values[name] for name in values if name in named})
        with telling(None):
            changed = await self._subjects.update(
                call.principal, call.dataset.id, call.subject.id, changes
            )
        return answer((await self._objects(call, [changed]))[0])

    async def delete(self, call: Call) -> Response:
        """Delete a subject with all its images and their results."""
        dataset_id = call.dataset.id
        await self._subjects.delete(call.principal, dataset_id, [call.subject.id])
        return answer({})

    async def delete_many(self, call: Call) -> Response:
        """The same for those that the body names."""
        sent = await body_of(call.request, Deleted)
        for place, identity in enumerate(sent.subjects_ids):
            if canonical_id(identity) is None:
                raise invalid(f"subjects_ids.{place}", "Must be a valid UUID.")
        try:
            await self._subjects.delete(call.principal, call.dataset.id, sent.subjects_ids)
        except NotFound as error:  # of something in the body, and not in the path
            raise invalid("subjects_ids", error.message, "does_not_exist") from error
        return answer({})

    async def _objects(self, call: Call, found: Sequence[Subject]) -> list[dict[str, Any]]:
        company = await self._use_cases.access.company(call.principal)
        authors = {one.created_by for one in found if one.created_by is not None}
        people = await self._use_cases.accounts.find_many(authors)
        newest = await self._use_cases.image_pages.newest_of_subjects(
            call.principal, [one.id for one in found]
        )
        return [
            subject_object(
                one,
                call.dataset,
                company.name,
                author_id=people[one.created_by].number if one.created_by in people else None,
                newest_image_id=newest.get(one.id),
            )
            for one in found
        ]


_OURS = {"biological_sex": "sex", "meta": "attributes"}

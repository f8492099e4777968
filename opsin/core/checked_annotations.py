"""Findings as they come from outside, checked: most in one quick pass, the faulty with a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    NotRequired,  # the one that pydantic wants before 3.12
)

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from opsin.core.contract import Annotation
from opsin.core.errors import InvalidInput
from opsin.core.storable import check_json, is_storable_text, quick_json, storable_json

COLUMNS = ("annotation_type", "class_name", "confidence", "data", "storage_path", "ordering")
"""What a row of `CheckedAnnotations` holds, in its order."""

Row = tuple[str, str | None, float | None, str, str | None, int | None]
QuickCheck = Callable[[Sequence[Any]], "CheckedAnnotations | None"]
_MANY = TypeAdapter(list[Annotation])


@dataclass(frozen=True, slots=True)
class CheckedAnnotations:
    """Findings that may be stored; `data` is JSON text."""

    rows: Sequence[Row]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, found: Sequence[Annotation]) -> "CheckedAnnotations":
        """Those that `validate_annotations` gave."""
        return cls(_rows([vars(annotation) for annotation in found]))


def quick_check(public_name: Callable[[str], str] = str) -> QuickCheck:
    """A check of dictionaries whose keys are `public_name` of the fields of an Annotation.

    It gives None when anything is less than right, and then another must say what: strict about
    types, it also refuses what a kinder reader takes, such as 1.0 for an integer.
    """
    dictionaries: Any = list[_dictionary_type(public_name)]  # type: ignore[misc]  # made here
    declared: TypeAdapter[Any] = TypeAdapter(Annotated[dictionaries, FailFast()])

    def check(found: Sequence[Any]) -> CheckedAnnotations | None:
        try:
            rows = _rows(declared.validate_python(found))
        except (ValidationError, InvalidInput):
            return None
        # Thousands of findings have few different texts.
        texts = {text for row in rows for text in (row[0], row[1], row[4])}
        storable = all(text is None or is_storable_text(text) for text in texts)
        return CheckedAnnotations(rows) if storable else None

    return check


def check_annotations(found: Sequence[Any]) -> CheckedAnnotations:
    """Annotations, or dictionaries of their fields; InvalidInput names the first bad one."""
    quickly = _check_dictionaries(found)
    return CheckedAnnotations.of(validate_annotations(found)) if quickly is None else quickly


def validate_annotations(found: Sequence[Any]) -> list[Annotation]:
    """The annotations, checked in one pass; InvalidInput names the first bad one and its field."""
    try:
        checked = _MANY.validate_python([_unchecked(annotation) for annotation in found])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        index, *path = first["loc"] or ("?",)
        field = ".".join(str(part) for part in path) or "annotation"
        raise InvalidInput(f"annotation {index}: {field}: {first['msg']}") from None
    for index, annotation in enumerate(checked):
        check_json(annotation.data, f"annotation {index}: data")
        texts = (annotation.annotation_type, annotation.class_name, annotation.storage_path)
        if not all(text is None or is_storable_text(text) for text in texts):
            raise InvalidInput(f"annotation {index}: NULs and lone surrogates cannot be stored")
    return checked


def _dictionary_type(public_name: Callable[[str], str]) -> Any:
    """A dictionary with the fields that `Annotation` declares, their limits included.

    `data` is any dictionary: what it holds is looked at when it becomes text.
    """
    fields: dict[str, Any] = {}
    for name, declared in Annotation.model_fields.items():
        kind: Any = dict if name == "data" else declared.annotation
        field = Annotated[(kind, *declared.metadata, Field(alias=public_name(name)))]
        fields[name] = field if declared.is_required() else NotRequired[field]
    made = TypedDict("AnnotationFields", fields)  # type: ignore[misc]  # made of the model's fields
    made.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]  # pydantic's own name
    return made


_check_dictionaries = quick_check()


def _rows(found: Sequence[dict[str, Any]]) -> list[Row]:
    data = [fields["data"] for fields in found]
    texts = quick_json(data)
    if texts is None:
        texts = [storable_json(one, f"annotation {n}: data") for n, one in enumerate(data)]
    # A column after the other takes half the time of a row after the other.
    return [
        *zip(
            [fields["annotation_type"] for fields in found],
            [fields.get("class_name") for fields in found],
            [fields.get("confidence") for fields in found],
            texts,
            [fields.get("storage_path") for fields in found],
            [fields.get("ordering") for fields in found],
            strict=True,
        )
    ]


def _unchecked(annotation: Any) -> Any:
    """The fields of one that a plugin made, for pydantic takes its own instances as they are."""
    if not isinstance(annotation, Annotation):
        return annotation
    return {name: getattr(annotation, name, None) for name in Annotation.model_fields}

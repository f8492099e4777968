"""Results of completed analyses, found again by their keys, whoever they were made for."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    String,
    bindparam,
    func,
    literal_column,
    select,
)

from opsin.core.answers.lending import may_be_lent
from opsin.core.contract import Embedding, Operation, Result
from opsin.core.engine import Outcome, Provenance
from opsin.core.errors import StorageError
from opsin.core.similarity.embeddings import VECTOR, is_stored_apart, vector_bytes, vector_values
from opsin.storage.database import Database
from opsin.storage.tables import analyses, embeddings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A result that was stored, how it was made and for whom; that company is never told of.

    Nothing else of its analysis leaves the database.
    """

    result: Result
    provenance: Provenance
    company_id: str


class EarlierResults:
    """Reads what was stored, in one statement for all the tasks of a picture."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, company_id: str | None, wanted: Mapping[str, Operation[Any, Any]]
    ) -> dict[str, EarlierResult]:
        """What there is by result key, the company's own rows first, another's if it may be lent.

        `wanted` names the operations.
        Gives nothing when the database cannot be asked: then it is computed.
        """
        if not wanted:
            return {}
        keys: Any = list(wanted)
        statement = _ON_SQLITE if self._database.is_sqlite else _ON_POSTGRESQL
        given = {"keys": json.dumps(keys) if self._database.is_sqlite else keys}
        try:
            async with self._database.read() as connection:
                rows = (await connection.execute(statement, given | {"asker": company_id})).all()
        except StorageError:
            log.warning("earlier results cannot be read now")
            return {}
        found = {}
        for key, owner, result_type, values, provenance, vector in rows:
            try:
                made = Provenance.from_json(provenance)
                if owner == company_id or may_be_lent(made):
                    result = _restored(wanted[key].result, result_type, values, vector)
                    found[key] = EarlierResult(result, made, owner)
            except Exception:  # by another version of the plugin, or the plugin's own code
                name = wanted[key].name
                log.warning("a stored result of %s cannot be read back", name, exc_info=True)
        return found


def is_restorable(outcome: Outcome) -> bool:
    """Whether the result comes back as it is from what is stored of it; never raises.

    One that keeps files, or anything else that is no part of its JSON, does not.
    """
    result, declared = outcome.result, outcome.task.operation.result
    try:
        if not isinstance(result, Result):
            return False
        values = result.model_dump(mode="json")
        if isinstance(result, Embedding):
            values[VECTOR] = vector_values(vector_bytes(result.vector))
        return bool(declared.model_validate(values) == result)
    except Exception:  # the plugin's code: such a result may still be stored, or fail to be
        return False


def _restored(
    declared: type[Result], result_type: str, values: dict[str, Any], vector: bytes | None
) -> Result:
    """The result of an analysis, whole; raises whatever it likes when that cannot be."""
    if result_type != declared.__name__:
        raise TypeError(f"a {result_type} was stored, not a {declared.__name__}")
    if vector is not None and is_stored_apart(declared, values):
        values = {**values, VECTOR: vector_values(vector)}
    return declared.model_validate(values)


def _finding(key: ColumnElement[str]) -> Select[Any]:
    """For each key one analysis: the company's newest, or else any; each a step into the index."""
    alike = analyses.alias()
    # Written out as in the index, so that the databases know it to be the one for this.
    completed = alike.c.status == literal_column("'COMPLETED'")
    some = select(alike.c.id).where(completed, alike.c.result_key == key).correlate(key.table)
    own = some.where(alike.c.company_id == bindparam("asker", type_=analyses.c.company_id.type))
    first = func.coalesce(
        own.order_by(alike.c.id.desc()).limit(1).scalar_subquery(),
        some.limit(1).scalar_subquery(),
    )
    chosen = select(first.label("id")).select_from(key.table).subquery()
    return select(
        analyses.c.result_key,
        analyses.c.company_id,
        analyses.c.result_type,
        analyses.c.result,
        analyses.c.provenance,
        embeddings.c.vector,
    ).select_from(
        chosen.join(analyses, analyses.c.id == chosen.c.id).outerjoin(
            embeddings, embeddings.c.analysis_id == analyses.c.id
        )
    )


_ON_SQLITE = _finding(func.json_each(bindparam("keys")).table_valued("value").c.value)
_ON_POSTGRESQL = _finding(
    func.unnest(bindparam("keys", type_=ARRAY(String)))
    .table_valued("value")
    .render_derived()
    .c.value
)

"""The limit: for each case the fastest way found by hand from rows to the answer's bytes."""

from typing import Any

import orjson

from bench.reads.cases import DATASET, LARGE, PAGE

# A row for each node of the outermost list, joined as bytes in Python: either database takes much
# longer to grow one text of a megabyte (200 x 20 on PostgreSQL: 7 ms, and 5 ms with rows).

# PostgreSQL: pieces joined with ||, one string_agg a level. `::text` gives every bit of a double
# back. The order inside string_agg is that of the subquery. For 200 x 20 json_agg took twice as
# long as string_agg, row_to_json a quarter longer.
_ANNOTATION = """'{"id":"' || n.id || '","annotationType":' || to_json(n.annotation_type)
    || ',"className":' || coalesce(to_json(n.class_name)::text, 'null')
    || ',"confidence":' || coalesce(n.confidence::text, 'null') || ',"data":' || n.data || '}'"""
_HEAD = """'{"id":"' || a.id || '","modelName":' || to_json(a.model_name)
  || ',"status":"' || a.status || '","createdAt":' || to_json(a.created_at)
  || ',"annotations":{"nodes":['"""


def _analysis(limit: str) -> str:
    return f"""{_HEAD} || coalesce((SELECT string_agg({_ANNOTATION}, ',')
    FROM (SELECT * FROM annotations WHERE analysis_id = a.id ORDER BY id LIMIT {limit}) n), '')
  || ']}}}}'"""


_POSTGRES = {
    PAGE: f"""SELECT {_analysis("$3")}
    FROM (SELECT * FROM analyses WHERE company_id = $1 ORDER BY id LIMIT $2) a""",
    LARGE: f"""SELECT {_HEAD} FROM analyses a WHERE id = $2 AND company_id = $1 UNION ALL
    SELECT {_ANNOTATION}
    FROM (SELECT * FROM annotations WHERE analysis_id = $2 ORDER BY id LIMIT $3) n""",
    DATASET: f"""SELECT '{{"id":"' || id || '","name":' || to_json(name) || ',"images":{{"nodes":['
    FROM datasets WHERE id = $2 AND company_id = $1 UNION ALL
    SELECT '{{"id":"' || i.id || '","filename":' || to_json(i.filename)
      || ',"width":' || i.width || ',"height":' || i.height || ',"analyses":{{"nodes":['
      || coalesce((SELECT string_agg({_analysis("$5")}, ',')
        FROM (SELECT * FROM analyses WHERE image_id = i.id ORDER BY id LIMIT $4) a), '') || ']}}}}'
    FROM (SELECT * FROM images WHERE dataset_id = $2 ORDER BY id LIMIT $3) i""",
}

# SQLite: as a BLOB, so that nothing is decoded. Its own text of a double has 15 digits; `%!.17g`
# gives every bit back.
# For one long flat list orjson is faster than SQLite's concatenation (15 ms against 17 ms for
# 10,000), for many short ones slower (9 ms against 8 ms for 200 x 20).
_SQLITE_ANNOTATION = """'{"id":"' || n.id || '","annotationType":' || json_quote(n.annotation_type)
  || ',"className":' || json_quote(n.class_name)
  || ',"confidence":' || coalesce(printf('%!.17g', n.confidence), 'null')
  || ',"data":' || n.data || '}'"""
_SQLITE_HEAD = """'{"id":"' || a.id || '","modelName":' || json_quote(a.model_name)
  || ',"status":"' || a.status || '","createdAt":"' || replace(a.created_at, ' ', 'T')
  || '+00:00","annotations":{"nodes":['"""


def _sqlite_analysis(limit: str) -> str:
    return f"""{_SQLITE_HEAD} || coalesce((SELECT group_concat({_SQLITE_ANNOTATION})
    FROM (SELECT * FROM annotations WHERE analysis_id = a.id ORDER BY id LIMIT {limit}) n), '')
  || ']}}}}'"""


_SQLITE = {
    PAGE: f"""SELECT CAST({_sqlite_analysis("?3")} AS BLOB)
    FROM (SELECT * FROM analyses WHERE company_id = ?1 ORDER BY id LIMIT ?2) a""",
    LARGE: """SELECT id, annotation_type, class_name, confidence, data FROM annotations
    WHERE analysis_id = ?2 ORDER BY id LIMIT ?3""",
    DATASET: f"""SELECT CAST('{{"id":"' || i.id || '","filename":' || json_quote(i.filename)
      || ',"width":' || i.width || ',"height":' || i.height || ',"analyses":{{"nodes":['
      || coalesce((SELECT group_concat({_sqlite_analysis("?5")})
        FROM (SELECT * FROM analyses WHERE image_id = i.id ORDER BY id LIMIT ?4) a), '')
      || ']}}}}' AS BLOB)
    FROM (SELECT * FROM images WHERE dataset_id = ?2 AND company_id = ?1 ORDER BY id LIMIT ?3) i""",
}
_SQLITE_HEADS = {
    LARGE: """SELECT id, model_name, status, created_at FROM analyses
    WHERE id = ?2 AND company_id = ?1""",
    DATASET: """SELECT '{"id":"' || id || '","name":' || json_quote(name) || ',"images":{"nodes":['
    FROM datasets WHERE id = ?2 AND company_id = ?1""",
}


async def read_postgres(connection: Any, shape: str, values: list[Any]) -> bytes:
    """The answer's body, through asyncpg; texts come as bytes (`prepare_postgres`)."""
    rows = [row[0] for row in await connection.fetch(_POSTGRES[shape], *values)]
    return _page(rows) if shape == PAGE else _one(shape, rows[0], rows[1:])


async def prepare_postgres(connection: Any) -> None:
    """Leave the answer as the bytes that it came in."""
    await connection.set_type_codec(
        "text", schema="pg_catalog", encoder=str.encode, decoder=bytes, format="binary"
    )


def read_sqlite(connection: Any, shape: str, values: list[Any]) -> bytes:
    """The answer's body, through sqlite3."""
    rows = connection.execute(_SQLITE[shape], values)
    if shape == PAGE:
        return _page([row[0] for row in rows])
    head = connection.execute(_SQLITE_HEADS[shape], values[:2]).fetchone()
    if shape == DATASET:
        return _one(shape, head[0].encode(), [row[0] for row in rows])
    return orjson.dumps({"data": {"analysis": _analysis_of_rows(head, rows)}})


def _page(nodes: list[bytes]) -> bytes:
    return b'{"data":{"analyses":{"nodes":[%s]}}}' % b",".join(nodes)


def _one(root: str, head: bytes, nodes: list[bytes]) -> bytes:
    return b'{"data":{"%s":%s%s]}}}}' % (root.encode(), head, b",".join(nodes))


def _analysis_of_rows(head: Any, rows: Any) -> dict[str, Any]:
    annotations = [
        {
            "id": row[0],
            "annotationType": row[1],
            "className": row[2],
            "confidence": row[3],
            "data": orjson.Fragment(row[4]),
        }
        for row in rows
    ]
    return {
        "id": head[0],
        "modelName": head[1],
        "status": head[2],
        "createdAt": head[3].replace(" ", "T") + "+00:00",
        "annotations": {"nodes": annotations},
    }

"""Values that writers of JSON get wrong: texts, numbers, times, and JSON itself."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

TEXTS = (
    "plain",
    "quotes \" and ' and `",
    "back\\slash \\u0041 \\n",
    "lines\nand\ttabs\r\n",
    "control \x01\x02\x1e\x1f\x7f\x80\x9f",
    "combining e\u0301, \u0e01\u0e33, \u200b\u200d\ufeff",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "beyond 16 bits \U0001f40b\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001d4b3",
    "separators \u2028\u2029 and nobody's \ufffe\uffff",
    "%s {0} ${1} :name ? ?1 $1 --",
    "</script><!-- & -->",
    '{"json": [1, null]}',
    "null",
    " blanks ",
    "",
)
"""Every kind of character that a database stores: all but NUL and lone surrogates."""

FLOATS = (
    0.1 + 0.2,
    -0.0,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    1e308,
    1e-7,
    1e-4,
    123456789.123456789,
    1e15,
    1e16,
    1e17,
    1e21,
    1e22,
    2 / 3,
    100.0,
    0.0,
    1.0,
    4.35,
    -1.5,
    9007199254740993.0,
    0.49999999999999994,
)

JSON_OBJECTS: tuple[dict[str, Any], ...] = (
    {},
    {"b": 1, "a": 2, "10": 3, "9": 4, "": 5},
    {"texts": list(TEXTS), **{text: index for index, text in enumerate(TEXTS)}},
    {"floats": list(FLOATS)},
    {"integers": [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, -(2**64), 10**40]},
    {"empty": [{}, [], "", None, [[]], {"": {}}]},
    {"logic": [True, False, None], "null": None},
)


def deep(levels: int) -> Any:
    """Lists and objects in each other."""
    value: Any = 0.1
    for level in range(levels):
        value = [value] if level % 2 else {"inner": value}
    return value


MOMENTS = (
    datetime(2026, 1, 31, 12, tzinfo=UTC),
    datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 1, 31, 12, 0, 0, 120_000, tzinfo=UTC),
    datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    datetime(1582, 10, 10, 1, 2, 3, 4, tzinfo=UTC),
    # The very first and last are what asyncpg takes for the infinite.
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC),
    datetime(2024, 2, 29, tzinfo=UTC),
)

DAYS = (date(2024, 2, 29), date(1, 1, 2), date(9999, 12, 30), date(1582, 10, 10))

ZONES = (UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8)))
"""In which callers give moments; those of the years 1 and 9999 do not exist in all of them."""

"""What the API says to its clients: texts that are part of the wire, byte for byte."""

from typing import Final

NOT_AN_IMAGE: Final = "Только изображения."
EMPTY_FILE: Final = "Пустой файл."
UNRECOGNISED: Final = "Не удалось распознать изображение."  # noqa: RUF001 - it is Russian
NOT_A_ZIP: Final = "Ожидается ZIP-архив."
UNREADABLE_ZIP: Final = "Не удаётся распаковать архив."  # noqa: RUF001 - it is Russian
TOO_MANY_REQUESTS: Final = "Превышен лимит запросов. Повторите позже."
UNKNOWN_WEBHOOK: Final = "webhook_id not found"
METHOD_NOT_ALLOWED: Final = "Method Not Allowed"
UNREADABLE_BODY: Final = "There was an error parsing the body"
"""The words of the framework that the API was first served by."""

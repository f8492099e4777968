"""What nobody expected: the log tells all of it, the caller only a number to find it there by."""

import logging
import uuid

log = logging.getLogger(__name__)


def logged(error: BaseException) -> str:
    """Log the error with its traceback; gives the number (12 hexadecimal digits) to find it by."""
    number = uuid.uuid4().hex[:12]
    log.error("unexpected error %s", number, exc_info=error)
    return number

"""Every error Opsin raises on purpose.

OpsinError
├── InvalidInput              the caller sent something that cannot be used
│   ├── InvalidImage          not an image, truncated, too many pixels, a format that is not allowed
│   ├── InvalidParams         params that do not fit their operation
│   ├── UnknownOperation
│   ├── TargetNotSupported
│   └── NotShown              the picture does not show what the operation looks at: a skipped task
│       └── RegionNotFound    it shows no such person or face
├── Unauthenticated           no usable credentials
├── Forbidden                 known caller, not allowed
├── NotFound                  no such object for this caller (also: another tenant's)
├── Gone                      it was there, and will not be again
├── Conflict                  the object's state does not allow it
│   ├── IllegalTransition
│   └── LimitReached          there are as many already as may be
├── TooLarge                  more bytes or items than allowed
├── TooSlow                   the request took too long to arrive
├── Throttled                 too many requests of this caller; again after `retry_after` seconds
├── Overloaded                the queue is full; try again after `retry_after` seconds
│   └── ClusterLost           the machines that run the operation cannot be reached, or have no room
├── DeadlineExceeded          the caller's deadline passed first
├── Cancelled
├── OperationUnavailable      weights or an extra are missing on this machine; says how to get them
├── OperationFailed           the operation's own code failed on this input
├── FetchFailed               a URL could not be had
│   └── AddressNotAllowed     it leads to an address that is not public
├── PluginError               a plugin could not be imported, registered or loaded
│   └── DuplicateName         two plugins claim one name; stops startup
├── StorageError              the database or the blob store failed
│   └── BlobNotFound
└── ConfigurationError        a setting cannot be used; says which and what to set
    └── MissingExtra          an optional dependency is needed; says how to install it

Messages are for the caller: no key, path, address or traceback in them.  Each class has a stable
`code`; the statuses of HTTP are in `error_statuses`, the form of an answer is each door's own.
"""

from typing import ClassVar


class OpsinError(Exception):
    """Base of the tree; `code` is stable and public."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(OpsinError):
    code = "INVALID_INPUT"


class InvalidImage(InvalidInput):
    code = "INVALID_IMAGE"


class InvalidParams(InvalidInput):
    code = "INVALID_PARAMS"


class UnknownOperation(InvalidInput):
    code = "UNKNOWN_OPERATION"


class TargetNotSupported(InvalidInput):
    code = "TARGET_NOT_SUPPORTED"


class NotShown(InvalidInput):
    code = "SKIPPED"


class RegionNotFound(NotShown):
    def __init__(self, region: str, task_id: str) -> None:
        super().__init__(f"No prominent {region} found for operation '{task_id}'.")
        self.region = region


class Unauthenticated(OpsinError):
    code = "UNAUTHENTICATED"


class Forbidden(OpsinError):
    code = "FORBIDDEN"


class NotFound(OpsinError):
    code = "NOT_FOUND"


class Gone(OpsinError):
    code = "GONE"


class Conflict(OpsinError):
    code = "CONFLICT"


class IllegalTransition(Conflict):
    code = "ILLEGAL_TRANSITION"


class LimitReached(Conflict):
    code = "LIMIT_REACHED"


class TooLarge(OpsinError):
    code = "TOO_LARGE"


class TooSlow(OpsinError):
    code = "REQUEST_TIMEOUT"


class Throttled(OpsinError):
    code = "THROTTLED"

    def __init__(
        self, message: str = "Too many attempts; try again later", retry_after: float = 1.0
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(OpsinError):
    code = "OVERLOADED"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClusterLost(Overloaded):
    """Says nothing about what was asked for, which is worth another try without an end."""


class DeadlineExceeded(OpsinError):
    code = "DEADLINE_EXCEEDED"


class Cancelled(OpsinError):
    code = "CANCELLED"


class OperationUnavailable(OpsinError):
    code = "OPERATION_UNAVAILABLE"


class OperationFailed(OpsinError):
    code = "OPERATION_FAILED"


class FetchFailed(OpsinError):
    code = "FETCH_FAILED"


class AddressNotAllowed(FetchFailed):
    code = "ADDRESS_NOT_ALLOWED"


class PluginError(OpsinError):
    code = "PLUGIN_ERROR"

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"plugin {plugin!r}: {message}")
        self.plugin = plugin


class DuplicateName(PluginError):
    code = "DUPLICATE_NAME"


class StorageError(OpsinError):
    code = "STORAGE_ERROR"


class BlobNotFound(StorageError):
    code = "BLOB_NOT_FOUND"


class ConfigurationError(OpsinError):
    code = "CONFIGURATION_ERROR"


class MissingExtra(ConfigurationError):
    code = "MISSING_EXTRA"

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'opsin[{extra}]'")
        self.extra = extra


def reason_of(error: OSError) -> str:
    """What the operating system says of it, without the path that it was about."""
    return error.strerror or type(error).__name__

"""What each error means to a shell: one total table from our errors to exit codes."""

from enum import IntEnum

from opsin.core import errors


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """Something was tried and failed: an analysis, a download, a plugin."""
    USAGE = 2
    """What was asked cannot be done as asked: another argument, file or setting is needed."""
    UNAVAILABLE = 3
    """Something is not there now: weights, an extra, the database, room in a queue."""
    INTERRUPTED = 130
    """Ctrl-C."""


EXIT_CODES: dict[type[errors.OpsinError], ExitCode] = {
    errors.OpsinError: ExitCode.FAILED,
    errors.InvalidInput: ExitCode.USAGE,
    errors.InvalidImage: ExitCode.USAGE,
    errors.InvalidParams: ExitCode.USAGE,
    errors.UnknownOperation: ExitCode.USAGE,
    errors.TargetNotSupported: ExitCode.USAGE,
    errors.NotShown: ExitCode.FAILED,
    errors.RegionNotFound: ExitCode.FAILED,
    errors.Unauthenticated: ExitCode.USAGE,
    errors.Forbidden: ExitCode.USAGE,
    errors.NotFound: ExitCode.USAGE,
    errors.Gone: ExitCode.FAILED,
    errors.Conflict: ExitCode.FAILED,
    errors.LimitReached: ExitCode.FAILED,
    errors.IllegalTransition: ExitCode.FAILED,
    errors.TooLarge: ExitCode.USAGE,
    errors.TooSlow: ExitCode.FAILED,
    errors.Throttled: ExitCode.UNAVAILABLE,
    errors.Overloaded: ExitCode.UNAVAILABLE,
    errors.ClusterLost: ExitCode.UNAVAILABLE,
    errors.DeadlineExceeded: ExitCode.FAILED,
    errors.Cancelled: ExitCode.FAILED,
    errors.OperationUnavailable: ExitCode.UNAVAILABLE,
    errors.OperationFailed: ExitCode.FAILED,
    errors.FetchFailed: ExitCode.FAILED,
    errors.AddressNotAllowed: ExitCode.USAGE,
    errors.PluginError: ExitCode.FAILED,
    errors.DuplicateName: ExitCode.FAILED,
    errors.StorageError: ExitCode.UNAVAILABLE,
    errors.BlobNotFound: ExitCode.UNAVAILABLE,
    errors.ConfigurationError: ExitCode.USAGE,
    errors.MissingExtra: ExitCode.USAGE,
}


def exit_code_of(error: errors.OpsinError) -> ExitCode:
    """The code of the error's class; a plugin's own class has that of the nearest one of ours."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)

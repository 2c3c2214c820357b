"""Exceptions: everything boltz raises on purpose is a BoltzError with one sentence for the reader."""


class BoltzError(Exception):
    """Base of every error that boltz raises on purpose."""


class InputError(BoltzError, ValueError):
    """An argument, option or file content is not what it must be (exit code 2)."""


class FileError(InputError):
    """A file cannot be read or written, or is corrupt or hostile (exit code 2)."""


class NumericalError(BoltzError, ArithmeticError):
    """A guard stopped the work because a number was not finite (exit code 1)."""


class Interrupted(BoltzError):  # noqa: N818 - it is no error of the run
    """The run was asked to stop, is saved, and can be resumed (exit code 75)."""

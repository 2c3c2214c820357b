"""Exceptions: everything boltz raises on purpose is a BoltzError with one sentence for the reader.

What is wrong with a file that somebody named is a FileError (exit code 2); what could not be written since the machine
has no more room, or its disk fails, is a WriteError (exit code 1), and the same command works on a sound machine.
"""

import errno

from boltz.foreign import MOST_MESSAGE, shown

MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class BoltzError(Exception):
    """Base of every error that boltz raises on purpose; its sentence is one line that a terminal can show."""

    def __init__(self, sentence: object = "") -> None:
        super().__init__(shown(sentence, MOST_MESSAGE))


class InputError(BoltzError, ValueError):
    """An argument, option or file content is not what it must be (exit code 2)."""


class FileError(InputError):
    """A file cannot be read or written, or is corrupt or hostile (exit code 2)."""


class WriteError(FileError):
    """A file could not be written because of the machine: a full disk, a quota, a failing device (exit code 1)."""


def unwritten(sentence: str, problem: Exception) -> FileError:
    """The error for what could not be written: a WriteError where the machine is the reason, else a FileError."""
    return (WriteError if getattr(problem, "errno", None) in MACHINE else FileError)(sentence)


class NumericalError(BoltzError, ArithmeticError):
    """A guard stopped the work because a number was not finite (exit code 1)."""


class Interrupted(BoltzError):  # noqa: N818 - it is no error of the run
    """The run was asked to stop, is saved, and can be resumed (exit code 75)."""

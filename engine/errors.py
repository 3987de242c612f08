"""The failures of the engine: one class for each thing a caller may decide, with 4D's number and a hint.

The 4D numbers are those of 4D's backup manager (spec 6.1); exit codes are ours (docs/commands.md).
"""

from enum import IntEnum


class Code(IntEnum):
    """4D's error numbers, where one fits."""

    DONE = 0
    LOG_UNAVAILABLE = 1274
    ATTEMPTS_USED_UP = 1401
    SOURCE_NEVER_QUIET = 1405
    STOPPED = 1406
    DESTINATION_NOT_VALID = 1407
    LOG_BACKUP_FAILED = 1408
    BACKUP_FAILED = 1409
    ARCHIVE_MISSING = 1410
    ARCHIVE_DAMAGED = 1411
    LOG_ARCHIVE_MISSING = 1412
    LOG_ARCHIVE_DAMAGED = 1413
    BUSY = 1417


class Exit(IntEnum):
    """Exit codes of the process."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    REFUSED = 4
    DAMAGED = 5
    LOCKED = 6
    RESTORED = 7
    STOPPED = 130


class EngineError(Exception):
    """Something that kept the engine from doing what was asked, in words for an administrator.

    `str()` is one sentence saying what and where; `hint` says what to do, empty when nothing helps. `code`
    is one of 4D's numbers, or the exit code with which a startup hook refused the backup.
    """

    code: int = Code.BACKUP_FAILED
    exit_code = Exit.FAILED

    def __init__(self, message: str, *, hint: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if code is not None:
            self.code = code


class DestinationError(EngineError):
    """The destination folder cannot take a set now; a later attempt may work."""

    code = Code.DESTINATION_NOT_VALID


class NoRoomError(DestinationError):
    """The destination has not enough room, found before anything was written or by a failed write."""

    code = Code.BACKUP_FAILED


class SourceError(EngineError):
    """Something that must be saved is missing or cannot be read."""


class SourceNeverQuietError(SourceError):
    """A file changed under every reading until the time limit; no torn copy was published."""

    code = Code.SOURCE_NEVER_QUIET


class RefusedError(EngineError):
    """What the settings ask for cannot be done safely; no retry helps until they are changed."""

    exit_code = Exit.REFUSED


class BusyError(EngineError):
    """Another operation on the same database holds its lock."""

    code = Code.BUSY
    exit_code = Exit.LOCKED


class StoppedError(EngineError):
    """A person stopped the operation; it is not retried."""

    code = Code.STOPPED
    exit_code = Exit.STOPPED


class MissingSetError(EngineError):
    """The set, archive or manifest asked for is not there."""

    code = Code.ARCHIVE_MISSING
    exit_code = Exit.DAMAGED


class NotPermittedError(EngineError):
    """This user may not read what was asked for; nothing is known about its state."""


class DamagedError(EngineError):
    """What was read back is not what was written."""

    code = Code.ARCHIVE_DAMAGED
    exit_code = Exit.DAMAGED


class DamagedFrameError(DamagedError):
    """One frame is damaged: the stream's bytes from `start` up to `end` are lost."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class RestoreError(EngineError):
    """The restore could not be finished; the target says so or is gone. 4D has no number for it."""

    code = Code.DONE

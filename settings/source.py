"""Reads one small regular file from the disk, and nothing that could hang or fill memory."""

import os
import stat
from pathlib import Path

from settings.errors import SettingsNotFoundError, SettingsRefusedError
from settings.model import Finding, Severity
from settings.tree import MOST_BYTES, too_large

# O_NONBLOCK: opening a FIFO without a writer would wait for ever.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def load_bytes(file: Path) -> bytes:
    """Return the bytes of a regular file of at most MOST_BYTES; refuse everything else."""
    try:
        descriptor = os.open(file, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise SettingsNotFoundError(f"there is no file {file}", [file]) from None
    except OSError as error:
        raise _refused(file, f"the file cannot be read: {error.strerror}") from error
    try:
        _refuse_odd_file(file, os.fstat(descriptor))
        data = _read_up_to(descriptor, MOST_BYTES + 1)
    except OSError as error:
        raise _refused(file, f"the file cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > MOST_BYTES:
        raise _refused(file, too_large(len(data)))
    return data


def _read_up_to(descriptor: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (part := os.read(descriptor, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _refuse_odd_file(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refused(file, "this is not a regular file")
    if status.st_size > MOST_BYTES:
        raise _refused(file, too_large(status.st_size))


def _refused(file: Path, why: str) -> SettingsRefusedError:
    return SettingsRefusedError(file, [Finding(Severity.ERROR, "", None, "", "", why)])

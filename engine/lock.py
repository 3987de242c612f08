"""One operation at a time on a database: a lock the kernel holds, so that a dead owner means free.

The lock file lies in the database's Logs folder, where every program that could work on it must be able to
write. While a run is on, the file says what it does; a run that died leaves its words behind, and the next
owner finds them.
"""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.anchor import known_name
from engine.errors import BusyError, DestinationError
from engine.files import give_to_owner_of, make_folder, refuse_others
from engine.host import pause
from settings.layout import DatabaseLayout

DATABASE_LOCK = ".backup4d.lock"
DESTINATION_LOCK = ".backup4d-destination.lock"
# always the same length, so that writing it needs no room on a full disk once the file is there
# and with room for the longest path, each character escaped
_RECORD_BYTES = 1 << 15


@dataclass(slots=True)
class Lock:
    """A held lock.

    `left_behind` is what a run that died was doing, None when the last one ended well. `memory` is what
    the last good run wanted remembered, empty when there was none. Data files of one package share the lock:
    with a `data_file`, memory is that of its runs alone.
    """

    descriptor: int
    left_behind: dict[str, Any] | None
    memory: dict[str, Any]
    data_file: str | None = None
    others: dict[str, Any] = field(default_factory=dict)

    def introduce(self, holder: dict[str, Any]) -> None:
        """Say who holds the lock. Raises OSError."""
        self._write(holder, 2 * _RECORD_BYTES)

    def note(self, record: dict[str, Any] | None) -> None:
        """Write down what is being done now, or with None that nothing is. Raises OSError."""
        self._write(record, 0)

    def remember(self, memory: dict[str, Any]) -> None:
        """Write down what the next run must know. Raises OSError."""
        record = memory
        if self.data_file is not None:
            record = _joined(memory, self.data_file, self.others)
        self._write(record, _RECORD_BYTES)
        self.memory = memory

    def _write(self, record: dict[str, Any] | None, offset: int) -> None:
        text = b"" if record is None else json.dumps(record).encode("ascii")
        rest = memoryview(text[:_RECORD_BYTES].ljust(_RECORD_BYTES))
        while rest:
            count = os.pwrite(self.descriptor, rest, offset)
            rest, offset = rest[count:], offset + count
        os.fsync(self.descriptor)


def _open_lock(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o640)
    try:
        refuse_others(descriptor, file)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def holding(
    file: Path, doing: str, since: str | None = None, *, of: Path | None = None
) -> Iterator[Lock]:
    """Hold the lock of `file`; given back when left, or by the kernel when we die.

    Others are told that we are `doing` it `since`, to which data file when it is `of` one.

    Raises BusyError when another process holds it, DestinationError when the file cannot be made.
    """
    try:
        make_folder(file.parent, like=file.parent.parent)
        descriptor = _open_lock(file)
        give_to_owner_of(file.parent, descriptor)
    except OSError as error:
        raise DestinationError(
            f"the lock {file} cannot be opened: {error.strerror}",
            hint=f"it must be a plain file, and the user that runs backup4d must be able to write {file}",
        ) from error
    try:
        _take(descriptor, file, doing)
        data_file = None if of is None else str(of)
        memory, others = _parted(_read(descriptor, _RECORD_BYTES) or {}, data_file)
        lock = Lock(descriptor, _read(descriptor, 0), memory, data_file, others)
        who = {} if data_file is None else {"data_file": data_file}
        with suppress(OSError):  # no room for it: then nobody can be told who holds the lock
            lock.introduce({"doing": doing, "pid": os.getpid(), "since": since, **who})
        yield lock
    finally:
        with suppress(OSError):  # a network disk that complains now does not undo what was done
            os.close(descriptor)


@contextmanager
def waiting_for(file: Path) -> Iterator[None]:
    """Hold a lock that others hold for moments only; wait a minute for it at most.

    Raises BusyError after that minute, DestinationError when the file cannot be opened, OSError.
    """
    try:
        descriptor = _open_lock(file)
    except PermissionError as error:
        raise DestinationError(
            f"the lock {known_name(file)} cannot be opened: {error.strerror}",
            hint="the user that runs backup4d must be able to write it",
        ) from error
    try:
        give_to_owner_of(file.parent, descriptor)
        if not _try_for(descriptor, seconds=60):
            raise BusyError(f"{known_name(file)} has been held by another program for a minute")
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)


def current_holder(file: Path) -> dict[str, Any] | None:
    """What the holder of a lock says it does, None when nobody holds it. Raises OSError."""
    try:
        descriptor = _open_plain(file, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        # shared: two that look at the same moment must not take each other for a holder
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor, 2 * _RECORD_BYTES) or {}
    else:
        return None
    finally:
        os.close(descriptor)


def holder_process(file: Path) -> int | None:
    """The process on this machine that holds a lock; None when there is none that we may look at.

    Its record alone is not believed: the process it names must have this very file open. Raises OSError.
    """
    holder = current_holder(file) or {}
    process, wanted = holder.get("pid"), file.stat()
    if not isinstance(process, int):
        return None
    with suppress(OSError):  # gone, or another user's
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):
                found = descriptor.stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return process
    return None


def read_memory(file: Path, of: Path | None = None) -> dict[str, Any]:
    """What the last good run wanted remembered, `of` a data file; empty when there is none. Raises OSError."""
    return _parted(_read_record(file, _RECORD_BYTES) or {}, None if of is None else str(of))[0]


def memory_of(layout: DatabaseLayout) -> dict[str, Any]:
    """The same of the runs of this data file. Raises OSError."""
    return read_memory(layout.package / "Logs" / DATABASE_LOCK, layout.data_file)


def read_traces(file: Path) -> dict[str, Any] | None:
    """What a run that died was doing, or one that is on does; None when there is nothing. Raises OSError."""
    return _read_record(file, 0)


def instant_in(traces: dict[str, Any], key: str) -> datetime | None:
    """An instant that traces tell of; None when they do not, or it is none."""
    try:
        instant = datetime.fromisoformat(str(traces.get(key)))
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def _parted(record: dict[str, Any], data_file: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The memory of one data file, and those of the others; all of it when none is named."""
    if data_file is None:
        return record, {}
    found = record.get("others")
    others = dict(found) if isinstance(found, dict) else {}
    last = {key: value for key, value in record.items() if key not in ("others", "data_file")}
    # of an older release, or of nobody yet: it was the only data file there was
    name = record.get("data_file", data_file)
    if last:
        others[str(name)] = last
    mine = others.pop(data_file, {})
    return (mine if isinstance(mine, dict) else {}), others


def _joined(memory: dict[str, Any], data_file: str, others: dict[str, Any]) -> dict[str, Any]:
    """One record of all; the oldest of the others are forgotten when there is no room for them."""
    kept = dict(others)
    while True:
        record = {**memory, "data_file": data_file, **({"others": kept} if kept else {})}
        if not kept or len(json.dumps(record)) <= _RECORD_BYTES:
            return record
        del kept[next(iter(kept))]


def _open_plain(file: Path, access: int) -> int:
    """Open the lock as it is there; a pipe in its place keeps nobody waiting. Raises OSError."""
    descriptor = os.open(file, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a plain file", str(file))
    return descriptor


def _read_record(file: Path, offset: int) -> dict[str, Any] | None:
    try:
        descriptor = _open_plain(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return _read(descriptor, offset)
    finally:
        os.close(descriptor)


def _take(descriptor: int, file: Path, doing: str) -> None:
    if _try_for(descriptor, seconds=1):  # `current_holder` holds it for a moment when it looks
        return
    holder = _read(descriptor, 2 * _RECORD_BYTES) or {}
    what = holder.get("doing", "another operation")
    since = f" since {holder['since']}" if holder.get("since") else ""
    by = f" (process {holder['pid']})" if "pid" in holder else ""
    raise BusyError(
        f"{doing} cannot start: {what} is running{since}{by} and holds {file}",
        hint="wait for it to end, or see `backup4d status`",
    )


def _try_for(descriptor: int, *, seconds: int) -> bool:
    for _ in range(seconds * 20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(0.05)
        else:
            return True
    return False


def _read(descriptor: int, offset: int) -> dict[str, Any] | None:
    text = os.pread(descriptor, _RECORD_BYTES, offset).strip(b" \0\n")
    if not text:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {"doing": "an operation that left no readable record"}
    return record if isinstance(record, dict) else {"doing": "an unknown operation"}

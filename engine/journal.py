"""The Backup journal: the text report an administrator reads, in 4D's layout (spec 7.1).

Entries are rendered by pure functions and appended whole or not at all.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from engine.errors import EngineError
from engine.files import fsync_folder, give_to_owner_of, refuse_others

LIMIT_BYTES = 10_000_000
_LAST_NUMBER = 999
_NAME = re.compile(r"Backup Journal\[(\d{3})\]\.txt")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its title, the lines that only the verbose form has, and those both forms have."""

    title: str
    details: tuple[str, ...]
    starting: str
    errors: tuple[str, ...]
    ending: tuple[str, ...]


def local_time(instant: datetime, zone: tzinfo) -> str:
    """`YYYY-MM-DD HH:MM:SS` on the host's wall clock (4D follows the system locale; we do not)."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def one_line(text: str) -> str:
    """Text that cannot forge an entry: control characters and line ends shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def error_lines(error: EngineError) -> tuple[str, ...]:
    """`Error reported : 1409 ...`, and what to do."""
    return reported(error.code, str(error), error.hint)


def reported(code: int, text: str, hint: str) -> tuple[str, ...]:
    """The two lines of an error; the second only when there is something to do."""
    number = f"{int(code)} " if code else ""
    first = f"Error reported : {number}{one_line(_joined(text))}"
    return (first, f"Hint : {one_line(_joined(hint))}") if hint else (first,)


def _joined(text: str) -> str:
    """Several lines as one; XML that somebody is to copy stays XML."""
    return " ".join(line.strip() for line in text.splitlines())


def render(entry: Entry, *, verbose: bool) -> str:
    """The text of an entry with the blank line that closes it; not verbose: start date and errors only."""
    if verbose:
        lines = (entry.title, *entry.errors, *entry.details, entry.starting, *entry.ending)
    else:
        lines = (entry.title, entry.starting, *entry.errors)
    return "\n".join(lines) + "\n\n"


def append(folder: Path, text: str, *, limit: int = LIMIT_BYTES) -> Path:
    """Append one rendered entry to the current journal of a Logs folder and return its file.

    Above `limit` bytes the next number is started, after 999 again 001, overwriting it (4D does the
    same). An entry torn by a crash is closed first. Raises OSError; nothing of the entry remains then.
    """
    current = current_journal(folder)
    if current is None:
        file, fresh = _file(folder, 1), True
    else:
        file, fresh = current, current.lstat().st_size > limit
        if fresh:
            file = _file(folder, _number(current) % _LAST_NUMBER + 1)
            file.unlink(missing_ok=True)
    _append_whole(file, text.encode("utf-8", "backslashreplace"), is_fresh=fresh)
    if fresh:
        fsync_folder(folder)
    return file


def _file(folder: Path, number: int) -> Path:
    return folder / f"Backup Journal[{number:03d}].txt"


def _number(file: Path) -> int:
    match = _NAME.fullmatch(file.name)
    return int(match[1]) if match else 0


def current_journal(folder: Path) -> Path | None:
    """The file entries go to now; None when there is none yet. Raises OSError."""
    # the one written last: after the numbers wrapped round, the highest is not the newest
    files = [file for file in folder.iterdir() if _number(file) > 0]
    return max(files, key=lambda file: (file.lstat().st_mtime_ns, _number(file)), default=None)


def _append_whole(file: Path, entry: bytes, *, is_fresh: bool) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags | os.O_NONBLOCK, 0o644)
    try:
        refuse_others(descriptor, file)
        if is_fresh:
            give_to_owner_of(file.parent, descriptor)
        before = os.fstat(descriptor).st_size
        data = _closing(descriptor, before) + entry
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        with suppress(OSError):  # what was flushed is on the disk, whatever closing says
            os.close(descriptor)


def _closing(descriptor: int, size: int) -> bytes:
    """What must stand before the next entry: nothing, or the blank line a torn entry lacks."""
    tail = os.pread(descriptor, 4, max(0, size - 4)).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not tail or tail.endswith(b"\n\n"):
        return b""
    return b"\n" if tail.endswith(b"\n") else b"\n\n"

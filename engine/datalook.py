"""A look at a data file before 4D opens it: is it there, can it be read, is its header one of 4D's. Read only.

Samples, never the whole: a terabyte takes as long as a megabyte. What the header means was worked out from
real files (engine/datafile.py): at byte 40 stands where the used part ends, at byte 24 an id.
"""

import errno
import os
import stat
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.datafile import DataUnreadableError, read_data_facts
from engine.files import read_regular
from engine.logfile import ByteReader, DescriptorReader

_ID_AT, _ID_BYTES = 24, 16
_USED_AT = 40
_UNIT_BYTES = 128  # 4D gives room in such pieces: what is no multiple is no end of its used part
_HEADER_BYTES = 108
_SAMPLE_BYTES = 4096
_SAMPLES = 24
_FSTAB = Path("/etc/fstab")
_FSTAB_LIMIT = 1 << 20
# the answer of a disk that lost something; all else may pass, or is the matter of a person
_LOST = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})


class Trouble(Enum):
    """What keeps a data file from being looked at, or from being one of 4D's."""

    MISSING = "missing"
    AWAY = "its volume is not there"
    NO_FILE = "not a file"
    EMPTY = "empty"
    LOST = "cannot be read from the disk"
    NO_ACCESS = "cannot be read by this user"
    ZEROS = "its header is zeros"
    UNKNOWN = "its header is not known"


@dataclass(frozen=True, slots=True)
class Unusable:
    """No data file that 4D could open; `text` says it in words, of `it`."""

    trouble: Trouble
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a data file with a header of 4D's says of itself.

    `used` is where its used part ends, None when it does not say; `last` the number of the last operation;
    `datalink` what it shares with its log, None when it does not say; `log` as in engine.datafile. `places` are
    sampled offsets at which there was something, `emptied` those asked for at which there are only zeros.
    """

    size: int
    used: int | None
    last: int
    datalink: bytes | None
    identity: bytes
    places: tuple[int, ...] = ()
    emptied: tuple[int, ...] = ()
    log: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it ends before the part that its header calls used."""
        return self.used is not None and self.used > self.size


def look_at(file: Path, places: tuple[int, ...] = ()) -> Seen | Unusable:
    """Look at the file itself, and again at `places` that held something at an earlier look."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _not_there(file)
    except OSError as error:
        return _failed(error)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Unusable(Trouble.NO_FILE, "it is no file, but something else of that name")
        found = examine(DescriptorReader(descriptor), places)
        is_lost = isinstance(found, Unusable) and found.trouble is Trouble.LOST
        # a disk that fails is asked twice: it may have been the matter of a moment
        return examine(DescriptorReader(descriptor), places) if is_lost else found
    except OSError as error:
        return _failed(error)
    finally:
        os.close(descriptor)


def examine(reader: ByteReader, places: tuple[int, ...] | None = None) -> Seen | Unusable:
    """What the bytes tell; with `places` None only the header is looked at. Raises OSError, DamagedError."""
    if reader.size == 0:
        return Unusable(Trouble.EMPTY, "it is empty")
    try:
        head = reader.read(0, _SAMPLE_BYTES)
        if not any(head[:_HEADER_BYTES]):
            return Unusable(Trouble.ZEROS, "it begins with zeros where 4D has its header")
        facts = read_data_facts(reader)
        used = _used(head)
        emptied = tuple(at for at in places or () if at < reader.size and not _held(reader, at))
        held = (
            () if places is None else tuple(at for at in _grid(reader, used) if _held(reader, at))
        )
    except DataUnreadableError:
        return Unusable(Trouble.UNKNOWN, "it does not begin with a header of 4D's")
    except OSError as error:
        if error.errno not in _LOST:
            raise
        return Unusable(Trouble.LOST, f"it cannot be read from the disk: {error.strerror}")
    identity = head[_ID_AT : _ID_AT + _ID_BYTES]
    return Seen(reader.size, used, facts.last, facts.datalink, identity, held, emptied, facts.log)


def mount_of(path: Path) -> Path:
    """The mount point below which a path lies, or would lie."""
    place = path.absolute()
    while not place.is_mount() and place != place.parent:
        place = place.parent
    return place


def absent_volume(path: Path, known: Path | None) -> Path | None:
    """The volume on which a path should lie and which is not mounted: the one `known`, or one of /etc/fstab."""
    declared = [Path(point) for point in _declared()]
    wanted = [point for point in declared if path.is_relative_to(point)]
    if known is not None and path.is_relative_to(known):
        wanted.append(known)
    absent = [point for point in wanted if not point.is_mount()]
    return max(absent, key=lambda point: len(point.parts), default=None)


def _declared() -> list[str]:
    try:
        text = read_regular(_FSTAB, _FSTAB_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return []
    rows = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    points = [row[1] for row in rows if len(row) > 1 and row[1].startswith("/")]
    return [point.replace("\\040", " ") for point in points]


def _not_there(file: Path) -> Unusable:
    if file.is_symlink():
        return Unusable(
            Trouble.AWAY,
            f"it is a link to {file.readlink()}, which is not there: is its volume mounted?",
        )
    return Unusable(Trouble.MISSING, "it is missing")


def _failed(error: OSError) -> Unusable:
    if error.errno in _LOST:
        return Unusable(Trouble.LOST, f"it cannot be read from the disk: {error.strerror}")
    if error.errno == errno.ENXIO:  # a socket
        return Unusable(Trouble.NO_FILE, "it is no file, but something else of that name")
    return Unusable(Trouble.NO_ACCESS, f"it cannot be looked at: {error.strerror}")


def _used(head: bytes) -> int | None:
    used: int = struct.unpack_from("<q", head, _USED_AT)[0]
    return used if used > 0 and used % _UNIT_BYTES == 0 else None


def _grid(reader: ByteReader, used: int | None) -> list[int]:
    """Places all over the used part behind the header, its last piece among them."""
    end = min(used or reader.size, reader.size)
    first, last = _SAMPLE_BYTES, end - _SAMPLE_BYTES
    if last < first:
        return []
    return sorted(
        {(first + (last - first) * at // _SAMPLES) // 512 * 512 for at in range(1, _SAMPLES + 1)}
    )


def _held(reader: ByteReader, at: int) -> bool:
    """Whether there is anything but zeros."""
    return any(reader.read(at, _SAMPLE_BYTES))

"""Putting restored files in the place of present ones: the present ones are moved aside, and back when anything fails.

Everything is a rename on one file system, and nothing is ever written over. What is about to be done is written
down first, so that after a kill or a power cut the next operation on the database puts everything back. The moment
that counts is the removal of that record: before it everything goes back, after it nothing does.
"""

import ctypes
import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import RestoreError
from engine.files import fsync_folder, open_regular, replacing
from engine.targettree import FOLDER, refuse_planted

_LIMIT = 64 << 20
_FORMAT = "backup4d-exchange"
_VERSION = 1  # neither this nor a digest is in the records of the first releases
_DIGEST = "sha256"
_NO_REPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_NOT_KNOWN = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Exchange:
    """`fresh` takes the place of `live`, which goes to `aside`; without `fresh`, `live` only goes.

    All three lie on one file system. `had_live`: there is something at `live` before it begins. `inode` is that
    of what is at `fresh`: what has another one is not ours to move.
    """

    live: Path
    fresh: Path | None
    aside: Path
    had_live: bool
    inode: int


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder that must be made for it; `uid` -1 leaves it to whoever makes it."""

    path: Path
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Everything that is exchanged, and before that the folders that are made, outer ones first."""

    exchanges: tuple[Exchange, ...]
    folders: tuple[NewFolder, ...] = ()


def write_swap(record: Path, swap: Swap) -> None:
    """Write down what is about to be done. Raises RestoreError."""
    row = {
        _FORMAT: [asdict(one) for one in swap.exchanges],
        "version": _VERSION,
        "folders": [asdict(one) for one in swap.folders],
    }
    try:
        with replacing(record, stays_ours=True) as stream:
            stream.write(json.dumps(with_digest(row)).encode("ascii"))
    except OSError as error:
        raise RestoreError(
            f"{record} could not be written: {error.strerror}; nothing was exchanged"
        ) from error


def with_digest(row: dict[str, Any]) -> dict[str, Any]:
    """The row as it is written: one other byte in a path, and a file would be put back under another name."""
    plain = json.dumps(row, default=str)
    return {**json.loads(plain), _DIGEST: hashlib.sha256(plain.encode("ascii")).hexdigest()}


def _check_digest(row: object) -> None:
    """Raises TypeError, ValueError."""
    if not isinstance(row, dict):
        raise TypeError("no object")
    rest = {key: value for key, value in row.items() if key != _DIGEST}
    if row.keys() & {_DIGEST, "version"} and with_digest(rest) != row:
        raise ValueError("its digest is another one")


def carry_out(record: Path, swap: Swap) -> None:
    """Do all of it, or nothing: after a failure everything is where it was. Raises RestoreError."""
    try:
        for folder in swap.folders:
            _make(folder)
        for one in swap.exchanges:
            _carry_out(one)
        _make_durable(swap)
        record.unlink()
    except BaseException as error:
        put_back(record, swap)
        if isinstance(error, OSError):
            raise RestoreError(
                f"the present files could not be exchanged: {_words(error)}; everything is as it was"
            ) from error
        raise
    with suppress(OSError):  # when it comes back after a power cut, everything goes back
        fsync_folder(record.parent)


def put_back(record: Path, swap: Swap) -> None:
    """Undo what was done of it, last first. Raises RestoreError that names what is where."""
    stuck: list[str] = []
    for one in reversed(swap.exchanges):
        try:
            _undo(one)
        except OSError as error:
            stuck.append(f"{one.live} is at {one.aside} ({error.strerror or error})")
    if not stuck:
        for folder in reversed(swap.folders):
            with suppress(OSError):  # somebody has put something in it, or it was never made
                folder.path.rmdir()
    with suppress(OSError):
        _make_durable(swap)
    if stuck:
        raise RestoreError(
            f"a restore in place was undone, but not all files are back: {'; '.join(stuck)}",
            hint="move them back by hand before 4D is started; nothing is lost",
        )
    # left there, it does no harm: what is back is not moved again
    discard_record(record)


def discard_record(record: Path) -> None:
    """Remove it with its folder, as far as there is nothing else in it."""
    for name in (record.name, f".{record.name}.part"):
        with suppress(OSError):
            (record.parent / name).unlink()
    with suppress(OSError):
        record.parent.rmdir()
        fsync_folder(record.parent.parent)


def read_swap(record: Path) -> Swap | None:
    """What a restore that died was about to do; None when there is no record.

    The record of another user is not obeyed: it says which files are to be renamed. Raises RestoreError.
    """
    try:
        row = json.loads(_read_ours(record))
        version = row.get("version", _VERSION)
        if version > _VERSION:
            raise RestoreError(
                f"{record}, left by a restore in place that died, was written by a newer backup4d: it has"
                f" version {version}, this one reads up to {_VERSION}",
                hint="install that backup4d or a newer one, which puts everything back; nothing was touched",
            )
        _check_digest(row)
        exchanges = tuple(_exchange(entry) for entry in row[_FORMAT])
        folders = tuple(_folder(entry) for entry in row["folders"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = (
            _words(error) if isinstance(error, OSError) else f"it is not what was written ({error})"
        )
        raise RestoreError(
            f"{record}, left by a restore in place that died, cannot be used: {why}",
            hint=f"what was live before is below {record.parent}: move it back by hand, then remove that file",
        ) from error
    return Swap(exchanges, folders)


def move_new(source: Path, target: Path) -> None:
    """Rename, never over anything. Raises FileExistsError, OSError."""
    if _renamed(source, target, _NO_REPLACE):
        return
    # not known to this file system: a name taken in the same instant would be lost, nobody works here now
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _carry_out(one: Exchange) -> None:
    """What is live is never absent, where the file system can do that: whoever looks for settings or data finds them."""
    if one.fresh is None:
        move_new(one.live, one.aside)
    elif not one.had_live:
        move_new(one.fresh, one.live)
    else:
        move_new(one.fresh, one.aside)
        if not _trade(one.aside, one.live):
            move_new(one.aside, one.fresh)
            move_new(one.live, one.aside)
            move_new(one.fresh, one.live)


def _undo(one: Exchange) -> None:
    """Whatever was done of one exchange is done backwards."""
    if one.fresh is None:
        if os.path.lexists(one.aside):
            move_new(one.aside, one.live)
        return
    is_restored = _inode(one.live) == one.inode
    has_aside = one.had_live and os.path.lexists(one.aside)
    if is_restored and not (has_aside and _trade(one.aside, one.live)):
        _to_building(one.live, one.fresh)
    if _inode(one.aside) == one.inode:
        _to_building(one.aside, one.fresh)
    elif one.had_live and os.path.lexists(one.aside):
        move_new(one.aside, one.live)


def _to_building(place: Path, fresh: Path) -> None:
    fresh.parent.mkdir(parents=True, exist_ok=True)
    move_new(place, fresh)


def _trade(one: Path, other: Path) -> bool:
    """Each gets the name of the other at once; False when this file system cannot do it. Raises OSError."""
    return _renamed(one, other, _EXCHANGE)


def _renamed(source: Path, target: Path, flag: int) -> bool:
    rename = getattr(_LIBC, "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_KNOWN:
        return False
    raise OSError(number, os.strerror(number), str(target))


def _inode(path: Path) -> int | None:
    with suppress(OSError):
        return path.lstat().st_ino
    return None


def _make(folder: NewFolder) -> None:
    folder.path.mkdir(0o700)
    descriptor = os.open(folder.path, FOLDER)
    try:
        if os.geteuid() == 0 and folder.uid >= 0:
            refuse_planted(descriptor)
            os.fchown(descriptor, folder.uid, folder.gid)
        os.fchmod(descriptor, folder.mode)
    finally:
        os.close(descriptor)


def _make_durable(swap: Swap) -> None:
    paths = [path for one in swap.exchanges for path in (one.live, one.aside, one.fresh) if path]
    paths += [folder.path for folder in swap.folders]
    for folder in {path.parent for path in paths}:
        with suppress(FileNotFoundError):
            fsync_folder(folder)


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _read_ours(record: Path) -> bytes:
    """The record, when it is a plain file of ours or of root. Raises OSError."""
    with open_regular(record, links=False) as stream:
        facts = os.fstat(stream.fileno())
        if facts.st_uid not in {0, os.geteuid()}:
            raise PermissionError(errno.EPERM, f"it belongs to user {facts.st_uid}")
        content = stream.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise OSError(errno.EFBIG, f"it has more than {_LIMIT >> 20} MiB")
    return content


def _exchange(row: dict[str, Any]) -> Exchange:
    fresh = row["fresh"]
    had_live, inode = row["had_live"], row["inode"]
    if not isinstance(had_live, bool) or not isinstance(inode, int):
        raise TypeError("not an exchange")
    return Exchange(
        _path(row["live"]),
        None if fresh is None else _path(fresh),
        _path(row["aside"]),
        had_live,
        inode,
    )


def _folder(row: dict[str, Any]) -> NewFolder:
    numbers = (row["mode"], row["uid"], row["gid"])
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("not a folder")
    return NewFolder(_path(row["path"]), *numbers)


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(f"not a path: {value!r:.100}")
    return Path(value)

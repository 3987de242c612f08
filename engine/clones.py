"""Clones of the data file, of what lies beside it under its name, and of the log: all taken within milliseconds.

A clone shares its blocks with the file until one of the two is written to; btrfs and XFS can make one. It has no
name, so that nothing is left behind whatever kills us. Where no clone can be made the files themselves are read.
"""

import fcntl
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from engine.content import REBUILT_BY_4D, Root
from engine.datafile import is_of_4d
from engine.host import pause
from engine.member import Attributes, Role, Seen
from engine.patience import Patience
from engine.sourcefile import OPEN, TrueTimes, attributes_of, is_young
from engine.stop import StopRequest
from engine.together import are_as_before, look_at_together
from engine.workbench import FICLONE

_REST_NS = 1_000_000_000
_HELD_NS = 50_000_000
# 4D writes its cache to the disk every 20 s unless told otherwise: between two flushes the files are at rest
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_HANG_SECONDS = 2.0
_HEAD_BYTES = 64
_GET_FLAGS, _SET_FLAGS, _NO_COPY_ON_WRITE = 0x80086601, 0x40086602, 0x00800000


class Moment(Enum):
    """What is known of the instant, in the words of the journal."""

    REST = "at rest"
    HELD = "held by the guard"
    IN_USE = "while the application wrote, as after a power cut at that moment"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files are to be cloned, those that belong together and the log, which is cloned last.

    `rooms` are the folders a nameless file may be made in, the first that can is taken. `held`: a guard holds
    the files still. `seconds` is how long a quiet moment is waited for at most.
    """

    files: tuple[Root, ...]
    log: Root | None
    rooms: tuple[Path, ...]
    held: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Clone:
    """One of them: an open nameless file, and the attributes its original had just before.

    `seen` is None when the original may have been written to within the same tick of the clock.
    """

    descriptor: int
    attributes: Attributes
    seen: Seen | None


@dataclass(frozen=True, slots=True)
class Clones:
    """Clones by path in the set; `moment` is None when there are none."""

    by_path: Mapping[bytes, Clone]
    moment: Moment | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the journal says of them."""
        if self.moment is None:
            return ()
        names = ", ".join(os.fsdecode(path.rsplit(b"/", 1)[-1]) for path in self.by_path)
        return (f"Copy : {names} cloned in one instant, {self.moment.value}",)


NO_CLONES = Clones({}, None)


@dataclass(frozen=True, slots=True)
class _Original:
    root: Root
    descriptor: int


@contextmanager
def cloning(wanted: Wanted, patience: Patience, stop: StopRequest) -> Iterator[Clones]:
    """The clones, gone when left; NO_CLONES when they cannot be made. Raises StoppedError."""
    clones = NO_CLONES
    with _opened(wanted) as originals:
        if originals and _has_room(originals):
            with suppress(OSError):
                clones = _take(originals, wanted, patience, stop)
    try:
        yield clones
    finally:
        _close(clone.descriptor for clone in clones.by_path.values())


@contextmanager
def _opened(wanted: Wanted) -> Iterator[tuple[_Original, ...]]:
    """All of them on one file system, the log last; none when one cannot be cloned: only the log may be read later."""
    originals: list[_Original] = []
    try:
        for root in (*wanted.files, *([wanted.log] if wanted.log else [])):
            with suppress(OSError):  # the reading meets it again, and says what it means
                originals.append(_Original(root, os.open(root.source, OPEN)))
        usable = tuple(one for one in originals if _can_be_cloned(one, originals[0]))
        files = [one.root for one in usable if one.root != wanted.log]
        yield usable if files and files == list(wanted.files) else ()
    finally:
        _close(one.descriptor for one in originals)


def _can_be_cloned(original: _Original, first: _Original) -> bool:
    """One name only: another one could be met later, and would be stored as a link to what is not there yet."""
    facts, like = (os.fstat(one.descriptor) for one in (original, first))
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_dev == like.st_dev


def _has_room(originals: Sequence[_Original]) -> bool:
    """What the application overwrites while there are clones needs new room, and must find it."""
    volume = os.fstatvfs(originals[0].descriptor)
    taken = sum(os.fstat(one.descriptor).st_blocks * 512 for one in originals)
    return volume.f_bavail * volume.f_frsize >= taken // 4


# --- the instant ----------------------------------------------------------------------------------


def _take(
    originals: Sequence[_Original], wanted: Wanted, patience: Patience, stop: StopRequest
) -> Clones:
    """Clones of a moment at which nothing changed; when none comes in time, of any. Raises OSError."""
    until = patience.now() + min(wanted.seconds, _PATIENCE_SECONDS)
    rest_ns = _HELD_NS if wanted.held else _REST_NS
    files = [one for one in originals if one.root != wanted.log]
    is_first = True  # tried at once in any case: where no clone can be made, nothing is waited for
    while True:
        stop.check()
        is_last = patience.now() >= until
        is_restless = _is_restless(files, patience.instant_ns(), rest_ns)
        if is_restless and not is_last and not is_first:
            pause(_LOOK_SECONDS)
            continue
        is_first = False
        before = look_at_together(wanted.files)
        clones = _clone_all(originals, wanted.rooms)
        if not is_restless and are_as_before(before, look_at_together(wanted.files)):
            return replace(clones, moment=Moment.HELD if wanted.held else Moment.REST)
        if is_last and _may_be_in_use(originals, clones):
            unseen = {path: replace(one, seen=None) for path, one in clones.by_path.items()}
            return replace(clones, by_path=unseen)
        _close(clone.descriptor for clone in clones.by_path.values())
        if is_last:
            return NO_CLONES


def _is_restless(files: Sequence[_Original], now_ns: int, rest_ns: int) -> bool:
    return any(is_young(os.fstat(one.descriptor), now_ns, rest_ns) for one in files)


def _may_be_in_use(originals: Sequence[_Original], clones: Clones) -> bool:
    """4D brings data to the state of its log, and makes the others anew; of what it did not make nobody knows."""
    data, *others = originals
    head = os.pread(clones.by_path[data.root.path].descriptor, _HEAD_BYTES, 0)
    return is_of_4d(head) and all(
        one.root.role is Role.LOG or one.root.source.suffix.lower() in REBUILT_BY_4D
        for one in others
    )


# --- cloning --------------------------------------------------------------------------------------


def _clone_all(originals: Sequence[_Original], rooms: Sequence[Path]) -> Clones:
    """Clones of all, in their order. Raises OSError, also when the file system is frozen and nothing returns."""
    made = _within(_HANG_SECONDS, lambda: _make(originals, rooms))
    return Clones(made, Moment.IN_USE)


def _within(seconds: float, make: Callable[[], dict[bytes, Clone]]) -> dict[bytes, Clone]:
    """What `make` returns; raises TimeoutError when it does not in time, and closes what comes later."""
    future: Future[dict[bytes, Clone]] = Future()

    def work() -> None:
        try:
            future.set_result(make())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            future.set_exception(error)

    threading.Thread(target=work, name="clone", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        future.add_done_callback(_close_late)
        raise


def _close_late(future: "Future[dict[bytes, Clone]]") -> None:
    if future.exception() is None:
        _close(clone.descriptor for clone in future.result().values())


def _make(originals: Sequence[_Original], rooms: Sequence[Path]) -> dict[bytes, Clone]:
    made: dict[bytes, Clone] = {}
    times = TrueTimes()
    try:
        for one in originals:
            # before: were it after, a write in between would look as if it were in the copy
            facts = os.fstat(one.descriptor)
            copy, seen = _clone(one.descriptor, rooms), times.seen(one.descriptor, facts)
            made[one.root.path] = Clone(copy, attributes_of(facts), seen)
    except BaseException:
        _close(clone.descriptor for clone in made.values())
        raise
    return made


def _clone(original: int, rooms: Sequence[Path]) -> int:
    """A nameless clone in the first folder that takes one. Raises OSError."""
    failure = OSError()
    for room in rooms:
        copy = -1
        try:
            copy = os.open(room, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            _write_in_place_like(original, copy)
            fcntl.ioctl(copy, FICLONE, original)
        except OSError as error:
            failure = error
            _close([copy] if copy >= 0 else [])
        else:
            return copy
    raise failure


def _write_in_place_like(original: int, copy: int) -> None:
    """btrfs clones a file without copy-on-write, as databases often are, only to another one without."""
    flags = struct.pack("l", 0)
    with suppress(OSError):  # what has no flags has not this one either
        (found,) = struct.unpack("l", fcntl.ioctl(original, _GET_FLAGS, flags))
        if found & _NO_COPY_ON_WRITE:
            (own,) = struct.unpack("l", fcntl.ioctl(copy, _GET_FLAGS, flags))
            fcntl.ioctl(copy, _SET_FLAGS, struct.pack("l", own | _NO_COPY_ON_WRITE))


def _close(descriptors: Iterator[int] | Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)

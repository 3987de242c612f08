"""The automatic restore at opening: the data files of the newest good set in the place of damaged ones (spec 4.4).

Data file, index, sync files, external data and the matching log; never attachments or the structure. What was
there is kept aside. Alone under the database's lock; after any failure everything is where it was.
"""

import glob
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.datalook import Seen, Unusable, examine, look_at, mount_of
from engine.errors import DamagedError, EngineError, MissingSetError, RestoreError
from engine.framereader import open_archive
from engine.host import keep_freed_memory, worker_count
from engine.inplace import DOING, restore_in_place
from engine.lock import DATABASE_LOCK, Lock, holding
from engine.machine import is_another, name_of
from engine.manifest import iterate_members
from engine.member import Member, Role
from engine.memberreader import MemberReader
from engine.opencheck import State, Verdict, judge_set_data, why_not_again
from engine.openrecord import Look, Record, load_record, save_record
from engine.ownsets import own_marks
from engine.parity import has_parity
from engine.repairing import repair_recorded
from engine.restore import Restored
from engine.restorelogs import LogWish
from engine.restoring import Told, in_place_plan, refuse_open_files, undo_in
from engine.selection import Selection
from engine.setlog import data_member
from engine.sets import Inventory, StoredSet, take_inventory
from engine.setsource import SetSource, open_set
from engine.undo import has_dead_restore
from settings.layout import DatabaseLayout

_WORKERS = worker_count()
_INDEX = ".4dindx"
_COMPANIONS = (_INDEX, ".4dsyncdata", ".4dsyncheader")


@dataclass(frozen=True, slots=True)
class Brought:
    """What was restored from which set; `passed` says why newer sets were not taken, or what was repaired."""

    restored: Restored
    stored: StoredSet
    passed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataInSet:
    """A set with a data file, and what a look at its beginning tells."""

    source: SetSource
    data: Member
    found: Seen | Unusable


class NoBackupError(MissingSetError):
    """There is nothing at all to restore from: 4D says `backup not available`."""


class SavedDamageError(DamagedError):
    """A set that is whole, of a data file that was damaged already: no recovery data helps."""


def undo_if_dead(layout: DatabaseLayout, told: Told, traces: dict[str, Any] | None) -> str | None:
    """Put back what a restore that was killed left, in words; None when there was none.

    `traces` are what the lock tells. Raises BusyError when a restore is on, RestoreError.
    """
    if not has_dead_restore(layout.package, traces):
        return None
    since = told.around.clock.now().isoformat(timespec="seconds")
    with holding(layout.package / "Logs" / DATABASE_LOCK, DOING, since) as lock:
        return undo_in(lock, layout, told)


def data_in_set(folder: Path) -> DataInSet:
    """The data file in a set. Raises MissingSetError when it holds none, DamagedError, RefusedError."""
    source = open_set(folder)
    facts = next((one for one in source.manifest.archives if one.role == "main"), None)
    data = data_member(folder)
    if facts is None or data is None:
        raise MissingSetError(f"{folder.name} holds no data file")
    with open_archive(source.archives, facts) as archive:
        found = examine(MemberReader(archive, data))
    return DataInSet(source, data, found)


def restore_automatically(
    layout: DatabaseLayout,
    destination: Path,
    wish: LogWish,
    told: Told,
    look_again: Callable[[], Verdict],
    tell: Callable[[Brought], None],
) -> Brought | None:
    """Restore from the newest good set; None when the data file is good after all: another process was quicker.

    Raises BusyError while a backup or a restore is on, RestoreError when it may not be done again or a process
    has the data file open, MissingSetError when there is no good set, and as engine.inplace.
    """
    keep_freed_memory()
    clock = told.around.clock
    started = clock.now()
    since = started.isoformat(timespec="seconds")
    file = layout.package / "Logs" / DATABASE_LOCK
    with holding(file, DOING, since, of=layout.data_file) as lock:
        undo_in(lock, layout, told)
        if look_again().state is State.GOOD:
            return None
        record = load_record(layout.package / "Logs")
        _refuse_another(record, started, layout, told)
        refuse_open_files(layout)
        work = _Work(layout, destination, wish, told, lock, started)
        with _counted(layout.package / "Logs", record):
            brought = work.run(is_header_known=record.look is not None)
        remember_restored(layout, clock.now())
        tell(brought)
        with suppress(OSError):  # then the next operation tells of it once more
            lock.note(None)
    return brought


class _Work:
    """One automatic restore, holding the lock."""

    def __init__(
        self,
        layout: DatabaseLayout,
        destination: Path,
        wish: LogWish,
        told: Told,
        lock: Lock,
        started: datetime,
    ) -> None:
        self._layout = layout
        self._destination = destination
        self._wish = wish
        self._told = told
        self._lock = lock
        self._started = started
        self._passed: list[str] = []

    def run(self, *, is_header_known: bool) -> Brought:
        """The newest set that is good; why newer ones were not taken is told."""
        sets = self._sets()
        for stored in reversed(sets):
            try:
                restored = self._from(stored, sets, is_header_known=is_header_known)
            except (DamagedError, MissingSetError) as error:
                self._passed.append(f"set {stored.number} was not taken: {error}")
                continue
            return Brought(restored, stored, tuple(self._passed))
        if not sets and not self._passed:
            raise NoBackupError(
                f"backup not available: {self._destination} holds no set of this database",
                hint="look for sets elsewhere; backup4d restore takes the folder of a set, or an archive file",
            )
        raise DamagedError(
            f"no good set: {'; '.join(self._passed)}",
            hint="backup4d restore --salvage brings back what can be read of a damaged set",
        )

    def _sets(self) -> tuple[StoredSet, ...]:
        """What there is to restore from; one whose manifest is damaged is repaired first, when it can be."""
        inventory = self._inventory()
        lost = [name for name, _ in inventory.unreadable if has_parity(self._destination / name)]
        for name in lost:
            self._repaired(self._destination / name)
        if lost:
            inventory = self._inventory()
        highest = max((stored.folder.name for stored in inventory.sets), key=_by_number, default="")
        self._passed += [
            f"{name} was not taken: {why}"
            for name, why in inventory.unreadable
            if _by_number(name) > _by_number(highest)
        ]
        return inventory.sets

    def _inventory(self) -> Inventory:
        try:
            data_file = self._layout.data_file
            return take_inventory(self._destination, data_file.stem, data_file)
        except OSError as error:
            raise NoBackupError(
                f"backup not available: {self._destination} cannot be read: {error.strerror}",
                hint="check that its volume is mounted",
            ) from error

    def _from(
        self, stored: StoredSet, sets: tuple[StoredSet, ...], *, is_header_known: bool
    ) -> Restored:
        machine = stored.facts.machine
        if is_another(machine, own_marks(self._lock.memory)):
            raise MissingSetError(f"it was made on another machine ({name_of(machine)})")
        lacking = _lacking(stored)
        if lacking is not None:
            raise MissingSetError(f"it is partial and lacks {lacking}")
        try:
            return self._once(stored, sets, is_header_known=is_header_known)
        except (DamagedError, MissingSetError) as error:
            if isinstance(error, SavedDamageError) or not has_parity(stored.folder):
                raise
            if not self._repaired(stored.folder):
                raise
        return self._once(stored, sets, is_header_known=is_header_known)

    def _once(
        self, stored: StoredSet, sets: tuple[StoredSet, ...], *, is_header_known: bool
    ) -> Restored:
        held = data_in_set(stored.folder)
        why = judge_set_data(held.found, is_header_known=is_header_known)
        if why is not None:
            raise SavedDamageError(f"the data file was damaged already when it was saved: {why}")
        around = self._told.around
        plan = in_place_plan(
            held.source,
            self._layout,
            selection_of(held),
            replace(self._wish, others=sets),
            (self._destination,),
            self._told.zone,
            self._started,
        )
        return restore_in_place(
            held.source,
            plan,
            self._lock,
            since=self._started.isoformat(timespec="seconds"),
            check_again=lambda: refuse_open_files(self._layout),
            workers=_WORKERS,
            stop=around.stop,
            report=around.report,
        )

    def _repaired(self, folder: Path) -> bool:
        mended = repair_recorded(folder, self._layout, self._told.zone, self._told.around)
        if mended.good:
            self._passed.append(
                f"{folder.name} was damaged and was repaired from its recovery data"
            )
        return mended.good


def _by_number(name: str) -> tuple[int, str]:
    """The order of names that differ in their numbers only, which have four digits or more."""
    return len(name), name


# --- what of a set


def selection_of(held: DataInSet) -> Selection:
    """The paths that an automatic restore brings back, as a selection of the set's members."""
    folder, _, name = held.data.path.rpartition(b"/")
    stem = os.fsdecode(name.rpartition(b".")[0]).lower()
    chosen: dict[str, None] = {os.fsdecode(held.data.path): None}
    for member in iterate_members(held.source.manifest.folder):
        if member.role is Role.LOG:
            chosen[os.fsdecode(member.path)] = None
        inner = _inner(member.path, folder)
        if inner is not None and _is_companion(inner, stem):
            chosen[f"{os.fsdecode(folder)}/{inner}" if folder else inner] = None
    return Selection(tuple(glob.escape(path) for path in chosen))


def _inner(path: bytes, folder: bytes) -> str | None:
    """The first part of a path behind the folder of the data file; None for one that is not in it."""
    if folder and not path.startswith(folder + b"/"):
        return None
    rest = path.removeprefix(folder + b"/") if folder else path
    return os.fsdecode(rest.partition(b"/")[0])


def _is_companion(name: str, stem: str) -> bool:
    """Index, sync files, and the folder in which 4D keeps values outside of the data file."""
    lower = name.lower()
    return lower in {stem + suffix for suffix in _COMPANIONS} or lower in {
        "external data",
        "externaldata",
        f"{stem}.externaldata",
    }


def _lacking(stored: StoredSet) -> str | None:
    """What a partial set lacks of what would be restored; an index is rebuilt by 4D."""
    facts = stored.facts
    gone = (*facts.missing, *(path for path, _ in facts.skipped))
    return next((path for path in gone if "external" in path.lower()), None)


# --- what is remembered


def _refuse_another(record: Record, now: datetime, layout: DatabaseLayout, told: Told) -> None:
    why = why_not_again(
        record.restored, record.begun, now, told.zone, is_confirmed=record.is_confirmed
    )
    if why is not None:
        raise RestoreError(
            f"no further automatic restore: {why}",
            hint="find out why it is damaged again (disk, memory, power), then restore by hand: "
            f"backup4d restore {shlex.quote(str(layout.package))} --in-place --part data",
        )


@contextmanager
def _counted(logs: Path, record: Record) -> Iterator[None]:
    """Count a restore before it begins, so that one that dies each time is not tried for ever."""
    try:
        save_record(logs, replace(record, begun=record.begun + 1))
    except OSError as error:
        raise RestoreError(
            f"nothing was restored: what was done could not be remembered in {logs}: {error.strerror}",
            hint="without that it could be restored again and again; make room there, or let this user write there",
        ) from error
    try:
        yield
    except EngineError:
        with suppress(OSError):  # it counts as begun then: a try less, no harm
            save_record(logs, record)
        raise


def remember_restored(layout: DatabaseLayout, now: datetime) -> None:
    """The files as they are now are what the next look is compared with. What cannot be written is left out."""
    found = look_at(layout.data_file)
    look = None
    if isinstance(found, Seen):
        look = Look(now, layout.data_file, found, layout.log.exists(), mount_of(layout.data_file))
    with suppress(OSError):  # the count of restores begun stands: it cannot go on for ever
        save_record(layout.package / "Logs", Record(look, restored=now))

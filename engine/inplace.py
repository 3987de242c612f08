"""A set, or a part of it, in the place of the live files: those are moved aside, and back when anything fails.

Everything is built beside the live files first (engine/sites.py). While it is built and exchanged the database's lock
says so, so that the next operation can tell how far one that was killed has come (engine/undo.py).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.arrival import Strict
from engine.errors import RestoreError
from engine.exchanges import plan_swap
from engine.files import fsync_folder, give_to_owner_of
from engine.inplaceplan import InPlacePlan
from engine.lock import Lock
from engine.progress import Report
from engine.rebuild import Rebuild
from engine.restore import Restored, restore_archives
from engine.setsource import SetSource
from engine.sites import Sites
from engine.stop import StopRequest
from engine.swap import carry_out, discard_record, write_swap
from engine.wayback import write_way_back

RECORD = ".backup4d-exchange.json"
DOING = "a restore in place"
# in the record of the lock, which has room for 32 KiB
_MOST_ROOMS, _LONGEST_ROOM = 8, 500


def restore_in_place(  # noqa: PLR0913 - where from, where to, what, and what every operation has
    source: SetSource,
    plan: InPlacePlan,
    lock: Lock,
    *,
    since: str,
    check_again: Callable[[], None],
    workers: int,
    stop: StopRequest,
    report: Report,
) -> Restored:
    """Build everything beside the live files, `check_again`, exchange. The caller holds the database's lock `since`.

    After a success the lock's note stays until the caller has told of it. Raises RestoreError, DamagedError,
    MissingSetError, NoRoomError, StoppedError; the live files are then where they were.
    """
    record = plan.aside / RECORD
    note: dict[str, Any] = {"doing": DOING, "pid": os.getpid(), "since": since}
    note |= {"record": str(record), "rooms": [str(plan.package)]}
    try:
        lock.note(note)
        with Sites(plan.package, plan.aside_name, plan.anchors()) as sites:
            rooms = [str(site.building.parent) for site in sites.all][:_MOST_ROOMS]
            note["rooms"] = [room for room in rooms if len(room) < _LONGEST_ROOM]
            lock.note(note)
            files = _build(source, plan, sites, workers=workers, stop=stop, report=report)
            stop.check()
            check_again()  # from here on it is a matter of moments, and all or nothing
            _exchange(plan, sites, record, lock, {**note, "is_exchanging": True})
    except BaseException as error:
        if not record.exists():
            with suppress(OSError):
                lock.note(None)
        if isinstance(error, OSError):
            raise RestoreError(
                f"{error.filename or plan.package}: {error.strerror}; nothing was exchanged"
            ) from error
        raise
    number = source.manifest.facts.number
    asides = dict.fromkeys(site.aside for site in sites.all if site.aside.is_dir())
    aside = next(iter(asides), None)
    elsewhere = list(asides)[1:]
    notes = [f"what was there before is, on another volume, in {folder}" for folder in elsewhere]
    return Restored(
        plan.package, number, files.count, files.done, aside, (*source.notes, *notes), plan.logs
    )


def _build(
    source: SetSource,
    plan: InPlacePlan,
    sites: Sites,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
) -> Rebuild:
    files = Rebuild(sites.tree, Strict(), report=report, total=plan.content_bytes, stop=stop)
    try:
        restore_archives(source, files, workers, plan.wanted, plan.logs)
        sites.flush()
    except OSError as error:
        raise RestoreError(
            f"the restored files could not be written: {error.strerror}; nothing was exchanged"
        ) from error
    finally:
        files.close()
    return files


def _exchange(
    plan: InPlacePlan, sites: Sites, record: Path, lock: Lock, note: dict[str, Any]
) -> None:
    """The record is there before the lock speaks of it: a note without a record means that all was done."""
    folder = record.parent
    try:
        folder.mkdir(mode=0o750)
        give_to_owner_of(folder.parent, folder)
    except OSError as error:
        raise RestoreError(
            f"{folder} could not be made: {error.strerror}; nothing was exchanged"
        ) from error
    try:
        swap = plan_swap(plan, sites)
        write_swap(record, swap)
        fsync_folder(folder.parent)
        lock.note(note)
    except BaseException:
        discard_record(record)
        raise
    carry_out(record, swap)
    with suppress(OSError):  # all is done; the way back can be found by hand, too
        write_way_back(folder, swap)
    with suppress(OSError):  # nothing was replaced, then nothing is in it
        folder.rmdir()

"""Every kind of restore with its entry in the Backup journal and the history: new folder, in place, salvage."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from engine.errors import DamagedError, EngineError, RestoreError
from engine.host import keep_freed_memory, worker_count
from engine.inplace import DOING, restore_in_place
from engine.inplaceplan import ASIDE, InPlacePlan, plan_in_place
from engine.lock import DATABASE_LOCK, Lock, current_holder, holding
from engine.manifest import CHECKSUMS
from engine.openfiles import processes_using
from engine.operations import record_operation
from engine.records import Recorder
from engine.report import Times
from engine.restore import Restored, archive_obstacle, restore_source
from engine.restorelogs import LogWish
from engine.salvage import Salvaged, salvage_set
from engine.selection import EVERYTHING, Selection
from engine.setsource import SetSource, open_set
from engine.setwriter import Surroundings
from engine.undo import undo_dead_restore
from settings.layout import DatabaseLayout

# two more than there are processors: writing past the page cache waits for the disk (measured: a seventh less time)
_WORKERS = worker_count() + 2


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of a restore: `layout` is None when no database is at hand, then nobody but the caller."""

    layout: DatabaseLayout | None
    zone: tzinfo
    around: Surroundings


def restore_recorded(
    place: Path | SetSource,
    target: Path,
    told: Told,
    *,
    selection: Selection = EVERYTHING,
    aside: Path | None = None,
    wish: LogWish | None = None,
) -> Restored:
    """Restore a set, or what is selected of it, into a new folder. Raises as engine.restore.restore_source."""
    keep_freed_memory()
    around = told.around
    folder = _folder_of(place)
    lines = (f"Set : {folder}", f"Target : {target}", *_selected(selection))
    with _recorded(told, folder, "Restore", lines) as say:
        restored = restore_source(
            opened(place),
            target,
            workers=_WORKERS,
            stop=around.stop,
            report=around.report,
            selection=selection,
            aside=aside,
            wish=wish,
        )
        say(_said_of(restored))
    return restored


def restore_in_place_recorded(
    place: Path | SetSource,
    layout: DatabaseLayout,
    selection: Selection,
    wish: LogWish,
    protected: tuple[Path, ...],
    told: Told,
) -> Restored:
    """Restore in the place of the live files, alone: no backup and no other restore runs meanwhile.

    Raises BusyError, RestoreError when a process has the data file open, and as engine.inplace.
    """
    keep_freed_memory()
    around = told.around
    started = around.clock.now()
    since = started.isoformat(timespec="seconds")
    with holding(layout.package / "Logs" / DATABASE_LOCK, DOING, since) as lock:
        undo_in(lock, layout, told)
        folder = _folder_of(place)
        lines = (f"Set : {folder}", f"In place of : {layout.package}", *_selected(selection))
        with _recorded(told, folder, "Restore", lines) as say:
            refuse_open_files(layout)
            source = opened(place)
            _refuse_unproved_manifest(source)
            plan = in_place_plan(source, layout, selection, wish, protected, told.zone, started)
            restored = restore_in_place(
                source,
                plan,
                lock,
                since=since,
                check_again=lambda: refuse_open_files(layout),
                workers=_WORKERS,
                stop=around.stop,
                report=around.report,
            )
            restored = replace(restored, notes=(*restored.notes, *_unseen()))
            say(_said_of(restored))
        with suppress(OSError):  # then the next operation tells of it once more
            lock.note(None)
    return restored


def in_place_plan(  # noqa: PLR0913, PLR0917 - what is put where, of what, and when
    source: SetSource,
    layout: DatabaseLayout,
    selection: Selection,
    wish: LogWish,
    protected: tuple[Path, ...],
    zone: tzinfo,
    now: datetime,
) -> InPlacePlan:
    """What a restore in place would do. Raises RestoreError, DamagedError."""
    name = _free_name(layout.package, f"{ASIDE} ({now.astimezone(zone):%Y-%m-%d %H-%M-%S})")
    keep = (layout.package / "Logs", source.archives, source.manifest.folder, *protected)
    try:
        return plan_in_place(source, selection, wish, layout, aside_name=name, protected=keep)
    except OSError as error:  # such as a name in the set that is longer than a path can be here
        raise RestoreError(
            f"the set cannot be restored in place: {error.strerror}; nothing was touched"
        ) from error


def _free_name(folder: Path, name: str) -> str:
    """A second restore in the same second gets a folder of its own."""
    names = (name, *(f"{name[:-1]}, {at})" for at in range(2, 1000)))
    return next((one for one in names if not os.path.lexists(folder / one)), name)


def undo_in(lock: Lock, layout: DatabaseLayout, told: Told) -> str | None:
    """Put back what a restore in place that was killed left. Raises RestoreError."""
    recorder = Recorder(layout.package, layout.key, told.zone)
    return undo_dead_restore(lock, recorder, told.around.clock.now())


def _refuse_unproved_manifest(source: SetSource) -> None:
    """What decides which live files are moved must be beyond doubt."""
    if not (source.archives / CHECKSUMS).exists():
        raise RestoreError(
            f"{source.archives} has no {CHECKSUMS}, so nothing vouches for its manifest; nothing was touched",
            hint="restore it into a new folder (--to), look at it, and move the files by hand",
        )


def refuse_open_files(layout: DatabaseLayout) -> None:
    """Raises RestoreError when a process has the data file or the log open."""
    users = processes_using((layout.data_file, layout.log))
    if users:
        raise RestoreError(
            f"{layout.data_file} is in use by {', '.join(users)}; nothing was touched",
            hint="stop 4D first, then start the restore again",
        )


def _unseen() -> tuple[str, ...]:
    """What the look for open files could not see."""
    if os.geteuid() == 0:
        return ()
    return ("processes of other users could not be looked at: 4D must not have been running",)


def in_place_obstacle(layout: DatabaseLayout, source: SetSource) -> str | None:
    """Why a restore in place would be refused now, None when nothing is known against it."""
    try:
        refuse_open_files(layout)
        _refuse_unproved_manifest(source)
        if current_holder(layout.package / "Logs" / DATABASE_LOCK) is not None:
            return "another operation on the database is running"
    except EngineError as error:
        return str(error)
    except OSError:
        pass  # there is no lock yet
    return archive_obstacle(source)


def salvage_recorded(
    folder: Path, target: Path, told: Told, *, only: str | None = None
) -> Salvaged:
    """Bring back what can be read of a damaged set. Raises as engine.salvage.salvage_set."""
    keep_freed_memory()
    around = told.around
    with _recorded(told, folder, "Restore", (f"Set : {folder}", f"Target : {target}")) as say:
        salvaged = salvage_set(
            folder, target, workers=_WORKERS, stop=around.stop, report=around.report, only=only
        )
        say(
            (
                f"Salvaged : {salvaged.whole} whole, {salvaged.damaged} not, {salvaged.lost_bytes} bytes lost",
                f"Report : {salvaged.report}",
                *(f"Damage : {text}" for text in salvaged.problems[:5]),
                f"Result : {'salvaged, not whole' if salvaged.problems else 'OK'}",
            )
        )
    return salvaged


def _folder_of(place: Path | SetSource) -> Path:
    return place.archives if isinstance(place, SetSource) else place


def opened(place: Path | SetSource) -> SetSource:
    """The source itself, or that of a set's folder. Raises as engine.setsource.open_set."""
    return place if isinstance(place, SetSource) else open_set(place)


Say = Callable[[tuple[str, ...]], None]


@contextmanager
def _recorded(told: Told, folder: Path, title: str, lines: tuple[str, ...]) -> Iterator[Say]:
    """Journal what happens inside, also when it fails; a database must be at hand for that."""
    started = told.around.clock.now()
    more: list[str] = []
    error: EngineError | None = None
    try:
        yield more.extend
    except BaseException as failure:
        error = _told_as(failure)
        raise
    finally:
        if told.layout is not None:
            times = Times(None, started, told.around.clock.now(), told.zone)
            if error is not None:
                more.append("Result : nothing was restored")
            elif not any(line.startswith("Result :") for line in more):
                more.append("Result : OK")
            record_operation(told.layout, folder, title, (*lines, *more), times, error)


def _told_as(failure: BaseException) -> EngineError:
    """What the journal says of a failure; also of one that is not ours, which is never a success."""
    if isinstance(failure, DamagedError) and not failure.hint:
        failure.hint = (
            "another set may be whole: backup4d verify tells; --salvage brings back what can be "
            "read of this one"
        )
    if not isinstance(failure, EngineError):
        return RestoreError(f"it failed: {failure!r}")
    failure.hint = failure.hint or "nothing was restored; all files are as they were before"
    return failure


def _said_of(restored: Restored) -> tuple[str, ...]:
    aside = () if restored.aside is None else (f"Replaced files : {restored.aside}",)
    logs = () if restored.logs is None else restored.logs.plan.sentences
    return (
        *aside,
        *(f"Log : {text}" for text in logs),
        *(f"Note : {text}" for text in restored.notes),
    )


def _selected(selection: Selection) -> tuple[str, ...]:
    """What the journal says of a restore that is not whole."""
    if selection.is_everything:
        return ()
    roles = sorted(role.value for role in selection.roles or ())
    return (f"Only : {', '.join([*roles, *selection.patterns])}",)

"""The opening check of a database: looks at data file and log, compares with what is known, remembers a good look."""

import os
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

from engine.autorestore import data_in_set
from engine.datalook import Seen, Trouble, Unusable, absent_volume, look_at, mount_of
from engine.errors import BusyError, EngineError
from engine.files import make_folder
from engine.inplace import DOING
from engine.journal import local_time
from engine.lock import DATABASE_LOCK, current_holder
from engine.logfile import DescriptorReader, LogFacts, LogUnreadableError, read_log_facts
from engine.logmissing import holds_log
from engine.logwords import EARLIER_FOLDER
from engine.opencheck import Known, State, Verdict, judge_data, with_log
from engine.openrecord import Look, Record, save_record
from engine.sets import StoredSet
from settings.layout import DatabaseLayout


def known_of(look: Look | None, newest: StoredSet | None, zone: tzinfo) -> Known | None:
    """What the data file is compared with: the last good look, else the newest set; None when there is neither."""
    if look is not None:
        source = f"at the last good look, {local_time(look.at, zone)}"
        return Known(look.seen, source, look.has_log, look.mount)
    if newest is None:
        return None
    with suppress(EngineError, OSError):
        found = data_in_set(newest.folder).found
        if isinstance(found, Seen):
            source = f"in set {newest.number}, {local_time(newest.facts.started, zone)}"
            return Known(found, source, holds_log(newest))
    return None


def look_and_judge(
    layout: DatabaseLayout, known: Known | None, *, integrates: bool, was_saved: bool = False
) -> Verdict:
    """Whether 4D can open it. Nothing is written; it makes no difference whether 4D works on the file.

    `was_saved`: a kept set holds a log.
    """
    data_file = layout.data_file
    found = look_at(data_file, () if known is None else known.seen.places)
    if isinstance(found, Unusable) and found.trouble is Trouble.MISSING:
        absent = absent_volume(data_file, None if known is None else known.mount)
        if absent is not None:
            found = Unusable(Trouble.AWAY, f"{found.text}, and the volume {absent} is not mounted")
    verdict = judge_data(found, known)
    names_log = isinstance(found, Seen) and found.log is not None
    has_log = names_log or was_saved or (known is not None and known.has_log)
    facts = _log_facts(layout.log)
    earlier = layout.log.parent / EARLIER_FOLDER
    return with_log(
        verdict,
        layout.log,
        facts,
        has_log=has_log,
        integrates=integrates,
        waiting=earlier if earlier.is_dir() else None,
    )


def which_is_meant(layout: DatabaseLayout, look: Look | None) -> Verdict | None:
    """A verdict when another data file than the one known is there, and nobody can tell which is meant.

    One that was renamed is the same file, not older; a copy that is left over is older.
    """
    if look is None or look.data_file == layout.data_file or look.data_file.exists():
        return None
    if _is_renamed(look_at(layout.data_file), look.seen):
        return None
    text = f"{layout.data_file} is not the data file known until now, {look.data_file}, which is missing"
    return Verdict(State.NOT_KNOWN, None, (text,))


def _is_renamed(found: Seen | Unusable, before: Seen) -> bool:
    if not isinstance(found, Seen) or found.last < before.last:
        return False
    return (found.identity, found.datalink) == (before.identity, before.datalink)


def refuse_during_restore(layout: DatabaseLayout) -> None:
    """Raises BusyError while a restore exchanges files; a backup only reads and is in nobody's way."""
    holder = None
    with suppress(OSError):  # nobody whom we may ask
        holder = current_holder(layout.package / "Logs" / DATABASE_LOCK)
    if holder is not None and holder.get("doing") == DOING:
        raise BusyError(
            f"a restore of {layout.package} is running (process {holder.get('pid', 'unknown')})",
            hint="start the application when it has ended",
        )


def remember_good(
    layout: DatabaseLayout, record: Record, seen: Seen | None, now: datetime, told: str
) -> None:
    """A good look counts from now on, also after an automatic restore. Raises OSError."""
    look = record.look
    if seen is not None:
        plain = replace(seen, emptied=())
        has_log = layout.log.exists()
        look = Look(now, layout.data_file, plain, has_log, mount_of(layout.data_file))
    # one that was begun, never ended and is good now was done, and died before it could say so
    restored = now if record.begun else record.restored
    good = Record(look, restored, is_confirmed=True, told=told)
    logs = layout.package / "Logs"
    make_folder(logs, like=layout.package)
    save_record(logs, good)


def _log_facts(log: Path) -> LogFacts | str | None:
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the log cannot be opened: {error.strerror}"
    try:
        return read_log_facts(DescriptorReader(descriptor))
    except LogUnreadableError as error:
        return str(error)
    except OSError as error:
        return f"the log cannot be read: {error.strerror}"
    finally:
        os.close(descriptor)

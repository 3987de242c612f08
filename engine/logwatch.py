"""What a backup tells of its log: is it there, does it carry on the one in the set before, is it that of its data.

Looked at in the sets themselves, where everything stands still. It is told and never a reason to refuse a backup.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.datafile import DataFacts, DataUnreadableError, read_data_facts
from engine.errors import Code, EngineError
from engine.logfile import LogFacts, LogUnreadableError, begins_with, read_log_facts
from engine.logmissing import HINT, missing_log
from engine.logsequel import (
    Belonging,
    Belongs,
    Following,
    Sequel,
    judge_belonging,
    judge_sequel,
)
from engine.setlog import data_member, log_archive, opened_file, opened_log
from settings.layout import DatabaseLayout

_SEQUELS = {
    Sequel.GAP: "{missing} in no set; a backup of 4D's own or New log file renewed the log in between: its archive"
    " (.4BL) or segment holds them",
    Sequel.RECREATED: "the log was made anew and counts from 0 again; what was done between that set and this is in no"
    " log",
    Sequel.FORK: "the log begins as before and then holds other operations, as after a restore of an older set",
    Sequel.SHORTER: "the log is shorter than it was then: its end was lost, or an older copy was put in its place",
    Sequel.OVERLAPS: "the log holds operations with the same numbers as the one before, as after a restore of an older"
    " set",
    Sequel.OTHER_DATA_FILE: "the log is of another data file than the one before",
    Sequel.OTHER_FORMAT: "the log has another format than the one before: 4D was upgraded",
}


@dataclass(frozen=True, slots=True)
class LogReport:
    """`notes` are lines for the journal; `missing` is 4D's error 1274, None when the log is there or none is known."""

    notes: tuple[str, ...] = ()
    missing: EngineError | None = None


def watch_log(
    folder: Path, before: Path | None, layout: DatabaseLayout, *, was_saved: bool
) -> LogReport:
    """Compare the log in a set with that in the set before, and with its data; nothing when it cannot be read.

    `was_saved`: a kept set holds one.
    """
    data = _data_facts(folder)
    with suppress(EngineError, OSError):
        if log_archive(folder) is not None:
            return LogReport(tuple(_notes(folder, before, data)))
    if data is None:  # none was asked for
        return LogReport()
    text = missing_log(layout, data.log, was_saved=was_saved)
    if text is None:
        return LogReport()
    return LogReport(missing=EngineError(text, hint=HINT, code=Code.LOG_UNAVAILABLE))


def _notes(folder: Path, before: Path | None, data: DataFacts | None) -> list[str]:
    notes: list[str] = []
    facts = _log_facts(folder)
    if facts is None:
        return notes
    if data is not None:
        notes += belonging_words(judge_belonging(data.last, data.datalink, facts))
    following = None if before is None else _following(folder, before)
    if before is not None and following is not None:
        notes += sequel_words(following, before.name)
    return notes


def sequel_words(following: Following, before: str) -> list[str]:
    """What a broken chain means; nothing for one that is not."""
    words = _SEQUELS.get(following.sequel)
    if words is None:
        return []
    missing = ""
    if following.missing is not None:
        first, last = following.missing
        missing = f"operation {first} is" if first == last else f"operations {first} to {last} are"
    return [f"Log : the chain is broken since {before}: {words.format(missing=missing)}"]


def belonging_words(belongs: Belongs) -> list[str]:
    """What 4D would say of the two after a restore; nothing when they fit."""
    match belongs.belonging:
        case Belonging.OTHER_DATA_FILE:
            return [
                "Log : it is of another data file than the one it lies beside; 4D will refuse it"
            ]
        case Belonging.DATA_AHEAD | Belonging.BEFORE_LOG:
            where = (
                "ends at"
                if belongs.belonging is Belonging.DATA_AHEAD
                else "begins behind that, it ends at"
            )
            words = f"the data are at operation {belongs.data}, their log {where} {belongs.log}"
            return [f"Log : {words}: it is an older or another log, and 4D may refuse it"]
        case _:
            return []


def _log_facts(folder: Path) -> LogFacts | None:
    with suppress(LogUnreadableError, EngineError, OSError):
        facts = log_archive(folder)
        if facts is not None:
            with opened_log(folder, facts) as reader:
                return read_log_facts(reader)
    return None


def _following(folder: Path, before: Path) -> Following | None:
    """What the log is to the one before; None when one of them cannot be read or is not there."""
    earlier, facts = _log_facts(before), log_archive(folder)
    if earlier is None or facts is None:
        return None
    with suppress(EngineError, OSError), opened_log(folder, facts) as reader:
        return judge_sequel(earlier, read_log_facts(reader), begins_so=begins_with(reader, earlier))
    return None


def _data_facts(folder: Path) -> DataFacts | None:
    with suppress(DataUnreadableError, EngineError, OSError):
        member = data_member(folder)
        if member is not None:
            with opened_file(folder, member) as reader:
                return None if reader is None else read_data_facts(reader)
    return None

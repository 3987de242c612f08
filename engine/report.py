"""What the Backup journal and the history say of each kind of operation. Pure."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from engine.errors import Code, EngineError
from engine.history import utc_text
from engine.journal import Entry, error_lines, local_time, one_line, reported
from engine.manifest import SetFacts
from engine.sets import Removal


@dataclass(frozen=True, slots=True)
class Times:
    """When an operation was due, began and ended (instants), and the zone the journal shows them in."""

    scheduled: datetime | None
    started: datetime
    ended: datetime
    zone: tzinfo

    def lines(self, colon: str) -> tuple[str, str, str]:
        """The three date lines; without a slot, `Scheduled` shows the start, as 4D does."""
        due = self.scheduled or self.started
        return (
            f"Scheduled{colon} {local_time(due, self.zone)}",
            f"Starting{colon} {local_time(self.started, self.zone)}",
            f"Ending{colon} {local_time(self.ended, self.zone)}",
        )


def published_entry(
    folder: str,
    facts: SetFacts,
    removals: tuple[Removal, ...],
    zone: tzinfo,
    notes: tuple[str, ...] = (),
) -> Entry:
    """`*** Full Backup`, complete or partial."""
    scheduled, starting, ending = Times(facts.scheduled, facts.started, facts.ended, zone).lines("")
    titles = {"main": "Creating archive", "log": "Creating log backup"}
    details = [one_line(f"{titles[role]} : {folder}/{name}") for role, name in facts.files]
    if removals:
        details.append("Deleting old archive(s):")
        details += [f"\t{one_line(str(removal.stored.folder))}" for removal in removals]
    if facts.attachments:
        details.append("Attachment(s): ")
        missing = set(facts.missing)
        details += [
            f"\t{one_line(path)} [{'NOT FOUND' if path in missing else 'OK'}]"
            for path in reversed(facts.attachments)
        ]
    details += [f"Not saved : {one_line(path)} ({one_line(why)})" for path, why in facts.skipped]
    details += [f"Left out : {one_line(path)} ({one_line(why)})" for path, why in facts.left_out]
    details.append(f"Checking archive : {'OK' if facts.checked else 'not asked for'}")
    details += [one_line(note) for note in notes]
    errors = () if facts.complete else reported(*partial_reason(facts))
    return Entry("*** Full Backup", (*details, scheduled), starting, errors, (ending,))


def partial_reason(facts: SetFacts) -> tuple[Code, str, str]:
    """Why a set is partial, in a sentence, and what to do."""
    lacking = [*facts.missing, *(path for path, _ in facts.skipped)]
    return (
        Code.BACKUP_FAILED,
        f"partial backup: {len(lacking)} of the listed files could not be saved, all else is in the set",
        "bring them back, or take them off what the settings select (General)",
    )


def aborted_entry(error: EngineError, times: Times, notes: tuple[str, ...] = ()) -> Entry:
    """`*** Full Backup aborted`."""
    scheduled, starting, ending = times.lines(" :")
    details = (*(one_line(note) for note in notes), scheduled)
    return Entry("*** Full Backup aborted", details, starting, error_lines(error), (ending,))


def simple_entry(
    title: str, lines: tuple[str, ...], times: Times, error: EngineError | None = None
) -> Entry:
    """Any other kind of entry, in the same shape."""
    _, starting, ending = times.lines(" :")
    errors = () if error is None else error_lines(error)
    return Entry(
        f"*** {title}", tuple(one_line(line) for line in lines), starting, errors, (ending,)
    )


def shutdown_failed_entry(why: str, times: Times) -> Entry:
    """`*** Shutdown hook failed`, after the entry of the backup it was to be told of."""
    hint = "the backup itself ended as the entry before says; correct the hook"
    error = EngineError(why, hint=hint, code=Code.DONE)
    return simple_entry("Shutdown hook failed", (), times, error)


def event(
    kind: str, times: Times, error: EngineError | None = None, **facts: str | int
) -> dict[str, Any]:
    """What the history keeps, under `backup4d`, of an operation that published no set."""
    row: dict[str, Any] = {"event": kind, **facts}
    if times.scheduled is not None:
        row["scheduledDate"] = utc_text(times.scheduled)
    row["startingDate"] = utc_text(times.started)
    row["endingDate"] = utc_text(times.ended)
    row["status"] = 0 if error is None else int(error.code or Code.BACKUP_FAILED)
    if error is not None:
        row["error"] = str(error)
    return row

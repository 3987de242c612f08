"""Writing down what happened: Backup journal in the package's Logs folder, history in the destination."""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from engine.anchor import anchored, known_name
from engine.errors import BusyError, EngineError
from engine.files import read_end
from engine.history import load_history, save_history, set_aside, with_event, with_sets
from engine.journal import Entry, append, current_journal, error_lines, one_line, render
from engine.lock import DESTINATION_LOCK, waiting_for
from engine.manifest import SetFacts
from engine.report import Times, aborted_entry, event, published_entry, simple_entry
from engine.sets import Removal, StoredSet

_log = logging.getLogger(__name__)
_TAIL_BYTES = 1 << 16


def _identity(folder: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = folder.stat()
        return found.st_dev, found.st_ino
    return None


class Recorder:
    """The two files administrators watch, for one database.

    `destination` is None until it is known to be usable; events are then only journaled.
    """

    def __init__(
        self, package: Path, structure: str, zone: tzinfo, data_file: Path | None = None
    ) -> None:
        """`data_file` is needed for `sets` alone: data files of one structure share its list in the history."""
        self._destination: Path | None = None
        self._identity: tuple[int, int] | None = None
        self.verbose = True
        self.structure = structure
        self.package = package
        self._data_file = data_file
        self._logs = package / "Logs"
        self.zone = zone

    @property
    def destination(self) -> Path | None:
        """Where the history is."""
        return self._destination

    @destination.setter
    def destination(self, folder: Path | None) -> None:
        self._destination = folder
        self._identity = None if folder is None else _identity(folder)

    def journal(self, entry: Entry) -> None:
        """Append one entry. Raises OSError."""
        append(self._logs, render(entry, verbose=self.verbose))

    def published(
        self,
        folder: Path,
        facts: SetFacts,
        removals: tuple[Removal, ...],
        notes: tuple[str, ...],
        problem: EngineError | None = None,
    ) -> None:
        """Journal a published set; `problem` is something wrong beside it. Raises OSError."""
        entry = published_entry(str(folder), facts, removals, self.zone, notes)
        if problem is not None:
            entry = replace(entry, errors=(*entry.errors, *error_lines(problem)))
        self.journal(entry)

    def sets(
        self,
        destination: Path,
        sets: tuple[StoredSet, ...],
        leaving: tuple[Removal, ...],
        now: datetime,
    ) -> None:
        """Bring the history up to date with the sets that stay; a damaged one is set aside first.

        The caller holds the destination's lock. Raises OSError.
        """
        document = self._load(destination, now)
        gone = {removal.stored.number for removal in leaving}
        staying = [stored for stored in sets if stored.number not in gone]
        present = {entry.name for entry in destination.iterdir()}

        def is_theirs(record: dict[str, Any]) -> bool:
            is_there = Path(str(record.get("backupPath"))).parent.name in present
            return is_there and record.get("dataPath") != str(self._data_file)

        save_history(destination, with_sets(document, self.structure, staying, is_theirs))

    def failed(
        self, kind: str, error: EngineError, times: Times, notes: tuple[str, ...] = ()
    ) -> None:
        """Journal and remember a failure; that must never hide the failure itself."""
        try:
            self.journal(aborted_entry(error, times, notes))
        except OSError as cause:
            _log.error("the Backup journal could not be written: %s", cause.strerror)
        self.event(event(kind, times, error))

    def died(self, error: EngineError, times: Times) -> None:
        """Journal a run that died and could not do it itself. Raises OSError."""
        self.journal(aborted_entry(error, times))
        self.event(event("backup", times, error))

    def event(self, row: dict[str, Any]) -> None:
        """Add an event to the history; when that fails, the journal has it all the same."""
        if self.destination is None or _identity(self.destination) != self._identity:
            return  # unmounted or exchanged: what lies there now is another disk's
        row = {"structurePath": self.structure, **row}
        try:
            with (
                anchored(self.destination, of=self.package) as held,
                waiting_for(held / DESTINATION_LOCK),
            ):
                document = load_history(held)
                if document.damage is None:
                    save_history(held, with_event(document.document, row))
        except (OSError, BusyError) as cause:
            _log.warning("the history in %s could not be written: %s", self.destination, cause)

    def is_journaled(self, folder: Path) -> bool:
        """Whether the current journal already tells of a set (a run died right after writing it)."""
        with suppress(OSError):
            file = current_journal(self._logs)
            if file is not None:
                told = one_line(f"Creating archive : {folder}/").encode()
                return told in read_end(file, _TAIL_BYTES)
        return False

    def _load(self, destination: Path, now: datetime) -> dict[str, Any]:
        loaded = load_history(destination)
        if loaded.damage is not None:
            aside = set_aside(destination, now)
            lines = (
                f"The history was damaged ({loaded.damage}) and is kept as {known_name(aside)}",
                "It was rebuilt from the manifests of the sets",
            )
            times = Times(None, now, now, self.zone)
            with suppress(OSError):  # the rebuilt history matters more than the note about it
                self.journal(simple_entry("History rebuilt", lines, times))
        return loaded.document

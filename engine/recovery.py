"""What a run that died left behind: half-made work is removed, a published set is recorded, both are journaled."""

from datetime import datetime
from pathlib import Path
from typing import Any

from engine.anchor import anchored, known_name
from engine.errors import EngineError
from engine.files import remove_tree
from engine.host import Clock
from engine.lock import DESTINATION_LOCK, Lock, instant_in, waiting_for
from engine.manifest import SetFacts, read_set_facts
from engine.records import Recorder
from engine.report import Times
from engine.sets import database_tag, is_leftover, set_name, take_inventory
from engine.staging import is_of_another_writer, is_still, own_tag
from engine.workplace import remove_own_dead
from settings.layout import DatabaseLayout


def clean_up(
    lock: Lock, recorder: Recorder, destination: Path, layout: DatabaseLayout, clock: Clock
) -> list[str]:
    """Bring everything in order before the next run; what cannot be done now is left for later, and said."""
    traces = lock.left_behind
    where = Path(str(traces.get("destination"))) if traces and traces.get("destination") else None
    warnings: list[str] = []
    for folder in {destination, where} - {None}:
        if folder is not None:
            warnings += remove_leftovers(folder, layout)
    if traces is None:
        return warnings
    try:
        _record_dead_run(traces, where, recorder, layout, clock.now())
        lock.note(None)
        lock.left_behind = None
    except (OSError, EngineError) as error:
        # no room or no disk: the run that follows meets it, too, and says so; the traces stay until it begins
        warnings.append(f"what became of the run that died before could not be recorded: {error}")
    return warnings


def remove_leftovers(destination: Path, layout: DatabaseLayout) -> list[str]:
    """Remove half-made work, one by one; what cannot be removed is said."""
    data_file, package = layout.data_file, layout.package
    # a name without a writer was given by an older release, on this machine
    tags = (database_tag(data_file), own_tag(data_file, package))
    try:
        with anchored(destination, of=package) as held:
            entries = list(held.iterdir())
            leftovers = [one for one in entries if any(is_leftover(one.name, tag) for tag in tags)]
            others = [one for one in entries if is_of_another_writer(one.name, data_file, package)]
            dead = [one for one in others if is_still(one)]
            warnings = [warning for one in leftovers + dead for warning in _remove(one)]
            remove_own_dead(held, tags[1])  # where an import was killed
            return warnings + [_left_alone(one) for one in others if one not in dead]
    except OSError:
        return []  # absent or failing: the checks of the destination say what is wrong with it


def _left_alone(staging: Path) -> str:
    return (
        f"{known_name(staging)} is left alone: another machine, or another copy of this application, may be writing"
        " it; one that died is removed when nothing in it has changed for a day"
    )


def _remove(leftover: Path) -> list[str]:
    try:
        if leftover.is_dir() and not leftover.is_symlink():
            remove_tree(leftover)
        else:
            leftover.unlink()
    except OSError as error:
        name, why = known_name(leftover), error.strerror
        return [f"{name}, left by a run that died, could not be removed: {why}"]
    return []


def _record_dead_run(
    traces: dict[str, Any],
    destination: Path | None,
    recorder: Recorder,
    layout: DatabaseLayout,
    now: datetime,
) -> None:
    started = instant_in(traces, "since") or now
    times = Times(instant_in(traces, "scheduled"), started, now, recorder.zone)
    number = traces.get("number")
    result = "nothing of it was published, and the sets that are there are untouched"
    if destination is not None and isinstance(number, int):
        data_file = Path(str(traces.get("data_file", layout.data_file)))
        folder = destination / set_name(data_file.stem, number)
        try:
            facts = read_set_facts(folder)
        except EngineError as failure:
            if folder.exists():
                result = f"whether {folder.name} is of it cannot be told: {failure}"
        else:
            if facts.started.replace(microsecond=0) == started.replace(microsecond=0):
                _record_published(folder, facts, recorder, layout, now)
                return
    error = EngineError(
        f"the run that started then died before it was done (process {traces.get('pid', 'unknown')}); {result}",
        hint="it was killed, it crashed, or the machine went down; see the system's log of that time",
    )
    recorder.died(error, times)


def _record_published(
    folder: Path, facts: SetFacts, recorder: Recorder, layout: DatabaseLayout, now: datetime
) -> None:
    """It died between publishing and recording: the set is whole, only the words were missing."""
    # the journal first: the history gets every set that is there from the run that follows
    if not recorder.is_journaled(folder):
        note = "Recorded by the run after it: the run died after the set was published"
        recorder.published(folder, facts, (), (note,))
    destination = folder.parent
    if facts.data_file != str(layout.data_file):
        return  # another one of this package: its own next backup writes the history
    with anchored(destination, of=layout.package) as held, waiting_for(held / DESTINATION_LOCK):
        sets = take_inventory(destination, layout.data_file.stem, layout.data_file).sets
        recorder.sets(held, sets, (), now)

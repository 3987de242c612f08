"""Sets of this path that were made on another machine: another application's, or this one's from before it moved.

Nothing tells which. So rotation leaves them alone until a person says that this machine has taken the other's place.
"""

import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.lock import memory_of
from engine.machine import is_another, mark_of, name_of, this_machine
from engine.request import Request
from engine.sets import StoredSet
from settings.layout import DatabaseLayout

Marks = frozenset[str | None]


def own_marks(memory: dict[str, Any]) -> Marks:
    """This machine, and those whose place it has taken, as the lock's memory knows them."""
    taken = memory.get("machines")
    marks = (mark for mark in (taken if isinstance(taken, list) else ()) if isinstance(mark, str))
    return frozenset((mark_of(this_machine()), *marks))


def marks_of(layout: DatabaseLayout) -> Marks:
    """The same, read for a layout; a memory that cannot be read knows this machine alone."""
    memory: dict[str, Any] = {}
    with suppress(OSError):
        memory = memory_of(layout)
    return own_marks(memory)


def own_sets(sets: tuple[StoredSet, ...], layout: DatabaseLayout) -> tuple[StoredSet, ...]:
    """Those of this machine, for what is said of it; all while it has made none itself."""
    return split_sets(sets, marks_of(layout))[0] or sets


def taken_over(marks: Marks) -> list[str]:
    """What of it is to be remembered: not this machine itself, for memory may be copied to another with the application."""
    here = mark_of(this_machine())
    return sorted(mark for mark in marks if mark not in (None, here))


def split_sets(
    sets: Iterable[StoredSet], marks: Marks
) -> tuple[tuple[StoredSet, ...], tuple[StoredSet, ...]]:
    """Those that may have been made on these machines, and those that certainly were not; in their order."""
    ours: list[StoredSet] = []
    theirs: list[StoredSet] = []
    for stored in sets:
        (theirs if is_another(stored.facts.machine, marks) else ours).append(stored)
    return tuple(ours), tuple(theirs)


def judge_sets(
    sets: tuple[StoredSet, ...], marks: Marks, request: Request
) -> tuple[tuple[StoredSet, ...], Marks, list[str]]:
    """The sets that rotation may take, the machines that count as this one now, and what is to be said of that."""
    ours, theirs = split_sets(sets, marks)
    if not theirs:
        return ours, marks, []
    if not request.accept_destination:
        return ours, marks, [_left_alone(theirs, request.layout.package)]
    words = f"sets made on another machine ({_machines(theirs)}) count as this one's from now on"
    return sets, marks | {mark_of(stored.facts.machine) for stored in theirs}, [words]


def _machines(sets: tuple[StoredSet, ...]) -> str:
    return ", ".join(sorted({name_of(stored.facts.machine) for stored in sets}))


def _left_alone(theirs: tuple[StoredSet, ...], package: Path) -> str:
    """What a backup says of sets that it leaves to others."""
    names = ", ".join(stored.folder.name for stored in theirs[-3:])
    more = f" and {len(theirs) - 3} older ones" if len(theirs) > 3 else ""
    return (
        f"{names}{more} of the same path were made on another machine ({_machines(theirs)}) and are left alone: give each"
        " machine a backup folder of its own, or, when this one has taken the other's place, run once: backup4d backup"
        f" --accept-destination {shlex.quote(str(package))}"
    )

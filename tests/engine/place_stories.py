"""Restoring in place, as the command does it, on the small application of stories.py."""

from pathlib import Path
from typing import Any

from engine.host import Clock
from engine.lock import DATABASE_LOCK, read_traces
from engine.logplan import LogMode
from engine.member import Role
from engine.progress import Progress, silent
from engine.restore import Restored
from engine.restorelogs import LogWish
from engine.restoring import Told, restore_in_place_recorded
from engine.selection import Selection
from engine.sets import take_inventory
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.layout import DatabaseLayout
from tests.engine.stories import PARIS, App

EVERYTHING = Selection()
DATA_ONLY = Selection((), frozenset({Role.DATA, Role.LOG}))


def restore_in_place(
    app: App,
    *,
    number: int | None = None,
    selection: Selection = EVERYTHING,
    mode: LogMode = LogMode.SET,
    layout: DatabaseLayout | None = None,
    **how: Any,
) -> Restored:
    """Restore a set, else the newest, in the place of the live application."""
    layout = layout or app.layout
    sets = take_inventory(app.destination, layout.data_file.stem, layout.data_file).sets
    chosen = next(one for one in reversed(sets) if number in {None, one.number})
    wish = LogWish(mode, PARIS, layout, sets)
    told = told_of(app, layout, **how)
    protected = (app.destination,)
    return restore_in_place_recorded(chosen.folder, layout, selection, wish, protected, told)


def told_of(
    app: App,
    layout: DatabaseLayout,
    *,
    stop: StopRequest | None = None,
    report: Any = silent,
    clock: Clock | None = None,
) -> Told:
    return Told(layout, PARIS, Surroundings(clock or app.clock, stop or StopRequest(), report))


def traces(app: App) -> dict[str, Any] | None:
    """What the lock says of a run that died."""
    return read_traces(app.package / "Logs" / DATABASE_LOCK)


def hidden_work(*folders: Path) -> list[str]:
    """What is left of half-made restores."""
    return sorted(str(p) for folder in folders for p in folder.rglob(".backup4d-*") if _is_work(p))


def _is_work(place: Path) -> bool:
    return "restoring" in place.name or "exchange" in place.name


class AskedToStop:
    """Asks for the stop when the n-th thing is told."""

    def __init__(self, at: int) -> None:
        self.stop = StopRequest()
        self.left = at

    def report(self, _: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.ask()

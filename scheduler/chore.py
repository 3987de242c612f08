"""A drill or a scrub in the child process: looks once more whether it is due, makes it, and says how it ended."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.drill import DrillOrder, drill_recorded
from engine.errors import Code, EngineError, StoppedError
from engine.history import event_rows, load_history
from engine.scrub import scrub_set
from engine.sets import Inventory, StoredSet
from engine.setwriter import Surroundings
from scheduler.context import look_for_sets
from scheduler.due import drill_due
from scheduler.proof import (
    TEXT_LENGTH,
    Drilled,
    LastDrill,
    NotNow,
    Scrubbed,
    Told,
    Verified,
    drills_told,
    newest_drill,
    newest_verdicts,
    proof_from_json,
    verifications_told,
)
from scheduler.runner_request import hook_from_json
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.service_model import Drill

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FUTURE = timedelta(hours=1)


def run_chore(row: Mapping[str, Any], around: Surroundings) -> Told:
    """Make what the service asks for."""
    try:
        layout = locate_database(Path(row["package"]), Path(row["data_file"]), needs_settings=False)
        inventory = look_for_sets(layout, Path(row["destination"]))
        if row["chore"] == "drill":
            return _drill(row, layout, inventory, around)
        return _scrub(row, layout, inventory, around)
    except (EngineError, SettingsError) as error:
        return NotNow(str(error))
    except OSError as error:
        return NotNow(f"{error.filename or row['destination']}: {error.strerror}")


def _drill(
    row: Mapping[str, Any], layout: DatabaseLayout, inventory: Inventory, around: Surroundings
) -> Told:
    complete = [stored for stored in inventory.sets if stored.facts.complete]
    if not complete:
        return NotNow("there is no complete set to restore")
    now = around.clock.now()
    drill = Drill(timedelta(seconds=row["every"]), Path(row["scratch"]))
    last, known = _newest_told(row, layout), proof_from_json(row["proof"]).drill
    is_news = last is not None and (known is None or last.ended > known.ended)
    if last is not None and is_news and drill_due(drill, last, ZoneInfo(row["zone"]), now) > now:
        return Drilled(last, by_hand=True)
    return _make_drill(row, layout, complete[-1], around)


def _newest_told(row: Mapping[str, Any], layout: DatabaseLayout) -> LastDrill | None:
    return newest_drill(*drills_told(_events(row, layout, "drill")))


def _make_drill(
    row: Mapping[str, Any], layout: DatabaseLayout, stored: StoredSet, around: Surroundings
) -> Told:
    order = DrillOrder(Path(row["scratch"]), row["room_limit"], hook_from_json(row["check"]))
    try:
        proven = drill_recorded(stored.folder, order, layout, ZoneInfo(row["zone"]), around)
    except StoppedError as error:
        return NotNow(str(error))
    except EngineError as error:
        code = int(error.code or Code.BACKUP_FAILED)
        text = str(error)[:TEXT_LENGTH]
        return Drilled(LastDrill(around.clock.now(), stored.number, 0.0, code, text))
    return Drilled(LastDrill(around.clock.now(), proven.number, proven.seconds, 0, ""))


def _scrub(
    row: Mapping[str, Any], layout: DatabaseLayout, inventory: Inventory, around: Surroundings
) -> Told:
    now = around.clock.now()
    since = _last_read(row, layout, inventory, now)
    if not since:
        return Scrubbed(None, was_damaged=False, is_repaired=False, kept=(), oldest=now)
    name = min(since, key=lambda one: (since[one], one))
    if since[name] + timedelta(seconds=row["after"]) > now:
        return Scrubbed(None, False, False, tuple(since), since[name])
    reread = scrub_set(Path(row["destination"]) / name, layout, ZoneInfo(row["zone"]), around)
    ended = around.clock.now()
    others = [at for one, at in since.items() if one != name]
    return Scrubbed(
        Verified(name, ended, reread.code, reread.text[:TEXT_LENGTH]),
        reread.was_damaged,
        reread.is_repaired,
        tuple(since),
        min([*others, ended]),
    )


def _last_read(
    row: Mapping[str, Any], layout: DatabaseLayout, inventory: Inventory, now: datetime
) -> dict[str, datetime]:
    """When each set there is was last read whole: when it was made and checked, by the scrub, or by hand.

    What a wrong clock dates ahead of now does not count.
    """
    known = proof_from_json(row["proof"]).verified
    told = verifications_told(_events(row, layout, "verification"))
    sane = [one for one in (*known, *told) if one.at <= now + _FUTURE]
    verdicts = newest_verdicts(sane)
    since = {
        stored.folder.name: stored.facts.ended
        if stored.facts.checked and stored.facts.ended <= now + _FUTURE
        else _NEVER
        for stored in inventory.sets
    }
    folder = Path(row["destination"])
    since |= {name: _NEVER for name, _ in inventory.unreadable if not (folder / name).is_symlink()}
    return {
        name: max(at, verdicts[name].at) if name in verdicts else at for name, at in since.items()
    }


def _events(row: Mapping[str, Any], layout: DatabaseLayout, kind: str) -> list[dict[str, Any]]:
    return event_rows(load_history(Path(row["destination"])).document, layout.key, kind)

"""Kinds of files in the package: settings, the lock with what it remembers, journal, records of restores and looks."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import engine.swap
from engine.host import HostClock
from engine.inplace import RECORD as EXCHANGE
from engine.lock import DATABASE_LOCK, holding
from engine.openrecord import RECORD
from engine.sets import plan_rotation, take_inventory
from engine.swap import Swap, with_digest
from settings.errors import SettingsError
from settings.reader import load_settings
from tests.damage.child import Facts, Told
from tests.damage.kinds import Kind, Stage, backs_up, digests, judge_history, judge_sets, said
from tests.damage.of_sets import SERVICE, three_sets
from tests.engine.opening_stories import database
from tests.engine.place_stories import restore_in_place
from tests.engine.stories import App, make_app, patterned, verified

# --- settings -------------------------------------------------------------------------------------


def _settings(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.package / "Settings" / "backup.4DSettings")


def _use_settings(stage: Stage) -> Facts:
    return backs_up(
        stage,
        ("settings", "check"),
        in_turn=(("settings", "explain"), ("settings", "show"), ("status",), ("list",)),
    )


def _judge_settings(stage: Stage, told: Told) -> str:
    """Refused, or followed as they read; no set goes that they keep."""
    app = stage.app
    sets = take_inventory(stage.then(app.destination), "data", app.data_file).sets
    try:
        rotation = load_settings(stage.file).settings.rotation
    except SettingsError:
        came = judge_sets(stage, told, may_go=frozenset())
        if told.facts.get("backup", {}).get("code") == 0:
            raise AssertionError("a backup with settings that cannot be read") from None
        assert told.facts["printed"][0]["code"] != 0, "settings check finds them good"
        return came
    if found := _elsewhere(stage, told):
        return found
    planned = plan_rotation(sets, rotation, coming=True)
    return judge_sets(stage, told, may_go=frozenset(one.stored.folder.name for one in planned))


def _elsewhere(stage: Stage, told: Told) -> str:
    """A byte of the destination makes another good path: the set goes there, with a number never used before."""
    found = re.search(r"set (\d+) is complete: (.+)", told.facts.get("backup", {}).get("text", ""))
    if found is None or Path(found[2]).parent == stage.app.destination:
        return ""
    assert int(found[1]) > 3
    assert verified(Path(found[2])).good
    assert digests(stage.app.destination) == digests(stage.then(stage.app.destination))
    return "went elsewhere, and said where"


# --- the lock -------------------------------------------------------------------------------------


def _lock(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.package / "Logs" / DATABASE_LOCK)


def _lock_of_the_dead(folder: Path) -> Stage:
    """A run died, and says so there."""
    app = three_sets(folder)
    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup") as lock:
        lock.note(
            {
                "doing": "a backup",
                "pid": 1,
                "host": "here",
                "since": HostClock().now().isoformat(timespec="seconds"),
                "scheduled": "2026-01-10T02:30:00+00:00",
                "number": 4,
                "destination": str(app.destination),
            }
        )
    return Stage(app, folder, app.package / "Logs" / DATABASE_LOCK)


def _use_lock(stage: Stage) -> Facts:
    return backs_up(stage, in_turn=(("status",), ("schedule", "--missed-since", "2026-01-01")))


def _judge_lock(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    if came == "refused":
        assert DATABASE_LOCK in said(told), "the refusal does not name it"
        return came
    judge_history(stage)
    return came


# --- the journal ----------------------------------------------------------------------------------


def _journal(folder: Path) -> Stage:
    app = three_sets(folder)
    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup") as lock:
        # of a run that died: whether it was journaled is looked up
        lock.note(
            {
                "doing": "a backup",
                "number": 3,
                "destination": str(app.destination),
                "since": _start_of(app, 3),
            }
        )
    return Stage(app, folder, app.package / "Logs" / "Backup Journal[001].txt")


def _start_of(app: App, number: int) -> str:
    sets = take_inventory(app.destination, "data", app.data_file).sets
    return next(one.facts.started for one in sets if one.number == number).isoformat(
        timespec="seconds"
    )


def _judge_journal(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    assert came == "went on", "a journal that cannot be written keeps nobody from backing up"
    judge_history(stage)
    data = (
        stage.file.read_bytes()
        if stage.file.is_file() and stage.file.stat().st_size < 1 << 26
        else b""
    )
    if b"data[0004]" in data:
        return "went on"
    journals = stage.app.package.glob("Logs/Backup Journal*.txt")
    if any(
        one != stage.file and b"data[0004]" in one.read_bytes() for one in journals if one.is_file()
    ):
        return "in another file"
    assert "ournal" in said(told), "no entry, and nobody is told"
    return "told"


# --- a restore in place that died -----------------------------------------------------------------


def _dead_restore(folder: Path, *, lock: bool) -> Stage:
    """All was exchanged, and the process killed before it could say so."""
    app = make_app(folder / "here", attachments=("./Data/",))
    app.backup()
    app.data_file.write_bytes(patterned(4000, seed=2))
    (app.package / "Project" / "late.txt").write_text("late")
    (folder / "here" / "service.xml").write_text(SERVICE.format(""))
    (folder / "here" / "state").mkdir()
    old = _state(app)
    process = os.fork()
    if process == 0:
        engine.swap._make_durable = _die
        restore_in_place(app)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    (folder / "old.json").write_text(json.dumps(old))
    (record,) = app.package.glob(f"*/{EXCHANGE}")
    file = app.package / "Logs" / DATABASE_LOCK if lock else record
    return Stage(app, folder, file, lambda: _with_inodes_of_now(record))


def _die(swap: Swap) -> None:  # noqa: ARG001 - in place of a function that takes one
    os.kill(os.getpid(), signal.SIGKILL)


def _with_inodes_of_now(record: Path) -> None:
    """A copy of the story has other inodes, and the record tells of them."""
    row = json.loads(record.read_bytes())
    del row["sha256"]
    for one in row["backup4d-exchange"]:
        if one["fresh"] is not None:
            one["inode"] = Path(one["live"]).lstat().st_ino
    record.write_text(json.dumps(with_digest(row)))


def _state(app: App) -> dict[str, str]:
    """The application without journals, locks and what was put aside."""
    found = digests(app.package)
    return {
        name: digest
        for name, digest in found.items()
        if not name.startswith(("Logs/", "Replaced", ".backup4d-"))
    }


def _undoes(stage: Stage) -> Facts:
    return {"printed": [], "backup": stage.types("backup", stage.app.package)}


def _judge_undone(stage: Stage, told: Told) -> str:
    """As it was before the restore; or refused, with every byte where it was, and said so each time."""
    assert not told.fault, told.fault
    old = json.loads((stage.here.parent / "old.json").read_text())
    now = _state(stage.app)
    for digest in old.values():
        assert digest in digests(stage.app.package).values(), "bytes are lost"
    if told.facts["backup"]["code"] == 0:
        if "was done" in told.facts["backup"]["text"]:  # its removal is what says that all was done
            assert not os.path.lexists(stage.file), "it is there"
            return "taken for done"
        assert now == old, (
            f"told as undone, and it is not: {sorted(set(now.items()) ^ set(old.items()))}"
        )
        return "undone"
    assert now == _then(stage), "refused, and files were moved"
    text = told.facts["backup"]["text"]
    assert "restore in place" in text or DATABASE_LOCK in text, text
    return "refused"


def _then(stage: Stage) -> dict[str, str]:
    found = digests(stage.then(stage.app.package))
    return {
        name: digest
        for name, digest in found.items()
        if not name.startswith(("Logs/", "Replaced", ".backup4d-"))
    }


# --- opening checks -------------------------------------------------------------------------------


def _open_check(folder: Path) -> Stage:
    app = database(folder / "here")
    app.backup()
    (folder / "here" / "service.xml").write_text(SERVICE.format(""))
    (folder / "here" / "state").mkdir()
    stage = Stage(app, folder, app.package / "Logs" / RECORD)
    assert stage.types("open-check", app.package)["code"] == 0
    shutil.rmtree(folder / "template")
    return Stage(app, folder, app.package / "Logs" / RECORD)


def _looks(stage: Stage) -> Facts:
    return {
        "printed": [
            stage.types("open-check", stage.app.package),
            stage.types("status", stage.app.package),
        ]
    }


def _judge_look(stage: Stage, told: Told) -> str:
    """A good data file is never replaced on the word of a record."""
    came = judge_sets(stage, told)
    assert came == "refused"
    look = told.facts["printed"][0]
    assert "restored" not in look["text"].lower() or "nothing" in look["text"].lower(), look
    return "good" if look["code"] == 0 else "a doubt is told"


KINDS = (
    Kind("settings", _settings, _use_settings, _judge_settings),
    Kind("lock", _lock, _use_lock, _judge_lock),
    Kind("lock of a dead run", _lock_of_the_dead, _use_lock, _judge_lock),
    Kind("journal", _journal, backs_up, _judge_journal),
    Kind(
        "record of a dead restore in place",
        lambda folder: _dead_restore(folder, lock=False),
        _undoes,
        _judge_undone,
    ),
    Kind(
        "lock of a dead restore in place",
        lambda folder: _dead_restore(folder, lock=True),
        _undoes,
        _judge_undone,
    ),
    Kind("record of opening checks", _open_check, _looks, _judge_look),
)

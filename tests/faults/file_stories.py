"""Single files under faults: the service's state, the settings, the history, the journal."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.errors import EngineError
from engine.history import load_history, save_history, with_event
from engine.journal import append
from engine.lock import DATABASE_LOCK, current_holder, holding, read_memory, read_traces
from scheduler.known import Known
from scheduler.state import LastRun, State, load_state, save_state
from settings.errors import SettingsError
from settings.model import Daily, RetryOnce
from settings.reader import load_settings
from settings.writeback import write_setting
from tests.engine.stories import KEEP, App, make_app
from tests.faults.backup_stories import NEXT, START, at_the_time
from tests.faults.scenes import Scene, Story, contents
from tests.faults.shim import Ended, Fault
from tests.faults.survivors import assert_tidy

_OLD = State(
    package="/srv/app",
    known=Known(
        schedule=Daily(1, START.time().replace(tzinfo=None)),
        retry=RetryOnce(timedelta(minutes=1)),
        zone=ZoneInfo("Europe/Paris"),
        anchor=START.date(),
        answered_until=START,
    ),
    number=7,
)
_NEW = replace(_OLD, last=LastRun(NEXT, 0, "set 8 is complete " + "x" * 9000, 8), number=8)
_LOCK = f"Logs/{DATABASE_LOCK}"
_RECORD = {"doing": "a story", "number": 8}
_MEMORY = {"number": 7, "destination": "/srv/backups", "separate": False}
_STATE = "state/data.json"
_EVENT = {"event": "postponed", "note": "y" * 9000}
_ENTRY = "*** Verification\nSet : " + "z" * 9000 + "\nResult : OK\n\n"


def _plain(folder: Path) -> App:
    app = make_app(folder, {KEEP: "2"})
    (app.package / "Logs").mkdir()
    app.backup()
    return app


def _with_state(folder: Path) -> App:
    save_state(folder / _STATE, _OLD)
    return _plain(folder)


def _tried(act: Callable[[], object]) -> dict[str, Any]:
    try:
        act()
    except (OSError, EngineError, SettingsError) as error:
        return {"failed": str(error)}
    return {"done": True}


def _save_state(app: App) -> dict[str, Any]:
    return _tried(lambda: save_state(app.package.parent / _STATE, _NEW))


def _save_history(app: App) -> dict[str, Any]:
    def save() -> None:
        document = load_history(app.destination).document
        save_history(app.destination, with_event(document, _EVENT))

    return _tried(save)


def _append(app: App) -> dict[str, Any]:
    return _tried(lambda: append(app.package / "Logs", _ENTRY))


def _set_hour(app: App) -> dict[str, Any]:
    file = app.package / "Settings" / "backup.4DSettings"
    return _tried(lambda: write_setting(file, "SetNumber/Value", "3"))


def _either(scene: Scene, ended: Ended, name: str) -> bool:
    """The file is as it was, or as it was to be; True for the latter. What is reported done is done."""
    assert "traceback" not in ended.said, ended.said["traceback"]
    then, now = contents(scene.template), contents(scene.here)
    assert now.keys() >= then.keys(), f"gone: {then.keys() - now.keys()}"
    changed = {path for path, data in then.items() if now[path] != data}
    assert changed <= {name}, f"changed: {changed}"
    if ended.said.get("done"):
        assert changed, "said to be done, and it is as it was"
    return bool(changed)


def _judge_state(scene: Scene, ended: Ended, _: Fault) -> None:
    changed = _either(scene, ended, _STATE)
    state = load_state(scene.here / _STATE)
    assert state == (_NEW if changed else _OLD), "half a state"
    save_state(scene.here / _STATE, _NEW)
    assert load_state(scene.here / _STATE) == _NEW
    assert_tidy(scene)


def _judge_history(scene: Scene, ended: Ended, _: Fault) -> None:
    changed = _either(scene, ended, "backups/backupHistory.json")
    loaded = load_history(scene.app.destination)
    assert loaded.damage is None, loaded.damage
    rows = loaded.document.get("backup4d", [])
    assert rows == ([_EVENT] if changed else []), "half a history"
    save_history(scene.app.destination, with_event(loaded.document, _EVENT))
    assert_tidy(scene)


def _judge_journal(scene: Scene, ended: Ended, fault: Fault) -> None:
    _either(scene, ended, "app/Logs/Backup Journal[001].txt")
    before = (scene.template / "app/Logs/Backup Journal[001].txt").read_text()
    torn = scene.app.journal().removeprefix(before)
    if ended.said.get("done"):
        assert torn == _ENTRY, f"said to be written, and it is {torn[:100]!r}"
    elif not ended.killed and fault.first == fault.last:
        assert torn == "", f"it failed, and half of it is there: {torn[:100]!r}"
    assert _ENTRY.startswith(torn.rstrip("\n"))
    append(scene.app.package / "Logs", "*** Next\n\n")
    closed = scene.app.journal().removeprefix(before).removesuffix("*** Next\n\n")
    assert closed in ("", torn.rstrip("\n") + "\n\n"), f"not closed: {closed[-100:]!r}"


def _judge_settings(scene: Scene, ended: Ended, _: Fault) -> None:
    file = scene.app.package / "Settings" / "backup.4DSettings"
    name = str(file.relative_to(scene.here))
    changed = _either(scene, ended, name)
    old = (scene.template / name).read_bytes()
    new = old.replace(b"<SetNumber><Value>2</Value>", b"<SetNumber><Value>3</Value>")
    assert file.read_bytes() == (new if changed else old), "half the settings"
    assert (file.stat().st_mode, file.stat().st_uid) == (
        (scene.template / name).stat().st_mode,
        (scene.template / name).stat().st_uid,
    )
    load_settings(file)
    write_setting(file, "SetNumber/Value", "3")
    assert file.read_bytes() == new
    at_the_time(scene.app, NEXT).backup_set()
    assert_tidy(scene)


def _note(app: App) -> dict[str, Any]:
    def note() -> None:
        with holding(app.package / _LOCK, "a story") as lock:
            lock.note(_RECORD)
            lock.remember(_MEMORY)

    return _tried(note)


def _judge_lock(scene: Scene, ended: Ended, _: Fault) -> None:
    """A record is the old or the new one; nobody holds the lock, and it can be taken again."""
    file = scene.app.package / _LOCK
    assert "traceback" not in ended.said, ended.said["traceback"]
    assert current_holder(file) is None
    traces, memory = read_traces(file), read_memory(file)
    assert traces in (None, _RECORD), traces
    assert memory in (read_memory(scene.template / "app" / _LOCK), _MEMORY), memory
    if ended.said.get("done"):
        assert (traces, memory) == (_RECORD, _MEMORY), "said to be noted, and it is not"
    assert _note(scene.app) == {"done": True}


FILE_STORIES = {
    story.name: story
    for story in (
        Story("state", _with_state, _save_state, _judge_state, failing=("state",)),
        Story("lock", _plain, _note, _judge_lock, failing=("app/Logs",)),
        Story("history", _plain, _save_history, _judge_history, failing=("backups",)),
        Story("journal", _plain, _append, _judge_journal, failing=("app/Logs",)),
        Story("settings", _plain, _set_hour, _judge_settings, failing=("app/Settings",)),
    )
}

"""Imports under faults: a backup of 4D's is a whole set or none, the archives and the sets that were there stay as they are."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.fourd.importing import Into, import_backup
from engine.fourd.origin import find_origin
from settings.reader import load_settings
from tests.engine.fourd_stories import PLAIN, archive, content
from tests.engine.logs import changes, log
from tests.engine.stories import KEEP, PARIS, App, make_app, pass_a_day, patterned
from tests.fakes import StoryClock
from tests.faults.backup_stories import NEXT, START, at_the_time, said_of
from tests.faults.scenes import Scene, Story, contents
from tests.faults.shim import Ended, Fault
from tests.faults.survivors import (
    assert_records,
    assert_sound,
    assert_tidy,
    assert_whole_journal,
    journal_of,
)

_SET, _OLD = "data[0002]", "old"
_FILES = {
    "./data.4DD::DataFile": content(70_000, 21),
    "./Project/App.4DProject::": b"{}",
    "./Settings/settings.4DSettings::": b"<settings/>",
}


def _made(folder: Path) -> App:
    """One set of our own, and a backup that 4D made after it."""
    app = make_app(folder, {KEEP: "3"}, data=patterned(3000))
    (app.package / "Logs").mkdir()
    app.backup()
    pass_a_day(app)
    (folder / _OLD).mkdir()
    (folder / _OLD / "data[0002].4BK").write_bytes(archive(_FILES))
    (folder / _OLD / "data[0001].4BL").write_bytes(
        archive({"./data.journal::": log(*changes(1, 5))})
    )
    return app


def take_in(app: App) -> dict[str, Any]:
    """One import, and how it ended."""
    origin = find_origin(app.package.parent / _OLD / "data[0002].4BK")
    when = START - timedelta(hours=1)
    origin = replace(origin, started=when, ended=when, source="what was typed")
    into = Into(app.layout, load_settings(app.layout.settings_file), app.destination, PARIS)
    try:
        imported = import_backup(origin, into, PLAIN, StoryClock(START))
    except EngineError as error:
        return said_of(error)
    return {"published": imported.folder.name, "notes": list(imported.notes)}


def judge_import(scene: Scene, ended: Ended, fault: Fault) -> None:
    """The set is there and whole, or is not there; whoever comes next, a backup or the same import, goes on."""
    app = scene.app
    seen = assert_sound(scene, may_be_gone=frozenset(), new=_SET)
    assert contents(scene.here / _OLD) == contents(scene.template / _OLD), "the archives changed"
    if not ended.killed:
        _assert_said(ended, fault, is_there=_SET in seen)
    journal = journal_of(app)
    if fault.first % 2:
        again = take_in(app)
        is_refused = "is there already" in again.get("failed", "")
        assert is_refused if _SET in seen else again.get("published") == _SET, again
    newest = at_the_time(app, NEXT).backup_set()
    number = 3 if _SET in app.sets() and newest.name != _SET else 2
    assert newest.name == f"data[{number:04d}]", newest
    assert_whole_journal(journal_of(app), journal)
    assert_records(app)
    assert_tidy(scene)


def _assert_said(ended: Ended, fault: Fault, *, is_there: bool) -> None:
    said = ended.said
    assert "traceback" not in said, said.get("traceback")
    if "failed" not in said:
        assert is_there, f"it says {said}, and there is no set"
        return
    hit = ended.calls[fault.first - 1 : fault.last]
    if not any(".backup4d-staging-" in call.path for call in hit):
        assert not is_there, f"it says {said['failed']}, and the set is there"
    assert said["hint"], said
    assert "\n" not in said["failed"], said


IMPORT_STORIES = {story.name: story for story in (Story("imported", _made, take_in, judge_import),)}

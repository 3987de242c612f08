"""Restores under faults: the target is whole or is not there, the sets and the application are as they were."""

from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.progress import silent
from engine.restoring import Told, restore_recorded
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from tests.engine.place_stories import restore_in_place
from tests.engine.stories import DAY, KEEP, PARIS, App, make_app, pass_a_day, patterned, tree
from tests.fakes import StoryClock
from tests.faults.backup_stories import NEXT, START, at_the_time, said_of
from tests.faults.scenes import Scene, Story, contents
from tests.faults.shim import Ended, Fault, Kind
from tests.faults.survivors import (
    assert_records,
    assert_sound,
    assert_tidy,
    assert_whole_journal,
    journal_of,
    old_sets,
)

_SET = "data[0002]"


def _made(folder: Path) -> App:
    app = make_app(folder, {KEEP: "2"}, attachments=("./links",), data=patterned(2_100_000))
    links = app.package / "links"
    links.mkdir()
    (links / "one").write_bytes(b"linked twice")
    (links / "two").hardlink_to(links / "one")
    (links / "soft").symlink_to("one")
    (links / "empty").mkdir()
    for _ in range(2):
        app.backup()
        pass_a_day(app)
    return app


def _target(app: App) -> Path:
    return app.package.parent / "restored" / "app"


def _with_target_folder(folder: Path) -> App:
    app = _made(folder)
    _target(app).parent.mkdir()
    return app


def restore_to(app: App, target: Path) -> dict[str, Any]:
    """The second set into a folder that is not there."""
    around = Surroundings(StoryClock(START), StopRequest(), silent)
    try:
        restore_recorded(app.destination / _SET, target, Told(app.layout, PARIS, around))
    except EngineError as error:
        return said_of(error)
    return {"restored": True}


def judge_restore(scene: Scene, ended: Ended, fault: Fault) -> None:
    """What is at the target is all of it; a restore that was said to be done is there."""
    app = scene.app
    assert_sound(scene, may_be_gone=frozenset(), new=None)
    target, again = _target(app), _target(app).with_name("again")
    _assert_said(ended, fault, is_there=target.exists())
    journal = journal_of(app)

    assert restore_to(app, again) == {"restored": True}

    if target.exists():
        assert tree(target) == tree(again), "what is at the target is not what the set holds"
    assert sorted(path.name for path in target.parent.iterdir()) in (["again"], ["again", "app"])
    at_the_time(app, NEXT).backup_set()
    assert_whole_journal(journal_of(app), journal)
    assert_records(app)
    assert_tidy(scene)


def _assert_said(ended: Ended, fault: Fault, *, is_there: bool) -> None:
    said = ended.said
    assert "traceback" not in said, said["traceback"]
    if said.get("restored"):
        assert is_there, "it is said to be restored, and is not there"
    elif not ended.killed:
        damaged = fault.kinds is Kind.READ
        assert said["exit"] in ({1, 5} if damaged else {1}), said
        assert said["hint"], said
        honest = not is_there or "it is there, whole" in said["failed"]
        assert honest, f"it is said to have failed, and is there: {said}"


# --- in place -------------------------------------------------------------------------------------


def _worked_on(folder: Path) -> App:
    """Since the newest set people went on working."""
    app = make_app(folder, {KEEP: "2"})
    for _ in range(2):
        app.backup()
        pass_a_day(app)
    app.data_file.write_bytes(patterned(3100, seed=3))
    (app.package / "Project" / "App.4DProject").write_bytes(b'{"newer":true}')
    return app


def _put_in_place(app: App, when: datetime = START) -> dict[str, Any]:
    try:
        restore_in_place(at_the_time(app, when), number=2)
    except EngineError as error:
        return said_of(error)
    except StopIteration:
        return {"failed": "its manifest could not be read, so there is no such set to choose"}
    return {"restored": True}


def _live(package: Path) -> dict[str, bytes]:
    """The files people work with; not what was replaced, nor what is being built."""
    aside = ("Logs", "Replaced files", ".backup4d-")
    return {name: data for name, data in contents(package).items() if not name.startswith(aside)}


def judge_in_place(scene: Scene, ended: Ended, fault: Fault) -> None:
    """The application is the old or the restored one, never a mixture, at the latest when the next run has begun."""
    app, said = scene.app, ended.said
    assert "traceback" not in said, said["traceback"]
    for name in old_sets(scene):
        same = contents(app.destination / name) == contents(scene.old_destination / name)
        assert same, f"{name} is not what it was"
    old, now = _live(scene.template / "app"), _live(app.package)
    again = app.package.parent / "again"
    assert restore_to(app, again) == {"restored": True}
    new = _live(again)
    if said.get("restored"):
        assert now == new, f"said to be restored, and it is not: {_differ(now, new)}"
    elif not ended.killed and fault.first == fault.last:
        assert now == old, f"said to have failed, and this changed: {_differ(now, old)}: {said}"
    journal = journal_of(app)

    at_the_time(app, NEXT).backup_set()

    now = _live(app.package)
    assert now in (old, new), (
        f"a mixture of old and new: {_differ(now, old)} and {_differ(now, new)}"
    )
    assert_whole_journal(journal_of(app), journal)
    assert _put_in_place(app, NEXT + DAY) == {"restored": True} or "data[0002]" not in app.sets()
    assert_tidy(scene)


def _differ(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


RESTORE_STORIES = {
    story.name: story
    for story in (
        Story(
            "restore",
            _with_target_folder,
            lambda app: restore_to(app, _target(app)),
            judge_restore,
            failing=("restored", "backups"),
        ),
        Story("in place", _worked_on, _put_in_place, judge_in_place, failing=("app",)),
    )
}

"""Backups under faults: the first one, with rotation, in segments, over a journal that is full, after a dead run."""

import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.member import Member
from engine.operations import verify_recorded
from engine.progress import silent
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from engine.untouched import Untouched
from engine.walk import Found
from settings.service_model import ArchiveFormat
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    ERASE_BEFORE,
    KEEP,
    PARIS,
    SEGMENT,
    App,
    make_app,
    pass_a_day,
    patterned,
    verified,
)
from tests.fakes import StoryClock
from tests.faults.scenes import Scene, Story
from tests.faults.shim import Call, Ended, Fault, Kind, Mode, in_child
from tests.faults.survivors import (
    DIED,
    OLDEST,
    assert_by_others,
    assert_journal,
    assert_records,
    assert_sound,
    assert_tidy,
    assert_whole_journal,
    journal_before,
    journal_of,
    old_sets,
    traces_of,
)

START = datetime(2026, 2, 1, 2, 30, tzinfo=UTC)
NEXT = datetime(2026, 2, 2, 2, 30, tzinfo=UTC)
_ENTRY = (
    "*** Verification\nSet : /somewhere/data[0001]\nResult : OK\nStarting : 2026-01-01 02:30:00\n\n"
)


def at_the_time(app: App, when: datetime) -> App:
    """The same application, on another day."""
    return App(app.package, app.destination, StoryClock(when))


def back_up(app: App) -> dict[str, Any]:
    """One backup, and how it ended in words that fit into a pipe."""
    try:
        outcome = at_the_time(app, START).backup()
    except EngineError as error:
        return said_of(error)
    name = None if outcome.folder is None else outcome.folder.name
    return {"published": name, "warnings": list(outcome.warnings)}


def back_up_for_4d(app: App) -> dict[str, Any]:
    """The same, with archives as 4D writes them."""
    try:
        outcome = at_the_time(app, START).backup(archives=ArchiveFormat.FOURD)
    except EngineError as error:
        return said_of(error)
    name = None if outcome.folder is None else outcome.folder.name
    return {"published": name, "warnings": list(outcome.warnings)}


def back_up_again(app: App) -> dict[str, Any]:
    """The same, after a backup of these very files, whatever numbers their copies have for each case."""

    def is_same(_: Untouched, found: Found, member: Member) -> bool:
        return member.size == found.facts.st_size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Untouched, "_is_same_file", is_same)
        return back_up(app)


def said_of(error: EngineError) -> dict[str, Any]:
    """A failure as a person and the journal see it."""
    return {
        "failed": str(error),
        "hint": error.hint,
        "code": int(error.code),
        "exit": int(error.exit_code),
    }


# --- made ready -----------------------------------------------------------------------------------


def _app(folder: Path, changes: Mapping[str, str], sets: int, data: bytes) -> App:
    app = make_app(folder, {COMPRESSION: "Fast", **changes}, data=data)
    (app.package / "Logs").mkdir()
    for _ in range(sets):
        app.backup()
        pass_a_day(app)
    return app


def _first(folder: Path) -> App:
    return _app(folder, {}, 0, patterned(3000))


def _rotation(folder: Path) -> App:
    return _app(folder, {KEEP: "2"}, 2, patterned(3000))


def _unchecked(folder: Path) -> App:
    """Nothing is read back, which would also write it: all that makes a set durable is its flushes."""
    return _app(folder, {KEEP: "2", CHECK: "False"}, 2, patterned(3000))


def _erase_before(folder: Path) -> App:
    return _app(folder, {KEEP: "2", ERASE_BEFORE: "True"}, 2, patterned(3000))


def _segments(folder: Path) -> App:
    return _app(folder, {KEEP: "1", SEGMENT: "1"}, 1, random.Random(4).randbytes(2_200_000))


def _taken_over(folder: Path) -> App:
    """Large enough for frames of its own; all but one are taken over from the set before."""
    app = _app(folder, {KEEP: "2"}, 2, random.Random(4).randbytes(2_200_000))
    with app.data_file.open("r+b") as stream:
        stream.seek(1_500_000)
        stream.write(b"changed since")
    return app


def _untouched(folder: Path) -> App:
    """Small files that fill frames: all but the first and the last are taken over from the set before."""
    app = make_app(folder, {COMPRESSION: "Fast", KEEP: "2"}, data=patterned(3000))
    (app.package / "Logs").mkdir()
    for number in range(60):
        file = app.package / "Project" / "Sources" / "Methods" / f"{number:02d}.4dm"
        file.write_bytes(random.Random(number).randbytes(50_000))
    for _ in range(2):
        app.backup()
        pass_a_day(app)
    return app


def _full_journal(folder: Path) -> App:
    """The journal is above 10 MB, and the number after it was in use before 4D's numbers wrapped round."""
    app = _app(folder, {KEEP: "2"}, 1, patterned(3000))
    logs = app.package / "Logs"
    with (logs / "Backup Journal[001].txt").open("a") as stream:
        stream.write(_ENTRY * (10_000_000 // len(_ENTRY) + 1))
    old = logs / "Backup Journal[002].txt"
    old.write_text(OLDEST)
    os.utime(old, (5, 5))
    return app


def _damaged_history(folder: Path) -> App:
    app = _app(folder, {KEEP: "2"}, 2, patterned(3000))
    (app.destination / "backupHistory.json").write_bytes(b'{"torn')
    return app


def _dead_at(is_meant: Callable[[str, str], bool]) -> Callable[[Path], App]:
    """A run was killed before the first call that is meant, and what it left is there."""

    def make(folder: Path) -> App:
        app = _rotation(folder)
        with tempfile.TemporaryDirectory() as aside:
            shutil.copytree(folder, aside, symlinks=True, dirs_exist_ok=True)
            calls = in_child(lambda: back_up(app), [folder], Fault()).calls
            shutil.rmtree(folder)
            shutil.copytree(aside, folder, symlinks=True)
        at = next(n for n, call in enumerate(calls, 1) if is_meant(call.name, call.path))
        died = in_child(lambda: back_up(app), [folder], Fault(Mode.KILL_BEFORE, at, at))
        assert died.killed, died.said
        return app

    return make


def _half_made(name: str, path: str) -> bool:
    return name == "open" and path.endswith("manifest.json")


def _published(_: str, path: str) -> bool:
    return "backupHistory.json" in path


def _half_removed(name: str, path: str) -> bool:
    return name == "unlink" and ".backup4d-removing" in path


# --- judged ---------------------------------------------------------------------------------------


def judge_backup(scene: Scene, ended: Ended, fault: Fault) -> None:
    """Sets and records after the fault, the next run, and all of it again."""
    app = scene.app
    number = 1 + max((int(name[5:9]) for name in old_sets(scene)), default=0)
    new = ended.said.get("published") or f"data[{number:04d}]"
    number = int(new[5:9])  # one higher when half-made work with this number could not be removed
    erases = scene.story.name == "erase before"
    seen = assert_sound(scene, may_be_gone=_planned(scene, erases), new=new)
    published = new in seen
    if published and number % 2 == 0:
        assert_by_others(app.destination / new)
    if not ended.killed:
        _assert_said(scene, ended, fault, new, published=published)
    traces = traces_of(app)
    if ended.killed:
        assert traces is not None or not app.hidden(), "half-made work, and no word of whose it is"
    journal = journal_of(app)
    deaths = journal.count(DIED)

    newest = at_the_time(app, NEXT).backup_set()

    assert newest.name == (f"data[{number + 1:04d}]" if published else new)
    kept = _kept(scene)
    everything = sorted({*old_sets(scene), *([new] if published else []), newest.name})
    assert app.sets() == everything[-kept:], f"{app.sets()} are kept"
    for name in app.sets():
        verdict = verified(app.destination / name)
        assert verdict.good, f"after the next run {name}: {verdict.damage}"
    assert_records(app)
    assert_whole_journal(journal_of(app), journal)
    assert_tidy(scene)
    told = journal_of(app).count(DIED) - deaths
    if published:
        announced = _entries_of(app, new)
        excused = _hit_logs(ended, fault) or _stays_shown(_hit(ended, fault))
        assert announced == 1 or excused, f"journaled {announced} times"
        assert told == 0, "a set was published, and its run is called dead"
    elif ended.killed:
        had_done_it = traces is not None and f"data[{traces.get('number', 0):04d}]" in seen
        dead = 0 if traces is None or had_done_it else 1
        assert told == dead, f"its death is told {told} times"


def _entries_of(app: App, name: str) -> int:
    entries = journal_of(app).split("\n\n")
    named = f"\nCreating archive : {app.destination}/{name}/"
    return sum(entry.startswith("*** Full Backup\n") and named in entry for entry in entries)


def _planned(scene: Scene, erases: bool) -> frozenset[str]:
    """What EraseOldBackupBefore may take before anything new is there: never the newest."""
    was = old_sets(scene)
    return frozenset(was[: len(was) - _kept(scene) + 1]) if erases else frozenset()


def _kept(scene: Scene) -> int:
    text = (scene.template / "app" / "Settings" / "backup.4DSettings").read_text()
    match = re.search(r"<SetNumber><Value>(\d+)</Value>", text)
    return int(match[1]) if match else 3


def _hit(ended: Ended, fault: Fault) -> tuple[Call, ...]:
    """The calls that went wrong."""
    return ended.calls[fault.first - 1 : fault.last]


def _hit_logs(ended: Ended, fault: Fault) -> bool:
    return any("/Logs" in call.path for call in _hit(ended, fault))


def _stays_shown(hit: tuple[Call, ...]) -> bool:
    """Its name could not be made durable, and could not be taken back either: the disk is gone."""
    return any(call.kind is Kind.NAME and ".backup4d-staging-" in call.path for call in hit)


def _assert_said(scene: Scene, ended: Ended, fault: Fault, new: str, *, published: bool) -> None:
    """A run that lived says what is true: a set, or an error with its number, words and journal entry."""
    said = ended.said
    assert "traceback" not in said, said.get("traceback")
    hit = _hit(ended, fault)
    if "failed" not in said:
        assert published, f"it says {said} and there is no {new}"
        if fault.mode is Mode.ERROR:
            bad = [call for call in hit if _must_fail(call.kind, call.path)]
            assert not bad, f"published although this failed: {[str(call) for call in bad]}"
        return
    if not _stays_shown(hit):
        assert not published, f"it says {said['failed']} and {new} is there"
    read_back = fault.kinds is Kind.READ and said["exit"] == 5
    assert said["code"] in ({1411, 1413} if read_back else {1407, 1408, 1409}), said
    assert read_back or said["exit"] == 1, said
    assert said["hint"], said
    if fault.mode is Mode.ERROR:
        assert os.strerror(fault.error) in said["failed"], said
    journal = journal_of(scene.app)
    told = f"Error reported : {said['code']} " in journal
    assert told or _hit_logs(ended, fault), "the failure is not journaled"
    if len(hit) == 1 and hit[0].kind is not Kind.REMOVE:
        left = set(scene.app.hidden()) - {entry.name for entry in scene.old_destination.iterdir()}
        assert not left, f"half-made work is left: {left}"
    assert_journal(journal, journal_before(scene))


def _must_fail(kind: Kind, path: str) -> bool:
    """What goes into a set, and the rename that shows it: an error there is never passed over.

    Opening the hidden folder itself is `O_TMPFILE`, which Python replaces by a named file where it fails.
    """
    inside = re.search(r"/\.backup4d-staging-[^/]*/", path) is not None
    shown = kind is Kind.NAME and Path(path).name.startswith("data[")
    return shown or (inside and kind not in (Kind.REMOVE, Kind.READ, Kind.CLOSE))


# --- verify ---------------------------------------------------------------------------------------


def _verify(app: App) -> dict[str, Any]:
    around = Surroundings(StoryClock(START), StopRequest(), silent)
    folders = [app.destination / name for name in app.sets()]
    verdicts = verify_recorded(folders, app.layout, PARIS, around)
    return {"good": [verdict.good for verdict in verdicts]}


def judge_verification(scene: Scene, ended: Ended, fault: Fault) -> None:
    """It harms nothing, and says the truth of the sets whatever becomes of its record."""
    app = scene.app
    assert_sound(scene, may_be_gone=frozenset(), new=None)
    if not ended.killed:
        assert "traceback" not in ended.said, ended.said["traceback"]
        unread = "".join(call.path for call in _hit(ended, fault) if call.kind is Kind.READ)
        good = [f"/{name}/" not in unread for name in old_sets(scene)]
        assert ended.said["good"] == good, ended.said
    journal = journal_of(app)
    at_the_time(app, NEXT).backup_set()
    assert_whole_journal(journal_of(app), journal)
    assert_records(app)
    assert_tidy(scene)


def judge_after_death(scene: Scene, ended: Ended, fault: Fault) -> None:
    """The run that died before is told of, too, whatever becomes of the run that found it."""
    judge_backup(scene, ended, fault)
    if scene.story.name == "dead half-made":
        # twice when this run was killed between the entry and the note that it is written
        told = DIED in journal_of(scene.app)
        assert told or _could_not(ended), "the first death was never told"
    else:
        made = _entries_of(scene.app, "data[0003]")
        doubtful = "is of it cannot be told" in journal_of(scene.app)
        assert made == 1 or doubtful or _could_not(ended), (
            f"the set of the dead run is journaled {made} times"
        )


def _could_not(ended: Ended) -> bool:
    """The disk did not take the entry, and whoever ran it was told so."""
    return any("could not be recorded" in text for text in ended.said.get("warnings", ()))


STORIES = {
    story.name: story
    for story in (
        Story("first", _first, back_up, judge_backup),
        Story("rotation", _rotation, back_up, judge_backup),
        Story("taken over", _taken_over, back_up, judge_backup),
        Story("untouched", _untouched, back_up_again, judge_backup),
        Story("of 4d", _rotation, back_up_for_4d, judge_backup),
        Story("unchecked", _unchecked, back_up, judge_backup),
        Story("erase before", _erase_before, back_up, judge_backup),
        Story("segments", _segments, back_up, judge_backup),
        Story("full journal", _full_journal, back_up, judge_backup),
        Story("damaged history", _damaged_history, back_up, judge_backup),
        Story("dead half-made", _dead_at(_half_made), back_up, judge_after_death),
        Story("dead published", _dead_at(_published), back_up, judge_after_death),
        Story("dead half-removed", _dead_at(_half_removed), back_up, judge_after_death),
        Story("verify", _rotation, _verify, judge_verification),
    )
}

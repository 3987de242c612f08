"""Kinds of files in the backup folder: history, the papers of sets, locks, recovery data, what is encrypted."""

import shutil
from pathlib import Path

from engine.history import HISTORY, load_history
from engine.lock import DESTINATION_LOCK
from engine.parity import repair_set
from engine.progress import silent
from engine.sealed import open_sealed
from engine.shipped import RESTORER
from engine.stop import StopRequest
from tests.damage.child import Facts, Told
from tests.damage.kinds import Kind, Stage, backs_up, digests, judge_history, judge_sets, said
from tests.engine.parity_stories import ARCHIVE, make_set, protect, scattered
from tests.engine.stories import KEEP, App, make_app, pass_a_day, restored
from tests.engine.test_sealed import seal

_DAILY = {"Scheduler/Frequency": "Daily", "Scheduler/Daily/Hour": "02:30:00"}
_MISSED = ("schedule", "--missed-since", "2026-01-01")
SERVICE = "<Backup4DService><TimeZone>UTC</TimeZone><Databases>{}</Databases></Backup4DService>"


def three_sets(folder: Path, **changes: str) -> App:
    """An application of which three sets are kept, with three sets, and a service file that lists it."""
    app = make_app(folder / "here", {KEEP: "3", **_DAILY, **changes})
    for _ in range(3):
        app.backup()
        pass_a_day(app)
    row = f"<Database><Package>{app.package}</Package></Database>"
    (folder / "here" / "service.xml").write_text(SERVICE.format(row))
    (folder / "here" / "state").mkdir()
    return app


# --- the history ----------------------------------------------------------------------------------


def _history(folder: Path) -> Stage:
    app = three_sets(folder)
    # events of all kinds, as commands and the service leave them
    Stage(app, folder, app.destination / HISTORY).types("verify", app.package)
    shutil.rmtree(folder / "template")
    return Stage(app, folder, app.destination / HISTORY)


def _use_history(stage: Stage) -> Facts:
    return backs_up(stage, in_turn=(("status",), ("list",), _MISSED))


def _judge_history(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    if came == "went on":
        judge_history(stage)
        rebuilt = "History rebuilt" in stage.app.journal()
        return "set aside, rebuilt" if rebuilt else "used"
    assert stage.file.name in said(told), "the refusal does not name it"
    return came


# --- manifests ------------------------------------------------------------------------------------


def _use_set(stage: Stage) -> Facts:
    return backs_up(stage, ("list",), ("verify",), in_turn=(("status",), _MISSED))


def _judge_manifest(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    assert came == "went on", "no backup, though only an old set is damaged"
    judge_history(stage)
    name = stage.file.parent.name
    assert name in said(told) or name not in stage.app.sets(), f"{name} is not told of"
    code = told.facts["printed"][1]["code"]
    is_same = stage.file.is_file() and not stage.file.is_symlink()
    is_same = is_same and stage.file.stat().st_size == len(stage.content)
    if not (is_same and stage.file.read_bytes() == stage.content):
        assert code != 0 or name not in stage.app.sets(), "verify finds it good"
    return "told as damaged" if code else "gone by rotation"


def _newest_manifest(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.destination / "data[0003]" / "manifest.json")


def _oldest_manifest(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.destination / "data[0001]" / "manifest.json")


def _sums(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.destination / "data[0002]" / "SHA256SUMS")


def _shows_and_restores(stage: Stage) -> Facts:
    target = stage.here / "back"
    printed = [
        stage.types("show", stage.file.parent),
        stage.types("verify", stage.file.parent),
        stage.types("restore", stage.file.parent, "--to", target),
    ]
    return {"printed": printed}


def _judge_restore(stage: Stage, told: Told) -> str:
    """What is restored is what was saved, by its names and its bytes, or nothing is restored."""
    came = judge_sets(stage, told)
    assert came == "refused"
    target = stage.here / "back"
    code = told.facts["printed"][2]["code"]
    if code != 0:
        assert not target.exists(), f"ended with {code}, and the target is there"
        return "refused"
    good = stage.here.parent / "good"
    if not good.exists():
        restored(stage.then(stage.file.parent), good)
    assert digests(target) == digests(good), "another tree is restored as good"
    return "restored equal"


# --- beside the sets ------------------------------------------------------------------------------


def _destination_lock(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.destination / DESTINATION_LOCK)


def _restorer(folder: Path) -> Stage:
    app = three_sets(folder)
    return Stage(app, folder, app.destination / RESTORER)


def _judge_beside(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    if came == "went on" and load_history(stage.app.destination).damage is None:
        judge_history(stage)
    return came


# --- recovery data --------------------------------------------------------------------------------


def _parity(folder: Path) -> Stage:
    """A damaged set whose recovery data is damaged, too."""
    good = make_set(folder / "here")
    protect(good, spare=40)
    kept = folder / "good"
    shutil.copytree(good, kept)
    scattered(good / ARCHIVE)
    app = make_app(folder / "here")
    files = [one for one in good.iterdir() if one.suffix == ".par2"]
    file = max(files, key=lambda one: one.stat().st_size)
    return Stage(app, folder, file)


def _repairs(stage: Stage) -> Facts:
    repair = repair_set(stage.file.parent, stop=StopRequest(), report=silent)
    return {"repaired": list(repair.files), "notes": list(repair.notes)}


def _judge_repair(stage: Stage, told: Told) -> str:
    """The set is whole again, or untouched; nothing else is there."""
    assert not told.fault, told.fault
    folder = stage.file.parent
    ours = {stage.file.name, f"{stage.file.name}/inside"}
    now, was, good = (
        {name: digest for name, digest in digests(one).items() if name not in ours}
        for one in (folder, stage.then(folder), stage.here.parent / "good")
    )
    if "refused" in told.facts:
        assert now == was, "refused, and something is changed"
        return "refused"
    assert now == good, "told as repaired, and it is not what it was"
    return "repaired"


# --- encrypted ------------------------------------------------------------------------------------


def _sealed(folder: Path) -> Stage:
    app = make_app(folder / "here")
    (folder / "here" / "sealed").mkdir()
    return Stage(app, folder, seal(folder / "here" / "sealed", b"content" * 3000).file)


def _opens(stage: Stage) -> Facts:
    room = stage.file.parent
    opened = open_sealed(stage.file, room / "key", room / "into", stop=StopRequest(), report=silent)
    content = opened.read_bytes()
    opened.unlink()
    return {"content": content.hex()}


def _judge_opened(stage: Stage, told: Told) -> str:
    assert not told.fault, told.fault
    assert list((stage.file.parent / "into").iterdir()) == [], "something is left"
    if "refused" in told.facts:
        return "refused"
    assert bytes.fromhex(told.facts["content"]) == b"content" * 3000
    return "opened equal"


KINDS = (
    Kind("history", _history, _use_history, _judge_history),
    Kind("manifest of the newest set", _newest_manifest, _use_set, _judge_manifest),
    Kind("manifest of the oldest set", _oldest_manifest, _use_set, _judge_manifest),
    Kind("manifest, restored from", _newest_manifest, _shows_and_restores, _judge_restore),
    Kind("checksums, restored from", _sums, _shows_and_restores, _judge_restore),
    Kind("lock of the backup folder", _destination_lock, backs_up, _judge_beside),
    Kind("restore.py", _restorer, backs_up, _judge_beside),
    *((Kind("recovery data", _parity, _repairs, _judge_repair),) if shutil.which("par2") else ()),
    *((Kind("encrypted archive", _sealed, _opens, _judge_opened),) if shutil.which("age") else ()),
)

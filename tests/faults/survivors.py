"""What must hold after any fault: good sets are good, no half-made one is seen, records tell the truth."""

import re
import subprocess
from pathlib import Path
from typing import Any

from engine.history import load_history
from engine.lock import DATABASE_LOCK, current_holder, read_traces
from tests.engine.stories import App, verified
from tests.faults.scenes import Scene, contents, plain_environment

_HIDDEN_FOR_GOOD = {".backup4d.lock", ".backup4d-destination.lock"}
_OURS = re.compile(
    r"backupHistory\.json|restore\.py|\.backup4d-destination\.lock|data\[\d{4}\]|backupHistory\.damaged-.*\.json"
    r"|data\.log-stream-[0-9a-f]{8}\.[0-9a-f]{8}"
)
OLDEST = "*** The oldest entry\n\n"
DIED = "the run that started then died before it was done"


def assert_sound(scene: Scene, *, may_be_gone: frozenset[str], new: str | None) -> list[str]:
    """The state right after a fault; returns the names of the sets one can see."""
    app = scene.app
    seen = app.sets()
    was = old_sets(scene)
    assert set(seen) <= {*was, *([new] if new else [])}, f"unknown sets: {seen}"
    gone = set(was) - set(seen)
    if new is None or new not in seen:
        assert gone <= may_be_gone, f"lost although nothing new is there: {sorted(gone)}"
    for name in seen:
        if name in was:
            same = contents(app.destination / name) == contents(_template_of(scene, name))
            assert same, f"{name} is not what it was"
        verdict = verified(app.destination / name)
        assert verdict.good, f"{name} is seen and not good: {verdict.damage}"
    assert_untouched(scene)
    assert_history(scene, seen, gone)
    assert_journal(journal_of(app), journal_before(scene))
    lock = app.package / "Logs" / DATABASE_LOCK
    assert current_holder(lock) is None, "somebody holds the lock"
    traces = traces_of(app)
    assert traces is None or "no readable record" not in str(traces), f"the lock: {traces}"
    return seen


def old_sets(scene: Scene) -> list[str]:
    """The sets before anything went wrong."""
    folder = scene.template / "backups"
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("data["))


def _template_of(scene: Scene, name: str) -> Path:
    return scene.template / "backups" / name


def traces_of(app: App) -> dict[str, Any] | None:
    """What the lock says of a run that died."""
    lock = app.package / "Logs" / DATABASE_LOCK
    return read_traces(lock) if lock.exists() else None


def assert_untouched(scene: Scene) -> None:
    """The application itself is read and never written."""
    now, then = _application(scene.app.package), _application(scene.template / "app")
    assert now == then, f"the application changed: {sorted(set(now.items()) ^ set(then.items()))}"


def _application(package: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(package).items() if not name.startswith("Logs/")}


def assert_history(scene: Scene, seen: list[str], gone: set[str]) -> None:
    """It parses, and names only sets that are there, or that left in this very run."""
    app = scene.app
    loaded = load_history(app.destination)
    was = load_history(scene.template / "backups")
    assert loaded.damage in (None, was.damage), f"the history: {loaded.damage}"
    named = {
        Path(str(record["backupPath"])).parent.name
        for record in loaded.document.get(app.layout.key, [])
    }
    assert named <= {*seen, *gone}, f"the history names sets that are not there: {named}"


def assert_journal(journal: str, before: str) -> None:
    """What was there is there; entries are whole but for a torn last one."""
    assert journal.startswith(before), "entries are gone from the journal"
    *whole, last = journal.split("\n\n")
    for entry in whole:
        assert entry.startswith("*** "), f"no entry: {entry[:200]!r}"
        assert "*** " not in entry[4:], f"an entry within another: {entry[:400]!r}"
    assert not last or last.startswith("*"), f"a torn entry without its beginning: {last[:200]!r}"


def assert_whole_journal(journal: str, before: str) -> None:
    """No entry runs into another, and none is open."""
    assert_journal(journal, before)
    assert journal.endswith("\n\n"), f"the last entry is open: {journal[-200:]!r}"
    assert "\0" not in journal, "the journal holds zero bytes"


def journal_before(scene: Scene) -> str:
    """What the journals said before, in order of their numbers."""
    then = App(scene.template / "app", scene.template / "backups", scene.app.clock)
    return journal_of(then)


def journal_of(app: App) -> str:
    """What the journals say, without an entry that is to be overwritten when the numbers wrap round."""
    return app.journal().replace(OLDEST, "")


def assert_records(app: App) -> None:
    """The history has one record for each set that is there, in order."""
    numbers = [record["backupNumber"] for record in app.records()]
    assert numbers == [int(name[5:9]) for name in app.sets()], f"history {numbers}, {app.sets()}"


def assert_tidy(scene: Scene) -> None:
    """Nothing is left over: no half-made folder, no temporary file, no name that does not belong there."""
    left = [
        str(path.relative_to(scene.here))
        for path in scene.here.rglob(".*")
        if path.name not in _HIDDEN_FOR_GOOD
    ]
    assert not left, f"left over: {left}"
    names = [entry.name for entry in scene.app.destination.iterdir()]
    strange = [name for name in names if _OURS.fullmatch(name) is None]
    assert not strange, f"left over in the destination: {strange}"


def assert_by_others(folder: Path) -> None:
    """sha256sum and zstd know nothing of us."""
    main = b"".join(file.read_bytes() for file in sorted(folder.glob("*.tar.zst")))
    logs = [file.read_bytes() for file in folder.glob("*.journal.zst")]
    _judged(["sha256sum", "--quiet", "-c", "SHA256SUMS"], folder, b"")
    if list(folder.glob("*.4BK")):
        return  # no other program reads those
    for archive in (main, *logs):
        _judged(["zstd", "-tq"], folder, archive)


def _judged(command: list[str], folder: Path, data: bytes) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        input=data,
        capture_output=True,
        check=False,
        timeout=60,
        env=plain_environment(),
    )
    assert done.returncode == 0, f"{command[0]} on {folder.name}: {done.stderr.decode()}"

"""kill -9 anywhere: the old sets stay whole, no half set is seen, and the next run puts everything in order."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.history import load_history
from engine.lock import DATABASE_LOCK, current_holder
from tests.engine.stories import (
    ERASE_BEFORE,
    KEEP,
    App,
    make_app,
    pass_a_day,
    patterned,
    restored,
    verified,
)
from tests.fakes import StoryClock

ROOT = Path(__file__).parents[2]
START = datetime(2026, 2, 1, 2, 30, tzinfo=UTC)
NEXT = datetime(2026, 2, 2, 2, 30, tzinfo=UTC)
BEFORE = ["data[0001]", "data[0002]", "data[0003]"]
NEW = "data[0004]"


@dataclass(frozen=True, slots=True)
class Stage:
    """An application with three sets, put back as it was for every run."""

    app: App
    template: Path
    erases_before: bool
    archives: str = "tar"

    def reset(self) -> None:
        """The same place each time: a set belongs to the path of its data file."""
        here = self.app.package.parent
        shutil.rmtree(here)
        shutil.copytree(self.template, here, symlinks=True)

    def run(self, point: int, wrapper: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.engine.dying", str(self.app.package)]
        return subprocess.run(
            [*wrapper, *command, START.isoformat(), str(point), self.archives],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def steps(self) -> list[str]:
        """What a run that nobody kills does, in order."""
        self.reset()
        done = self.run(0)
        assert done.returncode == 0, done.stderr
        steps = json.loads(done.stdout)
        assert isinstance(steps, list)
        return steps


def make_stage(folder: Path, *, erases_before: bool, archives: str = "tar") -> Stage:
    changes = {KEEP: "3", ERASE_BEFORE: str(erases_before)}
    app = make_app(folder / "here", changes, data=patterned(2_200_000))
    for _ in BEFORE:
        app.backup()
        pass_a_day(app)
    shutil.copytree(folder / "here", folder / "template", symlinks=True)
    return Stage(app, folder / "template", erases_before, archives)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return make_stage(tmp_path_factory.mktemp("killed"), erases_before=False)


def assert_survived(stage: Stage, what: str) -> None:
    """Everything that must hold after a kill, and after the next run."""
    app = stage.app
    before = app.journal()
    seen = app.sets()
    published = NEW in seen
    assert set(seen) <= {*BEFORE, NEW}, what
    if published or stage.erases_before:
        assert set(seen) >= set(BEFORE[1:]), what
    else:
        assert seen == BEFORE, what
    for name in seen:
        assert verified(app.destination / name).good, (what, name)
    assert load_history(app.destination).damage is None, what
    assert current_holder(app.package / "Logs" / DATABASE_LOCK) is None, what

    after = App(app.package, app.destination, StoryClock(NEXT))
    newest = after.backup_set()

    assert newest.name == ("data[0005]" if published else NEW), what
    assert verified(newest).good, what
    assert app.hidden() == [], what
    assert app.sets() == sorted({*BEFORE, NEW, newest.name})[-3:], what
    assert [record["backupNumber"] for record in app.records()] == [
        int(name[5:9]) for name in app.sets()
    ], what
    journal = app.journal()
    assert journal.startswith(before), what
    assert journal.count(f"Creating archive : {app.destination}/{NEW}/") == 1, what
    assert journal.count("\n\n***") == journal.count("***") - 1, what
    _assert_journaled_death(journal, published, what)


def _assert_journaled_death(journal: str, published: bool, what: str) -> None:
    deaths = journal.count("the run that started then died before it was done")
    if published:
        assert deaths == 0, what
    else:
        assert deaths == (0 if what.startswith("early") else 1), what


def sampled(steps: list[str]) -> dict[str, int]:
    """One point for each kind of step, the last one of it; and the ends."""
    points = {name_of(step): at for at, step in enumerate(steps, 1)}
    return {**points, "saving, the first time": steps.index("saving") + 1}


def name_of(step: str) -> str:
    """A step without the parts that are made up anew each time."""
    return step if "staging" not in step else step.partition("staging")[0] + "staging"


def is_early(steps: list[str], point: int) -> bool:
    """Before the run noted what it is going to do there is nothing to journal: nothing had begun."""
    first = ("os.mkdir .backup4d", "os.rename data[")
    begun = next(at for at, step in enumerate(steps, 1) if step.startswith(first))
    return point < begun


def kill_at(stage: Stage, steps: list[str], point: int) -> None:
    stage.reset()
    done = stage.run(point)
    assert done.returncode == -signal.SIGKILL, (point, done.stderr)
    early = "early " if is_early(steps, point) else ""
    assert_survived(stage, f"{early}{point} {steps[point - 1]}")


def test_a_run_killed_at_every_kind_of_step_harms_nothing(stage: Stage) -> None:
    steps = stage.steps()
    points = sampled(steps)
    assert len(points) >= 12
    assert any(name.startswith("os.rename .backup4d-staging") for name in points)
    assert any("Backup Journal" in name for name in points)
    assert any("backupHistory" in name for name in points)
    assert any(name.startswith("os.rename data[0001]") for name in points)

    for point in sorted(set(points.values())):
        kill_at(stage, steps, point)


def test_a_run_killed_while_it_makes_archives_of_4d_harms_nothing(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, erases_before=False, archives="4BK")
    steps = stage.steps()
    points = {
        "the archive is begun": steps.index("open data[0004].4BK") + 1,
        "halfway": len(steps) - steps[::-1].index("packing"),
        "a draft is removed": steps.index("os.remove data[0004].tar.zst") + 1,
        "the log's archive": steps.index("open data[0003].4BL") + 1,
        "published": next(at for at, one in enumerate(steps, 1) if "rename .backup4d-stag" in one),
    }
    for point in points.values():
        kill_at(stage, steps, point)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("erases_before", "archives"), [(False, "tar"), (True, "tar"), (False, "4BK")]
)
def test_a_run_killed_at_any_step_harms_nothing(
    tmp_path: Path, erases_before: bool, archives: str
) -> None:
    stage = make_stage(tmp_path, erases_before=erases_before, archives=archives)
    steps = stage.steps()

    for point in range(1, len(steps) + 1):
        kill_at(stage, steps, point)


# --- system calls: what no audit hook sees ----------------------------------------------------------

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
CALLS = ("write", "pwrite64", "fsync", "rename", "unlinkat", "rmdir")


def killed_by_strace(stage: Stage, call: str, when: int, path: Path | None = None) -> bool:
    """Run with SIGKILL before the n-th such call of a thread; False when there were not that many."""
    stage.reset()
    only = [] if path is None else ["-P", str(path)]
    inject = f"inject={call}:signal=KILL:when={when}"
    done = stage.run(0, ["strace", "-f", "-qq", "-o", "/dev/null", *only, "-e", inject])
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    return done.returncode != 0


def early(stage: Stage) -> str:
    """Whether the run had noted what it is going to do: without that nothing had begun."""
    lock = (stage.app.package / "Logs" / DATABASE_LOCK).read_bytes()
    return "" if b'"scheduled"' in lock else "early "


@needs_strace
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("write", "Logs/Backup Journal[001].txt"),
        ("fsync", "Logs/Backup Journal[001].txt"),
        ("pwrite64", "Logs/.backup4d.lock"),
    ],
)
def test_a_run_killed_while_it_writes_down_what_happened_harms_nothing(
    stage: Stage, call: str, name: str
) -> None:
    for when in (1, 2, 3):
        if not killed_by_strace(stage, call, when, stage.app.package / name):
            break
        assert_survived(stage, f"{early(stage)}{call} {when} of {name}")
    assert when > 1


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
def test_a_run_killed_at_any_writing_call_harms_nothing(stage: Stage, call: str) -> None:
    when = 1
    while killed_by_strace(stage, call, when):
        assert_survived(stage, f"{early(stage)}{call} {when}")
        when += 1
    assert when > 1


@needs_strace
@pytest.mark.parametrize("when", [1, 2])
def test_a_failed_flush_of_the_archive_is_a_failed_backup(stage: Stage, when: int) -> None:
    """The kernel says once that pages were lost; a set published after that would be a lie."""
    stage.reset()
    staging = next(
        name for name in stage.steps() if name.startswith("os.mkdir .backup4d-staging")
    ).removeprefix("os.mkdir ")
    stage.reset()
    archive = (
        stage.app.destination / staging / ("data[0004].tar.zst" if when == 1 else "manifest.json")
    )
    inject = "inject=fsync:error=EIO"
    done = stage.run(
        0, ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(archive), "-e", inject]
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")

    assert done.returncode == 1
    assert "Input/output error" in done.stderr
    assert stage.app.sets() == BEFORE
    assert stage.app.hidden() == []
    assert "Error reported : 1407 " in stage.app.journal()


@needs_strace
def test_an_attachment_on_a_failing_disk_makes_a_partial_set_that_is_whole(tmp_path: Path) -> None:
    """What was already written of the file is taken back; everything behind it is right."""
    app = make_app(tmp_path, attachments=("./docs",))
    docs = app.package / "docs"
    docs.mkdir()
    for at in range(10):
        (docs / f"{at} large").write_bytes(patterned(2_500_000, seed=at))
    (docs / "z").write_bytes(b"the last one")
    bad = [argument for at in range(1, 9) for argument in ("-P", str(docs / f"{at} large"))]
    stage = Stage(app, tmp_path, erases_before=False)

    done = stage.run(
        0,
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            *bad,
            "-e",
            "inject=preadv,preadv2:error=EIO:when=2+",
        ],
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")

    assert done.returncode == 0, done.stderr
    folder = app.destination / "data[0001]"
    assert verified(folder).good, verified(folder).damage
    assert app.journal().count("Not saved : docs/") >= 7
    restored(folder, tmp_path / "back")
    back = tmp_path / "back" / "docs"
    assert (back / "z").read_bytes() == b"the last one"
    assert (back / "0 large").read_bytes() == patterned(2_500_000, seed=0)
    assert not (back / "8 large").exists()


def test_a_process_that_only_holds_the_lock_is_told_apart_from_a_dead_one(stage: Stage) -> None:
    stage.reset()
    logs = stage.app.package / "Logs"
    script = (
        "import sys, pathlib\nfrom engine.lock import holding\n"
        "with holding(pathlib.Path(sys.argv[1]), 'something'):\n"
        "    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, logs / DATABASE_LOCK],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert (current_holder(logs / DATABASE_LOCK) or {})["pid"] == process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    assert current_holder(logs / DATABASE_LOCK) is None

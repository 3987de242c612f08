"""When the run is killed, its hooks do not live on: a guard lets go, the others are ended with their children."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.hook_stories import GUARD, Hooked, end, eventually, hook, lives, program, read_pid
from tests.engine.stories import make_app, patterned

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    return Hooked(make_app(tmp_path, data=patterned(2_500_000)), tmp_path)


@contextmanager
def running(hooked: Hooked) -> Iterator["subprocess.Popen[bytes]"]:
    """The backup in a process of its own, which stays in the reading of the data."""
    named = {"startup": hooked.hooks.startup, "guard": hooked.hooks.guard}
    row = {
        "wait": str(hooked.folder / "go on"),
        "hooks": {
            kind: (str(one.program), one.arguments, one.time_limit.total_seconds())
            for kind, one in named.items()
            if one is not None
        },
    }
    command = [sys.executable, "-m", "tests.engine.hooked_run", str(hooked.app.package)]
    process = subprocess.Popen([*command, json.dumps(row)], cwd=ROOT)
    try:
        yield process
    finally:
        (hooked.folder / "go on").touch()
        process.kill()
        process.wait(20)


def test_a_guard_lets_go_when_the_run_is_killed(hooked: Hooked) -> None:
    guarded = hooked.with_(guard=f'echo $$ > "$1/pid"\n{GUARD}')

    with running(guarded) as run:
        assert eventually((hooked.folder / "go on.reading").exists)
        assert hooked.diary() == ["ready"]
        run.kill()
        run.wait(20)

        assert eventually(lambda: hooked.diary() == ["ready", "let go"])
        assert eventually(lambda: not lives(read_pid(hooked.folder / "pid")))
    hooked.app.backup()
    assert "the run that started then died before it was done" in hooked.app.journal()


def test_a_guard_that_ignores_the_death_of_the_run_is_ended(hooked: Hooked) -> None:
    file = program(hooked.folder, "guard", 'echo $$ > "$1/pid"; echo ready; exec sleep 1000')

    with running(hooked.with_(guard=hook(file, 1))) as run:
        assert eventually((hooked.folder / "go on.reading").exists)
        run.kill()
        run.wait(20)

        assert eventually(lambda: not lives(read_pid(hooked.folder / "pid")))


def test_a_startup_hook_ends_with_its_children_when_the_run_is_killed(hooked: Hooked) -> None:
    hanging = hooked.with_(startup='sleep 1000 & echo $! > "$1/child"; echo $$ > "$1/pid"; wait')

    with running(hanging) as run:
        pids = [read_pid(hooked.folder / "pid"), read_pid(hooked.folder / "child")]
        run.kill()
        run.wait(20)

        assert eventually(lambda: not any(lives(pid) for pid in pids))
    for pid in pids:
        end(pid)
    hooked.app.backup()
    assert "the run that started then died before it was done" in hooked.app.journal()

"""The same command many times at once: one runs, the others are told, and afterwards all is whole."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, current_holder
from tests.engine.stories import App, make_app, verified
from tests.scheduler.real import PROGRAM, environment, wait_until
from tests.twice.machines import fill

DONE, LOCKED = 0, 6


@contextmanager
def started(app: App, state: Path, count: int) -> Iterator["list[subprocess.Popen[str]]"]:
    command = [*PROGRAM, "--state-folder", str(state), "backup", str(app.package)]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=30)


def stop_if_writing(app: App, processes: "list[subprocess.Popen[str]]") -> bool:
    """Freeze the one that runs, so that it is still on when the last of the others asks."""
    holder = current_holder(app.package / "Logs" / DATABASE_LOCK)
    if holder is None or not app.hidden():
        return False
    (running,) = (one for one in processes if one.pid == holder["pid"])
    running.send_signal(signal.SIGSTOP)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 20])
def test_of_many_backups_at_once_one_runs_and_the_others_say_so(tmp_path: Path, count: int) -> None:
    app = make_app(tmp_path)
    fill(app, 24)
    app.backup()

    with started(app, tmp_path / "state", count) as processes:
        wait_until(lambda: stop_if_writing(app, processes), "none of them began")
        wait_until(lambda: any(map(is_stopped, processes)), "it does not stand still")
        (winner,) = filter(is_stopped, processes)
        losers = [one for one in processes if one is not winner]
        ended = [one.communicate(timeout=60)[1] for one in losers]
        winner.send_signal(signal.SIGCONT)
        _, err = winner.communicate(timeout=60)

    assert winner.returncode == DONE, err
    assert [one.returncode for one in losers] == [LOCKED] * (count - 1)
    for said in ended:
        assert "error 1417: a backup cannot start: a backup is running since" in said
        assert f"(process {winner.pid})" in said
    assert app.sets() == ["data[0001]", "data[0002]"]
    assert all(verified(app.destination / name).good for name in app.sets())
    assert app.hidden() == []
    assert app.journal().count("*** ") == 2
    assert app.backup_set().name == "data[0003]"


def is_stopped(process: "subprocess.Popen[str]") -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"

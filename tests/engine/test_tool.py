"""Another program at work for us is heard to the end, and ended with its children when it is stopped or silent."""

import os
import sys
import time
from pathlib import Path

import pytest

from engine import tool
from engine.errors import EngineError, StoppedError
from engine.stop import StopRequest
from engine.tool import Ended, find_tool, run_tool


def run(script: str, folder: Path, stop: StopRequest | None = None) -> tuple[Ended, bytes]:
    heard = bytearray()
    ended = run_tool(["sh", "-c", script], folder, stop=stop or StopRequest(), hear=heard.extend)
    return ended, bytes(heard)


def _wait_for_its_end(pid: int) -> None:
    """A killed process is there until the kernel has come to it."""
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} lives")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


def test_all_it_writes_is_heard_with_how_it_ended(tmp_path: Path) -> None:
    ended, heard = run("seq 1 200000; pwd; echo why >&2; exit 7", tmp_path)

    assert heard.split()[199_999] == b"200000"
    assert heard.split()[-1] == os.fsencode(tmp_path)
    assert ended == Ended(7, "why")


def test_it_has_no_input(tmp_path: Path) -> None:
    assert run("cat; echo done", tmp_path) == (Ended(0, ""), b"done\n")


def test_a_signal_that_killed_it_is_told(tmp_path: Path) -> None:
    assert run("kill -9 $$", tmp_path)[0].code == -9


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="/nowhere/par2 cannot be started: No such file"):
        run_tool(["/nowhere/par2"], tmp_path, stop=StopRequest(), hear=print)


def test_a_stop_ends_it_with_its_children(tmp_path: Path) -> None:
    stop = StopRequest()
    heard = bytearray()

    def hear(data: bytes) -> None:
        heard.extend(data)
        if heard.count(b"\n") == 2:
            stop.ask()

    with pytest.raises(StoppedError):
        run_tool(["sh", "-c", "echo $$; sleep 60 & echo $!; wait"], tmp_path, stop=stop, hear=hear)

    for pid in map(int, heard.split()):
        _wait_for_its_end(pid)


def test_one_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "SILENCE_SECONDS", 0.5)

    with pytest.raises(EngineError, match="sh said nothing for"):
        run("sleep 60", tmp_path)


def test_one_that_leaves_a_child_with_its_pipe_has_ended(tmp_path: Path) -> None:
    ended, heard = run("sleep 5 & echo done", tmp_path)

    assert (ended.code, heard) == (0, b"done\n")


def test_what_the_listener_meets_ends_it(tmp_path: Path) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run_tool(["sh", "-c", "echo; sleep 60"], tmp_path, stop=StopRequest(), hear=full)


def test_a_program_beside_the_interpreter_counts_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "par2"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert find_tool("par2", "par2", "") == str(program)
    assert find_tool("sh", "dash", "") != str(tmp_path / "sh")


def test_one_that_is_not_installed_is_named_with_its_package() -> None:
    with pytest.raises(EngineError, match="the program no-such is not installed; why") as told:
        find_tool("no-such", "package", "why")

    assert told.value.hint == "apt install package, then try again"

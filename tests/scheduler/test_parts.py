"""The small parts around the service: systemd's socket, log lines, environment, timer, pipe, screen."""

import logging
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host import HostClock
from engine.progress import Progress
from scheduler.environment import SYSTEM_SERVICE_FILE, read_environment
from scheduler.logs import log_to_stderr
from scheduler.notify import Notifier
from scheduler.outcomes import Failed, Postponed, Published, ending_from_json, ending_to_json
from scheduler.screen import describe_progress, duration_words, size_words, table
from scheduler.timer import Timer
from scheduler.watch import Watch
from tests.scheduler.real import environment, wait_until

words = st.text(max_size=40)
numbers = st.integers(0, 10**6)
endings = st.one_of(
    st.builds(Published, numbers, words, numbers, words, st.lists(words).map(tuple)),
    st.builds(Postponed, words),
    st.builds(Failed, numbers, numbers, words, words),
)


# --- systemd --------------------------------------------------------------------------------------


def heard(address: str, act: Callable[[Notifier], None]) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.settimeout(5)
        act(Notifier(address))
        return listener.recv(4096).decode()


def test_an_abstract_socket_is_reached(tmp_path: Path) -> None:
    assert heard(f"@backup4d-{tmp_path.name}", lambda to: to.stopping()) == "STOPPING=1"


@pytest.mark.parametrize("status", ["a\nMAINPID=1", "a\n\nMAINPID=1", "a\r\nMAINPID=1", "\udce9"])
def test_a_status_is_one_line_whatever_it_quotes(tmp_path: Path, status: str) -> None:
    told = heard(f"@backup4d-{tmp_path.name}", lambda to: to.alive(status))

    assert [line.partition("=")[0] for line in told.splitlines()] == ["WATCHDOG", "STATUS"]


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "/" + "n" * 200])
def test_a_socket_that_is_not_there_harms_nothing(address: str | None) -> None:
    Notifier(address).ready("up")


# --- environment and log --------------------------------------------------------------------------


def test_systemds_state_folder_counts_first() -> None:
    found = read_environment({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/home/x"})

    assert found.state_folder == Path("/var/lib/a")
    assert found.service_file == SYSTEM_SERVICE_FILE
    assert found.notify_socket is None
    assert not found.journald


@pytest.mark.skipif(Path("/var/lib/backup4d").exists(), reason="backup4d is installed here")
def test_a_user_has_a_state_folder_of_their_own() -> None:
    assert read_environment({"HOME": "/home/x"}).state_folder == Path(
        "/home/x/.local/state/backup4d"
    )
    assert read_environment({"HOME": "/home/x", "XDG_STATE_HOME": "/s"}).state_folder == Path(
        "/s/backup4d"
    )


def test_a_state_folder_that_was_named_counts_more() -> None:
    found = read_environment({"STATE_DIRECTORY": "/var/lib/a"}, state_folder=Path("/mine"))

    assert found.state_folder == Path("/mine")


@pytest.mark.parametrize("name", ["Europe/Paris", "UTC", "Nowhere/Here"])
def test_the_zone_of_the_machine_is_taken_and_a_bad_one_stops_nothing(name: str) -> None:
    ask = "from scheduler.environment import find_host_zone; print(find_host_zone())"
    variables = environment(TZ=name) | {"PYTHONWARNINGS": "ignore"}

    said = subprocess.check_output([sys.executable, "-P", "-c", ask], env=variables, text=True)

    assert said.strip() == ("None" if name == "Nowhere/Here" else name)


def test_every_line_for_journald_has_its_priority(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])

    log_to_stderr(journald=True)
    logging.getLogger("scheduler.service").error("first\nsecond")
    logging.getLogger("scheduler.service").info("third")
    logging.getLogger("somebody.else").info("not told")

    assert capsys.readouterr().err == "<3>first\n<3>second\n<6>third\n"


# --- the pipe -------------------------------------------------------------------------------------


@given(ending=endings)
def test_an_ending_goes_through_the_pipe_unchanged(ending: Published | Postponed | Failed) -> None:
    assert ending_from_json(ending_to_json(ending)) == ending


@pytest.mark.parametrize("row", [{}, {"ending": "happy"}, {"ending": "published"}, [], 3, None])
def test_a_line_that_is_no_ending_is_refused(row: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ending_from_json(row)


# --- the timer ------------------------------------------------------------------------------------


def test_the_timer_calls_at_the_instant_asked_for_and_again_after_it_was_renewed() -> None:
    calls: queue.SimpleQueue[str] = queue.SimpleQueue()
    timer = Timer(lambda: calls.put("tick"))
    clock = HostClock()
    try:
        timer.wake_at(clock.now() + timedelta(milliseconds=100))
        assert calls.get(timeout=5) == "tick"
        timer.renew()
        timer.wake_at(clock.now() - timedelta(hours=1))
        assert calls.get(timeout=5) == "tick"
    finally:
        timer.stop()


def test_a_wish_taken_back_is_not_called() -> None:
    calls: queue.SimpleQueue[str] = queue.SimpleQueue()
    timer = Timer(lambda: calls.put("tick"))
    try:
        timer.wake_at(HostClock().now() + timedelta(milliseconds=200))
        timer.wake_at(None)
        timer.wake_at(None)
        with pytest.raises(queue.Empty):
            calls.get(timeout=0.4)
    finally:
        timer.stop()


def test_a_stopped_timer_leaves_no_thread_and_can_be_stopped_again() -> None:
    before = set(threading.enumerate())
    timer = Timer(lambda: None)
    timer.renew()

    timer.stop()
    timer.stop()

    wait_until(lambda: set(threading.enumerate()) <= before, "a thread of the timer is left")


# --- watching -------------------------------------------------------------------------------------


def test_an_edit_is_noticed_however_the_editor_saves(tmp_path: Path) -> None:
    file = tmp_path / "backup.4DSettings"
    file.write_text("old")
    seen = threading.Event()
    watch = Watch(seen.set)
    try:
        watch.follow([file])
        for save in (
            lambda: file.write_text("new"),
            lambda: (tmp_path / "draft").write_text("newer"),
            lambda: (tmp_path / "draft").replace(file),
            file.unlink,
            lambda: file.write_text("again"),
        ):
            seen.clear()
            save()
            if (tmp_path / "draft").exists():
                continue
            assert seen.wait(5)
    finally:
        watch.stop()


def test_other_files_and_reading_are_no_edit(tmp_path: Path) -> None:
    file = tmp_path / "backup.4DSettings"
    file.write_text("old")
    seen = threading.Event()
    watch = Watch(seen.set)
    try:
        watch.follow([file])
        file.read_text()
        (tmp_path / "letter").write_text("dear")
        assert not seen.wait(0.3)
    finally:
        watch.stop()


def test_a_folder_that_is_not_there_is_left_to_the_heartbeat(tmp_path: Path) -> None:
    watch = Watch(lambda: None)
    try:
        watch.follow([tmp_path / "gone" / "backup.4DSettings"])
        (tmp_path / "gone").mkdir()
        watch.follow([tmp_path / "gone" / "backup.4DSettings"])
    finally:
        watch.stop()


# --- the screen -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_are_shown_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert size_words(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (90000, "1 day 1 h"),
        (273600, "3 days 4 h"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: int, shown: str) -> None:
    assert duration_words(timedelta(seconds=seconds)) == shown


def test_a_table_is_aligned() -> None:
    assert table([("set", "kind"), ("1", "complete"), ("10000", "partial")]) == [
        "set    kind",
        "1      complete",
        "10000  partial",
    ]


@pytest.mark.parametrize(
    ("progress", "seconds", "shown"),
    [
        (Progress("planning", 0, 0), 9.0, "planning"),
        (Progress("saving", 0, 1 << 20), 9.0, "saving 0 % of 1.0 MiB"),
        (
            Progress("saving", 1 << 20, 4 << 20),
            1.0,
            "saving 25 % of 4.0 MiB, 1.0 MiB/s, 3 s left",
        ),
        (
            Progress("saving", 9 << 20, 4 << 20),
            1.0,
            "saving 100 % of 4.0 MiB, 9.0 MiB/s, 0 s left",
        ),
    ],
)
def test_progress_has_share_rate_and_time_left(
    progress: Progress, seconds: float, shown: str
) -> None:
    assert describe_progress(progress, seconds) == shown

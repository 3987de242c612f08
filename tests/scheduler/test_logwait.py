"""Waiting for a log: woken by the first record, not by each; where the kernel cannot tell, the time decides."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import scheduler.logwait
from scheduler.logwait import LogWait, signature

LONG = 20.0


@pytest.fixture
def wait() -> Iterator[LogWait]:
    made = LogWait()
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "data.journal"
    file.write_bytes(b"log")
    return file


def waited(wait: LogWait, log: Path, *, seconds: float = LONG) -> tuple[bool, float]:
    """Whether it changed, and how long that took to be noticed."""
    began = time.monotonic()
    changed = wait.until_changed(log, signature(log), seconds, unwatched=0.1)
    return changed, time.monotonic() - began


def soon(act: object) -> None:
    timer = threading.Timer(0.2, act)  # type: ignore[arg-type]
    timer.daemon = True
    timer.start()


def append(log: Path) -> None:
    with log.open("ab") as stream:
        stream.write(b"record")


def renew(log: Path) -> None:
    log.rename(log.with_name("old"))
    log.write_bytes(b"new")


@pytest.mark.parametrize("act", [append, renew, Path.unlink])
def test_what_happens_to_the_log_ends_the_wait(wait: LogWait, log: Path, act: object) -> None:
    soon(lambda: act(log))  # type: ignore[operator]

    changed, took = waited(wait, log)

    assert changed
    assert took < LONG / 2


def test_a_log_that_appears_ends_the_wait(wait: LogWait, log: Path) -> None:
    log.unlink()
    soon(lambda: log.write_bytes(b"log"))

    assert waited(wait, log)[0]


def test_what_came_before_the_watching_is_noticed(wait: LogWait, log: Path) -> None:
    seen = signature(log)
    append(log)

    assert wait.until_changed(log, seen, LONG, unwatched=LONG)


def test_nothing_ends_the_wait_when_nothing_happens(wait: LogWait, log: Path) -> None:
    changed, took = waited(wait, log, seconds=0.3)

    assert not changed
    assert took >= 0.29


def test_somebody_else_can_end_the_wait(wait: LogWait, log: Path) -> None:
    soon(wait.wake)

    changed, took = waited(wait, log)

    assert not changed
    assert took < LONG / 2


def test_where_the_kernel_cannot_tell_the_log_is_looked_at(
    wait: LogWait, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler.logwait, "kind_of", lambda _: "nfs4")
    soon(lambda: append(log))

    changed, took = waited(wait, log)

    assert changed
    assert took < LONG / 2


def test_a_wait_leaves_nothing_open(wait: LogWait, log: Path) -> None:
    waited(wait, log, seconds=0)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    for _ in range(50):
        waited(wait, log, seconds=0)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_thousand_records_are_one_word_of_the_kernel(wait: LogWait, log: Path) -> None:
    seen, woken = signature(log), 0
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.001):
            append(log)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            wait.until_changed(log, seen, LONG, unwatched=LONG)
            wait.pause(0.25)
            seen, woken = signature(log), woken + 1
    finally:
        over.set()
        writer.join()

    assert woken <= 5

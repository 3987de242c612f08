"""The fake clock keeps the promises of the real one."""

import threading
from datetime import UTC, timedelta

import pytest

from engine.host import Clock, HostClock
from tests.fakes import StoryClock


@pytest.mark.parametrize("clock", [HostClock(), StoryClock()], ids=["real", "fake"])
def test_a_clock_keeps_its_promises(clock: Clock) -> None:
    first, then = clock.now(), clock.monotonic()
    silent, rung = threading.Event(), threading.Event()
    rung.set()

    assert clock.wait(silent, 0.01) is False
    assert clock.wait(rung, 0.01) is True

    assert first.tzinfo is UTC
    assert clock.now() > first
    assert clock.monotonic() >= then + 0.01


def test_the_story_goes_on_only_when_told() -> None:
    clock = StoryClock(tick=timedelta(0))
    before = clock.now(), clock.monotonic()

    assert (clock.now(), clock.monotonic()) == before
    clock.pass_time(timedelta(hours=1))
    assert clock.now() - before[0] == timedelta(hours=1)

"""The soak in the suite: two minutes with `pytest -m slow`, and half a minute always; half an hour is `python -m tests.soak`."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def soak(minutes: float, seed: int) -> None:
    """In a process of its own: it makes itself a mount namespace."""
    command = [sys.executable, "-m", "tests.soak", "--minutes", str(minutes), "--seed", str(seed)]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


@pytest.mark.timeout(660)
@pytest.mark.parametrize("seed", [1])
def test_a_quarter_of_a_minute_of_faults_loses_and_leaks_nothing(seed: int) -> None:
    soak(0.25, seed)


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_two_minutes_of_faults_lose_and_leak_nothing(seed: int) -> None:
    soak(2, seed)

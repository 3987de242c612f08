"""The service idles small: what it must not load, and, slowly, what it costs to do nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.idle import LIMITS_MIB, MOST_WAKE_UPS, measure
from tests.scheduler.real import environment

HEAVY = ("blake3", "backports.zstd", "compression.zstd", "lxml", "rich", "tarfile", "engine.backup")


def test_the_service_does_not_load_what_only_a_run_needs() -> None:
    ask = "import sys, scheduler.cli, scheduler.commands_service; print(*sys.modules)"

    said = subprocess.check_output(
        [sys.executable, "-P", "-c", ask], env=environment(), text=True
    ).split()

    assert [name for name in HEAVY if name in said] == []
    assert "scheduler.service" in said


@pytest.mark.slow
@pytest.mark.parametrize("databases", LIMITS_MIB)
def test_the_idle_service_is_small_and_sleeps(tmp_path: Path, databases: int) -> None:
    cost = measure(tmp_path, databases, seconds=65)

    assert cost.resident_mib <= LIMITS_MIB[databases]
    assert cost.wake_ups <= MOST_WAKE_UPS

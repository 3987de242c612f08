"""A repair that is killed at any step: each file is the damaged one or the repaired one, and the next repair works."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine import parity_stories as p
from tests.engine.parity_stories import (
    ARCHIVE,
    HIDDEN,
    LOG,
    contents,
    copied,
    protect,
    repaired,
)
from tests.engine.stories import COMPRESSION, make_app, patterned

pytestmark = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")
_ROOT = Path(__file__).parents[2]


def die(folder: Path, point: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.engine.dying_repair", folder, str(point)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _telling(steps: list[str]) -> list[int]:
    """Every step but those in the middle of many equal ones."""
    rows = enumerate(zip(["", *steps], steps, [*steps[1:], ""], strict=False), 1)
    return [point for point, (before, step, after) in rows if not before == step == after]


def _decisive(steps: list[str]) -> list[int]:
    """When par2 is at work, and around the renames that put repaired files in place."""
    renames = [point for point, step in enumerate(steps, 1) if step.startswith("os.rename")]
    at_work = [point for point in _telling(steps) if steps[point - 1].startswith("repairing")]
    return sorted({at_work[0], at_work[-1], *renames, *(point + 1 for point in renames)})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("choose", [_decisive, pytest.param(_telling, marks=pytest.mark.slow)])
def test_a_repair_killed_at_any_step_loses_nothing(
    choose: Callable[[list[str]], list[int]], tmp_path: Path
) -> None:
    good = make_app(tmp_path, {COMPRESSION: "None"}, data=patterned(30_000)).backup_set()
    protect(good, spare=60)
    harmed = copied(good, tmp_path / "harmed")
    p.burst(harmed / ARCHIVE)
    p.emptied(harmed / LOG)
    lived = die(copied(harmed, tmp_path / "lives"), 0)
    steps = json.loads(lived.stdout)
    assert f"os.rename {ARCHIVE}" in steps
    killed_in_par2 = 0

    for point in choose(steps):
        folder = copied(harmed, tmp_path / f"killed {point}")
        died = die(folder, point)

        assert died.returncode in (-signal.SIGKILL, 0)  # a share of par2's more or less each time
        if died.returncode == 0:
            continue
        killed_in_par2 += steps[point - 1].startswith("repairing")
        found = contents(folder)
        for name, before in contents(harmed).items():
            assert found[name] in (before, (good / name).read_bytes())
        assert found.keys() == contents(harmed).keys()

        repaired(folder)

        assert contents(folder) == contents(good)
        for left in folder.parent.glob(f"{HIDDEN}*"):  # a par2 that had not met its broken pipe yet
            subprocess.run(["flock", "--timeout", "20", left, "true"], check=True)
            repaired(folder)
        assert list(folder.parent.iterdir()) == [folder]
    assert killed_in_par2

"""A restore in place that dies or fails at any step: the application is the old one or the new one, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).with_name("strike.c")
_ROOT = Path(__file__).parents[2]
_KILLED, _FAILED, _EIO, _ENOSPC, _EACCES, _EROFS, _EINVAL = -9, 3, 5, 28, 13, 30, 22


def struck(
    folder: Path, way: str | int, *, every: int = 1, old_disk: bool = False
) -> list[dict[str, Any]]:
    """What was seen for each step at which the restore was struck."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: no disk that strikes")
    library = folder / "strike.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    work = folder / "stage"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.striking", str(work), str(way), str(every)],
        cwd=_ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            **({"STRIKE_OLD_DISK": "1"} if old_disk else {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) * every > 20
    return rows


def check_killed(row: dict[str, Any]) -> None:
    assert row["code"] == _KILLED
    assert row["next_code"] == 0
    assert row["afterwards"] in {"old", "new"}
    assert row["afterwards"] == row["at_once"] or row["at_once"] in {"neither", "new"}
    assert not row["is_noted_afterwards"]
    assert row["hidden"] == []
    assert row["lost"] == []
    assert row["asides"] == (row["afterwards"] == "new")
    assert row["journal"] >= row["is_noted"]


def check_failed(row: dict[str, Any]) -> None:
    assert row["code"] in {0, _FAILED}
    assert row["at_once"] == row["afterwards"] == ("new" if row["code"] == 0 else "old")
    assert not row["is_noted"]
    assert row["next_code"] == 0
    assert row["lost"] == []
    assert row["asides"] == (row["code"] == 0)
    assert row["code"] == 0 or row["hidden"] == []


def test_a_restore_that_is_killed_is_undone_by_the_next_operation(tmp_path: Path) -> None:
    rows = struck(tmp_path, "killed", every=2)

    for row in rows:
        check_killed(row)
    assert {"old", "neither", "new"} == {row["at_once"] for row in rows}


def test_a_restore_that_meets_a_failing_disk_leaves_everything_as_it_was(tmp_path: Path) -> None:
    rows = struck(tmp_path, _EIO, every=3)

    for row in rows:
        check_failed(row)
    assert {0, _FAILED} == {row["code"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "killed-after"])
def test_killed_at_any_step(tmp_path: Path, way: str) -> None:
    for row in struck(tmp_path, way):
        check_killed(row)


@pytest.mark.slow
@pytest.mark.parametrize("error", [_EIO, _ENOSPC, _EACCES, _EROFS, _EINVAL])
def test_failing_at_any_step(tmp_path: Path, error: int) -> None:
    for row in struck(tmp_path, error):
        check_failed(row)


@pytest.mark.slow
def test_on_a_disk_that_cannot_trade_names_nothing_is_lost_either(tmp_path: Path) -> None:
    for row in struck(tmp_path, "killed", old_disk=True):
        # the settings may be away when it dies: then the next operation finds no database
        assert row["next_code"] in {0, 4}
        assert row["lost"] == []
        if row["next_code"] == 0:
            check_killed(row)


@pytest.mark.slow
def test_failing_at_any_step_on_a_disk_that_cannot_trade_names(tmp_path: Path) -> None:
    for row in struck(tmp_path, _EIO, old_disk=True):
        check_failed(row)

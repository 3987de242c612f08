"""The shipped unit fits the program: its time limits are longer than the program's own, and systemd takes it."""

import configparser
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.service import STOP_SECONDS
from scheduler.timer import HEARTBEAT
from tests.docs.pages import HOUSE, blocks

UNIT = HOUSE / "systemd" / "backup4d.service"


def unit() -> configparser.ConfigParser:
    """The unit's keys; of one that is there twice the last counts."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(UNIT.read_text("utf-8"))
    return parser


def seconds(key: str) -> timedelta:
    return timedelta(seconds=int(unit()["Service"][key]))


def systemd_analyze(*arguments: str | Path) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_run_has_time_to_stop_before_systemd_kills() -> None:
    assert seconds("TimeoutStopSec") > timedelta(seconds=STOP_SECONDS + 10)


def test_three_heartbeats_may_fail_before_the_watchdog_bites() -> None:
    assert seconds("WatchdogSec") > 3 * HEARTBEAT


def test_only_the_service_itself_is_asked_to_stop() -> None:
    assert unit()["Service"]["KillMode"] == "mixed"


def test_a_killed_run_does_not_end_the_service() -> None:
    assert unit()["Service"]["OOMPolicy"] == "continue"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with the page's drop-in and a program that is on this machine."""
    file = tmp_path / "backup4d.service"
    file.write_text(UNIT.read_text("utf-8").replace("/opt/backup4d/bin/backup4d", "/bin/true"))
    drop_in = tmp_path / "backup4d.service.d"
    drop_in.mkdir()
    text = blocks("commands.md", "ini")[0].replace("User=fourd", "User=daemon")
    (drop_in / "local.conf").write_text(text)
    return file


def test_systemd_finds_nothing_to_complain_about(installed: Path) -> None:
    assert systemd_analyze("verify", "--man=no", installed) == ""


def test_little_is_left_open(installed: Path) -> None:
    systemd_analyze("security", "--offline=yes", "--threshold=15", "--no-pager", installed)

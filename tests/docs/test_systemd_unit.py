"""The shipped units fit the program: time limits longer than the program's own, little left open, equal but in four lines."""

import configparser
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler.install import Account, drop_in_text, unit_text
from scheduler.runs import STOP_SECONDS
from scheduler.timer import HEARTBEAT
from tests.docs.pages import HOUSE

UNIT = HOUSE / "systemd" / "backup4d.service"
TEMPLATE = HOUSE / "systemd" / "backup4d@.service"
INSTANCES = {UNIT: "backup4d.service", TEMPLATE: "backup4d@srv-4d-Stock.service"}


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


def settings_lines(file: Path) -> list[str]:
    """What stands below the comments at the top."""
    text = file.read_text("utf-8")
    return text[text.index("[Unit]") :].splitlines()


def test_the_template_differs_from_the_service_only_where_it_must() -> None:
    pairs = zip(settings_lines(UNIT), settings_lines(TEMPLATE), strict=True)

    different = [(one, other) for one, other in pairs if one != other]

    assert different == [
        (
            "Description=Scheduled, verified backups of 4D applications",
            "Description=Scheduled, verified backups of %f",
        ),
        (
            "ExecStart=/opt/backup4d/bin/backup4d run",
            # not from STATE_DIRECTORY: a colon in the path would end it
            "ExecStart=/opt/backup4d/bin/backup4d --state-folder %S/backup4d-%i run %f",
        ),
        ("StateDirectory=backup4d", "StateDirectory=backup4d-%i"),
        ("RuntimeDirectory=backup4d", "RuntimeDirectory=backup4d-%i"),
    ]


@pytest.fixture(params=INSTANCES, ids=lambda file: file.name)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with the drop-in that install-service writes and a program that is on this machine."""
    text = unit_text(request.param.read_text("utf-8"), Path("/bin/true"))
    (tmp_path / request.param.name).write_text(text)
    file = tmp_path / INSTANCES[request.param]
    file.write_text(text)
    drop_in = tmp_path / f"{file.name}.d"
    drop_in.mkdir()
    folders = [Path("/srv/4d/Stock/Logs"), Path('/srv/backups/100% "new"')]
    (drop_in / "local.conf").write_text(drop_in_text(Account("daemon", "daemon"), folders))
    return file


def test_systemd_finds_nothing_to_complain_about(installed: Path) -> None:
    assert systemd_analyze("verify", "--man=no", installed) == ""


def test_little_is_left_open(installed: Path) -> None:
    systemd_analyze("security", "--offline=yes", "--threshold=10", "--no-pager", installed)


@pytest.mark.parametrize("name", ["backup4d.service", "backup4d@.service"])
def test_the_unit_lets_a_backup_ask_what_is_cached(name: str) -> None:
    """systemd's @system-service has no mincore(2): without it nothing is ever dropped from the cache again."""
    lines = (HOUSE / "systemd" / name).read_text().splitlines()
    allowed = [line for line in lines if line.startswith("SystemCallFilter=@")]

    assert any("mincore" in line.split() for line in allowed)

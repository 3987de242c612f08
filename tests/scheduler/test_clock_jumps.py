"""The real service while its wall clock jumps, sleeps, and its zone changes: `pytest -m slow -s` prints it all."""

import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.engine.stories import PARIS
from tests.scheduler.clock_stage import (
    TUESDAY,
    Stage,
    all_three,
    caught_up,
    clock_was_wrong,
    made,
    make_stage,
    rules,
)
from tests.scheduler.real import make_big
from tests.scheduler.wallclock import WallClock

SECONDS, HOURS, DAYS = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
YEAR = 365 * DAYS
NEW_YORK = ZoneInfo("America/New_York")
NOON = rules("12:00:00", "Tuesday")
HALF_PAST_TWO = rules("02:30:00", "Sunday")

# in the slow form nobody says that anything has moved: the heart alone finds out
_alone = pytest.param(False, id="alone", marks=[pytest.mark.slow, pytest.mark.timeout(900)])
both = pytest.mark.parametrize("nudge", [pytest.param(True, id="told"), _alone])
slowly = pytest.mark.parametrize("nudge", [_alone])


_LOOK = """
import sys, threading, time
for line in sys.stdin:
    began = time.monotonic()
    threading.Event().wait(0.1)
    print(time.time(), time.clock_gettime(time.CLOCK_REALTIME), began, time.monotonic(), flush=True)
"""


def test_only_the_wall_clock_moves_and_at_once(tmp_path: Path) -> None:
    clock = WallClock(tmp_path, TUESDAY)
    pipe = subprocess.PIPE
    watcher = subprocess.Popen(
        [sys.executable, "-c", _LOOK], stdin=pipe, stdout=pipe, text=True, env=clock.variables()
    )
    with watcher:
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        for by in (timedelta(), YEAR, -2 * YEAR, -HOURS):
            clock.move(by)
            earliest, start = clock.now().timestamp(), time.monotonic()
            watcher.stdin.write("now\n")
            watcher.stdin.flush()
            wall, precise, began, ended = map(float, watcher.stdout.readline().split())

            assert earliest <= wall <= precise <= clock.now().timestamp()
            assert start <= began <= ended - 0.1 <= time.monotonic() - 0.1
        watcher.stdin.close()


@slowly
def test_small_steps_of_the_clock_change_nothing(tmp_path: Path, nudge: bool) -> None:
    stage = make_stage(tmp_path, TUESDAY, NOON, nudge=nudge)

    with stage.service():
        stage.move("40 s ahead", 40 * SECONDS)
        stage.move("90 s back", -90 * SECONDS)
        stage.until("2026-03-10 11:00:02", hourly=[made("2026-03-10 11:00")])
        stage.move("two minutes back, to before a slot that is served", -120 * SECONDS)
        stage.move("and over it again", 120 * SECONDS)
        stage.until("2026-03-10 12:00:01", **all_three("2026-03-10 12:00"))

        stage.balance(TUESDAY)


@both
def test_an_hour_ahead_and_an_hour_back_lose_no_slot_and_serve_none_twice(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY + HOURS, NOON, nudge=nudge)

    with stage.service():
        late = caught_up(1, "2026-03-10 12:00")
        stage.move("an hour ahead", HOURS, hourly=late, daily=late, weekly=late)
        stage.move("an hour back", -HOURS)
        stage.until("2026-03-10 12:00:02")
        stage.until("2026-03-10 13:00:02", hourly=[made("2026-03-10 13:00")])
        stage.move("an hour back", -HOURS)
        stage.until("2026-03-10 14:00:02", hourly=[made("2026-03-10 14:00")])

        stage.balance(TUESDAY + HOURS)


@slowly
def test_a_weeks_sleep_is_caught_up_once(tmp_path: Path, nudge: bool) -> None:
    stage = make_stage(tmp_path, TUESDAY, NOON, nudge=nudge)

    with stage.service():
        stage.say("# the machine sleeps for a week")
        stage.on.real.process.send_signal(signal.SIGSTOP)
        stage.clock.move(7 * DAYS)
        stage.on.real.process.send_signal(signal.SIGCONT)
        stage.see(
            hourly=caught_up(168, "2026-03-10 11:00"),
            daily=caught_up(7, "2026-03-10 12:00"),
            weekly=caught_up(1, "2026-03-10 12:00"),
        )
        noon = all_three("2026-03-17 12:00")
        stage.until("2026-03-17 12:00:02", **{**noon, "hourly": caught_up(1, "2026-03-17 11:00")})

        stage.balance(TUESDAY)


@slowly
def test_a_clock_a_year_ahead_at_boot_is_corrected_and_slots_go_on(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY + YEAR, NOON, nudge=nudge)

    with stage.service("the service starts with a clock that is a year ahead"):
        stage.until("2027-03-10 11:00:02", hourly=[made("2027-03-10 11:00")])
        since = stage.clock.now() - YEAR
        stage.move(
            "the clock is set right, a year back",
            -YEAR,
            hourly=clock_was_wrong("2027-03-10 11:00"),
            daily=clock_was_wrong("2027-03-10 10:05"),
            weekly=clock_was_wrong("2027-03-10 10:05"),
        )
        stage.until("2026-03-10 12:00:02", **all_three("2026-03-10 12:00"))

        stage.balance(since)


@slowly
def test_slots_missed_by_a_restart_are_caught_up_though_a_set_of_a_wrong_clock_is_there(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY + YEAR, {"hourly": NOON["hourly"]}, nudge=nudge)
    with stage.service("the service starts with a clock that is a year ahead"):
        stage.until("2027-03-10 11:00:02", hourly=[made("2027-03-10 11:00")])
        wrong = clock_was_wrong("2027-03-10 11:00")
        stage.move("the clock is set right, a year back", -YEAR, hourly=wrong)

    stage.clock.move(3.5 * HOURS)

    with stage.service("the machine is up again", hourly=caught_up(3, "2026-03-10 12:00")):
        pass


def test_a_leap_over_years_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, TUESDAY, {"weekly": NOON["weekly"]}, nudge=True)

    with stage.service():
        late = caught_up(53, "2026-03-10 12:00")
        stage.move("a year ahead", YEAR, weekly=late)
        stage.move("and a bit", SECONDS)
        peak = _peak_mib(stage)
        stage.say(f"  the service has used {peak} MiB at most")

        assert peak < 60


@both
def test_a_clock_that_jumps_a_year_ahead_and_back_stops_nothing(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY, NOON, nudge=nudge)

    with stage.service():
        stage.move(
            "a year ahead",
            YEAR,
            hourly=caught_up(8760, "2026-03-10 11:00"),
            daily=caught_up(365, "2026-03-10 12:00"),
            weekly=caught_up(53, "2026-03-10 12:00"),
        )
        since = stage.clock.now() - YEAR
        stage.move(
            "and back",
            -YEAR,
            hourly=clock_was_wrong("2027-03-10 10:00"),
            daily=clock_was_wrong("2027-03-09 12:00"),
            weekly=clock_was_wrong("2027-03-09 12:00"),
        )
        # the first sets are for these slots, too: made before their time, under the wrong clock
        stage.until("2026-03-10 11:00:02", hourly=[made("2026-03-10 11:00")])
        stage.until("2026-03-10 12:00:02", **all_three("2026-03-10 12:00"))

        stage.balance(since)


@slowly
def test_a_clock_that_jumps_a_year_back_and_ahead_stops_nothing(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY + HOURS, NOON, nudge=nudge)

    with stage.service():
        stage.until("2026-03-10 12:00:02", **all_three("2026-03-10 12:00"))
        wrong = clock_was_wrong("2026-03-10 12:00")
        stage.move("a year back", -YEAR, hourly=wrong, daily=wrong, weekly=wrong)
        since = stage.clock.now()
        stage.until("2025-03-10 13:00:02", hourly=[made("2025-03-10 13:00")])
        stage.until(
            "2026-03-10 13:00:02",
            hourly=caught_up(8759, "2025-03-10 14:00"),
            daily=caught_up(365, "2025-03-11 12:00"),
            weekly=caught_up(53, "2025-03-11 12:00"),
        )
        stage.until("2026-03-10 14:00:02", hourly=[made("2026-03-10 14:00")])

        stage.balance(since)


@slowly
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_while_a_run_is_on_harms_neither_the_run_nor_a_slot(
    tmp_path: Path, nudge: bool, hours: int
) -> None:
    stage = make_stage(tmp_path, TUESDAY, {"hourly": NOON["hourly"]}, nudge=nudge)
    make_big(stage.apps["hourly"])

    with stage.service():
        stage.clock.move(55 * 60 * SECONDS)
        if stage.nudge:
            stage.on.look()
        stage.on.real.wait_for_child()
        # an hour ahead: the run that is on answers for the slot that comes due meanwhile
        stage.move(f"{hours} h while a run is on", hours * HOURS, hourly=[made("2026-03-10 11:00")])
        stage.until("2026-03-10 13:00:02", hourly=_after_a_jump(hours))

        stage.balance(TUESDAY)


def _after_a_jump(hours: int) -> list[str]:
    return [made("2026-03-10 13:00")] if hours > 0 else caught_up(1, "2026-03-10 12:00")


def _peak_mib(stage: Stage) -> int:
    status = Path(f"/proc/{stage.on.real.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


# --- zones ----------------------------------------------------------------------------------------


def _in_zone(stage: Stage, zone: ZoneInfo | None) -> None:
    """The databases stand in a service file with this zone; None: with the zone of the machine."""
    file = stage.post.state_folder.with_name("service.xml")
    packages = "".join(
        f"<Database><Package>{app.package}</Package></Database>" for app in stage.apps.values()
    )
    named = "" if zone is None else f"<TimeZone>{zone.key}</TimeZone>"
    beside = file.with_suffix(".new")
    beside.write_text(
        f"<Backup4DService>{named}<Databases>{packages}</Databases></Backup4DService>"
    )
    beside.replace(file)
    stage.post.service_file = file
    stage.zone = zone or stage.zone
    stage.slots = _not_told


def _paris(wall: str) -> datetime:
    return datetime.fromisoformat(wall).replace(tzinfo=PARIS)


def _not_told(_name: str, _since: datetime, _until: datetime) -> list[datetime]:
    return []


@slowly
def test_the_night_without_half_past_two_is_served_right_after_the_gap(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, _paris("2026-03-29 00:05:00"), HALF_PAST_TWO, nudge=nudge)
    _in_zone(stage, PARIS)

    with stage.service():
        stage.until("2026-03-29 01:00:02", hourly=[made("2026-03-29 01:00 CET")])
        stage.until("2026-03-29 01:55:00")
        stage.until("2026-03-29 03:00:02", **all_three("2026-03-29 03:00 CEST"))
        stage.until("2026-03-29 04:00:02", hourly=[made("2026-03-29 04:00 CEST")])
        stage.until(
            "2026-03-30 02:30:02",
            hourly=caught_up_in_paris(22, "2026-03-29 05:00", "CEST"),
            daily=[made("2026-03-30 02:30 CEST")],
        )

        stage.whole()


@both
def test_the_night_with_two_hours_from_two_to_three_serves_the_hours_twice_and_the_rest_once(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, _paris("2026-10-25 01:05:00"), HALF_PAST_TWO, nudge=nudge)
    _in_zone(stage, PARIS)

    with stage.service():
        stage.until("2026-10-25 02:00:02", hourly=[made("2026-10-25 02:00 CEST")])
        first = [made("2026-10-25 02:30 CEST")]
        stage.until("2026-10-25 02:30:02", daily=first, weekly=first)
        stage.until_again("2026-10-25 02:00:02", hourly=[made("2026-10-25 02:00 CET")])
        stage.until_again("2026-10-25 02:30:02")
        stage.until("2026-10-25 03:00:02", hourly=[made("2026-10-25 03:00 CET")])

        stage.whole()


def caught_up_in_paris(count: int, first: str, name: str) -> list[str]:
    """The journal's dates are local and carry no zone."""
    return [caught_up(count, first)[0], made(f"{first} {name}")]


@both
def test_another_zone_in_the_service_file_counts_without_a_restart(
    tmp_path: Path, nudge: bool
) -> None:
    stage = make_stage(tmp_path, TUESDAY, NOON, nudge=nudge)
    _in_zone(stage, PARIS)

    with stage.service():
        stage.say("# the service file gets another zone")
        _in_zone(stage, NEW_YORK)
        stage.see(**_zone_changed())
        _pass_noon_of_new_york(stage)


@slowly
@pytest.mark.root
def test_another_zone_of_the_machine_counts_without_a_restart(tmp_path: Path, nudge: bool) -> None:
    stage = make_stage(tmp_path, TUESDAY, NOON, nudge=nudge)
    _in_zone(stage, None)
    settings_of_host = _private_host(stage, tmp_path / "etc")
    _set_host_zone(settings_of_host, PARIS)
    stage.zone = PARIS

    with stage.service():
        stage.say("# the machine gets another zone")
        _set_host_zone(settings_of_host, NEW_YORK)
        stage.zone = NEW_YORK
        stage.see(**_zone_changed())
        _pass_noon_of_new_york(stage)


def _zone_changed() -> dict[str, list[str]]:
    words = "Settings; Time zone : America/New_York from now on, Europe/Paris before"
    return {name: [words] for name in NOON}


def _pass_noon_of_new_york(stage: Stage) -> None:
    """In Paris noon comes within the hour, in New York hours later: it is served there, and only there."""
    stage.until("2026-03-10 07:00:02", hourly=[made("2026-03-10 07:00 EDT")])
    stage.until(
        "2026-03-10 12:00:02",
        hourly=[caught_up(4, "2026-03-10 08:00")[0], made("2026-03-10 08:00 EDT")],
        daily=[made("2026-03-10 12:00 EDT")],
        weekly=[made("2026-03-10 12:00 EDT")],
    )
    stage.whole()


def _private_host(stage: Stage, etc: Path) -> Path:
    """The service has an /etc of its own, which the test can change; the machine's is not touched."""
    bind = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$0" /etc && exec env -u TZ "$@"',
        str(etc),
    ]
    shutil.copytree("/etc", etc, symlinks=True)
    if subprocess.run([*bind, "true"], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("no mount namespace of our own here")
    stage.post.prefix = bind
    return etc


def _set_host_zone(etc: Path, zone: ZoneInfo) -> None:
    """As timedatectl does: another link in the place of the old one."""
    beside = etc / "localtime.new"
    beside.symlink_to(f"/usr/share/zoneinfo/{zone.key}")
    beside.replace(etc / "localtime")
    (etc / "timezone").unlink(missing_ok=True)

"""The service file and the zone of a running service: taken up without a restart, or the last good one stays."""

import logging
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import scheduler.context as context_module
import scheduler.service_source as module
from scheduler.context import make_context
from scheduler.environment import read_environment, zone_signature
from scheduler.service_source import ServiceSource
from tests.engine.stories import App
from tests.scheduler.real import (
    Real,
    application,
    clock_in,
    make_big,
    owe,
    reschedule,
    serve,
    service_of,
    visible,
    wait_until,
)

LIMITS = "<Limits><RunsPerDevice>3</RunsPerDevice></Limits>"
MAP = "<PathMap><Map><From>C:\\Backups</From><To>/srv/backups</To></Map></PathMap>"
HOOK = "<Hooks><Startup><Program>/usr/bin/true</Program></Startup></Hooks>"
BROKEN = "<Backup4DService><Limits>"
AWAITING, PUBLISHED = "next backup", "published in"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "etc" / "service.xml"
    file.parent.mkdir()
    write(file)
    return file


def write(file: Path, *packages: str, more: str = "", zone: str | None = "UTC") -> None:
    """A service file that lists these packages."""
    rows = "".join(f"<Database><Package>{package}</Package></Database>" for package in packages)
    zones = "" if zone is None else f"<TimeZone>{zone}</TimeZone>"
    file.write_text(
        f"<Backup4DService>{zones}<Databases>{rows}</Databases>{more}</Backup4DService>"
    )


def source_of(file: Path, *named: Path) -> ServiceSource:
    """A service that has looked once."""
    environment = read_environment({}, state_folder=file.parent / "state")
    source = ServiceSource(make_context(environment, file), named)
    assert not source.look()
    return source


def served(source: ServiceSource) -> list[str]:
    return [str(entry.package) for entry in source.entries]


# --- edits ----------------------------------------------------------------------------------------


def test_databases_are_added_and_removed(file: Path) -> None:
    source = source_of(file)

    write(file, "/srv/one", "/srv/two")
    assert source.look()
    assert served(source) == ["/srv/one", "/srv/two"]
    write(file, "/srv/two")
    assert source.look()
    assert served(source) == ["/srv/two"]


def test_limits_path_map_hooks_and_zone_are_taken_up(file: Path) -> None:
    write(file, "/srv/one")
    source = source_of(file)

    write(file, "/srv/one", more=MAP + HOOK + LIMITS, zone="Europe/Paris")

    assert source.look()
    assert source.host.limits.runs_per_device == 3
    assert source.host.path_map.entries == (("C:\\Backups", "/srv/backups"),)
    assert source.host.zone == ZoneInfo("Europe/Paris")
    startup = source.entries[0].hooks.startup
    assert startup is not None
    assert startup.program == Path("/usr/bin/true")


def test_a_file_written_again_as_it_was_is_no_edit(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(file)

    with caplog.at_level(logging.INFO):
        write(file)
        assert not source.look()

    assert caplog.records == []


def test_hooks_reach_databases_named_on_the_command_line(file: Path, tmp_path: Path) -> None:
    source = source_of(file, tmp_path / "app")

    write(file, more=HOOK)

    assert source.look()
    (entry,) = source.entries
    assert entry.package == tmp_path / "app"
    assert entry.hooks.startup is not None


# --- edits that are no good -----------------------------------------------------------------------


def break_it(file: Path) -> None:
    file.write_text(BROKEN)


def delete_it(file: Path) -> None:
    file.unlink()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def move_its_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("away"))


@pytest.mark.parametrize("harm", [break_it, delete_it, a_folder, move_its_folder])
def test_the_last_good_one_stays_and_that_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    write(file, "/srv/one", more=LIMITS)
    source = source_of(file)

    harm(file)
    for _ in range(3):
        assert not source.look()

    assert served(source) == ["/srv/one"]
    assert source.host.limits.runs_per_device == 3
    assert source.problem is not None
    assert str(file) in source.problem
    (record,) = caplog.records
    assert "the last good one stays in force" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_good_one_is_taken_up_after_a_broken_one(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(file)
    file.write_text(BROKEN)
    source.look()

    with caplog.at_level(logging.INFO):
        write(file, "/srv/one")
        assert source.look()

    assert served(source) == ["/srv/one"]
    assert source.problem is None
    assert "service file usable again" in caplog.text
    assert "service file changed and taken up" in caplog.text


def test_the_same_one_may_be_deleted_and_come_back(file: Path) -> None:
    source = source_of(file)
    content = file.read_bytes()
    file.unlink()
    source.look()

    file.write_bytes(content)

    assert not source.look()
    assert source.problem is None


def test_a_file_that_comes_later_is_taken_up_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "service.xml"
    monkeypatch.setattr("scheduler.environment.SYSTEM_SERVICE_FILE", file)
    environment = read_environment({}, state_folder=tmp_path / "state")
    source = ServiceSource(make_context(environment, None), (tmp_path / "app",))
    assert not source.look()
    assert source.problem is None

    write(file, more=LIMITS)
    with caplog.at_level(logging.INFO):
        assert source.look()

    assert source.host.limits.runs_per_device == 3
    assert "service file changed and taken up" in caplog.text


# --- the zone of the machine ----------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine whose zone can be set."""
    zone = {"name": "Europe/Paris"}
    for place in (module, context_module):
        monkeypatch.setattr(
            place, "find_host_zone", lambda: ZoneInfo(zone["name"]) if zone["name"] else None
        )
    monkeypatch.setattr(module, "zone_signature", lambda: (zone["name"],))
    return zone


def test_a_zone_set_anew_is_followed(file: Path, machine: dict[str, str]) -> None:
    write(file, zone=None)
    source = source_of(file)
    assert source.host.zone.key == "Europe/Paris"

    machine["name"] = "Asia/Tokyo"

    assert source.look()
    assert source.host.zone.key == "Asia/Tokyo"


def test_the_zone_of_the_service_file_counts_more(file: Path, machine: dict[str, str]) -> None:
    source = source_of(file)

    machine["name"] = "Asia/Tokyo"

    assert not source.look()
    assert source.host.zone.key == "UTC"


def test_a_zone_taken_out_of_the_service_file_is_the_machines(
    file: Path, machine: dict[str, str]
) -> None:
    source = source_of(file)
    machine["name"] = "Asia/Tokyo"
    source.look()

    write(file, zone=None)

    assert source.look()
    assert source.host.zone.key == "Asia/Tokyo"


def test_a_zone_that_cannot_be_told_now_changes_nothing(
    file: Path, machine: dict[str, str]
) -> None:
    write(file, zone=None)
    source = source_of(file)

    machine["name"] = ""

    assert not source.look()
    assert source.host.zone.key == "Europe/Paris"


def test_a_zone_that_can_be_told_later_is_followed_then(
    file: Path, machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, zone=None)
    source = source_of(file)
    monkeypatch.setattr(module, "zone_signature", lambda: ("half written",))
    machine["name"] = ""
    source.look()

    machine["name"] = "Asia/Tokyo"

    assert source.look()
    assert source.host.zone.key == "Asia/Tokyo"


def test_links_in_a_circle_are_no_zone_and_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    circle = tmp_path / "localtime"
    circle.symlink_to(circle)
    monkeypatch.setattr("scheduler.environment._LOCALTIME", circle)

    assert zone_signature()[0] is None


# --- the real service -----------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def look(real: Real) -> None:
    real.process.send_signal(signal.SIGHUP)


def test_a_database_added_to_the_file_is_served_within_seconds(
    tmp_path: Path, state: Path, file: Path
) -> None:
    one, two = application(tmp_path / "one"), application(tmp_path / "two")
    serve(file, one)

    with service_of(file, state) as real:
        real.wait_for(AWAITING)
        reschedule(two, clock_in(4))
        draft = file.with_name("draft")
        serve(draft, one, two)
        draft.replace(file)
        real.wait_for(f"{two.package}: served from now on", seconds=6)
        real.wait_for(PUBLISHED)

    assert visible(two) == ["data[0001]"]


def test_a_run_of_a_database_that_leaves_ends_well_and_it_may_come_back(
    tmp_path: Path, state: Path, file: Path
) -> None:
    app = application(tmp_path)
    make_big(app)
    owe(app, state)
    serve(file, app)

    with service_of(file, state) as real:
        real.wait_for_child()
        serve(file)
        look(real)
        real.wait_for("no longer served")
        serve(file, app)
        look(real)
        real.wait_for("service file changed and taken up", times=2)
        app.data_file.write_bytes(b"a small one")
        real.wait_for(PUBLISHED)
        real.wait_for(AWAITING)

        assert real.said().count("backup starts") == 1
        assert "retry" not in real.said()

    assert visible(app) == ["data[0001]"]
    assert journaled(app) == ["Scheduled backup missed", "Settings", "Full Backup"]
    assert "no automatic backup any more" in app.journal()


def test_a_database_that_leaves_while_it_waits_is_owed_its_backup(
    tmp_path: Path, state: Path, file: Path
) -> None:
    one, two = application(tmp_path / "one"), application(tmp_path / "two")
    make_big(one)
    for app in (one, two):
        owe(app, state)
    serve(file, one, two)

    with service_of(file, state) as real:
        real.wait_for_child()
        serve(file, one)
        look(real)
        real.wait_for(f"{two.package}: no longer served")
        wait_until(lambda: "no automatic backup any more" in two.journal(), "not journaled")
        assert visible(two) == []
        one.data_file.write_bytes(b"")
        serve(file, one, two)
        look(real)
        real.wait_for("still owed")
        real.wait_for(PUBLISHED, times=2)

    assert visible(two) == ["data[0001]"]


def journaled(app: App) -> list[str]:
    lines = app.journal().splitlines()
    return [line.removeprefix("*** ") for line in lines if line.startswith("*** ")]


def test_a_broken_file_is_told_once_and_its_folder_may_vanish(
    tmp_path: Path, state: Path, file: Path
) -> None:
    app = application(tmp_path)
    serve(file, app)

    with service_of(file, state) as real:
        real.wait_for(AWAITING)
        file.write_text(BROKEN)
        real.wait_for("service file refused", seconds=6)
        shutil.move(file.parent, tmp_path / "away")
        look(real)
        real.wait_for("service file refused", times=2)
        reschedule(app, clock_in(2))
        look(real)
        real.wait_for(PUBLISHED)
        shutil.move(tmp_path / "away", file.parent)
        serve(file, app)
        look(real)
        real.wait_for("service file usable again")
        serve(file)
        real.wait_for("no longer served", seconds=6)  # the folder that came back is watched again

        assert real.said().count("service file refused") == 2

    assert visible(app) == ["data[0001]"]

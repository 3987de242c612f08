"""backup4d as a service of a real systemd: installed as a user does it, run, hung, killed, stopped, taken away."""

import re
from pathlib import Path

import pytest

from scheduler.runs import STOP_SECONDS
from tests.engine.stories import DESTINATION
from tests.scheduler.real import wait_until
from tests.systemd.databases import Database, database, install
from tests.systemd.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

NEXT = "next backup"
PUBLISHED = "published in"
QUICK = "RestartSec=100ms"


@pytest.fixture
def served(host: Machine) -> Database:
    """An application whose service is installed, enabled and running."""
    it = database(host)
    install(host, it.package)
    host.wait_for(NEXT)
    return it


def stop_seconds(host: Machine) -> float:
    """How long `systemctl stop` took."""
    words = host.sh("TIMEFORMAT=%R; { time systemctl stop backup4d; } 2>&1")
    return float(words.strip().splitlines()[-1])


def open_exposure(host: Machine, unit: str = "backup4d.service") -> float:
    words = host.does("systemd-analyze", "security", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", words)
    assert found is not None
    return float(found[1])


# --- running --------------------------------------------------------------------------------------


def test_what_install_prints_starts_a_service_that_tells_systemd_how_it_does(
    served: Database,
) -> None:
    host = served.host

    host.does(
        "systemctl", "restart", "backup4d"
    )  # comes back when the service says that it is ready
    words = host.does("systemctl", "status", "--no-pager", "-l", "backup4d")

    assert "Active: active (running)" in words
    assert re.search(r'Status: "next backup 20.* \(every day at ', words)
    assert host.shown("UnitFileState") == "enabled"
    assert (
        host.sh("stat -c %U /proc/$(systemctl show --value -p MainPID backup4d)").strip() == "fourd"
    )


def test_little_is_left_open_in_the_running_system(served: Database) -> None:
    assert open_exposure(served.host) <= 2.0


def test_an_edited_slot_is_served_under_full_hardening_and_the_set_verifies(
    served: Database,
) -> None:
    served.due_in(4)

    served.host.wait_for("settings changed and taken up")
    served.host.wait_for(PUBLISHED)

    assert served.sets() == ["data[0001]"]
    assert served.is_good("data[0001]")
    assert served.host.backup4d("verify", served.package, user="fourd").code == 0
    assert "*** Full Backup\n" in served.journal()
    wait_until(lambda: NEXT in served.host.shown("StatusText"), "its status never came back")


def test_sets_inside_the_application_can_be_written(host: Machine) -> None:
    inside = database(host, inside=True)
    install(host, inside.package)

    inside.due_in(4)
    host.wait_for(PUBLISHED)

    assert inside.is_good("data[0001]")


def test_what_the_drop_in_does_not_open_cannot_be_written(served: Database) -> None:
    host = served.host
    host.does("install", "-d", "-o", "fourd", "/srv/other")
    served.due_in(4, **{DESTINATION: "/srv/other/"})

    host.wait_for("backup failed (1407)")

    assert "/srv/other (Read-only file system)" in host.said()
    assert list(host.path("/srv/other").iterdir()) == []


def test_errors_have_the_priority_of_errors_in_the_journal(served: Database) -> None:
    host = served.host
    host.does("rm", "-r", served.sets_folder)
    host.does("touch", served.sets_folder)

    served.due_in(3)
    host.wait_for("backup failed (1407)")

    errors = host.said("backup4d", "-p", "err")
    assert "backup failed (1407)" in errors
    assert NEXT not in errors


def test_reload_looks_at_everything_at_once_in_the_same_process(served: Database) -> None:
    host = served.host
    before = host.shown("MainPID")
    settings = served.outside.layout.settings_file.parent
    settings.rename(settings.with_name("Settings away"))

    host.does("systemctl", "reload", "backup4d")
    host.wait_for("settings refused")

    assert host.shown("MainPID") == before
    assert host.shown("ActiveState") == "active"


# --- dying ----------------------------------------------------------------------------------------


def test_a_hung_service_is_killed_by_the_watchdog_and_started_again(served: Database) -> None:
    host = served.host
    host.drop_in("backup4d.service", f"WatchdogSec=28\n{QUICK}")
    host.does("systemctl", "restart", "backup4d")
    before = host.shown("MainPID")

    host.does("kill", "-STOP", before)
    host.wait_for(NEXT, times=3)

    assert host.shown("MainPID") != before
    assert host.shown("NRestarts") == "1"
    assert "Watchdog timeout" in host.said()
    assert "result 'watchdog'" in host.said()


def test_a_killed_service_is_started_again_and_makes_what_was_cut_off(served: Database) -> None:
    host = served.host
    host.drop_in("backup4d.service", QUICK)
    host.does("systemctl", "restart", "backup4d")
    served.grow()
    served.due_in(4)
    wait_until(lambda: served.hidden() != [], "the run never began to write")

    host.does("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "backup4d")
    host.wait_for(PUBLISHED)

    assert host.shown("NRestarts") == "1"
    assert served.sets() == ["data[0001]"]
    assert served.hidden() == []
    assert served.is_good("data[0001]")


def test_a_stop_in_the_middle_of_a_backup_is_clean_and_the_next_start_makes_it(
    served: Database,
) -> None:
    host = served.host
    served.grow()
    served.due_in(4)
    wait_until(lambda: served.hidden() != [], "the run never began to write")

    took = stop_seconds(host)

    assert took < STOP_SECONDS
    assert host.shown("Result") == "success"
    assert (served.sets(), served.hidden()) == ([], [])
    assert "*** Full Backup aborted" in served.journal()
    assert host.run("pgrep", "-f", "/opt/backup4d").code == 1

    host.does("systemctl", "start", "backup4d")
    host.wait_for(PUBLISHED)
    assert served.is_good("data[0001]")


def test_an_idle_service_stops_at_once(served: Database) -> None:
    assert stop_seconds(served.host) < 5
    assert served.host.shown("Result") == "success"


def test_a_restart_with_a_service_file_that_is_refused_serves_by_the_last_good_one(
    served: Database,
) -> None:
    host = served.host
    host.path("/etc/backup4d/service.xml").write_text("<Backup4DService><Zone/></Backup4DService>")

    host.does("systemctl", "restart", "backup4d")

    host.wait_for("service file refused; the last good one stays in force")
    served.due_in(4)
    host.wait_for(PUBLISHED)
    assert served.is_good("data[0001]")


def test_a_service_file_that_never_was_good_is_not_tried_again_and_again(served: Database) -> None:
    host = served.host
    host.path("/etc/backup4d/service.xml").write_text("<Backup4DService><Zone/></Backup4DService>")
    host.path("/var/lib/backup4d/service.xml").unlink()
    host.drop_in("backup4d.service", QUICK)

    done = host.run("systemctl", "restart", "backup4d")

    assert done.code != 0
    wait_until(lambda: host.shown("ActiveState") == "failed", "it is started again and again")
    assert (host.shown("ExecMainStatus"), host.shown("NRestarts")) == ("4", "0")
    assert "unknown key" in host.said()


# --- instances ------------------------------------------------------------------------------------

ODD = 'My "Shop" 100%h é\\x'


def test_a_second_database_has_a_service_of_its_own_and_another_user(served: Database) -> None:
    host = served.host
    other = database(host, ODD, owner="stock")
    unit = host.does(
        "systemd-escape", "--path", "--template=backup4d@.service", other.package
    ).strip()

    install(host, "--instance", other.package)
    host.wait_for(NEXT, unit)
    other.due_in(4)
    host.wait_for(PUBLISHED, unit)

    assert "service       running" in host.backup4d("status", other.package).out
    assert other.is_good("data[0001]")
    assert host.shown("User", unit) == "stock"
    assert open_exposure(host, unit) <= 2.0
    assert served.sets() == []


def test_one_service_takes_nothing_from_the_other(host: Machine) -> None:
    """Whichever is first: systemd gives folders to a service with all that is inside, and removes them so."""
    served, other = database(host), database(host, "Stock", owner="stock")
    unit = "backup4d@srv-4d-Stock.service"
    install(host, "--instance", other.package)
    host.wait_for(NEXT, unit)
    folders = ("/run/backup4d-srv-4d-Stock", "/var/lib/backup4d-srv-4d-Stock")
    before = [{p.name for p in host.path(folder).iterdir()} for folder in folders]

    install(host, served.package)
    host.wait_for(NEXT)
    host.does("systemctl", "stop", "backup4d")

    after = [{p.name for p in host.path(folder).iterdir()} for folder in folders]
    # the service file came with the second, and the first keeps what it last read of it
    assert [names - {"service.xml"} for names in after] == before
    assert all(before)
    assert [host.sh(f"stat -c %U {folder}").strip() for folder in folders] == ["stock", "stock"]


# --- a volume that comes later --------------------------------------------------------------------


def test_a_backup_volume_mounted_after_the_start_is_written_to(served: Database) -> None:
    host = served.host
    host.does(
        "mount", "-t", "tmpfs", "-o", "mode=755,uid=1000,gid=1000", "disk", served.sets_folder
    )

    served.due_in(4)
    host.wait_for(PUBLISHED)

    assert served.is_good("data[0001]")
    assert (
        host.does("findmnt", "-no", "SOURCE", "-T", served.sets_folder / "data[0001]").strip()
        == "disk"
    )


# --- taken away -----------------------------------------------------------------------------------


def test_uninstall_wants_it_stopped_first_and_leaves_everything_of_value(served: Database) -> None:
    host = served.host
    served.due_in(4)
    host.wait_for(PUBLISHED)
    state = sorted(p.name for p in host.path("/var/lib/backup4d").iterdir())

    refused = host.backup4d("uninstall-service")
    assert refused.code == 1
    assert "systemctl disable --now backup4d.service" in refused.err

    host.does("systemctl", "disable", "--now", "backup4d.service")
    done = host.backup4d("uninstall-service")
    host.does("systemctl", "daemon-reload")

    assert done.code == 0, done.err
    assert host.run("systemctl", "cat", "backup4d").code != 0
    assert list(host.path("/etc/systemd/system").rglob("*backup4d*")) == []
    assert host.path("/etc/backup4d/service.xml").exists()
    assert sorted(p.name for p in host.path("/var/lib/backup4d").iterdir()) == state
    assert served.is_good("data[0001]")


# --- refused --------------------------------------------------------------------------------------


def test_a_program_that_the_user_cannot_read_is_refused(host: Machine) -> None:
    it = database(host)
    host.does("cp", "-r", "/opt/backup4d", "/root/private")

    done = host.run("/root/private/bin/python", "-m", "scheduler", "install-service", it.package)

    assert done.code == 4
    assert "fourd may not read /root/private/bin/backup4d" in done.err
    assert not host.path("/etc/systemd/system/backup4d.service").exists()


def test_without_root_nothing_is_written_and_it_says_so(host: Machine) -> None:
    it = database(host)

    done = host.backup4d("install-service", it.package, user="fourd")

    assert done.code == 1
    assert "only root may write in /etc/systemd/system" in done.err
    assert not Path(host.path("/etc/backup4d")).exists()


def test_a_second_run_changes_nothing_even_while_the_service_runs(served: Database) -> None:
    before = served.host.sh("sha256sum /etc/systemd/system/backup4d*.service /etc/backup4d/*")

    printed = install(served.host, served.package)

    assert "nothing had to be changed" in printed
    assert (
        served.host.sh("sha256sum /etc/systemd/system/backup4d*.service /etc/backup4d/*") == before
    )

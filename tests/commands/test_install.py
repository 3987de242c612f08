"""install-service and uninstall-service: what they write, what they leave alone, what they refuse."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.instance import instance_unit
from settings.service_file import load_service_file
from tests.commands.terminal import Printed, Terminal, application
from tests.engine.stories import App

Installs = Callable[..., Printed]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """In place of /."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def installs(terminal: Terminal, root: Path) -> Installs:
    """The command with a root and a user, so that it runs for everybody and anywhere."""

    def run(*words: str | Path) -> Printed:
        account = ("--user", "daemon", "--group", "daemon")
        return terminal.types_bare("install-service", "--root", root, *account, *words)

    return run


def below(root: Path) -> dict[str, str]:
    """Every file below a folder, with its text."""
    return {
        str(file.relative_to(root)): file.read_text("utf-8")
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


UNITS = "etc/systemd/system"
MAIN = f"{UNITS}/backup4d.service"
TEMPLATE = f"{UNITS}/backup4d@.service"
DROP_IN = f"{UNITS}/backup4d.service.d/10-backup4d.conf"
SERVICE_FILE = "etc/backup4d/service.xml"


# --- what is written ------------------------------------------------------------------------------


def test_units_drop_in_and_a_service_file_are_written(
    installs: Installs, root: Path, app: App
) -> None:
    printed = installs(app.package)

    assert printed.code == 0, printed.all
    files = below(root)
    assert sorted(files) == sorted([MAIN, TEMPLATE, DROP_IN, SERVICE_FILE])
    assert f"ReadWritePaths=-{app.package}/Logs\n" in files[DROP_IN]
    assert f"ReadWritePaths=-{app.destination}\n" in files[DROP_IN]
    assert "User=daemon\nGroup=daemon\n" in files[DROP_IN]
    assert [d.package for d in load_service_file(root / SERVICE_FILE).databases] == [app.package]
    for file in files:
        assert (root / file).stat().st_mode & 0o777 == 0o644


def test_the_unit_starts_the_program_that_installs_it(
    installs: Installs, root: Path, app: App
) -> None:
    installs(app.package)

    (line,) = re.findall("^ExecStart=(.+)$", below(root)[MAIN], re.MULTILINE)
    program, _ = line.split(" ", 1)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("backup4d, version ")


def test_it_ends_with_what_to_type_next(installs: Installs, app: App) -> None:
    steps = installs(app.package).out.partition("what to type next:\n")[2].splitlines()

    assert steps[:3] == [
        f"  install -d -o daemon -g daemon {app.package}/Logs",
        "  systemctl daemon-reload",
        "  systemctl enable --now backup4d.service",
    ]
    assert steps[3].endswith("backup4d status")


def test_a_dry_run_shows_exactly_what_the_real_one_writes(
    installs: Installs, root: Path, app: App
) -> None:
    shown = installs("--dry-run", app.package)
    assert below(root) == {}

    installs(app.package)

    expected = [f"would write {root / name} (new):\n{text}\n" for name, text in below(root).items()]
    assert sorted(expected) == sorted(re.split(r"(?<=\n)(?=would write )", shown.out))


def test_a_second_run_changes_nothing_and_says_so(installs: Installs, root: Path, app: App) -> None:
    installs(app.package)
    before = {file: (root / file).stat().st_mtime_ns for file in below(root)}

    printed = installs(app.package)

    assert printed.code == 0
    assert printed.out.count("unchanged)") == 4
    assert "nothing had to be changed" in printed.out
    assert {file: (root / file).stat().st_mtime_ns for file in below(root)} == before


def test_without_words_the_databases_and_the_user_of_the_first_time_count(
    installs: Installs, terminal: Terminal, root: Path, app: App
) -> None:
    installs(app.package)

    printed = terminal.types_bare("install-service", "--root", root)

    assert printed.code == 0
    assert "nothing had to be changed" in printed.out


def test_a_file_of_ours_is_brought_up_to_date(installs: Installs, root: Path, app: App) -> None:
    installs(app.package)
    app.configure({"General/DestinationFolder": "./"})

    printed = installs(app.package)

    assert "10-backup4d.conf (brought up to date)" in printed.out
    assert f"ReadWritePaths=-{app.package}\n" in below(root)[DROP_IN]
    assert "systemctl restart backup4d.service" in printed.out


def test_a_backup_folder_that_is_a_link_is_opened_where_it_leads(
    installs: Installs, root: Path, app: App, tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    (app.package / "Sets").symlink_to(tmp_path / "volume")
    app.configure({"General/DestinationFolder": "./Sets/"})

    installs(app.package)

    assert f"ReadWritePaths=-{tmp_path / 'volume'}\n" in below(root)[DROP_IN]


# --- what is left alone ---------------------------------------------------------------------------


def test_a_unit_edited_by_hand_is_left_alone_with_ours_beside_it(
    installs: Installs, root: Path, app: App
) -> None:
    installs(app.package)
    shipped = below(root)[MAIN]
    (root / MAIN).write_text(shipped.replace("Nice=10", "Nice=15"))

    printed = installs(app.package)
    again = installs(app.package)

    assert (printed.code, again.code) == (1, 1)
    assert "edited by hand, left alone" in printed.err
    assert "Nice=15" in below(root)[MAIN]
    assert below(root)[f"{MAIN}.new"] == shipped
    assert "nothing had to be changed" in again.out


def test_what_lay_beside_goes_when_the_edit_is_taken_back(
    installs: Installs, root: Path, app: App
) -> None:
    installs(app.package)
    shipped = below(root)[MAIN]
    (root / MAIN).write_text(shipped + "#\n")
    installs(app.package)

    (root / MAIN).write_text(shipped)
    printed = installs(app.package)

    assert printed.code == 0
    assert f"{MAIN}.new" not in below(root)


def test_a_masked_unit_stays_masked(installs: Installs, root: Path, app: App) -> None:
    (root / UNITS).mkdir(parents=True)
    (root / MAIN).symlink_to("/dev/null")

    assert installs(app.package).code == 1
    assert (root / MAIN).is_symlink()


def test_a_service_file_is_never_overwritten_and_the_lines_to_add_are_printed(
    installs: Installs, root: Path, app: App, tmp_path: Path
) -> None:
    (tmp_path / "two & more").mkdir()
    other = application(tmp_path / "two & more")
    installs(app.package)
    before = below(root)[SERVICE_FILE]

    printed = installs(other.package)

    assert below(root)[SERVICE_FILE] == before
    assert "1 database(s) are not listed in it" in printed.out
    assert f"<Package>{tmp_path}/two &amp; more/app</Package>" in printed.err
    assert f'ReadWritePaths="-{tmp_path}/two & more/app/Logs"' in below(root)[DROP_IN]
    assert f"ReadWritePaths=-{app.package}/Logs\n" in below(root)[DROP_IN]


def test_missing_settings_are_told_and_the_rest_is_installed(
    installs: Installs, root: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "Empty"
    empty.mkdir()

    printed = installs(empty)

    assert printed.code == 0
    assert f"{empty}: its backup folder is not known" in printed.err
    assert f"ReadWritePaths=-{empty}/Logs\n" in below(root)[DROP_IN]


# --- instances ------------------------------------------------------------------------------------


def test_an_instance_gets_a_drop_in_of_its_own_and_no_service_file(
    installs: Installs, root: Path, app: App
) -> None:
    printed = installs("--instance", app.package)

    unit = instance_unit(app.package)
    assert printed.code == 0
    assert sorted(below(root)) == sorted([TEMPLATE, f"{UNITS}/{unit}.d/10-backup4d.conf"])
    assert f"systemctl enable --now {unit}" in printed.out.replace("'", "")


def test_a_database_is_not_served_twice(installs: Installs, app: App) -> None:
    installs(app.package)

    printed = installs("--instance", app.package)

    assert printed.code == 4
    assert "it would be served twice" in printed.err


def test_a_path_too_long_for_a_unit_is_refused(
    installs: Installs, root: Path, tmp_path: Path
) -> None:
    package = tmp_path / ("long" * 45)
    package.mkdir()

    printed = installs("--instance", package)

    assert printed.code == 4
    assert "too long for a service of its own" in printed.err
    assert below(root) == {}


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's files belong to root")
def test_root_is_no_user_of_the_service_unless_told(
    terminal: Terminal, root: Path, app: App
) -> None:
    printed = terminal.types_bare("install-service", "--root", root, app.package)
    assert printed.code == 4
    assert f"{app.package} belongs to root, and the service never needs to be root" in printed.err
    assert below(root) == {}

    told = terminal.types_bare("install-service", "--root", root, "--user", "root", app.package)
    assert told.code == 0
    assert "User=root\n" in below(root)[DROP_IN]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask for another user")
def test_what_the_user_may_not_read_or_write_is_told(installs: Installs, app: App) -> None:
    app.destination.chmod(0o700)

    printed = installs(app.package)

    assert f"daemon may not write in {app.destination}" in printed.err


def test_an_unknown_user_is_refused(terminal: Terminal, root: Path, app: App) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root asks the kernel what a user may read")
    words = ("--user", "nobody-of-that-name", "--group", "daemon")

    printed = terminal.types_bare("install-service", "--root", root, *words, app.package)

    assert printed.code == 4
    assert "this machine does not know user nobody-of-that-name" in printed.err
    assert below(root) == {}


@pytest.mark.parametrize(
    "words", [("/no/such/database",), (), ("--instance",), ("--root", "/no/such/root")], ids=str
)
def test_wrong_use_writes_nothing(terminal: Terminal, root: Path, words: tuple[str, ...]) -> None:
    printed = terminal.types_bare("install-service", "--root", root, *words)

    assert printed.code == 2
    assert below(root) == {}


def test_a_broken_service_file_is_refused_before_anything_is_written(
    installs: Installs, root: Path, app: App
) -> None:
    file = root / SERVICE_FILE
    file.parent.mkdir(parents=True)
    file.write_text("<Backup4DService><Zone/></Backup4DService>")

    assert installs(app.package).code == 4
    assert list(below(root)) == [SERVICE_FILE]


def test_another_service_file_cannot_be_installed(terminal: Terminal, root: Path, app: App) -> None:
    printed = terminal.types("install-service", "--root", root, app.package)

    assert printed.code == 2
    assert "leave --service-file out" in printed.err


# --- taking it away -------------------------------------------------------------------------------


def test_uninstalling_leaves_the_service_file_and_says_so(
    installs: Installs, terminal: Terminal, root: Path, app: App
) -> None:
    installs(app.package)

    shown = terminal.types_bare("uninstall-service", "--dry-run", "--root", root)
    assert len(below(root)) == 4
    assert shown.out.count("would remove") == 3

    printed = terminal.types_bare("uninstall-service", "--root", root)
    assert printed.code == 0
    assert list(below(root)) == [SERVICE_FILE]
    assert f"left alone: {root / SERVICE_FILE}" in printed.out
    assert not (root / DROP_IN).parent.exists()


def test_what_was_edited_and_what_is_yours_is_not_removed(
    installs: Installs, terminal: Terminal, root: Path, app: App
) -> None:
    installs(app.package)
    (root / DROP_IN).with_name("override.conf").write_text("[Service]\nNice=15\n")
    (root / MAIN).write_text("[Service]\n")

    printed = terminal.types_bare("uninstall-service", "--root", root)

    assert printed.code == 1
    assert "edited by hand, left alone; remove it yourself" in printed.err
    assert sorted(below(root)) == sorted(
        [MAIN, f"{UNITS}/backup4d.service.d/override.conf", SERVICE_FILE]
    )


def test_an_enabled_service_is_not_taken_from_under_its_feet(
    installs: Installs, terminal: Terminal, root: Path, app: App
) -> None:
    installs(app.package)
    wants = root / UNITS / "multi-user.target.wants"
    wants.mkdir()
    (wants / "backup4d.service").symlink_to("/etc/systemd/system/backup4d.service")

    printed = terminal.types_bare("uninstall-service", "--root", root)

    assert printed.code == 1
    assert "first: systemctl disable --now backup4d.service" in printed.err
    assert MAIN in below(root)


def test_nothing_installed_is_nothing_to_remove(terminal: Terminal, root: Path) -> None:
    printed = terminal.types_bare("uninstall-service", "--root", root)

    assert printed.code == 0
    assert "nothing is installed" in printed.out

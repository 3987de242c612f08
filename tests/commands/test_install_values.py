"""What installing decides from values: whose file it is, what is opened, how names are written; and what a wheel brings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RefusedError
from scheduler.install import (
    Account,
    account_of_drop_in,
    drop_in_text,
    hidden_by_unit,
    is_ours,
    outermost,
    plan_removal,
    stamped,
    unit_text,
    writable_folders,
)
from scheduler.instance import instance_name, instance_package
from tests.docs.pages import HOUSE

# --- values ---------------------------------------------------------------------------------------


def test_only_what_is_unchanged_since_we_wrote_it_is_ours() -> None:
    text = stamped("[Service]\nNice=10\n")

    assert is_ours(text)
    assert not is_ours(text.replace("10", "11"))
    assert not is_ours("[Service]\nNice=10\n")
    assert not is_ours("")
    (kept,) = plan_removal({Path("/a"): "", Path("/b"): None})
    assert kept.file == Path("/a")


@pytest.mark.parametrize(
    ("destination", "folders"),
    [
        ("/srv/backups", ["/srv/app/Logs", "/srv/backups"]),
        ("/srv/app", ["/srv/app"]),
        ("/srv/app/Sets", ["/srv/app"]),
        ("/srv/apple", ["/srv/app/Logs", "/srv/apple"]),
        (None, ["/srv/app/Logs"]),
    ],
)
def test_as_little_as_possible_is_opened(destination: str | None, folders: list[str]) -> None:
    place = None if destination is None else Path(destination)

    assert [str(one) for one in writable_folders(Path("/srv/app"), place)] == folders


def test_a_folder_inside_another_is_not_named_twice() -> None:
    folders = [Path("/srv/a/Logs"), Path("/srv/a"), Path("/srv/a"), Path("/srv/ab")]

    assert outermost(folders) == [Path("/srv/a"), Path("/srv/ab")]


def test_odd_names_are_written_as_systemd_reads_them() -> None:
    text = drop_in_text(Account("a%b", "c"), [Path('/srv/My "App"\\100%')])

    assert 'ReadWritePaths="-/srv/My \\"App\\"\\\\100%%"\n' in text
    assert account_of_drop_in(stamped(text)) == ("a%b", "c")


@pytest.mark.parametrize("path", ["/srv/new\nline", "/srv/caf\udce9"])
def test_a_name_that_no_unit_can_hold_is_refused(path: str) -> None:
    with pytest.raises(RefusedError):
        drop_in_text(Account("a", "b"), [Path(path)])


def test_a_program_with_an_odd_path_is_refused() -> None:
    with pytest.raises(RefusedError):
        unit_text("ExecStart=/opt/backup4d/bin/backup4d run\n", Path("/opt/my programs/backup4d"))


@pytest.mark.parametrize(
    ("path", "is_hidden"),
    [("tmp/b4d/bin/backup4d", True), ("var/tmp/x", True), ("tmpfs/x", False), ("opt/x", False)],
)
def test_what_the_service_does_not_see_is_known(path: str, *, is_hidden: bool) -> None:
    assert hidden_by_unit(Path("/", path)) is is_hidden


# --- instance names -------------------------------------------------------------------------------

NAMES = [
    ("/srv/4d/Invoices", "srv-4d-Invoices"),
    ("/srv/4d/My-App", r"srv-4d-My\x2dApp"),
    ("/srv/4d/Müller & Co", r"srv-4d-M\xc3\xbcller\x20\x26\x20Co"),
    ("/.hidden/.too", r"\x2ehidden-.too"),
    ("/a:b_c.d", "a:b_c.d"),
    ("/back\\slash", r"back\x5cslash"),
    ("/caf\udce9", r"caf\xe9"),
    ("/", "-"),
]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_an_instance_has_the_name_that_systemd_gives_it(package: str, name: str) -> None:
    assert instance_name(Path(package)) == name
    assert instance_package(name) == Path(package)
    if shutil.which("systemd-escape") is not None:
        command = ("systemd-escape", "--path", os.fsencode(package))
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.stdout.decode() == f"{name}\n"


@pytest.mark.parametrize("package", ["srv/app", "/srv/../etc", ""])
def test_a_path_that_is_not_full_is_no_instance(package: str) -> None:
    with pytest.raises(ValueError, match="a full path"):
        instance_name(Path(package))


@pytest.mark.parametrize("name", ["", "a b", "a--b", r"a\x2Db", r"\x41", "a/b", "-a"])
def test_a_name_that_systemd_never_writes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not how systemd writes a path"):
        instance_package(name)


# --- packaging ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_installed_wheel_brings_the_units_along(tmp_path: Path) -> None:
    venv, wheels = tmp_path / "venv", tmp_path / "wheels"
    quiet = ("--quiet", "--disable-pip-version-check")
    made: tuple[list[str | Path], ...] = (
        [sys.executable, "-m", "venv", venv],
        [venv / "bin/pip", "wheel", *quiet, "--no-deps", "--wheel-dir", wheels, HOUSE],
    )
    for command in made:
        subprocess.run(command, check=True, timeout=120)
    (wheel,) = wheels.iterdir()
    subprocess.run(
        [venv / "bin/pip", "install", *quiet, "--no-deps", wheel], check=True, timeout=120
    )

    found = subprocess.run(
        [
            venv / "bin/python",
            *(
                "-I",
                "-c",
                "import scheduler, pathlib; print(pathlib.Path(scheduler.__file__).parent)",
            ),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    units = Path(found.stdout.strip()) / "units"
    assert units.is_relative_to(venv)
    assert texts(units) == texts(HOUSE / "systemd")


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}

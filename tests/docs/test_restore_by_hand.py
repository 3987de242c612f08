"""Every command of docs/restore-by-hand.md is run as it stands there, against a set made for it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import backup4d, blocks, make_set

PAGE = "restore-by-hand.md"
FORMS = {
    "compressed": ("Fast", 0),
    "compressed-segments": ("Fast", 1),
    "plain": ("None", 0),
    "plain-segments": ("None", 1),
}

pytestmark = [
    pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not on this machine")
    for tool in ("bash", "tar", "zstd", "sha256sum")
]


def shell(command: str, folder: Path, target: Path, owner: str = "") -> str:
    """Run one block of the page as an administrator types it."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        env={**os.environ, "SET": str(folder), "TARGET": str(target), "OWNER": owner},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def commands(mark: str) -> list[str]:
    """The page's blocks for compressed sets (mark "") or with a mark of their own."""
    found = blocks(PAGE, "sh" if not mark else f"sh {mark}")
    assert found
    return found


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def expected(package: Path) -> dict[str, bytes | str]:
    """What the page promises to bring back."""
    inside = {path: row for path, row in contents(package).items() if not path.startswith("Logs/")}
    letters = package.parent / "letters"
    outside = {f"External{letters}/{path}": row for path, row in contents(letters).items()}
    return {**inside, **outside}


@pytest.fixture(params=FORMS, scope="module")
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(form: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    compression, segment = FORMS[form]
    return make_set(tmp_path_factory.mktemp("hand"), compression=compression, segment=segment)


def test_the_commands_of_the_page_bring_everything_back(
    form: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    package, folder = made
    target = tmp_path / "restored"
    plain = form.startswith("plain")

    for command in commands("plain") if plain else commands(""):
        shell(command, folder, target)

    assert contents(target) == expected(package)
    for name in ("Data/data.4DD", "Resources/empty file", "Resources/empty folder"):
        source, back = (package / name).stat(), (target / name).stat()
        assert (back.st_mode, back.st_mtime_ns) == (source.st_mode, source.st_mtime_ns)


def test_folders_keep_their_times(form: str, made: tuple[Path, Path], tmp_path: Path) -> None:
    """The data file comes first, and more is written to its folder later; the log is not restored here."""
    package, folder = made
    mark = "plain" if form.startswith("plain") else ""
    files = next(command for command in commands(mark) if "tar -xp" in command)

    shell(files, folder, tmp_path / "restored")

    for name in ("Data", "Project", "Resources", "Settings"):
        source, back = (package / name).stat(), (tmp_path / "restored" / name).stat()
        assert (name, back.st_mtime_ns) == (name, source.st_mtime_ns)


def test_the_checksums_agree_in_every_form(made: tuple[Path, Path], tmp_path: Path) -> None:
    check = next(command for command in commands("") if "sha256sum" in command)

    lines = shell(check, made[1], tmp_path).splitlines()

    assert len(lines) == len(list(made[1].iterdir())) - 1
    assert all(line.endswith(": OK") for line in lines)


def test_an_empty_log_comes_back_empty(tmp_path: Path) -> None:
    package, folder = make_set(tmp_path)
    (package / "Data" / "data.journal").write_bytes(b"")
    backup4d("backup", package, folder=tmp_path)
    target = tmp_path / "restored"

    for command in commands("")[2:]:
        if "data*.journal" in command:
            (target / "Data").mkdir(parents=True)
            shell(command, folder.with_name("data[0002]"), target)

    assert (target / "Data" / "data.journal").read_bytes() == b""


def test_a_single_file_comes_back_alone(tmp_path: Path) -> None:
    package, folder = make_set(tmp_path)
    single = next(command for command in commands("") if "Data/data.4DD" in command)

    shell(single, folder, tmp_path / "restored")

    assert contents(tmp_path / "restored") == {
        "Data/data.4DD": (package / "Data" / "data.4DD").read_bytes()
    }


def test_what_lies_before_the_damage_comes_back(tmp_path: Path) -> None:
    package, folder = make_set(tmp_path)
    archive = folder / "data[0001].tar.zst"
    with archive.open("r+b") as stream:
        stream.seek(-40, os.SEEK_END)
        stream.write(b"damage")

    for command in commands("damaged"):
        shell(command, folder, tmp_path / "restored")

    back = tmp_path / "restored" / "Data" / "data.4DD"
    assert back.read_bytes() == (package / "Data" / "data.4DD").read_bytes()


@pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")
def test_a_damaged_set_is_repaired_with_par2(tmp_path: Path) -> None:
    _, folder = make_set(tmp_path)
    archive = folder / "data[0001].tar.zst"
    whole = archive.read_bytes()
    # no line of the page: this is what the program does when it makes a set with recovery data
    make = ["par2", "create", "-q", "-q", "-r10", "-n1", f"{archive.name}.par2", archive.name]
    subprocess.run(make, cwd=folder, check=True, timeout=60, capture_output=True)
    archive.write_bytes(whole[:1000] + b"damage" + whole[1006:])

    said = "".join(shell(command, folder, tmp_path) for command in commands("par2"))

    assert archive.read_bytes() == whole
    assert f"{archive.name}: OK" in said


def test_restore_py_is_started_as_the_page_says(tmp_path: Path) -> None:
    package, folder = make_set(tmp_path)
    (command,) = (text for text in blocks(PAGE) if "python3 restore.py" in text)
    typed = command.replace("/srv/backups", str(folder.parent)).replace("data[0007]", folder.name)

    said = shell(typed.replace("/srv/restored", str(tmp_path / "back")), folder, tmp_path)

    assert contents(tmp_path / "back") == expected(package)
    (shown,) = (text for text in blocks(PAGE) if text.startswith("compared: "))
    form = [re.sub(r"\d+|'.*'", "", line) for line in shown.splitlines()]
    assert [re.sub(r"\d+|'.*'", "", line) for line in said.splitlines()] == form


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_can_be_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for command in commands("root"):
        shell(command, tmp_path, tmp_path, owner="12345")

    assert (tmp_path / "file").stat().st_uid == 12345

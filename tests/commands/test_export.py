"""`export`: what 4D would restore from the archives is what the set holds, and what they cannot hold is said."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from engine.errors import DestinationError
from engine.fourd.exporting import export_set
from engine.fourd.reading import Way
from engine.progress import Progress, Report
from engine.setsource import open_set
from engine.stop import StopRequest
from tests.commands.terminal import Terminal
from tests.engine.reuse_stories import overwrite
from tests.engine.stories import App, main_archive, make_app, patterned
from tests.scheduler.real import PROGRAM, environment

SIZE = 1_300_000
_SMALL_DISK = r"""
unshare --help | grep -q -- --map-root-user || exit 9
exec unshare -Urm sh -c '
mount -t tmpfs -o size=200k none "$1" || exit 9
mkdir "$1/there"
disk="$1"; place="$2"; folder="$3"; shift 3
"$@" export "$folder" --4bk "$disk/$place"
echo "exit $?"
find "$disk"
' sh "$@"
"""
MAIN, LOG = "data[0001].4BK", "data[0000].4BL"


@pytest.fixture
def full(tmp_path: Path) -> App:
    """With holes, a second name of a file, links, an empty folder, names that only Linux has."""
    app = make_app(tmp_path, data=patterned(SIZE))
    project = app.package / "Project"
    with (project / "holes").open("wb") as stream:
        stream.truncate(5 << 20)
        stream.seek(3 << 20)
        stream.write(b"in the middle")
    os.link(project / "holes", project / "second name")
    (project / "empty").touch()
    (project / "no files").mkdir()
    (project / "Ümläut 文").write_bytes(b"1")
    return app


def extracted(terminal: Terminal, file: Path, target: Path) -> dict[str, bytes]:
    assert terminal.types("4bk", "extract", file, "--to", target, "--as-stored").code == 0
    return contents(target)


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_both_archives_hold_what_the_set_holds(
    terminal: Terminal, full: App, tmp_path: Path
) -> None:
    folder = full.backup_set()
    assert terminal.types("restore", folder, "--to", tmp_path / "ours").code == 0

    printed = terminal.types("export", full.package, "--4bk", tmp_path / "out")

    assert printed.code == 0
    assert f"{tmp_path / 'out' / MAIN}: " in printed.out
    assert sorted(contents(tmp_path / "out")) == [LOG, MAIN]
    ours = contents(tmp_path / "ours")
    log = ours.pop("Data/data.journal")
    assert extracted(terminal, tmp_path / "out" / MAIN, tmp_path / "main") == ours
    assert extracted(terminal, tmp_path / "out" / LOG, tmp_path / "log") == {"data.journal": log}
    assert "1 empty folder is not in them" in printed.out
    listed = terminal.types("4bk", "list", "--json", tmp_path / "out" / MAIN).json
    assert {row["path"]: row["tag"] for row in listed[0]["files"]}["Data/data.4DD"] == "DataFile"


def test_what_cannot_be_in_them_is_named_and_the_rest_is_exported(
    terminal: Terminal, full: App, tmp_path: Path
) -> None:
    project = full.package / "Project"
    (project / "link").symlink_to("empty")
    (project / os.fsdecode(b"caf\xe9")).touch()
    (project / "a:b").touch()
    full.backup_set()

    printed = terminal.types("export", "--json", full.package, "--4bk", tmp_path / "out")

    assert printed.code == 3
    assert len(printed.json["left_out"]) == 3
    names = extracted(terminal, tmp_path / "out" / MAIN, tmp_path / "main")
    assert "Project/second name" in names
    assert "Project/a:b" not in names


def test_what_is_there_is_never_replaced(terminal: Terminal, app: App, tmp_path: Path) -> None:
    folder = app.backup_set()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOG).write_bytes(b"the only copy")

    printed = terminal.types("export", folder, "--4bk", tmp_path / "out")

    assert printed.code == 1
    assert "nothing was written" in printed.err
    assert contents(tmp_path / "out") == {LOG: b"the only copy"}


def test_of_a_damaged_set_nothing_is_left(terminal: Terminal, app: App, tmp_path: Path) -> None:
    folder = app.backup_set()
    file = main_archive(folder)
    overwrite(file, file.stat().st_size // 2, b"damage")

    printed = terminal.types("export", folder, "--4bk", tmp_path / "out")

    assert printed.code == 5
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["new/deeper", "there"])
def test_on_a_full_disk_nothing_is_left_and_the_folder_is_named(
    app: App, tmp_path: Path, place: str
) -> None:
    """The .4BK fits, the .4BL does not any more."""
    app.log.write_bytes(os.urandom(400_000))
    folder = app.backup_set()
    disk = tmp_path / "disk"
    disk.mkdir()

    done = subprocess.run(
        ["sh", "-c", _SMALL_DISK, "sh", disk, place, folder, *PROGRAM],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )

    if "exit" not in done.stdout:
        pytest.skip(f"no name spaces here: {done.stderr}")
    assert done.stdout.split("\n") == ["exit 1", str(disk), str(disk / "there"), ""], done.stderr
    assert "writing data[0000].4BL" in done.stderr
    assert f"the export to {disk / place} failed, and nothing was left there" in done.stderr
    assert "free room there, or name a folder on another disk with --4bk" in done.stderr
    assert "backup folder" not in done.stderr


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free room there"),
        (errno.EDQUOT, "free room there"),
        (errno.EFBIG, "another disk with --4bk"),
        (errno.EROFS, "mounted read-only"),
        (errno.EIO, "check the disk"),
        (errno.EACCES, "in which this user may make files"),
    ],
)
def test_a_failed_disk_is_told_as_what_an_export_can_do_about_it(
    app: App, tmp_path: Path, number: int, words: str
) -> None:
    source = open_set(app.backup_set())
    way = Way(1, StopRequest(), failing(number))

    with pytest.raises(DestinationError, match="nothing was left there") as caught:
        export_set(source, tmp_path / "out", way)

    assert words in caught.value.hint
    assert "FileSegmentation" not in caught.value.hint
    assert not (tmp_path / "out").exists()


def failing(number: int) -> Report:
    """The disk fails when the second archive is begun."""

    def report(progress: Progress) -> None:
        if LOG in progress.phase:
            raise OSError(number, os.strerror(number))

    return report


@pytest.mark.parametrize(
    "case",
    [
        ("", "names the current folder"),
        (".", "names the current folder"),
        ("backups/data[0001]", "lies in a set"),
        ("backups/data[0001]/inner", "lies in a set"),
        ("app", "lies in the live application"),
        ("app/Data", "lies in the live application"),
        ("link/Data", "lies in the live application"),
    ],
)
@pytest.mark.parametrize("target", ["app", "backups/data[0001]"])
def test_no_set_and_no_live_folder_gets_archives(
    terminal: Terminal,
    app: App,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, str],
    target: str,
) -> None:
    folder, words = case
    app.backup_set()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "link").symlink_to(app.package)
    before = sorted(tmp_path.rglob("*"))
    named = str(tmp_path / folder) if folder.strip(".") else folder

    printed = terminal.types("export", tmp_path / target, "--4bk", named)

    assert printed.code == 2, printed.all
    assert words in printed.err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_exported_can_be_imported_again(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    folder = app.backup_set()
    terminal.types("restore", folder, "--to", tmp_path / "before")
    assert terminal.types("export", folder, "--4bk", tmp_path / "out").code == 0
    folder.rename(tmp_path / "away")

    printed = terminal.types(
        "import", app.package, tmp_path / "out" / MAIN, "--date", "2026-03-01 10:00"
    )

    assert printed.code == 0
    assert terminal.types("restore", folder, "--to", tmp_path / "after").code == 0
    assert contents(tmp_path / "after") == contents(tmp_path / "before")

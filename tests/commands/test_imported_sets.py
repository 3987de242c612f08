"""A set that was a backup of 4D's, long after: drilled, scrubbed, the source of an automatic restore; and a full disk."""

import os
import subprocess
from pathlib import Path

import pytest

from engine.errors import Code
from engine.progress import silent
from engine.scrub import scrub_set
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from tests.commands.opening import check
from tests.commands.terminal import Terminal, damage
from tests.engine.fourd_stories import archive, content
from tests.engine.opening_stories import DAMAGES, database
from tests.engine.stories import PARIS, App
from tests.scheduler.real import PROGRAM, environment

_SMALL_DISK = r"""
unshare --help | grep -q -- --map-root-user || exit 9
exec unshare -Urm sh -c '
sets="$1"; package="$2"; file="$3"; shift 3
mount -t tmpfs -o size="$SIZE" none "$sets" || exit 9
"$@" --service-file "$SERVICE" import "$package" "$file"
echo "exit $?"
ls -A "$sets"
' sh "$@"
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    """With data and a log as 4D writes them, restored automatically."""
    return database(tmp_path)


@pytest.fixture
def old(app: App, tmp_path: Path) -> Path:
    """A backup that 4D made of it."""
    file = tmp_path / "data[0007].4BK"
    index = app.data_file.with_suffix(".4DIndx").read_bytes()
    files = {
        "./data.4DD::DataFile": app.data_file.read_bytes(),
        "./data.4DIndx::C:\\app\\": index,
        "./Project/App.4DProject::": b"{}",
    }
    file.write_bytes(archive(files))
    file.with_name("data[0006].4BL").write_bytes(
        archive({"./data.journal::": app.log.read_bytes()})
    )
    os.utime(file, (1_723_500_000, 1_723_500_000))
    return file


def taken_in(terminal: Terminal, app: App, old: Path) -> Path:
    assert terminal.types("import", app.package, old).code == 0
    return app.destination / "data[0007]"


def test_it_can_be_drilled(terminal: Terminal, app: App, old: Path, tmp_path: Path) -> None:
    taken_in(terminal, app, old)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    printed = terminal.types("drill", app.package, "--scratch", scratch)

    assert printed.code == 0, printed.all
    assert "set 7 can be restored" in printed.out
    assert list(scratch.iterdir()) == []


def test_a_scrub_finds_it_whole_and_finds_what_becomes_of_it(
    terminal: Terminal, app: App, old: Path
) -> None:
    folder = taken_in(terminal, app, old)
    around = Surroundings(app.clock, StopRequest(), silent)

    whole = scrub_set(folder, app.layout, PARIS, around)
    damage(folder)
    spoilt = scrub_set(folder, app.layout, PARIS, around)

    assert (whole.code, spoilt.code) == (0, Code.ARCHIVE_DAMAGED)
    assert app.journal().count("Asked for by : scrub") == 2


@pytest.mark.parametrize("what", ["cut", "zero header", "missing"])
def test_damaged_data_come_back_from_it_before_4d_opens_them(
    terminal: Terminal, app: App, old: Path, what: str
) -> None:
    taken_in(terminal, app, old)
    good = app.data_file.read_bytes()
    assert check(terminal, app).code == 0
    DAMAGES[what](app.data_file)

    printed = check(terminal, app)

    assert app.data_file.read_bytes() == good, printed.all
    assert "set 7" in printed.all


@pytest.mark.parametrize("size", ["60k", "500k", "700k"])
def test_on_a_full_disk_no_set_appears_and_nothing_is_left(
    app: App, tmp_path: Path, size: str
) -> None:
    """Too small for what is extracted, and for the set after it."""
    file = tmp_path / "data[0007].4BK"
    file.write_bytes(archive({"./data.4DD::DataFile": content(600_000, 3)}))
    service = tmp_path / "service.xml"
    service.write_text("<Backup4DService><TimeZone>UTC</TimeZone></Backup4DService>")

    done = subprocess.run(
        ["sh", "-c", _SMALL_DISK, "sh", app.destination, app.package, file, *PROGRAM],
        capture_output=True,
        text=True,
        env=environment(SIZE=size, SERVICE=str(service)),
        timeout=60,
        check=False,
    )

    if "exit" not in done.stdout:
        pytest.skip(f"no name spaces here: {done.stderr}")
    code, *left = done.stdout.splitlines()
    assert code == "exit 1", done.stderr
    assert set(left) <= {".backup4d-destination.lock", "backupHistory.json"}
    assert str(app.destination) in done.stderr
    assert "what to do: free room there" in done.stderr
    assert "/proc/" not in done.stderr
    assert file.read_bytes() == archive({"./data.4DD::DataFile": content(600_000, 3)})
    assert "*** Import" in app.journal()

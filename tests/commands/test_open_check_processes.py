"""open-check as systemd starts it, in processes of its own: at once, killed, on a full disk, beside a running 4D."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.opening import put_aside
from tests.engine.opening_stories import DAMAGES, database, work
from tests.engine.parity_stories import protect
from tests.engine.stories import App

_ROOT = Path(__file__).parents[2]
_FULL = r"""
set -e
unshare --help | grep -q -- --map-root-user
unshare -Urm sh -ec '
mv "$2/app" "$1/app"
mkdir "$2/app"
mount -t tmpfs -o size=650k none "$2/app"
cp -a "$1/app/." "$2/app"
cd "$3"
set +e
"$4" -m scheduler --service-file "$2/service.xml" --state-folder "$2/state" open-check "$2/app"
echo "exit $?"
find "$2/app" -name "*backup4d-restoring*" -o -name "Replaced files*"
stat -c %s "$2/app/Data/data.4DD"
' sh "$@"
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    """With one set and a good look after it."""
    (tmp_path / "service.xml").write_text(
        "<Backup4DService><TimeZone>UTC</TimeZone></Backup4DService>"
    )
    app = database(tmp_path)
    app.backup()
    assert run(app).returncode == 0
    return app


def words(app: App) -> list[str | Path]:
    home = app.package.parent
    places: list[str | Path] = ["--service-file", home / "service.xml", "--state-folder", home]
    return [*places, "open-check", app.package]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(app: App, *more: str) -> subprocess.CompletedProcess[str]:
    process = start("scheduler", *words(app), *more)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def die(app: App, point: int) -> tuple[int, str]:
    process = start("tests.commands.dying_check", str(point), *words(app))
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def test_of_several_at_once_one_restores_and_none_is_wrong(app: App) -> None:
    good = app.data_file.read_bytes()
    DAMAGES["empty"](app.data_file)

    processes = [start("scheduler", *words(app)) for _ in range(4)]
    codes = {process.wait(timeout=60) for process in processes}
    said = [process.communicate() for process in processes]

    assert codes <= {0, 6}, said
    assert 0 in codes
    assert app.data_file.read_bytes() == good
    assert len(put_aside(app)) == 1
    assert app.journal().count("*** Automatic Full Backup Restore\n") == 1


def test_a_data_file_that_a_process_has_open_is_not_replaced(app: App) -> None:
    DAMAGES["cut"](app.data_file)
    with app.data_file.open("rb") as stream:
        holder = subprocess.Popen(["sleep", "60"], stdin=stream)
    try:
        done = run(app)
    finally:
        holder.kill()
        holder.wait()

    assert done.returncode == 1
    assert f"is in use by sleep ({holder.pid})" in done.stderr
    assert put_aside(app) == []
    assert run(app).returncode == 0


def _all(steps: list[str]) -> list[int]:
    return list(range(1, len(steps) + 1))


def _some(steps: list[str]) -> list[int]:
    """Every fifth, and around every rename."""
    renames = [point for point, step in enumerate(steps, 1) if step.startswith("os.rename")]
    around = {point + shift for point in renames for shift in (0, 1)}
    return sorted(point for point in around | set(_all(steps)[::5]) if point <= len(steps))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("choose", [_some, pytest.param(_all, marks=pytest.mark.slow)])
def test_one_that_is_killed_at_any_step_is_made_good_by_the_next(
    app: App, tmp_path: Path, choose: Callable[[list[str]], list[int]]
) -> None:
    good = app.data_file.read_bytes()
    DAMAGES["cut"](app.data_file)
    kept = tmp_path / "kept"
    shutil.copytree(app.package, kept, symlinks=True)
    _, out = die(app, 0)
    steps = json.loads(out.splitlines()[-1])
    assert len(steps) > 20

    for point in choose(steps):
        shutil.rmtree(app.package)
        shutil.copytree(kept, app.package, symlinks=True)
        code, _ = die(app, point)
        done = run(app)

        assert code == -signal.SIGKILL, steps[point - 1]
        assert done.returncode == 0, (point, steps[point - 1], done.stderr)
        assert app.data_file.read_bytes() == good, (point, steps[point - 1])
        (aside,) = [folder for folder in put_aside(app) if (folder / "Data").exists()]
        assert (aside / "Data" / "data.4DD").stat().st_size == 100_000
        assert not list(app.package.rglob(".backup4d-restoring*"))
        assert run(app).returncode == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not on this machine")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_one_that_is_killed_between_two_exchanged_files_is_made_good(app: App, number: int) -> None:
    good = app.data_file.read_bytes()
    DAMAGES["cut"](app.data_file)
    inject = f"inject=renameat2:signal=KILL:when={number}"

    died = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-m", "scheduler"]
        + [str(word) for word in words(app)],
        cwd=_ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    done = run(app)

    assert died.returncode != 0, "it lived"
    assert done.returncode == 0, done.stderr
    assert "was killed; all files are where they were before it" in done.stderr
    assert app.data_file.read_bytes() == good
    assert app.journal().count("\nResult: OK\n") == 1


def test_on_a_full_disk_everything_stays_as_it_was(app: App, tmp_path: Path) -> None:
    app.package.joinpath("Project", "big").write_bytes(bytes(350_000))
    DAMAGES["cut"](app.data_file)
    (tmp_path / "disk").mkdir()

    done = subprocess.run(
        ["sh", "-c", _FULL, "sh", tmp_path / "disk", tmp_path, _ROOT, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    if "exit" not in done.stdout:
        pytest.skip(f"no name spaces here: {done.stderr}")
    assert done.stdout.splitlines() == ["exit 1", "100000"], done.stderr
    assert "free, the restored files need" in done.stderr or "No space left" in done.stderr


@pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not on this machine")
def test_a_damaged_set_is_repaired_first_when_it_can_be(app: App) -> None:
    work(app, 20)
    folder = app.backup_set()
    newest = app.data_file.read_bytes()
    protect(folder, *sorted(file.name for file in folder.iterdir()), spare=40)
    archive = folder / "data[0002].tar.zst"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.chmod(0o600)
    archive.write_bytes(content)
    DAMAGES["empty"](app.data_file)

    done = run(app)

    assert done.returncode == 0, done.stderr
    assert "data[0002] was damaged and was repaired from its recovery data" in done.stdout
    assert app.data_file.read_bytes() == newest

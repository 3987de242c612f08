"""restore --in-place and --set-aside, as a person types them and as the system ends them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, holding
from tests.commands.live import client, entries
from tests.commands.terminal import Terminal, damage
from tests.engine.place_stories import hidden_work, traces
from tests.engine.stories import App, below, patterned, tree
from tests.scheduler.real import wait_until


def change(app: App) -> None:
    app.data_file.write_bytes(b"new")
    (app.package / "Project" / "late.4dm").write_text("late")


def asides(app: App) -> list[Path]:
    return sorted(app.package.glob("Replaced files (*"))


def test_in_place_says_what_came_back_and_where_the_rest_is(terminal: Terminal, app: App) -> None:
    before = tree(app.package)
    app.backup()
    change(app)

    printed = terminal.types("restore", app.package, "--in-place")

    (aside,) = asides(app)
    assert printed.code == 0
    assert f"set 1 restored in place in {app.package}" in printed.out
    assert f"what was there before is in {aside}" in printed.out
    assert "to go back: sh " in printed.out
    now = tree(app.package)
    assert below(now, b"Project") == below(before, b"Project")
    assert now[b"Data/data.4DD"] == before[b"Data/data.4DD"]
    (entry,) = entries(app, "Restore")
    assert f"In place of : {app.package}" in entry
    assert f"Replaced files : {aside}" in entry


def test_as_json_it_says_the_same(terminal: Terminal, app: App) -> None:
    app.backup()

    row = terminal.types("restore", app.package, "--in-place", "--json").json

    assert row["in_place"] is True
    assert row["set_aside"] == str(asides(app)[0])
    assert row["compared"] is True
    assert row["log"]["sentences"]


def test_a_dry_run_names_what_would_be_replaced_and_touches_nothing(
    terminal: Terminal, app: App
) -> None:
    app.backup()
    change(app)
    before = tree(app.package)

    printed = terminal.types("restore", app.package, "--in-place", "--dry-run")
    row = terminal.types("restore", app.package, "--in-place", "--dry-run", "--json").json

    assert printed.code == 0
    for name in ("Data/data.4DD", "Project", "Settings"):
        assert f"in      {app.package / name}\n" in printed.out
        assert str(app.package / name) in row["replaces"]
    assert "nothing was written" in printed.out
    assert tree(app.package) == before


def test_while_a_backup_runs_it_is_refused_with_code_6(terminal: Terminal, app: App) -> None:
    app.backup()
    change(app)

    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup"):
        printed = terminal.types("restore", app.package, "--in-place")

    assert printed.code == 6
    assert "a backup is running" in printed.err
    assert app.data_file.read_bytes() == b"new"


@contextmanager
def opened(file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process has it open, as 4D has."""
    code = "import sys, time; f = open(sys.argv[1]); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("which", ["data_file", "log"])
def test_while_a_process_has_the_data_open_it_is_named_and_nothing_is_touched(
    terminal: Terminal, app: App, which: str
) -> None:
    app.backup()
    change(app)

    with opened(getattr(app, which)) as process:
        printed = terminal.types("restore", app.package, "--in-place")
        beside = terminal.types("restore", app.package)

    assert printed.code == 1
    assert f"({process.pid})" in printed.err
    assert "stop 4D first" in printed.err
    assert app.data_file.read_bytes() == b"new"
    assert asides(app) == []
    assert beside.code == 0


def test_after_a_damaged_set_the_message_says_what_else_there_is(
    terminal: Terminal, app: App
) -> None:
    damage(app.backup_set())
    change(app)

    printed = terminal.types("restore", app.package, "--in-place")

    assert printed.code == 5
    assert "--salvage brings back what can be read" in printed.err
    assert app.data_file.read_bytes() == b"new"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_everything_as_it_was(
    terminal: Terminal, app: App, number: signal.Signals
) -> None:
    app.data_file.write_bytes(os.urandom(150 << 20))
    app.backup()
    change(app)
    before = below(tree(app.package), b"Project")

    with client(terminal, "restore", app.package, "--in-place") as process:
        wait_until(
            lambda: bool(list(app.package.glob(".backup4d-restoring-*/Data"))), "never began"
        )
        process.send_signal(number)
        assert process.wait(timeout=30) == 130

    assert app.data_file.read_bytes() == b"new"
    assert below(tree(app.package), b"Project") == before
    assert hidden_work(app.package) == []
    assert asides(app) == []
    assert traces(app) is None


def test_killed_while_it_builds_the_next_backup_tidies_up_and_tells(
    terminal: Terminal, app: App
) -> None:
    app.data_file.write_bytes(os.urandom(150 << 20))
    app.backup()
    change(app)

    with client(terminal, "restore", app.package, "--in-place") as process:
        wait_until(
            lambda: bool(list(app.package.glob(".backup4d-restoring-*/Data"))), "never began"
        )
        process.kill()
        process.wait(timeout=30)
    app.backup()

    assert app.data_file.read_bytes() == b"new"
    assert hidden_work(app.package) == []
    assert "nothing was touched" in app.journal()


# --- into a folder that is not empty


def test_what_is_at_the_target_is_renamed_first_when_asked_for(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")

    refused = terminal.types("restore", app.package, "--to", target)
    printed = terminal.types("restore", app.package, "--to", target, "--set-aside")

    assert refused.code == 1
    assert "add --set-aside" in refused.err
    assert printed.code == 0
    (aside,) = tmp_path.glob("target replaced *")
    assert (aside / "mine").read_text() == "mine"
    assert f"what was there before is in {aside}" in printed.out
    assert (target / "Data" / "data.4DD").read_bytes() == patterned(3000)


def test_after_a_failure_it_has_its_name_again(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    damage(app.backup_set())
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")

    printed = terminal.types("restore", app.package, "--to", target, "--set-aside")

    assert printed.code == 5
    assert (target / "mine").read_text() == "mine"
    assert list(tmp_path.glob("target replaced *")) == []


def test_what_a_restore_replaced_is_not_saved_by_later_backups(
    terminal: Terminal, app: App
) -> None:
    app.configure(attachments=("./",))
    app.backup()
    terminal.types("restore", app.package, "--in-place")
    (aside,) = asides(app)
    (app.package / "Replaced files (4D)").mkdir()

    second = app.backup()

    assert second.facts is not None
    assert (f"{aside.name}", "files that a restore replaced") in second.facts.left_out
    printed = terminal.types("show", app.package).out
    assert aside.name + "/" not in printed
    assert "Replaced files (4D)/" in printed


def test_a_manifest_that_nothing_vouches_for_moves_no_live_file(
    terminal: Terminal, app: App
) -> None:
    folder = app.backup_set()
    (folder / "SHA256SUMS").unlink()
    change(app)
    before = tree(app.package)

    printed = terminal.types("restore", app.package, "--in-place")

    assert printed.code == 1
    assert "has no SHA256SUMS" in printed.err
    assert below(tree(app.package), b"Data") == below(before, b"Data")
    assert not asides(app)

"""docs/hooks.md is true: its examples are read and run, every key and every line of the journal is on it."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from engine.errors import Exit
from engine.hooks import Told, describe, environment_of
from settings.service_file import parse_service_file
from settings.service_model import Hook
from tests.docs.pages import DOCS, backup4d, blocks, make_application, page
from tests.engine.hook_stories import Hooked, noting
from tests.engine.stories import PARIS, make_app

PAGE = "hooks.md"
MAILER = """#!/bin/sh
{ echo "to $*"; cat; } > "$(dirname "$0")/mail"
"""


def service(text: str) -> str:
    """A fragment of the page as a whole service file."""
    if "<Backup4DService>" in text:
        return text
    return f"<Backup4DService><Hooks>{text}</Hooks></Backup4DService>"


@pytest.mark.parametrize("at", range(len(blocks(PAGE, "xml"))))
def test_every_example_is_read(at: int) -> None:
    read = parse_service_file(service(blocks(PAGE, "xml")[at]).encode(), Path("service.xml"))

    hooks = read.databases[0].hooks if read.databases else read.hooks
    assert hooks.guard is not None


def test_the_first_example_means_what_the_page_says() -> None:
    read = parse_service_file(blocks(PAGE, "xml")[0].encode(), Path("service.xml"))

    (database,) = read.databases
    assert database.hooks.shutdown == read.hooks.shutdown
    assert database.hooks.startup == Hook(
        Path("/usr/local/lib/backup4d/may-we"), (), timedelta(seconds=30)
    )


@pytest.mark.parametrize("name", ["guard-sqlite.py", "guard-fsfreeze.sh"])
def test_the_guards_that_are_named_are_there_and_executable(name: str) -> None:
    assert f"(examples/{name})" in page(PAGE)
    assert (DOCS / "examples" / name).stat().st_mode & 0o111


def test_the_drop_in_thaws_what_the_example_freezes() -> None:
    """Tried once with a real systemd 252: without it, kill -9 of the service leaves the file system frozen."""
    (drop_in,) = blocks(PAGE, "ini")
    frozen = parse_service_file(blocks(PAGE, "xml")[0].encode(), Path("x")).databases[0].hooks.guard

    assert frozen is not None
    assert f"ExecStopPost=-+/usr/sbin/fsfreeze --unfreeze {frozen.arguments[0]}\n" in drop_in


def test_everything_that_is_told_is_on_the_page(tmp_path: Path) -> None:
    told = describe(Told(make_app(tmp_path).layout, PARIS, None), "startup")
    environment = environment_of(told, PARIS)

    assert {key for key in told if f"| `{key}` |" not in page(PAGE)} == set()
    assert {name for name in environment if f"`{name}" not in page(PAGE)} == set()


@pytest.mark.parametrize(("status", "mail"), [("0", None), ("1409", "no room")])
def test_the_mail_on_failure_is_sent_when_it_failed(
    tmp_path: Path, status: str, mail: str | None
) -> None:
    (script,) = blocks(PAGE, "sh")
    for name, text in {"hook": script, "mailer": MAILER}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "BACKUP4D_STATUS": status,
        "BACKUP4D_DATABASE": "/srv/4d/Invoices",
        "BACKUP4D_MESSAGE": "no room",
    }

    subprocess.run(
        [tmp_path / "hook", tmp_path / "mailer", "root"], env=environment, check=True, timeout=30
    )

    if mail is None:
        assert not (tmp_path / "mail").exists()
    else:
        assert (tmp_path / "mail").read_text() == (
            f"to root\nSubject: backup of /srv/4d/Invoices: error {status}\n\n{mail}\n"
        )


def test_the_command_runs_the_hooks_of_the_service_file(tmp_path: Path) -> None:
    package = make_application(tmp_path)
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "$BACKUP4D_EVENT" >> "$1"; echo closed; exit 7\n')
    hook.chmod(0o755)
    named = f"<Program>{hook}</Program><Argument>{tmp_path}/diary</Argument>"
    file = tmp_path / "service.xml"
    file.write_text(service(f"<Startup>{named}</Startup><Shutdown>{named}</Shutdown>"))

    done = backup4d("--service-file", file, "backup", package, folder=tmp_path)

    assert done.returncode == Exit.FAILED
    assert f"error 7: startup hook {hook} refused the backup (exit code 7): closed" in done.stderr
    assert (tmp_path / "diary").read_text() == "startup\nshutdown\n"


def test_every_line_of_the_journal_begins_as_the_pages_show(tmp_path: Path) -> None:
    hooked = Hooked(make_app(tmp_path), tmp_path)
    good = hooked.with_(startup=noting("s"), guard="echo ready; cat; exit 3", shutdown="exit 3")

    good.backup()
    hooked.with_(startup="exit 7").fails()
    hooked.with_(guard="echo ready").fails()

    journal = hooked.app.journal()
    lines = [line for line in journal.splitlines() if line and not line.startswith("\t")]
    begins = {re.split(r" ?: | \d|/", line)[0].strip() for line in lines}
    assert {"Startup hook", "Guard", "guard", "*** Shutdown hook failed"} <= begins
    assert {begin for begin in begins if begin not in page("journal-and-history.md")} == set()

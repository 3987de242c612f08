"""Names that are no text, longest names, names that a terminal would obey: saved, told without harm, and back again."""

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stories import DESTINATION, App, make_app, settings_xml, tree
from tests.fakes import StoryClock
from tests.limits.scale import cost, room
from tests.scheduler.real import PROGRAM, environment

ODD = (
    b"\xff\xfe not UTF-8 \x80",
    b"two\nlines",
    b"tab\tand\rreturn",
    b"\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    b"\xc2\x9b31mC1 control",  # CSI as one character
    "right to left \u202e fdp.exe".encode(),
    "\u2028 line separator".encode(),
    b"quote ' \" \\ $(reboot) `reboot` ;",
    b"-rf",
    b" leading and trailing ",
    b"[bold]markup[bold]",
    b"%s {0} \\x41",
    b"n" * 255,
    "é".encode() * 127,
)
# what no line of ours may hold, wherever a name comes from: C0 but for line ends, DEL, C1, bidi, separators
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def folder() -> Iterator[Path]:
    with room() as made:
        yield made


def fill(folder: Path) -> None:
    """Files, folders, links and pipes of every odd name."""
    for number, name in enumerate(ODD):
        (folder / os.fsdecode(name)).write_bytes(name)
        inner = folder / f"in {number}" / os.fsdecode(name)
        inner.mkdir(parents=True)
        (inner / "file").write_bytes(name)
        (inner / "link").symlink_to(os.fsdecode(name))
    os.mkfifo(folder / os.fsdecode(b"pipe" + ODD[3]))


def harmless(text: str) -> bool:
    assert not (found := _HARMFUL.search(text)), (found, text[max(0, found.start() - 80) :][:160])
    return True


def test_odd_names_are_saved_told_and_back(folder: Path) -> None:
    app = make_app(folder, attachments=("./Resources/",))
    fill(_made(app.package / "Resources"))
    source = app.destination / "data[0001]"

    done = [cost("backup", folder, "backup", app.package)]
    (app.package / "Resources" / os.fsdecode(ODD[3])).write_text("changed")
    done += [
        cost("show", folder, "show", source),
        cost("show --tree", folder, "show", source, "--tree"),
        cost("list", folder, "list", app.package),
        cost("verify", folder, "verify", source),
        cost("diff", folder, "diff", source, "live"),
        cost("restore", folder, "restore", source, "--to", folder / "back"),
        cost("status", folder, "status", app.package),
    ]

    assert [one.code for one in done] == [0, 0, 0, 0, 0, 1, 0, 0], [one.err for one in done]
    assert all(harmless(one.out + one.err) for one in done)
    assert harmless(app.journal())
    (app.package / "Resources" / os.fsdecode(ODD[3])).unlink()
    (folder / "back" / "Resources" / os.fsdecode(ODD[3])).unlink()
    (app.package / "Resources" / os.fsdecode(b"pipe" + ODD[3])).unlink()
    assert tree(folder / "back" / "Resources", times=False) == tree(
        app.package / "Resources", times=False
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in ODD if len(name) < 200])
def test_an_application_of_an_odd_name_is_served(folder: Path, name: bytes) -> None:
    text = os.fsdecode(name)
    made = make_app(folder)
    package = folder / text
    made.package.rename(package)
    made.data_file.with_name("x")
    (package / "Data" / "data.4DD").rename(package / "Data" / f"{text}.4DD")
    app = App(package, folder / "backups", StoryClock())
    (package / "Settings" / "backup.4DSettings").write_bytes(
        settings_xml({DESTINATION: f"{folder}/backups/"}, [])
    )
    (package / "Data" / "data.journal").unlink()

    done = [
        cost(what, folder, what, package) for what in ("backup", "list", "show", "verify", "status")
    ]

    for one in done:
        assert one.code == 0, (one.what, one.err)
        assert harmless(one.out + one.err)
    assert harmless(app.journal())


@pytest.mark.slow
def test_a_terminal_is_not_obeyed(folder: Path) -> None:
    app = make_app(folder, attachments=("./Resources/",))
    fill(_made(app.package / "Resources"))
    app.backup()
    (app.package / "Resources" / os.fsdecode(ODD[3])).unlink()
    said = b""
    for command in (["show", "--tree"], ["diff"], ["backup"], ["verify"]):
        said += on_a_terminal([*PROGRAM, command[0], str(app.package), *command[1:]])

    assert b"owned" in said
    for sequence in (b"\x1b]0;", b"\x1b[2J\x1b[31m", b"\x07", "\u202e".encode(), b"\xc2\x9b"):
        assert sequence not in said


def on_a_terminal(command: list[str]) -> bytes:
    ours, theirs = pty.openpty()
    said = b""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm")
    ) as process:
        os.close(theirs)
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                break
            if not part:
                break
            said += part
        process.wait(60)
    os.close(ours)
    return said

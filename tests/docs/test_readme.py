"""README.md: its links lead somewhere, its commands restore a set, its journal entries are what the program writes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import HOUSE, make_set

README = (HOUSE / "README.md").read_text("utf-8")
_BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
_TOOLS = ("bash", "tar", "zstd", "sha256sum")


def block(beginning: str) -> str:
    """The code block that begins so."""
    (found,) = (text for text in _BLOCKS if text.startswith(beginning))
    return str(found)


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]

    assert links
    assert [link for link in links if not (HOUSE / link).exists()] == []


def test_no_place_was_left_to_be_filled() -> None:
    assert re.findall(r"@@\w+@@", README) == []


@pytest.mark.skipif(None in map(shutil.which, _TOOLS), reason=f"needs {', '.join(_TOOLS)}")
def test_the_commands_for_the_bad_day_bring_everything_back(tmp_path: Path) -> None:
    package, folder = make_set(tmp_path)
    target = tmp_path / "restored"
    commands = block("cd '/backups/data[0007]'")
    for written, here in {
        "/backups/data[0007]": str(folder),
        "data[0007]": "data[0001]",
        "data[0006]": "data[0000]",
        "/srv/4d/restored": str(target),
    }.items():
        assert written in commands
        commands = commands.replace(written, here)

    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for name in ("Data/data.4DD", "Data/data.journal", "Resources/strings.json"):
        assert (target / name).read_bytes() == (package / name).read_bytes()
    assert (target / "Resources").stat().st_mtime_ns == (package / "Resources").stat().st_mtime_ns


def test_the_journal_has_the_lines_the_program_writes(tmp_path: Path) -> None:
    make_set(tmp_path)
    journal = (tmp_path / "Invoices" / "Logs" / "Backup Journal[001].txt").read_text("utf-8")
    shown = block("*** Full Backup\n").split("\n\n")[0]
    labels = [re.split(r" ?: | \d", line)[0] for line in shown.splitlines() if line[0] != "\t"]

    written = [re.split(r" ?: | \d", line)[0] for line in journal.splitlines() if line.strip()]

    assert [label for label in labels if label not in written] == ["Deleting old archive(s):"]

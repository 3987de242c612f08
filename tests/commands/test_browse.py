"""show --tree and diff: what a person and a program read, with the exit codes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.commands_browse import name_words
from tests.commands.terminal import Terminal, application
from tests.engine.stories import App, patterned


def edit(app: App) -> None:
    """One file changed, one added, one removed, one touched."""
    app.data_file.write_bytes(patterned(6000))
    (app.package / "Project" / "new").write_bytes(b"new")
    (app.package / "Project" / "Sources" / "Methods" / "hello.4dm").unlink()
    os.utime(app.log, ns=(1, 1))


def signs(text: str) -> list[str]:
    """The lines that name a path."""
    return [line for line in text.splitlines() if line[:2] in ("+ ", "- ", "~ ", ". ")]


def without_privilege(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command as an owner of files who is not above their modes, as root is."""
    closed = "--bounding-set=-dac_override,-dac_read_search"
    return subprocess.run(
        ["setpriv", closed, sys.executable, "-m", "scheduler", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- show --tree ----------------------------------------------------------------------------------


def test_a_tree_has_sums_roles_and_links(terminal: Terminal, app: App) -> None:
    (app.package / "Letters").mkdir()
    (app.package / "Letters" / "today").symlink_to("a.txt")
    (app.package / "Letters" / "a.txt").write_bytes(b"Dear")
    (app.package / "Letters" / "b.txt").hardlink_to(app.package / "Letters" / "a.txt")
    app.configure(attachments=("./Letters",))
    app.backup()

    printed = terminal.types("show", app.package, "--tree")

    lines = printed.out.partition("\n\n")[2].splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert printed.code == 0
    assert printed.out.startswith("set 1 of ")
    assert words[0] == "3,902 Data/ (3 files)"
    assert "3,000 data.4DD [data]" in words
    assert "900 data.journal [log]" in words
    assert "4 Letters/ (2 files) [attachment]" in words
    assert words[words.index("4 Letters/ (2 files) [attachment]") + 1 :][:3] == [
        "4 a.txt",
        "0 b.txt = Letters/a.txt",
        "0 today -> a.txt",
    ]
    assert "11 Project/ (2 files) [structure]" in words


def test_a_tree_shows_odd_names_without_harm(terminal: Terminal, app: App) -> None:
    odd = app.package / "Project" / os.fsdecode(b"caf\xe9 \x1b[2J\nname")
    odd.write_bytes(b"odd")
    app.backup()

    printed = terminal.types("show", app.package, "--tree")

    assert "caf\\xe9 \\x1b[2J\\nname" in printed.out
    assert "\x1b" not in printed.out


def test_a_tree_is_for_people(terminal: Terminal, app: App) -> None:
    app.backup()

    assert terminal.types("show", app.package, "--tree", "--json").code == 2


def test_a_name_is_shown_on_one_line() -> None:
    assert name_words(b"a\nb\tc\xff\x1b\xe2\x80\xaed") == "a\\nb\\tc\\xff\\x1b\\u202ed"
    assert name_words("größe 日本".encode()) == "größe 日本"


# --- diff -----------------------------------------------------------------------------------------


def test_without_a_change_diff_is_0_and_says_what_it_went_by(terminal: Terminal, app: App) -> None:
    app.backup()

    printed = terminal.types("diff", app.package)

    assert printed.code == 0
    assert signs(printed.out) == []
    assert "from set 1 to the live files: no difference" in printed.out
    assert "--content compares every file's content" in printed.out


def test_differences_are_1_and_named_line_by_line(terminal: Terminal, app: App) -> None:
    app.backup()
    edit(app)

    printed = terminal.types("diff", app.package)

    assert printed.code == 1
    assert signs(printed.out) == [
        "~ Data/data.4DD (2.9 KiB -> 5.9 KiB)",
        "- Project/Sources/Methods/hello.4dm (9 bytes)",
        "+ Project/new (3 bytes)",
    ]
    assert "1 added, 1 removed, 1 changed, " in printed.out
    assert "differ only in mode, owner or time (--all names them)" in printed.out


def test_what_differs_in_time_alone_is_named_on_demand_and_is_no_difference(
    terminal: Terminal, app: App
) -> None:
    app.backup()
    os.utime(app.log, ns=(0, 0))
    app.data_file.chmod(0o600)

    printed = terminal.types("diff", app.package, "--all")

    assert printed.code == 0
    mode, time = signs(printed.out)
    assert mode == ". Data/data.4DD (mode 0644 -> 0600)"
    assert time.startswith(". Data/data.journal (time 2")
    assert time.endswith("-> 1970-01-01 00:00:00.000)")


def test_content_finds_what_size_and_time_hide(terminal: Terminal, app: App) -> None:
    app.backup()
    facts = app.data_file.stat()
    app.data_file.write_bytes(patterned(facts.st_size, seed=1))
    os.utime(app.data_file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    assert terminal.types("diff", app.package).code == 0
    printed = terminal.types("diff", app.package, "--content")
    assert printed.code == 1
    assert signs(printed.out) == ["~ Data/data.4DD (2.9 KiB, other content)"]


def test_two_sets_are_compared_by_number_and_by_folder(terminal: Terminal, app: App) -> None:
    first = app.backup_set()
    edit(app)
    second = app.backup_set()

    by_number = terminal.types("diff", app.package, "--set", "1", "--with", "2")
    by_folder = terminal.types("diff", first, second)
    back = terminal.types("diff", second, first)

    assert by_number.code == by_folder.code == back.code == 1
    assert by_number.out == by_folder.out
    assert "- Project/new (3 bytes)" in signs(back.out)
    assert "from set 1 to set 2: 1 added, 1 removed, 1 changed" in by_number.out
    assert "--content" not in by_number.out


def test_a_set_is_compared_with_the_live_files_it_came_from(terminal: Terminal, app: App) -> None:
    first = app.backup_set()
    app.backup()
    edit(app)

    for words in ((first, "live"), (first,), (app.package, "--set", "1")):
        printed = terminal.types("diff", *words)
        assert printed.code == 1
        assert "from set 1 to the live files" in printed.out


def test_a_changed_type_and_a_changed_link_say_both_sides(terminal: Terminal, app: App) -> None:
    link = app.package / "Project" / "link"
    link.symlink_to("here")
    app.backup()
    link.unlink()
    link.symlink_to("there")
    method = app.package / "Project" / "Sources" / "Methods" / "hello.4dm"
    method.unlink()
    method.mkdir()

    printed = terminal.types("diff", app.package)

    assert signs(printed.out) == [
        "~ Project/Sources/Methods/hello.4dm/ (file -> folder)",
        "~ Project/link (link to here -> there)",
    ]


def test_a_program_reads_the_same(terminal: Terminal, app: App) -> None:
    app.backup()
    edit(app)

    printed = terminal.types("diff", app.package, "--json")

    assert printed.code == 1
    assert printed.err == ""
    assert printed.json["from"]["number"] == 1
    assert printed.json["to"] == "live"
    assert (printed.json["added"], printed.json["removed"], printed.json["content"]) == (1, 1, 1)
    assert [(row["path"], row["difference"]) for row in printed.json["changes"]] == [
        ("Data/data.4DD", "content"),
        ("Project/Sources/Methods/hello.4dm", "removed"),
        ("Project/new", "added"),
    ]
    assert printed.json["changes"][2]["before"] is None
    assert printed.json["changes"][2]["after"]["size"] == 3


def test_sets_of_different_databases_are_compared_and_it_is_said(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    another = application(tmp_path / "another")

    printed = terminal.types("diff", app.backup_set(), another.backup_set())

    assert f"sets of different databases: {app.data_file} and {another.data_file}" in printed.err


def test_without_the_application_there_are_no_live_files(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    shutil.rmtree(app.package)

    printed = terminal.types("diff", folder, "live")

    assert printed.code == 2
    assert f"there is no folder {app.package}" in printed.err
    assert "what to do:" in printed.err
    assert printed.out == ""


def test_a_lost_data_file_is_a_difference(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()
    app.data_file.unlink()

    printed = terminal.types("diff", folder)

    assert printed.code == 1
    assert "- Data/data.4DD (2.9 KiB)" in signs(printed.out)


def test_a_damaged_or_missing_manifest_is_5(terminal: Terminal, app: App) -> None:
    first, second = app.backup_set(), app.backup_set()
    manifest = second / "manifest.json"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.chmod(0o600)
    manifest.write_bytes(b"".join(lines[:-3]))

    assert terminal.types("diff", first, second).code == 5
    manifest.unlink()
    assert terminal.types("diff", first, second).code == 5


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
def test_what_cannot_be_looked_at_is_2_and_never_called_removed(app: App) -> None:
    folder = app.backup_set()
    sources = app.package / "Project" / "Sources"
    os.utime(app.data_file, ns=(1, 1))
    app.data_file.chmod(0)
    sources.chmod(0)

    printed = without_privilege("diff", folder)

    sources.chmod(0o755)
    assert printed.returncode == 2
    assert "? Project/Sources: could not be looked at: Permission denied" in printed.stderr
    assert "? Data/data.4DD: could not be looked at: Permission denied" in printed.stderr
    assert signs(printed.stdout) == []
    assert "2 could not be looked at" in printed.stdout


def test_wrong_use_is_2(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()

    for words in (
        (folder, "--set", "1"),
        (app.package, "--with", "1"),
        (app.package, folder, "--set", "1", "--with", "1"),
        (app.package.parent / "nothing",),
    ):
        assert terminal.types("diff", *words).code == 2
    assert terminal.types("diff", app.package, "--set", "9").code == 5

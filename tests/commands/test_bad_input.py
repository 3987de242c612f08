"""Whatever is typed or lies on the disk: a message that names it and says what to do, never a traceback."""

import os
from pathlib import Path

import pytest

from tests.commands.terminal import Printed, Terminal
from tests.engine.stories import App

ON_DATABASES = (
    ("backup",),
    ("drill",),
    ("list",),
    ("show",),
    ("verify",),
    ("restore",),
    ("settings", "check"),
    ("settings", "explain"),
    ("settings", "show"),
)


def refused(printed: Printed, *codes: int) -> None:
    """It ended with one of these codes, with words, and with no traceback."""
    assert printed.code in codes, printed
    assert printed.all.strip()
    assert "Traceback" not in printed.all
    assert "mistake in backup4d" not in printed.all


@pytest.mark.parametrize("words", ON_DATABASES, ids=" ".join)
class TestOnEveryCommand:
    def test_a_path_that_is_not_there_is_named(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        printed = terminal.types(*words, tmp_path / "nobody")

        refused(printed, 2)
        assert str(tmp_path / "nobody") in printed.err

    def test_a_folder_that_is_no_database_is_named(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        (tmp_path / "empty").mkdir()

        printed = terminal.types(*words, tmp_path / "empty")

        refused(printed, 2)
        assert str(tmp_path / "empty") in printed.err

    def test_a_file_instead_of_a_folder_is_named(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        file = tmp_path / "letter.txt"
        file.write_text("dear")

        printed = terminal.types(*words, file)

        refused(printed, 2)
        assert str(file) in printed.err

    def test_a_path_through_a_file_is_named(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        file = tmp_path / "letter.txt"
        file.write_text("dear")

        refused(terminal.types(*words, file / "below"), 2)

    def test_a_name_no_file_system_takes_is_refused(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        refused(terminal.types(*words, tmp_path / ("n" * 300)), 1, 2)

    def test_a_name_that_is_not_text_is_refused(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        refused(terminal.types(*words, os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")), 1, 2)

    def test_a_name_that_is_not_text_is_refused_to_programs_too(
        self, terminal: Terminal, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        printed = terminal.types(*words, os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"), "--json")

        refused(printed, 1, 2)
        assert printed.json["exit"] == printed.code

    def test_an_empty_name_is_refused(
        self, terminal: Terminal, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir("/")

        refused(terminal.types(*words, ""), 1, 2)

    def test_binary_settings_are_refused(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        file = app.package / "Settings" / "backup.4DSettings"
        file.write_bytes(bytes(range(256)) * 64)

        printed = terminal.types(*words, app.package)

        refused(printed, 4)
        assert str(file) in printed.all

    def test_settings_that_are_a_pipe_are_refused_at_once(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        file = app.package / "Settings" / "backup.4DSettings"
        file.unlink()
        os.mkfifo(file)

        refused(terminal.types(*words, app.package), 2, 4)

    def test_two_data_files_want_a_choice(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        app.data_file.rename(app.package / "Data" / "one.4DD")
        (app.package / "Data" / "other.4DD").touch()

        printed = terminal.types(*words, app.package)

        refused(printed, 4)
        assert "other.4DD" in printed.err

    def test_a_service_file_of_garbage_is_named(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        terminal.service_file.write_bytes(bytes(range(256)) * 64)

        printed = terminal.types(*words, app.package)

        refused(printed, 4)
        assert str(terminal.service_file) in printed.err

    def test_a_service_file_that_is_a_folder_is_named(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        terminal.service_file.unlink()
        terminal.service_file.mkdir()

        printed = terminal.types(*words, app.package)

        refused(printed, 4)
        assert str(terminal.service_file) in printed.err

    def test_a_service_file_that_was_named_and_is_not_there_is_refused(
        self, terminal: Terminal, app: App, words: tuple[str, ...]
    ) -> None:
        terminal.service_file.unlink()

        printed = terminal.types(*words, app.package)

        refused(printed, 2)
        assert str(terminal.service_file) in printed.err


# --- folders that are not what they should be -----------------------------------------------------


@pytest.mark.parametrize("words", [("run",), ("status",)], ids=" ".join)
def test_a_state_folder_that_is_a_file_is_named(
    terminal: Terminal, app: App, words: tuple[str, ...]
) -> None:
    terminal.state.write_text("not a folder")

    printed = terminal.types(*words, app.package)

    refused(printed, 1)
    assert str(terminal.state) in printed.all


@pytest.mark.parametrize("words", [("list",), ("verify",), ("status",)], ids=" ".join)
def test_a_backup_folder_that_is_a_file_is_named(
    terminal: Terminal, app: App, words: tuple[str, ...]
) -> None:
    app.destination.rmdir()
    app.destination.write_text("not a folder")

    printed = terminal.types(*words, app.package)

    refused(printed, 1, 5)
    assert str(app.destination) in printed.all


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "data[0001].tar.zst"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 999, b"[" * 100_000])
@pytest.mark.parametrize("command", ["show", "verify", "restore", "list"])
def test_garbage_in_a_set_is_told_as_damage(
    terminal: Terminal, app: App, tmp_path: Path, name: str, content: bytes, command: str
) -> None:
    folder = app.backup_set()
    (folder / name).chmod(0o600)
    (folder / name).write_bytes(content)
    to = ("--to", tmp_path / "back") if command == "restore" else ()

    printed = terminal.types(command, folder if command != "list" else app.package, *to)

    assert "Traceback" not in printed.all
    assert "mistake in backup4d" not in printed.all
    assert printed.code in {0, 5}
    if command == "verify" or (command != "list" and name == "manifest.json"):
        assert printed.code == 5


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999"])
def test_a_number_no_set_has_is_refused(terminal: Terminal, app: App, number: str) -> None:
    app.backup()

    refused(terminal.types("show", app.package, "--set", number), 5)


def test_a_target_below_a_folder_that_is_not_there_is_named(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()

    printed = terminal.types("restore", app.package, "--to", tmp_path / "not" / "there")

    refused(printed, 1)
    assert str(tmp_path / "not") in printed.err


def test_a_data_file_that_is_not_there_is_named(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    printed = terminal.types("backup", app.package, "--data-file", tmp_path / "gone.4DD")

    refused(printed, 1, 4)
    assert str(tmp_path / "gone.4DD") in printed.err


def test_a_demo_in_a_folder_that_is_there_touches_nothing(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")

    printed = terminal.types("demo", "--folder", tmp_path / "mine", "--remove")

    refused(printed, 1, 2)
    assert str(tmp_path / "mine") in printed.err
    assert (tmp_path / "mine" / "letter").exists()


def test_an_application_whose_name_is_not_text_is_backed_up_and_listed(
    terminal: Terminal, app: App
) -> None:
    strange = Path(os.fsdecode(os.fsencode(app.package) + b" caf\xe9"))
    app.package.rename(strange)

    for words in ("backup", "list", "show", "verify"):
        printed = terminal.types(words, strange)
        assert printed.code == 0, printed
        printed = terminal.types(words, strange, "--json")
        assert printed.code == 0, printed
        assert printed.json

"""The Backup journal is in 4D's layout, entries are whole or absent, and nobody can forge one."""

import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Code, DestinationError, EngineError
from engine.journal import Entry, append, current_journal, one_line, render
from engine.report import Times, aborted_entry, event, published_entry, simple_entry
from engine.sets import Removal
from tests.engine.stories import CORPUS, VERBOSE, facts_of, make_app, pass_a_day, stored, verified

PARIS = ZoneInfo("Europe/Paris")
BACKUPS = "/srv/backups/data[0093]"
REAL = sorted((CORPUS / "journals").glob("*.txt"))
real = pytest.mark.skipif(not REAL, reason="the corpus of real journals is not beside the project")
ENTRY = "*** Full Backup\nStarting 2026-01-01 01:00:00\n\n"


def times() -> Times:
    start = datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
    return Times(start - timedelta(minutes=1), start, start + timedelta(seconds=5), PARIS)


# --- the layout -----------------------------------------------------------------------------------


def test_a_complete_backup_is_told_in_4ds_layout() -> None:
    facts = facts_of(93, attachments=("/srv/app/Data/data.4DIndx", "/srv/docs"))
    removal = Removal(stored(90), "")

    text = render(published_entry(BACKUPS, facts, (removal,), PARIS), verbose=True)

    assert text == (
        "*** Full Backup\n"
        "Creating archive : /srv/backups/data[0093]/data[0093].tar.zst\n"
        "Creating log backup : /srv/backups/data[0093]/data[0092].journal.zst\n"
        "Deleting old archive(s):\n"
        "\t/srv/backups/data[0090]\n"
        "Attachment(s): \n"
        "\t/srv/docs [OK]\n"
        "\t/srv/app/Data/data.4DIndx [OK]\n"
        "Checking archive : OK\n"
        "Scheduled 2026-04-04 04:30:00\n"
        "Starting 2026-04-04 04:30:00\n"
        "Ending 2026-04-04 04:30:27\n"
        "\n"
    )


def test_a_partial_backup_names_what_is_missing_and_what_to_do() -> None:
    facts = facts_of(
        93,
        complete=False,
        checked=False,
        missing=("/srv/docs",),
        skipped=(("Docs/secret", "cannot be read: Permission denied"),),
        left_out=(("Docs/pipe", "a FIFO"),),
        attachments=("/srv/docs",),
        files=(("main", "data[0093].tar"),),
    )

    text = render(published_entry(BACKUPS, facts, (), PARIS, ("A note",)), verbose=True)

    assert text == (
        "*** Full Backup\n"
        "Error reported : 1409 partial backup: 2 of the listed files could not be saved, all else is in the set\n"
        "Hint : bring them back, or take them off what the settings select (General)\n"
        "Creating archive : /srv/backups/data[0093]/data[0093].tar\n"
        "Attachment(s): \n"
        "\t/srv/docs [NOT FOUND]\n"
        "Not saved : Docs/secret (cannot be read: Permission denied)\n"
        "Left out : Docs/pipe (a FIFO)\n"
        "Checking archive : not asked for\n"
        "A note\n"
        "Scheduled 2026-04-04 04:30:00\n"
        "Starting 2026-04-04 04:30:00\n"
        "Ending 2026-04-04 04:30:27\n"
        "\n"
    )


def test_an_aborted_backup_is_told_in_4ds_layout() -> None:
    error = DestinationError("Destination folder can not be created : /mnt/x", hint="mount it")

    text = render(aborted_entry(error, times()), verbose=True)

    assert text == (
        "*** Full Backup aborted\n"
        "Error reported : 1407 Destination folder can not be created : /mnt/x\n"
        "Hint : mount it\n"
        "Scheduled : 2026-07-01 02:29:00\n"
        "Starting : 2026-07-01 02:30:00\n"
        "Ending : 2026-07-01 02:30:05\n"
        "\n"
    )


def test_the_short_form_holds_start_and_errors_only() -> None:
    error = EngineError("it broke", hint="mend it")

    assert render(published_entry(BACKUPS, facts_of(93), (), PARIS), verbose=False) == (
        "*** Full Backup\nStarting 2026-04-04 04:30:00\n\n"
    )
    assert render(aborted_entry(error, times()), verbose=False) == (
        "*** Full Backup aborted\n"
        "Starting : 2026-07-01 02:30:00\n"
        "Error reported : 1409 it broke\n"
        "Hint : mend it\n\n"
    )


def test_other_entries_have_the_same_shape() -> None:
    entry = simple_entry("Verification", ("Set : /b/data[0001]", "Result : OK"), times())

    assert render(entry, verbose=True) == (
        "*** Verification\n"
        "Set : /b/data[0001]\n"
        "Result : OK\n"
        "Starting : 2026-07-01 02:30:00\n"
        "Ending : 2026-07-01 02:30:05\n\n"
    )


def test_without_a_slot_the_scheduled_line_shows_the_start() -> None:
    text = render(published_entry(BACKUPS, facts_of(93, scheduled=None), (), PARIS), verbose=True)

    assert "Scheduled 2026-04-04 04:30:00\nStarting 2026-04-04 04:30:00\n" in text


def test_an_event_of_the_history_says_the_same() -> None:
    error = EngineError("it broke", code=Code.STOPPED)

    assert event("backup", times(), error, set="data[0001]") == {
        "event": "backup",
        "set": "data[0001]",
        "scheduledDate": "2026-07-01T00:29:00.000Z",
        "startingDate": "2026-07-01T00:30:00.000Z",
        "endingDate": "2026-07-01T00:30:05.000Z",
        "status": 1406,
        "error": "it broke",
    }


def test_the_settings_choose_the_short_form(tmp_path: Path) -> None:
    app = make_app(tmp_path, {VERBOSE: "False"})

    app.backup()

    assert app.journal() == "*** Full Backup\nStarting 2026-01-10 03:30:00\n\n"


# --- forging --------------------------------------------------------------------------------------


@given(text=st.text())
def test_no_text_makes_a_second_line(text: str) -> None:
    shown = one_line(text)

    assert len(shown.splitlines()) <= 1
    assert shown.isprintable()


def test_names_that_are_no_utf8_are_shown_as_escapes() -> None:
    assert one_line("caf\udce9\n\x1b[2J") == "caf\\udce9\\n\\x1b[2J"


FORGED = "x\n\n*** Full Backup\nCreating archive : /forged"


@given(
    where=st.sampled_from(
        ["folder", "file", "missing", "skipped", "why", "left out", "note", "removed"]
    )
)
def test_no_name_forges_an_entry(where: str) -> None:
    def name(of: str) -> str:
        return FORGED if of == where else "plain"

    facts = facts_of(
        1,
        complete=False,
        files=(("main", name("file")),),
        attachments=(name("missing"),),
        missing=(name("missing"),),
        skipped=((name("skipped"), name("why")),),
        left_out=((name("left out"), name("why")),),
    )
    removal = Removal(stored(1, Path("/" + name("removed"))), "")

    entry = published_entry(name("folder"), facts, (removal,), PARIS, (name("note"),))
    text = render(entry, verbose=True)

    assert text.count("\n\n") == 1
    assert text.count("\n***") == 0


def test_an_error_forges_no_entry() -> None:
    text = render(aborted_entry(EngineError(FORGED, hint=FORGED), times(), (FORGED,)), verbose=True)

    assert text.count("\n\n") == 1
    assert text.count("***") == 1 + 3
    assert text.count("\n***") == 0


def test_a_data_file_with_a_hostile_name_is_backed_up_and_forges_nothing(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.rename(app.data_file.with_name("da\n\n*** Forged\nta.4DD"))
    app.log.unlink()

    folder = app.backup_set()

    assert folder.is_dir()
    assert "\n*** Forged" not in app.journal()
    check = subprocess.run(
        ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True, check=False
    )
    assert check.returncode == 0, check.stderr
    assert verified(folder).good


# --- files ----------------------------------------------------------------------------------------


def test_the_first_entry_makes_number_one(tmp_path: Path) -> None:
    file = append(tmp_path, ENTRY)

    assert file.name == "Backup Journal[001].txt"
    assert file.read_text() == ENTRY


def test_entries_follow_one_another(tmp_path: Path) -> None:
    append(tmp_path, ENTRY)
    file = append(tmp_path, ENTRY)

    assert file.read_text() == ENTRY * 2


def test_above_10_mb_the_next_number_begins(tmp_path: Path) -> None:
    first = tmp_path / "Backup Journal[001].txt"
    first.write_bytes(b"x" * 9_999_998 + b"\n\n")

    assert append(tmp_path, ENTRY) == first
    second = append(tmp_path, ENTRY)

    assert second.name == "Backup Journal[002].txt"
    assert second.read_text() == ENTRY
    assert first.stat().st_size == 10_000_000 + len(ENTRY)


def test_after_999_the_first_is_overwritten(tmp_path: Path) -> None:
    for number in (1, 500, 999):
        file = tmp_path / f"Backup Journal[{number:03d}].txt"
        file.write_bytes(b"old" * 10)
        os.utime(file, (number, number))

    file = append(tmp_path, ENTRY, limit=20)

    assert file.name == "Backup Journal[001].txt"
    assert file.read_text() == ENTRY
    assert append(tmp_path, ENTRY, limit=1000) == file
    assert (tmp_path / "Backup Journal[999].txt").read_bytes() == b"old" * 10


def test_rollovers_wrap_without_losing_an_entry_of_the_last_files(tmp_path: Path) -> None:
    for number in range(1, 990):
        file = tmp_path / f"Backup Journal[{number:03d}].txt"
        file.write_bytes(b"old")
        os.utime(file, (number, number))

    for number in range(990, 1020):
        file = append(tmp_path, f"{number}\n\n", limit=4)
        os.utime(file, (number, number))

    assert len(list(tmp_path.iterdir())) == 999
    newest = current_journal(tmp_path)
    assert newest is not None
    assert "1019\n\n" in newest.read_text()
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    assert all(f"{number}\n\n" in text for number in range(990, 1020))


@pytest.mark.parametrize("name", ["Backup Journal.txt", "Backup Journal[1].txt", "Notes[005].txt"])
def test_other_files_of_the_folder_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")

    append(tmp_path, ENTRY)

    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("before", "between"),
    [
        (b"*** Full Backup\nStarting 2026-01-01 01:0", b"\n\n"),
        (b"*** Full Backup\nStarting 2026-01-01 01:00:00\n", b"\n"),
        (b"*** Full Backup\nEnding\n\n", b""),
        (b"*** Full Backup\r\nEnding\r\n\r\n", b""),
        (b"*** Full Backup\r\nEnding\r\n", b"\n"),
        (b"*** Full Backup\rEnding\r\r", b""),
        (b"", b""),
        (b"\n", b"\n"),
        (b"x", b"\n\n"),
    ],
)
def test_a_torn_entry_is_closed_by_the_next_one(
    tmp_path: Path, before: bytes, between: bytes
) -> None:
    (tmp_path / "Backup Journal[001].txt").write_bytes(before)

    file = append(tmp_path, ENTRY)

    assert file.read_bytes() == before + between + ENTRY.encode()


@real
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_a_real_journal_of_4d_is_continued(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    target = tmp_path / "Backup Journal[001].txt"
    target.write_bytes(before)

    append(tmp_path, ENTRY)

    after = target.read_bytes()
    assert after.startswith(before)
    assert after.endswith(ENTRY.encode())
    between = after[len(before) : -len(ENTRY)]
    assert between.strip() == b""


def test_a_link_in_the_place_of_the_journal_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "Backup Journal[001].txt").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path, ENTRY)

    assert (tmp_path / "elsewhere").read_bytes() == b""


# --- whole or not at all --------------------------------------------------------------------------

_APPEND = """
import resource, sys
from pathlib import Path
from engine.journal import append
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    append(Path(sys.argv[1]), "*** Full Backup aborted\\n" + "y" * 300 + "\\n\\n")
except OSError as error:
    print(error.errno)
else:
    print("written")
"""


@pytest.mark.parametrize("spare", [0, 1, 10, 150, 320])
def test_what_does_not_fit_leaves_nothing(tmp_path: Path, spare: int) -> None:
    """A short write, then EFBIG: what a full disk does as well, and no root is needed."""
    (tmp_path / "Backup Journal[001].txt").write_text(ENTRY)

    done = run_python(_APPEND, tmp_path, len(ENTRY) + spare)

    assert done.stdout.strip() == "27"
    assert (tmp_path / "Backup Journal[001].txt").read_text() == ENTRY


def test_what_just_fits_is_written(tmp_path: Path) -> None:
    (tmp_path / "Backup Journal[001].txt").write_text(ENTRY)

    done = run_python(_APPEND, tmp_path, len(ENTRY) + 326)

    assert done.stdout.strip() == "written"


def run_python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a few lines in a process of their own, with limits that must not be ours."""
    assert resource.RLIMIT_FSIZE is not None
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )


_FULL = """
set -e
mount -t tmpfs -o size=64k none "$1"
mkdir "$1/Logs"
head -c 40000 /dev/zero > "$1/Logs/Backup Journal[001].txt"
cat /dev/zero > "$1/filler" 2>/dev/null || true
exec "$2" -c '
import sys
from pathlib import Path
from engine.journal import append
logs = Path(sys.argv[1]) / "Logs"
before = (logs / "Backup Journal[001].txt").read_bytes()
try:
    append(logs, "y" * 5000)
except OSError as error:
    print(error.errno, (logs / "Backup Journal[001].txt").read_bytes() == before)
' "$1"
"""


def test_a_full_disk_leaves_nothing_of_the_entry(tmp_path: Path) -> None:
    command = ["unshare", "-rm" if os.geteuid() else "-m", "sh", "-c", _FULL, "sh"]
    done = subprocess.run(
        [*command, tmp_path, sys.executable],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mount of its own on this machine: {done.stderr.strip()}")

    assert done.stdout.split() == ["28", "True"], done.stderr


def test_a_journal_that_cannot_be_written_does_not_undo_a_good_set(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    (app.package / "Logs").mkdir()
    (app.package / "Logs" / "Backup Journal[001].txt").symlink_to("nowhere")

    outcome = app.backup()

    assert outcome.folder is not None
    assert any("Backup journal could not be written" in text for text in outcome.warnings)


def test_every_run_adds_one_entry(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    for _ in range(3):
        app.backup()
        pass_a_day(app)
    app.data_file.unlink()
    with pytest.raises(EngineError):
        app.backup()

    assert app.journal().count("*** ") == 4
    assert app.journal().count("*** Full Backup aborted\n") == 1


def test_an_entry_is_a_value() -> None:
    entry = Entry("*** T", ("d",), "s", ("e",), ("f",))

    assert render(entry, verbose=True) == "*** T\ne\nd\ns\nf\n\n"
    assert render(entry, verbose=False) == "*** T\ns\ne\n\n"

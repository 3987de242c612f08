"""What reading promises: every form of the file is read, nothing is repaired in silence."""

from datetime import datetime, time, timedelta
from itertools import product
from pathlib import Path

import pytest

from settings.errors import SettingsRefusedError
from settings.model import (
    CompressionRate,
    Daily,
    Hourly,
    KeepAll,
    KeepLast,
    Monthly,
    Never,
    PackagePath,
    Rate,
    RetryAtNextSlot,
    RetryOnce,
    RetryUpTo,
    Schedule,
    Severity,
    Unschedulable,
    Weekly,
)
from settings.reader import parse_settings
from tests.settings.forms import BOM, CORPUS, FILE, line_of, read, settings_of, small, xml

DAMAGED_DELAYS = [
    "0000-00-00T00:00:00.060",
    "0000-00-00T00:00:57.600",
    "0000-00-00T00:00:03.600",
    "0000-00-00T00:00:00.000",
    "00:00:00",
    "soon",
    "",
]


@pytest.mark.parametrize(
    ("bom", "end", "namespace"), list(product([b"", BOM], ["\n", "\r", "\r\n", ""], [True, False]))
)
def test_every_physical_form_reads_the_same(bom: bytes, end: str, namespace: bool) -> None:
    changes: dict[str, str | None] = {"Scheduler/Frequency": "Daily"}
    data = bom + xml(changes, end)
    if not namespace:
        data = data.replace(b' xmlns="http://www.4d.com/namespace/reserved/2004/backup"', b"")

    reading = read(data)

    assert reading.settings == settings_of(changes)
    assert reading.findings == ()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_are_right_whatever_the_line_end(end: str) -> None:
    data = xml({"Advanced/CompressionRate": "Zip", "Scheduler/Monthly/Day": "77"}, end)

    lines = {f.element: f.line for f in read(data).findings}

    assert lines == {
        "Settings/Advanced/CompressionRate": line_of(data, b"<CompressionRate>"),
        "Settings/Scheduler/Monthly/Day": line_of(data, b"<Day>"),
    }
    assert line_of(data, b"<Day>") > 60


def test_absent_keys_take_the_defaults_without_a_finding() -> None:
    reading = read(b"<Preferences4D><Backup/></Preferences4D>")

    settings = reading.settings
    assert reading.findings == ()
    assert settings.schedule == Never()
    assert settings.retry == RetryOnce(timedelta(minutes=1))
    assert settings.rotation == KeepLast(3, erase_before=False)
    assert settings.destination == PackagePath((), folder=True, raw="./")
    assert settings.compression is CompressionRate.FAST
    assert (settings.check_archive, settings.verbose_journal) == (True, True)
    assert (settings.content.structure, settings.content.data) == (True, True)
    assert settings.content.attachments == ()
    assert settings.database_block is None


@pytest.mark.parametrize("text", ["True", "true", "TRUE", "1", " True "])
def test_booleans_are_read_in_every_spelling(text: str) -> None:
    assert settings_of({"Advanced/BackupIfDataChange": text}).only_if_changed


SCHEDULES: list[tuple[str, dict[str, str | None], Schedule]] = [
    ("Never", {}, Never()),
    ("", {}, Never()),
    ("Hourly", {}, Hourly(12, time(0))),
    ("Hourly", {"Hourly/Every": "24", "Hourly/StartingAt": "07:15:00"}, Hourly(24, time(7, 15))),
    ("daily", {"Daily/Hour": "0000-00-00T02:22:00"}, Daily(1, time(2, 22))),
    ("Daily", {"Daily/Hour": "21:45:00+02:00", "Daily/Every": "7"}, Daily(7, time(21, 45))),
    ("Daily", {"Daily/Hour": "21:45:00-08:00"}, Daily(1, time(21, 45))),
    ("Weekly", {}, Weekly(1, ((6, time(0)),))),
    (
        "Weekly",
        {"Weekly/Monday/Save": "True", "Weekly/Monday/Hour": "0000-00-00T08:00:00.000"},
        Weekly(1, ((0, time(8)), (6, time(0)))),
    ),
    ("Monthly", {"Monthly/Day": "31", "Monthly/Every": "2"}, Monthly(2, 31, time(0))),
]


@pytest.mark.parametrize(("frequency", "changes", "expected"), SCHEDULES)
def test_the_active_block_is_the_schedule(
    frequency: str, changes: dict[str, str | None], expected: Schedule
) -> None:
    below = {f"Scheduler/{path}": text for path, text in changes.items()}

    reading = read(xml({"Scheduler/Frequency": frequency, **below}))

    assert reading.settings.schedule == expected
    assert reading.findings == ()


@pytest.mark.parametrize(
    ("frequency", "path", "text"),
    [
        ("Hourly", "Hourly/Every", "0"),
        ("Hourly", "Hourly/Every", "-1"),
        ("Hourly", "Hourly/Every", "25"),
        ("Hourly", "Hourly/Every", ""),
        ("Hourly", "Hourly/StartingAt", "25:00:00"),
        ("Daily", "Daily/Every", "0"),
        ("Daily", "Daily/Every", "999999"),
        ("Daily", "Daily/Hour", "noon"),
        ("Daily", "Daily/Hour", "0000-00-00T12:60:00"),
        ("Weekly", "Weekly/Every", "1.5"),
        ("Weekly", "Weekly/Sunday/Save", "perhaps"),
        ("Weekly", "Weekly/Sunday/Hour", "x"),
        ("Monthly", "Monthly/Day", "0"),
        ("Monthly", "Monthly/Day", "32"),
        ("Monthly", "Monthly/Every", "\u0663"),
    ],
)
def test_a_schedule_that_cannot_be_served_is_an_error_only_when_active(
    frequency: str, path: str, text: str
) -> None:
    active = read(xml({"Scheduler/Frequency": frequency, f"Scheduler/{path}": text}))
    inert = read(xml({"Scheduler/Frequency": "Never", f"Scheduler/{path}": text}))

    assert isinstance(active.settings.schedule, Unschedulable)
    assert path in active.settings.schedule.why
    assert [(f.severity, f.element) for f in active.findings] == [
        (Severity.ERROR, f"Settings/Scheduler/{path}")
    ]
    assert inert.settings.schedule == Never()
    assert [f.severity for f in inert.findings] == [Severity.NOTE]


def test_weekly_without_a_saved_day_cannot_be_served() -> None:
    reading = read(xml({"Scheduler/Frequency": "Weekly", "Scheduler/Weekly/Sunday/Save": "False"}))

    assert isinstance(reading.settings.schedule, Unschedulable)
    assert "no day" in reading.settings.schedule.why
    assert [f.severity for f in reading.findings] == [Severity.ERROR]


def test_a_weekly_block_with_one_day_means_that_day_only() -> None:
    block = "<Weekly><Tuesday><Save>True</Save><Hour>20:00:00</Hour></Tuesday></Weekly>"

    reading = read(small(f"<Scheduler><Frequency>Weekly</Frequency>{block}</Scheduler>"))

    assert reading.settings.schedule == Weekly(1, ((1, time(20)),))


def test_an_unknown_frequency_is_an_error() -> None:
    reading = read(xml({"Scheduler/Frequency": "Yearly"}))

    assert isinstance(reading.settings.schedule, Unschedulable)
    assert [f.severity for f in reading.findings] == [Severity.ERROR]


def test_the_manuals_nesting_is_read_and_said() -> None:
    block = "<Frequency>\n Daily <Daily><Every>2</Every><Hour>01:00:00</Hour></Daily></Frequency>"

    reading = read(small(f"<Scheduler>{block}</Scheduler>"))

    assert reading.settings.schedule == Daily(2, time(1))
    assert {f.severity for f in reading.findings} == {Severity.NOTE}


def test_the_2004_dialect_is_read() -> None:
    advanced = (
        "<Redondancy>Low</Redondancy><VerboseMode>False</VerboseMode>"
        "<Transaction><WaitForEndOfTransaction>True</WaitForEndOfTransaction>"
        "<Timeout>00:05:00+01:00</Timeout></Transaction>"
        "<BackupFailure><TryToBackupAfter>00:10:00-02:00</TryToBackupAfter></BackupFailure>"
    )

    settings = read(small(f"<Advanced>{advanced}</Advanced>")).settings

    assert settings.redundancy is Rate.LOW
    assert not settings.verbose_journal
    assert settings.transactions.wait
    assert settings.transactions.timeout == timedelta(minutes=5)
    assert settings.retry == RetryOnce(timedelta(minutes=10))


@pytest.mark.parametrize("text", DAMAGED_DELAYS)
def test_a_damaged_delay_becomes_a_minute_and_is_said(text: str) -> None:
    reading = read(xml({"Advanced/BackupFailure/TryToBackupAfter": text}))

    assert reading.settings.retry == RetryOnce(timedelta(minutes=1))
    [finding] = reading.findings
    assert (finding.severity, finding.read, finding.used) == (Severity.WARNING, text, "60 seconds")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:30", 30), ("0000-00-00T00:01:00.000", 60), ("0000-00-00T18:00:00.000", 64800)],
)
def test_a_good_delay_is_kept(text: str, seconds: int) -> None:
    reading = read(xml({"Advanced/BackupFailure/TryToBackupAfter": text}))

    assert reading.settings.retry == RetryOnce(timedelta(seconds=seconds))
    assert reading.findings == ()


def test_retry_at_the_next_slot_wins_over_the_other_failure_keys() -> None:
    failure = "Advanced/BackupFailure"
    changes: dict[str, str | None] = {
        f"{failure}/TryBackupAtTheNextScheduledDate": "True",
        f"{failure}/AbortIfBackupFail": "True",
        f"{failure}/TryToBackupAfter": "0000-00-00T00:00:00.060",
    }

    reading = read(xml(changes))

    assert reading.settings.retry == RetryAtNextSlot()
    assert [f.severity for f in reading.findings] == [Severity.NOTE]


@pytest.mark.parametrize("text", ["0", "-3", "many", ""])
def test_an_unusable_attempt_limit_becomes_five_and_matters_only_when_in_use(text: str) -> None:
    failure = "Advanced/BackupFailure"
    count = {f"{failure}/RetryCountBeforeAbort": text}

    limited = read(xml({f"{failure}/AbortIfBackupFail": "True", **count}))
    unlimited = read(xml({f"{failure}/AbortIfBackupFail": "False", **count}))

    assert limited.settings.retry == RetryUpTo(timedelta(minutes=1), 5)
    assert [f.severity for f in limited.findings] == [Severity.WARNING]
    assert [f.severity for f in unlimited.findings] == [Severity.NOTE]


GUARDED = [
    ("Advanced/SetNumber/Enable", ["", "maybe", "2", "Tru\u0435"]),
    ("Advanced/SetNumber/Value", ["", "0", "-1", "3,0", "1e3", "abc", "99999999999999999999"]),
    ("Advanced/EraseOldBackupBefore", ["", "before", "-1"]),
    (
        "General/DestinationFolder",
        ["", "  ", " ./x", "./a\nb", "./a\tb", "~/x", "smb://h/x", "/.", "\\x"],
    ),
]


@pytest.mark.parametrize(
    ("path", "text"), [(path, text) for path, texts in GUARDED for text in texts]
)
def test_a_value_that_deletes_or_places_files_is_never_repaired(path: str, text: str) -> None:
    data = xml({path: text})

    with pytest.raises(SettingsRefusedError) as caught:
        read(data)

    name = path.rpartition("/")[2].encode()
    message = str(caught.value)
    assert f"{FILE}, line {line_of(data, b'<' + name + b'>')}: Settings/{path}: read" in message
    assert "allowed:" in message
    assert caught.value.findings[0].severity is Severity.ERROR
    assert caught.value.findings[0].read == text


def test_an_unused_set_count_of_zero_is_no_reason_to_refuse() -> None:
    settings = settings_of({"Advanced/SetNumber/Enable": "False", "Advanced/SetNumber/Value": "0"})

    assert settings.rotation == KeepAll()


@pytest.mark.parametrize(
    "inside",
    [
        "<Advanced><SetNumber><Value>3</Value><Value>4</Value></SetNumber></Advanced>",
        "<Advanced><SetNumber><Value>3</Value></SetNumber><SetNumber><Value>4</Value></SetNumber></Advanced>",
        "<General><DestinationFolder>./a</DestinationFolder><DestinationFolder>./b</DestinationFolder></General>",
        "<Advanced><SetNumber><Value><b/>3</Value></SetNumber></Advanced>",
        "<Advanced><setnumber><Enable>False</Enable></setnumber></Advanced>",
        "<Advanced><SetNumber><enable>False</enable></SetNumber></Advanced>",
        "<advanced><SetNumber><Enable>False</Enable></SetNumber></advanced>",
        "<DestinationFolder>./a</DestinationFolder>",
    ],
)
def test_a_dangerous_key_that_is_ambiguous_or_misplaced_is_refused(inside: str) -> None:
    with pytest.raises(SettingsRefusedError):
        read(small(inside))


def test_a_duplicate_that_says_the_same_is_noted() -> None:
    reading = read(
        small("<Advanced><SetNumber><Value>4</Value><Value> 4 </Value></SetNumber></Advanced>")
    )

    assert reading.settings.rotation == KeepLast(4, erase_before=False)
    assert [f.severity for f in reading.findings] == [Severity.NOTE]


def test_a_harmless_duplicate_takes_the_first_and_is_said() -> None:
    advanced = "<CompressionRate>None</CompressionRate><CompressionRate>Compact</CompressionRate>"

    reading = read(small(f"<Advanced>{advanced}</Advanced>"))

    assert reading.settings.compression is CompressionRate.NONE
    assert [f.severity for f in reading.findings] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Advanced/CompressionRate", "Zip"),
        ("Advanced/Redundancy", ""),
        ("Advanced/Interlacing", "Max"),
        ("Advanced/FileSegmentation/DefaultSize", "4096"),
        ("Advanced/CheckArchiveFileDuringBackup", "yes"),
        ("General/IncludeDataFile", "Yes"),
    ],
)
def test_every_other_unusable_value_takes_its_default_and_is_said(path: str, text: str) -> None:
    reading = read(xml({path: text}))

    assert reading.settings == settings_of({})
    assert [(f.severity, f.element, f.read) for f in reading.findings] == [
        (Severity.WARNING, f"Settings/{path}", text)
    ]


def test_segments_are_counted_in_megabytes() -> None:
    assert settings_of({"Advanced/FileSegmentation/DefaultSize": "650"}).segment_bytes == 650 << 20


def test_unknown_keys_are_noted_and_do_no_harm() -> None:
    reading = read(small("<Vendor><SetNumber><Value>x</Value></SetNumber></Vendor>"))

    assert [(f.severity, f.element) for f in reading.findings] == [
        (Severity.NOTE, "Settings/Vendor")
    ]


def test_items_are_what_is_there_whatever_the_count_says() -> None:
    items = "<ItemsCount>3</ItemsCount><Item1>./a</Item1><Item2></Item2><Item9>./b/</Item9>"

    reading = read(small(f"<General><IncludesFiles>{items}</IncludesFiles></General>"))

    assert [p.raw for p in reading.settings.content.attachments] == ["./a", "./b/"]
    assert [f.severity for f in reading.findings] == [Severity.NOTE]


def test_an_unusable_attachment_is_an_error_and_left_out() -> None:
    items = "<Item1>./a&#9;b</Item1><Item2>./c</Item2>"

    reading = read(small(f"<General><IncludesFiles>{items}</IncludesFiles></General>"))

    assert [p.raw for p in reading.settings.content.attachments] == ["./c"]
    assert Severity.ERROR in {f.severity for f in reading.findings}


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [
        ("   0-00-00T00:00:00", "0000-00-00T00:00:00", None),
        ("0000-00-00T00:00:00", "0000-00-00T00:00:00", None),
        ("2019-02-15T00:00:00", "0000-00-00T15:27:53", datetime(2019, 2, 15, 15, 27, 53)),  # noqa: DTZ001
        ("2019-13-15T00:00:00", "0000-00-00T15:27:53", None),
    ],
)
def test_the_last_backup_joins_date_and_time(
    day: str, clock: str, expected: datetime | None
) -> None:
    block = (
        f"<LastBackupDate><Item1>{day}</Item1></LastBackupDate>"
        f"<LastBackupTime><Item1>{clock}</Item1></LastBackupTime>"
        "<CurrentBackupSet><Item1>2</Item1></CurrentBackupSet>"
    )
    data = f"<Preferences4D><Backup><DataBase>{block}</DataBase></Backup></Preferences4D>"

    found = read(data.encode()).settings.database_block

    assert found is not None
    assert (found.last_backup, found.current_set, found.data_file) == (expected, 2, None)


def corpus_files() -> list[Path]:
    return sorted(CORPUS.glob("*.xml")) if CORPUS.is_dir() else []


@pytest.mark.skipif(not corpus_files(), reason="no corpus beside the project")
def test_every_public_file_is_read_and_only_damaged_delays_are_said() -> None:
    rows = [
        row for row in (CORPUS.parent / "README.md").read_text().splitlines() if "settings-" in row
    ]
    assert len(rows) == len(corpus_files()) == 53

    for row in rows:
        name, facts = (cell.strip() for cell in row.strip("|").split("|", 1))
        data = (CORPUS / name).read_bytes()
        reading = parse_settings(data, CORPUS / name)
        delay = facts.partition("TryToBackupAfter=")[2].partition(";")[0]
        damaged = "T00:00:" in delay
        assert [f.read for f in reading.findings] == ([delay] if damaged else []), name
        assert all(f.line == line_of(data, b"<TryToBackupAfter") for f in reading.findings), name
        destination = facts.partition("Dest='")[2].partition("'")[0].replace("\\\\", "\\")
        assert reading.settings.destination.raw == destination, name
        frequency = facts.partition("Frequency=")[2].partition(";")[0]
        kinds = {"Never": Never, "<empty>": Never, "Weekly": Weekly, "Daily": Daily}
        assert isinstance(reading.settings.schedule, kinds[frequency]), name
        structure = "IncludeStructureFile=True" in facts
        assert reading.settings.content.structure is structure, name
        assert reading.settings.automatic_restore is ("AutomaticRestore=True" in facts), name
        assert (reading.settings.database_block is None) is ("no DataBase" in facts), name
        count = facts.partition("Includes=")[2][:1]
        assert not count or len(reading.settings.content.attachments) == int(count), name

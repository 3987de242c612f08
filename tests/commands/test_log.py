"""log info, list, check: what a person and a program read of a log, with the exit codes."""

import json
import re
from pathlib import Path

import pytest

from engine.logtables import CATALOG
from tests.commands.terminal import Terminal
from tests.engine.logs import OTHER_DATALINK, data_file, link_block, log
from tests.engine.real_shapes import (
    OTHER_TABLE,
    TABLE,
    LogMaker,
    context_values,
    long_key,
    morning,
    row,
    text_key,
)
from tests.engine.stories import App

XML = f'<base><table name="Invoices" uuid="{TABLE.hex()}"/><table name="Visits" uuid="{OTHER_TABLE.hex()}"/></base>'


@pytest.fixture
def work(app: App) -> App:
    """An application whose log has a morning's work."""
    app.log.write_bytes(morning().content())
    app.data_file.write_bytes(data_file(51, [link_block(morning().datalink)]))
    (app.package / CATALOG).write_text(XML)
    return app


# --- info


def test_a_log_is_told_with_identity_numbers_and_who_changed_what(
    terminal: Terminal, work: App
) -> None:
    printed = terminal.types("log", "info", work.log)

    assert printed.code == 0
    assert "identity       000102030405060708090A0B0C0D0E0F" in printed.out
    assert "operations     40 to 51, going on from 40" in printed.out
    assert "records        20, 9 of them change data" in printed.out
    assert re.search(r"^bert@desk-8 +6$", printed.out, re.MULTILINE)
    assert "Invoices" in printed.out
    assert "2026-03-01 08:00" in printed.out


def test_a_log_is_told_to_a_program(terminal: Terminal, work: App) -> None:
    found = terminal.types("log", "info", work.package, "--json").json

    assert (found["first"], found["last"], found["changes"]) == (40, 51, 9)
    assert found["users"] == {"bert@desk-8": 6, "anna@desk-7": 3}
    assert found["tables"][0]["tableName"] == "Invoices"
    assert found["format"] == "current"


def test_a_log_just_made_says_that_it_holds_nothing(terminal: Terminal, work: App) -> None:
    work.log.write_bytes(log())

    printed = terminal.types("log", "info", work.log)

    assert "none: the log was just made" in printed.out
    assert "nothing in it changes data" in printed.out


def test_more_than_ten_of_anything_are_shown_when_asked_for(terminal: Terminal, work: App) -> None:
    made = LogMaker()
    for number in range(14):
        made.add(24, long_key(1) + row(b"x", table=bytes([number]) * 16))
    work.log.write_bytes(made.content())

    assert "and 4 more: --all shows them" in terminal.types("log", "info", work.log).out
    assert "0D" * 16 in terminal.types("log", "info", work.log, "--all").out


# --- list


def test_operations_are_listed_with_time_table_key_and_user(terminal: Terminal, work: App) -> None:
    printed = terminal.types("log", "list", work.log)

    lines = printed.out.splitlines()
    assert printed.code == 0
    assert len(lines) == 21
    assert lines[4].split() == [
        *("42", "2026-03-01", "08:00:04", "Create", "record", "Invoices", "6", "14", "7"),
        *("anna@desk-7", "P_1"),
    ]


def test_filters_are_names_and_local_times(terminal: Terminal, work: App) -> None:
    def count(*filters: str) -> int:
        return len(terminal.types("log", "list", work.log, *filters).out.splitlines()) - 1

    assert count("--table", "visits") == 2
    assert count("--table", TABLE.hex(), "--table", "visits") == 9
    assert count("--user", "Anna") == 5
    assert count("--operation", "create-record", "--operation", "26") == 3
    assert count("--operation", "create") == 5
    assert count("--context", "12") == 12
    assert count("--since", "2026-03-01 09:00") == 2
    assert count("--until", "2026-03-01 08:01") == 5


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        (("--operation", "dance"), "'dance' is no kind of operation"),
        (
            ("--table", "Nothing"),
            "there is no table 'Nothing' in the structure; known are Invoices",
        ),
        (("--since", "yesterday"), "is no date and time"),
    ],
)
def test_a_filter_that_names_nothing_is_wrong_use(
    terminal: Terminal, work: App, filters: tuple[str, str], why: str
) -> None:
    printed = terminal.types("log", "list", work.log, *filters)

    assert printed.code == 2
    assert why in printed.err


def test_the_json_has_the_shape_of_4ds_own_export(terminal: Terminal, work: App) -> None:
    rows = terminal.types("log", "list", "--json", work.log, "--operation", "create-record").json

    assert rows[0] == {
        "operationType": 24,
        "operationName": "Create record",
        "operationNumber": 42,
        "contextID": 11,
        "timeStamp": "2026-03-01T08:00:04.000Z",
        "dataLen": 14,
        "recordNumber": 6,
        "tableID": TABLE.hex().upper(),
        "tableName": "Invoices",
        "extraData": {
            "task_id": 5,
            "user_name": "anna",
            "user4d_alias": "anna of 4D",
            "host_name": "desk-7",
            "task_name": "P_1",
            "client_version": -268363770,
        },
        "primaryKey": "7",
    }
    assert rows[1]["contextID"] == 12
    assert rows[1]["primaryKey"] == bytes(range(16)).hex().upper()


def test_the_json_of_nothing_is_an_empty_list(terminal: Terminal, work: App) -> None:
    assert terminal.types("log", "list", "--json", work.log, "--user", "nobody").json == []


def test_a_sequence_number_is_told_as_4d_does(terminal: Terminal, work: App) -> None:
    (row,) = terminal.types("log", "list", "--json", work.log, "--operation", "save-seqnum").json

    assert (row["operationName"], row["sequenceNumber"]) == ("Save seqnum", 7)
    assert "recordNumber" not in row


def test_names_that_would_move_the_cursor_are_shown_as_escapes(
    terminal: Terminal, work: App
) -> None:
    made = LogMaker().add(22, context_values("eve\n\x1b[2J"), context=1)
    made.add(24, text_key("a\nb") + row(b"x"), context=1)
    work.log.write_bytes(made.content())

    printed = terminal.types("log", "list", work.log)

    assert len(printed.out.splitlines()) == 3
    assert "\x1b" not in printed.out + terminal.types("log", "info", work.log).out
    assert "\x1b" not in terminal.types("log", "list", "--json", work.log).out


def test_a_damaged_log_is_listed_up_to_the_damage_and_is_5(terminal: Terminal, work: App) -> None:
    content = bytearray(morning().content())
    content[morning().ends[5]] ^= 1
    work.log.write_bytes(content)

    printed = terminal.types("log", "list", work.log)
    as_json = terminal.types("log", "list", "--json", work.log)

    assert (printed.code, as_json.code) == (5, 5)
    assert len(printed.out.splitlines()) == 6
    assert len(json.loads(as_json.out)) == 5
    assert "see backup4d log check" in printed.err


def test_a_log_that_is_being_written_is_listed_and_is_0(terminal: Terminal, work: App) -> None:
    work.log.write_bytes(morning().content()[:-5])

    printed = terminal.types("log", "list", work.log)

    assert printed.code == 0
    assert len(printed.out.splitlines()) == 20


# --- check


def test_a_whole_log_is_good(terminal: Terminal, work: App) -> None:
    printed = terminal.types("log", "check", work.log)

    assert printed.code == 0
    assert printed.out.startswith(f"GOOD: {work.log}: 20 records, read to the last byte (")


def test_a_torn_log_is_told_with_its_good_length_and_is_0(terminal: Terminal, work: App) -> None:
    content = morning().content()
    work.log.write_bytes(content[:-7])

    printed = terminal.types("log", "check", work.log)

    assert printed.code == 0
    assert f"TORN: {work.log}: good up to byte {len(content) - 44}, 19 records" in printed.out
    assert "the last 37 bytes are no whole record" in printed.out


def test_damage_is_told_with_its_place_and_is_5(terminal: Terminal, work: App) -> None:
    content = bytearray(morning().content())
    at = morning().ends[3]
    content[at] ^= 1
    work.log.write_bytes(content)

    printed = terminal.types("log", "check", work.log)
    found = terminal.types("log", "check", "--json", work.log).json

    assert printed.code == 5
    assert (
        f"DAMAGED: {work.log}: good up to byte {at}; 19 records can be read in all" in printed.out
    )
    assert "behind operation 41, are no records: operation 42" in printed.out
    assert (found["damaged"], found["goodBytes"]) == (True, at)
    assert found["lost"] == [{"at": at, "end": morning().ends[4], "after": 41, "before": 42}]


def test_a_kind_never_met_is_a_note(terminal: Terminal, work: App) -> None:
    work.log.write_bytes(LogMaker().add(99).content())

    printed = terminal.types("log", "check", work.log)

    assert printed.code == 0
    assert "note: 1 record of type 99, which this program does not know" in printed.out


def test_what_is_no_log_is_refused_and_not_called_damaged(terminal: Terminal, work: App) -> None:
    for name in ("info", "list", "check"):
        printed = terminal.types("log", name, work.data_file)

        assert printed.code == 1
        assert "cannot be read by this program" in printed.err
        assert "damaged" not in printed.all


def test_a_log_is_compared_with_an_earlier_one(terminal: Terminal, work: App) -> None:
    later = work.package / "later.journal"
    for number, code, words in (
        (51, 0, "follows"),
        (60, 1, "operations 52 to 60 are in neither of them"),
    ):
        later.write_bytes(LogMaker(number=number).add(7).add(30).content())

        printed = terminal.types("log", "check", later, "--follows", work.log)

        assert printed.code == code
        assert words in printed.out
    found = terminal.types("log", "check", "--json", later, "--follows", work.log).json
    assert found["follows"]["is"] == "gap"
    assert found["follows"]["missing"] == [52, 60]


def test_a_log_is_compared_with_a_data_file(terminal: Terminal, work: App) -> None:
    for last, link, code, words in (
        (51, morning().datalink, 0, "the data are at operation 51, as the log"),
        (45, morning().datalink, 0, "4D has 6 to integrate"),
        (60, morning().datalink, 1, "this log is not that of"),
        (30, morning().datalink, 1, "the log begins behind that"),
        (51, OTHER_DATALINK, 1, "this log is of another data file"),
    ):
        work.data_file.write_bytes(data_file(last, [link_block(link)]))

        printed = terminal.types("log", "check", work.log, "--data", work.data_file)

        assert printed.code == code
        assert words in printed.out
    found = terminal.types("log", "check", "--json", work.log, "--data", work.data_file).json
    assert found["data"]["is"] == "other data file"


def test_a_log_is_compared_with_the_data_in_a_set(terminal: Terminal, work: App) -> None:
    folder = work.backup_set()

    printed = terminal.types("log", "check", folder, "--data", folder, "--follows", work.log)

    assert printed.code == 0
    assert "the data are at operation 51, as the log" in printed.out
    assert "is the same log as" in printed.out


def test_a_data_file_that_cannot_be_looked_at_is_told(
    terminal: Terminal, work: App, tmp_path: Path
) -> None:
    printed = terminal.types("log", "check", work.log, "--data", tmp_path / "no.4DD")

    assert printed.code == 1
    assert "it is missing" in printed.err


def test_of_a_damaged_log_info_says_so_and_nothing_is_judged_by_it(
    terminal: Terminal, work: App, tmp_path: Path
) -> None:
    content = bytearray(morning().content())
    second = content.index(b"d4bd", content.index(b"d4bd") + 4)
    content[second] ^= 0xFF
    damaged = tmp_path / "damaged.journal"
    damaged.write_bytes(content)

    told = terminal.types("log", "info", damaged)
    judged = terminal.types("log", "check", "--follows", damaged, work.log)

    assert told.code == 5
    assert f"ends at byte {second}" in told.err
    assert judged.code == 5
    assert "is damaged: nobody can say" in judged.err
